# shellcheck shell=bash
# What the scripts of this folder share; to be sourced in the root of the source tree.

# need PROGRAM…
need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null && continue
        echo "kind: $program is not installed" >&2
        exit 1
    done
}

# load CLUSTER: the images, built where they are missing, into its nodes.
load() {
    local images=${VISION_IMAGES:-target/images} archive
    if ! compgen -G "$images/*.tar" >/dev/null; then
        deploy/images/build.sh
    fi
    for archive in "$images"/*.tar; do
        kind load image-archive "$archive" --name "$1"
    done
}

# install_operator CONTEXT
install_operator() {
    helm upgrade --install vision helm --kube-context "$1" --namespace vision-system --create-namespace \
        --wait --timeout 3m
    helm test vision --kube-context "$1" --namespace vision-system --logs
}
