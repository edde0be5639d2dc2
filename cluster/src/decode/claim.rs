//! The `spec` of ResourceClaim and ResourceClaimTemplate, in every version.

use std::collections::BTreeMap;

use drayage_allocator::objects::{
    AllocationMode, ConfigurationForRequests, DeviceConstraint, DeviceDerivedAttribute, DeviceRequest,
    DeviceSubRequest, ExactDeviceRequest, Quantity, ResourceClaim,
};

use super::ResourceVersion;
use super::common::{opaque, selectors, tolerations};
use crate::fields::{Fields, object};

/// The `spec` of a claim. The caller sets namespace and name.
pub(crate) fn spec(spec: &Fields<'_, '_>, version: ResourceVersion) -> ResourceClaim {
    spec.not_considered("controller", "allocation by a control plane controller ended with Kubernetes 1.31");
    spec.object("devices", |devices| ResourceClaim {
        namespace: String::new(),
        name: String::new(),
        requests: devices
            .list("requests", |item| object(item, |fields| request(fields, version)))
            .unwrap_or_default(),
        constraints: devices.list("constraints", |item| object(item, constraint)).unwrap_or_default(),
        config: devices.list("config", |item| object(item, configuration)).unwrap_or_default(),
    })
    .unwrap_or_default()
}

fn request(fields: &Fields<'_, '_>, version: ResourceVersion) -> DeviceRequest {
    let first_available: Vec<DeviceSubRequest> =
        fields.list("firstAvailable", |item| object(item, alternative)).unwrap_or_default();
    let exactly = if version.has_current_shape() {
        fields.object("exactly", exact_request)
    } else {
        // before v1beta2 the fields of `exactly` sit in the request itself, next to `firstAvailable`
        let exactly = exact_request(fields);
        (first_available.is_empty() || !exactly.device_class_name.is_empty()).then_some(exactly)
    };
    DeviceRequest { name: fields.string("name"), exactly, first_available }
}

fn exact_request(fields: &Fields<'_, '_>) -> ExactDeviceRequest {
    let (allocation_mode, count) = mode_and_count(fields);
    ExactDeviceRequest {
        device_class_name: fields.string("deviceClassName"),
        selectors: selectors(fields),
        allocation_mode,
        count,
        admin_access: fields.boolean("adminAccess"),
        tolerations: tolerations(fields),
        capacity: capacity(fields),
        derived_attributes: derived_attributes(fields),
    }
}

fn alternative(fields: &Fields<'_, '_>) -> DeviceSubRequest {
    let (allocation_mode, count) = mode_and_count(fields);
    DeviceSubRequest {
        name: fields.string("name"),
        device_class_name: fields.string("deviceClassName"),
        selectors: selectors(fields),
        allocation_mode,
        count,
        tolerations: tolerations(fields),
        capacity: capacity(fields),
        derived_attributes: derived_attributes(fields),
    }
}

/// The API server defaults: no mode means `ExactCount`, and `ExactCount` with no count, or 0, means 1.
fn mode_and_count(fields: &Fields<'_, '_>) -> (AllocationMode, i64) {
    let count = fields.integer("count").unwrap_or_default();
    match fields.text("allocationMode").as_deref() {
        None | Some("" | "ExactCount") => (AllocationMode::ExactCount, if count == 0 { 1 } else { count }),
        Some("All") => (AllocationMode::All, count),
        Some(other) => (AllocationMode::Other(other.to_owned()), count),
    }
}

fn capacity(fields: &Fields<'_, '_>) -> Option<BTreeMap<String, Quantity>> {
    fields.object("capacity", |capacity| capacity.quantity_map("requests"))
}

fn derived_attributes(fields: &Fields<'_, '_>) -> Vec<DeviceDerivedAttribute> {
    let derived = |fields: &Fields<'_, '_>| DeviceDerivedAttribute {
        name: fields.string("name"),
        expression: fields.string("expression"),
    };
    fields.list("derivedAttributes", |item| object(item, derived)).unwrap_or_default()
}

fn constraint(fields: &Fields<'_, '_>) -> DeviceConstraint {
    DeviceConstraint {
        requests: fields.texts("requests"),
        match_attribute: fields.text("matchAttribute"),
        distinct_attribute: fields.text("distinctAttribute"),
    }
}

fn configuration(fields: &Fields<'_, '_>) -> ConfigurationForRequests {
    ConfigurationForRequests { requests: fields.texts("requests"), opaque: opaque(fields) }
}
