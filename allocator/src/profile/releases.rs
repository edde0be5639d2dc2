//! The profile of each release: which implementation runs when, and how it behaves.

use drayage_cel::Release;

use super::{
    AllInAlternatives, AllSelection, AllWithBrokenPool, BindingLast, CapacityFaults, CapacityOff, ClaimLimit,
    CounterBooks, CounterSlices, DistinctMemory, DistinctValues, Enumeration, Implementation,
    IncompletePools, InvalidPools, NewFields, NodePin, OverLimit, PoolChecks, PoolOrder, Profile,
    ProfileName, SecondCapacityCheck, ShareEntries, SliceOrder, SteppedAmounts, TaintEffects, Undo,
};
use crate::features::Features;

/// What the first implementations supported in 1.34 and 1.35, and the stable one since 1.36.
const FIRST_FEATURES: Features = Features {
    admin_access: true,
    prioritized_list: true,
    partitionable_devices: true,
    device_taints: true,
    ..Features::NONE
};

/// What the incubating implementation supports since 1.36.
const INCUBATING_SINCE_1_36: Features =
    Features { device_binding_and_status: true, consumable_capacity: true, ..FIRST_FEATURES };

/// What the incubating implementation supports in 1.37.
const INCUBATING_1_37: Features = Features { fractional_capacity_range: true, ..INCUBATING_SINCE_1_36 };

impl ProfileName {
    /// The implementation that runs with these features.
    pub fn implementation(self, features: Features) -> Implementation {
        let (stable, incubating) = match self {
            Self::V1_34_13 | Self::V1_35_10 => (Features::NONE, FIRST_FEATURES),
            Self::V1_36_3 | Self::V1_36_6 => (FIRST_FEATURES, INCUBATING_SINCE_1_36),
            Self::V1_37_2 => (FIRST_FEATURES, INCUBATING_1_37),
            Self::Fixed => return Implementation::Experimental,
        };
        let features = self.known(features);
        if features.is_within(stable) {
            Implementation::Stable
        } else if features.is_within(incubating) {
            Implementation::Incubating
        } else {
            Implementation::Experimental
        }
    }

    /// The features that the release's allocator knows of those given.
    pub fn known(self, features: Features) -> Features {
        let before_1_37 = Features {
            fractional_capacity_range: false,
            optional_node_operations: false,
            derived_attributes: false,
            compatibility_groups: false,
            ..features
        };
        match self {
            Self::V1_34_13 => Features { list_type_attributes: false, ..before_1_37 },
            Self::V1_35_10 => Features { list_type_attributes: false, device_status: false, ..before_1_37 },
            Self::V1_36_3 | Self::V1_36_6 => Features { device_status: false, ..before_1_37 },
            Self::V1_37_2 | Self::Fixed => Features { device_status: false, ..features },
        }
    }
}

impl Profile {
    /// Kubernetes 1.34.13 with its default gates. They switch on DRAResourceClaimDeviceStatus, which only the
    /// experimental implementation supports in this release.
    pub const V1_34: Self = Self::of(ProfileName::V1_34_13, Implementation::Experimental);
    /// Kubernetes 1.35.10 with its default gates.
    pub const V1_35: Self = Self::of(ProfileName::V1_35_10, Implementation::Incubating);
    /// Kubernetes 1.36.3 with its default gates.
    pub const V1_36_3: Self = Self::of(ProfileName::V1_36_3, Implementation::Incubating);
    /// Kubernetes 1.36.6 with its default gates.
    pub const V1_36: Self = Self::of(ProfileName::V1_36_6, Implementation::Incubating);
    /// Kubernetes 1.37.2 with its default gates.
    pub const V1_37: Self = Self::of(ProfileName::V1_37_2, Implementation::Incubating);
    /// The newest behaviour without known faults: the search has no hidden state, so its answer is the first
    /// combination of devices in search order that fits.
    pub const FIXED: Self = Self::of(ProfileName::Fixed, Implementation::Experimental);

    /// The switches of one implementation of a release.
    pub const fn of(name: ProfileName, implementation: Implementation) -> Self {
        match name {
            ProfileName::V1_34_13 => v1_34(implementation),
            ProfileName::V1_35_10 => v1_35(implementation),
            ProfileName::V1_36_3 => v1_36_3(implementation),
            ProfileName::V1_36_6 => v1_36_6(implementation),
            ProfileName::V1_37_2 => v1_37(implementation),
            ProfileName::Fixed => FIXED,
        }
    }
}

