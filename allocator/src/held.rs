//! What other claims hold of the devices of one node.

use std::sync::{Arc, Mutex, PoisonError};

use fixedbitset::FixedBitSet;
use rustc_hash::FxHashMap;

use crate::allocated::{AllocatedState, DeviceBooks, PoolBooks};
use crate::inventory::{Inventory, NodeView};

/// The held devices of a view, by position.
#[derive(Debug, Default)]
pub(crate) struct HeldDevices {
    /// By pool of the view: the books that this was found in.
    books: Vec<Option<Arc<PoolBooks>>>,
    /// Devices that one claim holds for itself.
    exclusive: FixedBitSet,
    devices: FxHashMap<u32, Arc<DeviceBooks>>,
}

/// The held devices of a view as they were when it was last asked about.
#[derive(Debug, Default)]
pub(crate) struct LastHeld(Mutex<Option<Arc<HeldDevices>>>);

impl HeldDevices {
    fn new(inventory: &Inventory, view: &NodeView, state: &AllocatedState) -> Self {
        let mut held =
            Self { exclusive: FixedBitSet::with_capacity(view.positions.len()), ..Self::default() };
        for pool in &view.pools {
            let books = state.shared_pool(&inventory.pool(pool.pool).id);
            for (name, device) in books.iter().flat_map(|books| &books.devices) {
                if let Some(position) = pool.position_of(inventory, view, name) {
                    held.exclusive.set(position as usize, device.exclusive);
                    held.devices.insert(position, device.clone());
                }
            }
            held.books.push(books.cloned());
        }
        held
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
        // Whatever is in there is checked before it is used.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = last.as_ref().filter(|held| held.is_current(inventory, view, state)) {
            return Some(held.clone());
        }
        let held = Arc::new(HeldDevices::new(inventory, view, state));
        *last = Some(held.clone());
        Some(held)
    }
}
