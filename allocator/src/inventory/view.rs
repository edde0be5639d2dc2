//! What one node sees of the inventory.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::pool::{self, PoolRules, PoolSlices, PoolState};
use super::{DeviceRef, Inventory, Touched, length};
use crate::constraints::AttributeColumn;
use crate::error::{AllocationError, ErrorKind};
use crate::features::Features;
use crate::held::LastHeld;
use crate::node_selection;
use crate::objects::{Node, PoolId};
use crate::profile::{BindingLast, CounterSlices, InvalidPools, PoolOrder, Profile, SliceOrder};
use crate::remembered::Remembered;
use crate::selectors::{Expression, VerdictColumn};

/// The pools of one node and their devices, in search order: pools by driver and name, those with binding
/// conditions last; slices by name; devices in the driver's order.
#[derive(Debug, Default)]
pub(crate) struct NodeView {
    /// Pools in search order, incomplete and invalid ones included.
    pub(crate) pools: SmallVec<[PoolView; 1]>,
    /// Devices of usable pools, in search order.
    pub(crate) positions: SmallVec<[Position; 8]>,
    /// The first pool that ends the search with an error, as an index of `pools`, in profiles where an invalid pool
    /// does that. No device behind it can be reached.
    pub(crate) barrier: Option<u32>,
    /// Texts for [`NodeMatch::Faulty`].
    pub(crate) faults: Vec<String>,
    /// Whether the node's labels had a say, so that other labels may give another view.
    pub(crate) uses_labels: bool,
    /// What selectors say of the devices.
    pub(crate) verdicts: Remembered<VerdictColumn>,
    /// The attributes that constraints compare.
    pub(crate) attributes: Remembered<AttributeColumn>,
    /// What other claims hold of the devices.
    pub(crate) held: LastHeld,
    /// Places in `pools` by the pool in the inventory, once somebody asks.
    pool_places: OnceLock<FxHashMap<u32, usize>>,
    /// Whether some capacity is below nothing, once somebody asks.
    negative_capacity: OnceLock<bool>,
}

/// One pool of a view.
#[derive(Debug)]
pub(crate) struct PoolView {
    /// The pool in the inventory.
    pub(crate) pool: u32,
    pub(crate) state: PoolState,
    /// Its devices in [`NodeView::positions`].
    pub(crate) positions: std::ops::Range<u32>,
    /// The same devices sorted by name, once somebody asks for one by its name.
    by_name: OnceLock<Box<[u32]>>,
}

/// One device of a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    /// The device in the inventory.
    pub(crate) device: DeviceRef,
    /// Its pool in [`NodeView::pools`].
    pub(crate) pool: u32,
    /// Whether the device's own node selection, where its slice asks for that, selects the node.
    pub(crate) node: NodeMatch,
}

/// The verdict of a device's own node selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeMatch {
    Yes,
    No,
    /// The node selector cannot be parsed; the number of the text in [`NodeView::faults`].
    Faulty(u32),
}

/// When the first slice of a pool is taken: whether it is one of those that come last, and its number.
type Arrival = Option<(bool, u32)>;

/// How pools are gathered, the same for every node.
#[derive(Clone, Debug)]
pub(crate) struct ViewRules {
    features: Features,
    profile: Profile,
    counter_slices_everywhere: bool,
    /// Incomplete and invalid pools that every node sees through their counter slices alone.
    broken_everywhere: Arc<BTreeMap<u32, PoolState>>,
}

impl ViewRules {
    pub(crate) fn new(inventory: &Inventory, features: Features, profile: Profile) -> Self {
        let everywhere =
            features.partitionable_devices && profile.counter_slices == CounterSlices::Everywhere;
        let mut rules = Self {
            features,
            profile,
            counter_slices_everywhere: everywhere,
            broken_everywhere: Arc::default(),
        };
        for &pool in inventory.counter_pools.iter() {
            rules.look_at(inventory, pool);
        }
        rules
    }

    /// Takes note of changed pools. True if any node may see another view than before, false if only the nodes
    /// named there may.
    pub(crate) fn update(&mut self, inventory: &Inventory, touched: &Touched) -> bool {
        let mut everywhere = touched.shared;
        for &pool in &touched.pools {
            everywhere |= self.look_at(inventory, pool);
        }
        everywhere
    }

