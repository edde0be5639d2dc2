//! `dray upgrade-diff`: pods whose fate changes with a release, and why.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use drayage_allocator::ProfileName;
use drayage_cel::{Compiler, ExpressionStage};
use drayage_simulator::compare::{DifferenceKind, UpgradeChange, UpgradeReport, upgrade_diff};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::schedule::{DEFAULT_STEP_BUDGET, Options};

use super::activity::Activity;
use super::arguments::{CelOutput, Objects};
use super::diff::pods_text;
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::kubernetes;
use super::objects;
use super::output;
use super::terminal::Terminal;
use super::text::{count, printable_line};

/// Tell which pods another Kubernetes release treats differently, and why.
///
/// To find the cause, every feature gate and every behaviour in which the releases differ is taken back alone, and
/// where that is not enough, several together. Exits with 0 where no pod's fate changes, with 1 where some does; other
/// reasons of pods that wait either way do not count.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray upgrade-diff --from 1.34 --to 1.37 -f cluster.yaml")]
pub(crate) struct UpgradeDiff {
    #[command(flatten)]
    pub(crate) objects: Objects,
    /// The release that is there
    #[arg(long, value_name = "RELEASE")]
    pub(crate) from: ProfileName,
    /// The release that is to come
    #[arg(long, value_name = "RELEASE")]
    pub(crate) to: ProfileName,
    /// Feature gates of the first release that differ from its defaults
    #[arg(long, value_name = "GATES", value_delimiter = ',')]
    pub(crate) from_feature_gates: Vec<String>,
    /// Feature gates of the second release that differ from its defaults
    #[arg(long, value_name = "GATES", value_delimiter = ',')]
    pub(crate) to_feature_gates: Vec<String>,
    /// The scheduler's configuration, which both releases must be able to read: a file with a
    /// KubeSchedulerConfiguration, or a ConfigMap that holds one
    #[arg(long, value_name = "FILE")]
    pub(crate) scheduler_config: Option<PathBuf>,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: CelOutput,
    /// Search steps for the claims of one pod on one node before the answer is undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
}

/// Reads, schedules with both releases and with what lies between, prints.
pub(crate) fn run(typed: &UpgradeDiff, terminal: &Terminal) -> Result<Exit, Failure> {
    if typed.objects.filename.is_empty() {
        return Err(Failure::input(
            Complaint::new("no input is given").with_hint("name files or folders after `-f`"),
        ));
    }
    let gates = |profile: ProfileName, typed: &[String]| {
        FeatureGates::parse_for(profile, &typed.join(","))
            .map_err(|error| Failure::input(Complaint::new(error.to_string())))
    };
    let from = gates(typed.from, &typed.from_feature_gates)?;
    let to = gates(typed.to, &typed.to_feature_gates)?;
    let snapshot = objects::load(&typed.objects, terminal)?;
    // What either release understands may be asked; the other one answers with an error then.
    let newer = if from.release() > to.release() { &from } else { &to };
    let compiler = Compiler::new(kubernetes::cel_environment(newer, ExpressionStage::Stored));
    let prepared = objects::prepare(snapshot, &typed.objects, &compiler)?;
    let mut options = Options {
        step_budget: typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET),
        ..Options::for_release(to.release())
    };
    options.gates = to.clone();
    if let Some(path) = &typed.scheduler_config {
        kubernetes::configure_from(&mut options, path, &[from.release(), to.release()])?;
    }
    let activity = Activity::start("comparing releases");
    let mut progress = |done, total| activity.advance(done, total);
    let report = upgrade_diff(&prepared, &from, &to, &options, &mut progress, &AtomicBool::new(false))
        .map_err(|error| Failure::Internal(error.to_string()))?;
    drop(activity);
    objects::tell_warnings(&report.to, terminal);
    objects::tell_approximations(&report.to, terminal);
    let text = match typed.output {
        CelOutput::Text => render(&report),
        CelOutput::Json => output::json(&report)?,
    };
    terminal.write(text.as_bytes())?;
    Ok(match (report.summary.changed, report.summary.undecided) {
        (0, 0) => Exit::Yes,
        (0, _) => Exit::Undecided,
        _ => Exit::No,
    })
}

fn render(report: &UpgradeReport) -> String {
    let mut text = String::new();
    let changes: Vec<_> = report.pods.iter().map(|pod| pod.change.clone()).collect();
    pods_text(&changes, &mut text);
    causes(report, &mut text);
    let summary = &report.summary;
    let kinds: Vec<String> = summary.by_change.iter().map(|(kind, pods)| format!("{kind} {pods}")).collect();
    let _ = write!(text, "{} of {} change", summary.changed, count(summary.pods, "pod"));
    if !kinds.is_empty() {
        let _ = write!(text, " ({})", kinds.join(", "));
    }
    let _ = writeln!(
        text,
        " from Kubernetes {} to {}; {} looked at",
        report.from,
        report.to.release,
        count(report.differences.len(), "difference")
    );
    text
}

/// What is behind the changes: each cause once, with its pods.
fn causes(report: &UpgradeReport, text: &mut String) {
    let mut by_cause: Vec<(Vec<String>, Vec<&UpgradeChange>)> = Vec::new();
    let mut unexplained = 0_usize;
    for pod in &report.pods {
        unexplained += usize::from(pod.causes.is_empty());
        for cause in &pod.causes {
            match by_cause.iter_mut().find(|(differences, _)| *differences == cause.differences) {
                Some((_, pods)) => pods.push(pod),
                None => by_cause.push((cause.differences.clone(), vec![pod])),
            }
        }
    }
    for (differences, pods) in &by_cause {
        let names: BTreeSet<String> =
            pods.iter().map(|pod| format!("{}/{}", pod.change.namespace, pod.change.name)).collect();
        let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
        let more = names.len().saturating_sub(shown.len());
        let _ = write!(text, "because of ");
        for (index, name) in differences.iter().enumerate() {
            let before = if index > 0 { " together with " } else { "" };
            let found = report.differences.iter().find(|difference| difference.name == *name);
            let what = match found.map(|difference| difference.kind) {
                Some(DifferenceKind::FeatureGate) => "feature gate",
                Some(DifferenceKind::Cel) => "the functions of",
                _ => "behaviour",
            };
            let _ = write!(text, "{before}{what} {name}");
            if let Some(difference) = found {
                let _ = write!(text, " ({} -> {})", difference.from, difference.to);
            }
        }
        let _ = writeln!(
            text,
            ": {}{}",
            printable_line(&shown.join(", ")),
            if more > 0 { format!(" and {more} more") } else { String::new() }
        );
        let about = report.differences.iter().filter(|difference| differences.contains(&difference.name));
        for difference in about.filter(|difference| !difference.about.is_empty()) {
            let _ = writeln!(text, "    {}", difference.about);
        }
    }
    if unexplained > 0 {
        let _ = writeln!(text, "no cause found for {}", count(unexplained, "pod"));
    }
    if !report.pods.is_empty() {
        text.push('\n');
    }
}
