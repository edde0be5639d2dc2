//! `plan partitions` on random layouts of GPUs: the allocator's verifier accepts them, and trying everything finds none
//! that serve more.

#[allow(dead_code, reason = "this test uses a part")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use drayage_allocator::verify::{Question, verify};
use drayage_allocator::{AllocatedState, Profile};
use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, Snapshot, load};
use drayage_simulator::report::PartitionPlanReport;
use drayage_simulator::schedule::{Options, Prepared};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::drain::DrainOptions;
use drayage_simulator::what_if::plan::{PartitionQuestion, plan_partitions};
use serde_json::{Value, json};
use support::Numbers;

const DRIVER: &str = "gpu.example.com";

/// Partitions of a GPU: profile, first memory slice, slices, multiprocessors.
fn placements() -> Vec<(&'static str, u64, u64, u64)> {
    let mut placements: Vec<_> = (0..4).map(|first| ("1g", first, 1, 1)).collect();
    placements.extend([("2g", 0, 2, 2), ("2g", 2, 2, 2), ("3g", 0, 4, 3)]);
    placements
}

fn device_name(profile: &str, first: u64) -> String {
    format!("{profile}-{first}")
}

struct Case {
    objects: Vec<Value>,
    /// The profile of every pod that waits.
    waiting: BTreeMap<String, &'static str>,
    /// GPU and placement of what is held.
    held: Vec<(u64, usize)>,
    gpus: u64,
}

/// GPUs with four memory slices and three multiprocessors each, on a node of their own; some partitions are held.
fn case(seed: u64) -> Case {
    let mut numbers = Numbers(seed);
    let gpus = 1 + numbers.below(2);
    let selector = format!("device.driver == '{DRIVER}'");
    let mut objects = vec![json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "mig"},
        "spec": {"selectors": [{"cel": {"expression": selector}}]},
    })];
    for profile in ["1g", "2g", "3g"] {
        let expression = format!("device.attributes['{DRIVER}'].profile == '{profile}'");
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
            "metadata": {"namespace": "ns", "name": profile},
            "spec": {"spec": {"devices": {"requests": [{"name": "part", "exactly":
                {"deviceClassName": "mig", "selectors": [{"cel": {"expression": expression}}]}}]}}},
        }));
    }
    let mut held = Vec::new();
    for gpu in 0..gpus {
        let node = format!("node-{gpu}");
        let mut counters = json!({"multiprocessors": {"value": "4"}});
        for slice in 0..4 {
            counters[format!("memory-{slice}")] = json!({"value": "1"});
        }
        let devices: Vec<Value> = placements()
            .iter()
            .map(|(profile, first, slices, processors)| {
                let mut takes = json!({"multiprocessors": {"value": processors.to_string()}});
                for slice in *first..first + slices {
                    takes[format!("memory-{slice}")] = json!({"value": "1"});
                }
                json!({
                    "name": device_name(profile, *first),
                    "attributes": {"profile": {"string": profile}},
                    "consumesCounters": [{"counterSet": "gpu", "counters": takes}],
                })
            })
            .collect();
        let pool = json!({"name": node, "generation": 1, "resourceSliceCount": 2});
        objects.push(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": node},
            "status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "50"}},
        }));
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("{node}-counters")},
            "spec": {"driver": DRIVER, "nodeName": node, "pool": pool, "sharedCounters": [{"name": "gpu", "counters": counters}]},
        }));
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("{node}-devices")},
            "spec": {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": devices},
        }));
        for (number, _) in placements().iter().enumerate() {
            let mut with = held.clone();
            with.push((gpu, number));
            if numbers.chance(25) && fits(&with) {
                held = with;
            }
        }
    }
    for (at, &(gpu, number)) in held.iter().enumerate() {
        let (profile, first, _, _) = placements()[number];
        objects.extend(running(at, gpu, profile, &device_name(profile, first)));
    }
    let mut waiting = BTreeMap::new();
    for number in 0..=numbers.below(4) {
        let profile = ["1g", "1g", "2g", "3g"][usize::try_from(numbers.below(4)).unwrap()];
        objects.push(pod(&format!("waits-{number}"), profile, &Value::Null, &json!([])));
        waiting.insert(format!("ns/waits-{number}"), profile);
    }
    Case { objects, waiting, held, gpus }
}

