//! Reading is the inverse of writing, in every version and notation, and the order of files changes nothing.

#![expect(clippy::format_collect, reason = "a test favours brevity over one allocation")]

mod common;

use std::sync::Arc;

use common::{content, input, loaded};
use drayage_allocator::objects::{
    AllocationMode, AllocationResult, AttributeValue, CapacityRequestPolicy, CapacityRequestPolicyRange,
    ConfigurationForRequests, CounterSet, Device, DeviceCapacity, DeviceConstraint, DeviceCounterConsumption,
    DeviceDerivedAttribute, DeviceRequest, DeviceRequestAllocationResult, DeviceSelector, DeviceSubRequest,
    DeviceTaint, DeviceToleration, ExactDeviceRequest, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, OpaqueDeviceConfiguration, Quantity, ResourceClaim, ResourcePool, ResourceSlice,
};
use drayage_cluster::objects::{Claim, Metadata, Slice};
use drayage_cluster::{Input, LoadOptions, load, write};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?"
        .prop_filter("YAML takes `y` and `n` for booleans", |name| name.len() > 3)
}

fn quantity() -> impl Strategy<Value = Quantity> {
    prop::sample::select(vec!["0", "1", "500m", "80Gi", "1536Mi", "2k", "123456789"])
        .prop_map(|text| text.parse().expect("a quantity"))
}

fn expression() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "true",
        "device.driver == \"x\"",
        "device.attributes['a'].b >\n  1 && 'é\\t' != \"\"",
    ])
    .prop_map(str::to_owned)
}

fn tolerations() -> impl Strategy<Value = Vec<DeviceToleration>> {
    let toleration =
        (name(), option::of(0..100_i64)).prop_map(|(key, toleration_seconds)| DeviceToleration {
            key,
            operator: "Exists".to_owned(),
            effect: "NoExecute".to_owned(),
            toleration_seconds,
            ..DeviceToleration::default()
        });
    vec(toleration, 0..2)
}

fn selectors() -> impl Strategy<Value = Vec<DeviceSelector>> {
    vec(expression().prop_map(|cel| DeviceSelector { cel: Some(cel) }), 0..2)
}

fn derived_attributes() -> impl Strategy<Value = Vec<DeviceDerivedAttribute>> {
    btree_map("[a-z]{4,8}", expression(), 0..2).prop_map(|derived| {
        let each = derived
            .into_iter()
            .map(|(name, expression)| DeviceDerivedAttribute { name: format!("derived/{name}"), expression });
        each.collect()
    })
}

/// None, one or all of what a kubelet need not do.
fn skipped_operations() -> impl Strategy<Value = Vec<String>> {
    prop::sample::select(vec![vec![], vec!["*"], vec!["NodePrepareResources", "NodeUnprepareResources"]])
        .prop_map(|operations| operations.into_iter().map(str::to_owned).collect())
}

fn mode() -> impl Strategy<Value = (AllocationMode, i64)> {
    prop_oneof![
        (1..5_i64).prop_map(|count| (AllocationMode::ExactCount, count)),
        Just((AllocationMode::All, 0))
    ]
}

prop_compose! {
    fn exactly()(
        class in name(), selectors in selectors(), mode in mode(), admin in option::of(any::<bool>()),
        tolerations in tolerations(), capacity in option::of(btree_map(name(), quantity(), 0..3)),
        derived_attributes in derived_attributes(),
    ) -> ExactDeviceRequest {
        ExactDeviceRequest {
            device_class_name: class, selectors, allocation_mode: mode.0, count: mode.1, admin_access: admin,
            tolerations, capacity, derived_attributes,
        }
    }
}

prop_compose! {
    fn alternative(number: usize)(exactly in exactly()) -> DeviceSubRequest {
        DeviceSubRequest {
            name: format!("alternative-{number}"), device_class_name: exactly.device_class_name,
            selectors: exactly.selectors, allocation_mode: exactly.allocation_mode, count: exactly.count,
            tolerations: exactly.tolerations, capacity: exactly.capacity,
            derived_attributes: exactly.derived_attributes,
        }
    }
}

fn request(number: usize) -> impl Strategy<Value = DeviceRequest> {
    let name = format!("request-{number}");
    let other = name.clone();
    prop_oneof![
        exactly().prop_map(move |exactly| DeviceRequest {
            name: name.clone(),
            exactly: Some(exactly),
            first_available: Vec::new()
        }),
        (alternative(0), alternative(1)).prop_map(move |(first, second)| DeviceRequest {
            name: other.clone(),
            exactly: None,
            first_available: vec![first, second],
        }),
    ]
}

