//! Gangs in small random clusters: all or nothing.

#[path = "support/gangs.rs"]
mod gangs;
#[expect(dead_code, reason = "shared with other tests, which use more of it")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::{PodOutcome, SimulationReport};
use drayage_simulator::schedule::{Options, Prepared, simulate};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Numbers, cluster};

const GATES: &str = "GenericWorkload=true,GangScheduling=true";

fn simulated(objects: &[Value], gates: &str) -> SimulationReport {
    simulated_in(objects, gates, Release::V1_36)
}

/// The gates with which topology keys count.
fn by_topology(release: Release) -> String {
    let gangs = if release == Release::V1_36 { GATES } else { "GenericWorkload=true" };
    format!("{gangs},TopologyAwareWorkloadScheduling=true")
}

/// Nodes in racks, one gang that must be in one of them, and how many pods of it must start together.
fn racks(seed: u64) -> (Vec<Value>, u64) {
    let mut numbers = Numbers(seed);
    let nodes = 1 + numbers.below(6);
    let mut objects = Vec::new();
    let mut room = Vec::new();
    for number in 0..nodes {
        let cpu = 1 + numbers.below(4);
        room.push(cpu);
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{number}"), "labels": {}},
            "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "64Gi", "pods": "20"}},
        });
        if !numbers.chance(10) {
            node["metadata"]["labels"]["rack"] = format!("rack-{}", numbers.below(3)).into();
        }
        objects.push(node);
    }
    let least = 1 + numbers.below(4);
    objects.push(json!({
        "apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"namespace": "ns", "name": "gang"},
        "spec": {
            "schedulingPolicy": {"gang": {"minCount": least}},
            "schedulingConstraints": {"topology": [{"key": "rack"}]},
        },
    }));
    let members = least + numbers.below(3);
    for number in 0..members + numbers.below(4) {
        let is_member = number < members;
        let name = if is_member { format!("member-{number}") } else { format!("other-{number}") };
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": name},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
        });
        if is_member {
            pod["spec"]["schedulingGroup"] = json!({"podGroupName": "gang"});
        }
        // One of them may run already; the others that run come first.
        let runs = if is_member { number == 0 && numbers.chance(30) } else { true };
        let at = usize::try_from(numbers.below(nodes)).unwrap();
        if runs && room[at] > 0 && (!is_member || objects[at]["metadata"]["labels"]["rack"].is_string()) {
            room[at] -= 1;
            pod["spec"]["nodeName"] = format!("node-{at}").into();
            pod["status"] = json!({"phase": "Running"});
        } else if !is_member {
            continue;
        }
        objects.push(pod);
    }
    (objects, least)
}

fn simulated_in(objects: &[Value], gates: &str, release: Release) -> SimulationReport {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    let snapshot = load(&[input], LoadOptions::default()).unwrap();
    let gates = FeatureGates::parse(release, gates).unwrap();
    let options = Options { gates, ..Options::for_release(release) };
    simulate(&Prepared::new(snapshot), &options, &mut (), &AtomicBool::new(false)).unwrap()
}

