//! Slices of a cluster, indexed once, and what one node sees of them.

mod agreement;
mod pool;
mod sight;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::objects::{
    Device, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PoolId, ResourceSlice,
};
use crate::persistent::{List, Map};

pub(crate) use agreement::Agreement;
pub(crate) use pool::PoolState;
pub(crate) use sight::Sights;
pub(crate) use view::{NodeMatch, NodeView, ViewRules};

/// Everything drivers publish, indexed for a cluster and shared by all allocations.
///
/// Cloning is cheap (a few reference counts), and adding, replacing or removing a slice copies only what it touches,
/// so an inventory can be forked for a what-if.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// In the order they were given; `None` for those that were removed.
    slices: List<Option<Arc<Published>>>,
    /// Numbers of the slices by name. If several have one name, that of the last.
    names: Map<String, u32>,
    /// Pools that once had a slice, in no order.
    pools: List<Arc<InventoryPool>>,
    pool_numbers: Map<PoolId, u32>,
    /// Slices by non-empty node name, in the order they were given.
    local_slices: Map<String, Arc<Vec<u32>>>,
    /// Pools with a slice that is not bound to one node by its name and has no shared counters.
    shared_pools: Arc<BTreeSet<u32>>,
    /// Pools with a slice that has shared counters.
    counter_pools: Arc<BTreeSet<u32>>,
    devices: usize,
}

/// A slice and what follows from it alone.
#[derive(Debug)]
struct Published {
    slice: Arc<ResourceSlice>,
    pool: u32,
    /// By device: whether CEL can take it as it is, see [`Agreement`].
    plain: Box<[bool]>,
    /// A device name that occurs twice: the index of its second device.
    duplicate: Option<u32>,
    /// Whether a device has binding conditions.
    binding: bool,
    /// Whether a device consumes counters.
    consumes: bool,
    /// Whether a device has compatibility groups.
    groups: bool,
    /// What using one of its devices pins a claim to, where the slice has a node.
    pin: Option<Arc<NodeSelector>>,
}

/// A device: its slice, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceRef {
    pub(crate) slice: u32,
    pub(crate) index: u32,
}

/// All slices of one pool, of every generation.
#[derive(Clone, Debug)]
pub(crate) struct InventoryPool {
    pub(crate) id: PoolId,
    /// In the order they were given.
    pub(crate) slices: Vec<u32>,
    /// Those of `slices` that are not bound to one node by its name.
    pub(crate) unbound_slices: Vec<u32>,
    /// Those of `slices` that have shared counters.
    pub(crate) counter_slices: Vec<u32>,
}

/// What a change of one slice touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched {
    /// Pools of which a slice was added, replaced or removed.
    pub(crate) pools: Vec<u32>,
    /// Nodes that have, or had, slices of those pools for themselves.
    pub(crate) nodes: BTreeSet<String>,
    /// Whether any node may see those pools.
    pub(crate) shared: bool,
}

impl Inventory {
    /// Indexes slices. Taints of DeviceTaintRules must have been added before.
    ///
    /// The order of the slices matters only where slices of one pool's generation disagree on how many of them
    /// there are: then the first counts. Sort them by name to be independent of where they come from.
    pub fn new(slices: Vec<ResourceSlice>) -> Self {
        Self::from_shared(slices.into_iter().map(Arc::new))
    }

    /// As [`new`](Self::new), of slices that others hold too.
    pub fn from_shared(slices: impl IntoIterator<Item = Arc<ResourceSlice>>) -> Self {
        let mut inventory = Self::default();
        for slice in slices {
            inventory.add(slice, &mut Touched::default());
        }
        inventory
    }

    /// The slices, in the order they were given.
    pub fn slices(&self) -> impl Iterator<Item = &ResourceSlice> {
        self.slices.iter().flatten().map(|published| published.slice.as_ref())
    }

    /// The slice of a name.
    pub fn slice_of_name(&self, name: &str) -> Option<&ResourceSlice> {
        self.of_numbers(self.names.get(name).map_or(&[], std::slice::from_ref)).next()
    }

    /// The slices of a pool, of every generation, in the order they were given.
    pub fn slices_of_pool(&self, pool: &PoolId) -> impl Iterator<Item = &ResourceSlice> {
        let members = self.pool_numbers.get(pool).and_then(|&number| self.pools.get(number));
        self.of_numbers(members.map_or(&[], |members| &members.slices))
    }

