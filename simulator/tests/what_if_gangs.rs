//! Gangs and preemption in what-ifs, against simulations of the same.

#[expect(dead_code, reason = "this test uses a part")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::{
    CapacityReport, DefragReport, DefragVerdict, FailureReport, Fate, PodOutcome, SimulationReport,
};
use drayage_simulator::schedule::{Options, Prepared, simulate};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::capacity::{CapacityQuestion, capacity};
use drayage_simulator::what_if::defrag::{DefragQuestion, defrag};
use drayage_simulator::what_if::drain::DrainOptions;
use drayage_simulator::what_if::fail::{FailureQuestion, every_node, fail, starting_state};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::Numbers;

const MOST: usize = 6;

fn prepared(objects: &[Value]) -> Prepared {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).unwrap())
}

fn options() -> Options {
    let gates = FeatureGates::parse(Release::V1_36, "GenericWorkload=true,GangScheduling=true").unwrap();
    Options { gates, ..Options::for_release(Release::V1_36) }
}

fn with_ground<T>(objects: &[Value], ask: impl FnOnce(&Ground<'_>) -> T) -> T {
    let (prepared, options) = (prepared(objects), options());
    ask(&Ground { prepared: &prepared, options: &options, cancel: &AtomicBool::new(false) })
}

fn simulated(objects: &[Value]) -> SimulationReport {
    simulate(&prepared(objects), &options(), &mut (), &AtomicBool::new(false)).unwrap()
}

fn node(name: &str, cpu: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "64Gi", "pods": "20"}},
    })
}

fn group(name: &str, least: Option<u64>) -> Value {
    let policy = least.map_or(json!({"basic": {}}), |least| json!({"gang": {"minCount": least}}));
    json!({
        "apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"namespace": "ns", "name": name},
        "spec": {"schedulingPolicy": policy},
    })
}

fn pod(name: &str, cpu: u64, group: Option<&str>, node: Option<&str>) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "ns", "name": name, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true},
        ]},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu.to_string()}}}]},
    });
    if let Some(group) = group {
        pod["spec"]["schedulingGroup"] = json!({"podGroupName": group});
    }
    if let Some(node) = node {
        pod["spec"]["nodeName"] = node.into();
        pod["status"]["phase"] = "Running".into();
    }
    pod
}

/// A cluster whose pods run, some in groups, with priorities.
fn running(seed: u64) -> Vec<Value> {
    let mut numbers = Numbers(seed);
    let nodes = 2 + numbers.below(4);
    let mut objects: Vec<Value> =
        (0..nodes).map(|number| node(&format!("node-{number}"), 2 + numbers.below(6))).collect();
    let least: Vec<Option<u64>> = (0..3).map(|_| numbers.chance(80).then(|| 1 + numbers.below(4))).collect();
    for (number, least) in least.iter().enumerate() {
        objects.push(group(&format!("group-{number}"), *least));
    }
    for number in 0..nodes * 3 {
        let group = numbers.below(6);
        let name = format!("group-{group}");
        let node = format!("node-{}", numbers.below(nodes));
        let of = (group < 3).then_some(name.as_str());
        let mut pod = pod(&format!("pod-{number:02}"), 1 + numbers.below(2), of, Some(&node));
        pod["spec"]["priority"] = if group < 3 { group } else { numbers.below(4) }.into();
        if number % 5 == 4 {
            pod["spec"].as_object_mut().unwrap().remove("nodeName");
        }
        objects.push(pod);
    }
    objects
}

/// What becomes of the pods of each node, if it fails.
fn failures(objects: &[Value]) -> FailureReport {
    with_ground(objects, |ground| {
        let state = starting_state(ground, false, &mut ()).unwrap();
        let question = FailureQuestion { units: every_node(&state), shard: None, detail: true };
        fail(ground, &state, &question, &mut ()).unwrap()
    })
}

