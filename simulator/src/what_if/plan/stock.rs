//! Partitions of devices, what they take of their device's counters, and who holds them.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{Device, DeviceId, DeviceTaint, ExactDeviceRequest, PoolId, ResourceSlice};
use drayage_allocator::taints::tolerates;
use drayage_cel::{AttributeValue, Compiler};
use drayage_cluster::objects::Class;
use rustc_hash::FxHashMap;

use crate::schedule::{ClusterState, PodId};

/// A device that takes from shared counters.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) id: DeviceId,
    /// Number of its whole device: all partitions that take from the same counters.
    pub(super) whole: usize,
    /// Amount by number of the counter, in thousandths.
    pub(super) takes: Vec<(usize, i64)>,
    /// What kind of partition it is, in words.
    pub(super) profile: String,
    /// Taints that keep it from being allocated.
    taints: Vec<DeviceTaint>,
}

/// A device that is divided: a counter set of a pool, or several that devices take from at the same time.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) pool: PoolId,
    pub(super) counter_sets: BTreeSet<String>,
    /// The node that has it.
    pub(super) node: usize,
    /// Full amounts by number of the counter, in thousandths.
    pub(super) amounts: Vec<i64>,
    /// Names of the counters, without their counter sets.
    pub(super) counters: Vec<String>,
    /// Numbers of its partitions, in the order of the slices.
    pub(super) partitions: Vec<usize>,
}

/// All partitions of the devices that are on one node alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Stock {
    pub(super) wholes: Vec<Whole>,
    pub(super) partitions: Vec<Partition>,
    /// The pods that hold each partition.
    pub(super) holders: BTreeMap<usize, Vec<PodId>>,
    /// Partitions that stay whatever happens: of claims that several pods share, or none.
    pub(super) stuck: BTreeSet<usize>,
    cel: Vec<drayage_cel::Device>,
}

/// Attributes that say what a partition is, in this order.
const TELLING: [&str; 3] = ["profile", "productName", "type"];

impl Stock {
    pub(super) fn new(state: &ClusterState) -> Self {
        let mut stock = Self::default();
        let mut by_set: BTreeMap<(PoolId, String), usize> = BTreeMap::new();
        let mut newest: BTreeMap<PoolId, i64> = BTreeMap::new();
        for slice in state.slices() {
            let generation = newest.entry(slice.pool_id()).or_insert(slice.pool.generation);
            *generation = (*generation).max(slice.pool.generation);
        }
        let current: Vec<&ResourceSlice> = state
            .slices()
            .filter(|slice| newest.get(&slice.pool_id()) == Some(&slice.pool.generation))
            .collect();
        let mut counters: FxHashMap<(usize, String, String), usize> = FxHashMap::default();
        for slice in &current {
            let Some(node) = slice.node_name.as_deref().and_then(|name| state.find_node(name)) else {
                continue;
            };
            for set in &slice.shared_counters {
                let key = (slice.pool_id(), set.name.clone());
                let whole = *by_set.entry(key).or_insert_with(|| {
                    stock.wholes.push(Whole {
                        pool: slice.pool_id(),
                        counter_sets: BTreeSet::from([set.name.clone()]),
                        node,
                        amounts: Vec::new(),
                        counters: Vec::new(),
                        partitions: Vec::new(),
                    });
                    stock.wholes.len() - 1
                });
                let Some(of) = stock.wholes.get_mut(whole) else { continue };
                for (name, counter) in &set.counters {
                    counters.insert((whole, set.name.clone(), name.clone()), of.amounts.len());
                    of.amounts.push(counter.milli_value());
                    of.counters.push(name.clone());
                }
            }
        }
        for slice in &current {
            for device in &slice.devices {
                stock.add(slice, device, &by_set, &counters);
            }
        }
        stock.note_holders(state);
        stock
    }

    /// Devices of several counter sets are left out: no driver has them, and layouts would hang together.
    fn add(
        &mut self,
        slice: &ResourceSlice,
        device: &Device,
        by_set: &BTreeMap<(PoolId, String), usize>,
        counters: &FxHashMap<(usize, String, String), usize>,
    ) {
        let [consumption] = device.consumes_counters.as_slice() else { return };
        let set = &consumption.counter_set;
        let Some(&whole) = by_set.get(&(slice.pool_id(), set.clone())) else { return };
        let mut takes = Vec::new();
        for (name, amount) in &consumption.counters {
            let Some(&counter) = counters.get(&(whole, set.clone(), name.clone())) else { return };
            takes.push((counter, amount.milli_value()));
        }
        let number = self.partitions.len();
        if let Some(whole) = self.wholes.get_mut(whole) {
            whole.partitions.push(number);
        }
        self.partitions.push(Partition {
            id: DeviceId { pool: slice.pool_id(), device: device.name.clone() },
            whole,
            takes,
            profile: profile(device),
            taints: device.taints.iter().filter(|taint| taint.effect != "None").cloned().collect(),
        });
        self.cel.push(drayage_cel::Device::new(
            &slice.driver,
            &device.attributes,
            device.capacity.iter().map(|(name, capacity)| (name.as_str(), &capacity.value)),
            false,
        ));
    }

    fn note_holders(&mut self, state: &ClusterState) {
        let numbers: BTreeMap<&DeviceId, usize> =
            self.partitions.iter().enumerate().map(|(number, partition)| (&partition.id, number)).collect();
        let mut holders: BTreeMap<usize, Vec<PodId>> = BTreeMap::new();
        let mut stuck = BTreeSet::new();
        for claim in state.claims() {
            let Some(allocation) = claim.allocation else { continue };
            for result in allocation.results.iter().filter(|result| result.admin_access != Some(true)) {
                let Some(&number) = numbers.get(&result.device_id()) else { continue };
                // What several pods share does not move with one of them.
                if claim.consumers.len() != 1 || !claim.generated {
                    stuck.insert(number);
                }
                holders.entry(number).or_default().extend(&claim.consumers);
            }
        }
        (self.holders, self.stuck) = (holders, stuck);
    }

    /// The partitions that a request can have, by its class, selectors and tolerations; `None` where an expression does
    /// not compile.
    pub(super) fn matching(
        &self,
        class: Option<&Class>,
        request: &ExactDeviceRequest,
        compiler: &Compiler,
    ) -> Option<BTreeSet<usize>> {
        let tolerated =
            |taint: &DeviceTaint| request.tolerations.iter().any(|toleration| tolerates(toleration, taint));
        let of_class = class?.spec.selectors.iter();
        let programs = of_class.chain(&request.selectors).filter_map(|selector| selector.cel.as_deref());
        let programs: Vec<_> =
            programs.map(|text| compiler.compile_selector(text).ok()).collect::<Option<_>>()?;
        let mut matching = BTreeSet::new();
        for (number, (device, partition)) in self.cel.iter().zip(&self.partitions).enumerate() {
            if partition.taints.iter().all(tolerated)
                && programs.iter().all(|program| program.matches(device) == Ok(true))
            {
                matching.insert(number);
            }
        }
        Some(matching)
    }
}

fn profile(device: &Device) -> String {
    let telling = TELLING.iter().find_map(|telling| {
        device.attributes.iter().find_map(|(name, value)| match value {
            AttributeValue::String(text) if name.rsplit('/').next() == Some(*telling) => Some(text.clone()),
            _ => None,
        })
    });
    telling.unwrap_or_else(|| device.name.clone())
}