    /// Decides whether every node sees a pool as broken; true if that is new.
    fn look_at(&mut self, inventory: &Inventory, pool: u32) -> bool {
        if !self.counter_slices_everywhere {
            return false;
        }
        let now = match pool::decide(inventory, pool, &inventory.pool(pool).counter_slices, self.pool_rules())
        {
            None | Some(PoolState::Usable(_)) => None,
            broken => broken,
        };
        let kind = |state: &PoolState| std::mem::discriminant(state);
        if self.broken_everywhere.get(&pool).map(kind) == now.as_ref().map(kind) {
            return false;
        }
        let broken = Arc::make_mut(&mut self.broken_everywhere);
        match now {
            Some(state) => broken.insert(pool, state),
            None => broken.remove(&pool),
        };
        true
    }

    fn pool_rules(&self) -> PoolRules {
        PoolRules {
            partitionable_devices: self.features.partitionable_devices,
            compatibility_groups: self.features.compatibility_groups,
            profile: self.profile,
        }
    }

    /// Gathers the pools of a node in an empty view. The error is that of a node selector that cannot be parsed.
    pub(crate) fn gather(
        &self,
        inventory: &Inventory,
        node: &Node,
        view: &mut NodeView,
    ) -> Result<(), AllocationError> {
        let local =
            inventory.local_slices.get(node.name.as_str()).map_or(&[][..], |slices| slices.as_slice());
        if let Some(slice) = self.only_slice(inventory, local) {
            let slices = PoolSlices { devices: SmallVec::from_slice(&[slice]), ..PoolSlices::default() };
            view.push(inventory, node, inventory.pool_of_slice(slice), PoolState::Usable(slices));
            return Ok(());
        }
        let mut pools: SmallVec<[u32; 8]> =
            local.iter().map(|slice| inventory.pool_of_slice(*slice)).collect();
        pools.extend(inventory.shared_pools.iter().copied());
        let plain = self.profile.counter_slices == CounterSlices::Plain;
        if !self.counter_slices_everywhere && (self.features.partitionable_devices || plain) {
            pools.extend(inventory.counter_pools.iter().copied());
        }
        pools.sort_unstable();
        pools.dedup();

        // Upstream looks at slices in their order and stops at the first faulty selector.
        let mut first_fault: Option<(u32, String)> = None;
        let mut found: SmallVec<[(Arrival, u32, PoolState); 2]> = SmallVec::with_capacity(pools.len());
        for &pool in &pools {
            let mut arrivals: SmallVec<[u32; 8]> = SmallVec::new();
            for slice in self.candidates(inventory, pool, node, local) {
                match self.is_relevant(inventory, slice, node, &mut view.uses_labels) {
                    Ok(true) => arrivals.push(slice),
                    Ok(false) => {}
                    Err(fault) => {
                        if first_fault.as_ref().is_none_or(|(earlier, _)| slice < *earlier) {
                            first_fault = Some((slice, fault));
                        }
                    }
                }
            }
            let arrival = |slice: &u32| (self.comes_last(inventory, *slice), *slice);
            if self.profile.binding_last == BindingLast::PoolsAndSlices {
                arrivals.sort_by_key(arrival);
            }
            if let Some(state) = pool::decide(inventory, pool, &arrivals, self.pool_rules()) {
                found.push((arrivals.iter().map(arrival).min(), pool, state));
            }
        }
        if let Some((_, fault)) = first_fault {
            let message = format!("gather pool information: failed to perform node selection for {fault}");
            return Err(AllocationError::new(ErrorKind::NodeSelector, message));
        }
        for (pool, state) in self.broken_everywhere.iter() {
            if pools.binary_search(pool).is_err() {
                let first = inventory.pool(*pool).counter_slices.first();
                found.push((first.map(|slice| (false, *slice)), *pool, state.clone()));
            }
        }
        let last = self.profile.binding_last != BindingLast::Nothing;
        found.sort_by(|left, right| {
            let key = |(arrival, pool, state): &(Arrival, u32, PoolState)| {
                let arrival = arrival.filter(|_| self.profile.pool_order == PoolOrder::Random);
                (last && has_binding_conditions(inventory, state), arrival, &inventory.pool(*pool).id)
            };
            key(left).cmp(&key(right))
        });
        for (_, pool, state) in found {
            if matches!(state, PoolState::Invalid(_)) && self.profile.invalid_pools == InvalidPools::Fatal {
                view.barrier.get_or_insert(length(&view.pools));
            }
            view.push(inventory, node, pool, state);
        }
        Ok(())
    }

