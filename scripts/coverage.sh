#!/usr/bin/env bash
# Runs every test with its coverage counted and prints the covered lines by room; fails where they are too few.
# Built in a folder of its own (target/llvm-cov-target), which takes as long as a first build.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! [ -x "$(rustc --print target-libdir)/../bin/llvm-cov" ]; then
    if ! command -v rustup >/dev/null; then
        echo "coverage: llvm-cov and llvm-profdata of this Rust's LLVM are missing; set LLVM_COV and LLVM_PROFDATA" >&2
        [ -n "${LLVM_COV:-}" ] && [ -n "${LLVM_PROFDATA:-}" ] || exit 1
    else
        rustup component add llvm-tools >&2
    fi
fi
tool="$(scripts/tools.sh cargo-llvm-cov)/cargo-llvm-cov"
report=target/coverage.lcov
# The tests look for the library above their own folder, which is not where it is with other tests.
VISION_ONNXRUNTIME=${VISION_ONNXRUNTIME:-$(scripts/onnxruntime.sh)}
export VISION_ONNXRUNTIME
mkdir -p target
status=0
"$tool" llvm-cov --no-report --workspace --locked --no-fail-fast || status=$?
"$tool" llvm-cov report --lcov --output-path "$report"
scripts/coverage.py "$report"
exit "$status"
