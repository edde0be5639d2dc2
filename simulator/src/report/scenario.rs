//! What became of a scenario.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Assumptions, DeviceReport};

/// The answer of `dray scenario run`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioResults {
    /// [`crate::report::API_VERSION`]
    pub api_version: &'static str,
    /// `ScenarioResults`
    pub kind: &'static str,
    /// Every scenario, in the order in which they were given.
    pub scenarios: Vec<ScenarioReport>,
    /// The expectations of all of them.
    pub summary: ExpectationSummary,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioReport {
    /// `metadata.name`
    pub name: String,
    /// What was assumed. The release and gates are those of the end.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// The cluster before the first step.
    pub start: StateSummary,
    /// The steps, in order.
    pub steps: Vec<StepReport>,
    /// What was expected after the last step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<ExpectationReport>,
    /// Counts over all expectations, those of the steps included.
    pub summary: ExpectationSummary,
}

/// A cluster in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateSummary {
    /// The release.
    pub kubernetes: String,
    /// Nodes.
    pub nodes: usize,
    /// Pods with a node.
    pub running_pods: usize,
    /// Pods without a node.
    pub pending_pods: usize,
    /// Those of them for which the search for devices ended at its budget.
    #[serde(skip_serializing_if = "is_zero")]
    pub undecided_pods: usize,
    /// Devices in the newest generation of every pool.
    pub devices: usize,
    /// Those of which nothing is held.
    pub free_devices: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// From 1.
    pub number: usize,
    /// `name`, or the kind.
    pub name: String,
    /// The field that says what happens, such as `drain`.
    pub kind: String,
    /// What happened, in words.
    pub outcome: String,
    /// The cluster afterwards.
    pub after: StateSummary,
    /// Pods that lost their node, as `namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evicted_pods: Vec<String>,
    /// Nodes that came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added_nodes: Vec<String>,
    /// Nodes that went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed_nodes: Vec<String>,
    /// Nodes that stay only because a search for devices ended at its budget.
    #[serde(skip_serializing_if = "is_zero")]
    pub undecided_nodes: usize,
    /// Sets that fit, for the step `capacity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fits: Option<usize>,
    /// Whether more may fit: counting ended where it was told to, or where a search for devices ended at its budget.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_fit_more: bool,
    /// Pods that are elsewhere than before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodChangeReport>,
    /// What should be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What was expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<ExpectationReport>,
}

/// A pod that is elsewhere than before a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodChangeReport {
    /// `namespace/name`
    pub pod: String,
    /// `added`, `placed`, `moved`, `evicted`, `deleted` or `devices`, where only those are others.
    pub change: &'static str,
    /// The node before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The node now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The devices now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceReport>,
}

/// Something that was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectationReport {
    /// `name`, or made of what is expected.
    pub name: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What is so instead, or what is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// The file and line in which it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// Whether an expectation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Held,
    /// It hangs on a search for devices that ended at its budget.
    Undecided,
    /// It does not hold.
    Failed,
}

impl Verdict {
    /// As it is serialised.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Undecided => "undecided",
            Self::Failed => "failed",
        }
    }
}

/// Counts of expectations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectationSummary {
    /// All.
    pub expectations: usize,
    /// Those that hold.
    pub held: usize,
    /// Those that do not.
    pub failed: usize,
    /// Those that are not known.
    pub undecided: usize,
}

impl ExpectationSummary {
    /// Counts.
    pub fn of<'r>(reports: impl IntoIterator<Item = &'r ExpectationReport>) -> Self {
        let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
        for report in reports {
            *counts.entry(report.verdict).or_default() += 1;
        }
        let of = |verdict| counts.get(&verdict).copied().unwrap_or_default();
        Self {
            expectations: counts.values().sum(),
            held: of(Verdict::Held),
            failed: of(Verdict::Failed),
            undecided: of(Verdict::Undecided),
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            expectations: self.expectations + other.expectations,
            held: self.held + other.held,
            failed: self.failed + other.failed,
            undecided: self.undecided + other.undecided,
        }
    }
}

impl ScenarioReport {
    /// The expectations of the steps, then those of the end, each with the number of its step.
    pub fn all_expectations(&self) -> impl Iterator<Item = (Option<&StepReport>, &ExpectationReport)> {
        let of_steps =
            self.steps.iter().flat_map(|step| step.expectations.iter().map(move |one| (Some(step), one)));
        of_steps.chain(self.expectations.iter().map(|one| (None, one)))
    }
}
