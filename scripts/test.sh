#!/usr/bin/env bash
# Every check that a change must pass. Ends with one line that counts the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

# Tests open models; ONNX Runtime tells its makers of that unless it is told not to.
export ORT_DISABLE_TELEMETRY=1

step() { printf '\n== %s\n' "$*"; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT

step "format"
cargo fmt --all --check

step "clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "licences, bans and sources of the dependencies"
# The build fetched what this platform needs; the licence check reads the
# crates of every platform in the lock file.
cargo fetch --quiet --locked
"$(scripts/tools.sh cargo-deny)/cargo-deny" --offline check --hide-inclusion-graph bans licenses sources

step "shell scripts"
if command -v shellcheck >/dev/null; then
    git ls-files '*.sh' | xargs shellcheck --external-sources --severity warning
else
    echo "skipped, for shellcheck is not installed (Debian: apt-get install shellcheck)"
fi

step "chart"
e2e/chart/run.sh

step "tests"
status=0
cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$log" || status=$?

awk '/^test result:/ { passed += $4; failed += $6; skipped += $8 }
     END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit passed == 0 }' "$log"
exit "$status"
