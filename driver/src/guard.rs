//! The last line of defence: no device is given away twice, whatever the API server says.
//!
//! A force-deleted pod frees its devices in the API before the node has given them up, and schedulers have had faults.
//! So every claim is checked against what this node really holds, by the allocator's own verifier: exclusive devices,
//! shares and their capacity, counters of partitions. Admin access takes nothing and is refused nothing (KEP-5018).

use std::{
    collections::BTreeSet,
    sync::{PoisonError, RwLock},
};

use drayage_allocator::{
    AllocatedState, Features, Profile,
    objects::{
        AllocationResult, Device, DeviceClass, DeviceId, DeviceRequest, DeviceRequestAllocationResult,
        DeviceToleration, ExactDeviceRequest, Node, PoolId, Quantity, ResourceClaim, ResourceSlice,
    },
    verify::{Question, Rule, verify},
};
use drayage_cluster::LoadErrors;

use crate::{
    claims::{ClaimRecord, HeldDevice},
    devices::Pool,
    publish::allocator_slices,
};

/// Name of the class and prefix of the requests that a record is put into to be verified.
const CLASS: &str = "held";

/// Why a claim may not have its devices now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is short, with the device.
    pub message: String,
    /// UID of a claim without which the devices would do; none where the claim alone takes too much.
    pub other: Option<String>,
}

/// Decides whether a claim may have its devices beside those of other claims.
pub trait ClaimGuard: Send + Sync {
    /// Why `wanted` may not have its devices while `others` have theirs.
    fn refuses(&self, wanted: &ClaimRecord, others: &[&ClaimRecord]) -> Option<Refusal>;
}

/// The guard over the devices of a node.
#[derive(Debug)]
pub struct Guard {
    driver: String,
    node: String,
    known: RwLock<KnownDevices>,
}

#[derive(Debug, Default)]
struct KnownDevices {
    slices: Vec<Published>,
    /// Names of the devices that take from counters.
    counted: BTreeSet<String>,
}

/// A slice, with its devices apart.
#[derive(Debug)]
struct Published {
    slice: ResourceSlice,
    devices: Vec<Device>,
}

impl Guard {
    /// A guard that knows no devices yet. It lets pass what it does not know: exclusive use is guarded without it.
    pub fn new(driver: &str, node: &str) -> Self {
        Self { driver: driver.to_owned(), node: node.to_owned(), known: RwLock::default() }
    }

    /// The devices of the node from now on.
    ///
    /// # Errors
    ///
    /// The pools are not what the API allows; the guard keeps what it had.
    pub fn set_pools(&self, pools: &[Pool]) -> Result<(), Box<LoadErrors>> {
        let mut slices = allocator_slices(&self.driver, &self.node, pools)?;
        // Nobody selects by attributes here, and of a device that one claim has alone nobody asks how much is left. Of
        // many devices they are most of what there would be to keep.
        for device in slices.iter_mut().flat_map(|slice| &mut slice.devices) {
            device.attributes.clear();
            if device.allow_multiple_allocations != Some(true) {
                device.capacity.clear();
            }
        }
        let apart = |mut slice: ResourceSlice| {
            let mut devices = std::mem::take(&mut slice.devices);
            devices.shrink_to_fit();
            Published { slice, devices }
        };
        let takes = |device: &&Device| !device.consumes_counters.is_empty();
        let counted = slices.iter().flat_map(|slice| &slice.devices).filter(takes);
        let counted = counted.map(|device| device.name.clone()).collect();
        let slices = slices.into_iter().map(apart).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = KnownDevices { slices, counted };
        Ok(())
    }

