//! The answer of `dray allocate` for one node, in text.

use std::fmt::Write as _;

use drayage_simulator::report::{AllocateReport, ProblemOutcome};

use crate::command::exit::Exit;
use crate::command::failure::Failure;
use crate::command::output;
use crate::command::simulate::reasons::failure_lines;
use crate::command::text::{count, printable_line};

/// How the command ends.
pub(crate) fn verdict(report: &AllocateReport) -> Exit {
    match report.outcome {
        ProblemOutcome::Allocated => Exit::Yes,
        ProblemOutcome::Unsatisfiable | ProblemOutcome::Error => Exit::No,
        ProblemOutcome::Undecided => Exit::Undecided,
    }
}

/// The allocation results as YAML documents, each below a comment that names its claim. Nothing unless allocated.
pub(crate) fn documents(report: &AllocateReport) -> Result<String, Failure> {
    let mut text = String::new();
    for claim in &report.claims {
        let Some(allocation) = &claim.allocation else { continue };
        let yaml = output::yaml(allocation)?;
        let separator = if text.is_empty() { "" } else { "---\n" };
        let before = if claim.allocated_before { ", allocated before" } else { "" };
        let name = printable_line(&claim.name);
        let _ = write!(text, "{separator}# resource claim {name} on node {}{before}\n{yaml}", report.node);
    }
    Ok(text)
}

/// Why there is no allocation, for people; `None` where there is one.
pub(crate) fn explanation(report: &AllocateReport) -> Option<String> {
    let node = printable_line(&report.node);
    let mut text = match report.outcome {
        ProblemOutcome::Allocated => return None,
        ProblemOutcome::Unsatisfiable => format!("unsatisfiable on node {node}\n"),
        ProblemOutcome::Undecided => format!(
            "undecided on node {node} after {}; a bigger `--step-budget` may decide it\n",
            count(usize::try_from(report.steps).unwrap_or(usize::MAX), "step")
        ),
        ProblemOutcome::Error => format!("the scheduler would end with an error on node {node}\n"),
    };
    if let Some(error) = &report.error {
        let mut lines = error.message.lines();
        let _ = writeln!(text, "  {}: {}", error.kind, printable_line(lines.next().unwrap_or_default()));
        for line in lines {
            let _ = writeln!(text, "    {}", printable_line(line));
        }
    }
    for failure in &report.failures {
        failure_lines(failure, &failure.claim, None, 2, &mut text);
    }
    Some(text.trim_end().to_owned())
}
