//! How full a node is, as cluster-autoscaler counts it when it looks for nodes to remove.
//!
//! A node with device pools of its own is as full as its fullest pool, whatever its CPU and memory say. Other nodes
//! are as full as the fuller of CPU and memory.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{AllocationResult, Device, PoolId, ResourceSlice};
use drayage_cel::Quantity;

/// Share of one pool that is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolUtilisation {
    /// The pool.
    pub pool: PoolId,
    /// From 0 to 1; more than 1 where counters are overdrawn.
    pub share: f64,
    /// Devices that claims hold, and devices of the pool, without those that were asked for with admin access.
    pub devices: (usize, usize),
    /// For a pool with shared counters, the largest ratio of each counter set.
    pub counter_sets: BTreeMap<String, f64>,
}

/// A pool whose newest generation lacks slices. Cluster-autoscaler does not remove the node then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pool `{pool}`: {found} of {wanted} slices of its newest generation are there")]
pub struct IncompletePool {
    /// The pool.
    pub pool: PoolId,
    /// Slices that are there.
    pub found: usize,
    /// Slices there should be.
    pub wanted: i64,
}

/// The utilisation of every pool whose slices name the node, by driver and pool.
///
/// `held` are the allocations of the claims of the node's pods. A pool without shared counters is as full as the share
/// of its devices that claims hold, a shared device counting as a whole one. In a pool with shared counters every
/// counter set is as full as its fullest counter, and the pool as the mean over the sets that devices draw on.
pub fn of_pools<'a>(
    local_slices: impl IntoIterator<Item = &'a ResourceSlice>,
    held: impl IntoIterator<Item = &'a AllocationResult>,
) -> Result<Vec<PoolUtilisation>, IncompletePool> {
    let mut taken: BTreeMap<PoolId, BTreeSet<&str>> = BTreeMap::new();
    for result in held.into_iter().flat_map(|allocation| &allocation.results) {
        if result.admin_access != Some(true) {
            let pool = PoolId { driver: result.driver.clone(), pool: result.pool.clone() };
            taken.entry(pool).or_default().insert(&result.device);
        }
    }
    let mut pools: BTreeMap<PoolId, Vec<&ResourceSlice>> = BTreeMap::new();
    for slice in local_slices {
        pools.entry(slice.pool_id()).or_default().push(slice);
    }
    let empty = BTreeSet::new();
    let of_pool = |(pool, slices): (PoolId, Vec<&ResourceSlice>)| {
        let slices = newest(&pool, &slices)?;
        let devices: Vec<&Device> = slices.iter().flat_map(|slice| &slice.devices).collect();
        let taken = taken.get(&pool).unwrap_or(&empty);
        let in_use: Vec<&Device> =
            devices.iter().copied().filter(|device| taken.contains(device.name.as_str())).collect();
        let counts = (in_use.len(), devices.len());
        let (share, counter_sets) = if slices.iter().any(|slice| !slice.shared_counters.is_empty()) {
            of_counters(&slices, &devices, &in_use)
        } else {
            (ratio(counts.0, counts.1), BTreeMap::new())
        };
        Ok(PoolUtilisation { pool, share, devices: counts, counter_sets })
    };
    pools.into_iter().map(of_pool).collect()
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 devices")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The slices of the newest generation, if all are there. Generations are positive; others count as not there.
fn newest<'s>(pool: &PoolId, slices: &[&'s ResourceSlice]) -> Result<Vec<&'s ResourceSlice>, IncompletePool> {
    let generation = slices.iter().map(|slice| slice.pool.generation).max().unwrap_or(0).max(0);
    let newest: Vec<&ResourceSlice> =
        slices.iter().copied().filter(|slice| slice.pool.generation == generation).collect();
    match newest.first() {
        Some(first) if i64::try_from(newest.len()) != Ok(first.pool.resource_slice_count) => {
            let wanted = first.pool.resource_slice_count;
            Err(IncompletePool { pool: pool.clone(), found: newest.len(), wanted })
        }
        _ => Ok(newest),
    }
}

