//! `defrag` against trying everything, on small random clusters.

#[allow(dead_code, reason = "this test uses a part")]
mod support;

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::{DefragReport, DefragVerdict, PodOutcome};
use drayage_simulator::schedule::{ClusterState, Options, PodId, PodPlace, Prepared, simulate};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::defrag::{DefragQuestion, defrag};
use drayage_simulator::what_if::drain::DrainOptions;
use serde_json::{Value, json};
use support::cluster;

/// A cluster whose pods all have a controller, so that they may move.
fn owned(seed: u64) -> Vec<Value> {
    let mut objects = cluster(seed);
    for object in objects.iter_mut().filter(|object| object["kind"] == "Pod") {
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true}]);
    }
    objects
}

fn prepared(objects: &[Value]) -> Prepared {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).unwrap())
}

fn asked(prepared: &Prepared, options: &Options, pods: &[String], moves: usize) -> DefragReport {
    let question = DefragQuestion {
        pods: pods.to_vec(),
        most_moves: moves,
        most_tries: 100_000,
        drain: DrainOptions::default(),
        place_waiting: true,
    };
    let ground = Ground { prepared, options, cancel: &AtomicBool::new(false) };
    defrag(&ground, &question, &mut ()).unwrap()
}

/// Where defragmentation starts: everybody who waits was tried but the pod.
fn start(prepared: &Prepared, options: &Options, targets: &[String]) -> (ClusterState, Vec<PodId>) {
    let mut state = ClusterState::new(prepared, options);
    let targets: Vec<PodId> = targets.iter().map(|name| state.find_pod(name).unwrap()).collect();
    let waiting = state.pods().filter(|(id, pod, place)| {
        *place == PodPlace::Pending && !targets.contains(id) && pod.metadata.deletion_timestamp.is_none()
    });
    let waiting = waiting.map(|(id, _, _)| id).collect();
    for id in state.in_queue_order(waiting) {
        state.attempt(id, &AtomicBool::new(false)).unwrap();
    }
    (state, targets)
}

/// Whether everybody finds a place after these evictions, with the pod on a node of the scheduler's choice or on this one.
fn admits(base: &ClusterState, targets: &[PodId], evicted: &[PodId], on: Option<usize>) -> bool {
    let never = AtomicBool::new(false);
    let mut state = base.clone();
    for &id in evicted {
        state.evict(id);
    }
    let mut placed = true;
    for (at, &target) in targets.iter().enumerate() {
        let attempt = match on.filter(|_| at == 0) {
            Some(on) => state.attempt_on(&[on], target, &never).unwrap(),
            None => state.attempt(target, &never).unwrap(),
        };
        placed &= attempt.outcome == PodOutcome::Scheduled;
    }
    let rest = state.in_queue_order(evicted.to_vec());
    placed && rest.into_iter().all(|id| state.attempt(id, &never).unwrap().outcome == PodOutcome::Scheduled)
}

/// The least number of evictions up to two that admit the pod, by trying all of them.
fn fewest(base: &ClusterState, targets: &[PodId]) -> Option<usize> {
    let running: Vec<(PodId, usize)> = base
        .pods()
        .filter_map(|(id, _, place)| match place {
            PodPlace::Node(at) => Some((id, at)),
            _ => None,
        })
        .collect();
    let works = |set: &[(PodId, usize)]| {
        let evicted: Vec<PodId> = set.iter().map(|(id, _)| *id).collect();
        admits(base, targets, &evicted, None)
            || set.iter().any(|(_, at)| admits(base, targets, &evicted, Some(*at)))
    };
    if works(&[]) {
        return Some(0);
    }
    if running.iter().any(|&one| works(&[one])) {
        return Some(1);
    }
    let pairs = running
        .iter()
        .enumerate()
        .flat_map(|(at, one)| running[..at].iter().map(move |other| [*one, *other]));
    pairs.into_iter().any(|pair| works(&pair)).then_some(2)
}