    /// Those of `others` that can stand in the way of `wanted`: they have one of its devices, or take from counters. On a node
    /// with a thousand claims that is hardly any of them.
    fn in_the_way<'r>(&self, wanted: &ClaimRecord, others: &[&'r ClaimRecord]) -> Vec<&'r ClaimRecord> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let devices: BTreeSet<&str> = wanted.holds.iter().map(|held| held.device.as_str()).collect();
        let is_in_the_way = |held: &HeldDevice| {
            devices.contains(held.device.as_str()) || known.counted.contains(&held.device)
        };
        others.iter().copied().filter(|other| other.holds.iter().any(is_in_the_way)).collect()
    }

    /// The slices of some pools, with those of their devices that somebody holds or wants: nothing is taken from others,
    /// and of thousands each claim would be verified against all.
    fn slices_with(&self, pools: &BTreeSet<PoolId>, devices: &BTreeSet<&str>) -> Vec<ResourceSlice> {
        let all = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of_pools = all.slices.iter().filter(|published| pools.contains(&published.slice.pool_id()));
        let reduced = of_pools.map(|published| ResourceSlice {
            devices: published
                .devices
                .iter()
                .filter(|device| devices.contains(device.name.as_str()))
                .cloned()
                .collect(),
            ..published.slice.clone()
        });
        reduced.collect()
    }

    /// Results for what a record holds. A device whose pool is not known is one of every pool that has such a name.
    fn results(&self, slices: &[&ResourceSlice], held: &[HeldDevice]) -> AllocationResult {
        let mut results = Vec::new();
        for device in held {
            let pools: BTreeSet<&str> = match &device.pool {
                Some(pool) => BTreeSet::from([pool.as_str()]),
                None => slices
                    .iter()
                    .filter(|slice| slice.devices.iter().any(|other| other.name == device.device))
                    .map(|slice| slice.pool.name.as_str())
                    .collect(),
            };
            for pool in pools {
                results.push(DeviceRequestAllocationResult {
                    request: format!("{CLASS}-{}", results.len()),
                    driver: self.driver.clone(),
                    pool: pool.to_owned(),
                    device: device.device.clone(),
                    admin_access: device.admin_access.then_some(true),
                    share_id: device.share_id.clone(),
                    consumed_capacity: device
                        .consumed_capacity
                        .iter()
                        .filter_map(|(name, amount)| Some((name.clone(), amount.parse::<Quantity>().ok()?)))
                        .collect(),
                    ..DeviceRequestAllocationResult::default()
                });
            }
        }
        AllocationResult { results, ..AllocationResult::default() }
    }

    /// The first rule that `result` breaks beside `others`, of those that a node can judge.
    fn broken(
        &self,
        slices: &[&ResourceSlice],
        result: &AllocationResult,
        others: &[&ClaimRecord],
    ) -> Option<String> {
        let mut state = AllocatedState::new();
        for other in others {
            state.insert(&self.results(slices, &other.holds), FEATURES);
        }
        let claim = claim(result);
        let classes = [DeviceClass { name: CLASS.to_owned(), ..DeviceClass::default() }];
        let question = Question {
            profile: &Profile::FIXED,
            features: FEATURES,
            node: &Node { name: self.node.clone(), ..Node::default() },
            slices,
            classes: &classes,
            state: &state,
            claims: &[&claim],
        };
        let violations = verify(&question, std::slice::from_ref(result)).err()?;
        violations.into_iter().find_map(|violation| {
            let device =
                violation.device.map_or_else(String::new, |device: DeviceId| format!("device `{device}`: "));
            match violation.rule {
                Rule::InUse => Some(format!("{device}it is in use")),
                Rule::Counter { counter_set, counter } => Some(format!(
                    "{device}counter `{counter}` of counter set `{counter_set}` has not enough left"
                )),
                Rule::Groups { counter_set } => Some(format!(
                    "{device}its compatibility groups do not go with others on counter set `{counter_set}`"
                )),
                Rule::Capacity { capacity } => {
                    Some(format!("{device}capacity `{capacity}` has not enough left"))
                }
                _ => None,
            }
        })
    }
}

/// Everything on: a gate that is off in the cluster leaves nothing here to judge.
const FEATURES: Features = Features {
    admin_access: true,
    prioritized_list: true,
    partitionable_devices: true,
    device_taints: true,
    device_binding_and_status: true,
    device_status: true,
    consumable_capacity: true,
    list_type_attributes: true,
    fractional_capacity_range: true,
    optional_node_operations: true,
    derived_attributes: true,
    compatibility_groups: true,
};

