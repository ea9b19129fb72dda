#!/usr/bin/env bash
# Checks the Helm chart: lint, its unit tests, what it renders against the schemas of the Kubernetes API, that deploy/ is
# current, and an upgrade on a real API server. Needs Go, no root and no nodes. Usage: e2e/chart/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v go >/dev/null; then
    echo "chart: skipped, for Go 1.26 or newer is not installed: https://go.dev/dl"
    exit 0
fi
helm=$(scripts/cluster-tools.sh helm)/helm
checkers=$(scripts/cluster-tools.sh helm-unittest kubeconform)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Helm keeps nothing of the user's, and reads nothing.
export HELM_CONFIG_HOME=$work/helm/config HELM_CACHE_HOME=$work/helm/cache HELM_DATA_HOME=$work/helm/data
unset KUBECONFIG

say() { printf 'chart: %s\n' "$*"; }

say "lint"
"$helm" lint --strict --quiet helm

if "$helm" template vision helm --kube-version 1.30.0 >/dev/null 2>&1; then
    echo "chart: Kubernetes 1.30 is accepted, whose API servers know no field selectors on custom resources" >&2
    exit 1
fi

say "unit tests"
"$checkers/helm-unittest" --strict helm

say "what is rendered, against the schemas of the API"
kubernetes=$(cd e2e/cluster/tools && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
python3 e2e/chart/schemas.py "$kubernetes/api/openapi-spec/swagger.json" "$work/schemas"
for values in e2e/chart/values/*.yaml; do
    "$helm" template vision helm --namespace vision-system --values "$values" >"$work/rendered.yaml"
    "$checkers/kubeconform" -strict -summary \
        -schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$work/rendered.yaml" |
        sed "s|^|chart:   $(basename "$values" .yaml): |"
done

say "deploy/ is what the chart renders"
e2e/chart/deploy.sh "$work/deploy.yaml"
if ! cmp -s deploy/vision-operator.yaml "$work/deploy.yaml"; then
    diff -u deploy/vision-operator.yaml "$work/deploy.yaml" | head -n 20 >&2 || true
    echo "chart: deploy/vision-operator.yaml is not current; run: make crds" >&2
    exit 1
fi

"$(scripts/cluster-tools.sh kubectl)/kubectl" kustomize deploy >"$work/kustomized.yaml"
grep -q '^kind: Namespace' "$work/kustomized.yaml"
grep -q '^kind: Deployment' "$work/kustomized.yaml"

say "an upgrade and the operator's rights, on a real API server"
e2e/chart/installation.sh "$work/installation"
say "all good"
