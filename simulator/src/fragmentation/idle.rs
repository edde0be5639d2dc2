//! How much of a node's devices is idle.

use std::collections::BTreeMap;

use drayage_allocator::objects::{AllocationResult, Device, DeviceId, PoolId, ResourceSlice};
use drayage_cel::Quantity;
use rustc_hash::FxHashMap;

/// What claims hold of devices. Admin access holds nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(FxHashMap<DeviceId, Vec<BTreeMap<String, Quantity>>>);

impl Held {
    pub(super) fn add(&mut self, allocation: &AllocationResult) {
        for result in allocation.results.iter().filter(|result| result.admin_access != Some(true)) {
            self.0.entry(result.device_id()).or_default().push(result.consumed_capacity.clone());
        }
    }

    fn of(&self, device: &DeviceId) -> &[BTreeMap<String, Quantity>] {
        self.0.get(device).map_or(&[], Vec::as_slice)
    }
}

/// The devices of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeDevices {
    devices: Vec<NodeDevice>,
    /// Totals of the counters of each counter set, which stands for one physical device.
    sets: Vec<BTreeMap<String, i64>>,
    set_numbers: BTreeMap<(PoolId, String), usize>,
}

#[derive(Clone, Debug)]
struct NodeDevice {
    id: DeviceId,
    /// Full capacities, where the device allows several allocations.
    shared: Option<BTreeMap<String, Quantity>>,
    is_tainted: bool,
    /// Number of the counter set, counter and amount.
    consumes: Vec<(usize, String, i64)>,
}

/// An amount of devices: whole ones, shares of shared ones, and parts of partitionable ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Amount {
    /// All of them.
    pub(super) devices: f64,
    /// What nobody holds and no taint keeps away.
    pub(super) idle: f64,
    /// The part of it in counters that are left where no partition fits any more.
    pub(super) counters: f64,
}

impl NodeDevices {
    /// Adds a slice of the newest generation of its pool; `is_here` says which of its devices are on this node.
    pub(super) fn add(&mut self, slice: &ResourceSlice, is_here: impl Fn(&Device) -> bool) {
        let pool = slice.pool_id();
        for set in &slice.shared_counters {
            let number = self.set(&pool, &set.name);
            if let Some(totals) = self.sets.get_mut(number) {
                totals.extend(set.counters.iter().map(|(name, total)| (name.clone(), total.value())));
            }
        }
        for device in slice.devices.iter().filter(|device| is_here(device)) {
            let mut consumes = Vec::new();
            for consumption in &device.consumes_counters {
                let number = self.set(&pool, &consumption.counter_set);
                let amounts = consumption.counters.iter();
                consumes.extend(amounts.map(|(name, amount)| (number, name.clone(), amount.value())));
            }
            let capacity = || {
                let capacity = device.capacity.iter();
                capacity.map(|(name, capacity)| (name.clone(), capacity.value.clone())).collect()
            };
            self.devices.push(NodeDevice {
                id: DeviceId { pool: pool.clone(), device: device.name.clone() },
                shared: (device.allow_multiple_allocations == Some(true)).then(capacity),
                is_tainted: device.taints.iter().any(|taint| taint.effect != "None"),
                consumes,
            });
        }
    }

    fn set(&mut self, pool: &PoolId, name: &str) -> usize {
        let next = self.sets.len();
        let number = *self.set_numbers.entry((pool.clone(), name.to_owned())).or_insert(next);
        if number == next {
            self.sets.push(BTreeMap::new());
        }
        number
    }

    /// How much is idle.
    pub(super) fn amount(&self, held: &Held) -> Amount {
        let mut left = self.sets.clone();
        for device in self.devices.iter().filter(|device| !held.of(&device.id).is_empty()) {
            for (set, counter, amount) in &device.consumes {
                if let Some(left) = left.get_mut(*set).and_then(|left| left.get_mut(counter)) {
                    *left = left.saturating_sub(*amount);
                }
            }
        }
        let mut amount = Amount::default();
        for device in self.devices.iter().filter(|device| device.consumes.is_empty()) {
            amount.devices += 1.0;
            if !device.is_tainted {
                amount.idle += device.idle_share(held);
            }
        }
        for (number, totals) in self.sets.iter().enumerate() {
            let of_set = || {
                self.devices
                    .iter()
                    .filter(move |device| device.consumes.iter().any(|&(set, _, _)| set == number))
            };
            if of_set().next().is_none() {
                continue;
            }
            amount.devices += 1.0;
            if of_set().all(|device| device.is_tainted) {
                continue;
            }
            let idle = totals
                .iter()
                .filter(|&(_, &total)| total > 0)
                .map(|(counter, &total)| {
                    ratio(left.get(number).and_then(|left| left.get(counter)).copied().unwrap_or(0), total)
                })
                .fold(1.0, f64::min);
            amount.idle += idle;
            let fits = of_set().any(|device| {
                !device.is_tainted
                    && held.of(&device.id).is_empty()
                    && device.consumes.iter().all(|(set, counter, amount)| {
                        left.get(*set).and_then(|left| left.get(counter)).is_some_and(|left| left >= amount)
                    })
            });
            if !fits {
                amount.counters += idle;
            }
        }
        amount
    }
}

impl NodeDevice {
    /// The part nobody holds: of the scarcest capacity, for a shared device.
    fn idle_share(&self, held: &Held) -> f64 {
        let held = held.of(&self.id);
        let Some(capacity) = &self.shared else { return if held.is_empty() { 1.0 } else { 0.0 } };
        capacity
            .iter()
            .filter(|(_, whole)| whole.sign() > 0)
            .map(|(name, whole)| {
                let consumed: f64 = held
                    .iter()
                    .filter_map(|amounts| amounts.get(name))
                    .map(Quantity::as_approximate_float)
                    .sum();
                (1.0 - consumed / whole.as_approximate_float()).clamp(0.0, 1.0)
            })
            .fold(1.0, f64::min)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(part: i64, whole: i64) -> f64 {
    part.max(0) as f64 / whole as f64
}
