//! What other claims hold of the devices of one node.

use std::sync::{Arc, Mutex, PoisonError};

use fixedbitset::FixedBitSet;
use rustc_hash::FxHashMap;

use crate::allocated::{AllocatedState, Change, DeviceBooks, PoolBooks};
use crate::inventory::{Inventory, NodeView};

/// The held devices of a view, by position.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldDevices {
    /// By pool of the view: the books that this was found in.
    books: Vec<Option<Arc<PoolBooks>>>,
    /// Devices that one claim holds for itself.
    exclusive: FixedBitSet,
    devices: FxHashMap<u32, Arc<DeviceBooks>>,
    /// In a large view, the time that began when something was last given back.
    era: Option<Era>,
}

/// A time in which devices were only taken, known by its place in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Era(Arc<()>);

impl Era {
    /// Whether it is the same time.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The held devices of a view as they were when it was last asked about.
#[derive(Debug, Default)]
pub(crate) struct LastHeld(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    held: Arc<HeldDevices>,
    /// The latest change that is in it.
    latest: Arc<Change>,
}

/// Views of up to so many pools are compared pool by pool; of larger ones only the pools that changed are looked at.
const FEW_POOLS: usize = 8;

impl HeldDevices {
    fn new(inventory: &Inventory, view: &NodeView, state: &AllocatedState) -> Self {
        let mut held =
            Self { exclusive: FixedBitSet::with_capacity(view.positions.len()), ..Self::default() };
        held.era = (view.pools.len() > FEW_POOLS).then(Era::default);
        held.books.resize(view.pools.len(), None);
        for pool in 0..view.pools.len() {
            held.take_over(pool, inventory, view, state);
        }
        held
    }

    /// Notes what is held of a pool of the view of which nothing is noted.
    fn take_over(&mut self, pool: usize, inventory: &Inventory, view: &NodeView, state: &AllocatedState) {
        let (Some(of_view), Some(noted)) = (view.pools.get(pool), self.books.get_mut(pool)) else { return };
        let books = state.shared_pool(&inventory.pool(of_view.pool).id);
        for (name, device) in books.iter().flat_map(|books| &books.devices) {
            if let Some(position) = of_view.position_of(inventory, view, name) {
                self.exclusive.set(position as usize, device.exclusive);
                self.devices.insert(position, device.clone());
            }
        }
        *noted = books.cloned();
    }

    /// Brings the pools of the view up to date in which something changed.
    fn follow(
        &mut self,
        changed: &[(usize, bool)],
        inventory: &Inventory,
        view: &NodeView,
        state: &AllocatedState,
    ) {
        for &(pool, relief) in changed {
            let positions = view.pools.get(pool).map(|pool| pool.positions.clone()).unwrap_or_default();
            for position in positions {
                self.exclusive.set(position as usize, false);
                self.devices.remove(&position);
            }
            self.take_over(pool, inventory, view, state);
            if relief {
                self.era = Some(Era::default());
            }
        }
    }

    /// The time that began when something was last given back, in a large view.
    pub(crate) fn era(&self) -> Option<&Era> {
        self.era.as_ref()
    }

    /// Whether a claim holds the device for itself.
    pub(crate) fn is_exclusive(&self, position: u32) -> bool {
        self.exclusive.contains(position as usize)
    }

    /// What is held of the device.
    pub(crate) fn get(&self, position: u32) -> Option<&DeviceBooks> {
        self.devices.get(&position).map(Arc::as_ref)
    }

    /// Whether nothing changed for the view since.
    fn is_current(&self, inventory: &Inventory, view: &NodeView, state: &AllocatedState) -> bool {
        self.books.iter().zip(&view.pools).all(|(books, pool)| {
            let now = state.shared_pool(&inventory.pool(pool.pool).id);
            match (books, now) {
                (Some(books), Some(now)) => Arc::ptr_eq(books, now),
                (None, None) => true,
                _ => false,
            }
        })
    }
}

impl LastHeld {
    /// What is held of the view's devices; `None` where nothing is held at all.
    pub(crate) fn find(
        &self,
        inventory: &Inventory,
        view: &NodeView,
        state: &AllocatedState,
    ) -> Option<Arc<HeldDevices>> {
        if state.is_empty() {
            return None;
        }
        let latest = state.latest_change()?;
        // Whatever is in there is checked before it is used.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = match last.take() {
            Some(known) if Arc::ptr_eq(&known.latest, latest) => known.held,
            Some(known) if view.pools.len() > FEW_POOLS => {
                known.followed(inventory, view, state).unwrap_or_else(|| fresh(inventory, view, state))
            }
            Some(known) if known.held.is_current(inventory, view, state) => known.held,
            _ => fresh(inventory, view, state),
        };
        *last = Some(Known { held: held.clone(), latest: latest.clone() });
        Some(held)
    }
}

fn fresh(inventory: &Inventory, view: &NodeView, state: &AllocatedState) -> Arc<HeldDevices> {
    Arc::new(HeldDevices::new(inventory, view, state))
}

impl Known {
    /// Brought up to date; `None` where it is not known what changed.
    fn followed(
        self,
        inventory: &Inventory,
        view: &NodeView,
        state: &AllocatedState,
    ) -> Option<Arc<HeldDevices>> {
        let changes = state.changes_since(&self.latest)?;
        let in_view = |change: &Change| Some((view.pool_of_id(inventory, &change.pool)?, change.relief));
        let mut pools: Vec<(usize, bool)> = changes.filter_map(in_view).collect();
        if pools.is_empty() {
            return Some(self.held);
        }
        pools.sort_unstable();
        pools.dedup();
        // What is known of others by its place in memory must not change there.
        let mut held = Arc::unwrap_or_clone(self.held);
        held.follow(&pools, inventory, view, state);
        Some(Arc::new(held))
    }
}
