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

check_rust
scripts/packages.sh "${packages[@]}"
say "Debian packages: all installed"
say "ONNX Runtime: $(scripts/onnxruntime.sh)"
