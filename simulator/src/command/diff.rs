//! `dray diff`: what two inputs have in common, and what that means for pods.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use drayage_cel::{Compiler, ExpressionStage};
use drayage_simulator::compare::{self, ObjectChange, ObjectChangeKind, PodChange};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::html::{Page, Scene};
use drayage_simulator::report::{API_VERSION, Assumptions, PodOutcome, SimulationReport, Summary};
use drayage_simulator::schedule::{self, DEFAULT_STEP_BUDGET, Options, Prepared};
use serde::Serialize;

use super::activity::Activity;
use super::arguments::{CelOutput, Kubernetes, Objects, Scheduler};
use super::exit::Exit;
use super::failure::Failure;
use super::kubernetes;
use super::objects;
use super::output;
use super::terminal::Terminal;
use super::text::{Columns, count, printable_line};

/// Compare two inputs: objects that differ, and what that means for pods.
///
/// Exits with 0 where no pod's fate differs, with 1 where some does.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: what a change of manifests would do in a cluster
  dray diff before/ after/ -f cluster.yaml

Example: two dumps of a cluster
  dray diff monday.json tuesday.json")]
pub(crate) struct Diff {
    /// The first input: a file or folder
    pub(crate) before: PathBuf,
    /// The second input
    pub(crate) after: PathBuf,
    /// Files and folders that belong to both
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    pub(crate) filename: Vec<PathBuf>,
    /// Let pods wait for claims, claim templates and device classes that do not exist, as a cluster does
    #[arg(long)]
    pub(crate) allow_missing: bool,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    #[command(flatten)]
    pub(crate) scheduler: Scheduler,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: CelOutput,
    /// Also write a page for a browser with both, one before and one after
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Search steps for the claims of one pod on one node before the answer is undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiffReport {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    assumptions: Assumptions,
    before: Summary,
    after: Summary,
    objects: Vec<ObjectChange>,
    pods: Vec<PodChange>,
}

/// Fields shown of one object.
const SHOWN_FIELDS: usize = 5;
/// Objects and pods shown; JSON has all.
const SHOWN: usize = 40;

/// Reads both, schedules both, prints the differences.
pub(crate) fn run(typed: &Diff, terminal: &Terminal) -> Result<Exit, Failure> {
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let before = load(typed, &typed.before, &gates, terminal)?;
    let after = load(typed, &typed.after, &gates, terminal)?;
    let mut options = Options {
        step_budget: typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET),
        explain: false,
        ..Options::for_release(gates.release())
    };
    options.gates = gates;
    kubernetes::configure(&mut options, &typed.scheduler)?;
    let activity = Activity::start("scheduling both");
    let first = schedule_all(&before, &options)?;
    let second = schedule_all(&after, &options)?;
    drop(activity);
    let report = DiffReport {
        api_version: API_VERSION,
        kind: "DiffReport",
        objects: compare::object_changes(&before.snapshot, &after.snapshot),
        pods: compare::changes(&first, &second),
        before: first.summary.clone(),
        after: second.summary.clone(),
        assumptions: second.assumptions.clone(),
    };
    if let Some(path) = &typed.html {
        let title = format!("{} in place of {}", typed.after.display(), typed.before.display());
        let scenes = [(&before, &first), (&after, &second)]
            .map(|(prepared, report)| Scene { snapshot: &prepared.snapshot, report });
        output::write_file(path, Page::of_change(&title, scenes[0], scenes[1]).render().as_bytes())?;
    }
    objects::tell_warnings(&report.assumptions, terminal);
    objects::tell_approximations(&report.assumptions, terminal);
    let text = match typed.output {
        CelOutput::Text => render(&report),
        CelOutput::Json => output::json(&report)?,
    };
    terminal.write(text.as_bytes())?;
    let undecided = [&first, &second]
        .iter()
        .any(|report| report.pods.iter().any(|pod| pod.outcome == PodOutcome::Undecided));
    Ok(match (report.pods.is_empty(), undecided) {
        (true, false) => Exit::Yes,
        (true, true) => Exit::Undecided,
        (false, _) => Exit::No,
    })
}

