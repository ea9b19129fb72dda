#!/bin/sh
# Compiles a program into /out, in an image with Rust; nothing where it is there already.
# Usage: deploy/images/compile.sh PACKAGE [DEBIAN PACKAGE…]
set -eu
package=$1
shift
[ -x "/out/$package" ] && exit 0
if ! command -v cargo >/dev/null; then
    echo "compile.sh: the build image has neither cargo nor /out/$package" >&2
    exit 1
fi
if [ $# -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
fi
cargo build --release --locked -p "$package"
mkdir -p /out
strip --strip-debug -o "/out/$package" "target/release/$package"
