//! What a simulation says: plain data with a stable, versioned serialisation.
//!
//! Field names are camelCase, absent values are left out, lists are in a stated order. Text output is made from
//! these types by the command; nothing here prints.

mod allocate;
mod dot;
mod explanation;
mod fragmentation;
mod from_explanation;
pub mod html;
mod lint;
mod pod;
mod preemption;
mod replay;
mod sarif;
mod scenario;
mod what_if;
mod worlds;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use allocate::{AllocateReport, ProblemAnswer, ProblemError, ProblemOutcome};
pub use dot::graph;
pub use explanation::{
    AmountReport, ChangeReport, ClosestReport, CoreReport, ExplainedClaim, ExplainedError, ExplainedForm,
    ExplainedRequest, ExplanationReport, FactDetail, FactReport, FormReport, GivenReport, HolderReport,
    MissingReport, NearestMissReport, NeededReport, ReadReport, RefusedReport, RequestReference,
    SelectorCaseReport, ShortageReport, SuggestionReport, TreeFactReport, UndecidedReport, ValueCountReport,
};
pub use fragmentation::{DemandReport, FragmentationReport, NodeFragment, ProfileReport, Stranded};
pub use lint::{LintAnswer, LintFinding, LintObject, LintPlace, LintRule, LintRules, LintSummary};
pub use pod::{
    Allocated, ClaimReport, DeviceFailure, DeviceReport, ErrorReport, Nearest, NodeExplanation, PodOutcome,
    PodReport, Reason, RefusalCount,
};
pub use preemption::{EvictionReport, HeldDevices, PreemptedBy, PreemptionReport, VictimReport};
pub use replay::{Moment, PodTimes, ReplayReport, WaitSummary};
pub use what_if::{
    AdmittedPod, CapacityItem, CapacityReport, ClaimMove, CopiedGang, Copies, DefragMove, DefragReport,
    DefragVerdict, DeviceLayout, EvictedPod, FailureReport, FailureSummary, Fate, FatePlace, HeldPartition,
    KindSummary, LeftPod, NodeRemoval, NodeUtilisation, PartitionMove, PartitionPlanReport, PodMove,
    PoolShare, ProfileCount, RemovalReport, ScaleUpOption, ScaleUpPlan, ScaleUpReport, ScaleUpRound, Shard,
    Stop, UnitReport, Waste,
};

pub use sarif::sarif;
pub use scenario::{
    ExpectationReport, ExpectationSummary, PodChangeReport, ScenarioReport, ScenarioResults, StateSummary,
    StepReport, Verdict,
};
pub use worlds::{WorldFate, WorldPod, WorldsReport, WorldsSummary};

/// `apiVersion` of every report.
pub const API_VERSION: &str = "drayage.dev/report/v1alpha1";

/// The answer of a simulation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulationReport {
    /// [`API_VERSION`]
    pub api_version: &'static str,
    /// `SimulationReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// Counts.
    pub summary: Summary,
    /// Every pod, in the order of the queue; pods that already run come first, in the order of their names.
    pub pods: Vec<PodReport>,
}

/// Everything an answer rests on besides the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assumptions {
    /// The Kubernetes release, such as `1.36`.
    pub release: String,
    /// Every feature gate that the release knows and Drayage has heard of.
    pub feature_gates: BTreeMap<String, bool>,
    /// The gates that were set by the user.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub feature_gate_overrides: BTreeMap<String, bool>,
    /// How equal pods are ordered and which of several feasible nodes is taken, in words.
    pub tie_rule: String,
    /// Where the simulation knowingly differs from a scheduler, in words.
    pub approximations: Vec<String>,
    /// Input that had no influence: unknown kinds, ignored fields.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ignored: Vec<String>,
    /// What is odd about the input but did not stop the simulation.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Counts over a whole simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// All pods that are not finished.
    pub pods: usize,
    /// Pods that ran before the simulation.
    pub already_running: usize,
    /// Pods that the simulation placed.
    pub scheduled: usize,
    /// Pods that were not placed, for whatever reason.
    pub pending: usize,
    /// Pods that made room for others; they count neither as running nor as pending.
    #[serde(skip_serializing_if = "is_zero")]
    pub preempted: usize,
    /// Those of them that preemption took although a PodDisruptionBudget forbids it.
    #[serde(skip_serializing_if = "is_zero")]
    pub preempted_against_budget: usize,
    /// Pods that ran and that a taint evicted; they count as scheduled or pending.
    #[serde(skip_serializing_if = "is_zero")]
    pub evicted: usize,
    /// The pending pods by the plugin that refused most nodes, or `SchedulingGates`, `Error`, `Undecided`.
    pub pending_by_cause: BTreeMap<String, usize>,
    /// Pods that are finished and therefore count for nothing.
    pub finished: usize,
    /// Nodes.
    pub nodes: usize,
    /// Devices in the newest generation of every pool.
    pub devices: usize,
    /// Devices with at least one allocation, after the simulation. Admin access does not count.
    pub devices_in_use: usize,
    /// Allocations of devices, after the simulation: a device that is shared three times counts three times. A claim that
    /// keeps devices for no pod counts too, as in its status.
    pub device_allocations: usize,
}
