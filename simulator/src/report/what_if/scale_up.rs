//! Node groups that grow.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::Assumptions;

/// The answer of `dray scale-up`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpReport {
    /// [`crate::report::API_VERSION`]
    pub api_version: &'static str,
    /// `ScaleUpReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// Pods that found a place without new nodes.
    pub placed_before: usize,
    /// Pods that wait for new nodes.
    pub pending: usize,
    /// Their names.
    #[serde(skip)]
    pub waiting: Vec<String>,
    /// What cluster-autoscaler decides, round by round.
    pub rounds: Vec<ScaleUpRound>,
    /// What its rounds come to.
    pub cluster_autoscaler: ScaleUpPlan,
    /// The fewest nodes that were found for as many pods as any group can help.
    pub fewest_nodes: ScaleUpPlan,
    /// The cheapest nodes that were found for them; absent where a group has no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cheapest: Option<ScaleUpPlan>,
    /// No plan for those pods has fewer nodes than this, whatever it does.
    pub node_bound: usize,
    /// No plan for those pods is cheaper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_bound: Option<f64>,
    /// Why the answers differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// Pods that cluster-autoscaler leaves without a node, with the reason of every group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftPod>,
}

/// One round: one group grows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpRound {
    /// What each group offers.
    pub options: Vec<ScaleUpOption>,
    /// Groups that are not looked at, and why, in cluster-autoscaler's words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, String>,
    /// The group that grows.
    pub group: String,
    /// By how many nodes, with those of similar groups.
    pub nodes: usize,
    /// New nodes of each group: only of `group`, unless similar groups share the growth.
    pub added: BTreeMap<String, usize>,
    /// Groups that the expanders leave, of which cluster-autoscaler draws one; absent where one is left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub equal: Vec<String>,
}

/// What a group offers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpOption {
    /// The group.
    pub group: String,
    /// Nodes that the pods need, as expanders count them. It can be more than would be added: for groups that only grow
    /// to their largest size cluster-autoscaler counts the nodes they have, and where topology spreads over host names it
    /// may count nodes of the cluster.
    pub nodes: usize,
    /// Pods it would help.
    pub pods: usize,
    /// Their names.
    #[serde(skip)]
    pub names: Vec<String>,
    /// Groups that would share the growth.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub similar: Vec<String>,
    /// New nodes of each group.
    pub shares: BTreeMap<String, usize>,
    /// Whether a limit kept it from adding more.
    pub limited: bool,
    /// Shares of the new nodes that stay unused.
    pub waste: Waste,
    /// Price of the new nodes for an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// Scores of expanders that have one; less is better.
    pub scores: BTreeMap<String, f64>,
}

/// Shares of new nodes that stay unused, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waste {
    /// Of CPU, as cluster-autoscaler counts it.
    pub cpu: f64,
    /// Of memory, as cluster-autoscaler counts it.
    pub memory: f64,
    /// Of devices, which cluster-autoscaler does not count; absent where the nodes have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<f64>,
}

/// New nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpPlan {
    /// How many of which group.
    pub groups: BTreeMap<String, usize>,
    /// All together.
    pub nodes: usize,
    /// Pods with a place on them.
    pub pods: usize,
    /// Price for an hour, where all prices are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// Unused shares.
    pub waste: Waste,
    /// `proven` where the bound says that there is nothing better, else `found`: the gap to the bound is open.
    /// Absent for cluster-autoscaler's own answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certainty: Option<&'static str>,
}

/// A pod that gets no node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftPod {
    /// `namespace/name`
    pub pod: String,
    /// Why, by group.
    pub reasons: BTreeMap<String, String>,
}
