//! Replays what kube-scheduler 1.36.3 and 1.37.1 did with random clusters (recorded in `fixtures/scheduler*.jsonl` by
//! `conformance/scheduler`, one file for each family): each node it took is among those with the best score, with the
//! same devices, pods that it left waiting are refused with the same message, and pods that it preempted are
//! preempted, on a node that is as good as any.

#[path = "support/configurations.rs"]
mod configurations;
#[path = "support/extended.rs"]
mod extended;
#[path = "support/families.rs"]
mod families;
#[path = "support/preempting.rs"]
mod preempting;
#[path = "support/scheduler.rs"]
mod scheduler;
#[expect(dead_code, reason = "shared with other tests, which use more of it")]
mod support;
#[path = "support/teams.rs"]
mod teams;
#[path = "support/volumes.rs"]
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::scheduler_configuration::SchedulerConfiguration;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::PodOutcome;
use drayage_simulator::schedule::{Attempt, ClusterState, Options, PodId, PodPlace, Prepared};
use serde_json::{Value, json};

const V1_36: (Release, &str) = (Release::V1_36, "1.36.3");
const V1_37: (Release, &str) = (Release::V1_37, "1.37.1");

fn state(family: &str, release: Release, record: &Value) -> ClusterState {
    let case = families::case(family, record["seed"].as_u64().unwrap());
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": case.objects}).to_string();
    let input = Input::Bytes { name: "objects.json".to_owned(), bytes: objects.into_bytes() };
    let snapshot = load(&[input], LoadOptions::default()).unwrap();
    let mut options = Options { explain: false, ..Options::for_release(release) };
    if release == Release::V1_37 {
        options.gates = FeatureGates::parse(release, families::gates(family)).unwrap();
    }
    if let Some(configuration) = case.configuration {
        let configuration =
            SchedulerConfiguration::read("scheduler.json", &configuration.to_string()).unwrap();
        options.configure(&configuration).unwrap();
    }
    ClusterState::new(&Prepared::new(snapshot), &options)
}

/// The devices of a pod, by claim, as the records have them.
fn devices(state: &ClusterState, attempt: &Attempt) -> BTreeMap<String, Vec<String>> {
    let claims = attempt.claims.iter().filter_map(|used| {
        let name = used.pod_claim.clone().unwrap_or_else(|| "extended resources".to_owned());
        let results = &state.claim(used.claim)?.allocation?.results;
        let device = |result: &drayage_allocator::objects::DeviceRequestAllocationResult| {
            format!("{} {}/{}/{}", result.request, result.driver, result.pool, result.device)
        };
        Some((name, results.iter().map(device).collect()))
    });
    claims.collect()
}

/// The pods that were preempted, by name.
fn victims(state: &ClusterState, attempt: &Attempt) -> Vec<String> {
    let victims = attempt.preemptions.iter().flat_map(|preemption| &preemption.victims);
    let mut names: Vec<String> =
        victims.filter_map(|victim| Some(state.pod(victim.pod)?.0.metadata.full_name())).collect();
    names.sort();
    names
}

fn recorded_devices(decision: &Value) -> BTreeMap<String, Vec<String>> {
    serde_json::from_value(decision["claims"].clone()).unwrap_or_default()
}

