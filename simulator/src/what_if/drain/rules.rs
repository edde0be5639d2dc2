//! Which pods keep a node from being drained, by cluster-autoscaler's rules and in its order.

use drayage_cluster::objects::{DisruptionBudget, Pod, Workload};
use jiff::{Timestamp, ToSpan as _};

/// What becomes of a pod when its node is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drainability {
    /// It has no part in the drain.
    Skipped,
    /// It goes with the node and is made anew where its DaemonSet wants it.
    DaemonSet,
    /// It must find another node.
    Moves,
    /// The drain waits for its end.
    WaitsForCompletion,
    /// It keeps the node from being drained.
    Blocks(BlockingReason),
}

/// Why a pod keeps its node; names are cluster-autoscaler's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockingReason {
    /// Its controller is not in the input.
    ControllerNotFound,
    /// Its ReplicaSet has fewer replicas than wanted.
    MinReplicasReached,
    /// Nobody would make it anew.
    NotReplicated,
    /// It has data on the node.
    LocalStorageRequested,
    /// It says so itself.
    NotSafeToEvictAnnotation,
    /// A pod of `kube-system` without a disruption budget.
    UnmovableKubeSystemPod,
    /// A disruption budget allows no eviction now.
    NotEnoughPdb,
}

impl BlockingReason {
    /// Cluster-autoscaler's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControllerNotFound => "ControllerNotFound",
            Self::MinReplicasReached => "MinReplicasReached",
            Self::NotReplicated => "NotReplicated",
            Self::LocalStorageRequested => "LocalStorageRequested",
            Self::NotSafeToEvictAnnotation => "NotSafeToEvictAnnotation",
            Self::UnmovableKubeSystemPod => "UnmovableKubeSystemPod",
            Self::NotEnoughPdb => "NotEnoughPdb",
        }
    }
}

/// Cluster-autoscaler's flags about drains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainOptions {
    /// `skip-nodes-with-system-pods`
    pub skip_nodes_with_system_pods: bool,
    /// `skip-nodes-with-local-storage`
    pub skip_nodes_with_local_storage: bool,
    /// `skip-nodes-with-custom-controller-pods`
    pub skip_nodes_with_custom_controller_pods: bool,
    /// `min-replica-count`
    pub min_replica_count: u32,
    /// Whether a controller that is not in the input counts as gone. In a cluster it is known; a file may simply
    /// not have it.
    pub missing_controllers_block: bool,
    /// The time of the drain. Without it, rules about how long something lasts do not apply.
    pub now: Option<Timestamp>,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            skip_nodes_with_system_pods: true,
            skip_nodes_with_local_storage: true,
            skip_nodes_with_custom_controller_pods: true,
            min_replica_count: 0,
            missing_controllers_block: false,
            now: None,
        }
    }
}

/// After its grace period and this many seconds a pod that is being deleted counts as gone.
const LONG_TERMINATING_SECONDS: i64 = 30;
/// Seconds of grace where a pod names none.
const DEFAULT_GRACE_SECONDS: i64 = 30;
/// A pod of `kube-system` without a budget blocks for this many minutes after its creation.
const SYSTEM_POD_MINUTES: i64 = 60;

const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const SAFE_LOCAL_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const MIRROR: &str = "kubernetes.io/config.mirror";
const DAEMON_SET_POD: &str = "cluster-autoscaler.kubernetes.io/daemonset-pod";

/// Whether a DaemonSet made the pod, or it says that it counts as one.
pub fn is_daemon_set_pod(pod: &Pod) -> bool {
    pod.metadata.controller().is_some_and(|owner| owner.kind == "DaemonSet")
        || pod.metadata.annotations.get(DAEMON_SET_POD).is_some_and(|value| value == "true")
}

/// Whether the kubelet made the pod from a file of its own.
pub fn is_mirror_pod(pod: &Pod) -> bool {
    pod.metadata.annotations.contains_key(MIRROR)
}

