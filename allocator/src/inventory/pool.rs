//! The slices of one pool that are relevant together: complete or not, valid or not.

use std::collections::{BTreeMap, BTreeSet};

use super::Inventory;
use crate::objects::CounterSet;

/// What a node sees of one pool.
#[derive(Clone, Debug)]
pub(crate) enum PoolState {
    /// Devices can be allocated.
    Usable(PoolSlices),
    /// The number of slices is not the one the driver announced.
    Incomplete,
    /// The slices contradict each other: a device or counter set twice, or a counter that does not exist.
    Invalid,
}

/// The slices of a usable pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolSlices {
    /// Slices whose devices can be allocated, in search order.
    pub(crate) devices: Vec<u32>,
    /// Slices of the same generation that do not concern the node. Their devices consume counters all the same.
    pub(crate) elsewhere: Vec<u32>,
    /// Where the counter sets are: slice and index in its `shared_counters`, by name.
    pub(crate) counter_sets: BTreeMap<String, (u32, usize)>,
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
    partitionable_devices: bool,
) -> Option<PoolState> {
    let generation = arrivals.iter().map(|slice| inventory.slice(*slice).pool.generation).max()?;
    let mut relevant: Vec<u32> = arrivals
        .iter()
        .copied()
        .filter(|slice| inventory.slice(*slice).pool.generation == generation)
        .collect();
    let announced = inventory.slice(*relevant.first()?).pool.resource_slice_count;
    let is_announced = |count: usize| i64::try_from(count) == Ok(announced);

    // A pool that looks complete from here is taken as it is, even if a newer generation exists elsewhere.
    if is_announced(relevant.len()) {
        return Some(build(inventory, &mut relevant, None, partitionable_devices));
    }
    let all = &inventory.pool(pool).slices;
    if all.iter().any(|slice| inventory.slice(*slice).pool.generation > generation) {
        return None;
    }
    let same_generation: Vec<u32> =
        all.iter().copied().filter(|slice| inventory.slice(*slice).pool.generation == generation).collect();
    if !is_announced(same_generation.len()) {
        return Some(PoolState::Incomplete);
    }
    Some(build(inventory, &mut relevant, Some(&same_generation), partitionable_devices))
}

/// Sorts, checks and splits the slices of a complete pool.
fn build(
    inventory: &Inventory,
    relevant: &mut [u32],
    same_generation: Option<&[u32]>,
    partitionable_devices: bool,
) -> PoolState {
    relevant.sort_by(|a, b| inventory.slice(*a).name.cmp(&inventory.slice(*b).name));
    let has_counters = |slice: u32| !inventory.slice(slice).shared_counters.is_empty();
    let mut slices = PoolSlices {
        devices: relevant
            .iter()
            .copied()
            .filter(|slice| !partitionable_devices || !has_counters(*slice))
            .collect(),
        ..PoolSlices::default()
    };
    if has_duplicate_device(inventory, &slices.devices) {
        return PoolState::Invalid;
    }
    if !partitionable_devices {
        return PoolState::Usable(slices);
    }

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
                return PoolState::Invalid;
            }
        }
    }
    let mut with_devices = relevant.iter().chain(&slices.elsewhere);
    if with_devices.any(|slice| has_unknown_counter(inventory, *slice, &slices.counter_sets)) {
        return PoolState::Invalid;
    }
    PoolState::Usable(slices)
}

fn has_duplicate_device(inventory: &Inventory, slices: &[u32]) -> bool {
    let mut names = BTreeSet::new();
    let mut devices = slices.iter().flat_map(|slice| &inventory.slice(*slice).devices);
    devices.any(|device| !names.insert(device.name.as_str()))
}

/// Whether a device of the slice consumes a counter, or names a counter set, that does not exist.
fn has_unknown_counter(
    inventory: &Inventory,
    slice: u32,
    counter_sets: &BTreeMap<String, (u32, usize)>,
) -> bool {
    let mut consumed = inventory.slice(slice).devices.iter().flat_map(|device| &device.consumes_counters);
    consumed.any(|consumption| {
        counter_sets.get(&consumption.counter_set).is_none_or(|(slice, index)| {
            let counters = &inventory.slice(*slice).shared_counters[*index].counters;
            consumption.counters.keys().any(|counter| !counters.contains_key(counter))
        })
    })
}