fn opaque() -> impl Strategy<Value = OpaqueDeviceConfiguration> {
    let parameters =
        prop::sample::select(vec![r#"{"kind":"Sharing","nested":{"list":[1,true,null,"é"]}}"#, "{}"]);
    (name(), parameters).prop_map(|(driver, parameters)| OpaqueDeviceConfiguration {
        driver,
        parameters: parameters.to_owned(),
    })
}

prop_compose! {
    fn result()(
        request in name(), driver in name(), pool in name(), device in name(), admin in option::of(Just(true)),
        tolerations in tolerations(), share_id in option::of(name()), conditions in option::of(vec(name(), 1..3)),
        consumed in btree_map(name(), quantity(), 0..3), skipped in skipped_operations(),
    ) -> DeviceRequestAllocationResult {
        DeviceRequestAllocationResult {
            request, driver, pool, device, admin_access: admin, tolerations, binding_conditions: conditions.clone(),
            binding_failure_conditions: conditions, share_id, consumed_capacity: consumed,
            skip_node_operations: skipped,
        }
    }
}

prop_compose! {
    fn claim()(
        claim_name in name(), first in request(0), second in option::of(request(1)),
        entries in vec(opaque(), 0..2), results in option::of(vec(result(), 0..3)), selector in option::of(node_selector()),
    ) -> Claim {
        let constraint = DeviceConstraint {
            requests: vec![first.name.clone()], match_attribute: Some("d.example.com/a".to_owned()),
            distinct_attribute: None,
        };
        let metadata = metadata("ResourceClaim", &claim_name, "default");
        Claim {
            spec: ResourceClaim {
                namespace: "default".to_owned(), name: claim_name, constraints: vec![constraint],
                requests: [Some(first), second].into_iter().flatten().collect(),
                config: entries.into_iter()
                    .map(|opaque| ConfigurationForRequests { requests: Vec::new(), opaque: Some(opaque) }).collect(),
            },
            allocation: results.map(|results| AllocationResult { results, config: Vec::new(), node_selector: selector.map(Arc::new) }),
            metadata,
            ..Claim::default()
        }
    }
}

fn metadata(kind: &str, name: &str, namespace: &str) -> Metadata {
    let full = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    Metadata {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: format!("{kind}:{full}"),
        ..Metadata::default()
    }
}

fn node_selector() -> impl Strategy<Value = NodeSelector> {
    (name(), vec(name(), 1..3)).prop_map(|(key, values)| NodeSelector {
        terms: vec![NodeSelectorTerm {
            match_expressions: vec![NodeSelectorRequirement { key, operator: "In".to_owned(), values }],
            match_fields: Vec::new(),
        }],
    })
}

fn attribute() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        any::<i64>().prop_map(AttributeValue::Int),
        any::<bool>().prop_map(AttributeValue::Bool),
        prop::sample::select(vec![
            "",
            "on",
            "1.30",
            "0755",
            "null",
            "~",
            "\"quoted\"",
            "a: b",
            "# no",
            "é\u{1F600}",
            "tab\t",
            "-"
        ])
        .prop_map(|text| AttributeValue::String(text.to_owned())),
        Just(AttributeValue::Version("1.2.3-rc.1".to_owned())),
        vec(any::<i64>(), 1..3).prop_map(AttributeValue::Ints),
        vec(any::<bool>(), 1..3).prop_map(AttributeValue::Bools),
        vec(name(), 1..3).prop_map(AttributeValue::Strings),
        Just(AttributeValue::Versions(vec!["1.0.0".to_owned()])),
    ]
}

fn policy() -> impl Strategy<Value = CapacityRequestPolicy> {
    let range = (quantity(), option::of(quantity()), option::of(quantity()))
        .prop_map(|(min, max, step)| CapacityRequestPolicyRange { min: Some(min), max, step });
    (quantity(), option::of(range)).prop_map(|(default, valid_range)| CapacityRequestPolicy {
        valid_values: valid_range.is_none().then(|| vec![default.clone()]),
        default: Some(default),
        valid_range,
    })
}

fn capacities() -> impl Strategy<Value = std::collections::BTreeMap<String, DeviceCapacity>> {
    let capacity = (quantity(), option::of(policy())).prop_map(|(value, request_policy)| DeviceCapacity {
        value,
        request_policy: request_policy.map(Box::new),
    });
    btree_map("[a-z]{4,8}", capacity, 0..3)
}

