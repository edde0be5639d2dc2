//! Behaviour that changed between releases, as switches.
//!
//! A [`Profile`] is the behaviour of one release's allocator, or of none: [`Profile::FIXED`] is the newest behaviour
//! without the faults that are known of it. Upstream ships three implementations side by side and takes the most
//! stable that supports all features that are on, so what a release does also depends on its gates;
//! [`Profile::for_features`] follows that. Each difference is one switch here, and [`SWITCHES`] lists them.

mod releases;
mod switches;
mod table;

use std::fmt;
use std::str::FromStr;

use drayage_cel::Release;

use crate::features::Features;

use switches::SwitchValue;
pub use switches::{
    AllInAlternatives, AllSelection, AllWithBrokenPool, BindingLast, CapacityFaults, CapacityOff, ClaimLimit,
    CounterBooks, CounterSlices, DistinctMemory, DistinctValues, Enumeration, IncompletePools, InvalidPools,
    NewFields, NodePin, OverLimit, PoolChecks, PoolOrder, SecondCapacityCheck, ShareEntries, SliceOrder,
    SteppedAmounts, TaintEffects, Undo,
};
pub use table::{OtherImplementation, Table};

/// One switch of a [`Profile`].
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// The name of the field.
    pub name: &'static str,
    /// What it is about, in sentences.
    pub about: &'static str,
    /// The values that are known faults of upstream.
    pub faults: &'static [&'static str],
    /// Upstream's issues and pull requests about it, all of kubernetes/kubernetes.
    pub upstream: &'static [u32],
    value: fn(&Profile) -> &'static str,
    copy: fn(&mut Profile, &Profile),
}

impl Switch {
    /// The switch's value in a profile.
    pub fn value(&self, profile: &Profile) -> &'static str {
        (self.value)(profile)
    }

    /// A profile with the value that this switch has in another one, [pinned](Profile::pinned): no release behaves
    /// so, but it shows which switch is behind a different answer.
    #[must_use]
    pub fn transplanted(&self, into: Profile, from: &Profile) -> Profile {
        let mut profile = into.pinned();
        (self.copy)(&mut profile, from);
        profile
    }

    /// Whether the profile's value is a known fault of upstream.
    pub fn is_fault(&self, profile: &Profile) -> bool {
        self.faults.contains(&self.value(profile))
    }
}

