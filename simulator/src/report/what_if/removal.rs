//! Nodes that are emptied, and nodes that cluster-autoscaler would remove.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::{Assumptions, DeviceReport};

/// The answer of `dray drain` and `dray scale-down`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovalReport {
    /// [`crate::report::API_VERSION`]
    pub api_version: &'static str,
    /// `DrainReport` or `ScaleDownReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// Nodes that were looked at, in that order: what one node's pods take is not there for the next.
    pub nodes: Vec<NodeRemoval>,
    /// How many of them can go.
    pub removable: usize,
    /// What those cost for an hour, where the price of all is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_per_hour: Option<f64>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRemoval {
    /// The node.
    pub node: String,
    /// Its node group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether it can go.
    pub removable: bool,
    /// Why not, in cluster-autoscaler's words, such as `NotUnderutilized` or `BlockedByPod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The pod that keeps it, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocking_pod: Option<String>,
    /// How full it is, as cluster-autoscaler counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<NodeUtilisation>,
    /// Where its pods go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<PodMove>,
    /// Pods of DaemonSets, which go with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub daemon_set_pods: Vec<String>,
    /// Pods for whose end cluster-autoscaler waits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// Evictions that disruption budgets still allow afterwards, for the budgets of its pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets_left: BTreeMap<String, i64>,
}

/// How full a node is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeUtilisation {
    /// What decides: `driver/pool`, `cpu` or `memory`.
    pub resource: String,
    /// The share in use, from 0 to 1.
    pub share: f64,
    /// All pools of the node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolShare>,
    /// CPU requested, of what is allocatable. Does not count where the node has pools.
    pub cpu: f64,
    /// Memory requested, of what is allocatable. Does not count where the node has pools.
    pub memory: f64,
}

/// How full a pool is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolShare {
    /// `driver/pool`
    pub pool: String,
    /// The share in use, from 0 to 1.
    pub share: f64,
    /// Devices that are held.
    pub held: usize,
    /// Devices of the pool.
    pub devices: usize,
    /// The fullest counter of each counter set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counter_sets: BTreeMap<String, f64>,
}

/// A pod that must move.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMove {
    /// `namespace/name`
    pub pod: String,
    /// Its new node; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Its claims.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimMove>,
    /// Why it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A claim of a pod that moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimMove {
    /// `namespace/name`
    pub claim: String,
    /// `made anew` for a claim of the pod's own, `moves` for a shared claim that nobody else holds, `stays` for one that
    /// others hold.
    pub fate: &'static str,
    /// Devices before, as `driver/pool/device`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// Devices after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<DeviceReport>,
}
