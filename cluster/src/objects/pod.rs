//! Pods.

use std::collections::BTreeMap;

use drayage_allocator::objects::{NodeSelector, NodeSelectorTerm, Quantity};

use super::{
    Metadata, Origin, OwnerReference, PodAffinity, PodVolume, TopologySpreadConstraint, WorkloadReference,
};

/// `core/v1` `Pod`, as far as scheduling looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read; for a pod made from a workload, the pod template.
    pub origin: Origin,
    /// `spec`
    pub spec: PodSpec,
    /// `status`
    pub status: PodStatus,
}

impl Pod {
    /// Whether the pod waits for a node: none is set, and it has neither ended nor is it being deleted.
    pub fn is_pending(&self) -> bool {
        self.spec.node_name.is_none() && !self.has_ended() && self.metadata.deletion_timestamp.is_none()
    }

    /// Whether the phase is `Succeeded` or `Failed`; such a pod holds no resources of its node.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// The reference to this pod in what a controller makes for it, such as claims: `controller` and
    /// `blockOwnerDeletion` are set.
    pub fn as_controller(&self) -> OwnerReference {
        OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: self.metadata.name.clone(),
            uid: self.metadata.uid.clone(),
            controller: true,
            block_owner_deletion: true,
        }
    }
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSpec {
    /// `nodeName`; an empty one is `None`.
    pub node_name: Option<String>,
    /// `nodeSelector`
    pub node_selector: BTreeMap<String, String>,
    /// `affinity.nodeAffinity`
    pub node_affinity: Option<NodeAffinity>,
    /// `affinity.podAffinity`
    pub pod_affinity: PodAffinity,
    /// `affinity.podAntiAffinity`
    pub pod_anti_affinity: PodAffinity,
    /// `topologySpreadConstraints`
    pub topology_spread: Vec<TopologySpreadConstraint>,
    /// `tolerations`
    pub tolerations: Vec<Toleration>,
    /// `initContainers`
    pub init_containers: Vec<Container>,
    /// `containers`
    pub containers: Vec<Container>,
    /// `overhead`
    pub overhead: BTreeMap<String, Quantity>,
    /// `resources`: requests and limits of the whole pod (KEP-2837).
    pub resources: Option<ResourceRequirements>,
    /// `hostNetwork`
    pub host_network: bool,
    /// `priority`. Where it is absent, loading sets that of the class, or of the default class, or 0; in the
    /// template of a workload it stays `None` until pods are made of it.
    pub priority: Option<i32>,
    /// `priorityClassName`
    pub priority_class_name: Option<String>,
    /// `preemptionPolicy`; filled like `priority`, `PreemptLowerPriority` in the end.
    pub preemption_policy: Option<String>,
    /// `schedulerName`: `default-scheduler` where absent.
    pub scheduler_name: String,
    /// Names of `schedulingGates`; a pod with any is not scheduled.
    pub scheduling_gates: Vec<String>,
    /// `resourceClaims`
    pub resource_claims: Vec<PodResourceClaim>,
    /// `terminationGracePeriodSeconds`
    pub termination_grace_period_seconds: Option<i64>,
    /// Names of volumes whose data is lost with the node: `hostPath`, and `emptyDir` that is not in memory.
    pub local_volumes: Vec<String>,
    /// Volumes that claims provide, in order.
    pub volumes: Vec<PodVolume>,
    /// `schedulingGroup.podGroupName`: the group that it starts with.
    pub pod_group: Option<String>,
    /// `workloadRef`: the group of a Workload that it starts with, in 1.35.
    pub workload_ref: Option<WorkloadReference>,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodStatus {
    /// `phase`; `Pending` where absent.
    pub phase: String,
    /// `nominatedNodeName`
    pub nominated_node_name: Option<String>,
    /// `startTime`: when the kubelet took note of it.
    pub start_time: Option<String>,
    /// Whether the condition `DisruptionTarget` says that the scheduler preempts it.
    pub preempted_by_scheduler: bool,
    /// `resourceClaimStatuses`
    pub resource_claim_statuses: Vec<PodResourceClaimStatus>,
    /// `extendedResourceClaimStatus`
    pub extended_resource_claim_status: Option<ExtendedResourceClaimStatus>,
}

/// One of `spec.resourceClaims`: a claim by name, or a template from which one is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodResourceClaim {
    /// `name`, unique in the pod.
    pub name: String,
    /// `resourceClaimName`
    pub resource_claim_name: Option<String>,
    /// `resourceClaimTemplateName`
    pub resource_claim_template_name: Option<String>,
}

/// One of `status.resourceClaimStatuses`: the claim that was made for an entry of `spec.resourceClaims`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodResourceClaimStatus {
    /// `name` of the entry.
    pub name: String,
    /// `resourceClaimName`; `None` where no claim was needed.
    pub resource_claim_name: Option<String>,
}

/// `status.extendedResourceClaimStatus` (KEP-5004).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedResourceClaimStatus {
    /// `resourceClaimName`
    pub resource_claim_name: String,
    /// `requestMappings`
    pub request_mappings: Vec<ExtendedResourceMapping>,
}

/// Which request of the special claim serves an extended resource of a container (KEP-5004).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedResourceMapping {
    /// `containerName`
    pub container_name: String,
    /// `resourceName`
    pub resource_name: String,
    /// `requestName`
    pub request_name: String,
}

/// A container or init container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// `name`
    pub name: String,
    /// `image`
    pub image: String,
    /// `resources`
    pub resources: ResourceRequirements,
    /// `ports`
    pub ports: Vec<ContainerPort>,
    /// `restartPolicy: Always` of an init container, which makes it a sidecar (KEP-753).
    pub restarts_always: bool,
    /// `resources.claims`: which claims of the pod the container sees. No part of scheduling: every claim of the pod
    /// is allocated, whether a container uses it or not.
    pub claims: Vec<ContainerClaim>,
}

/// One of `resources.claims` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerClaim {
    /// `name` of the entry in the pod's `resourceClaims`.
    pub name: String,
    /// `request`: only the devices of this request; absent for all.
    pub request: Option<String>,
}

/// `resources` of a container or pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceRequirements {
    /// `requests`, for each resource defaulted to its limit as the API server does for containers.
    pub requests: BTreeMap<String, Quantity>,
    /// `limits`
    pub limits: BTreeMap<String, Quantity>,
}

/// One of `ports` of a container that takes a port of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerPort {
    /// `hostPort`; with `hostNetwork` it is the container port, as the API server defaults it.
    pub host_port: u16,
    /// `hostIP`; empty means every address.
    pub host_ip: String,
    /// `protocol`: `TCP` where absent.
    pub protocol: String,
}

/// `core/v1` `NodeAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAffinity {
    /// `requiredDuringSchedulingIgnoredDuringExecution`
    pub required: Option<NodeSelector>,
    /// `preferredDuringSchedulingIgnoredDuringExecution`
    pub preferred: Vec<PreferredNodeTerm>,
}

/// `core/v1` `PreferredSchedulingTerm`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreferredNodeTerm {
    /// `weight`, 1 to 100
    pub weight: i64,
    /// `preference`
    pub preference: NodeSelectorTerm,
}

/// `core/v1` `Toleration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toleration {
    /// `key`; empty with `Exists` tolerates everything.
    pub key: String,
    /// `Equal` where absent, `Exists`, or (1.35) `Lt` and `Gt`.
    pub operator: String,
    /// `value`
    pub value: String,
    /// `effect`; empty means every effect.
    pub effect: String,
    /// `tolerationSeconds`
    pub toleration_seconds: Option<i64>,
}
