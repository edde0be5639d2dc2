//! The texts for the commonest reasons. Read the snapshots aloud.

use std::collections::BTreeMap;

use drayage_allocator::Profile;
use drayage_allocator::explanation::{Asked, Effort, Explained, Explanation, Holder, check, explain};
use drayage_allocator::objects::{
    AllocationMode, AllocationResult, AttributeValue, CapacityRequestPolicy, CapacityRequestPolicyRange,
    CounterSet, Device, DeviceCapacity, DeviceClass, DeviceConstraint, DeviceCounterConsumption, DeviceId,
    DeviceRequest, DeviceRequestAllocationResult, DeviceSelector, DeviceSubRequest, DeviceTaint,
    ExactDeviceRequest, Node, PoolId, Quantity, ResourceClaim, ResourcePool, ResourceSlice,
};
use drayage_allocator::verify::Question;
use drayage_conformance::problem::Problem;

/// A node with devices `gpu-0`, `gpu-1`, … and a claim `ml/gpus` with a request `gpu` for `needed` of them.
fn cluster(count: usize, needed: i64) -> Problem {
    let device = |number| Device { name: format!("gpu-{number}"), ..Device::default() };
    let slice = ResourceSlice {
        name: "slice".to_owned(),
        driver: "gpu.example.com".to_owned(),
        pool: ResourcePool { name: "node-1".to_owned(), generation: 1, resource_slice_count: 1 },
        node_name: Some("node-1".to_owned()),
        devices: (0..count).map(device).collect(),
        ..ResourceSlice::default()
    };
    Problem {
        node: Node { name: "node-1".to_owned(), ..Node::default() },
        classes: vec![DeviceClass { name: "gpu".to_owned(), ..DeviceClass::default() }],
        slices: vec![slice],
        claims: vec![claim("gpus", vec![request("gpu", needed)])],
        ..Problem::default()
    }
}

fn claim(name: &str, requests: Vec<DeviceRequest>) -> ResourceClaim {
    ResourceClaim { namespace: "ml".to_owned(), name: name.to_owned(), requests, ..ResourceClaim::default() }
}

fn request(name: &str, count: i64) -> DeviceRequest {
    let exact = ExactDeviceRequest { device_class_name: "gpu".to_owned(), count, ..Default::default() };
    DeviceRequest { name: name.to_owned(), exactly: Some(exact), ..DeviceRequest::default() }
}

fn gpu(number: usize) -> DeviceId {
    let pool = PoolId { driver: "gpu.example.com".to_owned(), pool: "node-1".to_owned() };
    DeviceId { pool, device: format!("gpu-{number}") }
}

fn exact(problem: &mut Problem) -> &mut ExactDeviceRequest {
    problem.claims[0].requests[0].exactly.as_mut().expect("an exact request")
}

fn devices(problem: &mut Problem) -> &mut Vec<Device> {
    &mut problem.slices[0].devices
}

fn quantity(text: &str) -> Quantity {
    text.parse().expect("a quantity")
}

fn amounts(name: &str, amount: &str) -> BTreeMap<String, Quantity> {
    BTreeMap::from([(name.to_owned(), quantity(amount))])
}

fn selector(expression: &str) -> DeviceSelector {
    DeviceSelector { cel: Some(expression.to_owned()) }
}

fn set(device: &mut Device, name: &str, value: AttributeValue) {
    device.attributes.insert(name.to_owned(), value);
}

fn models(problem: &mut Problem, models: &[&str]) {
    for (device, model) in devices(problem).iter_mut().zip(models) {
        set(device, "model", AttributeValue::String((*model).to_owned()));
    }
}

fn numa(problem: &mut Problem, nodes: &[i64]) {
    for (device, node) in devices(problem).iter_mut().zip(nodes) {
        set(device, "numa", AttributeValue::Int(*node));
    }
}

fn taint(key: &str, value: &str, effect: &str) -> DeviceTaint {
    DeviceTaint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() }
}

