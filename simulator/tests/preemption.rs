//! Properties of preemption on random clusters.

#[path = "support/preempting.rs"]
mod preempting;
#[path = "support/scheduler.rs"]
mod scheduler;
#[expect(dead_code, reason = "shared with other tests, which use more of it")]
mod support;

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::{PodOutcome, WorldFate};
use drayage_simulator::schedule::{self, Attempt, ClusterState, Options, PodId, PodPlace, Prepared};
use serde_json::{Value, json};

static NEVER: AtomicBool = AtomicBool::new(false);

fn state(objects: &[Value]) -> ClusterState {
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "objects.json".to_owned(), bytes: objects.into_bytes() };
    let snapshot = load(&[input], LoadOptions::default()).unwrap();
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    ClusterState::new(&Prepared::new(snapshot), &options)
}

fn queue(state: &ClusterState) -> Vec<PodId> {
    let waiting = state.pods().filter(|(_, _, place)| *place == PodPlace::Pending).map(|(id, ..)| id);
    state.in_queue_order(waiting.collect())
}

fn priority(state: &ClusterState, id: PodId) -> i32 {
    state.pod(id).unwrap().0.spec.priority.unwrap()
}

/// What an attempt came to, without what is only there to be read.
fn essence(attempt: &Attempt) -> (PodOutcome, Option<usize>, Option<String>, usize) {
    (attempt.outcome, attempt.node, attempt.message.clone(), attempt.preemptions.len())
}

#[test]
fn without_priorities_preemption_changes_nothing() {
    for seed in 0..40 {
        let mut without = state(&scheduler::cluster(seed));
        let mut with = without.clone();
        with.allow_preemption(true);
        for id in queue(&without) {
            let expected = without.attempt(id, &NEVER).unwrap();
            assert_eq!(essence(&with.attempt(id, &NEVER).unwrap()), essence(&expected), "seed {seed}");
        }
    }
}

#[test]
fn victims_are_less_important_gone_and_enough() {
    let mut preemptions = 0;
    for seed in 0..60 {
        let mut state = state(&preempting::cluster(seed));
        state.allow_preemption(true);
        for id in queue(&state) {
            let before = state.clone();
            let attempt = state.attempt(id, &NEVER).unwrap();
            let Some(last) = attempt.preemptions.last() else { continue };
            preemptions += 1;
            assert_ne!(before.pod(id).unwrap().0.spec.preemption_policy.as_deref(), Some("Never"));
            for victim in attempt.preemptions.iter().flat_map(|preemption| &preemption.victims) {
                assert!(priority(&state, victim.pod) < priority(&state, id), "seed {seed}");
                assert_eq!(state.pod(victim.pod).unwrap().1, PodPlace::Removed);
            }
            assert_eq!(
                (attempt.outcome, attempt.node),
                (PodOutcome::Scheduled, Some(last.node)),
                "seed {seed}"
            );
            assert!(last.best.contains(&last.node));
            // None of them could have stayed. Of pods that look at others that need not be so: a pod that comes back
            // later may be the one that makes room for another.
            let spec = &state.pod(id).unwrap().0.spec;
            if !spec.topology_spread.is_empty() || !spec.pod_affinity.required.is_empty() {
                continue;
            }
            for &spared in &last.victims {
                let mut other = before.clone();
                other.allow_preemption(false);
                let gone = attempt.preemptions.iter().flat_map(|preemption| &preemption.victims);
                for victim in gone.filter(|victim| victim.pod != spared.pod) {
                    other.delete(victim.pod);
                }
                other.prefer(Some(last.node));
                let found = other.attempt(id, &NEVER).unwrap();
                assert_ne!(found.node, Some(last.node), "seed {seed}: {spared:?} is needless");
            }
        }
    }
    assert!(preemptions > 30, "only {preemptions}");
}

#[test]
fn an_attempt_without_a_way_out_leaves_the_state_as_it_was() {
    let mut failures = 0;
    for seed in 60..100 {
        let mut state = state(&preempting::cluster(seed));
        state.allow_preemption(true);
        for id in queue(&state) {
            let before = state.clone();
            if state.attempt(id, &NEVER).unwrap().outcome == PodOutcome::Scheduled {
                continue;
            }
            failures += 1;
            for &at in state.node_numbers().iter() {
                assert_eq!(state.node_use(at), before.node_use(at), "seed {seed}");
                assert_eq!(state.pods_on(at), before.pods_on(at), "seed {seed}");
            }
        }
    }
    assert!(failures > 30, "only {failures}");
}

#[test]
fn worlds_are_the_same_for_equal_seeds_and_hold_the_fixed_rule() {
    for seed in 0..6 {
        let objects =
            json!({"apiVersion": "v1", "kind": "List", "items": preempting::cluster(seed)}).to_string();
        let input = Input::Bytes { name: "objects.json".to_owned(), bytes: objects.into_bytes() };
        let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
        let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
        let run = |count, seed| schedule::worlds(&prepared, &options, count, seed, &mut (), &NEVER).unwrap();
        let report = run(40, 3);
        assert_eq!(report, run(40, 3));
        for pod in &report.pods {
            assert_eq!(pod.outcomes.values().sum::<usize>(), 40);
            assert_eq!(pod.nodes.values().sum::<usize>(), pod.placed);
            assert_eq!(pod.fate == WorldFate::Always, pod.placed == 40);
            assert_eq!(pod.fate == WorldFate::Never, pod.placed == 0);
        }
        // One world more changes no other.
        let more = run(41, 3);
        for pod in &report.pods {
            let other = more.pods.iter().find(|other| other.name == pod.name).unwrap();
            assert!(other.placed == pod.placed || other.placed == pod.placed + 1);
        }
    }
}
