//! What other claims already hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use drayage_cel::Quantity;

use crate::amount;
use crate::features::Features;
use crate::objects::{AllocationResult, DeviceId, DeviceRequestAllocationResult, PoolId, SharedDeviceId};
use crate::persistent::Map;

/// Devices, shares of devices and capacity held by allocated claims.
///
/// Cloning is cheap (one reference count) and later changes copy only what they touch, so a state can be forked
/// for a what-if. Devices need not exist in any slice.
#[derive(Clone, Debug, Default)]
pub struct AllocatedState {
    /// Pools of which something is held.
    pools: Map<PoolId, Arc<PoolBooks>>,
    /// The latest changes.
    history: Arc<VecDeque<Arc<Change>>>,
}

/// A change of what is held, known by its place in memory.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) pool: PoolId,
    /// Whether something was given back.
    pub(crate) relief: bool,
}

/// How many changes are kept.
const HISTORY: usize = 16;

/// What is held of the devices of one pool. Devices without anything held have no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolBooks {
    pub(crate) devices: BTreeMap<String, Arc<DeviceBooks>>,
}

/// What is held of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceBooks {
    /// Whether a claim holds it exclusively.
    pub(crate) exclusive: bool,
    /// Identities of the shares claims hold of it.
    pub(crate) shares: BTreeSet<String>,
    /// Capacity consumed by shares. Present but empty differs from absent: it marks the device as shared.
    pub(crate) capacity: Option<BTreeMap<String, Quantity>>,
}

impl DeviceBooks {
    fn is_empty(&self) -> bool {
        !self.exclusive && self.shares.is_empty() && self.capacity.is_none()
    }
}

impl AllocatedState {
    /// Nothing is held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the devices of one claim's allocation, as the scheduler's view of allocated claims does: results with
    /// admin access hold nothing; with consumable capacity, results with a share ID hold a share and its
    /// capacity; all others hold their device exclusively.
    pub fn insert(&mut self, result: &AllocationResult, features: Features) {
        for device in &result.results {
            let id = device.device_id();
            match Holding::of(device, features) {
                Holding::Nothing => {}
                Holding::Device => self.insert_device(&id),
                Holding::Share(share_id) => {
                    self.insert_share(&SharedDeviceId { device: id.clone(), share_id: share_id.to_owned() });
                    if !device.consumed_capacity.is_empty() {
                        self.insert_capacity(&id, &device.consumed_capacity);
                    }
                }
            }
        }
    }

    /// Takes back what [`insert`](Self::insert) added for the same result.
    pub fn remove(&mut self, result: &AllocationResult, features: Features) {
        for device in &result.results {
            let id = device.device_id();
            match Holding::of(device, features) {
                Holding::Nothing => {}
                Holding::Device => self.remove_device(&id),
                Holding::Share(share_id) => {
                    self.remove_share(&SharedDeviceId { device: id.clone(), share_id: share_id.to_owned() });
                    if !device.consumed_capacity.is_empty() {
                        self.remove_capacity(&id, &device.consumed_capacity);
                    }
                }
            }
        }
    }

    /// Marks a device as held exclusively.
    pub fn insert_device(&mut self, id: &DeviceId) {
        self.change(id, false, |books| books.exclusive = true);
    }

    /// Takes back [`insert_device`](Self::insert_device).
    pub fn remove_device(&mut self, id: &DeviceId) {
        self.change(id, true, |books| books.exclusive = false);
    }

    /// Records a share of a device. It blocks nothing by itself, but counters of the device are in use.
    pub fn insert_share(&mut self, id: &SharedDeviceId) {
        self.change(&id.device, false, |books| {
            books.shares.insert(id.share_id.clone());
        });
    }

    /// Takes back [`insert_share`](Self::insert_share).
    pub fn remove_share(&mut self, id: &SharedDeviceId) {
        self.change(&id.device, true, |books| {
            books.shares.remove(&id.share_id);
        });
    }

