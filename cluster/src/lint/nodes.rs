//! Slices and nodes: who can use devices, and nodes that should be alike and are not.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::NodeSelector;

use super::cluster::Cluster;
use super::finding::{Draft, Findings};
use super::input::reference;
use super::pools::{number, shown};
use super::rules::{NO_NODE_SELECTED, Rule, SIMILAR_NODES_DIFFER, UNKNOWN_NODE};
use crate::matching::node_matches_selector;
use crate::objects::{Node, Slice};
use crate::path::FieldPath;

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    if cluster.snapshot.nodes.is_empty() {
        return;
    }
    reach(cluster, findings);
    similar(cluster, findings);
}

fn draft(rule: &'static Rule, slice: &Slice, field: FieldPath, message: String) -> Draft {
    Draft::new(rule, reference("ResourceSlice", &slice.metadata), &slice.origin, field, message)
}

/// Devices that no node can use.
fn reach(cluster: &Cluster<'_>, findings: &mut Findings) {
    let nodes = &cluster.snapshot.nodes;
    let mut check =
        |slice: &Slice, at: FieldPath, name: Option<&str>, selector: Option<&NodeSelector>, devices| {
            if let Some(name) = name.filter(|name| !name.is_empty() && cluster.snapshot.node(name).is_none())
            {
                let message = format!("node `{name}` does not exist, so {devices} cannot be used");
                findings.add(draft(UNKNOWN_NODE, slice, at.clone().field("nodeName"), message));
            }
            if let Some(selector) = selector
                && !nodes.iter().any(|node| node_matches_selector(selector, node))
            {
                let message =
                    format!("no node has the labels that are asked for, so {devices} cannot be used");
                findings.add(draft(NO_NODE_SELECTED, slice, at.field("nodeSelector"), message));
            }
        };
    for slice in &cluster.snapshot.slices {
        let spec = &slice.spec;
        let devices = number(spec.devices.len(), "device");
        check(
            slice,
            FieldPath::fields("spec"),
            spec.node_name.as_deref(),
            spec.node_selector.as_ref(),
            devices,
        );
        for (index, device) in spec.devices.iter().enumerate() {
            check(
                slice,
                FieldPath::fields("spec.devices").index(index),
                device.node_name.as_deref(),
                device.node_selector.as_ref(),
                format!("device `{}`", device.name),
            );
        }
    }
}

/// Labels that name a group of nodes which are meant to be alike, the most telling first.
const GROUP_LABELS: &[&str] = &[
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "karpenter.sh/nodepool",
    "cluster.x-k8s.io/deployment-name",
    "node.kubernetes.io/instance-type",
];

/// What a node publishes, without what tells equal devices apart: by driver, the devices.
type Kit = BTreeMap<String, Vec<String>>;

/// Nodes of one group with different devices.
fn similar(cluster: &Cluster<'_>, findings: &mut Findings) {
    let mut groups: BTreeMap<Vec<(&str, &str)>, Vec<&Node>> = BTreeMap::new();
    for node in &cluster.snapshot.nodes {
        let key: Vec<(&str, &str)> = GROUP_LABELS
            .iter()
            .filter_map(|label| Some((*label, node.metadata.labels.get(*label)?.as_str())))
            .collect();
        if !key.is_empty() {
            groups.entry(key).or_default().push(node);
        }
    }
    let local = devices_by_node(cluster);
    for (key, nodes) in groups.into_iter().filter(|(_, nodes)| nodes.len() > 1) {
        let individual = individual_attributes(cluster, &local, &nodes);
        let mut kits: BTreeMap<Kit, Vec<&Node>> = BTreeMap::new();
        for node in nodes {
            kits.entry(kit(cluster, &local, node, &individual)).or_default().push(node);
        }
        let Some(usual) =
            kits.iter().max_by_key(|(kit, nodes)| (nodes.len(), kit.len())).map(|(kit, _)| kit.clone())
        else {
            continue;
        };
        let group =
            key.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(", ");
        let others = kits.get(&usual).map_or(0, Vec::len);
        for (kit, nodes) in kits.iter().filter(|(kit, _)| **kit != usual) {
            let Some(first) = nodes.first() else { continue };
            let names: Vec<&str> = nodes.iter().map(|node| node.metadata.name.as_str()).collect();
            let message = format!(
                "`{}` {} other devices than {} of the group {group}",
                shown(&names).join("`, `"),
                if names.len() == 1 { "has" } else { "have" },
                if others == 1 { "the other node".to_owned() } else { format!("{others} other nodes") }
            );
            let object = reference("Node", &first.metadata);
            findings.add(
                Draft::new(SIMILAR_NODES_DIFFER, object, &first.origin, FieldPath::root(), message)
                    .details(differences(kit, &usual)),
            );
        }
    }
}

