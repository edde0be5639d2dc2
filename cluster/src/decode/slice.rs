//! ResourceSlice, in every version.

use std::cell::RefCell;
use std::collections::BTreeMap;

use drayage_allocator::objects::{
    AttributeValue, CapacityRequestPolicy, CapacityRequestPolicyRange, CounterSet, Device, DeviceCapacity,
    DeviceCounterConsumption, DeviceTaint, ResourcePool, ResourceSlice,
};
use drayage_cel::Timestamp;

use super::ResourceVersion;
use super::common::{counters, node_selector, texts_or_none, zero};
use crate::fields::{Fields, Item, object};

/// When the taints of devices were added, in their order, by the name of the device; for devices that say so of any.
pub(crate) type TaintTimes = BTreeMap<String, Vec<Option<String>>>;

/// The `spec` of a slice. The caller sets the name.
pub(crate) fn spec(fields: &Fields<'_, '_>, version: ResourceVersion) -> ResourceSlice {
    spec_with_times(fields, version).0
}

/// The `spec` of a slice, and when taints were added. The caller sets the name.
pub(crate) fn spec_with_times(
    spec: &Fields<'_, '_>,
    version: ResourceVersion,
) -> (ResourceSlice, TaintTimes) {
    let times = RefCell::new(TaintTimes::new());
    let slice = ResourceSlice {
        name: String::new(),
        driver: spec.string("driver"),
        pool: spec.object("pool", pool).unwrap_or_default(),
        node_name: spec.text("nodeName"),
        node_selector: spec.object("nodeSelector", node_selector),
        all_nodes: true_or_left_out(spec, "allNodes").unwrap_or(false),
        per_device_node_selection: true_or_left_out(spec, "perDeviceNodeSelection"),
        devices: spec
            .list("devices", |item| object(item, |fields| device(fields, version, &times)))
            .unwrap_or_default(),
        shared_counters: spec.list("sharedCounters", |item| object(item, counter_set)).unwrap_or_default(),
        partition_type_attribute: spec.text("partitionTypeAttribute"),
        skip_node_operations: spec.texts("skipNodeOperations"),
    };
    // Lists without elements count as well.
    if spec.has("devices") && spec.has("sharedCounters") {
        spec.refused(
            "sharedCounters",
            "since Kubernetes 1.35 a slice has either counters or devices",
            "move the counters to a slice of their own in the same pool",
        );
    }
    (slice, times.into_inner())
}

/// A flag that says one of several ways to choose nodes.
fn true_or_left_out(fields: &Fields<'_, '_>, key: &'static str) -> Option<bool> {
    let value = fields.boolean(key);
    if value == Some(false) {
        fields.refused(key, "the API server takes no `false` here", "leave the field out");
    }
    value
}

fn pool(pool: &Fields<'_, '_>) -> ResourcePool {
    ResourcePool {
        name: pool.string("name"),
        generation: pool.integer("generation").unwrap_or_default(),
        resource_slice_count: pool.integer("resourceSliceCount").unwrap_or_default(),
    }
}

fn counter_set(set: &Fields<'_, '_>) -> CounterSet {
    set.not_considered("mixins", "mixins (KEP-5234) are not read");
    CounterSet { name: set.string("name"), counters: counters(set) }
}

fn device(fields: &Fields<'_, '_>, version: ResourceVersion, times: &RefCell<TaintTimes>) -> Device {
    let of_device = RefCell::new(Vec::new());
    let mut device = if version.has_current_shape() {
        basic_device(fields, version, &of_device)
    } else {
        fields.object("basic", |basic| basic_device(basic, version, &of_device)).unwrap_or_default()
    };
    device.name = fields.string("name");
    let of_device = of_device.into_inner();
    if of_device.iter().any(Option::is_some) {
        times.borrow_mut().insert(device.name.clone(), of_device);
    }
    device
}