    /// Adds consumed capacity of a device, by capacity name.
    pub fn insert_capacity(&mut self, id: &DeviceId, amounts: &BTreeMap<String, Quantity>) {
        self.change(id, false, |books| {
            let consumed = books.capacity.get_or_insert_default();
            for (name, amount) in amounts {
                match consumed.get_mut(name) {
                    Some(sum) => amount::add(sum, amount),
                    None => {
                        consumed.insert(name.clone(), amount.clone());
                    }
                }
            }
        });
    }

    /// Subtracts consumed capacity of a device. Names that are not booked are ignored; when every booked amount
    /// is zero, the device's entry disappears.
    pub fn remove_capacity(&mut self, id: &DeviceId, amounts: &BTreeMap<String, Quantity>) {
        self.change(id, true, |books| {
            let Some(consumed) = &mut books.capacity else { return };
            for (name, amount) in amounts {
                if let Some(sum) = consumed.get_mut(name) {
                    amount::subtract(sum, amount);
                }
            }
            if consumed.values().all(Quantity::is_zero) {
                books.capacity = None;
            }
        });
    }

    /// Whether a claim holds the device exclusively.
    pub fn holds_device(&self, id: &DeviceId) -> bool {
        self.device(id).is_some_and(|books| books.exclusive)
    }

    /// Whether anything of the device is held: the device, a share or capacity. This is what counts for counters.
    pub fn is_allocated(&self, id: &DeviceId) -> bool {
        self.device(id).is_some()
    }

    /// The share IDs held of a device, sorted.
    pub fn shares(&self, id: &DeviceId) -> impl Iterator<Item = &str> {
        self.device(id).into_iter().flat_map(|books| books.shares.iter().map(String::as_str))
    }

    /// The capacity shares consume of a device, by capacity name.
    pub fn consumed_capacity(&self, id: &DeviceId) -> Option<&BTreeMap<String, Quantity>> {
        self.device(id).and_then(|books| books.capacity.as_ref())
    }

    /// The books of a pool, if anything of it is held.
    pub(crate) fn pool(&self, id: &PoolId) -> Option<&PoolBooks> {
        self.shared_pool(id).map(Arc::as_ref)
    }

    /// As [`pool`](Self::pool), to be kept. Equal pointers mean that nothing changed.
    pub(crate) fn shared_pool(&self, id: &PoolId) -> Option<&Arc<PoolBooks>> {
        self.pools.get(id)
    }

    /// Whether nothing is held at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    fn device(&self, id: &DeviceId) -> Option<&DeviceBooks> {
        self.pool(&id.pool)?.devices.get(&id.device).map(Arc::as_ref)
    }

    /// The latest change; `None` where nothing was ever held.
    pub(crate) fn latest_change(&self) -> Option<&Arc<Change>> {
        self.history.back()
    }

    /// The changes since one that was the latest; `None` where that is not known any more.
    pub(crate) fn changes_since<'a>(
        &'a self,
        known: &Arc<Change>,
    ) -> Option<impl Iterator<Item = &'a Change>> {
        let at = self.history.iter().rposition(|change| Arc::ptr_eq(change, known))?;
        Some(self.history.iter().skip(at + 1).map(Arc::as_ref))
    }

    fn change(&mut self, id: &DeviceId, relief: bool, change: impl FnOnce(&mut DeviceBooks)) {
        let history = Arc::make_mut(&mut self.history);
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(Arc::new(Change { pool: id.pool.clone(), relief }));
        if self.pools.get(&id.pool).is_none() {
            self.pools.insert(id.pool.clone(), Arc::default());
        }
        let Some(pool) = self.pools.get_mut(&id.pool) else { return };
        let pool = Arc::make_mut(pool);
        let mut books = pool.devices.remove(&id.device).unwrap_or_default();
        change(Arc::make_mut(&mut books));
        if !books.is_empty() {
            pool.devices.insert(id.device.clone(), books);
        }
        if pool.devices.is_empty() {
            self.pools.remove(&id.pool);
        }
    }
}

