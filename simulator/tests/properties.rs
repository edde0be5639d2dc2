//! Properties of simulations of small random clusters.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use drayage_allocator::objects::{AllocationResult, ResourceClaim};
use drayage_allocator::verify::{Question, verify};
use drayage_allocator::{AllocatedState, Profile};
use drayage_cel::{Quantity, Release};
use drayage_cluster::objects::Pod;
use drayage_cluster::{Input, LoadOptions, Snapshot, load};
use drayage_simulator::report::{PodOutcome, PodReport, SimulationReport};
use drayage_simulator::schedule::{Options, Prepared, SimulateError, simulate, simulate_and_apply};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{cluster, shuffled};

fn loaded(objects: &[Value]) -> Snapshot {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    load(&[input], LoadOptions::default()).unwrap()
}

fn options() -> Options {
    Options::for_release(Release::V1_36)
}

fn simulated(prepared: &Prepared) -> SimulationReport {
    simulate(prepared, &options(), &mut (), &AtomicBool::new(false)).unwrap()
}

/// What the report says, without places of the input, which move with the objects.
fn essence(report: &SimulationReport) -> Value {
    let mut value = serde_json::to_value(report).unwrap();
    for field in ["warnings", "ignored"] {
        value.as_object_mut().unwrap().remove(field);
    }
    value
}

