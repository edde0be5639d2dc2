//! How many more copies of pods fit.

use serde::Serialize;

use crate::report::{Assumptions, DeviceReport, PodReport};

/// The answer of `dray capacity`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityReport {
    /// [`crate::report::API_VERSION`]
    pub api_version: &'static str,
    /// `CapacityReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// What is copied: the pods of one set.
    pub set: Vec<CapacityItem>,
    /// Pods of the input that were placed before the first copy.
    pub placed_before: usize,
    /// Pods of the input, as `namespace/name`, that were preempted for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preempted_before: Vec<String>,
    /// Pods of the input that found no place; they wait on.
    pub pending_before: usize,
    /// How many sets fit, one after the other. All pods of a set fit or the set does not.
    pub fits: usize,
    /// Whether counting ended at the limit that was asked for, so that more may fit.
    pub limited: bool,
    /// Where the copies are, nodes in the order of their names.
    pub nodes: Vec<Copies>,
    /// What the next set fails at; absent where counting ended at the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
}

/// A pod of the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityItem {
    /// The pod that is copied, as `namespace/name`.
    pub pod: String,
    /// How many copies of it are in one set.
    pub count: usize,
    /// Claims that it names and that all copies therefore share.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_claims: Vec<String>,
    /// The gang that one copy is, where the pod starts with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gang: Option<CopiedGang>,
}

/// A gang that is copied as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopiedGang {
    /// Its PodGroup, as `namespace/name`. Each copy has one of its own.
    pub group: String,
    /// How many pods one copy has.
    pub pods: usize,
    /// How many pods start together or not at all.
    pub min_count: usize,
}

/// The copies on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Copies {
    /// The node.
    pub node: String,
    /// How many copies are on it.
    pub copies: usize,
    /// The devices that they got, in that order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceReport>,
}

/// What stops the next set.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// The set that does not fit, counted from 1.
    pub set: usize,
    /// The pod of the set that found no place, as `namespace/name` of what is copied.
    pub pod: String,
    /// The reason that refused most nodes, such as `cannot allocate all claims`, or the error.
    pub limiting_reason: String,
    /// The plugin behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Nodes in the cluster.
    pub nodes: usize,
    /// All reasons, as for any pending pod.
    pub report: PodReport,
}
