//! Groups of pods that are scheduled together.

use super::{Metadata, Origin};

/// `scheduling.k8s.io/v1alpha1` `Workload` (KEP-4671 in Kubernetes 1.35): groups of pods that start together, by name.
/// Later versions of the kind are templates of PodGroups and decide nothing themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GangWorkload {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.podGroups`: the name of each with `policy.gang.minCount`, which is `None` where each pod starts for itself.
    pub groups: Vec<(String, Option<i64>)>,
}

/// `spec.workloadRef` of a pod (1.35): the group of a Workload that it starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadReference {
    /// `name`: the Workload, in the namespace of the pod.
    pub workload: String,
    /// `podGroup`
    pub group: String,
    /// `podGroupReplicaKey`: pods with different ones are in different gangs; empty if not given.
    pub replica: String,
}

/// `scheduling.k8s.io` `PodGroup` (KEP-4671), or the one of the scheduler plugin Coscheduling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodGroup {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.schedulingPolicy.gang.minCount`, or `spec.minMember`: how many pods start together or not at all; `None`
    /// where each starts for itself.
    pub min_count: Option<i64>,
    /// `spec.schedulingConstraints.topology[0].key` (KEP-5732): the node label of which all nodes of the group have the same
    /// value.
    pub topology_key: Option<String>,
}
