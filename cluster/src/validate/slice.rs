//! Slices and taint rules.

use drayage_allocator::objects::{
    AttributeValue, CounterSet, Device, DeviceTaint, NodeSelector, ResourceSlice,
};

use drayage_cel::SemanticVersion;

use super::{Issue, Issues, Severity, is_label, is_qualified_name, is_subdomain, policy};
use crate::objects::{Slice, TaintRule};
use crate::path::FieldPath;

/// `ResourceSlice`
pub(crate) fn slice(slice: &Slice) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&slice.metadata);
    let spec = &slice.spec;
    issues.driver(&spec.driver, || FieldPath::fields("spec.driver"));
    pool(&mut issues, spec);
    node_choice(&mut issues, spec);
    let devices = || FieldPath::fields("spec.devices");
    let special = |device: &Device| {
        !device.taints.is_empty()
            || !device.consumes_counters.is_empty()
            || device.attributes.values().any(AttributeValue::is_list)
    };
    let limit = if spec.devices.iter().any(special) { 64 } else { 128 };
    issues.limit(spec.devices.len(), limit, "devices in one slice", devices);
    issues.unique(spec.devices.iter().map(|device| device.name.as_str()), |index| {
        devices().index(index).field("name")
    });
    let per_device = spec.per_device_node_selection == Some(true);
    for (index, entry) in spec.devices.iter().enumerate() {
        device(&mut issues, entry, per_device, || devices().index(index));
    }
    counter_sets(&mut issues, &spec.shared_counters);
    skipped_operations(&mut issues, &spec.skip_node_operations);
    partition_type(&mut issues, spec);
    issues.list
}

fn skipped_operations(issues: &mut Issues, operations: &[String]) {
    let list = || FieldPath::fields("spec.skipNodeOperations");
    issues.unique(operations.iter().map(String::as_str), |index| list().index(index));
    for (index, operation) in operations.iter().enumerate() {
        issues.one_of(operation, &["NodePrepareResources", "NodeUnprepareResources", "*"], || {
            list().index(index)
        });
    }
    let skips = |name: &str| operations.iter().any(|operation| operation == name);
    if skips("NodePrepareResources") && !skips("NodeUnprepareResources") && !skips("*") {
        issues.error_with_hint(
            list(),
            "what is not unprepared cannot go without being prepared",
            "add `NodeUnprepareResources`, or write `*` alone",
        );
    }
}

/// Partition types have no influence on what is allocated, so whatever is wrong is no more than a notice.
fn partition_type(issues: &mut Issues, spec: &ResourceSlice) {
    let Some(name) = &spec.partition_type_attribute else { return };
    let mut notice = |field: FieldPath, message: String| issues.add(Severity::Notice, field, message, None);
    let attribute = || FieldPath::fields("spec.partitionTypeAttribute");
    if !name.contains('/') || !is_qualified_name(name) {
        return notice(attribute(), format!("`{name}` is no attribute with its domain"));
    }
    let mut consuming =
        spec.devices.iter().enumerate().filter(|(_, device)| !device.consumes_counters.is_empty()).peekable();
    if consuming.peek().is_none() {
        return notice(attribute(), "no device of the slice consumes counters".to_owned());
    }
    let short = name.split_once('/').filter(|(domain, _)| *domain == spec.driver).map(|(_, id)| id);
    for (index, device) in consuming {
        let value = device.attributes.get(name).or_else(|| device.attributes.get(short?));
        if !matches!(value, Some(AttributeValue::String(_))) {
            let field = FieldPath::fields("spec.devices").index(index).field("attributes").key(name);
            notice(field, "the attribute that tells partition types apart must be a string here".to_owned());
        }
    }
}

/// `DeviceTaintRule`
pub(crate) fn taint_rule(rule: &TaintRule) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&rule.metadata);
    taint(&mut issues, &rule.taint, || FieldPath::fields("spec.taint"));
    let selector = |name: &str| FieldPath::fields("spec.deviceSelector").field(name);
    if let Some(driver) = &rule.driver {
        issues.driver(driver, || selector("driver"));
    }
    if let Some(pool) = rule.pool.as_ref().filter(|pool| !is_pool_name(pool)) {
        issues.error(selector("pool"), format!("`{pool}` is not a valid pool name"));
    }
    if let Some(device) = &rule.device {
        issues.label(device, || selector("device"));
    }
    issues.list
}

fn pool(issues: &mut Issues, spec: &ResourceSlice) {
    let field = |name: &str| FieldPath::fields("spec.pool").field(name);
    if spec.pool.name.is_empty() {
        issues.error_with_hint(
            field("name"),
            "a pool name is required",
            "for devices of one node, drivers use the name of the node",
        );
    } else if !is_pool_name(&spec.pool.name) {
        issues.error(field("name"), format!("`{}` is not a valid pool name", spec.pool.name));
    }
    if spec.pool.resource_slice_count < 1 {
        issues.error_with_hint(
            field("resourceSliceCount"),
            "the number of slices of the pool is required",
            "a pool in one slice has `resourceSliceCount: 1`",
        );
    }
    if spec.pool.generation < 0 {
        issues.error(field("generation"), "a generation is not negative");
    }
}