    /// The one slice that a node sees, where that follows at once: it is bound to the node, all of its pool, nothing
    /// is wrong with it, and no slice is for several nodes.
    fn only_slice(&self, inventory: &Inventory, local: &[u32]) -> Option<u32> {
        let [slice] = *local else { return None };
        let alone = inventory.shared_pools.is_empty() && inventory.counter_pools.is_empty();
        if !alone || !self.broken_everywhere.is_empty() || !inventory.is_simple_pool(slice) {
            return None;
        }
        Some(slice)
    }

    /// Whether a slice is taken after the others. Slices that hold counters for every node are taken as they come.
    fn comes_last(&self, inventory: &Inventory, slice: u32) -> bool {
        let counters = !inventory.slice(slice).shared_counters.is_empty();
        self.profile.binding_last == BindingLast::PoolsAndSlices
            && !(counters && self.counter_slices_everywhere)
            && inventory.has_binding_conditions(slice)
    }

    /// The slices of a pool that may concern the node: the node's own first, then those for several nodes.
    fn candidates(&self, inventory: &Inventory, pool: u32, node: &Node, local: &[u32]) -> SmallVec<[u32; 8]> {
        let shared_counters = |slice: u32| !inventory.slice(slice).shared_counters.is_empty();
        let own = local.iter().copied().filter(|slice| {
            inventory.pool_of_slice(*slice) == pool
                && !(self.counter_slices_everywhere && shared_counters(*slice))
        });
        let members = inventory.pool(pool);
        let mut shared: SmallVec<[u32; 8]> = members.unbound_slices.iter().copied().collect();
        if self.counter_slices_everywhere {
            shared.extend(members.counter_slices.iter().copied());
            shared.sort_unstable();
            shared.dedup();
        }
        debug_assert!(node.name.is_empty() || own.clone().all(|s| inventory.slice(s).node_name.is_some()));
        let mut candidates: SmallVec<[u32; 8]> = own.chain(shared).collect();
        if self.profile.slice_order == SliceOrder::AsGiven {
            candidates.sort_unstable();
        }
        candidates
    }

