//! `dray explain`: why one pod is where it is, or waits.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use drayage_cel::{Compiler, ExpressionStage};
use drayage_simulator::explain::{GangReport, NodeVerdict, PodExplanation, explain_pod};
use drayage_simulator::report::PodOutcome;
use drayage_simulator::schedule::{DEFAULT_STEP_BUDGET, Options};
use indexmap::IndexMap;

use super::activity::Activity;
use super::arguments::{Kubernetes, Objects, Scheduler};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::kubernetes;
use super::objects;
use super::output;
use super::simulate::reasons;
use super::simulate::table::{self, Detail};
use super::terminal::Terminal;
use super::text::{Columns, count, printable_line};

/// Explain one pod: which plugin refuses it on every node, and what would help.
///
/// The other pods are placed too, as by `dray simulate`. Exits with 0 where the pod has or gets a node, with 1
/// where it waits.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray explain ml/train-0 -f cluster.yaml")]
pub(crate) struct Explain {
    /// The pod, as NAMESPACE/NAME
    #[arg(value_name = "POD")]
    pub(crate) pod: String,
    #[command(flatten)]
    pub(crate) objects: Objects,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    #[command(flatten)]
    pub(crate) scheduler: Scheduler,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: ExplainFormat,
    /// Search steps for the claims of one pod on one node before the answer is undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
}

/// How `dray explain` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// Nodes that say the same together, then full explanations
    #[default]
    Text,
    /// As text, with a line for each node
    Wide,
    /// One JSON object
    Json,
}

/// Nodes named of those that say the same.
const SHOWN_NODES: usize = 3;

/// Reads, schedules, prints.
pub(crate) fn run(typed: &Explain, terminal: &Terminal) -> Result<Exit, Failure> {
    if typed.objects.filename.is_empty() {
        return Err(Failure::input(
            Complaint::new("no input is given").with_hint("name files or folders after `-f`"),
        ));
    }
    let (namespace, name) = super::allocate::namespaced(&typed.pod)?;
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let snapshot = objects::load(&typed.objects, terminal)?;
    let compiler = Compiler::new(kubernetes::cel_environment(&gates, ExpressionStage::Stored));
    let prepared = objects::prepare(snapshot, &typed.objects, &compiler)?;
    let mut options = Options {
        step_budget: typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET),
        explain_in_full: true,
        gates,
        ..Options::for_release(drayage_cel::Release::V1_36)
    };
    kubernetes::configure(&mut options, &typed.scheduler)?;
    let activity = Activity::start("explaining");
    let explanation = explain_pod(&prepared, namespace, name, &options, &AtomicBool::new(false))
        .map_err(|error| super::missing::refused(&error, &prepared.snapshot))?;
    drop(activity);
    objects::tell_warnings(&explanation.assumptions, terminal);
    objects::tell_approximations(&explanation.assumptions, terminal);
    let text = match typed.output {
        ExplainFormat::Text => render(&explanation, false),
        ExplainFormat::Wide => render(&explanation, true),
        ExplainFormat::Json => output::json(&explanation)?,
    };
    terminal.write(text.as_bytes())?;
    Ok(match explanation.pod.outcome {
        PodOutcome::AlreadyRunning | PodOutcome::Scheduled => Exit::Yes,
        PodOutcome::Undecided => Exit::Undecided,
        _ => Exit::No,
    })
}