/// Allocations read back from the report, by `namespace/name` of the claim.
fn allocations(report: &SimulationReport) -> BTreeMap<String, AllocationResult> {
    let requests = json!([{"name": "any", "exactly": {"deviceClassName": "any"}}]);
    // A list without objects is refused as a mistake.
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "none"}})];
    for pod in &report.pods {
        for claim in pod.claims.iter().filter(|claim| claim.allocation.is_some()) {
            let object = json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                "metadata": {"namespace": pod.namespace, "name": claim.name},
                "spec": {"devices": {"requests": requests}},
                "status": {"allocation": claim.allocation},
            });
            if !objects.contains(&object) {
                objects.push(object);
            }
        }
    }
    loaded(&objects)
        .claims
        .into_iter()
        .filter_map(|claim| Some((claim.metadata.full_name(), claim.allocation?)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_objects_changes_nothing(seed: u64, order: u64) {
        let objects = cluster(seed);
        let one = essence(&simulated(&Prepared::new(loaded(&objects))));
        let other = essence(&simulated(&Prepared::new(loaded(&shuffled(objects, order)))));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn an_applied_outcome_is_the_state_of_the_next_simulation(seed: u64) {
        let mut prepared = Prepared::new(loaded(&cluster(seed)));
        let expected = simulated(&prepared);
        let first = simulate_and_apply(&mut prepared, &options(), &mut (), &AtomicBool::new(false)).unwrap();
        prop_assert_eq!(essence(&first), essence(&expected));
        let applied = prepared.clone();
        let second = simulate_and_apply(&mut prepared, &options(), &mut (), &AtomicBool::new(false)).unwrap();
        // A toleration of every effect lets a device be allocated, but does not keep its pod from being evicted.
        prop_assume!(second.summary.evicted == 0);
        // A pod that failed with an error before others came finds them there now, and may preempt one.
        prop_assume!(second.pods.iter().all(|pod| pod.outcome != PodOutcome::Preempted));
        let placed = |report: &SimulationReport, outcomes: &[PodOutcome]| -> BTreeMap<String, Value> {
            let pods = report.pods.iter().filter(|pod| outcomes.contains(&pod.outcome));
            let place = |pod: &PodReport| {
                let devices: Vec<_> = pod.claims.iter().map(|claim| (&claim.name, &claim.devices)).collect();
                (format!("{}/{}", pod.namespace, pod.name), json!([pod.node, devices]))
            };
            pods.map(place).collect()
        };
        let before = placed(&first, &[PodOutcome::AlreadyRunning, PodOutcome::Scheduled]);
        prop_assert_eq!(before, placed(&second, &[PodOutcome::AlreadyRunning]));
        // A claim keeps what an attempt got for it that ended with an error then, until another attempt gives that up.
        let used = |prepared: &Prepared| -> BTreeMap<String, AllocationResult> {
            let claims = prepared.snapshot.claims.iter().filter(|claim| !claim.reserved_for.is_empty());
            claims.filter_map(|claim| Some((claim.metadata.full_name(), claim.allocation.clone()?))).collect()
        };
        let (once, twice) = (used(&applied), used(&prepared));
        prop_assert!(once.iter().all(|(name, allocation)| twice.get(name) == Some(allocation)));
    }

    #[test]
    fn nodes_are_never_given_more_than_they_have(seed: u64) {
        let prepared = Prepared::new(loaded(&cluster(seed)));
        let report = simulated(&prepared);
        let snapshot = &prepared.snapshot;
        for node in &snapshot.nodes {
            let name = &node.metadata.name;
            let on_node = |outcome: PodOutcome| {
                report.pods.iter().filter(move |pod| pod.outcome == outcome && pod.node.as_ref() == Some(name))
            };
            // Running pods may take too much already; a pod that wants none of it may still come on top.
            if on_node(PodOutcome::Scheduled).next().is_none() {
                continue;
            }
            let pods = |outcome: PodOutcome| -> Vec<_> {
                on_node(outcome).filter_map(|pod| snapshot.pod(&pod.namespace, &pod.name)).collect()
            };
            let running = pods(PodOutcome::AlreadyRunning);
            let all = [running.clone(), pods(PodOutcome::Scheduled)].concat();
            for resource in ["cpu", "memory"] {
                let used = |pods: &[&Pod]| -> i64 {
                    pods.iter()
                        .flat_map(|pod| &pod.spec.containers)
                        .filter_map(|container| container.resources.requests.get(resource))
                        .map(Quantity::milli_value)
                        .sum()
                };
                let limit = node.allocatable[resource].milli_value().max(used(&running));
                prop_assert!(used(&all) <= limit, "{name} {resource}");
            }
            prop_assert!(all.len() <= usize::try_from(node.allocatable["pods"].value()).unwrap());
            let ports = |pods: &[&Pod]| {
                let containers = pods.iter().flat_map(|pod| &pod.spec.containers);
                containers.flat_map(|container| &container.ports).filter(|port| port.host_port == 80).count()
            };
            prop_assert!(ports(&all) <= ports(&running).max(1));
        }
    }

    #[test]
    fn pods_without_a_node_show_no_devices_that_they_got(seed: u64) {
        let mut prepared = Prepared::new(loaded(&cluster(seed)));
        let report = simulate_and_apply(&mut prepared, &options(), &mut (), &AtomicBool::new(false)).unwrap();
        let snapshot = &prepared.snapshot;
        let now = |pod: &PodReport, claim: &str| snapshot.claim(&pod.namespace, claim)?.allocation.clone();
        for pod in report.pods.iter().filter(|pod| pod.outcome.is_pending()) {
            for claim in pod.claims.iter().filter(|claim| !claim.devices.is_empty()) {
                prop_assert!(claim.allocated_before, "{}: {}", pod.name, claim.name);
                let shown = claim.allocation.as_ref().map(|allocation| allocation.0.as_ref().clone());
                prop_assert_eq!(shown, now(pod, &claim.name), "{}: {}", pod.name, claim.name);
            }
        }
        let held = snapshot.claims.iter().filter_map(|claim| claim.allocation.as_ref());
        let devices = held.flat_map(|allocation| &allocation.results);
        let counted = devices.filter(|device| device.admin_access != Some(true)).count();
        prop_assert_eq!(report.summary.device_allocations, counted);
    }

    #[test]
    fn the_verifier_accepts_every_allocation(seed: u64) {
        let prepared = Prepared::new(loaded(&cluster(seed)));
        let report = simulated(&prepared);
        let allocations = allocations(&report);
        let snapshot = &prepared.snapshot;
        let features = options().gates.features();
        let slices: Vec<_> = snapshot.slices.iter().map(|slice| slice.spec.as_ref()).collect();
        let classes: Vec<_> = snapshot.classes.iter().map(|class| class.spec.clone()).collect();
        let mut state = AllocatedState::new();
        for pod in report.pods.iter().filter(|pod| pod.outcome == PodOutcome::Scheduled) {
            let node = snapshot.node(pod.node.as_deref().unwrap()).unwrap().for_allocator();
            let mut claims: Vec<&ResourceClaim> = Vec::new();
            let mut results = Vec::new();
            let mut seen = BTreeSet::new();
            for claim in pod.claims.iter().filter(|claim| !claim.allocated_before && !claim.extended_resources) {
                // Two entries of a pod may name one claim.
                if !seen.insert(&claim.name) {
                    continue;
                }
                claims.push(&snapshot.claim(&pod.namespace, &claim.name).unwrap().spec);
                results.push(allocations[&format!("{}/{}", pod.namespace, claim.name)].clone());
            }
            // The claim for extended resources is made by the scheduler, so the input does not have it.
            let extended = pod.claims.iter().find(|claim| claim.extended_resources);
            if extended.is_none() {
                let question = Question {
                    profile: &Profile::V1_36,
                    features,
                    node: &node,
                    slices: &slices,
                    classes: &classes,
                    state: &state,
                    claims: &claims,
                };
                prop_assert_eq!(verify(&question, &results), Ok(()), "{}", pod.name);
            }
            results.extend(extended.map(|claim| allocations[&format!("{}/{}", pod.namespace, claim.name)].clone()));
            for result in &results {
                state.insert(result, features);
            }
        }
    }
}

/// Here an attempt ends with an error after the claims of its pod were written, which another pod gives up then.
#[test]
fn a_pod_whose_attempt_failed_shows_no_devices() {
    let prepared = Prepared::new(loaded(&cluster(3_282_028_717_591_189_997)));
    let report = simulated(&prepared);
    let failed: Vec<&PodReport> = report.pods.iter().filter(|pod| pod.outcome == PodOutcome::Error).collect();
    let keeps = |pod: &&&PodReport| pod.notes.iter().any(|note| note.contains("keeps them, for no pod"));
    let keeping: Vec<_> = failed.iter().filter(keeps).collect();
    assert!(!keeping.is_empty(), "{failed:?}");
    for claim in keeping.iter().flat_map(|pod| &pod.claims).filter(|claim| !claim.allocated_before) {
        assert!(claim.devices.is_empty() && claim.allocation.is_none(), "{claim:?}");
    }
}

/// The properties above say little if most pods end in the same way.
#[test]
fn random_clusters_are_varied() {
    let mut outcomes: BTreeMap<PodOutcome, usize> = BTreeMap::new();
    let mut plugins: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..100 {
        for pod in simulated(&Prepared::new(loaded(&cluster(seed)))).pods {
            *outcomes.entry(pod.outcome).or_default() += 1;
            for reason in pod.reasons {
                *plugins.entry(reason.plugin).or_default() += 1;
            }
        }
    }
    for outcome in [
        PodOutcome::AlreadyRunning,
        PodOutcome::Scheduled,
        PodOutcome::Unschedulable,
        PodOutcome::Gated,
        PodOutcome::Error,
    ] {
        assert!(outcomes.get(&outcome).is_some_and(|&count| count > 10), "{outcome:?} {outcomes:?}");
    }
    for plugin in [
        "NodeUnschedulable",
        "TaintToleration",
        "NodeAffinity",
        "NodePorts",
        "NodeResourcesFit",
        "DynamicResources",
    ] {
        assert!(plugins.get(plugin).is_some_and(|&count| count > 0), "{plugin} {plugins:?}");
    }
}

#[test]
fn a_simulation_can_be_stopped() {
    let prepared = (0..100)
        .map(|seed| Prepared::new(loaded(&cluster(seed))))
        .find(|prepared| prepared.snapshot.pods.iter().any(|pod| pod.is_pending()));
    let result = simulate(&prepared.unwrap(), &options(), &mut (), &AtomicBool::new(true));
    assert_eq!(result.unwrap_err(), SimulateError::Cancelled);
}