/// Asks about the first pods without a place in many clusters, and compares with trying everything. How often there was a
/// plan, and how often none.
fn compared(gang: usize, seeds: std::ops::Range<u64>) -> (usize, usize) {
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    let (mut with_plan, mut without) = (0, 0);
    for seed in seeds {
        let prepared = prepared(&owned(seed));
        let report = simulate(&prepared, &options, &mut (), &AtomicBool::new(false)).unwrap();
        let pending = report.pods.iter().filter(|pod| pod.outcome == PodOutcome::Unschedulable);
        let names: Vec<String> =
            pending.take(gang).map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
        if names.len() < gang {
            continue;
        }
        let answer = asked(&prepared, &options, &names, 2);
        let (base, targets) = start(&prepared, &options, &names);
        let expected = fewest(&base, &targets);
        match answer.verdict {
            DefragVerdict::Plan | DefragVerdict::FitsAlready => {
                with_plan += 1;
                assert_eq!(Some(answer.moves.len()), expected, "seed {seed}, {names:?}");
                assert_eq!(answer.certainty, Some("proven"), "seed {seed}, {names:?}");
                let evicted: Vec<PodId> =
                    answer.moves.iter().map(|pod| base.find_pod(&pod.pod).unwrap()).collect();
                let first = &answer.admitted[0];
                let pinned = first.pinned.then(|| base.find_node(&first.node).unwrap());
                assert!(admits(&base, &targets, &evicted, pinned), "seed {seed}, {names:?}");
            }
            DefragVerdict::Impossible | DefragVerdict::NotWithinMoves => {
                without += 1;
                assert_eq!(expected, None, "seed {seed}, {names:?}: {answer:?}");
            }
            DefragVerdict::Undecided => panic!("seed {seed}, {names:?}: {answer:?}"),
        }
    }
    (with_plan, without)
}

#[test]
fn plans_have_as_few_moves_as_trying_everything_finds() {
    let (with_plan, without) = compared(1, 0..120);
    assert!(with_plan > 2 && without > 10, "{with_plan}, {without}");
}

#[test]
fn plans_for_gangs_have_as_few_moves_as_trying_everything_finds() {
    let (with_plan, without) = compared(2, 200..280);
    assert!(with_plan + without > 10, "{with_plan}, {without}");
}

#[test]
fn too_few_tries_are_no_sure_no() {
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    let mut objects = vec![node.clone()];
    let mut other = node;
    other["metadata"]["name"] = "b".into();
    objects.push(other);
    let pod = |name: &str, cpu: &str, node: Option<&str>| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "ns", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true}]},
            "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        })
    };
    objects.extend([pod("one", "2", Some("a")), pod("two", "2", Some("b")), pod("wide", "4", None)]);
    let prepared = prepared(&objects);
    let full = asked(&prepared, &options, &["ns/wide".to_owned()], 2);
    assert_eq!((full.verdict, full.moves.len(), full.certainty), (DefragVerdict::Plan, 1, Some("proven")));
    let ground = Ground { prepared: &prepared, options: &options, cancel: &AtomicBool::new(false) };
    let question = DefragQuestion {
        pods: vec!["ns/wide".to_owned()],
        most_moves: 0,
        most_tries: 100,
        drain: DrainOptions::default(),
        place_waiting: true,
    };
    assert_eq!(defrag(&ground, &question, &mut ()).unwrap().verdict, DefragVerdict::NotWithinMoves);
    // Nobody could be moved anywhere: three pods of two CPUs each and one of four do not fit together.
    objects.push(pod("three", "2", Some("b")));
    let prepared = self::prepared(&objects);
    let ground = Ground { prepared: &prepared, options: &options, cancel: &AtomicBool::new(false) };
    let question = DefragQuestion { most_moves: 3, most_tries: 2, ..question };
    let short = defrag(&ground, &question, &mut ()).unwrap();
    assert_eq!(short.verdict, DefragVerdict::Undecided, "{short:?}");
    let question = DefragQuestion { most_tries: 1000, ..question };
    assert_eq!(defrag(&ground, &question, &mut ()).unwrap().verdict, DefragVerdict::Impossible);
}
