#!/usr/bin/env bash
# Deletes the cluster that up.sh or up-gpu.sh made. Usage: e2e/kind/down.sh [NAME]
set -euo pipefail
exec kind delete cluster --name "${1:-vision}"
