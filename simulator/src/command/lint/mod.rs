//! `dray lint`: faults and traps in the objects of Dynamic Resource Allocation.

pub(crate) mod arguments;
mod github;
mod text;

use drayage_cluster::lint::{self, LintOptions, LintReport, RULES, Rule, Severity};
use drayage_cluster::{Input, LoadOptions};
use drayage_simulator::report::{LintAnswer, LintRules, sarif};
use drayage_simulator::schedule::DEFAULT_STEP_BUDGET;

use super::activity::Activity;
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::kubernetes;
use super::output;
use super::terminal::Terminal;
use super::text::count;
use arguments::{FailOn, Lint, LintFormat};

/// Reads, looks, prints.
pub(crate) fn run(typed: &Lint, terminal: &Terminal) -> Result<Exit, Failure> {
    let ignored = selection(&typed.ignore)?;
    let only = selection(&typed.only)?;
    let wanted =
        |rule: &Rule| !ignored.contains(&rule.code) && (typed.only.is_empty() || only.contains(&rule.code));
    if typed.rules {
        let text = match typed.format {
            LintFormat::Json => output::json(&LintRules::new())?,
            _ => text::rules(),
        };
        terminal.write(text.as_bytes())?;
        return Ok(Exit::Yes);
    }
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let options = LintOptions {
        profile: gates.profile(),
        features: gates.features(),
        list_type_attributes: gates.enabled("DRAListTypeAttributes"),
        taint_rules: gates.enabled("DRADeviceTaints") && gates.enabled("DRADeviceTaintRules"),
        step_budget: typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET),
    };
    let mut report = look(typed, options)?;
    report.findings.retain(|finding| wanted(finding.rule));
    report.omitted.retain(|code, _| Rule::find(code).is_some_and(wanted));

    let answer = LintAnswer::new(&report, gates.release().to_string());
    let text = match typed.format {
        LintFormat::Text => text::render(&report, &answer),
        LintFormat::Json => output::json(&answer)?,
        LintFormat::Sarif => output::json(&sarif(&report))?,
        LintFormat::Github => github::render(&report),
    };
    terminal.write(text.as_bytes())?;
    if !report.undecided.is_empty() {
        terminal.warning(&format!(
            "whether {} can be satisfied is undecided within the step budget: {}",
            count(report.undecided.len(), "claim"),
            report.undecided.join(", ")
        ));
    }
    Ok(verdict(typed.fail_on, &report))
}

/// Loads with faults: those that have a place are findings, those without keep the command from answering.
fn look(typed: &Lint, options: LintOptions) -> Result<LintReport, Failure> {
    let inputs: Vec<Input> = typed.filename.iter().map(Input::from_argument).collect();
    let activity = Activity::start("reading input");
    let (snapshot, mut errors) = drayage_cluster::load_with_faults(&inputs, LoadOptions::default());
    drop(activity);
    let (placed, unplaced): (Vec<_>, Vec<_>) =
        errors.faults.into_iter().partition(|fault| fault.place.is_some());
    if !unplaced.is_empty() {
        return Err(Failure::Input {
            complaints: unplaced.into_iter().map(Complaint::from).collect(),
            omitted: 0,
        });
    }
    errors.faults = placed;
    let activity = Activity::start("looking for faults");
    let report = lint::lint(&snapshot, &errors, options);
    drop(activity);
    Ok(report)
}

/// The codes that a list of codes, groups and names means.
fn selection(texts: &[String]) -> Result<Vec<&'static str>, Failure> {
    let mut codes = Vec::new();
    for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let group =
            |rule: &&&Rule| text.starts_with("DRA") && rule.code.starts_with(text) || rule.name == text;
        let before = codes.len();
        codes.extend(RULES.iter().filter(group).map(|rule| rule.code));
        if codes.len() == before {
            let complaint = Complaint::new(format!("no rule has the code or name `{text}`"))
                .with_hint("`dray lint --rules` prints all rules");
            return Err(Failure::input(complaint));
        }
    }
    Ok(codes)
}

/// No where a finding is bad enough; undecided where there is none and some claim was not decided.
fn verdict(fail_on: FailOn, report: &LintReport) -> Exit {
    let worst = report.findings.iter().map(|finding| finding.severity).max();
    let threshold = match fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
        FailOn::Note => Severity::Note,
        FailOn::Never => return Exit::Yes,
    };
    if worst.is_some_and(|worst| worst >= threshold) {
        Exit::No
    } else if report.undecided.is_empty() {
        Exit::Yes
    } else {
        Exit::Undecided
    }
}
