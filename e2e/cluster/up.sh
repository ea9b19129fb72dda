#!/usr/bin/env bash
# A Kubernetes with nodes that run containers, on this machine alone: a control plane, and a kubelet, containerd and
# kube-proxy for each node, all in network namespaces of their own. It needs root and a Debian-like Linux; nothing but
# what is named here is changed, and e2e/cluster/down.sh (make cluster-down) takes all of it away.
#
# VISION_CLUSTER         where it keeps what it has (/var/lib/vision-cluster)
# VISION_CLUSTER_NODES   how many nodes (2)
# VISION_CLUSTER_GPUS    how many GPUs each node says that it has; there are none (8)
# VISION_IMAGES          the archives of the images (target/images); built where they are missing
#
# Addresses: control plane 10.200.0.1, nodes 10.200.0.11 and on, this machine 10.200.0.254; pods 10.244.NODE.0/24, services
# 10.96.0.0/16. This machine reaches pods and they reach it. There is no DNS in the cluster and no way out of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
source e2e/cluster/settings.sh

if [ -e "$state/up" ] && alive kube-apiserver; then
    say "is up already; loading the images anew"
    e2e/cluster/load.sh
    echo "export KUBECONFIG=$kubeconfig"
    exit 0
fi

scripts/packages.sh containerd runc containernetworking-plugins iptables iproute2 conntrack ethtool socat catatonit
export PATH=$PATH:/usr/sbin:/sbin
tools=$(scripts/cluster-tools.sh etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
images=${VISION_IMAGES:-target/images}
if ! compgen -G "$images/*.tar" >/dev/null; then
    deploy/images/build.sh
fi

# Whatever an interrupted run has left.
e2e/cluster/down.sh
if ip route show "$network.0/24" | grep -q . || ip route show "$pods.0.0/16" | grep -q .; then
    fail "this machine has a route to $network.0/24 or $pods.0.0/16 already, which the cluster would take"
fi
mkdir -p "$state"
trap 'say "has failed; its logs are in $state until the next start"; e2e/cluster/down.sh --keep-logs' EXIT
trap 'exit 130' INT TERM

kubectl() { "$tools/kubectl" --kubeconfig "$kubeconfig" "$@"; }
in_namespace() { nsenter --net="/run/netns/$1" "${@:2}"; }

# The network: one namespace with a bridge for the control plane, one for each node, and this machine, all joined to it.
# Usage: join NAMESPACE ADDRESS: an empty namespace is this machine.
join() {
    local namespace=$1 address=$2 link=vision-${1:-host}
    ip link add "$link" type veth peer name "$link-br"
    ip link set "$link-br" netns vision-control
    in_namespace vision-control ip link set "$link-br" master bridge up
    if [ -n "$namespace" ]; then
        ip link set "$link" netns "vision-$namespace"
        in_namespace "vision-$namespace" ip link set "$link" name eth0
        in_namespace "vision-$namespace" ip address add "$address/24" dev eth0
        in_namespace "vision-$namespace" ip link set eth0 up
        in_namespace "vision-$namespace" ip route add default via "$network.1"
    else
        ip address add "$address/24" dev "$link"
        ip link set "$link" up
        ip route add "$pods.0.0/16" via "$network.1"
    fi
}

namespace() {
    ip netns add "$1"
    in_namespace "$1" ip link set lo up
    in_namespace "$1" sysctl -qw net.ipv4.ip_forward=1
}

namespace vision-control
in_namespace vision-control ip link add bridge type bridge
in_namespace vision-control ip address add "$network.1/24" dev bridge
in_namespace vision-control ip link set bridge up
join "" "$network.254"
for ((i = 1; i <= nodes; i++)); do
    namespace "vision-n$i"
    join "n$i" "$network.$((10 + i))"
done
for ((i = 1; i <= nodes; i++)); do
    in_namespace vision-control ip route add "$pods.$i.0/24" via "$network.$((10 + i))"
    for ((j = 1; j <= nodes; j++)); do
        [ "$i" = "$j" ] || in_namespace "vision-n$j" ip route add "$pods.$i.0/24" via "$network.$((10 + i))"
    done
done

# Who is who.
e2e/cluster/credentials.sh "$state" "IP:$network.1,IP:$services.0.1,DNS:kubernetes.default.svc"
# identity FILE USER GROUP: a token of the API server, and a kubeconfig with it.
identity() {
    local token
    token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
    echo "$token,$2,$2,$3" >>"$state/tokens.csv"
    cat >"$1" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: vision, cluster: {server: "$server", certificate-authority-data: "$(base64 -w 0 "$state/ca.crt")"}}]
users: [{name: user, user: {token: "$token"}}]
contexts: [{name: vision, context: {cluster: vision, user: user}}]
current-context: vision
EOF
}
(
    umask 077
    identity "$kubeconfig" admin system:masters
    identity "$state/kube-proxy.kubeconfig" system:kube-proxy system:authenticated
    for ((i = 1; i <= nodes; i++)); do
        mkdir -p "$state/n$i"
        identity "$state/n$i/kubeconfig" "system:node:n$i" system:nodes
    done
)