fn load(
    typed: &Diff,
    path: &std::path::Path,
    gates: &FeatureGates,
    terminal: &Terminal,
) -> Result<Prepared, Failure> {
    let mut filename = vec![path.to_path_buf()];
    filename.extend(typed.filename.iter().cloned());
    let objects = Objects { filename, strict: false, allow_missing: typed.allow_missing };
    let snapshot = objects::load(&objects, terminal)?;
    let compiler = Compiler::new(kubernetes::cel_environment(gates, ExpressionStage::Stored));
    objects::prepare(snapshot, &objects, &compiler)
}

fn schedule_all(prepared: &Prepared, options: &Options) -> Result<SimulationReport, Failure> {
    schedule::simulate(prepared, options, &mut (), &AtomicBool::new(false))
        .map_err(|error| Failure::Internal(error.to_string()))
}

fn render(report: &DiffReport) -> String {
    let mut text = String::new();
    objects_text(&report.objects, &mut text);
    pods_text(&report.pods, &mut text);
    let line = |text: &mut String, name: &str, before: usize, after: usize| {
        if before == after {
            let _ = writeln!(text, "{name:<16} {before}");
        } else {
            let _ = writeln!(text, "{name:<16} {before} -> {after}");
        }
    };
    let (before, after) = (&report.before, &report.after);
    line(&mut text, "pods", before.pods, after.pods);
    line(
        &mut text,
        "with a node",
        before.scheduled + before.already_running,
        after.scheduled + after.already_running,
    );
    line(&mut text, "pending", before.pending, after.pending);
    line(&mut text, "nodes", before.nodes, after.nodes);
    line(&mut text, "devices", before.devices, after.devices);
    line(&mut text, "devices in use", before.devices_in_use, after.devices_in_use);
    let _ = writeln!(text, "Kubernetes {}", report.assumptions.release);
    text
}

fn objects_text(objects: &[ObjectChange], text: &mut String) {
    for change in objects.iter().take(SHOWN) {
        let sign = match change.change {
            ObjectChangeKind::Added => '+',
            ObjectChangeKind::Removed => '-',
            ObjectChangeKind::Changed => '~',
        };
        let name = if change.namespace.is_empty() {
            change.name.clone()
        } else {
            format!("{}/{}", change.namespace, change.name)
        };
        let _ = writeln!(text, "{sign} {} {}", change.kind, printable_line(&name));
        let short = |value: &Option<serde_json::Value>| match value {
            None => "absent".to_owned(),
            Some(value) => {
                let text = value.to_string();
                if text.chars().count() > 60 {
                    format!("{}…", text.chars().take(60).collect::<String>())
                } else {
                    text
                }
            }
        };
        for field in change.fields.iter().take(SHOWN_FIELDS) {
            let values = format!("{} -> {}", short(&field.before), short(&field.after));
            let _ = writeln!(text, "    {}: {}", printable_line(&field.field), printable_line(&values));
        }
        if change.fields.len() > SHOWN_FIELDS {
            let _ = writeln!(text, "    {}", count(change.fields.len() - SHOWN_FIELDS, "more field"));
        }
    }
    if objects.len() > SHOWN {
        let _ = writeln!(text, "{} differ", count(objects.len() - SHOWN, "more object"));
    }
    if !objects.is_empty() {
        text.push('\n');
    }
}

/// The pods in columns.
pub(crate) fn pods_text(pods: &[PodChange], text: &mut String) {
    if pods.is_empty() {
        text.push_str("no pod's fate differs\n\n");
        return;
    }
    let mut columns = Columns::new(&["POD", "CHANGE", "BEFORE", "AFTER"]);
    let fate =
        |fate: &Option<compare::Fate>| fate.as_ref().map_or_else(|| "-".to_owned(), compare::Fate::text);
    for pod in pods.iter().take(SHOWN) {
        let name = format!("{}/{}", pod.namespace, pod.name);
        columns.push(&[name, pod.change.as_str().to_owned(), fate(&pod.before), fate(&pod.after)]);
    }
    columns.render(text);
    if pods.len() > SHOWN {
        let _ = writeln!(text, "{} differ", count(pods.len() - SHOWN, "more pod"));
    }
    text.push('\n');
}