/// An allocated claim that holds devices.
fn holding(devices: &[usize]) -> AllocationResult {
    let result = |number: &usize| DeviceRequestAllocationResult {
        request: "gpu".to_owned(),
        driver: "gpu.example.com".to_owned(),
        pool: "node-1".to_owned(),
        device: format!("gpu-{number}"),
        ..DeviceRequestAllocationResult::default()
    };
    AllocationResult { results: devices.iter().map(result).collect(), ..AllocationResult::default() }
}

fn explained(problem: &Problem, holders: &[(&str, AllocationResult)], budget: u64) -> Explanation {
    let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
    let mut state = problem.state();
    let mut known = Vec::new();
    for (claim, result) in holders {
        state.insert(result, problem.features);
        known.push(Holder { claim: (*claim).to_owned(), result });
    }
    let (node, effort) = (&problem.node, Effort::default());
    let profile = if problem.features.compatibility_groups { Profile::V1_37 } else { Profile::V1_36_3 };
    let asked = Asked { state: &state, node, claims: &claims, holders: &known, budget, effort };
    let explanation = explain(&mut problem.allocator(profile), &asked);
    if let Explained::Unsatisfiable(no) = &explanation.outcome {
        let slices: Vec<&ResourceSlice> = problem.slices.iter().collect();
        let question = Question {
            profile: &profile,
            features: problem.features,
            node,
            slices: &slices,
            classes: &problem.classes,
            state: &state,
            claims: &claims,
        };
        check(&question, &no.core, 1_000_000).expect("the checker accepts the core");
    }
    explanation
}

/// Holds the text to its snapshot.
fn reads(name: &str, problem: &Problem) {
    held(name, problem, &[]);
}