/// What differs, in words. The first difference ends a replay.
fn difference(family: &str, release: Release, record: &Value) -> Option<String> {
    let mut state = state(family, release, record);
    state.allow_preemption(true);
    if family.starts_with("teams") {
        return difference_in_teams(family, &mut state, record);
    }
    let waiting: Vec<PodId> =
        state.pods().filter(|(_, _, place)| *place == PodPlace::Pending).map(|(id, ..)| id).collect();
    let mut queue = state.in_queue_order(waiting).into_iter();
    for decision in record["decisions"].as_array().unwrap() {
        let name = decision["pod"].as_str().unwrap();
        let id = queue.next().unwrap();
        assert_eq!(state.find_pod(name), Some(id), "seed {}: the queue has another order", record["seed"]);
        let node = decision["node"].as_str();
        let wanted = node.and_then(|node| state.find_node(node));
        let promised = decision["nominated"].as_str().and_then(|node| state.find_node(node));
        state.prefer(promised.or(wanted));
        let attempt = state.attempt(id, &AtomicBool::new(false)).unwrap();
        let place = format!("seed {}, pod `{name}`", record["seed"]);
        let message = attempt.message.as_deref();
        let victims = victims(&state, &attempt);
        let recorded: Vec<String> = serde_json::from_value(decision["victims"].clone()).unwrap_or_default();
        let room = attempt.preemptions.last().map(|preemption| preemption.node);
        if victims != recorded || room != promised {
            return Some(format!(
                "{place}: preempted {recorded:?} {:?}, found {attempt:?}",
                decision["nominated"]
            ));
        }
        if node.is_none() {
            if attempt.outcome == PodOutcome::Scheduled || message != decision["message"].as_str() {
                return Some(format!("{place}: refused with {}, found {attempt:?}", decision["message"]));
            }
        } else if attempt.node != wanted || !wanted.is_some_and(|wanted| attempt.best.contains(&wanted)) {
            let best: Vec<_> = attempt.best.iter().filter_map(|&at| state.node(at)).collect();
            let best: Vec<&str> = best.iter().map(|node| node.metadata.name.as_str()).collect();
            return Some(format!("{place}: got {node:?}, best are {best:?} {message:?}"));
        } else if devices(&state, &attempt) != recorded_devices(decision) {
            return Some(format!(
                "{place}: got {}, found {:?}",
                decision["claims"],
                devices(&state, &attempt)
            ));
        } else if let Some(difference) = volume_difference(&state, decision) {
            return Some(format!("{place}: {difference}"));
        }
    }
    None
}

/// A group, and what was decided about its pods.
type Decided<'r> = (Option<String>, Vec<(PodId, &'r Value)>);

/// What differs where pods come in groups, which the scheduler decides together.
fn difference_in_teams(family: &str, state: &mut ClusterState, record: &Value) -> Option<String> {
    let decisions = record["decisions"].as_array().unwrap();
    let of_pod = |id: PodId| state.pod(id).and_then(|(pod, _)| pod.spec.pod_group.clone());
    let objects = families::case(family, record["seed"].as_u64().unwrap()).objects;
    let kept_together = objects.iter().filter(|object| object["spec"]["schedulingConstraints"].is_object());
    let in_racks: BTreeSet<String> =
        kept_together.filter_map(|group| Some(group["metadata"]["name"].as_str()?.to_owned())).collect();
    let mut groups: Vec<Decided<'_>> = Vec::new();
    for decision in decisions {
        let id = state.find_pod(decision["pod"].as_str().unwrap()).unwrap();
        let group = of_pod(id);
        match groups.last_mut() {
            Some((other, pods)) if group.is_some() && *other == group => pods.push((id, decision)),
            _ => groups.push((group, vec![(id, decision)])),
        }
    }
    for (group, pods) in groups {
        let wanted = |decision: &Value| decision["node"].as_str().and_then(|node| state.find_node(node));
        let nodes: Vec<(PodId, usize)> =
            pods.iter().filter_map(|(id, decision)| Some((*id, wanted(decision)?))).collect();
        state.prefer(None);
        state.prefer_each(nodes);
        let ids: Vec<PodId> = pods.iter().map(|(id, _)| *id).collect();
        let attempts = state.attempt_together(&ids, &AtomicBool::new(false)).unwrap();
        for ((id, decision), (tried, attempt)) in pods.iter().zip(&attempts) {
            assert_eq!(id, tried);
            let place = format!("seed {}, pod {} of {group:?}", record["seed"], decision["pod"]);
            let wanted = decision["node"].as_str().and_then(|node| state.find_node(node));
            if wanted.is_none() {
                // Which of several parts of a topology is reported on is left open, and so are the nodes that pods of a
                // group had before it was given up; what is said of later ones depends on them.
                let message = attempt.message.as_deref().unwrap_or_default();
                let recorded = decision["message"].as_str().unwrap_or_default();
                let had_node = |message: &str| message.starts_with("pod group is unschedulable, ");
                let before = attempts.iter().take_while(|(other, _)| other != id);
                let open = in_racks.contains(group.as_deref().unwrap_or_default())
                    || before.into_iter().any(|(_, before)| before.message.as_deref().is_some_and(had_node))
                        && message.starts_with("0/");
                if attempt.outcome == PodOutcome::Scheduled || (!open && message != recorded) {
                    return Some(format!("{place}: refused with {recorded:?}, found {attempt:?}"));
                }
            } else if attempt.node != wanted || !wanted.is_some_and(|wanted| attempt.best.contains(&wanted)) {
                return Some(format!("{place}: got {}, found {attempt:?}", decision["node"]));
            } else if devices(state, attempt) != recorded_devices(decision) {
                return Some(format!(
                    "{place}: got {}, found {:?}",
                    decision["claims"],
                    devices(state, attempt)
                ));
            }
        }
    }
    None
}

