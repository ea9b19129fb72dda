#!/usr/bin/env bash
# Starts the simulated cameras of configs/demo, watches them with the analytics pod, and ends both.
# Usage: scripts/demo.sh [SECONDS]   (without SECONDS: until Ctrl-C)
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ] && ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "demo: DURATION is '$1'; give a number of seconds, as in make demo DURATION=20" >&2
    exit 2
fi
bin=target/release
ready=$(mktemp)
# The demo's own: sources that the user has made over HTTP are none of its business.
state=$(mktemp -d)
"$bin/camera-simulator" -f configs/demo/simulator/cameras.yaml >"$ready" &
simulator=$!
cleanup() {
    kill "$simulator" 2>/dev/null || true
    wait "$simulator" 2>/dev/null || true
    rm -rf "$ready" "$state"
}
trap cleanup EXIT
# Ending it by Ctrl-C is how the demo is meant to end.
trap 'exit 0' INT TERM

echo "demo: starting four cameras (their scenes are drawn and encoded once, then kept)" >&2
until grep -q '"ready":true' "$ready"; do
    kill -0 "$simulator" 2>/dev/null || { echo "demo: the camera simulator ended before it was ready" >&2; exit 1; }
    sleep 0.2
done

options=()
[ $# -gt 0 ] && options+=(--max-duration "${1}s")
status=0
"$bin/analytics-pod" run -f configs/demo --state-folder "$state" --view --require-detections "${options[@]}" || status=$?
exit "$status"
