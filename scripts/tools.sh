#!/usr/bin/env bash
# Builds the pinned cargo tools that are named into .cache/tools, once, and prints the folder of their programs.
# Usage: scripts/tools.sh cargo-deny|cargo-llvm-cov…
set -euo pipefail
cd "$(dirname "$0")/.."

root="$PWD/.cache/tools"

# Usage: provide TOOL VERSION SUBCOMMAND [OPTIONS OF cargo install…]
provide() {
    local tool=$1 version=$2 subcommand=$3
    shift 3
    if [ "$("$root/bin/$tool" $subcommand --version 2>/dev/null)" != "$tool $version" ]; then
        echo "tools: building $tool $version (a few minutes, once)" >&2
        cargo install --quiet --locked --debug --root "$root" --target-dir "$root/target" "$@" "$tool@$version" >&2
        rm -rf "$root/target"
    fi
}

for tool in "$@"; do
    case $tool in
        cargo-deny) provide cargo-deny 0.20.2 "" --no-default-features ;;
        cargo-llvm-cov) provide cargo-llvm-cov 0.9.1 llvm-cov ;;
        *)
            echo "tools: there is no $tool here" >&2
            exit 2
            ;;
    esac
done
echo "$root/bin"
