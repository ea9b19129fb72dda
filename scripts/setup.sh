#!/usr/bin/env bash
# Installs what building, testing and running the project needs. Safe to run again: it installs only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

rust_needed=1.92
packages=(
    build-essential pkg-config ca-certificates python3 python3-venv python3-pip
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstrtspserver-1.0-dev
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
    gstreamer1.0-libav gstreamer1.0-tools
)

say() { printf 'setup: %s\n' "$*"; }

check_rust() {
    if ! command -v cargo >/dev/null; then
        say "Rust is missing. Install Rust $rust_needed or newer (https://rustup.rs), then run this again."
        exit 1
    fi
    local have
    have=$(rustc --version | awk '{print $2}')
    if [ "$(printf '%s\n%s\n' "$rust_needed" "$have" | sort -V | head -n 1)" != "$rust_needed" ]; then
        say "Rust $have is too old: $rust_needed or newer is needed. Run 'rustup update', then run this again."
        exit 1
    fi
}

install_packages() {
    local missing=() package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say "all Debian packages are installed"
        return
    fi
    if ! command -v apt-get >/dev/null; then
        say "this is not a Debian system. Install the equivalents of: ${missing[*]}"
        exit 1
    fi
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "missing packages: ${missing[*]}. Run as root: apt-get install -y --no-install-recommends ${missing[*]}"
            exit 1
        fi
        root=(sudo)
    fi
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

check_rust
install_packages
say "ONNX Runtime: $(scripts/onnxruntime.sh)"
