//! What can fail together.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::DeviceId;
use drayage_cel::AttributeValue;
use drayage_cluster::objects::TaintRule;
use rustc_hash::FxHashMap;

use crate::schedule::ClusterState;
use crate::what_if::random::Random;

/// Nodes and devices that fail at the same time.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// `node`, `device`, `domain`, `taint-rule` or `combination`.
    pub kind: &'static str,
    /// What reports call it.
    pub name: String,
    /// Numbers of the nodes that fail.
    pub nodes: Vec<usize>,
    /// Devices that fail.
    pub devices: Vec<DeviceId>,
    /// Rules that taint devices.
    pub rules: Vec<TaintRule>,
}

/// Which nodes and devices fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A node, by name.
    Node(String),
    /// A device, as `driver/pool/device` or as much of the end of that as is unambiguous.
    Device(String),
    /// All nodes with a label, as `key=value`, or with every value of `key` for itself.
    Label(String),
    /// All devices with an attribute, as `domain/name=value`, or with every value of `domain/name` for itself.
    Attribute(String),
}

/// A target that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// No such node.
    #[error("node `{name}` does not exist in the input")]
    Node {
        /// The name.
        name: String,
    },
    /// No such device.
    #[error("device `{name}` does not exist in the input")]
    Device {
        /// As it was written.
        name: String,
    },
    /// Several devices.
    #[error("`{name}` can be {} or {}; write DRIVER/POOL/DEVICE", found[0], found[1])]
    Ambiguous {
        /// As it was written.
        name: String,
        /// Two that it can be.
        found: [String; 2],
    },
    /// No node has the label.
    #[error("no node has `{name}`")]
    Label {
        /// As it was written.
        name: String,
    },
    /// No device has the attribute.
    #[error("no device has `{name}`")]
    Attribute {
        /// As it was written.
        name: String,
    },
}

/// Every node for itself, by name.
pub fn every_node(state: &ClusterState) -> Vec<Unit> {
    let unit = |&at: &usize| Unit {
        kind: "node",
        name: state.node(at).map(|node| node.metadata.name.clone()).unwrap_or_default(),
        nodes: vec![at],
        ..Unit::default()
    };
    state.node_numbers().iter().map(unit).collect()
}

/// Every device of the newest generation of its pool for itself, by driver, pool and name.
pub fn every_device(state: &ClusterState) -> Vec<Unit> {
    let unit = |device: DeviceId| Unit {
        kind: "device",
        name: device.to_string(),
        devices: vec![device],
        ..Unit::default()
    };
    devices(state).into_keys().map(unit).collect()
}

/// The units that a target means, in the order of their names.
pub fn of_target(state: &ClusterState, target: &Target) -> Result<Vec<Unit>, TargetError> {
    match target {
        Target::Node(name) => {
            let at = state.find_node(name).ok_or_else(|| TargetError::Node { name: name.clone() })?;
            Ok(vec![Unit { kind: "node", name: name.clone(), nodes: vec![at], ..Unit::default() }])
        }
        Target::Device(name) => {
            let device = find_device(state, name)?;
            let name = device.to_string();
            Ok(vec![Unit { kind: "device", name, devices: vec![device], ..Unit::default() }])
        }
        Target::Label(text) => {
            let (key, value) = split(text);
            let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for &at in state.node_numbers().iter() {
                let found = state.node(at).and_then(|node| node.metadata.labels.get(key));
                if let Some(found) = found.filter(|found| value.is_none_or(|value| value == found.as_str())) {
                    groups.entry(found.clone()).or_default().push(at);
                }
            }
            let unit = |(value, nodes)| Unit {
                kind: "domain",
                name: format!("{key}={value}"),
                nodes,
                ..Unit::default()
            };
            let units = groups.into_iter().map(unit).collect();
            some(units, || TargetError::Label { name: text.clone() })
        }
        Target::Attribute(text) => {
            let (name, value) = split(text);
            let mut groups: BTreeMap<String, Vec<DeviceId>> = BTreeMap::new();
            for (device, attributes) in devices(state) {
                let Some(found) = attribute(attributes, name, &device.pool.driver) else { continue };
                if value.is_none_or(|value| value == found) {
                    groups.entry(found).or_default().push(device);
                }
            }
            let unit = |(value, devices)| Unit {
                kind: "domain",
                name: format!("{name}={value}"),
                devices,
                ..Unit::default()
            };
            let units = groups.into_iter().map(unit).collect();
            some(units, || TargetError::Attribute { name: text.clone() })
        }
    }
}