/// A claim that asks for exactly what the results are.
fn claim(result: &AllocationResult) -> ResourceClaim {
    let anything = DeviceToleration { operator: "Exists".to_owned(), ..DeviceToleration::default() };
    let request = |result: &DeviceRequestAllocationResult| DeviceRequest {
        name: result.request.clone(),
        exactly: Some(ExactDeviceRequest {
            device_class_name: CLASS.to_owned(),
            count: 1,
            admin_access: result.admin_access,
            tolerations: vec![anything.clone()],
            capacity: (!result.consumed_capacity.is_empty()).then(|| result.consumed_capacity.clone()),
            ..ExactDeviceRequest::default()
        }),
        ..DeviceRequest::default()
    };
    ResourceClaim { requests: result.results.iter().map(request).collect(), ..ResourceClaim::default() }
}

impl ClaimGuard for Guard {
    fn refuses(&self, wanted: &ClaimRecord, others: &[&ClaimRecord]) -> Option<Refusal> {
        let pools: BTreeSet<PoolId> = wanted
            .holds
            .iter()
            .filter_map(|held| Some(PoolId { driver: self.driver.clone(), pool: held.pool.clone()? }))
            .collect();
        let others = &self.in_the_way(wanted, others)[..];
        let holders = others.iter().copied().chain([wanted]);
        let devices = holders.flat_map(|record| &record.holds).map(|held| held.device.as_str()).collect();
        let slices = self.slices_with(&pools, &devices);
        let slices: Vec<&ResourceSlice> = slices.iter().collect();
        // In the scheduler admin access has to find free counters, although it then takes none. Here it is harmless.
        let taking: Vec<HeldDevice> =
            wanted.holds.iter().filter(|held| !held.admin_access).cloned().collect();
        let result = self.results(&slices, &taking);
        let message = self.broken(&slices, &result, others)?;
        let without = |left_out: usize| -> Vec<&ClaimRecord> {
            let rest = others.iter().enumerate().filter(|(place, _)| *place != left_out);
            rest.map(|(_, other)| *other).collect()
        };
        // The one that stands in the way, or, where several do, one that has something of the same pools.
        let other = (0..others.len())
            .find(|place| self.broken(&slices, &result, &without(*place)).is_none())
            .or_else(|| {
                let alone = self.broken(&slices, &result, &[]).is_some();
                let beside = |other: &&ClaimRecord| {
                    other.holds.iter().any(|held| {
                        held.pool.as_ref().is_none_or(|pool| pools.iter().any(|one| one.pool == *pool))
                    })
                };
                others.iter().position(beside).filter(|_| !alone)
            });
        let uid = other.and_then(|place| others.get(place)).map(|other| other.claim.uid.clone());
        Some(Refusal { message, other: uid })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{claims::State, devices::PoolDevice, kubelet::ClaimReference};

    fn record(devices: &[&str]) -> ClaimRecord {
        let held = |device: &&str| HeldDevice {
            pool: Some("node-1".to_owned()),
            device: (*device).to_owned(),
            ..HeldDevice::default()
        };
        ClaimRecord {
            claim: ClaimReference::nameless("0a"),
            state: State::Prepared,
            holds: devices.iter().map(held).collect(),
            answer: Vec::new(),
            cdi: None,
            metadata: BTreeMap::new(),
            boot_id: String::new(),
            other: Map::new(),
        }
    }

    /// Of a thousand claims each was verified against all others.
    #[test]
    fn only_claims_that_can_stand_in_the_way_are_looked_at() {
        let device = |name: &str, fields: Value| {
            let Value::Object(fields) = fields else { panic!("an object") };
            PoolDevice { name: name.to_owned(), fields: fields.into() }
        };
        let takes = json!({"consumesCounters": [{"counterSet": "a", "counters": {"slots": {"value": "1"}}}]});
        let pool = Pool {
            name: "node-1".to_owned(),
            devices: vec![device("a", json!({})), device("b", json!({})), device("part", takes)],
            shared_counters: vec![json!({"name": "a", "counters": {"slots": {"value": "7"}}})],
        };
        let guard = Guard::new("gpu.example.com", "node-1");
        guard.set_pools(&[pool]).expect("a sound pool");
        let others =
            [record(&["a"]), record(&["b"]), record(&["part"]), record(&["b", "a"]), record(&["gone"])];
        let others: Vec<&ClaimRecord> = others.iter().collect();
        let found = guard.in_the_way(&record(&["a"]), &others);
        let places: Vec<usize> = found
            .iter()
            .filter_map(|found| others.iter().position(|other| std::ptr::eq(*other, *found)))
            .collect();
        assert_eq!(places, [0, 2, 3]);
    }
}
