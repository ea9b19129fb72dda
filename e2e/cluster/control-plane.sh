#!/usr/bin/env bash
# A Kubernetes control plane on loopback, without root and without nodes (kwok plays them): etcd, API server, controller
# manager, scheduler, kwok. Usage: e2e/cluster/control-plane.sh FOLDER
# FOLDER must be empty; it gets the data, a log of each program, and `kubeconfig`. Prints `ready` once the API server is,
# and runs until its standard input ends or it is interrupted; then everything that it started has ended too.
set -euo pipefail

folder=${1:?usage: control-plane.sh FOLDER}
mkdir -p "$folder"
folder=$(realpath "$folder")
here=$(dirname "$(realpath "$0")")
tools=$("$here/../../scripts/cluster-tools.sh" etcd kube-apiserver kube-controller-manager kube-scheduler kwok)

started=()
# The API server is ended before etcd: without it, it waits for a minute.
finish() {
    trap '' INT TERM
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        kill "${started[i]}" 2>/dev/null || continue
        for _ in {1..50}; do
            kill -0 "${started[i]}" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "${started[i]}" 2>/dev/null || true
        wait "${started[i]}" 2>/dev/null || true
    done
}
trap finish EXIT
trap 'exit 130' INT TERM

# start PROGRAM FLAG…
start() {
    "$tools/$1" "${@:2}" >"$folder/$1.log" 2>&1 </dev/null &
    started+=($!)
}

free_port() {
    local port
    while port=$(shuf -n 1 -i 20000-32000) && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# await WHAT PROGRAM COMMAND…
await() {
    for _ in {1..300}; do
        "${@:3}" >/dev/null 2>&1 && return
        if ! kill -0 "${started[-1]}" 2>/dev/null; then
            echo "control-plane: $2 has ended; its last words:" >&2
            tail -n 5 "$folder/$2.log" >&2
            exit 1
        fi
        sleep 0.2
    done
    echo "control-plane: $1 is not ready after 60 s; see $folder/$2.log" >&2
    exit 1
}

etcd_port=$(free_port)
api_port=$(free_port)
server=https://127.0.0.1:$api_port
token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')

(
    umask 077
    echo "$token,admin,admin,system:masters" >"$folder/tokens.csv"
    "$here/credentials.sh" "$folder" IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc
    cat >"$folder/kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "$server", certificate-authority: "$folder/ca.crt"}}]
users: [{name: admin, user: {token: "$token"}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
EOF
)

start etcd --data-dir "$folder/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls http://127.0.0.1:0

# Who asks for which Secret, in `audit.log`.
cat >"$folder/audit-policy.yaml" <<EOF
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, resources: [{group: "", resources: [secrets]}]}
  - {level: None}
EOF

start kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_port" \
    --bind-address 127.0.0.1 --secure-port "$api_port" --advertise-address 127.0.0.1 --endpoint-reconciler-type none \
    --tls-cert-file "$folder/apiserver.crt" --tls-private-key-file "$folder/apiserver.key" \
    --client-ca-file "$folder/ca.crt" --token-auth-file "$folder/tokens.csv" \
    --authorization-mode RBAC,Node --allow-privileged --service-cluster-ip-range 10.96.0.0/16 \
    --audit-policy-file "$folder/audit-policy.yaml" --audit-log-path "$folder/audit.log" \
    --service-account-issuer "$server" \
    --service-account-key-file "$folder/service-account.pub" \
    --service-account-signing-key-file "$folder/service-account.key"
await "the API server" kube-apiserver \
    curl -fsS --cacert "$folder/ca.crt" -H "Authorization: Bearer $token" "$server/readyz"

start kube-controller-manager --kubeconfig "$folder/kubeconfig" --leader-elect=false --secure-port 0 \
    --service-account-private-key-file "$folder/service-account.key" --root-ca-file "$folder/ca.crt" \
    --use-service-account-credentials
start kube-scheduler --kubeconfig "$folder/kubeconfig" --leader-elect=false --secure-port 0
# kwok plays nodes and their pods by its own stages: nodes are ready, pods run at once and end at once. Pods get addresses
# on loopback, where something can answer for them; another range each time, for clusters side by side.
stages=$(cd "$here/tools" && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
start kwok --kubeconfig "$folder/kubeconfig" --manage-all-nodes --server-address 127.0.0.1:0 \
    --cidr "127.$(shuf -n 1 -i 16-250).0.0/16" --node-lease-duration-seconds 40 \
    --config "$stages/node/fast/node-initialize.yaml" \
    --config "$stages/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml" \
    --config "$stages/pod/fast/pod-ready.yaml" --config "$stages/pod/fast/pod-delete.yaml"

echo ready
cat >/dev/null
