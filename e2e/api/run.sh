#!/usr/bin/env bash
# Holds the real program against the description of its API: thousands of requests, made from the description, good and
# bad, and no answer may be other than described.
# Usage: e2e/api/run.sh [EXAMPLES]   (requests an operation; 50 by default)
#
# VISION_ANALYTICS_POD names the program; by default the released build.
set -euo pipefail
cd "$(dirname "$0")/../.."

examples=${1:-50}
pod=${VISION_ANALYTICS_POD:-target/release/analytics-pod}
cache=.cache/api-test

if ! cmp -s e2e/api/requirements.txt "$cache/requirements.txt"; then
    echo "api-test: installing schemathesis into $cache/venv" >&2
    mkdir -p "$cache"
    python3 -m venv --clear "$cache/venv"
    "$cache/venv/bin/pip" install --quiet -r e2e/api/requirements.txt
    cp e2e/api/requirements.txt "$cache/requirements.txt"
fi

work=$(mktemp -d)
"$pod" run --listen 127.0.0.1:0 --state-folder "$work/state" >/dev/null 2>"$work/log" &
process=$!
cleanup() {
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

until address=$(grep -o '"address":"[^"]*"' "$work/log" | head -n 1 | cut -d '"' -f 4) && [ -n "$address" ]; do
    kill -0 "$process" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done

# A frame is waited for, which is its purpose; it has tests of its own. What a schema allows may still break a rule over
# several fields, which is answered 422. One worker: hypothesis's own code is not safe in several threads of Python 3.11.
status=0
"$cache/venv/bin/schemathesis" run "http://$address/api/v1/openapi.json" \
    --max-examples "$examples" --workers 1 --exclude-path-regex 'frame\.jpg$' \
    --exclude-checks positive_data_acceptance --request-timeout 30 || status=$?
if ! kill -0 "$process" 2>/dev/null; then
    echo "api-test: the pod has died" >&2
    tail -n 20 "$work/log" >&2
    status=1
fi
exit "$status"
