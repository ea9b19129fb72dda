#!/bin/sh
# Builds the stand-in for DeepStream and lays it out in a folder, as an installation of one version.
# Usage: e2e/deepstream-standin/install.sh ROOT VERSION     (VERSION: 5.0-DP, 5.0, 5.1, 6.0 … 9.1)
# Then: VISION_DEEPSTREAM_FOLDER=ROOT GST_PLUGIN_PATH=ROOT/lib/gst-plugins GST_REGISTRY=ROOT/registry.bin
# With DEEPSTREAM_STANDIN_BUILT=FOLDER the libraries of that folder are taken, and nothing is built.
set -eu

if [ $# -ne 2 ]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi
root=$1
version=$2
cd "$(dirname "$0")/../.."

built=${DEEPSTREAM_STANDIN_BUILT:-}
if [ -z "$built" ]; then
    cargo build --quiet --locked -p deepstream-standin -p standin-nvds-meta -p standin-nvdsgst-meta \
        -p standin-nvdsgst-helper -p standin-nvdsgst-customhelper -p standin-nvds-utils -p standin-elements
    built=${CARGO_TARGET_DIR:-target}/debug
fi
exec "$built/deepstream-standin" "$root" "$version" --built "$built"