fn render(explanation: &PodExplanation, wide: bool) -> String {
    let pod = &explanation.pod;
    let mut text = String::new();
    let fits = explanation.nodes.iter().filter(|verdict| verdict.fits).count();
    let name = printable_line(&format!("{}/{}", pod.namespace, pod.name));
    let _ = match (&pod.node, pod.outcome) {
        (Some(node), PodOutcome::AlreadyRunning) => {
            writeln!(text, "pod {name} runs on node {}", printable_line(node))
        }
        (Some(node), _) => writeln!(
            text,
            "pod {name} is placed on node {}; it fits {} of {}",
            printable_line(node),
            fits,
            count(explanation.nodes.len(), "node")
        ),
        (None, outcome) => {
            writeln!(
                text,
                "pod {name}: {}, fits {fits} of {}",
                outcome.as_str(),
                count(explanation.nodes.len(), "node")
            )
        }
    };
    if explanation.pods_before > 0 {
        let _ = writeln!(text, "{} before it in the queue", count(explanation.pods_before, "pod"));
    }
    if let Some(gang) = &explanation.gang {
        members(gang, &mut text);
    }
    if !pod.outcome.is_pending() {
        for note in &pod.notes {
            let _ = writeln!(text, "{}", printable_line(note));
        }
    }
    for claim in pod.claims.iter().filter(|claim| !claim.devices.is_empty()) {
        let devices = table::devices(claim, Detail::Wide);
        let _ = writeln!(
            text,
            "  claim {}: {}",
            printable_line(table::claim_name(claim)),
            printable_line(&devices)
        );
    }
    if pod.outcome != PodOutcome::AlreadyRunning && !explanation.nodes.is_empty() {
        text.push('\n');
        if wide { each_node(&explanation.nodes, &mut text) } else { groups(&explanation.nodes, &mut text) }
    }
    if pod.outcome.is_pending() {
        let tree = reasons::tree(pod);
        if !tree.is_empty() {
            let _ = write!(text, "\n{tree}");
        }
        for explained in &pod.explanations {
            reasons::explanation(explained, &mut text);
        }
    }
    text
}

/// The pods that start together, and why they do or do not.
fn members(gang: &GangReport, text: &mut String) {
    let placed = gang.members.iter().filter(|member| member.node.is_some()).count();
    let name = printable_line(&gang.name);
    let _ = match gang.min_count {
        Some(least) => writeln!(
            text,
            "gang {name}: starts with {least} or not at all; {} had nodes before, {placed} of the {} that waited got one",
            gang.placed_before,
            gang.members.len()
        ),
        None => writeln!(text, "group {name}: {placed} of the {} that waited got a node", gang.members.len()),
    };
    let mut columns = Columns::new(&["POD", "OUTCOME", "NODE", "REASON"]);
    for member in &gang.members {
        columns.push(&[
            member.pod.clone(),
            member.outcome.as_str().to_owned(),
            member.node.clone().unwrap_or_else(|| "-".to_owned()),
            member.message.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    columns.render(text);
}

fn columns_of(verdict: &NodeVerdict) -> (String, String) {
    if verdict.fits {
        return ("-".to_owned(), "fits".to_owned());
    }
    (verdict.plugin.clone().unwrap_or_else(|| "-".to_owned()), verdict.reasons.join(", "))
}

fn each_node(nodes: &[NodeVerdict], text: &mut String) {
    let mut columns = Columns::new(&["NODE", "PLUGIN", "REASON"]);
    for verdict in nodes {
        let (plugin, reason) = columns_of(verdict);
        columns.push(&[verdict.node.clone(), plugin, reason]);
    }
    columns.render(text);
}

/// Nodes that say the same, most nodes first.
fn groups(nodes: &[NodeVerdict], text: &mut String) {
    let mut groups: IndexMap<(String, String), Vec<&str>> = IndexMap::new();
    for verdict in nodes {
        groups.entry(columns_of(verdict)).or_default().push(&verdict.node);
    }
    groups.sort_by(|_, left, _, right| right.len().cmp(&left.len()));
    let mut columns = Columns::new(&["NODES", "PLUGIN", "REASON", "WHICH"]);
    for ((plugin, reason), names) in groups {
        let mut which = names.iter().take(SHOWN_NODES).copied().collect::<Vec<_>>().join(",");
        if names.len() > SHOWN_NODES {
            let _ = write!(which, " and {} more", names.len() - SHOWN_NODES);
        }
        columns.push(&[names.len().to_string(), plugin, reason, which]);
    }
    columns.render(text);
}