const fn v1_34(implementation: Implementation) -> Profile {
    let incubating = Profile {
        name: ProfileName::V1_34_13,
        release: Release::V1_34,
        implementation,
        pinned: false,
        pool_order: PoolOrder::Random,
        slice_order: SliceOrder::AsGiven,
        binding_last: BindingLast::Nothing,
        incomplete_pools: IncompletePools::Searched,
        invalid_pools: InvalidPools::Fatal,
        pool_checks: PoolChecks::Devices,
        counter_slices: CounterSlices::Plain,
        counter_books: CounterBooks::Slice,
        held_shares_take_counters: false,
        undo: Undo::Partial,
        share_entries: ShareEntries::Ignored,
        capacity_faults: CapacityFaults::Ignored,
        stepped_amounts: SteppedAmounts::BinarySi,
        second_capacity_check: SecondCapacityCheck::SameDevice,
        enumeration: Enumeration::Permutations,
        over_limit: OverLimit::CutsBack,
        all_in_alternatives: AllInAlternatives::FirstAlternative,
        all_selection: AllSelection::OfFirst,
        all_leaves_out_full_devices: true,
        all_with_broken_pool: AllWithBrokenPool::Fatal,
        taint_effects: TaintEffects::Any,
        distinct_values: DistinctValues::Unsupported,
        distinct_memory: DistinctMemory::LatestOfRequest,
        common_values_restored: false,
        claim_limit: ClaimLimit::EachRequest,
        capacity_off: CapacityOff::Ignored,
        selectors_see_sharing: false,
        selector_errors_name_device: false,
        new_fields: NewFields::Unknown,
        tolerations_in_results: false,
        claim_config_per_request: true,
        clear_covering_config: false,
        node_pin: NodePin::NameInSlice,
    };
    match implementation {
        Implementation::Stable => Profile { over_limit: OverLimit::Failure, ..incubating },
        Implementation::Incubating => incubating,
        Implementation::Experimental => Profile {
            binding_last: BindingLast::PoolsAndSlices,
            second_capacity_check: SecondCapacityCheck::DeviceAtOrdinal,
            distinct_values: DistinctValues::Places,
            capacity_off: CapacityOff::ErrorOfRequest,
            selectors_see_sharing: true,
            node_pin: NodePin::TriedNode,
            ..incubating
        },
    }
}

const fn v1_35(implementation: Implementation) -> Profile {
    let stable = Profile {
        name: ProfileName::V1_35_10,
        release: Release::V1_35,
        incomplete_pools: IncompletePools::LeftOut,
        invalid_pools: InvalidPools::PassedOver,
        ..v1_34(Implementation::Stable)
    };
    let incubating = Profile {
        implementation,
        pool_checks: PoolChecks::DevicesAndCounters,
        counter_slices: CounterSlices::Everywhere,
        counter_books: CounterBooks::PoolName,
        share_entries: ShareEntries::UntilEmpty,
        over_limit: OverLimit::CutsBack,
        taint_effects: TaintEffects::NoScheduleAndNoExecute,
        tolerations_in_results: true,
        ..stable
    };
    match implementation {
        Implementation::Stable => stable,
        Implementation::Incubating => incubating,
        Implementation::Experimental => Profile {
            binding_last: BindingLast::PoolsAndSlices,
            distinct_values: DistinctValues::Values,
            capacity_off: CapacityOff::ErrorOfAlternative,
            selectors_see_sharing: true,
            node_pin: NodePin::TriedNode,
            ..incubating
        },
    }
}

const fn v1_36_3(implementation: Implementation) -> Profile {
    let incubating = Profile {
        name: ProfileName::V1_36_3,
        release: Release::V1_36,
        implementation,
        pool_order: PoolOrder::ByName,
        slice_order: SliceOrder::ByName,
        binding_last: BindingLast::Pools,
        held_shares_take_counters: true,
        undo: Undo::Complete,
        share_entries: ShareEntries::UntilLast,
        enumeration: Enumeration::Combinations,
        all_in_alternatives: AllInAlternatives::SameAlternative,
        all_selection: AllSelection::Own,
        claim_limit: ClaimLimit::WholeClaim,
        ..v1_35(Implementation::Experimental)
    };
    match implementation {
        Implementation::Stable => Profile {
            pool_order: PoolOrder::Random,
            slice_order: SliceOrder::AsGiven,
            binding_last: BindingLast::Nothing,
            held_shares_take_counters: false,
            enumeration: Enumeration::Permutations,
            distinct_values: DistinctValues::Unsupported,
            capacity_off: CapacityOff::Ignored,
            selectors_see_sharing: false,
            node_pin: NodePin::NameInSlice,
            ..incubating
        },
        Implementation::Incubating | Implementation::Experimental => incubating,
    }
}

const fn v1_36_6(implementation: Implementation) -> Profile {
    Profile {
        name: ProfileName::V1_36_6,
        counter_books: CounterBooks::Pool,
        claim_limit: ClaimLimit::EachRequest,
        ..v1_36_3(implementation)
    }
}

const fn v1_37(implementation: Implementation) -> Profile {
    Profile {
        name: ProfileName::V1_37_2,
        release: Release::V1_37,
        distinct_memory: DistinctMemory::EveryDevice,
        common_values_restored: true,
        counter_slices: match implementation {
            Implementation::Stable => CounterSlices::Everywhere,
            Implementation::Incubating | Implementation::Experimental => CounterSlices::BySelection,
        },
        claim_config_per_request: false,
        clear_covering_config: true,
        all_leaves_out_full_devices: false,
        share_entries: ShareEntries::UntilLastOfAnyone,
        capacity_faults: CapacityFaults::Fatal,
        stepped_amounts: SteppedAmounts::OfStep,
        selector_errors_name_device: true,
        new_fields: match implementation {
            Implementation::Stable | Implementation::Incubating => NewFields::WithoutNodeOperations,
            Implementation::Experimental => NewFields::All,
        },
        ..v1_36_6(implementation)
    }
}

const FIXED: Profile = Profile {
    name: ProfileName::Fixed,
    all_with_broken_pool: AllWithBrokenPool::FailsRequest,
    ..v1_37(Implementation::Experimental)
};
