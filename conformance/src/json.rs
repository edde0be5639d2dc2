//! Problems and answers as JSON lines, in the form of recorded vectors: objects of `resource.k8s.io/v1`.

use serde_json::{Map, Value, json};

use drayage_allocator::objects::{
    AllocationMode, AllocationResult, AttributeValue, ConfigurationSource, Device, DeviceCapacity,
    DeviceDerivedAttribute, DeviceSelector, DeviceToleration, NodeSelector, NodeSelectorRequirement,
    OpaqueDeviceConfiguration, Quantity, ResourceClaim, ResourceSlice,
};

use crate::problem::Problem;

/// The problem in the format that the command reads.
pub fn problem(problem: &Problem) -> Value {
    let features = problem.features;
    let classes = problem.classes.iter().map(|class| {
        let config = class.config.iter().map(|entry| entry.as_ref().map_or_else(|| json!({}), opaque));
        json!({
            "metadata": {"name": class.name},
            "spec": {"selectors": selectors(&class.selectors), "config": config.collect::<Vec<_>>()},
        })
    });
    let capacity = problem.held_capacity.iter().map(|(id, amounts)| (id.to_string(), quantities(amounts)));
    json!({
        "name": problem.name,
        "node": {
            "metadata": {"name": problem.node.name, "labels": problem.node.labels},
            "status": {"declaredFeatures": problem.node.declared_features},
        },
        "classes": classes.collect::<Vec<_>>(),
        "slices": problem.slices.iter().map(slice).collect::<Vec<_>>(),
        "claims": problem.claims.iter().map(claim).collect::<Vec<_>>(),
        "allocatedDevices": problem.held_devices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "allocatedSharedDeviceIDs": problem.held_shares.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "allocatedCapacity": capacity.collect::<Map<_, _>>(),
        "features": {
            "AdminAccess": features.admin_access,
            "PrioritizedList": features.prioritized_list,
            "PartitionableDevices": features.partitionable_devices,
            "DeviceTaints": features.device_taints,
            "DeviceBindingAndStatus": features.device_binding_and_status,
            "ConsumableCapacity": features.consumable_capacity,
            "DeviceStatus": features.device_status,
            "ListTypeAttributes": features.list_type_attributes,
            "FractionalCapacityRange": features.fractional_capacity_range,
            "OptionalNodeOperations": features.optional_node_operations,
            "DerivedAttributes": features.derived_attributes,
            "CompatibilityGroups": features.compatibility_groups,
        },
    })
}

/// An AllocationResult as Go writes it: empty fields left out.
pub fn result(result: &AllocationResult) -> Value {
    let devices = result.results.iter().map(|device| {
        let consumed = device.consumed_capacity.iter().map(|(name, amount)| (name.clone(), text(amount)));
        object([
            ("request", json!(device.request)),
            ("driver", json!(device.driver)),
            ("pool", json!(device.pool)),
            ("device", json!(device.device)),
            ("adminAccess", json!(device.admin_access)),
            ("tolerations", tolerations(&device.tolerations)),
            ("bindingConditions", json!(device.binding_conditions)),
            ("bindingFailureConditions", json!(device.binding_failure_conditions)),
            ("shareID", json!(device.share_id)),
            ("consumedCapacity", Value::Object(consumed.collect())),
            ("skipNodeOperations", json!(device.skip_node_operations)),
        ])
    });
    let config = result.config.iter().map(|entry| {
        let source = match entry.source {
            ConfigurationSource::Class => "FromClass",
            ConfigurationSource::Claim => "FromClaim",
        };
        let mut written = entry.opaque.as_ref().map_or_else(|| json!({}), opaque);
        written["source"] = json!(source);
        if !entry.requests.is_empty() {
            written["requests"] = json!(entry.requests);
        }
        written
    });
    let devices =
        object([("results", Value::Array(devices.collect())), ("config", Value::Array(config.collect()))]);
    let mut written = Map::new();
    written.insert("devices".to_owned(), devices);
    if let Some(selector) = &result.node_selector {
        written.insert("nodeSelector".to_owned(), node_selector(selector));
    }
    Value::Object(written)
}

/// An object without the fields that are null, empty or false.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let kept = fields.into_iter().filter(|(_, value)| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Number(_) | Value::Bool(true) => true,
    });
    Value::Object(kept.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(quantity: &Quantity) -> Value {
    Value::String(quantity.to_string())
}

fn quantities<'a>(amounts: impl IntoIterator<Item = (&'a String, &'a Quantity)>) -> Value {
    Value::Object(amounts.into_iter().map(|(name, amount)| (name.clone(), text(amount))).collect())
}

