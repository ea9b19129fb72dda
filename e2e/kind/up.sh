#!/usr/bin/env bash
# A cluster with kind (https://kind.sigs.k8s.io) and the operator in it. Needs docker, kind, kubectl and helm.
# Usage: e2e/kind/up.sh [NAME]
set -euo pipefail
cd "$(dirname "$0")/../.."
source e2e/kind/common.sh
name=${1:-vision}

need docker kind kubectl helm
if ! kind get clusters 2>/dev/null | grep -qxF "$name"; then
    kind create cluster --name "$name" --config e2e/kind/kind.yaml --wait 120s
fi
load "$name"
install_operator "kind-$name"
echo "kubectl config use-context kind-$name"
