#!/usr/bin/env bash
# Goes through the scenarios of e2e/scenarios on the cluster of KUBECONFIG, or on that of `make cluster`. The chart is
# installed first, or upgraded to what is here. Usage: e2e/scenarios.sh [ARGUMENTS OF THE PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

own=${VISION_CLUSTER:-/var/lib/vision-cluster}/kubeconfig
if [ -z "${KUBECONFIG:-}" ]; then
    if [ ! -e "$own" ]; then
        echo "scenarios: there is no cluster: run \`make cluster\`, or set KUBECONFIG" >&2
        exit 1
    fi
    export KUBECONFIG=$own
fi
own_only=()
# Where make cluster puts this machine.
[ "$KUBECONFIG" != "$own" ] || own_only=(--faults e2e/cluster/fault.sh --camera-address 10.200.0.254)

helm=$(scripts/cluster-tools.sh helm)/helm
"$helm" upgrade --install vision ./helm --namespace vision-system --create-namespace --wait --timeout 5m
cargo build --release --locked -p scenarios
target/release/scenarios "${own_only[@]}" "$@"
