# shellcheck shell=bash disable=SC2034
# What the scripts of this folder share; to be sourced.

# Everything that the cluster keeps. The path is short, for sockets lie below it.
state=${VISION_CLUSTER:-/var/lib/vision-cluster}
nodes=${VISION_CLUSTER_NODES:-2}
gpus=${VISION_CLUSTER_GPUS:-8}

# The control plane is at .1, node i at .10+i, this machine at .254.
network=10.200.0
pods=10.244
services=10.96
server=https://$network.1:6443
kubeconfig=$state/kubeconfig

say() { printf 'cluster: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

if [ "$(id -u)" -ne 0 ]; then
    fail "network namespaces and containers need root: run this as root"
fi

# A process is known by its id and when it began: an id alone may belong to another by now.
began() { awk '{ sub(/.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }

# start NAME NAMESPACE COMMAND…: runs it in a network namespace until stop or stop_all.
start() {
    local name=$1 namespace=$2
    shift 2
    # Not `ip netns exec`, which mounts another /sys, without control groups.
    setsid nsenter --net="/run/netns/$namespace" "$@" >"$state/$name.log" 2>&1 </dev/null &
    echo "$! $(began $!) $name" >>"$state/processes"
}

# alive NAME
alive() {
    local id time
    read -r id time _ < <(grep " $1\$" "$state/processes" 2>/dev/null | tail -n 1) || return 1
    [ "$(began "$id")" = "$time" ]
}

# stop NAME…: asks them to end, and makes those end that have not after ten seconds.
stop() {
    local name id time known=()
    for name in "$@"; do
        read -r id time _ < <(grep " $name\$" "$state/processes" 2>/dev/null | tail -n 1) || continue
        [ "$(began "$id")" = "$time" ] || continue
        kill "$id" 2>/dev/null || true
        known+=("$id $time")
    done
    local until=$((SECONDS + 10))
    for name in "${known[@]}"; do
        read -r id time <<<"$name"
        while [ "$(began "$id")" = "$time" ]; do
            if [ "$SECONDS" -ge "$until" ]; then
                kill -KILL "$id" 2>/dev/null || true
            fi
            sleep 0.1
        done
    done
}

# await SECONDS WHAT NAME COMMAND…: until the command succeeds; NAME is the process that it depends on.
await() {
    local seconds=$1 what=$2 name=$3
    shift 3
    local until=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if ! alive "$name"; then
            tail -n 5 "$state/$name.log" >&2
            fail "$name has ended; all of its words: $state/$name.log"
        fi
        [ "$SECONDS" -lt "$until" ] || fail "$what: not within $seconds s; see $state/$name.log"
        sleep 0.2
    done
}
