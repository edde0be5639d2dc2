//! How many devices of each kind could be allocated now.

use std::collections::BTreeMap;

use drayage_allocator::objects::{
    AllocationMode, Device, DeviceRequest, DeviceSelector, ExactDeviceRequest, ResourceSlice,
};
use drayage_cel::AttributeValue;
use drayage_cluster::Snapshot;
use drayage_cluster::objects::{Class, Metadata};

use super::probe::Probe;
use crate::report::ProfileReport;
use crate::schedule::{ClusterState, SimulateError};

/// A device class without selectors, for requests that choose by themselves.
const ANY: &str = "drayage-probe-any";
/// Attributes that say what a device is, in the order in which a name is made of them.
const TELLING: [&str; 4] = ["productName", "model", "type", "profile"];

/// Adds the class that trials use.
pub(super) fn add_class(snapshot: &mut Snapshot) {
    let metadata = Metadata { name: ANY.to_owned(), ..Metadata::default() };
    let mut class = Class { metadata, ..Class::default() };
    ANY.clone_into(&mut class.spec.name);
    let at = snapshot.classes.partition_point(|other| other.metadata.name < class.metadata.name);
    snapshot.classes.insert(at, class);
}

/// Devices that agree in driver and telling attributes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    driver: String,
    /// Name of the attribute with its domain, and text.
    attributes: Vec<(String, String)>,
}

impl Kind {
    fn of(slice: &ResourceSlice, device: &Device) -> Self {
        let mut attributes = Vec::new();
        for telling in TELLING {
            let found = device.attributes.iter().find_map(|(name, value)| match value {
                AttributeValue::String(text) if name.rsplit('/').next() == Some(telling) => {
                    Some((name, text))
                }
                _ => None,
            });
            attributes.extend(found.map(|(name, text)| (name.clone(), text.clone())));
        }
        Self { driver: slice.driver.clone(), attributes }
    }

    fn name(&self) -> String {
        if self.attributes.is_empty() {
            return self.driver.clone();
        }
        self.attributes.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// A request for one device of the kind.
    fn request(&self) -> DeviceRequest {
        let mut conditions = vec![format!("device.driver == {}", quoted(&self.driver))];
        for (name, text) in &self.attributes {
            let (domain, name) = name.rsplit_once('/').unwrap_or((&self.driver, name));
            conditions.push(format!("device.attributes[{}].{name} == {}", quoted(domain), quoted(text)));
        }
        DeviceRequest {
            name: "device".to_owned(),
            exactly: Some(ExactDeviceRequest {
                device_class_name: ANY.to_owned(),
                selectors: vec![DeviceSelector { cel: Some(conditions.join(" && ")) }],
                allocation_mode: AllocationMode::ExactCount,
                count: 1,
                ..ExactDeviceRequest::default()
            }),
            ..DeviceRequest::default()
        }
    }
}

/// A CEL string. JSON escapes as CEL does.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Fills every node with each kind of device alone, on forks.
pub(super) fn placeable(
    state: &ClusterState,
    slices_of_nodes: &BTreeMap<usize, Vec<(&ResourceSlice, &Device)>>,
) -> Result<Vec<ProfileReport>, SimulateError> {
    let mut kinds: BTreeMap<Kind, BTreeMap<usize, usize>> = BTreeMap::new();
    for (&node, devices) in slices_of_nodes {
        for (slice, device) in devices {
            *kinds.entry(Kind::of(slice, device)).or_default().entry(node).or_default() += 1;
        }
    }
    let mut reports = Vec::new();
    for (kind, nodes) in kinds {
        let most = nodes.values().copied().max().unwrap_or(0);
        let mut fork = state.clone();
        let probes: Vec<Probe> = (0..most)
            .map(|at| Probe::of_requests(&mut fork, vec![kind.request()], &format!("profile-{at}")))
            .collect();
        let mut report = ProfileReport {
            driver: kind.driver.clone(),
            profile: kind.name(),
            devices: nodes.values().sum(),
            placeable: 0,
            nodes: 0,
            most_on_one_node: 0,
        };
        for (&node, &devices) in &nodes {
            let mut placed = Vec::new();
            for probe in probes.iter().take(devices) {
                if !probe.fits(&mut fork, node)? {
                    break;
                }
                placed.push(probe);
            }
            report.placeable += placed.len();
            report.nodes += usize::from(!placed.is_empty());
            report.most_on_one_node = report.most_on_one_node.max(placed.len());
            for probe in placed {
                probe.leave(&mut fork);
            }
        }
        reports.push(report);
    }
    Ok(reports)
}
