{{/* What the operator does where it serves: in each watched namespace, or in all. All of its rights are those of
operator/rbac.json, with which its tests run; e2e/chart holds the two equal. */}}
{{- define "vision.servingRules" -}}
- apiGroups: [vision-operator.dev]
  resources: [videosources, detectionmodels]
  verbs: [get, list, watch]
- apiGroups: [vision-operator.dev]
  resources: [videosources/status, detectionmodels/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch]
# create and patch: the certificate of a model's pods. get: never used, but the API server lets nobody write a Role with a
# right that he has not, and the pods' Roles name the logins of their cameras. Neither list nor watch.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