    /// The slices that are bound to a node by its name, in the order they were given.
    pub fn slices_of_node(&self, node: &str) -> impl Iterator<Item = &ResourceSlice> {
        self.of_numbers(self.local_slices.get(node).map_or(&[], |numbers| numbers.as_slice()))
    }

    /// Whether slices are bound to a node by its name.
    pub(crate) fn has_local_slices(&self, node: &str) -> bool {
        self.local_slices.get(node).is_some()
    }

    /// The slices of all pools that a node may see something of, in the order they were given. `counters_everywhere` says
    /// whether slices with shared counters count on every node, also those that are bound to one.
    pub(crate) fn slices_that_matter(&self, node: &str, counters_everywhere: bool) -> Vec<&ResourceSlice> {
        let local = self.local_slices.get(node).map_or(&[][..], |numbers| numbers.as_slice());
        let of_slices = local.iter().filter_map(|&slice| self.slices.get(slice)?.as_ref());
        let mut pools: BTreeSet<u32> = of_slices.map(|published| published.pool).collect();
        pools.extend(self.shared_pools.iter());
        let with_counters = self.counter_pools.iter().copied();
        pools.extend(with_counters.filter(|&pool| {
            counters_everywhere || self.pools.get(pool).is_some_and(|pool| !pool.unbound_slices.is_empty())
        }));
        let members = pools.iter().filter_map(|&pool| self.pools.get(pool));
        let mut numbers: Vec<u32> = members.flat_map(|pool| pool.slices.iter().copied()).collect();
        numbers.sort_unstable();
        let published = numbers.iter().filter_map(|&number| self.slices.get(number)?.as_ref());
        published.map(|published| published.slice.as_ref()).collect()
    }

    fn of_numbers<'a>(&'a self, numbers: &'a [u32]) -> impl Iterator<Item = &'a ResourceSlice> {
        let published = numbers.iter().filter_map(|&number| self.slices.get(number)?.as_ref());
        published.map(|published| published.slice.as_ref())
    }

    /// How many nodes have slices of their own.
    pub(crate) fn node_count(&self) -> usize {
        self.local_slices.len()
    }

    /// How many devices all slices have together.
    pub fn device_count(&self) -> usize {
        self.devices
    }

    /// Adds a slice behind all others, or puts it in the place of the one of its name.
    pub fn publish(&mut self, slice: impl Into<Arc<ResourceSlice>>) {
        self.put(slice.into());
    }

    /// Removes the slice of this name, if there is one.
    pub fn withdraw(&mut self, name: &str) -> Option<Arc<ResourceSlice>> {
        let mut touched = Touched::default();
        let number = self.names.remove(name)?;
        self.remove(number, &mut touched)
    }

