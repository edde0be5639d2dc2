//! Many runs beside published figures.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::Serialize;

use super::fragment::Typical;
use super::go_random::GoRandomTable;
use super::policy::Policy;
use super::published::Published;
use super::run::{Outcome, Ties, average, hundredths, run};
use super::trace::Trace;
use crate::report::API_VERSION;

/// Demand in percent at which allocations are compared.
const ALLOCATION_AT: usize = 130;
/// Demand in percent at which fragments are compared.
const FRAGMENT_AT: usize = 90;

/// Which runs to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Policies, each with every seed.
    pub policies: Vec<Policy>,
    /// Seeds; the study has 42 to 51.
    pub seeds: Vec<i64>,
    /// The rule for ties whose means stand beside the published ones.
    pub ties: Ties,
    /// Whether to run the other rule as well.
    pub other_ties: bool,
    /// Percentage points within which a mean agrees with a published one.
    pub tolerance: f64,
}

impl Default for Plan {
    /// The study's plan, with both rules for ties.
    fn default() -> Self {
        Self {
            policies: Policy::ALL.to_vec(),
            seeds: (42..52).collect(),
            ties: Ties::Lexical,
            other_ties: true,
            tolerance: 0.3,
        }
    }
}

/// Means over all seeds of one workload under one policy, in percent of all GPUs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// The workload.
    pub workload: String,
    /// Name of the policy.
    pub policy: &'static str,
    /// Allocated GPUs when pods have demanded 130 %.
    pub allocation: f64,
    /// Standard deviation of the allocation over the seeds.
    pub allocation_deviation: f64,
    /// The published mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_allocation: Option<f64>,
    /// Whether both agree within the tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
    /// Allocated GPUs with the other rule for ties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_other_ties: Option<f64>,
    /// Choices among several best nodes, in percent of all choices.
    pub tied_choices: f64,
    /// Fragment when pods have demanded 90 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment: Option<f64>,
    /// The published mean of the fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_fragment: Option<f64>,
}

/// All cells of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// [`API_VERSION`]
    pub api_version: &'static str,
    /// `LabReport`
    pub kind: &'static str,
    /// The rule for ties, in words.
    pub tie_rule: &'static str,
    /// The other rule, where it was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_tie_rule: Option<&'static str>,
    /// Seeds of every cell.
    pub seeds: Vec<i64>,
    /// Percentage points within which a mean agrees.
    pub tolerance: f64,
    /// Cells by workload, then policy, as they were asked for.
    pub cells: Vec<Cell>,
    /// Cells with a published allocation.
    pub published_cells: usize,
    /// Those of them that agree.
    pub agreeing_cells: usize,
    /// Runs of both rules.
    pub runs: usize,
}

/// Runs every policy with every seed on every workload, on all threads of the current pool. `progress` is told how
/// many runs of how many are done.
pub fn compare(
    workloads: &[(String, Trace)],
    plan: &Plan,
    allocations: &Published,
    fragments: &Published,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Comparison {
    let table = GoRandomTable::new();
    let prepared: Vec<(&str, &Trace, Typical)> =
        workloads.iter().map(|(name, trace)| (name.as_str(), trace, Typical::new(&trace.pods))).collect();
    let other = match plan.ties {
        Ties::Lexical => Ties::Random,
        Ties::Random => Ties::Lexical,
    };
    let mut jobs = Vec::new();
    for (name, trace, typical) in &prepared {
        for &policy in &plan.policies {
            for &seed in &plan.seeds {
                jobs.push((*name, *trace, typical, policy, plan.ties, seed));
                // Without scores there are no ties.
                if plan.other_ties && policy.is_scored() {
                    jobs.push((*name, *trace, typical, policy, other, seed));
                }
            }
        }
    }
    let done = AtomicUsize::new(0);
    let outcomes: Vec<(&str, Policy, Ties, Outcome)> = jobs
        .par_iter()
        .map(|&(name, trace, typical, policy, ties, seed)| {
            let outcome = run(trace, typical, policy, ties, table.generator(seed));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
            (name, policy, ties, outcome)
        })
        .collect();
    let mut cells = Vec::new();
    for (name, _, _) in &prepared {
        for &policy in &plan.policies {
            let of = |rule: Ties| {
                outcomes
                    .iter()
                    .filter(move |(workload, of, ties, _)| workload == name && *of == policy && *ties == rule)
                    .map(|(_, _, _, outcome)| outcome)
            };
            let Some(mut cell) = cell(name, policy, &of(plan.ties).collect::<Vec<_>>()) else { continue };
            cell.allocation_other_ties =
                average(of(other).filter_map(|outcome| outcome.allocation.at(ALLOCATION_AT)))
                    .map(thousandths);
            cell.published_allocation = allocations.get(name, policy);
            cell.published_fragment = fragments.get(name, policy);
            cell.agrees = cell
                .published_allocation
                .map(|published| hundredths((cell.allocation - published).abs()) <= plan.tolerance);
            cells.push(cell);
        }
    }
    Comparison {
        api_version: API_VERSION,
        kind: "LabReport",
        tie_rule: words(plan.ties),
        other_tie_rule: plan.other_ties.then(|| words(other)),
        seeds: plan.seeds.clone(),
        tolerance: plan.tolerance,
        published_cells: cells.iter().filter(|cell| cell.agrees.is_some()).count(),
        agreeing_cells: cells.iter().filter(|cell| cell.agrees == Some(true)).count(),
        cells,
        runs: jobs.len(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
fn cell(workload: &str, policy: Policy, outcomes: &[&Outcome]) -> Option<Cell> {
    let allocations = || outcomes.iter().filter_map(|outcome| outcome.allocation.at(ALLOCATION_AT));
    let mean = average(allocations())?;
    let variance = average(allocations().map(|allocation| (allocation - mean).powi(2)))?;
    let choices: usize = outcomes.iter().map(|outcome| outcome.pods - outcome.refused).sum();
    let tied: usize = outcomes.iter().map(|outcome| outcome.tied).sum();
    Some(Cell {
        workload: workload.to_owned(),
        policy: policy.name(),
        allocation: thousandths(mean),
        allocation_deviation: thousandths(variance.sqrt()),
        published_allocation: None,
        agrees: None,
        allocation_other_ties: None,
        tied_choices: hundredths(100.0 * tied as f64 / choices.max(1) as f64),
        fragment: average(outcomes.iter().filter_map(|outcome| outcome.fragment.at(FRAGMENT_AT)))
            .map(thousandths),
        published_fragment: None,
    })
}

fn words(ties: Ties) -> &'static str {
    match ties {
        Ties::Lexical => "the first by name, as in the study's scheduler; names begin with random numbers",
        Ties::Random => "any, with equal probability, as in kube-scheduler",
    }
}

fn thousandths(value: f64) -> f64 {
    format!("{value:.3}").parse().unwrap_or(value)
}