fn of_counters(
    slices: &[&ResourceSlice],
    devices: &[&Device],
    in_use: &[&Device],
) -> (f64, BTreeMap<String, f64>) {
    let drawn_on: BTreeSet<&str> = devices
        .iter()
        .flat_map(|device| &device.consumes_counters)
        .map(|consumption| consumption.counter_set.as_str())
        .collect();
    if drawn_on.is_empty() {
        return (0.0, BTreeMap::new());
    }
    let mut consumed: BTreeMap<(&str, &str), Quantity> = BTreeMap::new();
    for consumption in in_use.iter().flat_map(|device| &device.consumes_counters) {
        for (counter, amount) in &consumption.counters {
            let sum = consumed.entry((&consumption.counter_set, counter)).or_insert(Quantity::ZERO);
            if let Some(more) = sum.checked_add(amount) {
                *sum = more;
            }
        }
    }
    let mut sets = BTreeMap::new();
    for set in slices.iter().flat_map(|slice| &slice.shared_counters) {
        let mut highest = 0.0_f64;
        for (counter, whole) in &set.counters {
            if whole.is_zero() {
                continue;
            }
            if let Some(part) = consumed.get(&(set.name.as_str(), counter.as_str())) {
                highest = highest.max(part.as_approximate_float() / whole.as_approximate_float());
            }
        }
        sets.insert(set.name.clone(), highest);
    }
    // Summed set by set in upstream too, over the sets that there are, divided by those that devices draw on.
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 counter sets")]
    let number = drawn_on.len() as f64;
    (sets.values().map(|highest| highest / number).sum(), sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use drayage_allocator::objects::{
        CounterSet, DeviceCounterConsumption, DeviceRequestAllocationResult, ResourcePool,
    };

    fn device(name: &str, set: &str, memory: &str) -> Device {
        let consumes_counters = if set.is_empty() {
            Vec::new()
        } else {
            vec![DeviceCounterConsumption {
                counter_set: set.to_owned(),
                counters: BTreeMap::from([("memory".to_owned(), memory.parse().unwrap())]),
                ..DeviceCounterConsumption::default()
            }]
        };
        Device { name: name.to_owned(), consumes_counters, ..Device::default() }
    }

    fn slice(pool: &str, generation: i64, count: i64, devices: Vec<Device>) -> ResourceSlice {
        ResourceSlice {
            driver: "gpu".to_owned(),
            pool: ResourcePool { name: pool.to_owned(), generation, resource_slice_count: count },
            devices,
            ..ResourceSlice::default()
        }
    }

    fn held(pool: &str, devices: &[&str], admin: bool) -> AllocationResult {
        let result = |device: &&str| DeviceRequestAllocationResult {
            driver: "gpu".to_owned(),
            pool: pool.to_owned(),
            device: (*device).to_owned(),
            admin_access: admin.then_some(true),
            ..DeviceRequestAllocationResult::default()
        };
        AllocationResult { results: devices.iter().map(result).collect(), ..AllocationResult::default() }
    }

    #[test]
    fn whole_devices_count_once_and_admin_access_not_at_all() {
        let devices = ["a", "b", "c", "d"].map(|name| device(name, "", "")).to_vec();
        let slices = [slice("p", 1, 1, devices)];
        let holds = [held("p", &["a", "a"], false), held("p", &["b"], true), held("q", &["c"], false)];
        let pools = of_pools(&slices, &holds).unwrap();
        assert_eq!((pools[0].share, pools[0].devices), (0.25, (1, 4)));
    }

    #[test]
    fn counter_sets_count_by_their_fullest_counter_and_pools_by_the_mean() {
        let sets = ["g0", "g1"].map(|name| CounterSet {
            name: name.to_owned(),
            counters: BTreeMap::from([("memory".to_owned(), "40Gi".parse().unwrap())]),
        });
        let devices = vec![device("x", "g0", "10Gi"), device("y", "g0", "20Gi"), device("z", "g1", "40Gi")];
        let slices = [
            ResourceSlice { shared_counters: sets.to_vec(), ..slice("p", 1, 2, Vec::new()) },
            slice("p", 1, 2, devices),
        ];
        let pools = of_pools(&slices, &[held("p", &["x", "y"], false)]).unwrap();
        assert!((pools[0].share - 0.375).abs() < 1e-12, "{pools:?}");
        assert!((pools[0].counter_sets["g0"] - 0.75).abs() < 1e-12);
    }

    #[test]
    fn old_generations_do_not_count_and_incomplete_pools_are_an_error() {
        let slices =
            [slice("p", 1, 1, vec![device("a", "", "")]), slice("p", 2, 2, vec![device("b", "", "")])];
        let error = of_pools(&slices, &[]).unwrap_err();
        assert_eq!((error.found, error.wanted), (1, 2));
        let alone = of_pools(&slices[..1], &[held("p", &["a"], false)]).unwrap();
        assert_eq!(alone[0].devices, (1, 1));
    }
}