prop_compose! {
    fn device(number: usize)(
        attributes in btree_map("(d\\.example\\.com/)?[a-z]{4,8}", attribute(), 0..5), capacity in capacities(),
        counters in btree_map(name(), quantity(), 0..3), taint in option::of(name()), binds in any::<bool>(),
        conditions in option::of(vec(name(), 1..3)), groups in btree_set(name(), 0..3),
    ) -> Device {
        Device {
            name: format!("device-{number}"), attributes, capacity,
            consumes_counters: (!counters.is_empty()).then(|| DeviceCounterConsumption {
                counter_set: "set".to_owned(), counters, compatibility_groups: groups.into_iter().collect(),
            }).into_iter().collect(),
            taints: taint.map(|key| DeviceTaint { key, value: String::new(), effect: "NoSchedule".to_owned() })
                .into_iter().collect(),
            binds_to_node: binds, binding_conditions: conditions.clone(), binding_failure_conditions: conditions,
            allow_multiple_allocations: Some(true),
            ..Device::default()
        }
    }
}

prop_compose! {
    fn slice()(
        slice_name in name(), driver in name(), selector in option::of(node_selector()),
        first in device(0), second in device(1), counters in btree_map(name(), quantity(), 1..3),
        partition in option::of(name()), skipped in skipped_operations(),
    ) -> Slice {
        Slice {
            metadata: metadata("ResourceSlice", &slice_name, ""),
            spec: ResourceSlice {
                name: slice_name, driver,
                pool: ResourcePool { name: "pool-1".to_owned(), generation: 3, resource_slice_count: 1 },
                all_nodes: selector.is_none(), node_selector: selector, devices: vec![first, second],
                shared_counters: vec![CounterSet { name: "set".to_owned(), counters }],
                partition_type_attribute: partition.map(|name| format!("d.example.com/{name}")),
                skip_node_operations: skipped,
                ..ResourceSlice::default()
            }.into(),
            ..Slice::default()
        }
    }
}

/// The same object as it was written in `v1beta1`: no block `exactly`, devices in a block `basic`.
fn as_v1beta1(mut object: Value) -> Value {
    object["apiVersion"] = json!("resource.k8s.io/v1beta1");
    if let Some(requests) = object.pointer_mut("/spec/devices/requests").and_then(Value::as_array_mut) {
        for request in requests {
            if let Some(Value::Object(exactly)) = request["exactly"].as_object().cloned().map(Value::Object) {
                let name = request["name"].clone();
                *request = Value::Object(exactly);
                request["name"] = name;
            }
        }
    }
    if let Some(devices) = object.pointer_mut("/spec/devices").and_then(Value::as_array_mut) {
        for device in devices {
            let name = device["name"].clone();
            if let Some(fields) = device.as_object_mut() {
                fields.remove("name");
            }
            *device = json!({"name": name, "basic": device.take()});
        }
    }
    object
}

fn as_v1beta2(mut object: Value) -> Value {
    object["apiVersion"] = json!("resource.k8s.io/v1beta2");
    object
}

/// Every way in which an object can be written: versions, and JSON, JSON read as YAML, and indented JSON.
fn written(object: &Value) -> Vec<Input> {
    let versions = [object.clone(), as_v1beta2(object.clone()), as_v1beta1(object.clone())];
    let texts = versions.iter().flat_map(|object| {
        [
            ("compact.json", object.to_string()),
            ("flow.yaml", format!("---\n{object}")),
            ("block.yaml", format!("---\n{}", block_yaml(object, 0))),
        ]
    });
    texts.map(|(name, text)| input(name, &text)).collect()
}

