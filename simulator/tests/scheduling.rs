//! Small clusters by hand: what is special about claims, pods and devices in a scheduling cycle.

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::{PodOutcome, PodReport, ProblemOutcome, SimulationReport};
use drayage_simulator::schedule::{
    ClaimSelection, Options, Prepared, SimulateError, allocate_on_node, simulate,
};
use serde_json::{Value, json};

fn node(name: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "300"}},
    })
}

fn slice(node: &str, devices: &[Value]) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("{node}-gpus")},
        "spec": {
            "driver": "gpu.example.com", "nodeName": node, "devices": devices,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        },
    })
}

fn gpu(name: &str) -> Value {
    json!({"name": name, "attributes": {"model": {"string": "A100"}}})
}

fn class() -> Value {
    json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {}})
}

fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}")},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}},
    })
}

fn allocated(mut claim: Value, node: &str, device: &str, consumer: Option<&str>) -> Value {
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    claim["status"] = json!({"allocation": {
        "devices": {"results": [
            {"request": "gpu", "driver": "gpu.example.com", "pool": node, "device": device},
        ]},
        "nodeSelector": {"nodeSelectorTerms": [term]},
    }});
    if let Some(pod) = consumer {
        claim["status"]["reservedFor"] =
            json!([{"resource": "pods", "name": pod, "uid": format!("uid-{pod}")}]);
    }
    claim
}

fn pod(name: &str, cpu: &str, claims: &[&str]) -> Value {
    let claims: Vec<Value> =
        claims.iter().map(|claim| json!({"name": claim, "resourceClaimName": claim})).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}")},
        "spec": {
            "containers": [{"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu}}}],
            "resourceClaims": claims,
        },
    })
}

fn with(mut object: Value, pointer: &str, field: &str, value: Value) -> Value {
    object.pointer_mut(pointer).unwrap()[field] = value;
    object
}

fn prepared(objects: &[Value]) -> Prepared {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).unwrap())
}

fn options(gates: &str) -> Options {
    let gates = FeatureGates::parse(Release::V1_36, gates).unwrap();
    Options { gates, ..Options::for_release(Release::V1_36) }
}

fn simulated(objects: &[Value]) -> SimulationReport {
    simulate(&prepared(objects), &options(""), &mut (), &AtomicBool::new(false)).unwrap()
}

fn find<'a>(report: &'a SimulationReport, name: &str) -> &'a PodReport {
    report.pods.iter().find(|pod| pod.name == name).unwrap()
}

fn device(pod: &PodReport) -> Option<String> {
    let device = pod.claims.first()?.devices.first()?;
    Some(format!("{}/{}", device.pool, device.device))
}

#[test]
fn a_claim_serves_256_pods_and_no_more() {
    let mut objects = vec![node("a", "300"), slice("a", &[gpu("gpu-0")]), class(), claim("shared")];
    objects.extend((0..257).map(|number| pod(&format!("pod-{number:03}"), "1", &["shared"])));
    let report = simulated(&objects);
    assert_eq!(report.summary.scheduled, 256);
    let last = find(&report, "pod-256");
    assert_eq!(last.outcome, PodOutcome::Error);
    assert_eq!(last.error.as_ref().map(|error| error.kind.as_str()), Some("too-many-consumers"));
}

#[test]
fn an_allocation_that_nobody_uses_is_given_up_where_its_node_is_full() {
    let devices = [gpu("gpu-0")];
    let mut objects =
        vec![node("a", "1"), node("b", "8"), slice("a", &devices), slice("b", &devices), class()];
    objects.push(pod("wants", "2", &["one"]));
    let report = simulated(&[&objects[..], &[allocated(claim("one"), "a", "gpu-0", None)]].concat());
    let wants = find(&report, "wants");
    assert_eq!((wants.outcome, device(wants).as_deref()), (PodOutcome::Scheduled, Some("b/gpu-0")));
    assert_eq!(wants.notes, ["the unused allocation of claim `ns/one` was given up"]);

    // Another pod is still named as a consumer.
    let report = simulated(&[&objects[..], &[allocated(claim("one"), "a", "gpu-0", Some("other"))]].concat());
    let wants = find(&report, "wants");
    assert_eq!(wants.outcome, PodOutcome::Unschedulable);
    assert_eq!(
        wants.message.as_deref(),
        Some("0/2 nodes are available: 1 Insufficient cpu, 1 resourceclaim not available on the node.")
    );
}

#[test]
fn devices_of_running_pods_are_taken_and_those_of_ended_ones_free() {
    let state = |phase: &str| {
        let first = with(pod("first", "1", &["one"]), "/spec", "nodeName", "a".into());
        let first = with(first, "", "status", json!({"phase": phase}));
        let objects = [
            node("a", "8"),
            slice("a", &[gpu("gpu-0")]),
            class(),
            allocated(claim("one"), "a", "gpu-0", Some("first")),
            first,
            claim("two"),
            pod("second", "1", &["two"]),
        ];
        let report = simulated(&objects);
        (find(&report, "second").outcome, report.summary.finished)
    };
    assert_eq!(state("Running"), (PodOutcome::Unschedulable, 0));
    assert_eq!(state("Succeeded"), (PodOutcome::Scheduled, 1));
}

