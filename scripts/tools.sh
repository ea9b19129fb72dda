#!/usr/bin/env bash
# Builds the pinned cargo tools that `make test` uses into .cache/tools, once, and prints that folder.
set -euo pipefail
cd "$(dirname "$0")/.."

deny_version=0.20.2
root="$PWD/.cache/tools"

if [ "$("$root/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $deny_version" ]; then
    echo "tools: building cargo-deny $deny_version (a few minutes, once)" >&2
    cargo install --quiet --locked --debug --no-default-features --root "$root" \
        --target-dir "$root/target" "cargo-deny@$deny_version" >&2
    rm -rf "$root/target"
fi
echo "$root/bin"
