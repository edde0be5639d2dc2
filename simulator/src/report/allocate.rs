//! Answers of `dray allocate`.

use serde::Serialize;

use super::{Assumptions, ClaimReport, DeviceFailure, ErrorReport};

/// The answer for some claims on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocateReport {
    /// [`API_VERSION`](super::API_VERSION)
    pub api_version: &'static str,
    /// `AllocateReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// The node.
    pub node: String,
    /// The verdict.
    pub outcome: ProblemOutcome,
    /// The claims in the order in which they were allocated together.
    pub claims: Vec<ClaimReport>,
    /// For an unsatisfiable problem: which request failed, and at what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<DeviceFailure>,
    /// For an error: what it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// Steps of the search.
    pub steps: u64,
}

/// The answer to one line of `dray allocate --problems`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemAnswer {
    /// Name of the problem.
    pub name: String,
    /// The verdict.
    pub outcome: ProblemOutcome,
    /// One allocation result a claim as the API has it, in the order of the claims; null unless allocated.
    pub results: Option<Vec<serde_json::Value>>,
    /// The error; null unless there is one.
    pub error: Option<ProblemError>,
    /// Steps of the search.
    pub steps: u64,
}

/// Verdict on claims and a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemOutcome {
    /// All claims have devices.
    Allocated,
    /// There is no solution on this node.
    Unsatisfiable,
    /// The allocator refuses the claims with an error.
    Error,
    /// The step budget ended before the answer was known.
    Undecided,
}

/// Error of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemError {
    /// A stable name for the kind of error.
    pub kind: String,
    /// The error in words.
    pub message: String,
}
