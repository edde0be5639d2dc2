# shellcheck shell=bash
# The program of this folder's crate, for parts. Sourced by them.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
profile=dev # or what DRAYAGE_CLUSTER_PROFILE says

# program PART: runs a part of it; what differs is kept in target/conformance/cluster. DRAYAGE_CLUSTER_PROGRAM names one
# that is built already.
program() {
    local profile=${DRAYAGE_CLUSTER_PROFILE:-$profile}
    [ -n "${DRAYAGE_CLUSTER_PROGRAM-}" ] ||
        cargo build --quiet --locked --profile "$profile" --manifest-path "$repository/Cargo.toml" --package drayage-conformance-cluster
    "${DRAYAGE_CLUSTER_PROGRAM:-$target/${profile/#dev/debug}/conformance-cluster}" "$1" "$target/conformance/cluster/$DRAYAGE_CLUSTER_VERSION" "$DRAYAGE_CLUSTER_LENGTH"
}
