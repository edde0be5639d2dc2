//! ResourceClaim, ResourceClaimTemplate and DeviceClass.

use std::collections::BTreeMap;

use drayage_allocator::objects::{
    AllocationMode, ConfigurationForRequests, DeviceConstraint, DeviceDerivedAttribute, DeviceRequest,
    DeviceSelector, DeviceSubRequest, DeviceToleration, ExactDeviceRequest, OpaqueDeviceConfiguration,
    Quantity, ResourceClaim,
};
use serde_json::{Map, Value, json};

use super::metadata::{metadata_json, put_texts_by_key};
use super::{
    allocation_result_json, opaque_json, put, put_list, put_quantities, put_some, put_text, put_texts,
    toleration_json,
};
use crate::objects::{AllocatedDeviceStatus, Claim, ClaimTemplate, Class, ConsumerReference};

const API_VERSION: &str = "resource.k8s.io/v1";

/// A ResourceClaim with its status.
pub fn claim_json(claim: &Claim) -> Value {
    let mut status = Map::new();
    if let Some(result) = &claim.allocation {
        let mut allocation = allocation_result_json(result);
        if let (Value::Object(object), Some(timestamp)) = (&mut allocation, &claim.allocation_timestamp) {
            put(object, "allocationTimestamp", timestamp);
        }
        status.insert("allocation".to_owned(), allocation);
    }
    put_list(&mut status, "reservedFor", &claim.reserved_for, consumer_json);
    put_list(&mut status, "devices", &claim.devices, device_status_json);
    let mut object = json!({
        "apiVersion": API_VERSION,
        "kind": "ResourceClaim",
        "metadata": metadata_json(&claim.metadata),
        "spec": claim_spec_json(&claim.spec),
    });
    if let (Value::Object(object), false) = (&mut object, status.is_empty()) {
        object.insert("status".to_owned(), Value::Object(status));
    }
    object
}

/// A ResourceClaimTemplate.
pub fn claim_template_json(template: &ClaimTemplate) -> Value {
    let mut for_claims = Map::new();
    put_texts_by_key(&mut for_claims, "labels", &template.claim_labels);
    put_texts_by_key(&mut for_claims, "annotations", &template.claim_annotations);
    let mut spec = Map::new();
    if !for_claims.is_empty() {
        spec.insert("metadata".to_owned(), Value::Object(for_claims));
    }
    spec.insert("spec".to_owned(), claim_spec_json(&template.spec));
    json!({
        "apiVersion": API_VERSION,
        "kind": "ResourceClaimTemplate",
        "metadata": metadata_json(&template.metadata),
        "spec": spec,
    })
}

/// A DeviceClass.
pub fn device_class_json(class: &Class) -> Value {
    let mut spec = Map::new();
    put_list(&mut spec, "selectors", &class.spec.selectors, selector_json);
    put_list(&mut spec, "config", &class.spec.config, |entry| entry_json(entry.as_ref()));
    put_some(&mut spec, "extendedResourceName", class.spec.extended_resource_name.as_deref());
    json!({
        "apiVersion": API_VERSION,
        "kind": "DeviceClass",
        "metadata": metadata_json(&class.metadata),
        "spec": spec,
    })
}

/// The `spec` of a claim, with the defaults written out.
fn claim_spec_json(claim: &ResourceClaim) -> Value {
    let mut devices = Map::new();
    put_list(&mut devices, "requests", &claim.requests, request_json);
    put_list(&mut devices, "constraints", &claim.constraints, constraint_json);
    put_list(&mut devices, "config", &claim.config, configuration_json);
    json!({ "devices": devices })
}

fn request_json(request: &DeviceRequest) -> Value {
    let mut object = Map::new();
    put(&mut object, "name", &request.name);
    if let Some(exactly) = &request.exactly {
        object.insert("exactly".to_owned(), exactly_json(exactly));
    }
    put_list(&mut object, "firstAvailable", &request.first_available, alternative_json);
    Value::Object(object)
}

