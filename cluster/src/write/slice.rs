//! ResourceSlice.

use drayage_allocator::objects::{
    AttributeValue, CapacityRequestPolicy, CounterSet, Device, DeviceCapacity, DeviceCounterConsumption,
    DeviceTaint, Quantity,
};
use serde_json::{Map, Value, json};

use super::metadata::metadata_json;
use super::{node_selector_json, put, put_list, put_some, put_text, put_texts};
use crate::objects::Slice;

/// A ResourceSlice.
pub fn resource_slice_json(slice: &Slice) -> Value {
    let source = &slice.spec;
    let mut spec = Map::new();
    put(&mut spec, "driver", &source.driver);
    let pool = json!({
        "name": source.pool.name,
        "generation": source.pool.generation,
        "resourceSliceCount": source.pool.resource_slice_count,
    });
    spec.insert("pool".to_owned(), pool);
    put_some(&mut spec, "nodeName", source.node_name.as_deref());
    put_some(&mut spec, "nodeSelector", source.node_selector.as_ref().map(node_selector_json));
    put_some(&mut spec, "allNodes", source.all_nodes.then_some(true));
    put_some(&mut spec, "perDeviceNodeSelection", source.per_device_node_selection);
    put_list(&mut spec, "devices", &source.devices, device_json);
    put_list(&mut spec, "sharedCounters", &source.shared_counters, counter_set_json);
    put_some(&mut spec, "partitionTypeAttribute", source.partition_type_attribute.as_deref());
    put_texts(&mut spec, "skipNodeOperations", &source.skip_node_operations);
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": metadata_json(&slice.metadata),
        "spec": spec,
    })
}

fn device_json(device: &Device) -> Value {
    let mut object = Map::new();
    put(&mut object, "name", &device.name);
    put_map(&mut object, "attributes", &device.attributes, attribute_json);
    put_map(&mut object, "capacity", &device.capacity, capacity_json);
    put_list(&mut object, "consumesCounters", &device.consumes_counters, consumption_json);
    put_some(&mut object, "nodeName", device.node_name.as_deref());
    put_some(&mut object, "nodeSelector", device.node_selector.as_ref().map(node_selector_json));
    put_some(&mut object, "allNodes", device.all_nodes.then_some(true));
    put_list(&mut object, "taints", &device.taints, taint_json);
    put_some(&mut object, "bindsToNode", device.binds_to_node.then_some(true));
    put_texts(&mut object, "bindingConditions", device.binding_conditions.as_deref().unwrap_or_default());
    put_texts(
        &mut object,
        "bindingFailureConditions",
        device.binding_failure_conditions.as_deref().unwrap_or_default(),
    );
    put_some(&mut object, "allowMultipleAllocations", device.allow_multiple_allocations);
    Value::Object(object)
}

fn put_map<T>(
    object: &mut Map<String, Value>,
    key: &str,
    values: &std::collections::BTreeMap<String, T>,
    write: fn(&T) -> Value,
) {
    if !values.is_empty() {
        let written = values.iter().map(|(name, value)| (name.clone(), write(value)));
        object.insert(key.to_owned(), Value::Object(written.collect()));
    }
}

fn attribute_json(attribute: &AttributeValue) -> Value {
    let value: Value = match attribute {
        AttributeValue::Int(value) => (*value).into(),
        AttributeValue::Bool(value) => (*value).into(),
        AttributeValue::String(text) | AttributeValue::Version(text) => text.as_str().into(),
        AttributeValue::Ints(values) => values.as_slice().into(),
        AttributeValue::Bools(values) => values.as_slice().into(),
        AttributeValue::Strings(texts) | AttributeValue::Versions(texts) => texts.as_slice().into(),
        AttributeValue::Unset => return json!({}),
    };
    Value::Object(Map::from_iter([(attribute.field_name().to_owned(), value)]))
}

fn quantity_json(quantity: &Quantity) -> Value {
    quantity.to_string().into()
}

fn capacity_json(capacity: &DeviceCapacity) -> Value {
    let mut object = Map::new();
    object.insert("value".to_owned(), quantity_json(&capacity.value));
    put_some(&mut object, "requestPolicy", capacity.request_policy.as_deref().map(policy_json));
    Value::Object(object)
}

fn policy_json(policy: &CapacityRequestPolicy) -> Value {
    let mut object = Map::new();
    put_some(&mut object, "default", policy.default.as_ref().map(quantity_json));
    put_list(&mut object, "validValues", policy.valid_values.as_deref().unwrap_or_default(), quantity_json);
    if let Some(range) = &policy.valid_range {
        let mut bounds = Map::new();
        put_some(&mut bounds, "min", range.min.as_ref().map(quantity_json));
        put_some(&mut bounds, "max", range.max.as_ref().map(quantity_json));
        put_some(&mut bounds, "step", range.step.as_ref().map(quantity_json));
        object.insert("validRange".to_owned(), Value::Object(bounds));
    }
    Value::Object(object)
}

fn counter_json(amount: &Quantity) -> Value {
    json!({"value": quantity_json(amount)})
}

fn counter_set_json(set: &CounterSet) -> Value {
    let mut object = Map::new();
    put(&mut object, "name", &set.name);
    put_map(&mut object, "counters", &set.counters, counter_json);
    Value::Object(object)
}

fn consumption_json(consumption: &DeviceCounterConsumption) -> Value {
    let mut object = Map::new();
    put(&mut object, "counterSet", &consumption.counter_set);
    put_map(&mut object, "counters", &consumption.counters, counter_json);
    put_texts(&mut object, "compatibilityGroups", &consumption.compatibility_groups);
    Value::Object(object)
}

fn taint_json(taint: &DeviceTaint) -> Value {
    let mut object = Map::new();
    put(&mut object, "key", &taint.key);
    put_text(&mut object, "value", &taint.value);
    put(&mut object, "effect", &taint.effect);
    Value::Object(object)
}
