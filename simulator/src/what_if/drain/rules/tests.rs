//! The rules, one by one and against each other.

use std::collections::BTreeMap;

use drayage_cluster::objects::{LabelSelector, OwnerReference, WorkloadKind, WorkloadSize};

use super::*;

fn pod(owner: &str) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = "a".to_owned();
    pod.metadata.namespace = "ml".to_owned();
    if !owner.is_empty() {
        pod.metadata.owner_references = vec![OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: owner.to_owned(),
            name: "owner".to_owned(),
            controller: true,
            ..OwnerReference::default()
        }];
    }
    pod
}

fn annotated(mut pod: Pod, key: &str, value: &str) -> Pod {
    pod.metadata.annotations.insert(key.to_owned(), value.to_owned());
    pod
}

fn judged(pod: &Pod) -> Drainability {
    drainability(pod, &[], &[], |_| 1, &DrainOptions::default())
}

fn budget() -> DisruptionBudget {
    let mut budget =
        DisruptionBudget { selector: Some(LabelSelector::default()), ..DisruptionBudget::default() };
    budget.metadata.namespace = "ml".to_owned();
    budget
}

#[test]
fn replicated_pods_move_and_lonely_ones_block() {
    assert_eq!(judged(&pod("ReplicaSet")), Drainability::Moves);
    assert_eq!(judged(&pod("")), Drainability::Blocks(BlockingReason::NotReplicated));
    assert_eq!(judged(&pod("RayCluster")), Drainability::Blocks(BlockingReason::NotReplicated));
    let options = DrainOptions { skip_nodes_with_custom_controller_pods: false, ..DrainOptions::default() };
    assert_eq!(drainability(&pod("RayCluster"), &[], &[], |_| 1, &options), Drainability::Moves);
}

#[test]
fn mirror_and_daemon_set_pods_go_with_the_node() {
    assert_eq!(judged(&annotated(pod(""), MIRROR, "x")), Drainability::Skipped);
    assert_eq!(judged(&pod("DaemonSet")), Drainability::DaemonSet);
}

#[test]
fn safe_to_evict_overrules_everything_behind_it() {
    let mut safe = annotated(pod(""), SAFE_TO_EVICT, "true");
    safe.spec.local_volumes = vec!["scratch".to_owned()];
    assert_eq!(judged(&safe), Drainability::Moves);
    let waits = annotated(pod(""), SAFE_TO_EVICT, "on-completion");
    assert_eq!(judged(&waits), Drainability::WaitsForCompletion);
    let refuses = annotated(pod("ReplicaSet"), SAFE_TO_EVICT, "false");
    assert_eq!(judged(&refuses), Drainability::Blocks(BlockingReason::NotSafeToEvictAnnotation));
}

#[test]
fn local_storage_blocks_unless_the_volume_is_named_safe() {
    let mut local = pod("ReplicaSet");
    local.spec.local_volumes = vec!["scratch".to_owned(), "cache".to_owned()];
    assert_eq!(judged(&local), Drainability::Blocks(BlockingReason::LocalStorageRequested));
    let partly = annotated(local.clone(), SAFE_LOCAL_VOLUMES, "scratch");
    assert_eq!(judged(&partly), Drainability::Blocks(BlockingReason::LocalStorageRequested));
    assert_eq!(judged(&annotated(local, SAFE_LOCAL_VOLUMES, "scratch,cache")), Drainability::Moves);
}

#[test]
fn system_pods_need_a_budget_or_an_hour() {
    let mut system = pod("ReplicaSet");
    "kube-system".clone_into(&mut system.metadata.namespace);
    let blocked = Drainability::Blocks(BlockingReason::UnmovableKubeSystemPod);
    assert_eq!(judged(&system), blocked);
    let mut covered = budget();
    "kube-system".clone_into(&mut covered.metadata.namespace);
    let options = DrainOptions::default();
    assert_eq!(drainability(&system, &[], &[&covered], |_| 1, &options), Drainability::Moves);

    system.metadata.creation_timestamp = Some("2026-01-01T00:00:00Z".to_owned());
    let at = |time: &str| DrainOptions { now: time.parse().ok(), ..DrainOptions::default() };
    let judged = |time| drainability(&system, &[], &[], |_| 1, &at(time));
    assert_eq!(judged("2026-01-01T00:59:00Z"), blocked);
    assert_eq!(judged("2026-01-01T01:01:00Z"), Drainability::Moves);
}

#[test]
fn an_exhausted_budget_blocks() {
    let options = DrainOptions::default();
    let judged = |left| drainability(&pod("ReplicaSet"), &[], &[&budget()], |_| left, &options);
    assert_eq!(judged(0), Drainability::Blocks(BlockingReason::NotEnoughPdb));
    assert_eq!(judged(1), Drainability::Moves);
}

#[test]
fn long_terminating_pods_are_skipped_once_their_grace_is_over() {
    let mut leaving = pod("");
    leaving.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".to_owned());
    leaving.spec.termination_grace_period_seconds = Some(60);
    let at = |time: &str| DrainOptions { now: time.parse().ok(), ..DrainOptions::default() };
    let judged = |time| drainability(&leaving, &[], &[], |_| 1, &at(time));
    assert_eq!(judged("2026-01-01T00:01:20Z"), Drainability::Blocks(BlockingReason::NotReplicated));
    assert_eq!(judged("2026-01-01T00:01:31Z"), Drainability::Skipped);
}

#[test]
fn controllers_are_looked_up_where_the_input_is_whole() {
    let mut options = DrainOptions { missing_controllers_block: true, ..DrainOptions::default() };
    let judged = |workloads: &[Workload], options: &DrainOptions| {
        drainability(&pod("ReplicaSet"), workloads, &[], |_| 1, options)
    };
    assert_eq!(judged(&[], &options), Drainability::Blocks(BlockingReason::ControllerNotFound));
    let mut set = Workload {
        kind: WorkloadKind::ReplicaSet,
        size: WorkloadSize::Replicas { count: 1, first: 0 },
        ..Workload::default()
    };
    set.metadata.name = "owner".to_owned();
    set.metadata.namespace = "ml".to_owned();
    set.metadata.labels = BTreeMap::new();
    assert_eq!(judged(std::slice::from_ref(&set), &options), Drainability::Moves);
    options.min_replica_count = 2;
    assert_eq!(judged(&[set], &options), Drainability::Blocks(BlockingReason::MinReplicasReached));
}