fn pod(name: &str, template: &str, node: &Value, statuses: &Value) -> Value {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true}]);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "ns", "name": name, "uid": name, "ownerReferences": owner},
        "spec": {
            "nodeName": node, "containers": [{"name": "c"}],
            "resourceClaims": [{"name": "part", "resourceClaimTemplateName": template}],
        },
        "status": {"resourceClaimStatuses": statuses},
    })
}

fn running(at: usize, gpu: u64, profile: &str, device: &str) -> [Value; 2] {
    let (name, node) = (format!("runs-{at}"), format!("node-{gpu}"));
    let expression = format!("device.attributes['{DRIVER}'].profile == '{profile}'");
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name, "controller": true}]);
    let claim = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"namespace": "ns", "name": format!("{name}-part"), "ownerReferences": owner,
                     "annotations": {"resource.kubernetes.io/pod-claim-name": "part"}},
        "spec": {"devices": {"requests": [{"name": "part", "exactly":
            {"deviceClassName": "mig", "selectors": [{"cel": {"expression": expression}}]}}]}},
        "status": {
            "reservedFor": [{"resource": "pods", "name": name, "uid": name}],
            "allocation": allocation(&node, device),
        },
    });
    let statuses = json!([{"name": "part", "resourceClaimName": format!("{name}-part")}]);
    [claim, pod(&name, profile, &json!(node), &statuses)]
}

fn allocation(node: &str, device: &str) -> Value {
    json!({
        "devices": {"results": [{"request": "part", "driver": DRIVER, "pool": node, "device": device}]},
        "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": [node]}]}]},
    })
}

/// Whether placements on GPUs can be held at the same time.
fn fits(held: &[(u64, usize)]) -> bool {
    let mut slices = BTreeSet::new();
    let mut processors: BTreeMap<u64, u64> = BTreeMap::new();
    held.iter().all(|&(gpu, number)| {
        let (_, first, count, takes) = placements()[number];
        let all = processors.entry(gpu).or_default();
        *all += takes;
        *all <= 4 && (first..first + count).all(|slice| slices.insert((gpu, slice)))
    })
}

/// How many of these can be placed beside what is held, by trying everything.
fn most(waiting: &[&str], held: &mut Vec<(u64, usize)>, gpus: u64) -> usize {
    let Some((first, rest)) = waiting.split_first() else { return 0 };
    let mut best = most(rest, held, gpus);
    for gpu in 0..gpus {
        for (number, placement) in placements().iter().enumerate() {
            held.push((gpu, number));
            if placement.0 == *first && fits(held) {
                best = best.max(1 + most(rest, held, gpus));
            }
            held.pop();
        }
    }
    best
}

/// The most that can be served, and the fewest GPUs that must change for it; every running pod keeps a partition.
fn expected(case: &Case) -> (usize, usize) {
    let waiting: Vec<&str> = case.waiting.values().copied().collect();
    let mut best = (0, 0);
    for changed in 0..1_u64 << case.gpus {
        let is_changed = |gpu: u64| changed & (1 << gpu) != 0;
        if (0..case.gpus).any(|gpu| is_changed(gpu) && case.held.iter().all(|(of, _)| *of != gpu)) {
            continue;
        }
        let (moved, mut kept): (Vec<_>, Vec<_>) =
            case.held.iter().copied().partition(|(gpu, _)| is_changed(*gpu));
        let moved: Vec<&str> = moved.iter().map(|(_, number)| placements()[*number].0).collect();
        let served = with_all(&moved, &waiting, &mut kept, case.gpus);
        let count = usize::try_from(changed.count_ones()).unwrap();
        if let Some(served) = served
            && (served > best.0 || (served == best.0 && count < best.1))
        {
            best = (served, count);
        }
    }
    best
}

