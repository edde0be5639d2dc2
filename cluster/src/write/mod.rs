//! Objects back into the form of the API, `resource.k8s.io/v1`.
//!
//! Fields are left out where Go leaves them out (`omitempty`), so that what is written equals what a cluster has.

mod claim;
mod metadata;
mod slice;

pub use claim::{claim_json, claim_template_json, device_class_json};
pub use metadata::metadata_json;
pub use slice::resource_slice_json;

use std::collections::BTreeMap;

use drayage_allocator::objects::{
    AllocationResult, ConfigurationSource, DeviceAllocationConfiguration, DeviceRequestAllocationResult,
    DeviceToleration, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, OpaqueDeviceConfiguration,
    Quantity,
};
use serde_json::{Map, Value, json};

/// An `AllocationResult` as JSON.
pub fn allocation_result_json(result: &AllocationResult) -> Value {
    let mut devices = Map::new();
    put_list(&mut devices, "results", &result.results, device_result_json);
    put_list(&mut devices, "config", &result.config, configuration_json);
    let mut object = Map::new();
    // `devices` is a struct, which `omitempty` does not leave out
    object.insert("devices".to_owned(), Value::Object(devices));
    if let Some(selector) = &result.node_selector {
        object.insert("nodeSelector".to_owned(), node_selector_json(selector));
    }
    Value::Object(object)
}

/// Whether two lists of results are the same but for the share IDs, which upstream draws at random: a share ID
/// must be present in both or absent in both. Parameters are compared as JSON.
pub fn results_equal(left: &[AllocationResult], right: &[AllocationResult]) -> bool {
    let comparable = |results: &[AllocationResult]| -> Vec<Value> {
        results
            .iter()
            .map(|result| {
                let mut result = result.clone();
                for device in &mut result.results {
                    if let Some(share_id) = &mut device.share_id {
                        "<any>".clone_into(share_id);
                    }
                }
                allocation_result_json(&result)
            })
            .collect()
    };
    comparable(left) == comparable(right)
}

fn device_result_json(result: &DeviceRequestAllocationResult) -> Value {
    let mut object = Map::new();
    put(&mut object, "request", &result.request);
    put(&mut object, "driver", &result.driver);
    put(&mut object, "pool", &result.pool);
    put(&mut object, "device", &result.device);
    put_some(&mut object, "adminAccess", result.admin_access);
    put_list(&mut object, "tolerations", &result.tolerations, toleration_json);
    put_texts(&mut object, "bindingConditions", result.binding_conditions.as_deref().unwrap_or_default());
    put_texts(
        &mut object,
        "bindingFailureConditions",
        result.binding_failure_conditions.as_deref().unwrap_or_default(),
    );
    put_some(&mut object, "shareID", result.share_id.as_deref());
    put_quantities(&mut object, "consumedCapacity", &result.consumed_capacity);
    put_texts(&mut object, "skipNodeOperations", &result.skip_node_operations);
    Value::Object(object)
}

fn toleration_json(toleration: &DeviceToleration) -> Value {
    let mut object = Map::new();
    put_text(&mut object, "key", &toleration.key);
    put_text(&mut object, "operator", &toleration.operator);
    put_text(&mut object, "value", &toleration.value);
    put_text(&mut object, "effect", &toleration.effect);
    put_some(&mut object, "tolerationSeconds", toleration.toleration_seconds);
    Value::Object(object)
}

fn configuration_json(entry: &DeviceAllocationConfiguration) -> Value {
    let source = match entry.source {
        ConfigurationSource::Class => "FromClass",
        ConfigurationSource::Claim => "FromClaim",
    };
    let mut object = Map::new();
    put(&mut object, "source", source);
    put_texts(&mut object, "requests", &entry.requests);
    if let Some(opaque) = &entry.opaque {
        object.insert("opaque".to_owned(), opaque_json(opaque));
    }
    Value::Object(object)
}

fn opaque_json(opaque: &OpaqueDeviceConfiguration) -> Value {
    let parameters = serde_json::from_str(&opaque.parameters).unwrap_or(Value::Null);
    json!({"driver": opaque.driver, "parameters": parameters})
}

fn node_selector_json(selector: &NodeSelector) -> Value {
    let terms: Vec<Value> = selector.terms.iter().map(node_selector_term_json).collect();
    json!({ "nodeSelectorTerms": terms })
}

fn node_selector_term_json(term: &NodeSelectorTerm) -> Value {
    let mut object = Map::new();
    put_list(&mut object, "matchExpressions", &term.match_expressions, requirement_json);
    put_list(&mut object, "matchFields", &term.match_fields, requirement_json);
    Value::Object(object)
}

fn requirement_json(requirement: &NodeSelectorRequirement) -> Value {
    let mut object = Map::new();
    put(&mut object, "key", &requirement.key);
    put(&mut object, "operator", &requirement.operator);
    put_texts(&mut object, "values", &requirement.values);
    Value::Object(object)
}

fn put(object: &mut Map<String, Value>, key: &str, value: &str) {
    object.insert(key.to_owned(), value.into());
}

fn put_text(object: &mut Map<String, Value>, key: &str, value: &str) {
    if !value.is_empty() {
        put(object, key, value);
    }
}

fn put_some<T: Into<Value>>(object: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

fn put_texts(object: &mut Map<String, Value>, key: &str, values: &[String]) {
    if !values.is_empty() {
        object.insert(key.to_owned(), values.into());
    }
}

fn put_list<T>(object: &mut Map<String, Value>, key: &str, values: &[T], write: fn(&T) -> Value) {
    if !values.is_empty() {
        object.insert(key.to_owned(), values.iter().map(write).collect());
    }
}

fn put_quantities(object: &mut Map<String, Value>, key: &str, values: &BTreeMap<String, Quantity>) {
    if !values.is_empty() {
        let amounts = values.iter().map(|(name, amount)| (name.clone(), amount.to_string().into()));
        object.insert(key.to_owned(), Value::Object(amounts.collect()));
    }
}