say "control plane"
start etcd vision-control "$tools/etcd" --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
start kube-apiserver vision-control "$tools/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
    --bind-address 0.0.0.0 --secure-port 6443 --advertise-address "$network.1" \
    --tls-cert-file "$state/apiserver.crt" --tls-private-key-file "$state/apiserver.key" \
    --client-ca-file "$state/ca.crt" --token-auth-file "$state/tokens.csv" \
    --authorization-mode RBAC,Node --enable-admission-plugins NodeRestriction --allow-privileged \
    --service-cluster-ip-range "$services.0.0/16" \
    --service-account-issuer "$server" --service-account-key-file "$state/service-account.pub" \
    --service-account-signing-key-file "$state/service-account.key" \
    --kubelet-client-certificate "$state/apiserver-kubelet.crt" --kubelet-client-key "$state/apiserver-kubelet.key" \
    --kubelet-preferred-address-types InternalIP
await 60 "the API server" kube-apiserver kubectl get --raw /readyz
start kube-controller-manager vision-control "$tools/kube-controller-manager" --kubeconfig "$kubeconfig" \
    --leader-elect=false --root-ca-file "$state/ca.crt" \
    --service-account-private-key-file "$state/service-account.key" --use-service-account-credentials
start kube-scheduler vision-control "$tools/kube-scheduler" --kubeconfig "$kubeconfig" --leader-elect=false

# The image of the container that holds a pod's namespaces, as an archive that containerd imports.
pause=localhost/vision-operator/pause:1
pause_image() {
    local work layer config
    work=$(mktemp -d)
    mkdir "$work/root"
    install -m 0755 /usr/bin/catatonit "$work/root/pause"
    tar -C "$work/root" --owner 0 --group 0 -cf "$work/layer.tar" pause
    layer=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
    config='{"architecture":"'$(dpkg --print-architecture)'","os":"linux","config":{"Entrypoint":["/pause","-P"]},"rootfs":{"type":"layers","diff_ids":["sha256:'$layer'"]}}'
    echo "$config" >"$work/config.json"
    echo '[{"Config":"config.json","RepoTags":["'$pause'"],"Layers":["layer.tar"]}]' >"$work/manifest.json"
    tar -C "$work" -cf "$1" manifest.json config.json layer.tar
    rm -r "$work"
}
pause_image "$state/pause.tar"

# A control group of the node's own in every hierarchy. In that for processors nothing starts before it has some.
control_groups() {
    local name=$1 hierarchy setting
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        mkdir -p "/sys/fs/cgroup/$name"
        sed 's/\([a-z]\+\)/+\1/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
        return
    fi
    for hierarchy in /sys/fs/cgroup/*/; do
        mountpoint -q "$hierarchy" || continue
        mkdir -p "$hierarchy$name"
        for setting in cpuset.cpus cpuset.mems; do
            [ ! -e "$hierarchy$setting" ] || cat "$hierarchy$setting" >"$hierarchy$name/$setting"
        done
    done
}

node() {
    local name=n$1 folder=$state/n$1 address=$network.$((10 + $1))
    mkdir -p "$folder/cni" "$folder/kubelet"
    control_groups "vision-$name"
    cat >"$folder/containerd.toml" <<EOF
version = 2
root = "$folder/containerd"
state = "$folder/run"
[grpc]
address = "$folder/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "$pause"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$folder/cni"
EOF
    cat >"$folder/cni/10-bridge.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "vision-$name", "plugins": [
  {"type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$folder/addresses",
            "ranges": [[{"subnet": "$pods.$1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
    # It keeps no disk free for others, and an image is not taken away because nothing uses it yet.
    cat >"$folder/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$folder/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /vision-$name
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
resolvConf: ""
podLogsDir: $folder/pod-logs
volumePluginDir: $folder/plugins
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$state/ca.crt"}}
authorization: {mode: Webhook}
EOF
    cat >"$folder/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: $name
clusterCIDR: $pods.0.0/16
clientConnection: {kubeconfig: "$state/kube-proxy.kubeconfig"}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
EOF
    start "containerd-$name" "vision-$name" containerd --config "$folder/containerd.toml"
    await 30 "containerd of $name" "containerd-$name" ctr --address "$folder/containerd.sock" version
    ctr --address "$folder/containerd.sock" --namespace k8s.io images import "$state/pause.tar" >/dev/null
    start "kubelet-$name" "vision-$name" "$tools/kubelet" --config "$folder/kubelet.yaml" \
        --kubeconfig "$folder/kubeconfig" --root-dir "$folder/kubelet" --cert-dir "$folder/kubelet/pki" \
        --hostname-override "$name" --node-ip "$address"
    start "kube-proxy-$name" "vision-$name" "$tools/kube-proxy" --config "$folder/kube-proxy.yaml"
}
for ((i = 1; i <= nodes; i++)); do
    say "node n$i"
    node "$i"
done

say "images"
e2e/cluster/load.sh
for ((i = 1; i <= nodes; i++)); do
    await 60 "node n$i" "kubelet-n$i" kubectl get node "n$i"
    kubectl patch node "n$i" --subresource status --type json \
        --patch '[{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "'"$gpus"'"}]' >/dev/null
    await 60 "node n$i" "kubelet-n$i" kubectl wait --for condition=Ready --timeout 1s "node/n$i"
done

trap - EXIT
touch "$state/up"
say "is up; its logs are in $state, and make cluster-down ends it"
echo "export KUBECONFIG=$kubeconfig"
