//! Properties that need a look inside.

#[expect(dead_code, reason = "shared with other tests, which use more of it")]
#[path = "../../tests/support/mod.rs"]
mod random;

use std::sync::atomic::AtomicBool;

use drayage_allocator::objects::{DeviceId, DeviceTaint};
use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use proptest::prelude::*;
use serde_json::json;

use super::cluster_state::ClusterState;
use super::{Options, PodPlace, Prepared};
use crate::report::PodReport;

fn prepared(seed: u64) -> Prepared {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": random::cluster(seed)}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).unwrap())
}

/// What happens to a cluster in a what-if.
#[derive(Clone, Copy, Debug)]
enum Change {
    Attempt,
    Evict,
    Delete,
    RemoveNode,
    AddNode,
    Cordon,
    Taint,
    Fork,
}

fn changes() -> impl Strategy<Value = Vec<(Change, usize)>> {
    let change = prop_oneof![
        6 => Just(Change::Attempt),
        3 => Just(Change::Evict),
        1 => Just(Change::Delete),
        1 => Just(Change::RemoveNode),
        1 => Just(Change::AddNode),
        1 => Just(Change::Cordon),
        1 => Just(Change::Taint),
        1 => Just(Change::Fork),
    ];
    proptest::collection::vec((change, any::<usize>()), 1..40)
}

/// Applies a change and says what came of it.
fn apply(state: &mut ClusterState, change: Change, number: usize) -> String {
    let pods: Vec<_> = state.pods().map(|(id, _, place)| (id, place)).collect();
    let nodes = state.node_numbers();
    let node = nodes.get(number % nodes.len().max(1)).copied();
    match change {
        Change::Attempt => {
            let pending: Vec<_> = pods.iter().filter(|(_, place)| *place == PodPlace::Pending).collect();
            let Some((id, _)) = pending.get(number % pending.len().max(1)) else { return String::new() };
            format!("{:?}", state.attempt(*id, &AtomicBool::new(false)).unwrap())
        }
        Change::Evict | Change::Delete => {
            let Some((id, _)) = pods.get(number % pods.len().max(1)) else { return String::new() };
            if matches!(change, Change::Evict) {
                state.evict(*id);
            } else {
                state.delete(*id);
            }
            format!("{:?}", state.pod_use_and_claims())
        }
        Change::RemoveNode => format!("{:?}", node.map(|at| state.remove_node(at))),
        Change::AddNode => {
            let Some(mut node) = node.and_then(|at| state.node(at).cloned()) else { return String::new() };
            let before = node.metadata.name.clone();
            node.metadata.name = format!("{before}-copy");
            let local = state.slices().filter(|slice| slice.node_name.as_ref() == Some(&before));
            let slices: Vec<_> = local
                .map(|slice| {
                    let mut slice = slice.clone();
                    slice.name = format!("{}-copy", slice.name);
                    slice.pool.name = format!("{}-copy", slice.pool.name);
                    slice.node_name = Some(node.metadata.name.clone());
                    slice
                })
                .collect();
            format!("{:?}", state.add_node(node, slices))
        }
        Change::Cordon => {
            if let Some(at) = node {
                state.cordon(at);
            }
            String::new()
        }
        Change::Taint => {
            let devices =
                state.slices().flat_map(|slice| slice.devices.iter().map(move |device| (slice, device)));
            let ids: Vec<_> = devices
                .map(|(slice, device)| DeviceId { pool: slice.pool_id(), device: device.name.clone() })
                .collect();
            let taint = DeviceTaint {
                key: "failed".to_owned(),
                effect: "NoExecute".to_owned(),
                ..DeviceTaint::default()
            };
            format!("{:?}", ids.get(number % ids.len().max(1)).map(|id| state.taint_device(id, &taint)))
        }
        Change::Fork => {
            let mut fork = state.clone();
            let _ = fork.run(&mut (), &AtomicBool::new(false));
            let bound: Vec<_> = fork.pods().map(|(id, ..)| id).collect();
            for id in bound {
                fork.evict(id);
            }
            format!("{:?}", fork.pod_use_and_claims())
        }
    }
}

impl ClusterState {
    fn pod_use_and_claims(&self) -> impl std::fmt::Debug {
        let nodes: Vec<_> =
            self.node_numbers().iter().map(|&at| (self.node_use(at), self.pods_on(at).len())).collect();
        let claims: Vec<_> =
            self.claims().map(|claim| (claim.id, claim.allocation.cloned(), claim.consumers)).collect();
        (nodes, claims, self.pool_use())
    }
}

fn reports(prepared: &Prepared, options: &Options, forgetful: bool) -> Vec<PodReport> {
    let mut simulation = ClusterState::new(prepared, options);
    simulation.devices.forgetful = forgetful;
    simulation.run(&mut (), &AtomicBool::new(false)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn remembered_verdicts_change_nothing(seed: u64, newest: bool) {
        let prepared = prepared(seed);
        let options = Options::for_release(if newest { Release::V1_37 } else { Release::V1_36 });
        prop_assert_eq!(reports(&prepared, &options, false), reports(&prepared, &options, true));
    }

    #[test]
    fn the_number_of_threads_changes_nothing(seed: u64, threads in 2_usize..=8) {
        let prepared = prepared(seed);
        let options = Options::for_release(Release::V1_36);
        let several = Options { threads, ..options.clone() };
        prop_assert_eq!(reports(&prepared, &options, false), reports(&prepared, &several, false));
    }

    #[test]
    fn remembered_verdicts_stand_while_the_cluster_changes(seed: u64, newest: bool, changes in changes()) {
        let prepared = prepared(seed);
        let options = Options::for_release(if newest { Release::V1_37 } else { Release::V1_36 });
        let mut remembering = ClusterState::new(&prepared, &options);
        let mut forgetful = remembering.clone();
        forgetful.devices.forgetful = true;
        for (change, number) in changes {
            let found = apply(&mut remembering, change, number);
            prop_assert_eq!(found, apply(&mut forgetful, change, number), "{:?}", change);
        }
        let rest = remembering.run(&mut (), &AtomicBool::new(false));
        prop_assert_eq!(rest, forgetful.run(&mut (), &AtomicBool::new(false)));
    }

    #[test]
    fn a_fork_changes_nothing_of_its_origin(seed: u64, changes in changes()) {
        let prepared = prepared(seed);
        let options = Options::for_release(Release::V1_36);
        let mut origin = ClusterState::new(&prepared, &options);
        let before = format!("{:?}", origin.pod_use_and_claims());
        let mut fork = origin.clone();
        for (change, number) in changes {
            apply(&mut fork, change, number);
        }
        prop_assert_eq!(before, format!("{:?}", origin.pod_use_and_claims()));
        let found = origin.run(&mut (), &AtomicBool::new(false)).unwrap();
        prop_assert_eq!(found, reports(&prepared, &options, false));
    }

    #[test]
    fn evicting_all_pods_frees_all_they_took(seed: u64) {
        let prepared = prepared(seed);
        let mut state = ClusterState::new(&prepared, &Options::for_release(Release::V1_36));
        state.run(&mut (), &AtomicBool::new(false)).unwrap();
        let pods: Vec<_> = state.pods().map(|(id, ..)| id).collect();
        for id in pods {
            state.evict(id);
        }
        for &at in state.node_numbers().iter() {
            let usage = state.node_use(at).unwrap();
            prop_assert_eq!((usage.milli_cpu.0, usage.memory.0, usage.pods.0), (0, 0, 0));
        }
        for claim in state.claims() {
            prop_assert!(claim.consumers.is_empty());
        }
    }
}
