//! The slices of one pool that are relevant together: complete or not, valid or not.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use super::Inventory;
use crate::objects::CounterSet;
use crate::profile::{CounterSlices, IncompletePools, NewFields, PoolChecks, Profile, SliceOrder};

/// What a node sees of one pool.
#[derive(Clone, Debug)]
pub(crate) enum PoolState {
    /// Devices can be allocated.
    Usable(PoolSlices),
    /// The number of slices is not the one the driver announced.
    Incomplete,
    /// The slices contradict each other: a device or counter set twice, or a counter that does not exist.
    Invalid(Contradiction),
}

/// Why a pool is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    pub(crate) reason: String,
    /// Whether slices are missing as well.
    pub(crate) incomplete: bool,
    /// Whether a device of the pool has binding conditions.
    pub(crate) binding: bool,
}

/// The slices of a usable pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolSlices {
    /// Slices whose devices can be allocated, in search order.
    pub(crate) devices: SmallVec<[u32; 4]>,
    /// Slices of the same generation that do not concern the node. Their devices consume counters all the same.
    pub(crate) elsewhere: Vec<u32>,
    /// Where the counter sets are: slice and index in its `shared_counters`, by name. Empty where counters belong
    /// to slices instead of pools.
    pub(crate) counter_sets: BTreeMap<String, (u32, usize)>,
    /// Whether slices are missing, in profiles that allocate from such pools.
    pub(crate) incomplete: bool,
}

/// What decides on pools beside their slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolRules {
    pub(crate) partitionable_devices: bool,
    pub(crate) compatibility_groups: bool,
    pub(crate) profile: Profile,
}

impl PoolRules {
    /// Whether a slice counts as not there, because a device has compatibility groups (KEP-5963).
    pub(crate) fn ignores(self, inventory: &Inventory, slice: u32) -> bool {
        let known = self.profile.new_fields != NewFields::Unknown;
        known && !self.compatibility_groups && inventory.has_groups(slice)
    }
}

impl PoolSlices {
    pub(crate) fn counter_sets<'a>(
        &'a self,
        inventory: &'a Inventory,
    ) -> impl Iterator<Item = &'a CounterSet> {
        self.counter_sets.values().map(|(slice, index)| &inventory.slice(*slice).shared_counters[*index])
    }
}

/// Decides on a pool from its slices that are relevant for a node, in order of arrival. `None`: the slices are out
/// of date, and the pool counts as absent.
pub(super) fn decide(
    inventory: &Inventory,
    pool: u32,
    arrivals: &[u32],
    rules: PoolRules,
) -> Option<PoolState> {
    let generation = arrivals.iter().map(|slice| inventory.slice(*slice).pool.generation).max()?;
    let mut relevant: SmallVec<[u32; 8]> = arrivals
        .iter()
        .copied()
        .filter(|slice| inventory.slice(*slice).pool.generation == generation)
        .collect();
    let announced = inventory.slice(*relevant.first()?).pool.resource_slice_count;
    let is_announced = |count: usize| i64::try_from(count) == Ok(announced);

    // A pool that looks complete from here is taken as it is, even if a newer generation exists elsewhere.
    if is_announced(relevant.len()) {
        return Some(build(inventory, &mut relevant, None, rules));
    }
    if rules.profile.incomplete_pools == IncompletePools::Searched {
        return Some(match build(inventory, &mut relevant, None, rules) {
            PoolState::Usable(slices) => PoolState::Usable(PoolSlices { incomplete: true, ..slices }),
            PoolState::Invalid(why) => PoolState::Invalid(Contradiction { incomplete: true, ..why }),
            PoolState::Incomplete => PoolState::Incomplete,
        });
    }
    let all = &inventory.pool(pool).slices;
    if all.iter().any(|slice| inventory.slice(*slice).pool.generation > generation) {
        return None;
    }
    let counts = |slice: &u32| {
        inventory.slice(*slice).pool.generation == generation && !rules.ignores(inventory, *slice)
    };
    let same_generation: Vec<u32> = all.iter().copied().filter(counts).collect();
    if !is_announced(same_generation.len()) {
        let contradiction = if rules.profile.pool_checks == PoolChecks::Devices {
            contradiction(inventory, &relevant, duplicate_device(inventory, &relevant), rules)
        } else {
            None
        };
        return Some(match contradiction {
            Some(why) => PoolState::Invalid(Contradiction { incomplete: true, ..why }),
            None => PoolState::Incomplete,
        });
    }
    Some(build(inventory, &mut relevant, Some(&same_generation), rules))
}