/// Everything of a device but its name; before v1beta2 it sits in a block `basic`.
fn basic_device(
    fields: &Fields<'_, '_>,
    version: ResourceVersion,
    times: &RefCell<Vec<Option<String>>>,
) -> Device {
    let taint = |fields: &Fields<'_, '_>| {
        times.borrow_mut().push(time_added(fields));
        taint(fields)
    };
    for key in ["nodeAllocatableResourceMappings", "nodeAllocatableResources"] {
        fields
            .not_considered(key, "what devices take from the node's own resources (KEP-5517) is not counted");
    }
    Device {
        name: String::new(),
        attributes: fields.map("attributes", |item| Some(attribute(item))).unwrap_or_default(),
        capacity: fields.map("capacity", |item| capacity(item, version)).unwrap_or_default(),
        consumes_counters: fields
            .list("consumesCounters", |item| object(item, counter_consumption))
            .unwrap_or_default(),
        node_name: fields.text("nodeName"),
        node_selector: fields.object("nodeSelector", node_selector),
        all_nodes: true_or_left_out(fields, "allNodes").unwrap_or(false),
        taints: fields.list("taints", |item| object(item, taint)).unwrap_or_default(),
        binds_to_node: fields.flag("bindsToNode"),
        binding_conditions: texts_or_none(fields, "bindingConditions"),
        binding_failure_conditions: texts_or_none(fields, "bindingFailureConditions"),
        allow_multiple_allocations: fields.boolean("allowMultipleAllocations"),
    }
}

/// An attribute with no field set is kept as [`AttributeValue::Unset`].
fn attribute(item: Item<'_, '_>) -> AttributeValue {
    let Some(fields) = item.fields() else { return AttributeValue::Unset };
    let list = |key: &'static str| fields.get(key).filter(|item| !item.is_empty_list());
    let mut values = Vec::with_capacity(1);
    values.extend(fields.integer("int").map(AttributeValue::Int));
    values.extend(fields.boolean("bool").map(AttributeValue::Bool));
    values.extend(fields.text("string").map(AttributeValue::String));
    values.extend(fields.text("version").map(AttributeValue::Version));
    if let Some(ints) = list("ints") {
        values.push(AttributeValue::Ints(ints.items().filter_map(|item| item.integer()).collect()));
    }
    if let Some(bools) = list("bools") {
        values.push(AttributeValue::Bools(bools.items().filter_map(|item| item.boolean()).collect()));
    }
    if let Some(strings) = list("strings") {
        values.push(AttributeValue::Strings(strings.items().filter_map(|item| item.text()).collect()));
    }
    if let Some(versions) = list("versions") {
        values.push(AttributeValue::Versions(versions.items().filter_map(|item| item.text()).collect()));
    }
    fields.finish();
    if values.len() > 1 {
        let names: Vec<&str> = values.iter().map(AttributeValue::field_name).collect();
        item.wrong(
            format!("an attribute has one value, this one has `{}`", names.join("` and `")),
            Some("keep one of them"),
        );
    }
    values.into_iter().next().unwrap_or(AttributeValue::Unset)
}

/// Version v1alpha3 has the bare quantity where later ones have a block with `value`.
fn capacity(item: Item<'_, '_>, version: ResourceVersion) -> Option<DeviceCapacity> {
    if version == ResourceVersion::V1Alpha3 && !item.is_object() {
        return item.quantity().map(|value| DeviceCapacity { value, request_policy: None });
    }
    object(item, |fields| DeviceCapacity {
        value: fields.quantity("value").unwrap_or_else(zero),
        request_policy: fields.object("requestPolicy", request_policy).map(Box::new),
    })
}

fn request_policy(policy: &Fields<'_, '_>) -> CapacityRequestPolicy {
    CapacityRequestPolicy {
        default: policy.quantity("default"),
        valid_values: policy.list("validValues", |item| item.quantity()),
        valid_range: policy.object("validRange", |range| CapacityRequestPolicyRange {
            min: range.quantity("min"),
            max: range.quantity("max"),
            step: range.quantity("step"),
        }),
    }
}

fn counter_consumption(fields: &Fields<'_, '_>) -> DeviceCounterConsumption {
    DeviceCounterConsumption {
        counter_set: fields.string("counterSet"),
        counters: counters(fields),
        compatibility_groups: fields.texts("compatibilityGroups"),
    }
}

/// `timeAdded` of a `DeviceTaint`.
pub(crate) fn time_added(fields: &Fields<'_, '_>) -> Option<String> {
    let item = fields.get("timeAdded")?;
    let text = item.text()?;
    if !matches!(Timestamp::parse(&text), Some(Ok(_))) {
        item.wrong(
            format!("`{text}` is no time"),
            Some("write it as in `2026-01-31T09:30:00Z`, or leave it out"),
        );
        return None;
    }
    Some(text)
}

/// `DeviceTaint`, of a device or a rule.
pub(crate) fn taint(fields: &Fields<'_, '_>) -> DeviceTaint {
    DeviceTaint { key: fields.string("key"), value: fields.string("value"), effect: fields.string("effect") }
}