/// What becomes of a pod. `workloads` are those of the input, `allowed` says how many evictions a budget still
/// allows.
///
/// The order is that of the rules: mirror, long terminating, replica count, DaemonSet, safe to evict, terminal, on
/// completion, replicated, system, not safe to evict, local storage, budget. The first that has an opinion decides.
pub fn drainability(
    pod: &Pod,
    workloads: &[Workload],
    budgets: &[&DisruptionBudget],
    allowed: impl Fn(&DisruptionBudget) -> i64,
    options: &DrainOptions,
) -> Drainability {
    use BlockingReason as Reason;
    let annotation = |key: &str| pod.metadata.annotations.get(key).map(String::as_str);
    if is_mirror_pod(pod) || is_long_terminating(pod, options) {
        return Drainability::Skipped;
    }
    if let Some(reason) = replica_count(pod, workloads, options) {
        return Drainability::Blocks(reason);
    }
    if is_daemon_set_pod(pod) {
        return Drainability::DaemonSet;
    }
    if annotation(SAFE_TO_EVICT) == Some("true") || pod.has_ended() {
        return Drainability::Moves;
    }
    if annotation(SAFE_TO_EVICT) == Some("on-completion") {
        return Drainability::WaitsForCompletion;
    }
    let replicated = pod.metadata.controller().is_some_and(|owner| {
        !options.skip_nodes_with_custom_controller_pods
            || matches!(owner.kind.as_str(), "ReplicationController" | "Job" | "ReplicaSet" | "StatefulSet")
    });
    if !replicated {
        return Drainability::Blocks(Reason::NotReplicated);
    }
    let budgets: Vec<&&DisruptionBudget> = budgets
        .iter()
        .filter(|budget| budget.covers(&pod.metadata.namespace, &pod.metadata.labels))
        .collect();
    if options.skip_nodes_with_system_pods && pod.metadata.namespace == "kube-system" && budgets.is_empty() {
        return if is_old_enough(pod, options) {
            Drainability::Moves
        } else {
            Drainability::Blocks(Reason::UnmovableKubeSystemPod)
        };
    }
    if annotation(SAFE_TO_EVICT) == Some("false") {
        return Drainability::Blocks(Reason::NotSafeToEvictAnnotation);
    }
    if options.skip_nodes_with_local_storage && has_blocking_local_storage(pod) {
        return Drainability::Blocks(Reason::LocalStorageRequested);
    }
    if budgets.into_iter().any(|budget| allowed(budget) < 1) {
        return Drainability::Blocks(Reason::NotEnoughPdb);
    }
    Drainability::Moves
}

fn time(text: Option<&String>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// Whether a pod should have been gone by now, so that it counts for nothing.
pub(crate) fn is_long_terminating(pod: &Pod, options: &DrainOptions) -> bool {
    let (Some(now), Some(deleted)) = (options.now, time(pod.metadata.deletion_timestamp.as_ref())) else {
        return false;
    };
    let grace = pod.spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS);
    let seconds = grace.saturating_add(LONG_TERMINATING_SECONDS);
    now.duration_since(deleted).as_secs() > seconds
}

fn is_old_enough(pod: &Pod, options: &DrainOptions) -> bool {
    let (Some(now), Some(created)) = (options.now, time(pod.metadata.creation_timestamp.as_ref())) else {
        return false;
    };
    created.checked_add(SYSTEM_POD_MINUTES.minutes()).is_ok_and(|end| now > end)
}

fn replica_count(pod: &Pod, workloads: &[Workload], options: &DrainOptions) -> Option<BlockingReason> {
    use drayage_cluster::objects::WorkloadSize;
    if !options.skip_nodes_with_custom_controller_pods {
        return None;
    }
    let owner = pod.metadata.controller()?;
    if !matches!(owner.kind.as_str(), "DaemonSet" | "Job" | "ReplicaSet" | "StatefulSet") {
        return None;
    }
    let found = workloads.iter().find(|workload| {
        workload.kind.as_str() == owner.kind
            && workload.metadata.name == owner.name
            && workload.metadata.namespace == pod.metadata.namespace
    });
    match found {
        None => options.missing_controllers_block.then_some(BlockingReason::ControllerNotFound),
        Some(workload) => match workload.size {
            WorkloadSize::Replicas { count, .. }
                if owner.kind == "ReplicaSet" && count < options.min_replica_count =>
            {
                Some(BlockingReason::MinReplicasReached)
            }
            _ => None,
        },
    }
}

fn has_blocking_local_storage(pod: &Pod) -> bool {
    let safe: Vec<&str> = pod
        .metadata
        .annotations
        .get(SAFE_LOCAL_VOLUMES)
        .map(|names| names.split(',').collect())
        .unwrap_or_default();
    pod.spec.local_volumes.iter().any(|name| !safe.contains(&name.as_str()))
}

#[cfg(test)]
mod tests;