fn exactly_json(request: &ExactDeviceRequest) -> Value {
    let mut object = Map::new();
    put(&mut object, "deviceClassName", &request.device_class_name);
    put_list(&mut object, "selectors", &request.selectors, selector_json);
    put_mode(&mut object, &request.allocation_mode, request.count);
    put_some(&mut object, "adminAccess", request.admin_access);
    put_rest(&mut object, &request.tolerations, request.capacity.as_ref(), &request.derived_attributes);
    Value::Object(object)
}

fn alternative_json(alternative: &DeviceSubRequest) -> Value {
    let mut object = Map::new();
    put(&mut object, "name", &alternative.name);
    put(&mut object, "deviceClassName", &alternative.device_class_name);
    put_list(&mut object, "selectors", &alternative.selectors, selector_json);
    put_mode(&mut object, &alternative.allocation_mode, alternative.count);
    let derived = &alternative.derived_attributes;
    put_rest(&mut object, &alternative.tolerations, alternative.capacity.as_ref(), derived);
    Value::Object(object)
}

fn put_mode(object: &mut Map<String, Value>, mode: &AllocationMode, count: i64) {
    let mode = match mode {
        AllocationMode::ExactCount => "ExactCount",
        AllocationMode::All => "All",
        AllocationMode::Other(other) => other,
    };
    put(object, "allocationMode", mode);
    put_some(object, "count", (count != 0).then_some(count));
}

fn put_rest(
    object: &mut Map<String, Value>,
    tolerations: &[DeviceToleration],
    capacity: Option<&BTreeMap<String, Quantity>>,
    derived_attributes: &[DeviceDerivedAttribute],
) {
    put_list(object, "tolerations", tolerations, toleration_json);
    if let Some(amounts) = capacity {
        let mut requests = Map::new();
        put_quantities(&mut requests, "requests", amounts);
        object.insert("capacity".to_owned(), Value::Object(requests));
    }
    put_list(
        object,
        "derivedAttributes",
        derived_attributes,
        |derived| json!({"name": derived.name, "expression": derived.expression}),
    );
}

fn selector_json(selector: &DeviceSelector) -> Value {
    match &selector.cel {
        Some(expression) => json!({"cel": {"expression": expression}}),
        None => json!({}),
    }
}

fn constraint_json(constraint: &DeviceConstraint) -> Value {
    let mut object = Map::new();
    put_texts(&mut object, "requests", &constraint.requests);
    put_some(&mut object, "matchAttribute", constraint.match_attribute.as_deref());
    put_some(&mut object, "distinctAttribute", constraint.distinct_attribute.as_deref());
    Value::Object(object)
}

fn configuration_json(entry: &ConfigurationForRequests) -> Value {
    let mut object = entry_json(entry.opaque.as_ref());
    if let Value::Object(object) = &mut object {
        put_texts(object, "requests", &entry.requests);
    }
    object
}

fn entry_json(opaque: Option<&OpaqueDeviceConfiguration>) -> Value {
    opaque.map_or_else(|| json!({}), |opaque| json!({"opaque": opaque_json(opaque)}))
}

fn consumer_json(consumer: &ConsumerReference) -> Value {
    let mut object = Map::new();
    put_text(&mut object, "apiGroup", &consumer.api_group);
    put(&mut object, "resource", &consumer.resource);
    put(&mut object, "name", &consumer.name);
    put(&mut object, "uid", &consumer.uid);
    Value::Object(object)
}

fn device_status_json(status: &AllocatedDeviceStatus) -> Value {
    let mut object = Map::new();
    put(&mut object, "driver", &status.device.device.pool.driver);
    put(&mut object, "pool", &status.device.device.pool.pool);
    put(&mut object, "device", &status.device.device.device);
    put_text(&mut object, "shareID", &status.device.share_id);
    put_list(
        &mut object,
        "conditions",
        &status.conditions,
        |condition| json!({"type": condition.kind, "status": condition.status}),
    );
    Value::Object(object)
}