/// Subdomains joined by slashes.
fn is_pool_name(name: &str) -> bool {
    name.len() <= 253 && name.split('/').all(is_subdomain)
}

fn node_choice(issues: &mut Issues, spec: &ResourceSlice) {
    let choices = [
        ("nodeName", spec.node_name.is_some()),
        ("nodeSelector", spec.node_selector.is_some()),
        ("allNodes", spec.all_nodes),
        ("perDeviceNodeSelection", spec.per_device_node_selection == Some(true)),
    ];
    let chosen: Vec<&str> = choices.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    match chosen.as_slice() {
        [_] => {}
        [] => issues.error_with_hint(
            FieldPath::fields("spec"),
            "the slice does not say which nodes can use its devices",
            "set one of `nodeName`, `nodeSelector`, `allNodes: true` and `perDeviceNodeSelection: true`",
        ),
        [.., last] => issues.error(
            FieldPath::fields("spec").field(*last),
            format!("only one of `{}` can be set", chosen.join("`, `")),
        ),
    }
    match spec.node_name.as_deref() {
        Some("") => issues.error(FieldPath::fields("spec.nodeName"), "a node name is required"),
        Some(name) => node_name(issues, name, || FieldPath::fields("spec.nodeName")),
        None => {}
    }
    if let Some(selector) = &spec.node_selector {
        one_term(issues, selector, || FieldPath::fields("spec.nodeSelector"));
    }
}

fn node_name(issues: &mut Issues, name: &str, field: impl FnOnce() -> FieldPath) {
    if !is_subdomain(name) {
        issues.refused(
            field(),
            format!("`{name}` is not a valid name of a node"),
            "use lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit",
        );
    }
}

fn one_term(issues: &mut Issues, selector: &NodeSelector, field: impl Fn() -> FieldPath) {
    issues.node_selector(selector, &field);
    if selector.terms.len() > 1 {
        let message = "a slice's node selector has exactly one term";
        issues.error(field().field("nodeSelectorTerms"), message);
    }
}

fn device(issues: &mut Issues, device: &Device, per_device: bool, field: impl Fn() -> FieldPath) {
    issues.label(&device.name, || field().field("name"));
    let entries = device.attributes.len() + device.capacity.len();
    issues.limit(entries, 32, "attributes and capacities of one device", &field);
    for (name, value) in &device.attributes {
        let at = || field().field("attributes").key(name);
        qualified_name(issues, name, at);
        attribute(issues, value, at);
    }
    for (name, entry) in &device.capacity {
        let at = || field().field("capacity").key(name);
        qualified_name(issues, name, at);
        policy::capacity(issues, entry, device.allow_multiple_allocations == Some(true), at);
    }
    issues.limit(device.taints.len(), 16, "taints", || field().field("taints"));
    for (index, entry) in device.taints.iter().enumerate() {
        taint(issues, entry, || field().field("taints").index(index));
    }
    issues.limit(device.consumes_counters.len(), 2, "counter sets consumed by one device", || {
        field().field("consumesCounters")
    });
    for (index, entry) in device.consumes_counters.iter().enumerate() {
        let at = || field().field("consumesCounters").index(index);
        let before = device.consumes_counters.iter().take(index);
        if before.into_iter().any(|before| before.counter_set == entry.counter_set) {
            issues.refused(
                at(),
                format!("the device takes from counter set `{}` twice", entry.counter_set),
                "put the counters of a set into one entry",
            );
        }
        if entry.counter_set.is_empty() {
            issues.error(at().field("counterSet"), "the name of a counter set is required");
        } else {
            counter_name(issues, &entry.counter_set, || at().field("counterSet"));
        }
        for name in entry.counters.keys() {
            counter_name(issues, name, || at().field("counters").key(name));
        }
        if entry.counters.is_empty() {
            issues.error(at().field("counters"), "at least one counter is required");
        }
        issues.limit(entry.counters.len(), 32, "counters", at);
        let groups = || at().field("compatibilityGroups");
        issues.limit(entry.compatibility_groups.len(), 2, "compatibility groups", groups);
        issues.unique(entry.compatibility_groups.iter().map(String::as_str), |index| groups().index(index));
        for (index, group) in entry.compatibility_groups.iter().enumerate() {
            issues.label(group, || groups().index(index));
        }
    }
    binding(issues, device, &field);
    device_nodes(issues, device, per_device, field);
}