fn has_name(object: &Value, name: &str) -> bool {
    object["metadata"]["name"] == name
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Who is evicted by a node gets the place that a simulation gives to pods that wait, and preempts whom it preempts.
    #[test]
    fn evicted_pods_are_placed_as_a_simulation_places_them(seed in any::<u64>()) {
        let objects: Vec<Value> = running(seed)
            .into_iter()
            .filter(|object| object["kind"] != "Pod" || object["spec"]["nodeName"].is_string())
            .collect();
        for unit in &failures(&objects).units {
            prop_assert_eq!(unit.evicted, unit.moved + unit.stuck + unit.undecided);
            let mut without: Vec<Value> =
                objects.iter().filter(|object| !has_name(object, &unit.name)).cloned().collect();
            for pod in without.iter_mut().filter(|object| object["spec"]["nodeName"] == unit.name.as_str()) {
                pod["spec"].as_object_mut().unwrap().remove("nodeName");
                pod.as_object_mut().unwrap().remove("status");
            }
            let report = simulated(&without);
            let of = |outcome: PodOutcome| -> BTreeSet<String> {
                let pods = report.pods.iter().filter(|pod| pod.outcome == outcome);
                pods.map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect()
            };
            let preempted: BTreeSet<String> =
                unit.pods.iter().filter(|pod| pod.preempted_by.is_some()).map(|pod| pod.pod.clone()).collect();
            prop_assert!(of(PodOutcome::Preempted).is_subset(&preempted), "{preempted:?} {}", unit.name);
            prop_assert_eq!(unit.preempted, preempted.len());
            // Later rounds may preempt pods that moved before.
            for pod in unit.pods.iter().filter(|pod| pod.preempted_by.is_none()) {
                let found = report.pods.iter().find(|other| pod.pod.ends_with(&format!("/{}", other.name))).unwrap();
                prop_assert_eq!(pod.place.as_ref().map(|place| &place.node), found.node.as_ref(), "{:?}", pod);
            }
        }
    }

    /// A gang that is broken has fewer pods on nodes than must start together, and no other lost any.
    #[test]
    fn a_gang_is_broken_if_too_few_of_its_pods_are_left(seed in any::<u64>()) {
        let objects = running(seed);
        let of_group = |name: &str| {
            let pod = objects.iter().find(|object| name.ends_with(object["metadata"]["name"].as_str().unwrap_or("-")));
            pod.and_then(|pod| pod["spec"]["schedulingGroup"]["podGroupName"].as_str()).map(str::to_owned)
        };
        for unit in &failures(&objects).units {
            for number in 0..3 {
                let name = format!("group-{number}");
                let least = objects.iter().find(|object| object["kind"] == "PodGroup" && has_name(object, &name)).unwrap();
                let Some(least) = least["spec"]["schedulingPolicy"]["gang"]["minCount"].as_u64() else { continue };
                let before = objects.iter().filter(|object| {
                    object["spec"]["schedulingGroup"]["podGroupName"] == name.as_str()
                        && object["spec"]["nodeName"].is_string()
                });
                let before = before.count() as u64;
                let lost = unit.pods.iter().filter(|pod| {
                    pod.fate != Fate::Moved && of_group(&pod.pod).as_deref() == Some(name.as_str())
                });
                let left = before - lost.count() as u64;
                let broken = unit.broken_gangs.contains(&format!("ns/{name}"));
                // Members that waited may have joined.
                prop_assert!(!broken || (before >= least && left < least), "{name} {unit:?}");
                prop_assert!(broken || before < least || left >= least || unit_may_have_joined(&objects, &name));
            }
        }
    }

    /// As many gangs fit as start, one after the other, where they are really there.
    #[test]
    fn as_many_gangs_fit_as_start(seed in any::<u64>()) {
        let mut objects = running(seed);
        for object in objects.iter_mut().filter(|object| object["kind"] == "Pod") {
            object["spec"].as_object_mut().unwrap().remove("priority");
        }
        let is_member = |object: &Value, name: &str| object["spec"]["schedulingGroup"]["podGroupName"] == name;
        for number in 0..3 {
            let name = format!("group-{number}");
            let members: Vec<Value> = objects.iter().filter(|object| is_member(object, &name)).cloned().collect();
            let least = objects.iter().find(|object| object["kind"] == "PodGroup" && has_name(object, &name)).unwrap();
            let policy = least["spec"]["schedulingPolicy"].clone();
            let (Some(first), Some(least)) = (members.first(), policy["gang"]["minCount"].as_u64()) else { continue };
            let report = asked(&objects, &format!("ns/{}", first["metadata"]["name"].as_str().unwrap()));
            let gang = report.set[0].gang.clone().unwrap();
            prop_assert_eq!(gang.pods, members.len().max(usize::try_from(least).unwrap()));
            prop_assert_eq!(
                report.fits * gang.pods,
                report.nodes.iter().map(|node| node.copies).sum::<usize>()
            );
            let mut with = objects.clone();
            with.retain(|object| !is_member(object, &name) || object["spec"]["nodeName"].is_string());
            for copy in 1..=MOST {
                let of = format!("copy-{copy}");
                with.push(group(&of, Some(least)));
                for at in 0..gang.pods {
                    let mut member = members.get(at).unwrap_or(first).clone();
                    member["metadata"]["name"] = format!("copy-{copy}-{at:02}").into();
                    // Behind all others, in the order of the copies.
                    member["metadata"]["creationTimestamp"] = format!("2030-01-01T00:{copy:02}:{at:02}Z").into();
                    member["spec"]["schedulingGroup"]["podGroupName"] = of.as_str().into();
                    member["spec"]["priority"] = (-1).into();
                    member["spec"].as_object_mut().unwrap().remove("nodeName");
                    member.as_object_mut().unwrap().remove("status");
                    with.push(member);
                }
            }
            let simulated = simulated(&with);
            let mut started: BTreeMap<&str, usize> = BTreeMap::new();
            for pod in simulated.pods.iter().filter(|pod| pod.outcome == PodOutcome::Scheduled) {
                if let Some((copy, _)) = pod.name.rsplit_once('-').filter(|(copy, _)| copy.starts_with("copy-")) {
                    *started.entry(copy).or_default() += 1;
                }
            }
            let whole = (1..=MOST).take_while(|copy| {
                started.get(format!("copy-{copy}").as_str()).copied().unwrap_or(0) == gang.pods
            });
            prop_assert_eq!(report.fits, whole.count(), "{}", name);
        }
    }
}