/// A cluster whose pods are in two groups or in none, and how many of each must start together.
fn grouped(seed: u64) -> (Vec<Value>, [u64; 2]) {
    let mut numbers = Numbers(seed ^ 0x6a16);
    let mut objects = cluster(seed);
    let least = [1 + numbers.below(4), 1 + numbers.below(4)];
    for (number, least) in least.into_iter().enumerate() {
        objects.push(json!({
            "apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup",
            "metadata": {"namespace": "ns", "name": format!("group-{number}")},
            "spec": {"schedulingPolicy": {"gang": {"minCount": least}}},
        }));
    }
    for pod in objects.iter_mut().filter(|object| object["kind"] == "Pod") {
        let group = numbers.below(3);
        if group < 2 {
            pod["spec"]["schedulingGroup"] = json!({"podGroupName": format!("group-{group}")});
        }
    }
    (objects, least)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Of every gang enough pods have a node when the last one gets its, or none that had none in the beginning. Later a
    /// pod without a group may preempt one of them, as it may in 1.36.
    #[test]
    fn gangs_start_together_or_not_at_all(seed in any::<u64>()) {
        let (objects, least) = grouped(seed);
        let report = simulated(&objects, GATES);
        for (number, least) in least.into_iter().enumerate() {
            let group = format!("group-{number}");
            let is_member = |name: &str| objects.iter().any(|object| {
                object["kind"] == "Pod"
                    && object["metadata"]["name"] == name
                    && object["spec"]["schedulingGroup"]["podGroupName"] == group.as_str()
            });
            let count = |outcome: PodOutcome| {
                report.pods.iter().filter(|pod| pod.outcome == outcome && is_member(&pod.name)).count() as u64
            };
            let (placed, running) = (count(PodOutcome::Scheduled), count(PodOutcome::AlreadyRunning));
            let had = placed + running + count(PodOutcome::Preempted);
            prop_assert!(placed == 0 || had >= least, "{group}: {placed} of {least}");
        }
    }

    /// All pods of a gang with a topology key get nodes with one value of it, those included that ran before, and it starts
    /// if and only if some part has enough room.
    #[test]
    fn a_gang_with_a_topology_key_is_kept_in_one_part(seed in any::<u64>()) {
        let (objects, least) = racks(seed);
        for release in [Release::V1_36, Release::V1_37] {
            let report = simulated_in(&objects, &by_topology(release), release);
            let rack_of = |node: &str| {
                let node = objects.iter().find(|object| object["metadata"]["name"] == node).unwrap();
                node["metadata"]["labels"]["rack"].as_str().unwrap_or("none").to_owned()
            };
            let members = || report.pods.iter().filter(|pod| pod.name.starts_with("member"));
            let placed: Vec<String> =
                members().filter_map(|pod| pod.node.as_deref()).map(rack_of).collect();
            prop_assert!(placed.windows(2).all(|two| two[0] == two[1]), "{placed:?}");
            prop_assert!(placed.iter().all(|rack| rack != "none"));
            let running = members().filter(|pod| pod.outcome == PodOutcome::AlreadyRunning).count();
            let mut room: BTreeMap<String, u64> = BTreeMap::new();
            for node in objects.iter().filter(|object| object["kind"] == "Node") {
                let name = node["metadata"]["name"].as_str().unwrap();
                let runs = report.pods.iter().filter(|pod| {
                    pod.outcome == PodOutcome::AlreadyRunning && pod.node.as_deref() == Some(name)
                });
                let cpu: u64 = node["status"]["allocatable"]["cpu"].as_str().unwrap().parse().unwrap();
                *room.entry(rack_of(name)).or_default() += cpu - runs.count() as u64;
            }
            room.remove("none");
            if let Some(rack) = placed.first().filter(|_| running > 0) {
                room.retain(|other, _| other == rack);
            }
            let waiting = members().count() - running;
            let most = room.values().max().copied().unwrap_or_default().min(waiting as u64);
            let starts = waiting > 0 && most > 0 && running as u64 + most >= least;
            prop_assert_eq!(placed.len() > running, starts, "{:?} {:?}", room, report.pods);
        }
    }

    /// Without the gate a topology key changes nothing.
    #[test]
    fn without_its_gate_a_topology_key_has_no_effect(seed in any::<u64>()) {
        let (objects, _) = racks(seed);
        let without: Vec<Value> = objects
            .iter()
            .cloned()
            .map(|mut object| {
                object["spec"].as_object_mut().map(|spec| spec.remove("schedulingConstraints"));
                object
            })
            .collect();
        let nodes = |objects: &[Value]| -> Vec<Option<String>> {
            simulated(objects, GATES).pods.into_iter().map(|pod| pod.node).collect()
        };
        prop_assert_eq!(nodes(&objects), nodes(&without));
    }

    /// Groups for which every pod is enough change nothing but the order of the queue, and without gates nothing at all.
    #[test]
    fn without_gates_groups_have_no_effect(seed in any::<u64>()) {
        let outcomes = |report: &SimulationReport| -> Vec<(String, PodOutcome, Option<String>)> {
            report.pods.iter().map(|pod| (pod.name.clone(), pod.outcome, pod.node.clone())).collect()
        };
        let (objects, _) = grouped(seed);
        prop_assert_eq!(outcomes(&simulated(&objects, "")), outcomes(&simulated(&cluster(seed), "")));
    }
}

#[test]
fn a_group_that_is_not_whole_waits() {
    let pod = |name: &str, group: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": name},
            "spec": {"schedulingGroup": {"podGroupName": group}, "containers": [{"name": "c", "image": "i"}]},
        })
    };
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"},
            "status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "2"}},
        }),
        json!({
            "apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"namespace": "ns", "name": "pair"},
            "spec": {"schedulingPolicy": {"gang": {"minCount": 2}}},
        }),
        json!({
            "apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"namespace": "ns", "name": "three"},
            "spec": {"schedulingPolicy": {"gang": {"minCount": 3}}},
        }),
        pod("a", "pair"),
        pod("b", "three"),
        pod("c", "three"),
        pod("d", "three"),
        pod("e", "nobody"),
    ];
    let report = simulated(&objects, GATES);
    let message = |name: &str| {
        let pod = report.pods.iter().find(|pod| pod.name == name).unwrap();
        (pod.outcome, pod.message.clone().unwrap_or_default())
    };
    let waits = "pod group is unschedulable, waiting for minCount pods from a gang to be scheduled, one or more plugins \
                 asked to wait and no plugin rejected pod";
    assert_eq!(
        message("a"),
        (PodOutcome::Gated, "waiting for minCount pods from a gang to appear in scheduling queue".to_owned())
    );
    assert_eq!(message("b"), (PodOutcome::Unschedulable, waits.to_owned()));
    assert_eq!(
        message("d"),
        (PodOutcome::Unschedulable, "0/1 nodes are available: 1 Too many pods.".to_owned())
    );
    assert_eq!(
        message("e"),
        (
            PodOutcome::Gated,
            "waiting for pods's pod group \"nobody\" to appear in scheduling queue".to_owned()
        )
    );
}

