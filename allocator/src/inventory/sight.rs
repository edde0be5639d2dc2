//! What tells nodes apart that have no slices of their own.
//!
//! In a cluster of devices in the network many nodes see the same. What such a node sees follows from which node
//! selectors of slices and devices select it, so two with equal verdicts need one view only.

use std::collections::BTreeSet;

use super::Inventory;
use crate::node_selection::ValidSelector;
use crate::objects::{Node, NodeSelector};

/// The node selectors of all slices that are not bound to one node by its name.
#[derive(Debug, Default)]
pub(crate) struct Sights {
    selectors: Vec<NodeSelector>,
    /// Nodes that devices name.
    names: BTreeSet<String>,
    /// Whether some device binds its claim to the node, which is then part of the answer.
    binds: bool,
}

/// More different selectors than this are not compared.
const MOST_SELECTORS: usize = 64;

impl Sights {
    pub(crate) fn new(inventory: &Inventory) -> Self {
        let mut sights = Self::default();
        for &pool in inventory.shared_pools.iter().chain(inventory.counter_pools.iter()) {
            for &slice in &inventory.pool(pool).unbound_slices {
                let slice = inventory.slice(slice);
                sights.note(slice.node_selector.as_ref());
                let by_device = slice.per_device_node_selection == Some(true);
                for device in &slice.devices {
                    sights.binds |= device.binds_to_node;
                    if by_device {
                        sights.note(device.node_selector.as_ref());
                        sights.names.extend(device.node_name.clone());
                    }
                }
            }
        }
        sights
    }

    fn note(&mut self, selector: Option<&NodeSelector>) {
        let Some(selector) = selector else { return };
        // Mostly the one that was noted last.
        if self.selectors.len() <= MOST_SELECTORS
            && self.selectors.iter().rev().all(|other| other != selector)
        {
            self.selectors.push(selector.clone());
        }
    }

    /// What the selectors say of a node. Nodes with equal verdicts see the same; `None` where that is not certain.
    pub(crate) fn of(&self, inventory: &Inventory, node: &Node) -> Option<Box<[bool]>> {
        let own = inventory.has_local_slices(&node.name);
        if own || self.binds || self.names.contains(&node.name) || self.selectors.len() > MOST_SELECTORS {
            return None;
        }
        self.selectors.iter().map(|selector| Some(ValidSelector::new(selector).ok()?.matches(node))).collect()
    }
}
