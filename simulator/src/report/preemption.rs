//! The part of a report about pods that make room for others.

use serde::Serialize;

/// Pods that were preempted so that a pod could be placed, and what preemption could not do for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreemptionReport {
    /// The node on which room was made, which the pod was promised (`status.nominatedNodeName`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The pods that were preempted, the most important first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<VictimReport>,
    /// Preemption is blind to devices: the pod would fit somewhere if pods of lower priority left with the devices
    /// they hold, but the scheduler never tries that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices_not_freed: Option<HeldDevices>,
}

/// A pod that was preempted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VictimReport {
    /// `namespace/name`
    pub pod: String,
    /// Its priority.
    pub priority: i32,
    /// Whether this violates a PodDisruptionBudget, as the scheduler counts them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub violates_budget: bool,
}

/// Pods of lower priority whose devices stand in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldDevices {
    /// The first node where that is so.
    pub node: String,
    /// The pods that would have to leave it, as `namespace/name`, the most important first.
    pub pods: Vec<String>,
}

/// A taint with the effect `NoExecute` that a running pod does not bear, or only for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvictionReport {
    /// The node on which the pod ran.
    pub node: String,
    /// The taint, and of what.
    pub reason: String,
    /// When the pod will be evicted, in seconds from the moment the taint was added; absent where it was evicted at
    /// once, and waits for another node like the copy that its controller makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<i64>,
    /// When that is, where it is a taint of a device that says when it was added (`timeAdded`). Tolerated taints of nodes
    /// count from when a controller first sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Who took a pod's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreemptedBy {
    /// The pod for which room was made, as `namespace/name`.
    pub pod: String,
    /// The node on which the preempted pod ran.
    pub node: String,
    /// Whether this violates a PodDisruptionBudget, as the scheduler counts them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub violates_budget: bool,
}