/// Sorts, checks and splits the slices of a complete pool.
fn build(
    inventory: &Inventory,
    relevant: &mut [u32],
    same_generation: Option<&[u32]>,
    rules: PoolRules,
) -> PoolState {
    if rules.profile.slice_order == SliceOrder::ByName {
        relevant.sort_by(|a, b| inventory.slice(*a).name.cmp(&inventory.slice(*b).name));
    }
    let split = rules.partitionable_devices && rules.profile.counter_slices != CounterSlices::Plain;
    let has_counters = |slice: u32| !inventory.slice(slice).shared_counters.is_empty();
    let mut slices = PoolSlices {
        devices: relevant.iter().copied().filter(|slice| !split || !has_counters(*slice)).collect(),
        ..PoolSlices::default()
    };
    let duplicate = duplicate_device(inventory, &slices.devices);
    if let Some(why) = contradiction(inventory, relevant, duplicate, rules) {
        return PoolState::Invalid(why);
    }
    if !split {
        return PoolState::Usable(slices);
    }
    let invalid = |reason| PoolState::Invalid(Contradiction { reason, incomplete: false, binding: false });

    let mut counter_slices: Vec<u32> =
        relevant.iter().copied().filter(|slice| has_counters(*slice)).collect();
    if let Some(all) = same_generation.filter(|all| all.len() != relevant.len()) {
        let names: BTreeSet<&str> =
            relevant.iter().map(|slice| inventory.slice(*slice).name.as_str()).collect();
        for slice in
            all.iter().copied().filter(|slice| !names.contains(inventory.slice(*slice).name.as_str()))
        {
            if has_counters(slice) { counter_slices.push(slice) } else { slices.elsewhere.push(slice) }
        }
    }
    for &slice in &counter_slices {
        for (index, counter_set) in inventory.slice(slice).shared_counters.iter().enumerate() {
            if slices.counter_sets.insert(counter_set.name.clone(), (slice, index)).is_some() {
                return invalid(format!("duplicate counter set name {}", counter_set.name));
            }
        }
    }
    // Devices in slices with counters cannot be allocated; newer releases do not look at them.
    let by_selection = rules.profile.counter_slices == CounterSlices::BySelection;
    let with_devices = if by_selection { slices.devices.as_slice() } else { &*relevant };
    let mut with_devices = with_devices.iter().chain(&slices.elsewhere);
    if with_devices.any(|slice| has_unknown_counter(inventory, *slice, &slices.counter_sets)) {
        return invalid("a device consumes a counter that does not exist".to_owned());
    }
    PoolState::Usable(slices)
}

fn duplicate_device<'i>(inventory: &'i Inventory, slices: &[u32]) -> Option<&'i str> {
    if let [slice] = slices {
        return inventory.duplicate_in(*slice);
    }
    let mut names = BTreeSet::new();
    let mut devices = slices.iter().flat_map(|slice| &inventory.slice(*slice).devices);
    devices.find(|device| !names.insert(device.name.as_str())).map(|device| device.name.as_str())
}

/// What there is to say of a pool with a device name that occurs twice. Only where nothing but names is checked, the
/// devices of an invalid pool have a say in the order of pools.
fn contradiction(
    inventory: &Inventory,
    slices: &[u32],
    duplicate: Option<&str>,
    rules: PoolRules,
) -> Option<Contradiction> {
    let binding = rules.profile.pool_checks == PoolChecks::Devices
        && slices.iter().any(|slice| inventory.has_binding_conditions(*slice));
    duplicate.map(|name| Contradiction {
        reason: format!("duplicate device name {name}"),
        incomplete: false,
        binding,
    })
}

/// Whether a device of the slice consumes a counter, or names a counter set, that does not exist.
fn has_unknown_counter(
    inventory: &Inventory,
    slice: u32,
    counter_sets: &BTreeMap<String, (u32, usize)>,
) -> bool {
    if !inventory.consumes_counters(slice) {
        return false;
    }
    let mut consumed = inventory.slice(slice).devices.iter().flat_map(|device| &device.consumes_counters);
    consumed.any(|consumption| {
        counter_sets.get(&consumption.counter_set).is_none_or(|(slice, index)| {
            let counters = &inventory.slice(*slice).shared_counters[*index].counters;
            consumption.counters.keys().any(|counter| !counters.contains_key(counter))
        })
    })
}
