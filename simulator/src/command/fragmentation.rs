//! `dray fragmentation`: how much of the idle devices pods can use.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use drayage_cel::{Compiler, ExpressionStage};
use drayage_simulator::fragmentation::measure;
use drayage_simulator::report::FragmentationReport;
use drayage_simulator::schedule::{Observer, Options, simulate_and_apply};

use super::activity::Activity;
use super::arguments::{Kubernetes, Objects, Scheduler};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::kubernetes;
use super::objects;
use super::output;
use super::terminal::Terminal;
use super::text::{Columns, count};
use super::what_if::footer;

/// Nodes in the table; JSON has all.
const SHOWN_NODES: usize = 20;

/// Measure how much of the idle devices pods can use, and what strands the rest.
///
/// For each typical demand of the pods, idle devices of a node count as fragment where such a pod does not fit, by
/// what keeps it away, and otherwise as far as filling the node with such pods leaves them over. Also tells how many
/// devices of each profile could be allocated now.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Example: a cluster as it is
  dray fragmentation -f cluster.yaml

Example: after its pending pods were scheduled
  dray fragmentation -f cluster.yaml workload.yaml --after",
    group(clap::ArgGroup::new("input").required(true).args(["filename"]))
)]
pub(crate) struct Fragmentation {
    #[command(flatten)]
    objects: Objects,
    #[command(flatten)]
    kubernetes: Kubernetes,
    #[command(flatten)]
    scheduler: Scheduler,
    /// Schedule the pending pods first
    #[arg(long)]
    after: bool,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: FragmentationOutput,
}

/// How `dray fragmentation` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FragmentationOutput {
    /// Columns
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// Runs the measure.
pub(crate) fn run(typed: &Fragmentation, terminal: &Terminal) -> Result<Exit, Failure> {
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let snapshot = objects::load(&typed.objects, terminal)?;
    let compiler = Compiler::new(kubernetes::cel_environment(&gates, ExpressionStage::Stored));
    let mut prepared = objects::prepare(snapshot, &typed.objects, &compiler)?;
    let mut options =
        Options { gates, explain: false, ..Options::for_release(typed.kubernetes.profile.release()) };
    kubernetes::configure(&mut options, &typed.scheduler)?;
    let refused =
        |error: drayage_simulator::schedule::SimulateError| Failure::input(Complaint::new(error.to_string()));
    let activity = Activity::start("measuring");
    if typed.after {
        let cancel = AtomicBool::new(false);
        simulate_and_apply(&mut prepared, &options, &mut (), &cancel).map_err(refused)?;
    }
    let report = measure(&prepared, &options, &mut Watcher(&activity)).map_err(refused)?;
    let text = match typed.output {
        FragmentationOutput::Table => render(&report),
        FragmentationOutput::Json => output::json(&report)?,
    };
    drop(activity);
    objects::tell_warnings(&report.assumptions, terminal);
    objects::tell_approximations(&report.assumptions, terminal);
    terminal.write(text.as_bytes())?;
    Ok(Exit::Yes)
}

/// Shows the progress.
struct Watcher<'a>(&'a Activity);

impl Observer for Watcher<'_> {
    fn progress(&mut self, done: usize, total: usize) {
        self.0.advance(done, total);
    }
}

fn render(report: &FragmentationReport) -> String {
    let mut text = String::new();
    let part = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
    let mut columns = Columns::new(&[
        "DEVICES",
        "IDLE",
        "FRAGMENT",
        "OF IDLE",
        "CPU",
        "MEMORY",
        "BOTH",
        "ALIGNMENT",
        "DEVICES",
        "REST",
        "COUNTERS",
    ]);
    let stranded = &report.stranded;
    let mut cells = vec![
        amount(report.devices),
        amount(report.idle),
        amount(report.fragment),
        format!("{:.1} %", part(report.fragment, report.idle)),
    ];
    cells.extend(
        [
            stranded.cpu,
            stranded.memory,
            stranded.cpu_and_memory,
            stranded.alignment,
            stranded.devices,
            stranded.rest,
            stranded.counters,
        ]
        .map(amount),
    );
    columns.push(&cells);
    columns.render(&mut text);

    if !report.demands.is_empty() {
        text.push('\n');
        let mut columns = Columns::new(&[
            "TYPICAL DEMAND",
            "CPU",
            "MEMORY",
            "PODS",
            "SHARE",
            "FITS ON",
            "COPIES",
            "EXAMPLE",
        ]);
        for demand in &report.demands {
            columns.push(&[
                demand.demand.clone(),
                demand.cpu.clone(),
                demand.memory.clone(),
                demand.pods.to_string(),
                format!("{:.1} %", 100.0 * demand.share),
                count(demand.fits_on_nodes, "node"),
                demand.copies.to_string(),
                demand.example.clone(),
            ]);
        }
        columns.render(&mut text);
    }

    let mut worst: Vec<_> = report.nodes.iter().filter(|node| node.fragment > 0.0).collect();
    worst.sort_by(|left, right| right.fragment.total_cmp(&left.fragment));
    if !worst.is_empty() {
        text.push('\n');
        let mut columns = Columns::new(&["NODE", "DEVICES", "IDLE", "FRAGMENT", "MOSTLY BY"]);
        for node in worst.iter().take(SHOWN_NODES) {
            columns.push(&[
                node.node.clone(),
                amount(node.devices),
                amount(node.idle),
                amount(node.fragment),
                node.stranded.largest().map_or("", |(cause, _)| cause).to_owned(),
            ]);
        }
        columns.render(&mut text);
        if worst.len() > SHOWN_NODES {
            let more = count(worst.len() - SHOWN_NODES, "more node");
            let _ = writeln!(text, "and {more}; `-o json` has all");
        }
    }

    if !report.profiles.is_empty() {
        text.push('\n');
        let mut columns = Columns::new(&["PROFILE", "DRIVER", "DEVICES", "PLACEABLE", "ON", "MOST ON ONE"]);
        for profile in &report.profiles {
            columns.push(&[
                profile.profile.clone(),
                profile.driver.clone(),
                profile.devices.to_string(),
                profile.placeable.to_string(),
                count(profile.nodes, "node"),
                profile.most_on_one_node.to_string(),
            ]);
        }
        columns.render(&mut text);
    }
    text.push('\n');
    text.push_str(&footer(&report.assumptions));
    text
}

/// Whole devices without a fraction.
fn amount(devices: f64) -> String {
    let text = format!("{devices:.2}");
    text.strip_suffix(".00").map_or_else(|| text.clone(), str::to_owned)
}
