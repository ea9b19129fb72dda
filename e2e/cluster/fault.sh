#!/usr/bin/env bash
# Makes faults in the cluster of e2e/cluster/up.sh, and ends them. Usage:
#   fault.sh cut NODE | mend NODE        the node's network
#   fault.sh stop-api | start-api        the API server: connections are reset, new ones are refused
#   fault.sh kill-container NODE POD     SIGKILL to the container of an analytics pod
set -euo pipefail
cd "$(dirname "$0")/../.."
source e2e/cluster/settings.sh
export PATH=$PATH:/usr/sbin:/sbin

control() { nsenter --net=/run/netns/vision-control "$@"; }
away=(INPUT --protocol tcp --dport 6443 --jump REJECT --reject-with tcp-reset)

case "${1:-}" in
    # The far end of its cable: its own end would forget its routes.
    cut) control ip link set "vision-$2-br" down ;;
    mend) control ip link set "vision-$2-br" up ;;
    stop-api) control iptables --insert "${away[@]}" ;;
    start-api) control iptables --delete "${away[@]}" ;;
    kill-container)
        of_pod="labels.\"io.kubernetes.pod.name\"==$3,labels.\"io.cri-containerd.kind\"==container"
        container=$(ctr --address "$state/$2/containerd.sock" --namespace k8s.io containers list --quiet "$of_pod")
        [ -n "$container" ] || fail "there is no container of $3 on $2"
        for one in $container; do
            # Containers that ended before are listed too.
            ctr --address "$state/$2/containerd.sock" --namespace k8s.io tasks kill --signal SIGKILL "$one" 2>/dev/null || true
        done
        ;;
    *) fail "unknown fault ${1:-}; see the head of $0" ;;
esac
