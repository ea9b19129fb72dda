#!/bin/sh
# Builds the parser library for nvinfer: build.sh OUTPUT.so [8|9] [FOLDER OF DEEPSTREAM'S HEADERS…]
#
# 8 builds for DeepStream 5.0 to 8.0, 9 for 9.0 and later, whose objects have one field more. With DeepStream's own
# headers (…/sources/includes, and CUDA's) they decide.
set -eu
output=$1
generation=${2:-8}
[ $# -ge 2 ] && shift 2 || shift 1
here=$(dirname "$0")
flags="-std=c++14 -O2 -fPIC -shared -Wall -Wextra "
[ "$generation" = 9 ] && flags="$flags -DVISION_DEEPSTREAM_9"
for folder in "$@"; do flags="$flags -isystem $folder"; done
# VISION_PARSERS_EXTRA: further files, for tests.
# shellcheck disable=SC2086 # both are words
${CXX:-g++} $flags -o "$output" "$here/parsers.cpp" ${VISION_PARSERS_EXTRA:-}
