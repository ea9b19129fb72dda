#!/usr/bin/env bash
# Installs the chart as it was one field of a schema ago on a real API server, makes objects, upgrades, and looks whether
# the field is there, the objects still are, and an uninstallation leaves both; and whether the operator's rights are what
# it needs. Usage: e2e/chart/installation.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=${1:?usage: installation.sh FOLDER}
mkdir -p "$folder"
tools=$(scripts/cluster-tools.sh helm kubectl)

fail() {
    echo "installation: $*" >&2
    exit 1
}

# It runs until its standard input ends.
mkfifo "$folder/stop"
e2e/cluster/control-plane.sh "$folder/control-plane" <"$folder/stop" >"$folder/control-plane.txt" &
control_plane=$!
exec 3>"$folder/stop"
trap 'exec 3>&-; wait "$control_plane" || true' EXIT
until grep -q ready "$folder/control-plane.txt"; do
    kill -0 "$control_plane" 2>/dev/null || fail "the control plane does not start"
    sleep 0.2
done
export KUBECONFIG=$folder/control-plane/kubeconfig

helm() { "$tools/helm" "$@"; }
kubectl() { "$tools/kubectl" "$@"; }

# The chart before: without spec.priority of a VideoSource. What is deleted is the line and all that is indented deeper.
cp -r helm "$folder/before"
awk '
    /^  name: / { video_source = $2 ~ /^videosources/ }
    skipped && match($0, /[^ ]/) > indentation { next }
    { skipped = 0 }
    video_source && /^              priority:/ { skipped = 1; indentation = match($0, /[^ ]/); found = 1; next }
    { print }
    END { exit !found }
' helm/files/crds.yaml >"$folder/before/files/crds.yaml" || fail "the field to leave out is not in the schema"

helm install vision "$folder/before" --namespace vision-system --create-namespace >"$folder/install.txt"
kubectl wait --for condition=Established --timeout 30s crd/videosources.vision-operator.dev \
    crd/detectionmodels.vision-operator.dev >/dev/null
kubectl apply -f configs/quickstart >/dev/null
priority() {
    kubectl patch videosource street-1 --type merge --patch '{"spec": {"priority": 7}}' >/dev/null 2>&1
    kubectl get videosource street-1 -o 'jsonpath={.spec.priority}'
}
[ -z "$(priority)" ] || fail "the chart before knows the field"

helm upgrade vision helm --namespace vision-system >"$folder/upgrade.txt"
for _ in {1..100}; do
    [ "$(priority)" = 7 ] && break
    sleep 0.1
done
[ "$(priority)" = 7 ] || fail "the upgraded definition lacks the new field"
[ "$(kubectl get videosources -o name | wc -l)" = 2 ] || fail "the upgrade lost sources"

# The chart gives what the operator's own tests run with, and nothing else. Usage: rights PART KIND NAME
rights() {
    kubectl get "$2" "$3" --namespace vision-system -o json | python3 -c '
import json, sys
part, path = sys.argv[1:]
fields = ("apiGroups", "resources", "resourceNames", "verbs")
flat = lambda rules: sorted([sorted(rule.get(field, [])) for field in fields] for rule in rules)
sys.exit(flat(json.load(sys.stdin)["rules"]) != flat(json.load(open(path))[part]))
' "$1" operator/rbac.json || fail "$2 $3 is not what operator/rbac.json says of $1"
}
rights watchedNamespaces clusterrole vision-operator-serving
rights cluster clusterrole vision-system-vision-operator-nodes
rights ownNamespace role vision-operator

# As the operator: the API server lets it write a Role only with rights that it has itself.
as_operator() { kubectl --as system:serviceaccount:vision-system:vision-operator "$@"; }
as_operator create role pods-of-a-model --resource secrets --resource-name login --verb get >/dev/null ||
    fail "the operator cannot give its pods the right to read a login"
for resource in videosources.vision-operator.dev detectionmodels.vision-operator.dev; do
    as_operator create role "reads-$resource" --resource "$resource" --verb get,list,watch >/dev/null ||
        fail "the operator cannot give its pods the right to read $resource"
done
as_operator create role too-much --resource secrets --verb list >/dev/null 2>&1 &&
    fail "the operator may give the right to list Secrets"
as_operator get secrets >/dev/null 2>&1 && fail "the operator may list Secrets"

# Two operators on one namespace would undo each other's work. Usage: second FLAG…
second() {
    if helm install second helm --namespace elsewhere --create-namespace --set crds.install=false "$@" \
        >"$folder/second.txt" 2>&1; then
        fail "a second release that serves the same namespaces is installed ($*)"
    fi
}
second
grep -q vision-operator-serving "$folder/second.txt" || fail "the second release is refused for something else"
second --set 'watchNamespaces={default}'
grep -q 'the release vision in namespace vision-system serves all namespaces already' "$folder/second.txt" ||
    fail "the second release is not told who serves its namespaces"

helm uninstall vision --namespace vision-system >"$folder/uninstall.txt"
[ "$(kubectl get videosources -o name | wc -l)" = 2 ] || fail "the uninstallation took the sources along"
# What was kept belongs to the next installation of the same name.
helm install vision helm --namespace vision-system >"$folder/again.txt"
[ "$(kubectl get videosources -o name | wc -l)" = 2 ] || fail "the second installation lost sources"
