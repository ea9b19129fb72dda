#!/usr/bin/env bash
# Builds the named programs of a Kubernetes cluster (see e2e/cluster/tools/go.mod), or those that check the chart
# (e2e/cluster/chart-tools/go.mod), where they are missing, and prints the folder that they are in.
# Usage: scripts/cluster-tools.sh PROGRAM…   (all of one module)
# They are kept outside the source tree, by the digest of what pins them: VISION_TOOLS_CACHE, else the user's cache.
set -euo pipefail
case ${1:?usage: cluster-tools.sh PROGRAM…} in
    helm-unittest | kubeconform) module=chart-tools ;;
    *) module=tools ;;
esac
cd "$(dirname "$0")/../e2e/cluster/$module"

if ! command -v go >/dev/null; then
    echo "cluster-tools: Go 1.26 or newer is needed to build $*: https://go.dev/dl" >&2
    exit 1
fi

pinned=$({ go env GOVERSION GOARCH; cat go.mod go.sum; } | sha256sum | cut -c1-16)
cache=${VISION_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vision-operator/cluster-tools}/$pinned
mkdir -p "$cache"

# One at a time: two runs would build the same twice.
exec 9>"$cache/lock"
flock 9

# What `kubectl version` and the API server tell; without it they say v0.0.0 and refuse each other.
stamp="-s -w"
if [ "$module" = tools ]; then
    version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    minor=${version#v*.}
    stamp+=" -X k8s.io/component-base/version.gitVersion=$version
        -X k8s.io/component-base/version.gitMajor=1
        -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
fi

for program in "$@"; do
    [ -x "$cache/$program" ] && continue
    case $module/$program in
        chart-tools/helm-unittest) package=github.com/helm-unittest/helm-unittest/cmd/helm-unittest ;;
        chart-tools/kubeconform) package=github.com/yannh/kubeconform/cmd/kubeconform ;;
        tools/etcd) package=go.etcd.io/etcd/server/v3 ;;
        tools/helm) package=helm.sh/helm/v4/cmd/helm ;;
        tools/kwok) package=sigs.k8s.io/kwok/cmd/kwok ;;
        tools/kube*) package=k8s.io/kubernetes/cmd/$program ;;
        *)
            echo "cluster-tools: there is no $program in e2e/cluster/$module/go.mod" >&2
            exit 1
            ;;
    esac
    echo "cluster-tools: building $program $(go list -f '{{.Module.Version}}' "$package") (minutes, once)" >&2
    CGO_ENABLED=0 go build -trimpath -ldflags "$stamp" -o "$cache/.$program.new" "$package"
    mv "$cache/.$program.new" "$cache/$program"
done
echo "$cache"
