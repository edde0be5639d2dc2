//! A layout, tried: every pod is placed on its node by the allocator and all filters, with only its own partitions on offer.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{DeviceRequestAllocationResult, ResourceSlice};
use rustc_hash::{FxHashMap, FxHashSet};

use super::stock::Stock;
use crate::report::PodOutcome;
use crate::schedule::{ClusterState, PodId, SimulateError};
use std::sync::atomic::AtomicBool;

/// A pod and the partitions that it gets.
#[derive(Clone, Debug)]
pub(super) struct Assigned {
    pub(super) pod: PodId,
    /// The lot of its demand: pods of one lot are alike.
    pub(super) lot: usize,
    /// Whether any partitions do for pods of the lot as long as their number is right, so that they may swap.
    pub(super) may_swap: bool,
    pub(super) partitions: Vec<usize>,
}

/// Whether every pod finds a place on its node. At first no partition is on offer that nobody holds; then, lot by lot, each
/// pod's own, those of pods of one lot and node together where these may swap them.
pub(super) fn holds(
    state: &ClusterState,
    stock: &Stock<'_>,
    movers: &[PodId],
    assigned: &[Assigned],
    cancel: &AtomicBool,
) -> Result<bool, SimulateError> {
    let mut fork = state.clone();
    for &id in movers {
        fork.evict(id);
    }
    let node_of = |one: &Assigned| {
        let first = stock.partitions.get(*one.partitions.first()?)?;
        Some(stock.wholes.get(first.whole)?.node)
    };
    let nodes: FxHashSet<usize> = assigned.iter().filter_map(node_of).collect();
    let mut offer = Offer::new(&fork, stock, &nodes);
    for slice in offer.slices.keys().copied().collect::<Vec<_>>() {
        offer.publish(&mut fork, slice);
    }
    let mut order: Vec<&Assigned> = assigned.iter().collect();
    order.sort_by_key(|one| one.lot);
    let mut together: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for one in order.iter().filter(|one| one.may_swap) {
        if let Some(node) = node_of(one) {
            together.entry((one.lot, node)).or_default().extend(&one.partitions);
        }
    }
    for one in order {
        let Some(node) = node_of(one) else { return Ok(false) };
        if one.may_swap {
            if let Some(partitions) = together.remove(&(one.lot, node)) {
                offer.add(&mut fork, stock, &partitions);
            }
        } else {
            offer.add(&mut fork, stock, &one.partitions);
        }
        if fork.attempt_on(&[node], one.pod, cancel)?.outcome != PodOutcome::Scheduled {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The slices of the nodes that matter, and which of their devices are on offer.
struct Offer<'s> {
    slices: BTreeMap<usize, (&'s ResourceSlice, BTreeSet<usize>)>,
}

impl<'s> Offer<'s> {
    /// With what is held, and all devices that have no part in the plan.
    fn new(fork: &ClusterState, stock: &Stock<'s>, nodes: &FxHashSet<usize>) -> Self {
        let mut held: FxHashMap<(&str, &str), FxHashSet<&str>> = FxHashMap::default();
        let allocations = fork.claims().filter_map(|claim| claim.allocation);
        let results: Vec<&DeviceRequestAllocationResult> =
            allocations.flat_map(|allocation| &allocation.results).collect();
        for result in results {
            held.entry((&result.driver, &result.pool)).or_default().insert(&result.device);
        }
        let mut slices: BTreeMap<usize, (&'s ResourceSlice, BTreeSet<usize>)> = BTreeMap::new();
        for number in 0..stock.partitions.len() {
            let on_node =
                stock.partitions.get(number).and_then(|partition| stock.wholes.get(partition.whole));
            let Some((at, slice, device)) = stock.place(number) else { continue };
            if !on_node.is_some_and(|whole| nodes.contains(&whole.node)) {
                continue;
            }
            let (_, hidden) = slices.entry(at).or_insert_with(|| (slice, BTreeSet::new()));
            let of_pool = held.get(&(slice.driver.as_str(), slice.pool.name.as_str()));
            if !of_pool.is_some_and(|held| held.contains(device.name.as_str())) {
                hidden.insert(stock.device(number));
            }
        }
        Self { slices }
    }

    fn publish(&self, fork: &mut ClusterState, at: usize) {
        let Some((slice, hidden)) = self.slices.get(&at) else { return };
        let devices = slice.devices.iter().enumerate().filter(|(number, _)| !hidden.contains(number));
        let devices = devices.map(|(_, device)| device.clone()).collect();
        fork.publish(ResourceSlice {
            name: slice.name.clone(),
            driver: slice.driver.clone(),
            pool: slice.pool.clone(),
            node_name: slice.node_name.clone(),
            node_selector: slice.node_selector.clone(),
            all_nodes: slice.all_nodes,
            per_device_node_selection: slice.per_device_node_selection,
            devices,
            shared_counters: slice.shared_counters.clone(),
            partition_type_attribute: slice.partition_type_attribute.clone(),
            skip_node_operations: slice.skip_node_operations.clone(),
        });
    }

    fn add(&mut self, fork: &mut ClusterState, stock: &Stock<'_>, partitions: &[usize]) {
        let mut changed = BTreeSet::new();
        for &number in partitions {
            let Some((at, _, _)) = stock.place(number) else { continue };
            if let Some((_, hidden)) = self.slices.get_mut(&at)
                && hidden.remove(&stock.device(number))
            {
                changed.insert(at);
            }
        }
        for at in changed {
            self.publish(fork, at);
        }
    }
}