#[test]
fn pods_that_must_wait_are_gated_with_the_cause() {
    let gated =
        with(pod("gates", "1", &[]), "/spec", "schedulingGates", json!([{"name": "a"}, {"name": "b"}]));
    let leaving =
        with(pod("leaving", "1", &[]), "/metadata", "deletionTimestamp", "2024-01-01T00:00:00Z".into());
    let objects = [
        node("a", "8"),
        class(),
        gated,
        leaving,
        pod("no-claim", "1", &["absent"]),
        with(claim("going"), "/metadata", "deletionTimestamp", "2024-01-01T00:00:00Z".into()),
        pod("claim-going", "1", &["going"]),
    ];
    let report = simulated(&objects);
    for (name, message) in [
        ("gates", "waiting for scheduling gates: [a b]"),
        ("leaving", "the pod is being deleted"),
        ("no-claim", "resource claim `ns/absent` does not exist"),
        ("claim-going", "resource claim `ns/going` is being deleted"),
    ] {
        let pod = find(&report, name);
        assert_eq!((pod.outcome, pod.message.as_deref()), (PodOutcome::Gated, Some(message)), "{name}");
    }
    assert_eq!(report.summary.pending_by_cause, [("Gated".to_owned(), 4)].into());
}

#[test]
fn a_missing_class_is_found_before_any_node_is_looked_at() {
    let objects = [node("a", "8"), claim("one"), pod("wants", "1", &["one"])];
    let report = simulated(&objects);
    let wants = find(&report, "wants");
    assert_eq!(
        wants.message.as_deref(),
        Some("0/1 nodes are available: request gpu: device class gpu does not exist.")
    );
}

#[test]
fn a_selector_that_fails_on_a_later_node_ends_the_cycle_in_a_small_cluster() {
    let selector = json!([{"cel": {"expression": "device.attributes['gpu.example.com'].model == 'A100'"}}]);
    let mut picky = claim("picky");
    picky["spec"]["devices"]["requests"][0]["exactly"]["selectors"] = selector;
    let objects = [
        node("a", "8"),
        slice("a", &[gpu("gpu-0")]),
        node("b", "8"),
        slice("b", &[json!({"name": "gpu-0"})]),
        class(),
        picky,
        pod("wants", "1", &["picky"]),
    ];
    let report = simulated(&objects);
    let wants = find(&report, "wants");
    assert_eq!(wants.outcome, PodOutcome::Error);
    let error = wants.error.as_ref().unwrap();
    assert_eq!((error.kind.as_str(), error.node.as_deref()), ("cel-runtime", Some("b")));
    assert!(wants.message.as_ref().unwrap().starts_with("running \"DynamicResources\" filter plugin: "));
}

#[test]
fn failures_are_merged_over_nodes_that_fail_alike() {
    let mut objects = vec![class(), claim("four"), pod("wants", "1", &["four"])];
    objects[1]["spec"]["devices"]["requests"][0]["exactly"]["count"] = 4.into();
    for (name, gpus) in [("a", 1), ("b", 3), ("c", 2)] {
        let devices: Vec<Value> = (0..gpus).map(|number| gpu(&format!("gpu-{number}"))).collect();
        objects.extend([node(name, "8"), slice(name, &devices)]);
    }
    let report = simulated(&objects);
    let reasons = &find(&report, "wants").reasons;
    assert_eq!(reasons.len(), 1);
    assert_eq!((reasons[0].plugin.as_str(), reasons[0].nodes), ("DynamicResources", 3));
    let failure = &reasons[0].devices[..];
    assert_eq!(failure.len(), 1, "{failure:?}");
    assert_eq!((failure[0].nodes, failure[0].needed, failure[0].usable), (3, Some(4), 3));
    assert_eq!((failure[0].claim.as_str(), failure[0].nearest_node.as_str()), ("ns/four", "b"));
}

#[test]
fn one_node_allocates_a_pods_claims_or_says_why_not() {
    let objects = [
        node("a", "8"),
        slice("a", &[gpu("gpu-0"), gpu("gpu-1")]),
        class(),
        claim("one"),
        claim("two"),
        claim("three"),
        pod("both", "1", &["one", "two"]),
    ];
    let prepared = prepared(&objects);
    let ask = |selection| allocate_on_node(&prepared, "a", &selection, &options(""));
    let both = ClaimSelection::Pod { namespace: "ns".to_owned(), name: "both".to_owned() };
    let report = ask(both).unwrap();
    assert_eq!(report.outcome, ProblemOutcome::Allocated);
    let devices: Vec<&str> =
        report.claims.iter().flat_map(|claim| &claim.devices).map(|device| device.device.as_str()).collect();
    assert_eq!(devices, ["gpu-0", "gpu-1"]);

    let report = ask(ClaimSelection::All).unwrap();
    assert_eq!(report.outcome, ProblemOutcome::Unsatisfiable);
    assert_eq!(report.failures[0].claim, "ns/two");
    assert_eq!(report.failures[0].refusals[0].kind, "in-use");

    let missing = ask(ClaimSelection::Claims(vec!["ns/none".to_owned()])).unwrap_err();
    assert_eq!(missing, SimulateError::ClaimMissing { name: "ns/none".to_owned() });
    let missing = allocate_on_node(&prepared, "z", &ClaimSelection::All, &options("")).unwrap_err();
    assert_eq!(missing, SimulateError::NodeMissing { name: "z".to_owned() });
}

#[test]
fn a_gate_that_is_off_changes_the_answer() {
    let shared = json!({"name": "gpu-0", "allowMultipleAllocations": true});
    let objects = [
        node("a", "8"),
        slice("a", &[shared]),
        class(),
        claim("one"),
        claim("two"),
        pod("first", "1", &["one"]),
        pod("second", "1", &["two"]),
    ];
    let scheduled = |gates: &str| {
        let report =
            simulate(&prepared(&objects), &options(gates), &mut (), &AtomicBool::new(false)).unwrap();
        report.summary.scheduled
    };
    assert_eq!(scheduled(""), 2);
    assert_eq!(scheduled("DRAConsumableCapacity=false"), 1);
}
