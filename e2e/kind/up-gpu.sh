#!/usr/bin/env bash
# A cluster with kind on a machine with NVIDIA GPUs, the GPU operator, and the operator in it. Needs docker, kind, kubectl,
# helm, NVIDIA's driver and its container toolkit, and the network for the GPU operator's chart and images.
# Usage: e2e/kind/up-gpu.sh [NAME]
#
# Once on the host, as root, so that containers of docker get the GPUs that a volume mount names:
#
#   nvidia-ctk runtime configure --runtime=docker --set-as-default --cdi.enabled
#   nvidia-ctk config --set accept-nvidia-visible-devices-as-volume-mounts=true --in-place
#   systemctl restart docker
set -euo pipefail
cd "$(dirname "$0")/../.."
source e2e/kind/common.sh
name=${1:-vision-gpu}
gpu_operator=v25.10.1

need docker kind kubectl helm nvidia-smi nvidia-ctk
if ! docker run --rm --volume /dev/null:/var/run/nvidia-container-devices/all debian:trixie-slim nvidia-smi -L; then
    echo "kind: containers do not get the GPUs; see the beginning of e2e/kind/up-gpu.sh" >&2
    exit 1
fi
if ! kind get clusters 2>/dev/null | grep -qxF "$name"; then
    kind create cluster --name "$name" --config e2e/kind/kind-gpu.yaml --wait 120s
fi
# The nodes share the host's driver; only the toolkit and the device plug-in are installed into them.
for node in $(kind get nodes --name "$name" | grep -- -worker); do
    docker exec "$node" umount -R /proc/driver/nvidia 2>/dev/null || true
done
helm upgrade --install gpu-operator gpu-operator --kube-context "kind-$name" \
    --repo https://helm.ngc.nvidia.com/nvidia --version "$gpu_operator" \
    --namespace gpu-operator --create-namespace --set driver.enabled=false --wait --timeout 15m
until kubectl --context "kind-$name" get nodes -o jsonpath='{.items[*].status.allocatable.nvidia\.com/gpu}' |
    grep -q '[1-9]'; do
    echo "kind: waiting for the nodes to offer nvidia.com/gpu" >&2
    sleep 5
done
load "$name"
install_operator "kind-$name"
echo "kubectl config use-context kind-$name"
