//! The releases that there are peers for.

use std::fmt;
use std::str::FromStr;

use drayage_allocator::{Features, Profile};
use drayage_cel::Release;

/// A Kubernetes release with the version of the real allocator that the peer is built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// As on the command line, such as `1.36`.
    pub name: &'static str,
    /// The patch release, such as `1.36.6`.
    pub version: &'static str,
    /// What the other crates call it.
    pub release: Release,
}

/// All of them, oldest first.
pub const TARGETS: [Target; 4] = [
    Target { name: "1.34", version: "1.34.13", release: Release::V1_34 },
    Target { name: "1.35", version: "1.35.10", release: Release::V1_35 },
    Target { name: "1.36", version: "1.36.6", release: Release::V1_36 },
    Target { name: "1.37", version: "1.37.2", release: Release::V1_37 },
];

impl Target {
    /// The profile that has to behave as this release.
    pub fn profile(self) -> Profile {
        Profile::for_release(self.release)
    }

    /// Whether the order of pools is left to chance (the iteration order of a Go map).
    pub fn has_random_pool_order(self) -> bool {
        matches!(self.release, Release::V1_34 | Release::V1_35)
    }

    /// The features that the release's allocator knows, all on.
    pub fn features(self) -> Features {
        let old = Features {
            admin_access: true,
            prioritized_list: true,
            partitionable_devices: true,
            device_taints: true,
            device_binding_and_status: true,
            consumable_capacity: true,
            ..Features::NONE
        };
        match self.release {
            Release::V1_34 | Release::V1_35 => old,
            Release::V1_36 => Features { list_type_attributes: true, ..old },
            Release::V1_37 => Features {
                list_type_attributes: true,
                fractional_capacity_range: true,
                optional_node_operations: true,
                derived_attributes: true,
                compatibility_groups: true,
                ..old
            },
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        TARGETS.into_iter().find(|target| target.name == text).ok_or_else(|| {
            format!("no peer for release `{text}`, there is one for 1.34, 1.35, 1.36 and 1.37")
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