    pub(crate) fn put(&mut self, slice: Arc<ResourceSlice>) -> Touched {
        let mut touched = Touched::default();
        match self.names.get(&slice.name).copied() {
            Some(number) => {
                self.remove(number, &mut touched);
                self.put_at(number, slice, &mut touched);
            }
            None => self.add(slice, &mut touched),
        }
        touched
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Touched> {
        let mut touched = Touched::default();
        let number = self.names.remove(name)?;
        self.remove(number, &mut touched);
        Some(touched)
    }

    fn add(&mut self, slice: Arc<ResourceSlice>, touched: &mut Touched) {
        let number = self.slices.push(None);
        self.names.insert(slice.name.clone(), number);
        self.put_at(number, slice, touched);
    }

    /// Fills the empty place of a slice.
    fn put_at(&mut self, number: u32, slice: Arc<ResourceSlice>, touched: &mut Touched) {
        let id = slice.pool_id();
        let pool = self.pool_numbers.get(&id).copied().unwrap_or_else(|| {
            let pool = self.pools.push(Arc::new(InventoryPool::new(id.clone())));
            self.pool_numbers.insert(id, pool);
            pool
        });
        if let Some(members) = self.pools.get_mut(pool) {
            let members = Arc::make_mut(members);
            insert_sorted(&mut members.slices, number);
            if is_unbound(&slice) {
                insert_sorted(&mut members.unbound_slices, number);
            }
            if !slice.shared_counters.is_empty() {
                insert_sorted(&mut members.counter_slices, number);
            }
        }
        if let Some(node) = node_of(&slice) {
            let mut local = self.local_slices.get(node).cloned().unwrap_or_default();
            insert_sorted(Arc::make_mut(&mut local), number);
            self.local_slices.insert(node.to_owned(), local);
        }
        self.devices += slice.devices.len();
        if let Some(place) = self.slices.get_mut(number) {
            *place = Some(Arc::new(Published::new(slice, pool)));
        }
        self.classify(pool, touched);
    }

    /// Empties the place of a slice.
    fn remove(&mut self, number: u32, touched: &mut Touched) -> Option<Arc<ResourceSlice>> {
        let published = self.slices.get_mut(number)?.take()?;
        let slice = &published.slice;
        // The nodes that saw the pool before the change.
        self.touch(published.pool, touched);
        if let Some(members) = self.pools.get_mut(published.pool) {
            let members = Arc::make_mut(members);
            for list in [&mut members.slices, &mut members.unbound_slices, &mut members.counter_slices] {
                list.retain(|other| *other != number);
            }
        }
        if let Some(node) = node_of(slice)
            && let Some(mut local) = self.local_slices.get(node).cloned()
        {
            touched.nodes.insert(node.to_owned());
            Arc::make_mut(&mut local).retain(|other| *other != number);
            if local.is_empty() {
                self.local_slices.remove(node);
            } else {
                self.local_slices.insert(node.to_owned(), local);
            }
        }
        self.devices -= slice.devices.len();
        self.classify(published.pool, touched);
        Some(published.slice.clone())
    }

    /// Puts a pool whose slices changed into the sets it belongs to.
    fn classify(&mut self, pool: u32, touched: &mut Touched) {
        let Some(members) = self.pools.get(pool) else { return };
        let counters = |slice: &u32| !self.slice(*slice).shared_counters.is_empty();
        let shared = !members.unbound_slices.iter().all(counters);
        let has_counters = !members.counter_slices.is_empty();
        set(&mut self.shared_pools, pool, shared);
        set(&mut self.counter_pools, pool, has_counters);
        self.touch(pool, touched);
    }

    /// Notes who sees a pool.
    fn touch(&self, pool: u32, touched: &mut Touched) {
        if !touched.pools.contains(&pool) {
            touched.pools.push(pool);
        }
        let Some(members) = self.pools.get(pool) else { return };
        touched.shared |= !members.unbound_slices.is_empty();
        let there = members.slices.iter().filter_map(|slice| self.slices.get(*slice)?.as_ref());
        touched.nodes.extend(there.filter_map(|published| node_of(&published.slice)).map(str::to_owned));
    }

    fn published(&self, slice: u32) -> &Published {
        let published = self.slices.get(slice).and_then(Option::as_ref);
        published.expect("views and pools name slices that are there, and are dropped with them")
    }

    pub(crate) fn slice(&self, slice: u32) -> &ResourceSlice {
        &self.published(slice).slice
    }

    pub(crate) fn pool(&self, pool: u32) -> &InventoryPool {
        self.pools.get(pool).expect("pools stay in the list when they are empty")
    }

    pub(crate) fn device(&self, device: DeviceRef) -> &Device {
        &self.slice(device.slice).devices[device.index as usize]
    }

    /// Whether CEL can take the device as it is, see [`Agreement`].
    fn is_plain(&self, device: DeviceRef) -> bool {
        self.published(device.slice).plain.get(device.index as usize).copied().unwrap_or(false)
    }

    /// The index of a device in its slice, and how many devices the slice has.
    pub(crate) fn place_in_slice(&self, device: DeviceRef) -> (u32, u32) {
        (device.index, length(&self.slice(device.slice).devices))
    }

    pub(crate) fn pool_of_device(&self, device: DeviceRef) -> u32 {
        self.pool_of_slice(device.slice)
    }

    fn pool_of_slice(&self, slice: u32) -> u32 {
        self.published(slice).pool
    }

    pub(crate) fn slice_of(&self, device: DeviceRef) -> &ResourceSlice {
        self.slice(device.slice)
    }

    /// The slice of a device, to be kept.
    pub(crate) fn shared_slice(&self, device: DeviceRef) -> Arc<ResourceSlice> {
        self.published(device.slice).slice.clone()
    }

    /// The devices of a slice.
    pub(crate) fn devices_of(&self, slice: u32) -> impl Iterator<Item = DeviceRef> {
        (0..length(&self.slice(slice).devices)).map(move |index| DeviceRef { slice, index })
    }

    /// Whether a slice is all of its pool, and a plain one: no name twice, no counters, no nodes of devices.
    fn is_simple_pool(&self, slice: u32) -> bool {
        let published = self.published(slice);
        let Published { slice: content, duplicate, consumes, .. } = published;
        content.pool.resource_slice_count == 1
            && content.per_device_node_selection.is_none()
            && content.shared_counters.is_empty()
            && duplicate.is_none()
            && !consumes
            && self.pool(published.pool).slices.len() == 1
    }

    /// The first device name that occurs twice in a slice.
    fn duplicate_in(&self, slice: u32) -> Option<&str> {
        let published = self.published(slice);
        let device = published.slice.devices.get(published.duplicate? as usize)?;
        Some(&device.name)
    }

    /// Whether a device of the slice has binding conditions.
    fn has_binding_conditions(&self, slice: u32) -> bool {
        self.published(slice).binding
    }

    /// Whether a device of the slice consumes counters.
    pub(crate) fn consumes_counters(&self, slice: u32) -> bool {
        self.published(slice).consumes
    }

    /// Whether a device of the slice has compatibility groups.
    pub(crate) fn has_groups(&self, slice: u32) -> bool {
        self.published(slice).groups
    }

    /// What using a device of the slice pins a claim to: the slice's node, if it has one.
    pub(crate) fn pin(&self, slice: u32) -> Option<&Arc<NodeSelector>> {
        self.published(slice).pin.as_ref()
    }

    /// What an expression says of a device, where that needs no evaluation.
    pub(crate) fn glance(&self, program: &drayage_cel::Program, device: DeviceRef) -> Option<bool> {
        let published = self.published(device.slice);
        if !published.plain.get(device.index as usize).copied()? {
            return None;
        }
        let slice = &published.slice;
        program.matches_at_a_glance(&slice.driver, &slice.devices.get(device.index as usize)?.attributes)
    }

    /// What CEL expressions see of a device, which may be without its permission of multiple allocations.
    pub(crate) fn cel_device(&self, device: DeviceRef, with_sharing: bool) -> drayage_cel::Device {
        let driver = &self.slice_of(device).driver;
        let device = self.device(device);
        drayage_cel::Device::new(
            driver,
            &device.attributes,
            device.capacity.iter().map(|(name, capacity)| (name.as_str(), &capacity.value)),
            with_sharing && device.allow_multiple_allocations.unwrap_or(false),
        )
    }
}

impl Published {
    fn new(slice: Arc<ResourceSlice>, pool: u32) -> Self {
        let devices = &slice.devices;
        let mut names = FxHashSet::default();
        let mut numbered = (0_u32..).zip(devices);
        let duplicate = numbered.find(|(_, device)| !names.insert(device.name.as_str()));
        let mut consumed = devices.iter().flat_map(|device| &device.consumes_counters);
        Self {
            pool,
            plain: devices.iter().map(agreement::is_plain).collect(),
            duplicate: duplicate.map(|(index, _)| index),
            binding: devices.iter().any(|device| device.binding_conditions.is_some()),
            consumes: devices.iter().any(|device| !device.consumes_counters.is_empty()),
            groups: consumed.any(|consumption| !consumption.compatibility_groups.is_empty()),
            pin: slice.node_name.as_ref().map(|name| Arc::new(pin_to(name))),
            slice,
        }
    }
}

/// The node of this name, as results select it.
pub(crate) fn pin_to(name: &str) -> NodeSelector {
    let this_node = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: vec![name.to_owned()],
    };
    let term = NodeSelectorTerm { match_fields: vec![this_node], match_expressions: Vec::new() };
    NodeSelector { terms: vec![term] }
}

impl InventoryPool {
    fn new(id: PoolId) -> Self {
        Self { id, slices: Vec::new(), unbound_slices: Vec::new(), counter_slices: Vec::new() }
    }
}

/// The one node that a slice is bound to by its name.
fn node_of(slice: &ResourceSlice) -> Option<&str> {
    slice.node_name.as_deref().filter(|name| !name.is_empty())
}

fn is_unbound(slice: &ResourceSlice) -> bool {
    node_of(slice).is_none()
}

/// Adds a number to, or removes it from, a set that may be shared. Copies the set only if it changes.
fn set(numbers: &mut Arc<BTreeSet<u32>>, number: u32, member: bool) {
    if numbers.contains(&number) != member {
        let numbers = Arc::make_mut(numbers);
        if member {
            numbers.insert(number);
        } else {
            numbers.remove(&number);
        }
    }
}

fn insert_sorted(numbers: &mut Vec<u32>, number: u32) {
    if let Err(place) = numbers.binary_search(&number) {
        numbers.insert(place, number);
    }
}

/// Indices fit 32 bits: the inventory of a cluster is far smaller, and each entry takes more than a byte.
fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("an inventory has less than 2^32 entries")
}
