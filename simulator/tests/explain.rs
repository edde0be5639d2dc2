//! `dray explain` and `dray simulate` say the same of every pod, with preemption and gangs.

#[path = "support/preempting.rs"]
mod preempting;
#[path = "support/scheduler.rs"]
mod scheduler;
#[expect(dead_code, reason = "shared with other tests, which use more of it")]
mod support;
#[path = "support/teams.rs"]
mod teams;

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::explain::{PodExplanation, explain_pod};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::{PodOutcome, PodReport};
use drayage_simulator::schedule::{Options, Prepared, simulate};
use serde_json::{Value, json};

static NEVER: AtomicBool = AtomicBool::new(false);

fn prepared(objects: &[Value]) -> Prepared {
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "objects.json".to_owned(), bytes: objects.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).unwrap())
}

/// A report without explanations, of which a simulation gives a pod that is like another one a reference only.
fn verdict(report: &PodReport) -> PodReport {
    PodReport { explanations: Vec::new(), explained_like: None, ..report.clone() }
}

/// Compares each pod; returns its report with the explanation.
fn compared(what: &str, objects: &[Value], gates: &str) -> Vec<(PodReport, PodExplanation)> {
    let prepared = prepared(objects);
    let mut options = Options::for_release(Release::V1_37);
    if !gates.is_empty() {
        options.gates = FeatureGates::parse(Release::V1_37, gates).unwrap();
    }
    let report = simulate(&prepared, &options, &mut (), &NEVER).unwrap();
    let explain = |pod: PodReport| {
        let explained = explain_pod(&prepared, &pod.namespace, &pod.name, &options, &NEVER).unwrap();
        assert_eq!(verdict(&explained.pod), verdict(&pod), "{what}: {}", pod.name);
        (pod, explained)
    };
    report.pods.into_iter().map(explain).collect()
}

#[test]
fn a_pod_is_explained_as_it_is_simulated() {
    let (mut preempting, mut preempted, mut evicted) = (0, 0, 0);
    for seed in 0..14 {
        for (pod, _) in compared(&format!("preempting, seed {seed}"), &preempting::cluster(seed), "") {
            let node = pod.preemption.as_ref().and_then(|preemption| preemption.node.as_ref());
            preempting += usize::from(node.is_some());
            preempted += usize::from(pod.outcome == PodOutcome::Preempted);
        }
        for (pod, _) in compared(&format!("seed {seed}"), &support::cluster(seed), "") {
            evicted += usize::from(pod.eviction.is_some());
        }
    }
    assert!(preempting > 5 && preempted > 5 && evicted > 0, "{preempting} {preempted} {evicted}");
}

#[test]
fn a_pod_of_a_gang_is_explained_with_its_gang() {
    let (mut started, mut refused) = (0, 0);
    for seed in 0..10 {
        for (in_racks, gates) in [
            (false, "GenericWorkload=true"),
            (true, "GenericWorkload=true,TopologyAwareWorkloadScheduling=true"),
        ] {
            let what = format!("teams, in racks: {in_racks}, seed {seed}");
            for (pod, explained) in compared(&what, &teams::cluster(seed, in_racks), gates) {
                let Some(gang) = &explained.gang else { continue };
                let name = format!("{}/{}", pod.namespace, pod.name);
                let itself = gang.members.iter().find(|member| member.pod == name).unwrap();
                assert_eq!((itself.outcome, &itself.node), (pod.outcome, &pod.node), "{what}: {name}");
                let Some(least) = gang.min_count else { continue };
                let placed =
                    gang.members.iter().filter(|member| member.outcome == PodOutcome::Scheduled).count();
                started += usize::from(placed > 0);
                refused += usize::from(placed == 0);
                let enough = gang.placed_before + placed >= least;
                let lost = gang.members.iter().any(|member| member.outcome == PodOutcome::Preempted);
                assert!(placed == 0 || enough || lost, "{what}: {name}: {placed} of {least}");
                // Of a gang that did not start each pod says why, as far as the scheduler says it.
                assert!(
                    placed > 0 || gang.members.iter().all(|member| member.message.is_some()),
                    "{what}: {name}"
                );
            }
        }
    }
    assert!(started > 10 && refused > 10, "{started} {refused}");
}
