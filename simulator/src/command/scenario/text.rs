//! Scenarios for people: the steps, then the expectations.

use std::fmt::Write as _;

use drayage_simulator::report::{ScenarioReport, ScenarioResults, StateSummary};

use crate::command::text::{Columns, printable_line};
use crate::command::what_if::footer;

/// All scenarios, one below the other.
pub(super) fn render(results: &ScenarioResults) -> String {
    let mut text = String::new();
    for report in &results.scenarios {
        render_one(report, &mut text);
        text.push('\n');
    }
    let summary = results.summary;
    let _ = writeln!(
        text,
        "EXPECTATIONS  {}: {} held, {} failed, {} undecided",
        summary.expectations, summary.held, summary.failed, summary.undecided
    );
    text
}

fn render_one(report: &ScenarioReport, text: &mut String) {
    let _ = write!(text, "SCENARIO  {}, {}", printable_line(&report.name), footer(&report.assumptions));
    let mut columns = Columns::new(&["STEP", "NODES", "RUNNING", "PENDING", "FREE DEVICES", "WHAT HAPPENED"]);
    let mut row = |name: String, state: &StateSummary, outcome: String| {
        let pending = match state.undecided_pods {
            0 => state.pending_pods.to_string(),
            undecided => format!("{} ({undecided} undecided)", state.pending_pods),
        };
        columns.push(&[
            name,
            state.nodes.to_string(),
            state.running_pods.to_string(),
            pending,
            format!("{} of {}", state.free_devices, state.devices),
            outcome,
        ]);
    };
    row("start".to_owned(), &report.start, format!("Kubernetes {}", report.start.kubernetes));
    for step in &report.steps {
        let name =
            if step.name == step.kind { step.name.clone() } else { format!("{} ({})", step.name, step.kind) };
        row(format!("{} {name}", step.number), &step.after, step.outcome.clone());
    }
    columns.render(text);
    for step in &report.steps {
        for warning in &step.warnings {
            let _ = writeln!(text, "step {}: {}", step.number, printable_line(warning));
        }
    }
    if report.summary.expectations == 0 {
        return;
    }
    text.push('\n');
    let mut columns = Columns::new(&["VERDICT", "AFTER STEP", "EXPECTED", "FOUND"]);
    for (step, expectation) in report.all_expectations() {
        let after = step.map_or_else(|| "end".to_owned(), |step| step.number.to_string());
        let found = if expectation.found.is_empty() { "-".to_owned() } else { expectation.found.join("; ") };
        columns.push(&[expectation.verdict.as_str().to_owned(), after, expectation.name.clone(), found]);
    }
    columns.render(text);
    for (_, expectation) in report.all_expectations().filter(|(_, one)| !one.found.is_empty()) {
        if let (Some(file), Some(line)) = (&expectation.file, expectation.line) {
            let _ = writeln!(text, "  --> {}:{line}", printable_line(file));
        }
    }
}