/// Block-style YAML with every text in double quotes.
fn block_yaml(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => fields
            .iter()
            .map(|(key, value)| {
                format!("\n{indent}{}: {}", Value::from(key.as_str()), block_yaml(value, depth + 1))
            })
            .collect(),
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| format!("\n{indent}- {}", block_yaml(item, depth + 1))).collect()
        }
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn a_claim_survives_every_version_and_notation(claim in claim()) {
        for input in written(&write::claim_json(&claim)) {
            let snapshot = loaded(std::slice::from_ref(&input));
            prop_assert!(snapshot.ignored.is_empty(), "{:?}", snapshot.ignored);
            let mut read = snapshot.claims[0].clone();
            read.origin = claim.origin.clone();
            prop_assert_eq!(&read, &claim, "{:?}", input);
        }
    }

    #[test]
    fn a_slice_survives_every_version_and_notation(slice in slice()) {
        for input in written(&write::resource_slice_json(&slice)) {
            let snapshot = loaded(std::slice::from_ref(&input));
            prop_assert!(snapshot.ignored.is_empty(), "{:?}", snapshot.ignored);
            let mut read = snapshot.slices[0].clone();
            read.origin = slice.origin.clone();
            prop_assert_eq!(&read, &slice, "{:?}", input);
        }
    }

    #[test]
    fn the_api_types_know_all_that_is_written(claim in claim(), slice in slice()) {
        use k8s_openapi::api::resource::v1;
        let json = write::claim_json(&claim);
        let typed: v1::ResourceClaim = serde_json::from_value(json.clone()).expect("the API's claim");
        prop_assert_eq!(serde_json::to_value(typed).expect("JSON"), json);
        let json = write::resource_slice_json(&slice);
        let typed: v1::ResourceSlice = serde_json::from_value(json.clone()).expect("the API's slice");
        prop_assert_eq!(serde_json::to_value(typed).expect("JSON"), json);
    }

    #[test]
    fn the_order_of_files_and_documents_changes_nothing(
        mut claims in vec(claim(), 1..4), slices in vec(slice(), 1..4), order in any::<prop::sample::Index>(),
    ) {
        claims.dedup_by(|left, right| left.metadata.name == right.metadata.name);
        let mut objects: Vec<Value> = claims.iter().map(write::claim_json).collect();
        objects.extend(slices.iter().map(write::resource_slice_json));
        let mut names = std::collections::BTreeSet::new();
        objects.retain(|object| names.insert(object["metadata"]["name"].to_string()));
        let file = |objects: &[Value]| {
            input("all.yaml", &objects.iter().map(|object| format!("---\n{object}\n")).collect::<String>())
        };
        let expected = content(loaded(&[file(&objects)]));
        let middle = order.index(objects.len());
        objects.rotate_left(middle);
        prop_assert_eq!(&content(loaded(&[file(&objects)])), &expected);
        objects.reverse();
        let (left, right) = objects.split_at(middle);
        let parts = [file(right), file(left)];
        let parts: Vec<Input> = if middle == 0 { parts[..1].to_vec() } else { parts.to_vec() };
        prop_assert_eq!(&content(loaded(&parts)), &expected);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        prop_assert_eq!(&content(loaded(&[input("list.json", &list.to_string())])), &expected);
    }

    #[test]
    fn damaged_input_is_answered_and_never_panics(
        slice in slice(), position in any::<prop::sample::Index>(), damage in "[\\PC\\n]{0,3}", cut in any::<bool>(),
    ) {
        for text in [block_yaml(&write::resource_slice_json(&slice), 0), write::resource_slice_json(&slice).to_string()] {
            let places: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
            let at = *position.get(&places);
            let rest = if cut { "" } else { &text[at..] };
            let damaged = format!("{}{damage}{rest}", &text[..at]);
            if let Err(errors) = load(&[input("damaged", &damaged)], LoadOptions::default()) {
                prop_assert!(!errors.faults.is_empty());
                prop_assert!(!errors.render().is_empty());
            }
        }
    }

    #[test]
    fn any_text_is_answered_and_never_panics(text in "\\PC{0,60}", lines in vec("[-:#&*!|>'\"%@`{}\\[\\], a\t~<?]{0,12}", 0..6)) {
        for text in [text, lines.join("\n")] {
            for name in ["any.yaml", "any.json"] {
                if let Err(errors) = load(&[input(name, &text)], LoadOptions::default()) {
                    prop_assert!(!errors.render().is_empty());
                }
            }
        }
    }

    #[test]
    fn json_is_read_as_serde_json_reads_it(text in "[\\[\\]{}:,\"0-9eE+.tfn \\\\u-]{0,24}") {
        let problem = format!("{{\"name\":{text}}}");
        let ours = drayage_cluster::problems::read_line(&problem);
        let theirs: Result<Value, _> = serde_json::from_str(&problem);
        let is_text = theirs.as_ref().is_ok_and(|value| value["name"].is_string() || value["name"].is_null());
        // what both take for JSON must agree; a duplicate field is an error here only
        if is_text && theirs.as_ref().is_ok_and(|value| value.as_object().is_some_and(|object| object.len() == 1)) && !text.contains(':') {
            let name = ours.expect("the line is JSON").name;
            let theirs = theirs.expect("JSON");
            prop_assert_eq!(name.as_str(), theirs["name"].as_str().unwrap_or_default());
        } else if theirs.is_err() {
            prop_assert!(ours.is_err(), "{}", problem);
        }
    }
}
