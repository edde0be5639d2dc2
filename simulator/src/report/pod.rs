//! The part of a report about one pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::{AllocationResult, DeviceRequestAllocationResult};
use drayage_cluster::write::allocation_result_json;
use serde::{Deserialize, Serialize, Serializer};

use super::{EvictionReport, ExplanationReport, PreemptedBy, PreemptionReport};

/// What became of one pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodReport {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// The workload that the pod was expanded from, such as `Deployment/trainer`; absent for pods of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expanded_from: Option<String>,
    /// The verdict.
    pub outcome: PodOutcome,
    /// The node it runs on or was placed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its claims, in the order of `spec.resourceClaims`, then the claim for extended resources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimReport>,
    /// One line as the scheduler would write it into the pod's condition; absent for placed pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why no node could take it: how many nodes were refused for which reason, most nodes first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// On request: full explanations for nodes without devices, each for the nearest of the nodes that fail alike,
    /// most nodes first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explanations: Vec<NodeExplanation>,
    /// An earlier pod with the same demands whose explanations hold for this one too, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained_like: Option<String>,
    /// Who was preempted for the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preemption: Option<PreemptionReport>,
    /// The taint that evicted the pod before the simulation, or will.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction: Option<EvictionReport>,
    /// For whom it was preempted, for [`PodOutcome::Preempted`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preempted_by: Option<PreemptedBy>,
    /// The error that ended the pod's scheduling cycle, for [`PodOutcome::Error`] and [`PodOutcome::Undecided`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// Remarks, for instance that the pod is terminating but still holds its resources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What became of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodOutcome {
    /// It had a node before the simulation.
    AlreadyRunning,
    /// It was placed.
    Scheduled,
    /// No node can take it.
    Unschedulable,
    /// It is not tried at all: scheduling gates, or a claim that does not exist, is being deleted, or belongs to
    /// another pod.
    Gated,
    /// The scheduler would abort the attempt with an error, without looking at further nodes.
    Error,
    /// The search for devices reached its step budget on some node before it knew.
    Undecided,
    /// It ran and was preempted: it is gone.
    Preempted,
}

impl PodOutcome {
    /// The text used in reports, such as `already-running`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyRunning => "already-running",
            Self::Scheduled => "scheduled",
            Self::Unschedulable => "unschedulable",
            Self::Gated => "gated",
            Self::Error => "error",
            Self::Undecided => "undecided",
            Self::Preempted => "preempted",
        }
    }

    /// Whether the pod has no node, or no longer.
    pub fn is_pending(self) -> bool {
        !matches!(self, Self::AlreadyRunning | Self::Scheduled)
    }
}

/// One claim of a pod, or a claim that was allocated on its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimReport {
    /// The entry of `spec.resourceClaims` that names it; absent for extended resources and for single claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_claim: Option<String>,
    /// `metadata.name` of the claim.
    pub name: String,
    /// Whether it was generated from a template or for extended resources.
    pub generated: bool,
    /// Whether it stands for extended resources that a device class backs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub extended_resources: bool,
    /// Whether it was allocated before this pod was looked at: by the input, or for an earlier pod.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allocated_before: bool,
    /// `status.allocation` as the API has it; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Allocated>,
    /// The allocated devices, in the order of allocation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceReport>,
}

/// What a claim holds. It is written as the API has it, which is made only then: there may be tens of thousands.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocated(pub Arc<AllocationResult>);

impl Serialize for Allocated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        allocation_result_json(&self.0).serialize(serializer)
    }
}

/// One allocated device in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceReport {
    /// Request, or `request/alternative`.
    pub request: String,
    /// Driver.
    pub driver: String,
    /// Pool.
    pub pool: String,
    /// Device.
    pub device: String,
    /// What is consumed of each capacity, for a device that allows multiple allocations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub consumed_capacity: BTreeMap<String, String>,
    /// Whether it is used with admin access, which takes nothing from others.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub admin_access: bool,
}

impl From<&DeviceRequestAllocationResult> for DeviceReport {
    fn from(result: &DeviceRequestAllocationResult) -> Self {
        let consumed = result.consumed_capacity.iter();
        Self {
            request: result.request.clone(),
            driver: result.driver.clone(),
            pool: result.pool.clone(),
            device: result.device.clone(),
            consumed_capacity: consumed.map(|(name, amount)| (name.clone(), amount.to_string())).collect(),
            admin_access: result.admin_access == Some(true),
        }
    }
}

/// Nodes refused for one reason by one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// The scheduler's plugin, such as `NodeResourcesFit`.
    pub plugin: String,
    /// The reason in the scheduler's own words, such as `Insufficient cpu`.
    pub reason: String,
    /// Number of nodes. A node that lacks two resources counts under both, as in the scheduler's message.
    pub nodes: usize,
    /// The node that came closest, and by how much it missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
    /// For `DynamicResources`: what stood in the way of devices, most nodes first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceFailure>,
}

/// A node and what was missing there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nearest {
    /// The node.
    pub node: String,
    /// What was missing, such as `short by 2500m`.
    pub message: String,
}

/// Nodes on which one request of one claim failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceFailure {
    /// Number of nodes.
    pub nodes: usize,
    /// `namespace/name` of the claim.
    pub claim: String,
    /// Request, or `request/alternative`.
    pub request: String,
    /// How many devices the request needs; absent for all devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<usize>,
    /// How many could be used at most on the nearest of these nodes.
    pub usable: usize,
    /// What refused the others on the nearest of these nodes, most devices first.
    pub refusals: Vec<RefusalCount>,
    /// The node on which the request came closest, the first in name order where several did.
    pub nearest_node: String,
}

/// Devices refused for one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalCount {
    /// The kind, such as `selector`, `constraint`, `taint`, `in-use`, `counters`, `capacity`.
    pub kind: String,
    /// What exactly, such as the selector's expression.
    pub message: String,
    /// Number of devices.
    pub devices: usize,
}

/// An explanation for one node that stands for others.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeExplanation {
    /// How many nodes fail alike.
    pub nodes: usize,
    /// The explanation as text for people. It is not part of the serialised report.
    #[serde(skip)]
    pub text: String,
    /// The explanation.
    #[serde(flatten)]
    pub explanation: ExplanationReport,
}

/// An error that ended a scheduling cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReport {
    /// A stable name for the kind of error, such as `selector-runtime`.
    pub kind: String,
    /// The error in words.
    pub message: String,
    /// The node that was being looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}
