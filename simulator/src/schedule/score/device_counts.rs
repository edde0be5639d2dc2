//! How many devices of a class a node sees and how many of them are held: what scores by resources count of an
//! extended resource that devices back (gate DRAExtendedResource, since 1.35).
//!
//! As in kube-scheduler, all slices count, whatever the generation of their pool and its completeness, and a selector
//! that fails on some device takes the resource out of the score of that node.

use std::sync::Arc;

use drayage_allocator::objects::{Device, DeviceClass, DeviceId, Node, ResourceSlice};
use drayage_allocator::persistent::Map;
use drayage_cel::{Compiler, Environment, ExpressionStage, Program};

use crate::schedule::devices::Devices;
use crate::schedule::selector;

/// The devices of classes on nodes, remembered until slices change.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeviceCounts {
    /// By class and node; `None` where a selector fails.
    known: Map<(String, usize), Option<Arc<[DeviceId]>>>,
    programs: Map<String, Option<Arc<Program>>>,
    compiler: Option<Arc<Compiler>>,
    /// The count of changes of slices that `known` is true for.
    slices: u32,
}

impl DeviceCounts {
    /// Forgets what nodes see, because one changed.
    pub(crate) fn forget(&mut self) {
        self.known = Map::default();
    }

    /// Devices of a class on a node and how many of them are held; `None` where there are none.
    pub(crate) fn of(
        &mut self,
        class: &DeviceClass,
        at: usize,
        node: &Node,
        devices: &Devices,
    ) -> Option<(i64, i64)> {
        if self.slices != devices.slice_changes() {
            self.known = Map::default();
            self.slices = devices.slice_changes();
        }
        let key = (class.name.clone(), at);
        let found = if let Some(known) = self.known.get(&key) {
            known.clone()
        } else {
            let found = self.devices(class, node, devices).map(Arc::from);
            self.known.insert(key, found.clone());
            found
        }?;
        let held = found.iter().filter(|id| devices.is_held(id)).count();
        let total = i64::try_from(found.len()).ok().filter(|&total| total > 0)?;
        Some((total, i64::try_from(held).unwrap_or(total)))
    }

    fn devices(&mut self, class: &DeviceClass, node: &Node, devices: &Devices) -> Option<Vec<DeviceId>> {
        let mut found = Vec::new();
        for slice in devices.slices() {
            let per_device = slice.per_device_node_selection.unwrap_or(false);
            if !per_device && !sees_slice(node, slice) {
                continue;
            }
            for device in slice.devices.iter().filter(|device| !per_device || sees_device(node, device)) {
                if self.matches(class, slice, device, devices)? {
                    found.push(DeviceId { pool: slice.pool_id(), device: device.name.clone() });
                }
            }
        }
        Some(found)
    }

    /// Whether every selector of the class selects the device; `None` where one fails.
    fn matches(
        &mut self,
        class: &DeviceClass,
        slice: &ResourceSlice,
        device: &Device,
        devices: &Devices,
    ) -> Option<bool> {
        for text in class.selectors.iter().filter_map(|selector| selector.cel.as_deref()) {
            let program = self.program(text, devices)?;
            let capacity = device.capacity.iter().map(|(name, capacity)| (name.as_str(), &capacity.value));
            // The scheduler does not tell here whether devices may be shared.
            let subject = drayage_cel::Device::new(&slice.driver, &device.attributes, capacity, false);
            if !program.matches(&subject).ok()? {
                return Some(false);
            }
        }
        Some(true)
    }

    fn program(&mut self, text: &str, devices: &Devices) -> Option<Arc<Program>> {
        if let Some(known) = self.programs.get(text) {
            return known.clone();
        }
        let compiler = self.compiler.get_or_insert_with(|| {
            Arc::new(Compiler::new(Environment {
                release: devices.kubernetes(),
                stage: ExpressionStage::Stored,
                consumable_capacity: devices.features().consumable_capacity,
                list_type_attributes: devices.features().list_type_attributes,
            }))
        });
        let program = compiler.compile_selector(text).ok().map(Arc::new);
        self.programs.insert(text.to_owned(), program.clone());
        program
    }
}

fn sees_slice(node: &Node, slice: &ResourceSlice) -> bool {
    let name = slice.node_name.as_deref().unwrap_or_default();
    if slice.all_nodes || name == node.name {
        return true;
    }
    match &slice.node_selector {
        Some(selector) => selector::accepts_strictly(selector, node),
        None => name.is_empty(),
    }
}

fn sees_device(node: &Node, device: &Device) -> bool {
    device.all_nodes
        || device.node_name.as_deref().is_some_and(|name| !name.is_empty() && name == node.name)
        || device.node_selector.as_ref().is_some_and(|selector| selector::accepts_strictly(selector, node))
}
