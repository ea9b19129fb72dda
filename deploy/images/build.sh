#!/usr/bin/env bash
# Builds the images vision-operator/operator and vision-operator/analytics-pod with buildah or docker, and writes each into
# an archive that `ctr images import`, `docker load` and `kind load image-archive` take.
# Usage: deploy/images/build.sh [operator|analytics-pod…]   (both by default)
#
# VISION_BINARIES      a folder with the programs, compiled already; by default cargo compiles them here
# VISION_BUILD_IMAGE   an image with Rust to compile in instead, like docker.io/library/rust:1.92-trixie; for hosts whose C
#                      library is newer than Debian 13's
# VISION_IMAGES        where the archives go (target/images)
# CONTAINER_TOOL       buildah or docker; by default whichever is there
set -euo pipefail
cd "$(dirname "$0")/../.."

base=docker.io/library/debian:trixie-slim
archives=${VISION_IMAGES:-target/images}
images=("$@")
[ $# -gt 0 ] || images=(operator analytics-pod)

say() { printf 'images: %s\n' "$*" >&2; }

tool=${CONTAINER_TOOL:-$(command -v buildah || command -v docker || true)}
if [ -z "$tool" ]; then
    say "neither buildah nor docker is installed (Debian: apt-get install buildah)"
    exit 1
fi
case $(basename "$tool") in
    buildah)
        # Neither user namespaces nor overlay mounts are needed like this, so it works inside a container too.
        export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot} STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
        # Layers are kept, so that what has not changed is not built again; times are those of the commit.
        build=(buildah build --quiet --layers --timestamp "$(git log -1 --format=%ct)")
        have() { buildah inspect --type image "$1" >/dev/null 2>&1; }
        pull() { buildah pull --quiet "$1"; }
        # A pipe is no archive for buildah.
        import() {
            local container
            container=$(buildah from scratch)
            buildah add --quiet "$container" "$1" / && buildah commit --quiet "$container" "$2"
            buildah rm "$container"
        }
        save() { buildah push --quiet "$1" "docker-archive:$2:$1"; }
        ;;
    docker)
        build=(docker build --quiet --build-arg "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)")
        have() { docker image inspect "$1" >/dev/null 2>&1; }
        pull() { docker pull --quiet "$1"; }
        import() { docker import "$1" "$2"; }
        save() { docker save --output "$2" "$1"; }
        ;;
    *)
        say "CONTAINER_TOOL is $tool; it takes buildah or docker"
        exit 1
        ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A machine that reaches Debian's mirror and no registry makes the base by itself.
if ! have "$base" && ! pull "$base" >/dev/null 2>&1; then
    if ! command -v mmdebstrap >/dev/null; then
        say "$base cannot be pulled, and mmdebstrap is not installed to make it (Debian: apt-get install mmdebstrap)"
        exit 1
    fi
    say "$base cannot be pulled: making it with mmdebstrap"
    mmdebstrap --quiet --variant=minbase \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        trixie "$work/base.tar"
    import "$work/base.tar" "$base" >/dev/null
    rm "$work/base.tar"
fi

build_image=${VISION_BUILD_IMAGE:-}
if [ -z "$build_image" ]; then
    binaries=${VISION_BINARIES:-target/release}
    if [ -z "${VISION_BINARIES:-}" ]; then
        say "compiling ${images[*]}"
        cargo build --release --locked "${images[@]/#/-p=}"
    fi
    scripts/onnxruntime.sh >/dev/null
    mkdir "$work/out"
    for image in "${images[@]}"; do
        strip --strip-debug -o "$work/out/$image" "$binaries/$image"
    done
    # The same programs are the same layer.
    touch --date "@$(git log -1 --format=%ct)" "$work"/out/*
    build_image=localhost/vision-operator/host-build:latest
    "${build[@]}" --build-arg "BASE_IMAGE=$base" --file deploy/images/host.Dockerfile --tag "$build_image" \
        "$work/out" >/dev/null
fi

version=$(sed -nE 's/^appVersion: *//p' helm/Chart.yaml)
revision=$(git rev-parse HEAD)
mkdir -p "$archives"
for image in "${images[@]}"; do
    name=docker.io/vision-operator/$image:$version
    say "building $name"
    "${build[@]}" --build-arg "BUILD_IMAGE=$build_image" --build-arg "BASE_IMAGE=$base" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
        --file "deploy/images/$image.Dockerfile" --tag "$name" . >/dev/null
    rm -f "$archives/$image.tar"
    save "$name" "$archives/$image.tar" >/dev/null
    say "$name: $(($(stat -c %s "$archives/$image.tar") / 1000000)) MB, $archives/$image.tar"
done
