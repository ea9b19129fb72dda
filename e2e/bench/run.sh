#!/usr/bin/env bash
# Measures the pod: against its peers on a file, on four live cameras, and under overload.
# Usage: e2e/bench/run.sh [SECONDS OF OVERLOAD]   (60 by default; 600 for the long form)
#
# VISION_BENCH_CLIP and VISION_BENCH_MODEL name an H.264 MP4 file and an ONNX file of the YOLOv8 layout; by default a
# simulated street and the starter model.
set -euo pipefail
cd "$(dirname "$0")/../.."

overload=${1:-60}
cache=.cache/bench
model=${VISION_BENCH_MODEL:-models/starter/starter.onnx}
clip=${VISION_BENCH_CLIP:-$cache/street/camera-1.mp4}
export PATH="$PWD/target/release:$PATH"

setup() {
    scripts/packages.sh python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0
    if ! cmp -s e2e/bench/requirements.txt "$cache/requirements.txt"; then
        echo "bench: installing the peers' Python packages into $cache/venv" >&2
        mkdir -p "$cache"
        /usr/bin/python3 -m venv --clear --system-site-packages "$cache/venv"
        "$cache/venv/bin/pip" install --quiet -r e2e/bench/requirements.txt
        cp e2e/bench/requirements.txt "$cache/requirements.txt"
    fi
    if [ ! -e "$clip" ]; then
        camera-simulator encode --cameras 1 --resolution 1280x720 --fps 15 --frames 300 --out "$(dirname "$clip")"
    fi
}

setup
echo "== throughput on a file, peers in turn"
"$cache/venv/bin/python" e2e/bench/throughput.py --model "$model" --clip "$clip"
echo
echo "== four live cameras, 1280x720 at 30 fps"
analytics-pod bench --sources 4 --fps 30 --resolution 1280x720 --duration 30 --model "$model" --profile
echo
echo "== overload: sixteen cameras, 640x360 at 30 fps, $overload s"
analytics-pod bench --sources 16 --fps 30 --resolution 640x360 --duration "$overload" --model "$model" --limit p99=1s
