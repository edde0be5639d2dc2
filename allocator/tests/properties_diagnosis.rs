//! Diagnoses of random unsatisfiable problems are complete and true as far as they can be checked, and those of
//! small clear problems read well.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::diagnosis::{Diagnosis, Needed, Refusal, diagnose};
use drayage_allocator::objects::{
    AllocationMode, AttributeValue, CounterSet, Device, DeviceCapacity, DeviceClass, DeviceConstraint,
    DeviceCounterConsumption, DeviceId, DeviceRequest, DeviceSelector, DeviceSubRequest, DeviceTaint,
    ExactDeviceRequest, Node, PoolId, Quantity, ResourceClaim, ResourcePool, ResourceSlice,
};
use drayage_allocator::{Outcome, Profile};
use drayage_conformance::generate::{self, Weights};
use drayage_conformance::problem::{BUDGET, Problem};

fn diagnosis(problem: &Problem) -> Option<Diagnosis> {
    let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
    let mut allocator = problem.allocator(Profile::V1_36_3.pinned());
    diagnose(&mut allocator, &problem.state(), &problem.node, &claims, BUDGET)
}

#[test]
fn every_unsatisfiable_problem_gets_a_complete_diagnosis() {
    let (mut diagnosed, mut refusals, mut unexplained) = (0, 0, 0);
    for seed in 0..700 {
        let problem = generate::problem(seed, if seed % 2 == 0 { Weights::CLEAN } else { Weights::ALL });
        match problem.solve().outcome {
            Outcome::Unsatisfiable { .. } => {}
            Outcome::Allocated(_) => {
                assert_eq!(diagnosis(&problem), None, "seed {seed}: nothing to explain");
                continue;
            }
            _ => continue,
        }
        let found = diagnosis(&problem);
        assert_eq!(found, diagnosis(&problem), "seed {seed}: the same again");
        // A beginning may end in an error that the whole, in another order of choice, never meets.
        let Some(found) = found else { continue };
        diagnosed += 1;
        let text = found.to_string();
        for attempt in &found.attempts {
            match attempt.needed {
                Needed::Count(count) => assert!(attempt.usable.len() < count.max(1), "seed {seed}: {text}"),
                Needed::All { matching } => {
                    assert!(matching == 0 || attempt.usable.len() < matching, "seed {seed}: {text}");
                }
            }
            let usable = attempt.usable.iter();
            let mut listed: Vec<_> =
                usable.chain(attempt.refused.iter().map(|refused| &refused.device)).collect();
            let of_all = listed.len();
            listed.sort();
            listed.dedup();
            assert_eq!(listed.len(), of_all, "seed {seed}: each device once in {text}");
            refusals += attempt.refused.len();
            let combinations = attempt.refused.iter().filter(|one| one.refusal == Refusal::Combination);
            unexplained += combinations.count();
        }
        let devices: BTreeSet<usize> =
            found.attempts.iter().map(|attempt| attempt.usable.len() + attempt.refused.len()).collect();
        assert_eq!(devices.len(), 1, "seed {seed}: every attempt looks at the same devices: {text}");
    }
    assert!(diagnosed > 150, "{diagnosed} diagnosed");
    assert!(unexplained * 100 < refusals, "{unexplained} of {refusals} refusals say nothing");
}

/// A device that is in use by another claim, for a request of one device that has none, is usable once it is free.
#[test]
fn a_device_said_to_be_in_use_serves_once_it_is_free() {
    let mut freed = 0;
    for seed in 0..1_000 {
        let problem = generate::problem(seed, Weights::CLEAN);
        if problem.claims.len() != 1 || problem.claims[0].requests.len() != 1 {
            continue;
        }
        let Some(found) = diagnosis(&problem) else { continue };
        for refused in found.attempts.iter().flat_map(|attempt| &attempt.refused) {
            if refused.refusal.to_string() == "is in use by another claim" {
                let mut free = problem.clone();
                free.held_devices.remove(&refused.device);
                let again = diagnosis(&free);
                let still =
                    again.iter().flat_map(|found| &found.attempts).flat_map(|attempt| &attempt.refused);
                let mut still = still.filter(|other| other.device == refused.device);
                assert!(still.all(|other| other.refusal != refused.refusal), "seed {seed}: {found}");
                freed += 1;
            }
        }
    }
    assert!(freed > 20, "{freed} freed");
}

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn selector(expression: &str) -> DeviceSelector {
    DeviceSelector { cel: Some(expression.to_owned()) }
}