fn opaque(opaque: &OpaqueDeviceConfiguration) -> Value {
    let parameters: Value = serde_json::from_str(&opaque.parameters).unwrap_or(Value::Null);
    json!({"opaque": {"driver": opaque.driver, "parameters": parameters}})
}

fn selectors(selectors: &[DeviceSelector]) -> Value {
    let each = selectors.iter().map(|selector| {
        selector
            .cel
            .as_ref()
            .map_or_else(|| json!({}), |expression| json!({"cel": {"expression": expression}}))
    });
    Value::Array(each.collect())
}

fn tolerations(tolerations: &[DeviceToleration]) -> Value {
    let each = tolerations.iter().map(|toleration| {
        object([
            ("key", json!(toleration.key)),
            ("operator", json!(toleration.operator)),
            ("value", json!(toleration.value)),
            ("effect", json!(toleration.effect)),
            ("tolerationSeconds", json!(toleration.toleration_seconds)),
        ])
    });
    Value::Array(each.collect())
}

fn mode(mode: &AllocationMode) -> &str {
    match mode {
        AllocationMode::ExactCount => "ExactCount",
        AllocationMode::All => "All",
        AllocationMode::Other(text) => text,
    }
}

fn claim(claim: &ResourceClaim) -> Value {
    let requests = claim.requests.iter().map(|request| {
        let mut written = json!({"name": request.name});
        if let Some(exact) = &request.exactly {
            let mut exactly = json!({
                "deviceClassName": exact.device_class_name,
                "selectors": selectors(&exact.selectors),
                "allocationMode": mode(&exact.allocation_mode),
                "count": exact.count,
                "adminAccess": exact.admin_access,
                "tolerations": tolerations(&exact.tolerations),
            });
            if let Some(amounts) = &exact.capacity {
                exactly["capacity"] = json!({"requests": quantities(amounts)});
            }
            add_derived(&mut exactly, &exact.derived_attributes);
            written["exactly"] = exactly;
        }
        let subs = request.first_available.iter().map(|sub| {
            let mut written = json!({
                "name": sub.name,
                "deviceClassName": sub.device_class_name,
                "selectors": selectors(&sub.selectors),
                "allocationMode": mode(&sub.allocation_mode),
                "count": sub.count,
                "tolerations": tolerations(&sub.tolerations),
            });
            if let Some(amounts) = &sub.capacity {
                written["capacity"] = json!({"requests": quantities(amounts)});
            }
            add_derived(&mut written, &sub.derived_attributes);
            written
        });
        let subs: Vec<Value> = subs.collect();
        if !subs.is_empty() {
            written["firstAvailable"] = Value::Array(subs);
        }
        written
    });
    let constraints = claim.constraints.iter().map(|constraint| {
        object([
            ("requests", json!(constraint.requests)),
            ("matchAttribute", json!(constraint.match_attribute)),
            ("distinctAttribute", json!(constraint.distinct_attribute)),
        ])
    });
    let config = claim.config.iter().map(|entry| {
        let mut written = entry.opaque.as_ref().map_or_else(|| json!({}), opaque);
        written["requests"] = json!(entry.requests);
        written
    });
    json!({
        "metadata": object([("name", json!(claim.name)), ("namespace", json!(claim.namespace))]),
        "spec": {"devices": {
            "requests": requests.collect::<Vec<_>>(),
            "constraints": constraints.collect::<Vec<_>>(),
            "config": config.collect::<Vec<_>>(),
        }},
    })
}

fn add_derived(to: &mut Value, derived: &[DeviceDerivedAttribute]) {
    if !derived.is_empty() {
        let each = derived.iter().map(|one| json!({"name": one.name, "expression": one.expression}));
        to["derivedAttributes"] = Value::Array(each.collect());
    }
}

fn node_selector(selector: &NodeSelector) -> Value {
    let requirements = |requirements: &[NodeSelectorRequirement]| {
        let each = requirements.iter().map(|requirement| {
            let mut written = json!({"key": requirement.key, "operator": requirement.operator});
            if !requirement.values.is_empty() {
                written["values"] = json!(requirement.values);
            }
            written
        });
        Value::Array(each.collect())
    };
    let terms = selector.terms.iter().map(|term| {
        object([
            ("matchExpressions", requirements(&term.match_expressions)),
            ("matchFields", requirements(&term.match_fields)),
        ])
    });
    json!({"nodeSelectorTerms": terms.collect::<Vec<_>>()})
}