fn held(name: &str, problem: &Problem, holders: &[(&str, AllocationResult)]) {
    let text = explained(problem, holders, 100_000).to_string();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn numbers() {
    reads("too-few-devices", &cluster(2, 3));
    reads("no-devices", &cluster(0, 1));
    let mut limit = cluster(40, 17);
    let sub = |name: &str, count| DeviceSubRequest {
        name: name.to_owned(),
        device_class_name: "gpu".to_owned(),
        count,
        ..DeviceSubRequest::default()
    };
    let alternatives = |name: &str| DeviceRequest {
        name: name.to_owned(),
        exactly: None,
        first_available: vec![sub("many", 17), sub("more", 18)],
    };
    limit.claims[0].requests = vec![alternatives("one")];
    limit.claims[0].requests.push(request("two", 2));
    limit.slices[0].devices.truncate(18);
    reads("two-requests-for-the-same-devices", &limit);
}

#[test]
fn selectors() {
    let mut of_class = cluster(4, 2);
    models(&mut of_class, &["A100", "A30", "A30", "T4"]);
    of_class.classes[0].selectors = vec![selector(r#"device.attributes["gpu.example.com"].model == "A100""#)];
    reads("selector-of-the-class", &of_class);

    let mut term = cluster(3, 1);
    models(&mut term, &["A100", "A100", "A30"]);
    exact(&mut term).selectors = vec![selector(
        r#"device.driver == "gpu.example.com" && device.attributes["gpu.example.com"].model == "H100""#,
    )];
    reads("term-of-a-selector", &term);

    let mut capacity = cluster(2, 1);
    for device in devices(&mut capacity) {
        let value = DeviceCapacity { value: quantity("40Gi"), request_policy: None };
        device.capacity.insert("memory".to_owned(), value);
    }
    let enough = r#"device.capacity["gpu.example.com"].memory.compareTo(quantity("80Gi")) >= 0"#;
    exact(&mut capacity).selectors = vec![selector(enough)];
    reads("selector-on-capacity", &capacity);
}

#[test]
fn held_devices() {
    let mut one = cluster(2, 1);
    models(&mut one, &["A100", "A100"]);
    held("held-by-claims", &one, &[("ml/train-0", holding(&[0])), ("ml/train-1", holding(&[1]))]);
    let mut unknown = cluster(2, 2);
    unknown.held_devices.insert(gpu(1));
    reads("held-by-an-unknown-claim", &unknown);
    let mut all = cluster(3, 0);
    exact(&mut all).allocation_mode = AllocationMode::All;
    held("all-devices-and-one-is-held", &all, &[("ml/train-0", holding(&[1]))]);
}

#[test]
fn taints_and_constraints() {
    let mut tainted = cluster(3, 2);
    devices(&mut tainted)[0].taints.push(taint("broken", "", "NoExecute"));
    devices(&mut tainted)[1].taints.push(taint("team", "chem", "NoSchedule"));
    reads("taints", &tainted);

    let mut apart = cluster(4, 3);
    numa(&mut apart, &[0, 0, 1, 1]);
    let on_numa = |is_match: bool| DeviceConstraint {
        match_attribute: is_match.then(|| "gpu.example.com/numa".to_owned()),
        distinct_attribute: (!is_match).then(|| "gpu.example.com/numa".to_owned()),
        ..DeviceConstraint::default()
    };
    apart.claims[0].constraints.push(on_numa(true));
    reads("devices-on-different-numa-nodes", &apart);

    let mut alike = cluster(3, 1);
    numa(&mut alike, &[0, 0, 0]);
    alike.claims[0].requests.push(request("second", 1));
    alike.claims[0].constraints.push(on_numa(false));
    reads("devices-that-must-differ", &alike);

    let mut missing = cluster(2, 1);
    missing.claims[0].constraints.push(on_numa(true));
    reads("attribute-of-a-constraint-is-missing", &missing);
}

#[test]
fn shared_devices() {
    let shareable = |total: &str| {
        let mut problem = cluster(1, 1);
        let device = &mut devices(&mut problem)[0];
        device.allow_multiple_allocations = Some(true);
        let value = DeviceCapacity { value: quantity(total), request_policy: None };
        device.capacity.insert("memory".to_owned(), value);
        problem
    };
    let mut short = shareable("40Gi");
    short.held_capacity.insert(gpu(0), amounts("memory", "30Gi"));
    exact(&mut short).capacity = Some(amounts("memory", "16Gi"));
    reads("capacity-short", &short);

    let mut missing = shareable("40Gi");
    exact(&mut missing).capacity = Some(amounts("cores", "2"));
    reads("capacity-missing", &missing);

    let mut policy = shareable("40Gi");
    let range = CapacityRequestPolicyRange {
        min: Some(quantity("1Gi")),
        max: Some(quantity("8Gi")),
        ..CapacityRequestPolicyRange::default()
    };
    let rule = CapacityRequestPolicy {
        default: Some(quantity("1Gi")),
        valid_range: Some(range),
        ..CapacityRequestPolicy::default()
    };
    let memory = devices(&mut policy)[0].capacity.get_mut("memory").expect("memory");
    memory.request_policy = Some(Box::new(rule));
    exact(&mut policy).capacity = Some(amounts("memory", "16Gi"));
    reads("capacity-policy", &policy);
}

#[test]
fn partitions() {
    let mut problem = cluster(2, 1);
    let counters = amounts("memory", "80Gi");
    let counter_set = CounterSet { name: "gpu".to_owned(), counters };
    let counter_slice = ResourceSlice {
        name: "counters".to_owned(),
        shared_counters: vec![counter_set],
        devices: Vec::new(),
        ..problem.slices[0].clone()
    };
    problem.slices.push(counter_slice);
    for slice in &mut problem.slices {
        slice.pool.resource_slice_count = 2;
    }
    for device in devices(&mut problem) {
        device.consumes_counters.push(DeviceCounterConsumption {
            counter_set: "gpu".to_owned(),
            counters: amounts("memory", "60Gi"),
            ..DeviceCounterConsumption::default()
        });
    }
    held("counter-short", &problem, &[("ml/train-0", holding(&[0]))]);

    problem.features.partitionable_devices = false;
    reads("partitionable-devices-off", &problem);

    let mut binding = cluster(1, 1);
    binding.features.device_binding_and_status = false;
    devices(&mut binding)[0].binding_conditions = Some(vec!["attached".to_owned()]);
    reads("gate-off", &binding);
}

#[test]
fn groups_of_devices() {
    let mut problem = cluster(2, 1);
    problem.features.compatibility_groups = true;
    let counters = amounts("memory", "80Gi");
    let counter_slice = ResourceSlice {
        name: "counters".to_owned(),
        shared_counters: vec![CounterSet { name: "gpu".to_owned(), counters }],
        devices: Vec::new(),
        ..problem.slices[0].clone()
    };
    problem.slices.push(counter_slice);
    for slice in &mut problem.slices {
        slice.pool.resource_slice_count = 2;
    }
    for (device, group) in devices(&mut problem).iter_mut().zip(["mig", "time-slices"]) {
        device.consumes_counters.push(DeviceCounterConsumption {
            counter_set: "gpu".to_owned(),
            counters: amounts("memory", "10Gi"),
            compatibility_groups: vec![group.to_owned()],
        });
    }
    held("devices-of-other-groups", &problem, &[("ml/train-0", holding(&[0]))]);
}

#[test]
fn devices_that_there_are() {
    let mut problem = cluster(3, 2);
    problem.claims[0].requests.push(request("second", 1));
    reads("allocated", &problem);
    reads("allocated-nothing-to-do", &Problem { claims: Vec::new(), ..problem });
}

#[test]
fn pools_and_nodes() {
    let mut incomplete = cluster(2, 1);
    incomplete.slices[0].pool.resource_slice_count = 2;
    reads("pool-incomplete", &incomplete);

    let mut invalid = cluster(2, 1);
    let again = devices(&mut invalid)[0].clone();
    devices(&mut invalid).push(again);
    reads("pool-invalid", &invalid);

    let mut elsewhere = cluster(2, 2);
    elsewhere.slices[0].node_name = None;
    elsewhere.slices[0].per_device_node_selection = Some(true);
    devices(&mut elsewhere)[0].node_name = Some("node-1".to_owned());
    devices(&mut elsewhere)[1].node_name = Some("node-2".to_owned());
    reads("devices-of-other-nodes", &elsewhere);
}

#[test]
fn alternatives() {
    let mut problem = cluster(1, 1);
    let sub = |name: &str, count, expression: &str| DeviceSubRequest {
        name: name.to_owned(),
        device_class_name: "gpu".to_owned(),
        selectors: vec![selector(expression)],
        count,
        ..DeviceSubRequest::default()
    };
    models(&mut problem, &["A30"]);
    let request = &mut problem.claims[0].requests[0];
    request.exactly = None;
    let big = r#"device.attributes["gpu.example.com"].model == "H100""#;
    request.first_available = vec![sub("big", 1, big), sub("two", 2, "true")];
    reads("no-alternative-fits", &problem);
}

#[test]
fn errors_and_undecided_are_no_noes() {
    let mut missing = cluster(1, 1);
    "nic".clone_into(&mut exact(&mut missing).device_class_name);
    reads("error-missing-class", &missing);
    let mut hard = cluster(16, 1);
    hard.claims[0].constraints.push(DeviceConstraint {
        distinct_attribute: Some("gpu.example.com/numa".to_owned()),
        ..DeviceConstraint::default()
    });
    numa(&mut hard, &[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
    exact(&mut hard).count = 9;
    let explanation = explained(&hard, &[], 0);
    assert!(matches!(explanation.outcome, Explained::Undecided(_)), "{explanation}");
    assert!(explanation.to_string().contains("there may be devices"), "{explanation}");
}

#[test]
fn the_graph_of_a_no() {
    let mut problem = cluster(3, 2);
    models(&mut problem, &["A100", "A30", "A30"]);
    exact(&mut problem).selectors = vec![selector(r#"device.attributes["gpu.example.com"].model == "A100""#)];
    let dot = explained(&problem, &[], 100_000).dot();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("graph", dot);
    });
}
