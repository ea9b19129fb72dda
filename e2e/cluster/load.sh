#!/usr/bin/env bash
# Loads the images that `make images` built into the nodes of the cluster. Usage: e2e/cluster/load.sh [ARCHIVE…]
set -euo pipefail
cd "$(dirname "$0")/../.."
source e2e/cluster/settings.sh

archives=("$@")
[ $# -gt 0 ] || archives=("${VISION_IMAGES:-target/images}"/*.tar)
for socket in "$state"/n*/containerd.sock; do
    for archive in "${archives[@]}"; do
        [ -e "$archive" ] || fail "there is no $archive: run make images"
        ctr --address "$socket" --namespace k8s.io images import "$archive" >/dev/null
    done
    say "$(basename "$(dirname "$socket")"): $(ctr --address "$socket" --namespace k8s.io images list --quiet |
        grep -v '@\|^sha256:' | tr '\n' ' ')"
done
