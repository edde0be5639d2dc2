//! Opaque parameters of our own kind, in claims, claim templates and classes.

use drayage_allocator::objects::OpaqueDeviceConfiguration;
use drayage_crds::{API_VERSION, DeviceConfig};
use serde_json::Value;

use super::cluster::Cluster;
use super::finding::{Draft, Findings};
use super::input::reference;
use super::rules::DEVICE_CONFIG_INVALID;
use crate::path::FieldPath;

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    for demand in &cluster.demands {
        for (index, entry) in demand.spec.config.iter().enumerate() {
            if let Some(message) = entry.opaque.as_ref().and_then(fault) {
                let field = parameters(demand.devices.clone().field("config"), index);
                let draft =
                    Draft::new(DEVICE_CONFIG_INVALID, demand.object.clone(), demand.origin, field, message);
                findings.add(draft.alike(demand.alike));
            }
        }
    }
    for class in &cluster.snapshot.classes {
        for (index, entry) in class.spec.config.iter().enumerate() {
            if let Some(message) = entry.as_ref().and_then(fault) {
                let field = parameters(FieldPath::fields("spec.config"), index);
                let object = reference("DeviceClass", &class.metadata);
                findings.add(Draft::new(DEVICE_CONFIG_INVALID, object, &class.origin, field, message));
            }
        }
    }
}

fn parameters(configurations: FieldPath, index: usize) -> FieldPath {
    configurations.index(index).field("opaque").field("parameters")
}

/// What is wrong with parameters of our API group; those of others are nobody's business here.
fn fault(opaque: &OpaqueDeviceConfiguration) -> Option<String> {
    let parameters: Value = serde_json::from_str(&opaque.parameters).ok()?;
    let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned());
    if group(parameters["apiVersion"].as_str()?) != group(API_VERSION) {
        return None;
    }
    DeviceConfig::read(&parameters).err()
}