/// The devices of slices that name one node.
fn devices_by_node<'s>(cluster: &Cluster<'s>) -> BTreeMap<&'s str, Vec<usize>> {
    let mut local: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, published) in cluster.devices.iter().enumerate() {
        if let Some(node) = published.slice.spec.node_name.as_deref() {
            local.entry(node).or_default().push(index);
        }
    }
    local
}

/// Attributes such as a UUID, of which every device has a value of its own.
fn individual_attributes(
    cluster: &Cluster<'_>,
    local: &BTreeMap<&str, Vec<usize>>,
    nodes: &[&Node],
) -> BTreeSet<(String, String)> {
    let mut values: BTreeMap<(String, String), (usize, BTreeSet<String>)> = BTreeMap::new();
    let devices = nodes.iter().filter_map(|node| local.get(node.metadata.name.as_str())).flatten();
    for published in devices.filter_map(|index| cluster.devices.get(*index)) {
        for (name, value) in &published.device.attributes {
            let entry = values.entry((published.slice.spec.driver.clone(), name.clone())).or_default();
            entry.0 += 1;
            entry.1.insert(format!("{value:?}"));
        }
    }
    values.retain(|_, (devices, distinct)| *devices > 1 && distinct.len() == *devices);
    values.into_keys().collect()
}

fn kit(
    cluster: &Cluster<'_>,
    local: &BTreeMap<&str, Vec<usize>>,
    node: &Node,
    individual: &BTreeSet<(String, String)>,
) -> Kit {
    let mut kit = Kit::new();
    let devices = local.get(node.metadata.name.as_str()).map_or(&[][..], Vec::as_slice);
    for published in devices.iter().filter_map(|index| cluster.devices.get(*index)) {
        let driver = &published.slice.spec.driver;
        let attributes = published.device.attributes.iter().map(|(name, value)| {
            if individual.contains(&(driver.clone(), name.clone())) {
                name.clone()
            } else {
                format!("{name}={}", value_text(value))
            }
        });
        let capacity =
            published.device.capacity.iter().map(|(name, capacity)| format!("{name}={}", capacity.value));
        let text: Vec<String> = attributes.chain(capacity).collect();
        kit.entry(driver.clone()).or_default().push(text.join(" "));
    }
    for devices in kit.values_mut() {
        devices.sort();
    }
    kit
}

fn value_text(value: &drayage_cel::AttributeValue) -> String {
    use drayage_cel::AttributeValue::{Bool, Int, String, Version};
    match value {
        Int(value) => value.to_string(),
        Bool(value) => value.to_string(),
        String(text) | Version(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// In what two kits differ, driver by driver.
fn differences(kit: &Kit, usual: &Kit) -> Vec<String> {
    let none = Vec::new();
    let drivers: BTreeSet<&String> = kit.keys().chain(usual.keys()).collect();
    let mut lines = Vec::new();
    for driver in drivers {
        let (found, wanted) = (kit.get(driver).unwrap_or(&none), usual.get(driver).unwrap_or(&none));
        if found == wanted {
            continue;
        }
        if found.len() != wanted.len() {
            lines.push(format!(
                "driver `{driver}`: {} instead of {}",
                number(found.len(), "device"),
                wanted.len()
            ));
        } else if let Some((this, that)) = found.iter().zip(wanted).find(|(this, that)| this != that) {
            lines.push(format!("driver `{driver}`: a device with {this} instead of {that}"));
        }
    }
    lines
}
