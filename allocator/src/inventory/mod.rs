//! Slices of a cluster, indexed once, and what one node sees of them.

mod pool;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::objects::{Device, PoolId, ResourceSlice};

pub(crate) use pool::PoolState;
pub(crate) use view::{NodeMatch, NodeView, ViewRules};

/// Everything drivers publish, built once for a cluster and shared by all allocations.
#[derive(Debug)]
pub struct Inventory {
    slices: Vec<ResourceSlice>,
    /// All devices of all slices, slice after slice. The position in this list identifies a device everywhere
    /// in this crate.
    devices: Vec<InventoryDevice>,
    /// By slice: the first of its devices in `devices`.
    first_device: Vec<u32>,
    /// Sorted by driver, then pool name.
    pools: Vec<InventoryPool>,
    /// By slice: its pool.
    pool_of_slice: Vec<u32>,
    /// Slices by non-empty node name, in the order they were given.
    local_slices: FxHashMap<String, Vec<u32>>,
    /// Pools with a slice that is not bound to one node by its name and has no shared counters.
    shared_pools: BTreeSet<u32>,
    /// Pools with a slice that has shared counters.
    counter_pools: Vec<u32>,
}

/// A device and its prepared form for selectors.
#[derive(Debug)]
pub(crate) struct InventoryDevice {
    /// Index of its slice.
    pub(crate) slice: u32,
    /// Index in the slice.
    pub(crate) index: u32,
    /// What CEL expressions see of it.
    pub(crate) cel: drayage_cel::Device,
}

/// All slices of one pool, of every generation.
#[derive(Debug)]
pub(crate) struct InventoryPool {
    pub(crate) id: PoolId,
    /// In the order they were given.
    pub(crate) slices: Vec<u32>,
    /// Those of `slices` that are not bound to one node by its name.
    pub(crate) unbound_slices: Vec<u32>,
    /// Those of `slices` that have shared counters.
    pub(crate) counter_slices: Vec<u32>,
}

impl Inventory {
    /// Indexes slices. Taints of DeviceTaintRules must have been added before.
    ///
    /// The order of the slices matters only where slices of one pool's generation disagree on how many of them
    /// there are: then the first counts. Sort them by name to be independent of where they come from.
    pub fn new(slices: Vec<ResourceSlice>) -> Self {
        let mut by_pool: BTreeMap<PoolId, Vec<u32>> = BTreeMap::new();
        let mut local_slices: FxHashMap<String, Vec<u32>> = FxHashMap::default();
        let mut devices = Vec::with_capacity(slices.iter().map(|slice| slice.devices.len()).sum());
        let mut first_device = Vec::with_capacity(slices.len());
        for (index, slice) in number(&slices) {
            by_pool.entry(slice.pool_id()).or_default().push(index);
            if let Some(name) = slice.node_name.as_deref().filter(|name| !name.is_empty()) {
                local_slices.entry(name.to_owned()).or_default().push(index);
            }
            first_device.push(length(&devices));
            for (position, device) in number(&slice.devices) {
                devices.push(InventoryDevice {
                    slice: index,
                    index: position,
                    cel: drayage_cel::Device::new(
                        &slice.driver,
                        &device.attributes,
                        device.capacity.iter().map(|(name, capacity)| (name.as_str(), &capacity.value)),
                        device.allow_multiple_allocations.unwrap_or(false),
                    ),
                });
            }
        }

        let mut pool_of_slice = vec![0; slices.len()];
        let mut pools = Vec::with_capacity(by_pool.len());
        let mut shared_pools = BTreeSet::new();
        let mut counter_pools = Vec::new();
        for (id, members) in by_pool {
            let pool = length(&pools);
            let mut unbound_slices = Vec::new();
            let mut counter_slices = Vec::new();
            for &member in &members {
                let slice = &slices[member as usize];
                pool_of_slice[member as usize] = pool;
                let unbound = slice.node_name.as_deref().unwrap_or_default().is_empty();
                let counters = !slice.shared_counters.is_empty();
                if unbound {
                    unbound_slices.push(member);
                }
                if counters {
                    counter_slices.push(member);
                }
                if unbound && !counters {
                    shared_pools.insert(pool);
                }
            }
            if !counter_slices.is_empty() {
                counter_pools.push(pool);
            }
            pools.push(InventoryPool { id, slices: members, unbound_slices, counter_slices });
        }
        Self {
            slices,
            devices,
            first_device,
            pools,
            pool_of_slice,
            local_slices,
            shared_pools,
            counter_pools,
        }
    }

    /// The slices, in the order they were given.
    pub fn slices(&self) -> &[ResourceSlice] {
        &self.slices
    }

    /// How many devices all slices have together.
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    pub(crate) fn slice(&self, slice: u32) -> &ResourceSlice {
        &self.slices[slice as usize]
    }

    pub(crate) fn pool(&self, pool: u32) -> &InventoryPool {
        &self.pools[pool as usize]
    }

    pub(crate) fn entry(&self, device: u32) -> &InventoryDevice {
        &self.devices[device as usize]
    }

    pub(crate) fn device(&self, device: u32) -> &Device {
        let entry = self.entry(device);
        &self.slice(entry.slice).devices[entry.index as usize]
    }

    pub(crate) fn pool_of_device(&self, device: u32) -> u32 {
        self.pool_of_slice[self.entry(device).slice as usize]
    }

    pub(crate) fn slice_of(&self, device: u32) -> &ResourceSlice {
        self.slice(self.entry(device).slice)
    }

    /// The devices of a slice, by their index in the inventory.
    pub(crate) fn devices_of(&self, slice: u32) -> std::ops::Range<u32> {
        let first = self.first_device[slice as usize];
        first..first + length(&self.slice(slice).devices)
    }
}

/// Indices fit 32 bits: the inventory of a cluster is far smaller, and each entry takes more than a byte.
fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("an inventory has less than 2^32 entries")
}

fn number<T>(items: &[T]) -> impl Iterator<Item = (u32, &T)> {
    (0..=u32::MAX).zip(items)
}
