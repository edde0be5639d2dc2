//! Moves that make room.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ClaimMove;
use crate::report::{Assumptions, DeviceReport};

/// The answer of `dray defrag`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DefragReport {
    /// [`crate::report::API_VERSION`]
    pub api_version: &'static str,
    /// `DefragReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// Whether there is a plan.
    pub verdict: DefragVerdict,
    /// Why, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where the pods go that are to be admitted, in the order in which they are placed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admitted: Vec<AdmittedPod>,
    /// The pods that move for them, in the order in which they are placed again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<DefragMove>,
    /// No plan has fewer moves.
    pub lower_bound: usize,
    /// Whether the plan has the fewest moves: `proven` where it meets the bound, else `found`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certainty: Option<&'static str>,
    /// Pods that may move.
    pub movable_pods: usize,
    /// Pods that may not, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed_pods: BTreeMap<String, usize>,
    /// Sets of moves that were simulated.
    pub tried: usize,
    /// Evictions that disruption budgets still allow afterwards, for the budgets of the pods that move.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets_left: BTreeMap<String, i64>,
}

/// Whether moves make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefragVerdict {
    /// There is room already.
    FitsAlready,
    /// The moves make it.
    Plan,
    /// No set of moves does.
    Impossible,
    /// No set of at most so many moves does as were asked for.
    NotWithinMoves,
    /// It is not known: looking ended before everything was tried, or a search for devices at its budget.
    Undecided,
}

/// A pod that gets a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmittedPod {
    /// `namespace/name`
    pub pod: String,
    /// Its node.
    pub node: String,
    /// Its devices there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceReport>,
    /// Whether the scheduler goes there only if the pod is bound to the node, by a node selector for instance.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
}

/// A pod that moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DefragMove {
    /// `namespace/name`
    pub pod: String,
    /// Its node before.
    pub from: String,
    /// Its node afterwards, which may be the same with other devices.
    pub to: String,
    /// Its claims.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimMove>,
}