fn unit_may_have_joined(objects: &[Value], name: &str) -> bool {
    objects.iter().any(|object| {
        object["spec"]["schedulingGroup"]["podGroupName"] == name && !object["spec"]["nodeName"].is_string()
    })
}

fn asked(objects: &[Value], pod: &str) -> CapacityReport {
    with_ground(objects, |ground| {
        let question = CapacityQuestion { set: vec![(pod.to_owned(), 1)], most: MOST, place_waiting: true };
        capacity(ground, &question, &mut ()).unwrap()
    })
}

fn moved(objects: &[Value], pod: &str) -> DefragReport {
    with_ground(objects, |ground| {
        let question = DefragQuestion {
            pods: vec![pod.to_owned()],
            most_moves: 3,
            most_tries: 1000,
            drain: DrainOptions::default(),
            place_waiting: true,
        };
        defrag(ground, &question, &mut ()).unwrap()
    })
}

#[test]
fn a_pod_that_makes_room_for_an_evicted_one_looks_for_a_place_too() {
    let mut high = pod("high", 2, None, Some("a"));
    high["spec"]["priority"] = 9.into();
    let low = pod("low", 1, None, Some("b"));
    let objects = [node("a", 2), node("b", 2), node("c", 1), high, low];
    let report = failures(&objects);
    let unit = report.units.iter().find(|unit| unit.name == "a").unwrap();
    let found: Vec<(&str, &str, Option<&str>, &str)> = unit
        .pods
        .iter()
        .map(|pod| {
            let to = pod.place.as_ref().map_or("-", |place| place.node.as_str());
            (pod.pod.as_str(), pod.from.as_str(), pod.preempted_by.as_deref(), to)
        })
        .collect();
    assert_eq!(found, [("ns/high", "a", None, "b"), ("ns/low", "b", Some("ns/high"), "c")]);
    assert_eq!((unit.evicted, unit.moved, unit.preempted), (2, 2, 1));
}

#[test]
fn defragmentation_admits_a_gang_as_a_whole() {
    let mut objects = vec![
        node("a", 2),
        node("b", 2),
        node("c", 1),
        pod("in-the-way", 1, None, Some("a")),
        group("pair", Some(2)),
        pod("one", 2, Some("pair"), None),
        pod("two", 2, Some("pair"), None),
    ];
    let report = moved(&objects, "ns/one");
    let admitted: Vec<&str> = report.admitted.iter().map(|pod| pod.pod.as_str()).collect();
    assert_eq!((report.verdict, report.moves.len()), (DefragVerdict::Plan, 1));
    assert_eq!(admitted, ["ns/one", "ns/two"]);
    // Alone it fits.
    objects.retain(|object| !has_name(object, "two"));
    objects
        .iter_mut()
        .filter(|object| has_name(object, "pair"))
        .for_each(|pair| *pair = group("pair", Some(1)));
    assert_eq!(moved(&objects, "ns/one").verdict, DefragVerdict::FitsAlready);
}
