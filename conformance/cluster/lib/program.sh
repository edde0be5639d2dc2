# shellcheck shell=bash
# Our programs, for parts. Sourced by them.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}

# built PACKAGE PROGRAM: builds it, optimized if DRAYAGE_CLUSTER_PROFILE does not say otherwise, and gives its path.
built() {
    local profile=${DRAYAGE_CLUSTER_PROFILE:-release}
    cargo build --quiet --locked --profile "$profile" --manifest-path "$repository/Cargo.toml" --package "$1" --bin "$2" >&2
    echo "$target/${profile/#dev/debug}/$2"
}

# program PART: runs a part of this folder's crate; what differs is kept in target/conformance/cluster.
# DRAYAGE_CLUSTER_PROGRAM names one that is built already.
program() {
    local program=${DRAYAGE_CLUSTER_PROGRAM-}
    [ -n "$program" ] || program=$(built drayage-conformance-cluster conformance-cluster)
    "$program" "$1" "$target/conformance/cluster/$DRAYAGE_CLUSTER_VERSION" "$DRAYAGE_CLUSTER_LENGTH"
}