/// A node with `count` devices `gpu-0`, `gpu-1`, … and a claim `ml/gpus` with a request `gpu` for `needed`.
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
    let class = DeviceClass { name: "gpu".to_owned(), ..DeviceClass::default() };
    let exact =
        ExactDeviceRequest { device_class_name: "gpu".to_owned(), count: needed, ..Default::default() };
    let request = DeviceRequest { name: "gpu".to_owned(), exactly: Some(exact), ..DeviceRequest::default() };
    let claim = ResourceClaim {
        namespace: "ml".to_owned(),
        name: "gpus".to_owned(),
        requests: vec![request],
        ..ResourceClaim::default()
    };
    Problem {
        node: Node { name: "node-1".to_owned(), ..Node::default() },
        classes: vec![class],
        slices: vec![slice],
        claims: vec![claim],
        ..Problem::default()
    }
}

fn gpu(number: usize) -> DeviceId {
    let pool = PoolId { driver: "gpu.example.com".to_owned(), pool: "node-1".to_owned() };
    DeviceId { pool, device: format!("gpu-{number}") }
}

fn exact(problem: &mut Problem) -> &mut ExactDeviceRequest {
    problem.claims[0].requests[0].exactly.as_mut().unwrap()
}

fn text(problem: &Problem) -> String {
    diagnosis(problem).expect("unsatisfiable").to_string()
}

fn nearest(problem: &Problem) -> String {
    let found = diagnosis(problem).expect("unsatisfiable");
    let (_, miss) = found.nearest_miss().expect("a device that was refused");
    format!("{}: {}", miss.device, miss.refusal)
}

#[test]
fn too_few_devices() {
    assert_eq!(text(&cluster(2, 3)), "claim `ml/gpus`, request `gpu`: needs 3 devices, 2 usable of 2",);
    assert_eq!(text(&cluster(0, 1)), "claim `ml/gpus`, request `gpu`: needs 1 device, and the node has none",);
}

#[test]
fn selectors_of_class_and_request_and_devices_in_use() {
    let mut problem = cluster(8, 4);
    for (number, device) in problem.slices[0].devices.iter_mut().enumerate() {
        let model = if number < 3 { "A30" } else { "A100" };
        device.attributes.insert("model".to_owned(), AttributeValue::String(model.to_owned()));
        device.attributes.insert("index".to_owned(), AttributeValue::Int(i64::try_from(number).unwrap()));
    }
    problem.classes[0].selectors = vec![selector(r#"device.attributes["gpu.example.com"].model == "A100""#)];
    exact(&mut problem).selectors = vec![selector(r#"device.attributes["gpu.example.com"].index != 3"#)];
    problem.held_devices.extend([gpu(4), gpu(5)]);
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `gpu`: needs 4 devices, 2 usable of 8: \
         3 refused by selector class[0] `device.attributes[\"gpu.example.com\"].model == \"A100\"`, \
         2 in use by other claims, \
         1 refused by selector request[0] `device.attributes[\"gpu.example.com\"].index != 3`",
    );
    assert_eq!(nearest(&problem), "gpu.example.com/node-1/gpu-4: is in use by another claim");
}

#[test]
fn a_constraint_names_both_values() {
    let mut problem = cluster(4, 3);
    for (number, device) in problem.slices[0].devices.iter_mut().enumerate() {
        let node = AttributeValue::Int(i64::try_from(number / 2).unwrap());
        device.attributes.insert("numa".to_owned(), node);
    }
    let match_attribute = Some("gpu.example.com/numa".to_owned());
    problem.claims[0].constraints.push(DeviceConstraint { match_attribute, ..DeviceConstraint::default() });
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `gpu`: needs 3 devices, 2 usable of 4: \
         2 refused by matchAttribute `gpu.example.com/numa` (constraint 0)",
    );
    assert_eq!(
        nearest(&problem),
        "gpu.example.com/node-1/gpu-2: matchAttribute `gpu.example.com/numa` (constraint 0): \
         1 here, 0 on `gpu.example.com/node-1/gpu-0`",
    );
}

#[test]
fn taints_are_named() {
    let mut problem = cluster(2, 1);
    let taint = |key: &str, value: &str, effect: &str| DeviceTaint {
        key: key.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    };
    problem.slices[0].devices[0].taints.push(taint("broken", "", "NoExecute"));
    problem.slices[0].devices[1].taints.push(taint("team", "chem", "NoSchedule"));
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `gpu`: needs 1 device, 0 usable of 2: \
         1 tainted `broken:NoExecute`, 1 tainted `team=chem:NoSchedule`",
    );
}

#[test]
fn counters_say_what_is_left() {
    let mut problem = cluster(2, 2);
    let counters = BTreeMap::from([("memory".to_owned(), quantity("80Gi"))]);
    let set = CounterSet { name: "gpu".to_owned(), counters };
    let name = "counters".to_owned();
    let counter_slice = ResourceSlice { name, shared_counters: vec![set], ..problem.slices[0].clone() };
    problem.slices.push(ResourceSlice { devices: Vec::new(), ..counter_slice });
    for slice in &mut problem.slices {
        slice.pool.resource_slice_count = 2;
    }
    for device in &mut problem.slices[0].devices {
        let counters = BTreeMap::from([("memory".to_owned(), quantity("60Gi"))]);
        device.consumes_counters.push(DeviceCounterConsumption {
            counter_set: "gpu".to_owned(),
            counters,
            ..DeviceCounterConsumption::default()
        });
    }
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `gpu`: needs 2 devices, 1 usable of 2: \
         1 short of counter `memory` of set `gpu`",
    );
    assert_eq!(
        nearest(&problem),
        "gpu.example.com/node-1/gpu-1: counter `memory` of set `gpu`: 60Gi needed, 20Gi left",
    );
}

