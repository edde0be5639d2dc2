# shellcheck shell=bash
# Our programs, for parts. Sourced by them.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}

# built PROGRAM: builds our programs, optimized if DRAYAGE_CLUSTER_PROFILE does not say otherwise, and gives the path of one.
built() {
    local profile=${DRAYAGE_CLUSTER_PROFILE:-release}
    # Always both, since alone each would want other features of the same libraries.
    cargo build --quiet --locked --profile "$profile" --manifest-path "$repository/Cargo.toml" \
        --package drayage-conformance-cluster --package drayage-driver --bins >&2
    echo "$target/${profile/#dev/debug}/$1"
}

# program PART: runs a part of this folder's crate; what differs is kept in target/conformance/cluster.
# DRAYAGE_CLUSTER_PROGRAM names one that is built already.
program() {
    local program=${DRAYAGE_CLUSTER_PROGRAM-}
    [ -n "$program" ] || program=$(built conformance-cluster)
    "$program" "$1" "$target/conformance/cluster/$DRAYAGE_CLUSTER_VERSION" "$DRAYAGE_CLUSTER_LENGTH"
}