/// As [`most`], where all of `moved` must have a place.
fn with_all(moved: &[&str], waiting: &[&str], held: &mut Vec<(u64, usize)>, gpus: u64) -> Option<usize> {
    let Some((first, rest)) = moved.split_first() else { return Some(most(waiting, held, gpus)) };
    let mut best = None;
    for gpu in 0..gpus {
        for (number, placement) in placements().iter().enumerate() {
            held.push((gpu, number));
            if placement.0 == *first && fits(held) {
                best = best.max(with_all(rest, waiting, held, gpus));
            }
            held.pop();
        }
    }
    best
}

fn loaded(objects: &[Value]) -> Snapshot {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    load(&[input], LoadOptions::default()).unwrap()
}

fn planned(prepared: &Prepared, most_repartitioned: usize) -> PartitionPlanReport {
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    let ground = Ground { prepared, options: &options, cancel: &AtomicBool::new(false) };
    let question = PartitionQuestion {
        copies: Vec::new(),
        most_repartitioned,
        steps: 200_000,
        most_choices: 100,
        drain: DrainOptions::default(),
    };
    plan_partitions(&ground, &question, &mut ()).unwrap()
}

/// Gives every pod of the plan its partition, one after the other, and asks the verifier each time.
fn assert_verified(prepared: &Prepared, report: &PartitionPlanReport, seed: u64) {
    let features = Options::for_release(Release::V1_36).gates.features();
    let snapshot = &prepared.snapshot;
    let slices: Vec<_> = snapshot.slices.iter().map(|slice| slice.spec.as_ref()).collect();
    let classes = snapshot.allocator_classes();
    let mut state = AllocatedState::new();
    for device in &report.devices {
        let node = snapshot.node(&device.node).unwrap().for_allocator();
        for partition in &device.after {
            let pod = partition.pod.as_ref().unwrap();
            let (namespace, name) = pod.split_once('/').unwrap();
            let pod = snapshot.pod(namespace, name).unwrap();
            let claim = pod.status.resource_claim_statuses[0].resource_claim_name.as_ref().unwrap();
            let claim = &snapshot.claim(namespace, claim).unwrap().spec;
            let object = json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "result"},
                "spec": {"devices": {"requests": [{"name": "part", "exactly": {"deviceClassName": "mig"}}]}},
                "status": {"allocation": allocation(&device.node, &partition.device)},
            });
            let result = loaded(&[object]).claims.pop().unwrap().allocation.unwrap();
            let question = Question {
                profile: &Profile::V1_36,
                features,
                node: &node,
                slices: &slices,
                classes: &classes,
                state: &state,
                claims: &[claim],
            };
            assert_eq!(
                verify(&question, std::slice::from_ref(&result)),
                Ok(()),
                "seed {seed}, {partition:?}"
            );
            state.insert(&result, features);
        }
    }
}

#[test]
fn layouts_are_sound_and_nothing_serves_more_or_changes_less() {
    let (mut changed, mut better) = (0, 0);
    for seed in 0..60 {
        let case = case(seed);
        let prepared = Prepared::new(loaded(&case.objects));
        let still = planned(&prepared, 0);
        assert!(still.verified, "seed {seed}");
        assert_verified(&prepared, &still, seed);
        let waiting: Vec<&str> = case.waiting.values().copied().collect();
        assert_eq!(still.served, most(&waiting, &mut case.held.clone(), case.gpus), "seed {seed}");
        assert_eq!(still.most_served_within_changes, still.served, "seed {seed}: {still:?}");
        let report = planned(&prepared, 8);
        assert!(report.verified, "seed {seed}: {report:?}");
        assert_verified(&prepared, &report, seed);
        let (served, fewest) = expected(&case);
        assert_eq!((report.served, report.repartitioned), (served, fewest), "seed {seed}: {report:?}");
        assert!(report.most_served >= report.served, "seed {seed}");
        assert_eq!(report.most_served_within_changes, report.served, "seed {seed}: {report:?}");
        assert_eq!(report.not_served.len(), report.demanded - report.served, "seed {seed}");
        assert_eq!(report.certainty, "proven", "seed {seed}: {report:?}");
        changed += usize::from(report.repartitioned > 0);
        better += usize::from(report.served > report.served_without_plan);
    }
    assert!(changed > 5 && better > 5, "{changed}, {better}");
}