#[test]
fn shares_say_what_is_left() {
    let mut problem = cluster(1, 1);
    let device = &mut problem.slices[0].devices[0];
    device.allow_multiple_allocations = Some(true);
    let capacity = DeviceCapacity { value: quantity("40Gi"), request_policy: None };
    device.capacity.insert("memory".to_owned(), capacity);
    problem.held_capacity.insert(gpu(0), BTreeMap::from([("memory".to_owned(), quantity("30Gi"))]));
    exact(&mut problem).capacity = Some(BTreeMap::from([("memory".to_owned(), quantity("16Gi"))]));
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `gpu`: needs 1 device, 0 usable of 1: 1 short of capacity `memory`",
    );
    assert_eq!(nearest(&problem), "gpu.example.com/node-1/gpu-0: capacity `memory`: 16Gi needed, 10Gi left",);
}

#[test]
fn an_earlier_request_is_named() {
    let mut problem = cluster(2, 1);
    let mut second = problem.claims[0].requests[0].clone();
    "second".clone_into(&mut second.name);
    second.exactly.as_mut().unwrap().count = 2;
    problem.claims[0].requests.push(second);
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `second`: needs 2 devices, 1 usable of 2: \
         1 taken by request `gpu` of claim `ml/gpus`",
    );
}

#[test]
fn alternatives_are_all_told() {
    let mut problem = cluster(1, 1);
    let sub = |name: &str, count, expression: &str| DeviceSubRequest {
        name: name.to_owned(),
        device_class_name: "gpu".to_owned(),
        selectors: vec![selector(expression)],
        count,
        ..DeviceSubRequest::default()
    };
    let request = &mut problem.claims[0].requests[0];
    request.exactly = None;
    request.first_available = vec![sub("big", 1, "false"), sub("two", 2, "true")];
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `gpu`: no alternative fits: \
         `gpu/big` needs 1 device, 0 usable of 1: 1 refused by selector request[0] `false`; \
         `gpu/two` needs 2 devices, 1 usable of 1",
    );
}

#[test]
fn all_devices_with_one_in_use() {
    let mut problem = cluster(3, 0);
    exact(&mut problem).allocation_mode = AllocationMode::All;
    problem.held_devices.insert(gpu(1));
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `gpu`: needs all 3 matching devices, 2 usable of 3: 1 in use by other claims",
    );
}

#[test]
fn incomplete_and_invalid_pools_are_told() {
    let mut problem = cluster(1, 2);
    let mut missing = problem.slices[0].clone();
    "missing".clone_into(&mut missing.name);
    "lost".clone_into(&mut missing.pool.name);
    missing.pool.resource_slice_count = 2;
    let mut invalid = problem.slices[0].clone();
    "invalid".clone_into(&mut invalid.name);
    "twice".clone_into(&mut invalid.pool.name);
    invalid.devices.push(invalid.devices[0].clone());
    problem.slices.extend([missing, invalid]);
    assert_eq!(
        text(&problem),
        "claim `ml/gpus`, request `gpu`: needs 2 devices, 1 usable of 1; \
         pool `gpu.example.com/lost` is incomplete (1 of 2 slices); \
         pool `gpu.example.com/twice` is invalid (duplicate device name gpu-0)",
    );
}
