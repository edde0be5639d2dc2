//! Pools that many nodes see: what is remembered between questions and shared between nodes changes no answer.

use std::collections::BTreeMap;

use drayage_allocator::objects::{
    CounterSet, Device, DeviceClass, DeviceConstraint, DeviceCounterConsumption, DeviceId, DeviceRequest,
    DeviceSelector, DeviceTaint, ExactDeviceRequest, Node, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, PoolId, ResourceClaim, ResourcePool, ResourceSlice,
};
use drayage_allocator::{AllocatedState, Allocator, Features, Outcome, Profile};
use drayage_cel::AttributeValue;
use drayage_conformance::problem::{BUDGET, Problem};
use drayage_conformance::random::Random;
use drayage_conformance::reference::{self, Verdict};

const DRIVER: &str = "gpu.example.com";

/// How many random clusters the property looks at.
fn count(default: u64) -> u64 {
    std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn rack(value: &str) -> NodeSelector {
    let requirement = NodeSelectorRequirement {
        key: "rack".to_owned(),
        operator: "In".to_owned(),
        values: vec![value.to_owned()],
    };
    NodeSelector {
        terms: vec![NodeSelectorTerm { match_fields: Vec::new(), match_expressions: vec![requirement] }],
    }
}

/// Partitions of a card, each with some of its four counters.
fn pool(number: usize, random: &mut Random) -> Vec<ResourceSlice> {
    let name = format!("pool-{number:02}");
    let counter = |at: usize| (format!("counter-{at}"), "1".parse().unwrap());
    let device = |at: usize, random: &mut Random| {
        let counters: BTreeMap<_, _> = (0..4).filter(|_| random.percent(45)).map(counter).collect();
        let consumption = DeviceCounterConsumption {
            counter_set: "card".to_owned(),
            counters,
            ..DeviceCounterConsumption::default()
        };
        let mut attributes = BTreeMap::from([(
            "card".to_owned(),
            AttributeValue::Int(i64::try_from(number).unwrap() / if random.percent(10) { 2 } else { 1 }),
        )]);
        if random.percent(5) {
            attributes.clear();
        }
        // A device without it ends searches with an error.
        if !random.per_mille(3) {
            attributes.insert("flag".to_owned(), AttributeValue::Bool(at % 2 == 1));
        }
        attributes.insert("numa".to_owned(), AttributeValue::Int(i64::try_from(at % 2).unwrap()));
        let tainted = random.percent(5);
        let taint = DeviceTaint {
            key: "broken".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..DeviceTaint::default()
        };
        Device {
            name: format!("device-{at}"),
            attributes,
            consumes_counters: if random.percent(85) { vec![consumption] } else { Vec::new() },
            taints: tainted.then_some(taint).into_iter().collect(),
            ..Device::default()
        }
    };
    let selector = random.percent(40).then(|| rack(random.pick::<&str>(&["a", "b"])));
    let devices = ResourceSlice {
        name: format!("{name}-devices"),
        driver: DRIVER.to_owned(),
        pool: ResourcePool { name: name.clone(), generation: 1, resource_slice_count: 2 },
        all_nodes: selector.is_none(),
        node_selector: selector,
        devices: (0..6).map(|at| device(at, random)).collect(),
        ..ResourceSlice::default()
    };
    let counters = CounterSet { name: "card".to_owned(), counters: (0..4).map(counter).collect() };
    let sets = ResourceSlice {
        name: format!("{name}-counters"),
        devices: Vec::new(),
        shared_counters: vec![counters],
        ..devices.clone()
    };
    vec![sets, devices]
}

fn claim(random: &mut Random) -> ResourceClaim {
    let request = |at: usize, random: &mut Random| {
        let selector = DeviceSelector { cel: Some(format!("device.attributes[\"{DRIVER}\"].flag")) };
        DeviceRequest {
            name: format!("request-{at}"),
            exactly: Some(ExactDeviceRequest {
                device_class_name: "all".to_owned(),
                count: *random.pick(&[1, 1, 2, 2, 3]),
                selectors: if random.percent(20) { vec![selector] } else { Vec::new() },
                ..ExactDeviceRequest::default()
            }),
            first_available: Vec::new(),
        }
    };
    let requests: Vec<DeviceRequest> = (0..=random.below(2)).map(|at| request(at, random)).collect();
    let constraint = DeviceConstraint {
        requests: Vec::new(),
        match_attribute: Some(format!("{DRIVER}/{}", random.pick(&["card", "card", "numa"]))),
        distinct_attribute: None,
    };
    let constraints = if random.percent(75) { vec![constraint] } else { Vec::new() };
    ResourceClaim { name: "claim".to_owned(), requests, constraints, ..ResourceClaim::default() }
}

fn node(number: usize, rack: &str) -> Node {
    Node {
        name: format!("node-{number}"),
        labels: BTreeMap::from([("rack".to_owned(), rack.to_owned())]),
        ..Node::default()
    }
}

fn cluster(random: &mut Random) -> Problem {
    Problem {
        classes: vec![DeviceClass { name: "all".to_owned(), ..DeviceClass::default() }],
        slices: (0..8 + random.below(14)).flat_map(|number| pool(number, random)).collect(),
        features: Features::default(),
        ..Problem::default()
    }
}

#[test]
fn nodes_that_see_the_same_are_answered_as_if_nothing_was_asked_before() {
    let (mut allocated, mut unsatisfiable, mut compared) = (0, 0, 0);
    for seed in 0..count(20) {
        let mut random = Random::new(seed ^ 0x006e_6574);
        let mut problem = cluster(&mut random);
        let nodes: Vec<Node> = (0..6).map(|number| node(number, ["a", "b", "c"][number % 3])).collect();
        let claims: Vec<ResourceClaim> = (0..2).map(|_| claim(&mut random)).collect();
        let profile = Profile::V1_36_3.pinned();
        let mut asked = problem.allocator(profile);
        let mut state = AllocatedState::new();
        for step in 0..50 {
            let at = random.below(nodes.len());
            problem.node = nodes[at].clone();
            problem.claims = vec![claims[usize::from(random.percent(20))].clone()];
            let ask = |allocator: &mut Allocator| {
                let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
                allocator.allocate(&state, &problem.node, &claims, &mut String::new, BUDGET)
            };
            let answer = ask(&mut asked);
            let what = format!("seed {seed}, step {step}");
            assert_eq!(answer, ask(&mut problem.allocator(profile)), "{what}");
            // The reference is slow, and the allocator that was asked nothing is held against it elsewhere too.
            if step % 5 == 0 {
                let expected = reference::solve(&problem).verdict;
                assert!(expected.agrees(&answer.outcome), "{what}: {expected:?} {answer:?}");
                compared += usize::from(expected != Verdict::TooLong);
            }
            assert_eq!(asked.shared_view(&nodes[at]), asked.shared_view(&nodes[(at + 3) % 6]), "{what}");
            // Mostly the devices are taken; sometimes some are given back, or taken that nobody asked for.
            let mut fork = state.clone();
            match answer.outcome {
                Outcome::Allocated(results) if random.percent(85) => {
                    allocated += 1;
                    for device in results.iter().flat_map(|result| &result.results) {
                        problem.held_devices.insert(device.device_id());
                        state.insert_device(&device.device_id());
                    }
                }
                Outcome::Allocated(_) => {}
                _ => unsatisfiable += 1,
            }
            if random.percent(10)
                && let Some(device) =
                    problem.held_devices.iter().nth(random.below(problem.held_devices.len().max(1))).cloned()
            {
                problem.held_devices.remove(&device);
                state.remove_device(&device);
            }
            if random.percent(10) {
                let pool =
                    PoolId { driver: DRIVER.to_owned(), pool: format!("pool-{:02}", random.below(22)) };
                let device = DeviceId { pool, device: format!("device-{}", random.below(6)) };
                fork.insert_device(&device);
                let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
                let of_fork = asked.allocate(&fork, &problem.node, &claims, &mut String::new, BUDGET);
                let mut new = problem.allocator(profile);
                assert_eq!(
                    of_fork,
                    new.allocate(&fork, &problem.node, &claims, &mut String::new, BUDGET),
                    "{what}: fork"
                );
            }
        }
    }
    assert!(
        allocated > 100 && unsatisfiable > 30 && compared > 100,
        "{allocated} {unsatisfiable} {compared}"
    );
}