/// What differs in the volumes of a pod.
fn volume_difference(state: &ClusterState, decision: &Value) -> Option<String> {
    let volumes = decision["volumes"].as_object()?;
    volumes.iter().find_map(|(claim, volume)| {
        let found = state.volume_of("ns", claim);
        (found != volume.as_str()).then(|| format!("claim `{claim}` got {volume}, found {found:?}"))
    })
}

/// Replays the records of a family; others can be replayed without being kept.
fn replay(family: &str, (release, patch): (Release, &str)) {
    assert!(families::FAMILIES.contains(&family));
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let fixture = fixture.join(families::file(family, patch));
    let is_asked = |name: &str, default: &str, value: &str| {
        std::env::var(name).unwrap_or_else(|_| default.to_owned()) == value
    };
    let given = std::env::var_os("DRAYAGE_REPLAY").filter(|_| {
        is_asked("DRAYAGE_REPLAY_FAMILY", "default", family)
            && is_asked("DRAYAGE_REPLAY_RELEASE", V1_36.1, patch)
    });
    let text = fs::read_to_string(given.map_or(fixture, PathBuf::from)).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let differences: Vec<String> =
        records.iter().filter_map(|record| difference(family, release, record)).collect();
    let summary = format!("{family} {patch}: {} of {} clusters differ", differences.len(), records.len());
    assert!(differences.is_empty(), "{summary}:\n{}", differences.join("\n"));
    let decisions = records.iter().map(|record| record["decisions"].as_array().unwrap().len());
    assert!(decisions.sum::<usize>() > 50);
}

#[test]
fn decisions_are_among_the_best() {
    replay("default", V1_36);
}

#[test]
fn decisions_about_extended_resources_and_alternatives_are_among_the_best() {
    replay("extended", V1_36);
}

#[test]
fn decisions_about_volumes_are_among_the_best() {
    replay("volumes", V1_36);
}

#[test]
fn decisions_of_configured_schedulers_are_among_the_best() {
    replay("configured", V1_36);
}

#[test]
fn decisions_of_configured_schedulers_about_extended_resources_are_among_the_best() {
    replay("configured-extended", V1_36);
}

#[test]
fn victims_are_those_of_the_scheduler() {
    replay("preempting", V1_36);
}

#[test]
fn decisions_of_1_37_are_among_the_best() {
    replay("default", V1_37);
}

#[test]
fn decisions_of_1_37_about_extended_resources_and_alternatives_are_among_the_best() {
    replay("extended", V1_37);
}

#[test]
fn decisions_of_1_37_about_volumes_are_among_the_best() {
    replay("volumes", V1_37);
}

#[test]
fn decisions_of_configured_schedulers_of_1_37_are_among_the_best() {
    replay("configured", V1_37);
    replay("configured-extended", V1_37);
}

#[test]
fn victims_are_those_of_the_scheduler_of_1_37() {
    replay("preempting", V1_37);
}

#[test]
fn gangs_of_1_37_get_the_nodes_that_the_scheduler_gave_them() {
    replay("teams", V1_37);
}

#[test]
fn gangs_of_1_37_get_the_rack_that_the_scheduler_gave_them() {
    replay("teams-in-racks", V1_37);
}