/// What one result of an allocated claim holds.
enum Holding<'a> {
    Nothing,
    Device,
    Share(&'a str),
}

impl<'a> Holding<'a> {
    fn of(result: &'a DeviceRequestAllocationResult, features: Features) -> Self {
        match &result.share_id {
            _ if result.admin_access == Some(true) => Self::Nothing,
            Some(share_id) if features.consumable_capacity => Self::Share(share_id),
            _ => Self::Device,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pool: &str, device: &str) -> DeviceId {
        DeviceId {
            pool: PoolId { driver: "gpu.example.com".to_owned(), pool: pool.to_owned() },
            device: device.to_owned(),
        }
    }

    fn result(id: &DeviceId, share: Option<&str>, memory: Option<&str>) -> DeviceRequestAllocationResult {
        let quantity = |text: &str| text.parse::<Quantity>().expect("a quantity");
        DeviceRequestAllocationResult {
            driver: id.pool.driver.clone(),
            pool: id.pool.pool.clone(),
            device: id.device.clone(),
            share_id: share.map(str::to_owned),
            consumed_capacity: memory.map(|text| ("memory".to_owned(), quantity(text))).into_iter().collect(),
            ..DeviceRequestAllocationResult::default()
        }
    }

    fn allocation(results: Vec<DeviceRequestAllocationResult>) -> AllocationResult {
        AllocationResult { results, ..AllocationResult::default() }
    }

    #[test]
    fn removing_what_was_inserted_leaves_nothing() {
        let (one, two) = (id("pool", "one"), id("pool", "two"));
        let allocation = allocation(vec![
            result(&one, None, None),
            result(&two, Some("a"), Some("1Gi")),
            result(&two, Some("b"), Some("2Gi")),
        ]);
        let mut state = AllocatedState::new();
        state.insert(&allocation, Features::default());
        assert!(state.holds_device(&one) && !state.holds_device(&two));
        assert!(state.is_allocated(&two));
        assert_eq!(state.shares(&two).collect::<Vec<_>>(), ["a", "b"]);
        let memory = state.consumed_capacity(&two).and_then(|amounts| amounts.get("memory"));
        assert_eq!(memory.map(ToString::to_string).as_deref(), Some("3Gi"));
        state.remove(&allocation, Features::default());
        assert!(!state.is_allocated(&one) && !state.is_allocated(&two));
        assert!(state.pool(&one.pool).is_none());
    }

    #[test]
    fn admin_access_holds_nothing_and_shares_need_the_feature() {
        let device = id("pool", "one");
        let mut admin = result(&device, None, None);
        admin.admin_access = Some(true);
        let mut state = AllocatedState::new();
        state.insert(&allocation(vec![admin]), Features::default());
        assert!(!state.is_allocated(&device));

        let shared = allocation(vec![result(&device, Some("a"), Some("1Gi"))]);
        let without = Features { consumable_capacity: false, ..Features::default() };
        state.insert(&shared, without);
        assert!(state.holds_device(&device));
    }

    #[test]
    fn capacity_that_is_all_zero_disappears_on_removal_only() {
        let device = id("pool", "one");
        let mut state = AllocatedState::new();
        state.insert_capacity(&device, &BTreeMap::new());
        assert!(state.consumed_capacity(&device).is_some());
        state.remove_capacity(&device, &BTreeMap::new());
        assert!(state.consumed_capacity(&device).is_none());
    }

    #[test]
    fn forks_do_not_see_each_other() {
        let mut state = AllocatedState::new();
        for pool in 0..300 {
            state.insert_device(&id(&format!("pool-{pool}"), "one"));
        }
        let mut fork = state.clone();
        fork.remove_device(&id("pool-7", "one"));
        fork.insert_device(&id("pool-8", "two"));
        assert!(state.holds_device(&id("pool-7", "one")) && !state.holds_device(&id("pool-8", "two")));
        assert!(!fork.holds_device(&id("pool-7", "one")) && fork.holds_device(&id("pool-8", "two")));
    }
}