fn binding(issues: &mut Issues, device: &Device, field: impl Fn() -> FieldPath) {
    let conditions = device.binding_conditions.as_deref().unwrap_or_default();
    let failures = device.binding_failure_conditions.as_deref().unwrap_or_default();
    for (name, list) in [("bindingConditions", conditions), ("bindingFailureConditions", failures)] {
        let at = || field().field(name);
        issues.limit(list.len(), 4, "conditions", at);
        issues.unique(list.iter().map(String::as_str), |index| at().index(index));
        for (index, condition) in list.iter().enumerate() {
            issues.label_key(condition, || at().index(index));
        }
    }
    if let Some(index) = failures.iter().position(|failure| conditions.contains(failure)) {
        issues.refused(
            field().field("bindingFailureConditions").index(index),
            "the same condition lets binding go on and fail".to_owned(),
            "name another condition",
        );
    }
    if conditions.is_empty() && !failures.is_empty() {
        issues.error(
            field().field("bindingFailureConditions"),
            "conditions that make binding fail need conditions to wait for (`bindingConditions`)",
        );
    } else if failures.is_empty() && !conditions.is_empty() {
        issues.refused(
            field().field("bindingFailureConditions"),
            "conditions to wait for need conditions that make binding fail".to_owned(),
            "name at least one, which the driver need never set",
        );
    }
}

fn counter_name(issues: &mut Issues, name: &str, field: impl FnOnce() -> FieldPath) {
    if !is_label(name) {
        issues.refused(
            field(),
            format!("`{name}` is not a valid name of a counter or counter set"),
            "use up to 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit",
        );
    }
}

/// Each device names its nodes exactly if the slice leaves it to them.
fn device_nodes(issues: &mut Issues, device: &Device, per_device: bool, field: impl Fn() -> FieldPath) {
    if let Some(name) = &device.node_name {
        node_name(issues, name, || field().field("nodeName"));
    }
    if let Some(selector) = &device.node_selector {
        issues.node_selector(selector, || field().field("nodeSelector"));
    }
    let chosen = usize::from(device.node_name.is_some())
        + usize::from(device.node_selector.is_some())
        + usize::from(device.all_nodes);
    if per_device && chosen != 1 {
        issues.error_with_hint(
            field(),
            format!(
                "with `perDeviceNodeSelection` a device chooses its nodes in one way, this one in {chosen}"
            ),
            "set one of `nodeName`, `nodeSelector` and `allNodes: true` in the device",
        );
    } else if !per_device && chosen > 0 {
        issues.error_with_hint(
            field(),
            "a device chooses nodes only where the slice has `perDeviceNodeSelection: true`",
            "leave it out, or let all devices of the slice choose",
        );
    }
}

fn qualified_name(issues: &mut Issues, name: &str, field: impl Fn() -> FieldPath) {
    if !is_qualified_name(name) {
        issues.error_with_hint(
            field(),
            format!("`{name}` is not a valid attribute or capacity name"),
            "a name has up to 32 letters, digits and `_`, optionally after a domain and `/`",
        );
    }
}

fn attribute(issues: &mut Issues, value: &AttributeValue, field: impl Fn() -> FieldPath) {
    match value {
        AttributeValue::Unset => issues.error_with_hint(
            field(),
            "the attribute has no value",
            "set one of `int`, `bool`, `string`, `version`, or their plurals for lists",
        ),
        AttributeValue::String(text) => issues.limit(text.len(), 64, "characters in an attribute", field),
        AttributeValue::Version(text) => {
            issues.limit(text.len(), 64, "characters in an attribute", &field);
            if text.parse::<SemanticVersion>().is_err() {
                issues.add(
                    Severity::Notice,
                    field().field("version"),
                    format!("`{text}` is not a semantic version; selectors fail on this device"),
                    Some("write `major.minor.patch`, such as `1.2.3`, or use `string`"),
                );
            }
        }
        AttributeValue::Strings(texts) | AttributeValue::Versions(texts) => {
            issues.limit(texts.len(), 48, "values in an attribute", &field);
            for text in texts {
                issues.limit(text.len(), 64, "characters in an attribute", &field);
            }
        }
        AttributeValue::Ints(ints) => issues.limit(ints.len(), 48, "values in an attribute", field),
        AttributeValue::Bools(bools) => issues.limit(bools.len(), 48, "values in an attribute", field),
        AttributeValue::Int(_) | AttributeValue::Bool(_) => {}
    }
}

fn taint(issues: &mut Issues, taint: &DeviceTaint, field: impl Fn() -> FieldPath) {
    if taint.key.is_empty() {
        issues.error(field().field("key"), "a taint needs a key");
    } else {
        issues.label_key(&taint.key, || field().field("key"));
    }
    issues.label_value(&taint.value, || field().field("value"));
    issues.one_of(&taint.effect, &["NoSchedule", "NoExecute", "None"], || field().field("effect"));
}

fn counter_sets(issues: &mut Issues, sets: &[CounterSet]) {
    let list = || FieldPath::fields("spec.sharedCounters");
    issues.limit(sets.len(), 8, "counter sets", list);
    issues.unique(sets.iter().map(|set| set.name.as_str()), |index| list().index(index).field("name"));
    for (index, set) in sets.iter().enumerate() {
        issues.label(&set.name, || list().index(index).field("name"));
        issues.limit(set.counters.len(), 32, "counters", || list().index(index).field("counters"));
        for name in set.counters.keys() {
            counter_name(issues, name, || list().index(index).field("counters").key(name));
        }
        if set.counters.is_empty() {
            issues.error(list().index(index).field("counters"), "at least one counter is required");
        }
    }
}