fn some(units: Vec<Unit>, none: impl FnOnce() -> TargetError) -> Result<Vec<Unit>, TargetError> {
    if units.is_empty() { Err(none()) } else { Ok(units) }
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)))
}

/// All of these at the same time.
pub fn combined(units: Vec<Unit>) -> Unit {
    let name = units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>().join(" + ");
    let mut nodes = BTreeSet::new();
    let mut devices = BTreeSet::new();
    let mut rules = Vec::new();
    for unit in units {
        nodes.extend(unit.nodes);
        devices.extend(unit.devices);
        rules.extend(unit.rules);
    }
    Unit {
        kind: "combination",
        name,
        nodes: nodes.into_iter().collect(),
        devices: devices.into_iter().collect(),
        rules,
    }
}

/// `samples` combinations of `together` of the units, drawn by the seed; a combination that is drawn again counts
/// once.
pub fn sampled(units: &[Unit], together: usize, samples: usize, seed: u64) -> Vec<Unit> {
    let mut random = Random::new(seed);
    let drawn: BTreeSet<Vec<usize>> = (0..samples).map(|_| random.choose(together, units.len())).collect();
    let chosen = |numbers: Vec<usize>| -> Vec<Unit> {
        numbers.into_iter().filter_map(|at| units.get(at).cloned()).collect()
    };
    drawn.into_iter().map(|numbers| combined(chosen(numbers))).collect()
}

/// The devices of the newest generation of each pool, with their attributes.
fn devices(state: &ClusterState) -> BTreeMap<DeviceId, &BTreeMap<String, AttributeValue>> {
    let mut newest: FxHashMap<_, i64> = FxHashMap::default();
    for slice in state.slices() {
        let generation = newest.entry(slice.pool_id()).or_insert(slice.pool.generation);
        *generation = (*generation).max(slice.pool.generation);
    }
    let mut devices = BTreeMap::new();
    for slice in state.slices().filter(|slice| newest.get(&slice.pool_id()) == Some(&slice.pool.generation)) {
        for device in &slice.devices {
            let id = DeviceId { pool: slice.pool_id(), device: device.name.clone() };
            devices.insert(id, &device.attributes);
        }
    }
    devices
}

fn find_device(state: &ClusterState, name: &str) -> Result<DeviceId, TargetError> {
    let suffix = format!("/{name}");
    let all = devices(state);
    let mut found = all.into_keys().filter(|device| {
        let full = device.to_string();
        full == name || full.ends_with(&suffix)
    });
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => {
            let found = [first.to_string(), second.to_string()];
            Err(TargetError::Ambiguous { name: name.to_owned(), found })
        }
        (None, _) => Err(TargetError::Device { name: name.to_owned() }),
    }
}

/// The attribute as text. Without a domain it is the driver's own.
fn attribute(attributes: &BTreeMap<String, AttributeValue>, name: &str, driver: &str) -> Option<String> {
    let short = name.strip_prefix(driver).and_then(|rest| rest.strip_prefix('/'));
    let value = attributes
        .get(name)
        .or_else(|| attributes.get(short?))
        .or_else(|| attributes.get(&format!("{driver}/{name}")))?;
    match value {
        AttributeValue::String(text) | AttributeValue::Version(text) => Some(text.clone()),
        AttributeValue::Int(number) => Some(number.to_string()),
        AttributeValue::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