    fn is_relevant(
        &self,
        inventory: &Inventory,
        number: u32,
        node: &Node,
        uses_labels: &mut bool,
    ) -> Result<bool, String> {
        let slice = inventory.slice(number);
        let counters = !slice.shared_counters.is_empty();
        let hidden = counters && self.profile.counter_slices != CounterSlices::Plain;
        if !self.features.partitionable_devices && (slice.per_device_node_selection.is_some() || hidden) {
            return Ok(false);
        }
        if self.pool_rules().ignores(inventory, number) {
            return Ok(false);
        }
        if self.counter_slices_everywhere && counters {
            return Ok(true);
        }
        let named = slice.node_name.as_deref().is_some_and(|name| !name.is_empty());
        if named || slice.all_nodes || slice.node_selector.is_some() {
            *uses_labels |= slice.node_selector.is_some();
            return node_selection::selects(
                node,
                slice.node_name.as_deref(),
                slice.all_nodes,
                slice.node_selector.as_ref(),
            )
            .map_err(|fault| format!("slice {}: {fault}", slice.name));
        }
        if slice.per_device_node_selection != Some(true) {
            return Ok(false);
        }
        for device in &slice.devices {
            *uses_labels |= device.node_selector.is_some();
            let selected = node_selection::selects(
                node,
                device.node_name.as_deref(),
                device.all_nodes,
                device.node_selector.as_ref(),
            )
            .map_err(|fault| format!("device {} in slice {}: {fault}", device.name, slice.name))?;
            if selected {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl NodeView {
    /// How many devices a search gets to, from the first: those before a pool that ends it.
    pub(crate) fn reach(&self) -> u32 {
        self.barrier.map_or(self.len(), |pool| self.pools[pool as usize].positions.start)
    }

    /// The inventory's index of the device at a position.
    pub(crate) fn device(&self, position: u32) -> DeviceRef {
        self.positions[position as usize].device
    }

    /// The pool of the device at a position, as an index of [`NodeView::pools`].
    pub(crate) fn pool_of(&self, position: u32) -> u32 {
        self.positions[position as usize].pool
    }

    /// What an expression says of the devices.
    pub(crate) fn verdicts_of(&self, expression: &Arc<Expression>) -> &VerdictColumn {
        self.verdicts.get(
            |column| Arc::ptr_eq(&column.expression, expression),
            || VerdictColumn::new(expression.clone(), self),
        )
    }

    /// The index in [`NodeView::pools`] of a pool.
    pub(crate) fn pool_of_id(&self, inventory: &Inventory, id: &PoolId) -> Option<usize> {
        let number = inventory.pool_numbers.get(id)?;
        let places = self
            .pool_places
            .get_or_init(|| self.pools.iter().enumerate().map(|(place, pool)| (pool.pool, place)).collect());
        places.get(number).copied()
    }

    /// Whether some device has a capacity below nothing, or gives out less than nothing by default.
    pub(crate) fn has_negative_capacity(&self, inventory: &Inventory) -> bool {
        let negative = |position: &Position| {
            inventory.device(position.device).capacity.values().any(|capacity| {
                let policy = capacity.request_policy.as_deref();
                let default = policy.and_then(|policy| policy.default.as_ref());
                capacity.value.sign() < 0 || default.is_some_and(|amount| amount.sign() < 0)
            })
        };
        *self.negative_capacity.get_or_init(|| self.positions.iter().any(negative))
    }

    /// How many devices the view has.
    pub(crate) fn len(&self) -> u32 {
        length(&self.positions)
    }

    /// Whether some pool is invalid.
    pub(crate) fn has_invalid_pools(&self) -> bool {
        self.pools.iter().any(|pool| matches!(pool.state, PoolState::Invalid(_)))
    }

    fn push(&mut self, inventory: &Inventory, node: &Node, pool: u32, state: PoolState) {
        let start = length(&self.positions);
        let number_of_pool = length(&self.pools);
        if let PoolState::Usable(PoolSlices { devices, .. }) = &state {
            for &slice in devices {
                let per_device = inventory.slice(slice).per_device_node_selection == Some(true);
                if !per_device {
                    let plain = |device| Position { device, pool: number_of_pool, node: NodeMatch::Yes };
                    self.positions.extend(inventory.devices_of(slice).map(plain));
                    continue;
                }
                for device in inventory.devices_of(slice) {
                    let node = self.device_node_match(inventory, node, device);
                    self.positions.push(Position { device, pool: number_of_pool, node });
                }
            }
        }
        let positions = start..length(&self.positions);
        self.pools.push(PoolView { pool, state, positions, by_name: OnceLock::new() });
    }

    fn device_node_match(&mut self, inventory: &Inventory, node: &Node, device: DeviceRef) -> NodeMatch {
        let device = inventory.device(device);
        self.uses_labels |= device.node_selector.is_some();
        match node_selection::selects(
            node,
            device.node_name.as_deref(),
            device.all_nodes,
            device.node_selector.as_ref(),
        ) {
            Ok(true) => NodeMatch::Yes,
            Ok(false) => NodeMatch::No,
            Err(fault) => {
                self.faults.push(fault);
                NodeMatch::Faulty(length(&self.faults) - 1)
            }
        }
    }
}

impl PoolView {
    /// The positions of devices with this name; none or one, as names are unique in a usable pool.
    pub(crate) fn position_of(&self, inventory: &Inventory, view: &NodeView, name: &str) -> Option<u32> {
        let name_of = |position: &u32| inventory.device(view.device(*position)).name.as_str();
        let by_name = self.by_name.get_or_init(|| {
            let mut positions: Box<[u32]> = self.positions.clone().collect();
            positions.sort_by_key(name_of);
            positions
        });
        let found = by_name.binary_search_by(|position| name_of(position).cmp(name));
        found.ok().and_then(|index| by_name.get(index).copied())
    }
}

/// Whether a device of the pool has binding conditions, in which case the whole pool is searched last.
fn has_binding_conditions(inventory: &Inventory, state: &PoolState) -> bool {
    match state {
        PoolState::Usable(slices) => {
            slices.devices.iter().any(|slice| inventory.has_binding_conditions(*slice))
        }
        PoolState::Invalid(why) => why.binding,
        PoolState::Incomplete => false,
    }
}