/// The fields of [`Profile`] and the entries of [`SWITCHES`] from one list, so that none is forgotten.
macro_rules! switches {
    ($(
        $(#[doc = $about:literal])+
        $field:ident: $kind:ty, faults: [$($fault:literal),*], upstream: [$($number:literal),*];
    )+) => {
        /// How the allocator of one release behaves where releases differ.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Profile {
            /// Whose behaviour it is.
            pub name: ProfileName,
            /// The release whose CEL environment applies.
            pub release: Release,
            /// The implementation whose switches these are.
            pub implementation: Implementation,
            /// Whether the switches stay what they are, whichever features are on.
            pub pinned: bool,
            $($(#[doc = $about])+ pub $field: $kind,)+
        }

        /// Everything in which profiles can differ, in the order of the table of differences.
        pub const SWITCHES: &[Switch] = &[$(Switch {
            name: stringify!($field),
            about: concat!($($about),+),
            faults: &[$($fault),*],
            upstream: &[$($number),*],
            value: |profile| profile.$field.text(),
            copy: |into, from| into.$field = from.$field,
        },)+];
    };
}

switches! {
    /// Order in which the pools of a node are searched.
    pool_order: PoolOrder, faults: ["random"], upstream: [136_588];
    /// Order in which the slices of a pool are searched.
    slice_order: SliceOrder, faults: ["as given"], upstream: [136_588];
    /// What devices with binding conditions come after.
    binding_last: BindingLast, faults: [], upstream: [];
    /// What becomes of pools of which slices are missing.
    incomplete_pools: IncompletePools, faults: ["searched"], upstream: [];
    /// What the search does with a pool that contradicts itself.
    invalid_pools: InvalidPools, faults: ["fatal error"], upstream: [];
    /// What is checked of a pool.
    pool_checks: PoolChecks, faults: ["device names"], upstream: [];
    /// What slices with shared counters are: which nodes see them, and whose counters they hold.
    counter_slices: CounterSlices, faults: ["every node"], upstream: [138_917];
    /// What the books of available and consumed counters are keyed by.
    counter_books: CounterBooks, faults: ["pool name"], upstream: [140_434, 140_435, 140_504];
    /// Whether devices of which other claims hold shares are deducted from the counters of their pool.
    held_shares_take_counters: bool, faults: ["no"], upstream: [139_040];
    /// What is undone when a device is refused or given up.
    undo: Undo, faults: ["in part"], upstream: [140_431, 140_436];
    /// Until when a device counts as shared, so that its counters are not charged again.
    share_entries: ShareEntries, faults: ["never", "until no capacity is consumed", "until the last share is gone"], upstream: [140_433];
    /// What comes of a capacity request that cannot be computed, or that comes to less than nothing.
    capacity_faults: CapacityFaults, faults: ["computed all the same"], upstream: [];
    /// The format of an amount that was rounded up to a step of a range.
    stepped_amounts: SteppedAmounts, faults: [], upstream: [140_161];
    /// Of which device capacity is checked again before it is taken. Where its slice has no such other device,
    /// upstream panics, and the answer is an error of the kind `panic`.
    second_capacity_check: SecondCapacityCheck, faults: ["another device"], upstream: [];
    /// In which orders the devices of a request are tried.
    enumeration: Enumeration, faults: ["permutations"], upstream: [131_730, 133_678];
    /// What follows when a claim would get more devices than a result holds.
    over_limit: OverLimit, faults: [], upstream: [130_593];
    /// What comes after the first device of an alternative for all devices.
    all_in_alternatives: AllInAlternatives, faults: ["first alternative"], upstream: [];
    /// What the second of two alternatives for all devices selects.
    all_selection: AllSelection, faults: ["that of the first"], upstream: [];
    /// Whether a request for all devices leaves out devices without enough free capacity, instead of failing.
    all_leaves_out_full_devices: bool, faults: ["yes"], upstream: [140_769];
    /// What an incomplete or invalid pool means for a request for all devices.
    all_with_broken_pool: AllWithBrokenPool, faults: ["fatal error"], upstream: [141_829, 141_898];
    /// Which taints keep away those who do not tolerate them.
    taint_effects: TaintEffects, faults: ["any"], upstream: [];
    /// What a `distinctAttribute` constraint compares.
    distinct_values: DistinctValues, faults: ["places in memory"], upstream: [];
    /// What a `distinctAttribute` constraint remembers.
    distinct_memory: DistinctMemory, faults: ["latest of each request"], upstream: [140_438, 140_600];
    /// Whether undoing a device restores the values that the devices of a `matchAttribute` constraint over lists had
    /// in common before it. Without that, solutions are missed.
    common_values_restored: bool, faults: ["no"], upstream: [140_300, 140_325];
    /// How the devices that a claim needs at least are checked against what a result holds.
    claim_limit: ClaimLimit, faults: ["for the claim"], upstream: [141_307, 141_323];
    /// What capacity in requests means while consumable capacity is off.
    capacity_off: CapacityOff, faults: ["ignored"], upstream: [];
    /// Whether selectors see `device.allowMultipleAllocations`; else it is false for them.
    selectors_see_sharing: bool, faults: ["no"], upstream: [];
    /// Whether the error of a selector names the device, with a hint where a key is missing.
    selector_errors_name_device: bool, faults: ["no"], upstream: [];
    /// Which of the fields that 1.37 added to slices and requests have a meaning.
    new_fields: NewFields, faults: [], upstream: [];
    /// Whether results repeat the tolerations of their request.
    tolerations_in_results: bool, faults: ["no"], upstream: [];
    /// Whether a claim's configuration entry appears once for each request it names, instead of once.
    claim_config_per_request: bool, faults: ["yes"], upstream: [];
    /// Whether the request list of a configuration entry that covers every request is cleared.
    clear_covering_config: bool, faults: [], upstream: [];
    /// To what a result is pinned whose devices are local to a node.
    node_pin: NodePin, faults: ["name in the slice"], upstream: [];
}

/// The release, or other behaviour, that a profile copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProfileName {
    /// Kubernetes 1.34.13.
    V1_34_13,
    /// Kubernetes 1.35.10.
    V1_35_10,
    /// Kubernetes 1.36.3, an older patch, of which answers were recorded.
    V1_36_3,
    /// Kubernetes 1.36.6.
    V1_36_6,
    /// Kubernetes 1.37.2.
    V1_37_2,
    /// No release: the newest behaviour without known faults.
    Fixed,
}

/// One of the implementations that upstream's library has side by side, chosen by the features that are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Implementation {
    /// The oldest; supports the fewest features.
    Stable,
    /// What is to become stable.
    Incubating,
    /// The newest; supports all features.
    Experimental,
}