/// Workloads of 1.35 have groups, and each replica of one is a gang of its own.
#[test]
fn groups_of_workloads_start_together_in_1_35() {
    let pod = |name: &str, workload: &str, group: &str, replica: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": name},
            "spec": {
                "workloadRef": {"name": workload, "podGroup": group, "podGroupReplicaKey": replica},
                "containers": [{"name": "c", "image": "i"}],
            },
        })
    };
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"},
            "status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "3"}},
        }),
        json!({
            "apiVersion": "scheduling.k8s.io/v1alpha1", "kind": "Workload", "metadata": {"namespace": "ns", "name": "job"},
            "spec": {"podGroups": [
                {"name": "pair", "policy": {"gang": {"minCount": 2}}}, {"name": "any", "policy": {"basic": {}}},
            ]},
        }),
        pod("a", "job", "pair", "1"),
        pod("b", "job", "pair", "1"),
        pod("c", "job", "pair", "2"),
        pod("d", "job", "pair", "3"),
        pod("e", "job", "pair", "3"),
        pod("f", "job", "any", ""),
        pod("g", "job", "none", ""),
        pod("h", "nobody", "pair", ""),
    ];
    let report = simulated_in(&objects, GATES, Release::V1_35);
    let found: Vec<(&str, PodOutcome)> =
        report.pods.iter().map(|pod| (pod.name.as_str(), pod.outcome)).collect();
    let (placed, gated, refused) = (PodOutcome::Scheduled, PodOutcome::Gated, PodOutcome::Unschedulable);
    let wanted = [
        ("a", placed),
        ("b", placed),
        ("c", gated),
        ("d", refused),
        ("e", refused),
        ("f", placed),
        ("g", gated),
        ("h", gated),
    ];
    assert_eq!(found, wanted);
    let message = |name: &str| {
        report
            .pods
            .iter()
            .find(|pod| pod.name == name)
            .and_then(|pod| pod.message.clone())
            .unwrap_or_default()
    };
    assert_eq!(message("c"), "waiting for minCount pods from a gang to appear in scheduling queue");
    assert_eq!(message("g"), "pod group \"none\" doesn't exist for a workload \"job\"");
    assert_eq!(message("h"), "waiting for pods's workload \"nobody\" to appear in scheduling queue");
    // Later releases know no Workload that decides anything.
    let later = simulated_in(&objects, GATES, Release::V1_36);
    assert_eq!(later.pods.iter().filter(|pod| pod.outcome == placed).count(), 3);
}

/// How many pods of each group have which fate; a pod without a group is one of its own.
fn fates<'r>(
    pods: impl Iterator<Item = (&'r str, bool, &'r str)>,
) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut fates: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (name, scheduled, message) in pods {
        let group =
            name.rsplit_once('-').filter(|_| name.starts_with("group-")).map_or(name, |(group, _)| group);
        let fate = match message {
            _ if scheduled => "scheduled",
            // The scheduler says nothing of those that wait for their group to be whole.
            "no decision" | "waiting for minCount pods from a gang to appear in scheduling queue" => "waits",
            message => message,
        };
        *fates.entry(group.to_owned()).or_default().entry(fate.to_owned()).or_default() += 1;
    }
    fates
}

/// Replays what kube-scheduler 1.36.3 did with random groups (recorded by `conformance/scheduler --family gangs`).
#[test]
fn as_many_pods_of_each_group_start_as_with_the_real_scheduler() {
    let fixture =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/scheduler-gangs-1.36.3.jsonl");
    let text =
        fs::read_to_string(std::env::var_os("DRAYAGE_REPLAY_GANGS").map_or(fixture, PathBuf::from)).unwrap();
    let mut differences = Vec::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let seed = record["seed"].as_u64().unwrap();
        let report = simulated(&gangs::cluster(seed), GATES);
        let found = fates(report.pods.iter().map(|pod| {
            (
                pod.name.as_str(),
                pod.outcome == PodOutcome::Scheduled,
                pod.message.as_deref().unwrap_or_default(),
            )
        }));
        let decisions = record["decisions"].as_array().unwrap();
        let recorded = fates(decisions.iter().map(|decision| {
            let name = decision["pod"].as_str().unwrap().trim_start_matches("ns/");
            (name, decision["node"].is_string(), decision["message"].as_str().unwrap_or_default())
        }));
        if found != recorded {
            differences.push(format!("seed {seed}: recorded {recorded:?}, found {found:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(text.lines().count() > 20);
}