fn slice(slice: &ResourceSlice) -> Value {
    let counters = slice
        .shared_counters
        .iter()
        .map(|set| json!({"name": set.name, "counters": counters(&set.counters)}));
    let mut spec = json!({
        "driver": slice.driver,
        "pool": {
            "name": slice.pool.name,
            "generation": slice.pool.generation,
            "resourceSliceCount": slice.pool.resource_slice_count,
        },
        "devices": slice.devices.iter().map(device).collect::<Vec<_>>(),
        "sharedCounters": counters.collect::<Vec<_>>(),
    });
    let nodes = (&slice.node_name, slice.all_nodes, &slice.node_selector);
    add_nodes(&mut spec, nodes);
    if !slice.skip_node_operations.is_empty() {
        spec["skipNodeOperations"] = json!(slice.skip_node_operations);
    }
    if let Some(per_device) = slice.per_device_node_selection {
        spec["perDeviceNodeSelection"] = json!(per_device);
    }
    json!({"metadata": {"name": slice.name}, "spec": spec})
}

fn add_nodes(to: &mut Value, (name, all, selector): (&Option<String>, bool, &Option<NodeSelector>)) {
    if let Some(name) = name {
        to["nodeName"] = json!(name);
    }
    if all {
        to["allNodes"] = json!(true);
    }
    if let Some(selector) = selector {
        to["nodeSelector"] = node_selector(selector);
    }
}

fn counters(counters: &std::collections::BTreeMap<String, Quantity>) -> Value {
    Value::Object(
        counters.iter().map(|(name, value)| (name.clone(), json!({"value": value.to_string()}))).collect(),
    )
}

fn device(device: &Device) -> Value {
    let attributes = device.attributes.iter().map(|(name, value)| (name.clone(), attribute(value)));
    let capacity = device.capacity.iter().map(|(name, value)| (name.clone(), capacity(value)));
    let consumes = device.consumes_counters.iter().map(|taken| {
        object([
            ("counterSet", json!(taken.counter_set)),
            ("counters", counters(&taken.counters)),
            ("compatibilityGroups", json!(taken.compatibility_groups)),
        ])
    });
    let taints = device
        .taints
        .iter()
        .map(|taint| json!({"key": taint.key, "value": taint.value, "effect": taint.effect}));
    let mut written = json!({
        "name": device.name,
        "attributes": attributes.collect::<Map<_, _>>(),
        "capacity": capacity.collect::<Map<_, _>>(),
        "consumesCounters": consumes.collect::<Vec<_>>(),
        "taints": taints.collect::<Vec<_>>(),
        "allowMultipleAllocations": device.allow_multiple_allocations,
        "bindingConditions": device.binding_conditions,
        "bindingFailureConditions": device.binding_failure_conditions,
    });
    add_nodes(&mut written, (&device.node_name, device.all_nodes, &device.node_selector));
    if device.binds_to_node {
        written["bindsToNode"] = json!(true);
    }
    written
}

fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::Int(int) => json!({"int": int}),
        AttributeValue::Bool(bool) => json!({"bool": bool}),
        AttributeValue::String(text) => json!({"string": text}),
        AttributeValue::Version(text) => json!({"version": text}),
        AttributeValue::Ints(list) => json!({"ints": list}),
        AttributeValue::Bools(list) => json!({"bools": list}),
        AttributeValue::Strings(list) => json!({"strings": list}),
        AttributeValue::Versions(list) => json!({"versions": list}),
        AttributeValue::Unset => json!({}),
    }
}

fn capacity(capacity: &DeviceCapacity) -> Value {
    let mut written = json!({"value": capacity.value.to_string()});
    if let Some(policy) = &capacity.request_policy {
        let mut request_policy = Map::new();
        if let Some(default) = &policy.default {
            request_policy.insert("default".to_owned(), text(default));
        }
        if let Some(values) = &policy.valid_values {
            request_policy.insert("validValues".to_owned(), values.iter().map(text).collect());
        }
        if let Some(range) = &policy.valid_range {
            let bounds = [("min", &range.min), ("max", &range.max), ("step", &range.step)];
            let bounds =
                bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), text(bound.as_ref()?))));
            request_policy.insert("validRange".to_owned(), Value::Object(bounds.collect()));
        }
        written["requestPolicy"] = Value::Object(request_policy);
    }
    written
}
