//! Behaviour that changed between releases, as switches.

use drayage_cel::Release;

/// How the allocator of one release behaves where releases differ.
///
/// Only [`Profile::V1_36`] is verified, against recorded answers of 1.36.3 with its default implementation
/// (upstream calls it *incubating*). The others set the switches that are known from upstream's history and
/// behave like 1.36 for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// The release that is meant.
    pub release: Release,
    /// What the books of available and consumed counters are keyed by.
    pub counter_books: CounterBooks,
    /// What a `distinctAttribute` constraint remembers.
    pub distinct_memory: DistinctMemory,
    /// Whether undoing a device restores the values that the devices of a `matchAttribute` constraint over lists
    /// had in common before it. Without that, solutions are missed.
    pub common_values_restored: bool,
    /// Whether slices with shared counters count for every node, whatever their own node selection says.
    pub counter_slices_everywhere: bool,
    /// Whether a claim's configuration entry appears once for each request it names, instead of once.
    pub claim_config_per_request: bool,
    /// Whether the request list of a configuration entry that covers every request is cleared.
    pub clear_covering_config: bool,
    /// Whether a request for all devices leaves out devices without enough free capacity, instead of failing.
    pub all_leaves_out_full_devices: bool,
}

/// Key of the counter books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterBooks {
    /// The name of the pool: two drivers with pools of the same name share one book, and the pool that needs it
    /// first says what is available.
    PoolName,
    /// Driver and name of the pool.
    Pool,
}

/// Memory of a `distinctAttribute` constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DistinctMemory {
    /// One value for each request: a later device of a request replaces the value of the earlier one, and
    /// undoing any device forgets the request's value altogether.
    LatestOfRequest,
    /// One value for each device.
    EveryDevice,
}

impl Profile {
    /// Kubernetes 1.36.3. Verified.
    pub const V1_36: Self = Self {
        release: Release::V1_36,
        counter_books: CounterBooks::PoolName,
        distinct_memory: DistinctMemory::LatestOfRequest,
        common_values_restored: false,
        counter_slices_everywhere: true,
        claim_config_per_request: true,
        clear_covering_config: false,
        all_leaves_out_full_devices: true,
    };

    /// Kubernetes 1.37, from what is known of changes after 1.36. Not verified against the release.
    pub const V1_37: Self = Self {
        release: Release::V1_37,
        counter_books: CounterBooks::Pool,
        distinct_memory: DistinctMemory::EveryDevice,
        common_values_restored: true,
        counter_slices_everywhere: false,
        claim_config_per_request: false,
        clear_covering_config: true,
        all_leaves_out_full_devices: false,
    };

    /// The profile of a release. 1.34 and 1.35 behave like 1.36 here: their own order of pools is random, so
    /// there is nothing to be exact about.
    pub const fn for_release(release: Release) -> Self {
        match release {
            Release::V1_34 | Release::V1_35 | Release::V1_36 => Self { release, ..Self::V1_36 },
            Release::V1_37 => Self::V1_37,
        }
    }
}
