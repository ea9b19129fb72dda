{{- define "vision.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A release named `vision` makes `vision-operator`, one named `x` makes `x-vision-operator`. */}}
{{- define "vision.fullname" -}}
{{- $name := include "vision.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if hasPrefix .Release.Name $name -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of what belongs to the whole cluster: releases in two namespaces must not meet. */}}
{{- define "vision.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "vision.fullname" .) -}}
{{- end -}}

{{/* What gives a release its namespaces has one name for all releases: Helm refuses a second one that serves the same. */}}
{{- define "vision.servingName" -}}
vision-operator-serving
{{- end -}}

{{/* Fails where one release would serve all namespaces and another some of them, which Helm does not see. */}}
{{- define "vision.refuseSecondRelease" -}}
{{- $name := include "vision.servingName" . -}}
{{- $others := list -}}
{{- if .Values.watchNamespaces -}}
{{- with lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" $name -}}
{{- $others = list . -}}
{{- end -}}
{{- else -}}
{{- range (lookup "rbac.authorization.k8s.io/v1" "Role" "" "").items -}}
{{- if eq .metadata.name $name -}}
{{- $others = append $others . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $others -}}
{{- $annotations := default dict .metadata.annotations -}}
{{- $release := get $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" -}}
{{- if or (ne $release $.Release.Name) (ne $namespace $.Release.Namespace) -}}
{{- $served := printf "namespace %s" .metadata.namespace -}}
{{- if not .metadata.namespace -}}
{{- $served = "all namespaces" -}}
{{- end -}}
{{- fail (printf "the release %s in namespace %s serves %s already, and two would undo each other's work: give each its own watchNamespaces, or uninstall one" $release $namespace $served) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "vision.selector" -}}
app.kubernetes.io/name: {{ include "vision.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "vision.commonLabels" -}}
app.kubernetes.io/name: {{ include "vision.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: vision-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "vision.labels" -}}
{{ include "vision.commonLabels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* The labels that all analytics pods have; the operator writes them. */}}
{{- define "vision.analyticsSelector" -}}
app.kubernetes.io/name: analytics-pod
app.kubernetes.io/managed-by: vision-operator
{{- end -}}

{{- define "vision.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "vision.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* One image: (dict "root" . "image" .Values.operator.image) */}}
{{- define "vision.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.image.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "vision.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "vision.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}
