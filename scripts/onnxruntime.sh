#!/bin/sh
# Installs ONNX Runtime's library for this checkout and prints its path. Safe to run again: what is there and intact is
# left alone. Nothing outside the checkout is touched.
#
# The library comes from the wheel that Microsoft publishes on PyPI, fetched by pip and checked against the digests
# below. Only the library and its licence are unpacked; no Python package is installed.
set -eu

version=1.31.1
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=$root/.cache/onnxruntime/$version
library=$target/libonnxruntime.so.$version

case $(uname -m) in
    x86_64)
        platform=manylinux_2_28_x86_64
        wheel_digest=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
        ;;
    aarch64 | arm64)
        platform=manylinux_2_28_aarch64
        wheel_digest=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
        ;;
    *)
        echo "onnxruntime.sh: there is no ONNX Runtime wheel for $(uname -m); build libonnxruntime.so $version" \
            "yourself and set VISION_ONNXRUNTIME to its path" >&2
        exit 1
        ;;
esac

if [ -f "$library" ] && (cd "$target" && sha256sum --check --status SHA256SUMS 2>/dev/null); then
    echo "$library"
    exit 0
fi

python=${PYTHON:-python3}
if ! "$python" -m pip --version >/dev/null 2>&1; then
    echo "onnxruntime.sh: python3 with pip is needed to fetch the wheel (Debian: apt-get install python3-pip)" >&2
    exit 1
fi

mkdir -p "$target"
work=$(mktemp -d "$target/.download.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "onnxruntime.sh: fetching ONNX Runtime $version ($platform)" >&2
printf 'onnxruntime==%s --hash=sha256:%s\n' "$version" "$wheel_digest" >"$work/requirements.txt"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --platform "$platform" --implementation cp --python-version 311 --dest "$work" \
    --requirement "$work/requirements.txt" >&2

"$python" - "$work" "$version" <<'UNPACK'
import pathlib, sys, zipfile

work, version = pathlib.Path(sys.argv[1]), sys.argv[2]
wheel = next(work.glob("onnxruntime-*.whl"))
wanted = {
    f"onnxruntime/capi/libonnxruntime.so.{version}": f"libonnxruntime.so.{version}",
    "onnxruntime/LICENSE": "LICENSE",
    "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
}
with zipfile.ZipFile(wheel) as archive:
    for member, name in wanted.items():
        (work / name).write_bytes(archive.read(member))
UNPACK

(cd "$work" && sha256sum "libonnxruntime.so.$version" >SHA256SUMS)
# The digest list comes last: an interrupted run leaves a folder that the check above does not take for whole.
for name in LICENSE ThirdPartyNotices.txt "libonnxruntime.so.$version" SHA256SUMS; do
    mv -f "$work/$name" "$target/$name"
done
echo "$library"
