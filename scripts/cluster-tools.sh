#!/usr/bin/env bash
# Builds the named programs of a Kubernetes cluster (see e2e/cluster/tools/go.mod) where they are missing, and prints the
# folder that they are in. Usage: scripts/cluster-tools.sh PROGRAM…
# They are kept outside the source tree, by the digest of what pins them: VISION_TOOLS_CACHE, else the user's cache.
set -euo pipefail
cd "$(dirname "$0")/../e2e/cluster/tools"

if ! command -v go >/dev/null; then
    echo "cluster-tools: Go 1.26 or newer is needed to build $*: https://go.dev/dl" >&2
    exit 1
fi

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v*.}
minor=${minor%%.*}
pinned=$({ go env GOVERSION GOARCH; cat go.mod go.sum; } | sha256sum | cut -c1-16)
cache=${VISION_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vision-operator/cluster-tools}/$pinned
mkdir -p "$cache"

# One at a time: two runs would build the same twice.
exec 9>"$cache/lock"
flock 9

# What `kubectl version` and the API server tell; without it they say v0.0.0 and refuse each other.
stamp="-s -w
    -X k8s.io/component-base/version.gitVersion=$version
    -X k8s.io/component-base/version.gitMajor=1
    -X k8s.io/component-base/version.gitMinor=$minor"

for program in "$@"; do
    [ -x "$cache/$program" ] && continue
    case $program in
        etcd) package=go.etcd.io/etcd/server/v3 ;;
        helm) package=helm.sh/helm/v4/cmd/helm ;;
        kwok) package=sigs.k8s.io/kwok/cmd/kwok ;;
        kube*) package=k8s.io/kubernetes/cmd/$program ;;
        *)
            echo "cluster-tools: unknown program $program" >&2
            exit 1
            ;;
    esac
    echo "cluster-tools: building $program $(go list -f '{{.Module.Version}}' "$package") (minutes, once)" >&2
    CGO_ENABLED=0 go build -trimpath -ldflags "$stamp" -o "$cache/.$program.new" "$package"
    mv "$cache/.$program.new" "$cache/$program"
done
echo "$cache"
