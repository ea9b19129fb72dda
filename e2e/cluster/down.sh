#!/usr/bin/env bash
# Ends what e2e/cluster/up.sh started, by the ids that it noted, and takes away what it made. Harmless where nothing runs.
# Usage: e2e/cluster/down.sh [--keep-logs]
set -euo pipefail
cd "$(dirname "$0")/../.."
source e2e/cluster/settings.sh
export PATH=$PATH:/usr/sbin:/sbin

[ -e "$state" ] || exit 0
rm -f "$state/up"

# The name of each node.
names=()
for folder in "$state"/n*/; do
    [ ! -e "$folder" ] || names+=("$(basename "$folder")")
done

# Nothing new is to start while containers are ended.
stop kube-scheduler kube-controller-manager "${names[@]/#/kubelet-}" "${names[@]/#/kube-proxy-}"
for name in "${names[@]}"; do
    folder=$state/$name
    if alive "containerd-$name"; then
        of_node() { timeout 20 ctr --address "$folder/containerd.sock" --namespace k8s.io "$@" 2>/dev/null; }
        for container in $(of_node containers list --quiet); do
            network_namespace=$(of_node containers info "$container" | grep -om 1 '/netns/cni-[^"]*' || true)
            of_node tasks delete --force "$container" >/dev/null || true
            of_node containers delete "$container" >/dev/null || true
            rm -f /var/lib/cni/results/*-"$container"-*
            [ -z "$network_namespace" ] || ip netns delete "${network_namespace##*/}" 2>/dev/null || true
        done
    fi
    stop "containerd-$name"
    # What is left in the node's control groups: containers whose containerd had died.
    for groups in "/sys/fs/cgroup/vision-$name" /sys/fs/cgroup/*/"vision-$name"; do
        [ -d "$groups" ] || continue
        find "$groups" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u |
            while read -r id; do kill -KILL "$id" 2>/dev/null || true; done
    done
    # The shims of such containers; each names its node's socket.
    { grep -lzxF "$folder/containerd.sock" /proc/[0-9]*/cmdline 2>/dev/null || true; } |
        while IFS=/ read -r _ _ id _; do kill -KILL "$id" 2>/dev/null || true; done
    rm -f /var/lib/cni/results/"vision-$name"-*
done
# One after the other: without etcd the API server waits for a minute.
stop kube-apiserver
stop etcd

# Volumes and root file systems of containers.
mounts() { awk -v state="$state/" 'index($2, state) == 1 { print $2 }' /proc/mounts | sort -r; }
mounts | while read -r mount; do umount --lazy "$mount" || true; done
# What lies below a mount may be someone else's.
[ -z "$(mounts)" ] || fail "cannot unmount all below $state, and deletes nothing: $(mounts | head -n 1)"
for groups in /sys/fs/cgroup/vision-n* /sys/fs/cgroup/*/vision-n*; do
    [ -d "$groups" ] || continue
    for _ in {1..50}; do
        find "$groups" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
    done
done
ip link delete vision-host 2>/dev/null || true
for namespace in /run/netns/vision-n* /run/netns/vision-control; do
    [ ! -e "$namespace" ] || ip netns delete "$(basename "$namespace")"
done

if [ "${1:-}" = --keep-logs ]; then
    find "$state" -mindepth 1 ! -name '*.log' ! -type d -delete
else
    rm -rf "$state"
fi
say "is down"