impl ProfileName {
    /// All profiles, the oldest release first.
    pub const ALL: [Self; 6] =
        [Self::V1_34_13, Self::V1_35_10, Self::V1_36_3, Self::V1_36_6, Self::V1_37_2, Self::Fixed];

    /// The text that [`FromStr`] reads: `1.36.6`, or `fixed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_34_13 => "1.34.13",
            Self::V1_35_10 => "1.35.10",
            Self::V1_36_3 => "1.36.3",
            Self::V1_36_6 => "1.36.6",
            Self::V1_37_2 => "1.37.2",
            Self::Fixed => "fixed",
        }
    }

    /// The release whose CEL environment and gates go with the profile.
    pub const fn release(self) -> Release {
        match self {
            Self::V1_34_13 => Release::V1_34,
            Self::V1_35_10 => Release::V1_35,
            Self::V1_36_3 | Self::V1_36_6 => Release::V1_36,
            Self::V1_37_2 | Self::Fixed => Release::V1_37,
        }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown profile `{text}`, expected a release from 1.34 to 1.37, the patch 1.36.3, or `fixed`")]
pub struct ProfileNameError {
    /// What was given.
    pub text: String,
}

impl FromStr for ProfileName {
    type Err = ProfileNameError;

    /// Accepts `fixed` and what [`Release`] accepts; a patch other than 1.36.3 means the release's newest.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.strip_prefix('v').unwrap_or(text);
        if let Some(name) = Self::ALL.into_iter().find(|name| name.as_str() == plain) {
            return Ok(name);
        }
        let release: Release = text.parse().map_err(|_| ProfileNameError { text: text.to_owned() })?;
        Ok(Profile::for_release(release).name)
    }
}

impl Implementation {
    /// All implementations, in the order in which upstream considers them.
    pub const ALL: [Self; 3] = [Self::Stable, Self::Incubating, Self::Experimental];

    /// The implementation of this name, as upstream calls it.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|implementation| implementation.to_string() == name)
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stable => "stable",
            Self::Incubating => "incubating",
            Self::Experimental => "experimental",
        })
    }
}

impl Profile {
    /// The profile of a release's newest patch, for its default gates.
    pub const fn for_release(release: Release) -> Self {
        match release {
            Release::V1_34 => Self::V1_34,
            Release::V1_35 => Self::V1_35,
            Release::V1_36 => Self::V1_36,
            Release::V1_37 => Self::V1_37,
        }
    }

    /// The profile of this name, for the default gates of its release.
    pub const fn named(name: ProfileName) -> Self {
        match name {
            ProfileName::V1_34_13 => Self::V1_34,
            ProfileName::V1_35_10 => Self::V1_35,
            ProfileName::V1_36_3 => Self::V1_36_3,
            ProfileName::V1_36_6 => Self::V1_36,
            ProfileName::V1_37_2 => Self::V1_37,
            ProfileName::Fixed => Self::FIXED,
        }
    }

    /// This profile for any features, as if upstream had only this implementation.
    #[must_use]
    pub const fn pinned(self) -> Self {
        Self { pinned: true, ..self }
    }

    /// This profile as one implementation behaves, [pinned](Self::pinned) to it.
    #[must_use]
    pub const fn of_implementation(self, implementation: Implementation) -> Self {
        Self::of(self.name, implementation).pinned()
    }

    /// The profile as upstream behaves with these features: with the switches of the implementation that runs then,
    /// unless it is [pinned](Self::pinned).
    #[must_use]
    pub fn for_features(self, features: Features) -> Self {
        let implementation = self.name.implementation(features);
        if self.pinned || implementation == self.implementation {
            self
        } else {
            Self::of(self.name, implementation)
        }
    }
}
