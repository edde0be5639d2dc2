//! `dray plan`: what to lay out how.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use drayage_simulator::report::{HeldPartition, PartitionPlanReport};
use drayage_simulator::what_if::plan::{PartitionQuestion, plan_partitions};

use super::arguments::{Common, DrainFlags};
use super::{Read, ask, footer, print, removal};
use crate::command::exit::Exit;
use crate::command::failure::{Complaint, Failure};
use crate::command::terminal::Terminal;
use crate::command::text::{Columns, count, printable_line};

/// What is planned.
#[derive(Debug, Subcommand)]
pub(crate) enum Plan {
    Partitions(Partitions),
}

/// Find the partitions to hold on devices that are divided, so that most pods are served and fewest devices change.
///
/// Devices are those whose partitions take from shared counters, such as GPUs with MIG. Without --pod, the pods that wait are
/// to be served. Exits with 0 if all of them are, with 1 if it is sure that no layout serves all, with 3 if that is not known.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: the pods that wait
  dray plan partitions -f examples/plan-partitions

Example: a mix of demands on an empty cluster
  dray plan partitions -f cluster.yaml workload.yaml --pod ml/small=8 --pod ml/Deployment/large=3")]
pub(crate) struct Partitions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Serve copies instead of the pods that wait: NS/NAME of a pod or NS/KIND/NAME of a workload, with =COUNT
    #[arg(long, value_name = "NS/NAME[=COUNT]")]
    pub(crate) pod: Vec<String>,
    /// At most this many devices with partitions in use may change
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub(crate) changes: usize,
    /// Steps of the search for the layouts of one choice of devices that change
    #[arg(long, value_name = "STEPS", default_value_t = 200_000)]
    pub(crate) layout_steps: u64,
    /// Look at this many choices of devices that change
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    pub(crate) choices: usize,
    #[command(flatten)]
    pub(crate) flags: DrainFlags,
}

/// Reads, plans, prints.
pub(crate) fn run(typed: &Plan, terminal: &Terminal) -> Result<Exit, Failure> {
    let Plan::Partitions(typed) = typed;
    let copies = typed.pod.iter().map(|text| counted(text)).collect::<Result<_, _>>()?;
    let question = PartitionQuestion {
        copies,
        most_repartitioned: typed.changes,
        steps: typed.layout_steps,
        most_choices: typed.choices,
        drain: removal::options(&typed.flags)?,
    };
    let mut read = Read::new(&typed.common, terminal)?;
    read.options.explain = false;
    let report =
        ask("planning layouts", &read, |watcher| plan_partitions(&read.ground(), &question, watcher))?;
    print(&report, &report.assumptions, typed.common.asked.output, render, terminal)?;
    Ok(if report.served == report.demanded {
        if report.verified { Exit::Yes } else { Exit::Undecided }
    } else if report.most_served < report.demanded {
        Exit::No
    } else {
        Exit::Undecided
    })
}

/// `NS/NAME=COUNT`
fn counted(text: &str) -> Result<(String, usize), Failure> {
    match text.split_once('=') {
        None => Ok((text.to_owned(), 1)),
        Some((name, count)) => count.parse().map(|count| (name.to_owned(), count)).map_err(|_| {
            let complaint = Complaint::new(format!("`--pod {text}` has no count behind `=`"));
            Failure::input(complaint.with_hint("write for instance `--pod ml/small=8`"))
        }),
    }
}

/// The devices, and the pods that get something else than they have.
fn tables(report: &PartitionPlanReport) -> String {
    let mut text = String::new();
    let mut columns = Columns::new(&["NODE", "DEVICE", "CHANGES", "HELD NOW", "TO HOLD"]);
    for device in &report.devices {
        let changes = match (device.repartitioned, device.before == device.after) {
            (true, _) => "repartitioned",
            (false, true) => "-",
            (false, false) => "more",
        };
        let bar = |partitions: &[HeldPartition]| {
            let names: Vec<String> = partitions.iter().map(|one| format!("[{}]", one.profile)).collect();
            if names.is_empty() { "-".to_owned() } else { names.concat() }
        };
        columns.push(&[
            device.node.clone(),
            device.counter_sets.join("+"),
            changes.to_owned(),
            bar(&device.before),
            bar(&device.after),
        ]);
    }
    columns.render(&mut text);
    text.push('\n');
    let mut columns = Columns::new(&["POD", "NODE", "PARTITION", "PROFILE", "BEFORE"]);
    for device in &report.devices {
        for partition in device.after.iter().filter(|one| !device.before.contains(one)) {
            let pod = partition.pod.clone().unwrap_or_default();
            let before = report.moves.iter().find(|moved| moved.pod == pod);
            let before = before.map_or_else(|| "-".to_owned(), |moved| moved.from.join(","));
            columns.push(&[
                pod,
                device.node.clone(),
                partition.device.clone(),
                partition.profile.clone(),
                before,
            ]);
        }
    }
    for pod in &report.not_served {
        columns.push(&[pod.clone(), "-".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned()]);
    }
    columns.render(&mut text);
    text
}

fn render(report: &PartitionPlanReport) -> String {
    let mut text = if report.devices.is_empty() {
        "no device is divided: no slice of a node has shared counters that its devices take from\n".to_owned()
    } else {
        tables(report)
    };
    let most = if report.served == report.most_served {
        "no layout serves more".to_owned()
    } else if report.most_served_within_changes < report.most_served {
        format!(
            "no layout serves more than {}, none with as few changes as allowed more than {}",
            report.most_served, report.most_served_within_changes
        )
    } else {
        format!("no layout serves more than {}", report.most_served)
    };
    let least = match report.least_repartitioned {
        Some(least) if least == report.repartitioned => "no fewer do".to_owned(),
        Some(least) => format!("at least {least}"),
        None => "fewer may do".to_owned(),
    };
    let _ = write!(
        text,
        "\nSERVED   {} of {}, {most}; {} without a plan\nCHANGED  {} with partitions in use, {least}; {}\n",
        report.served,
        count(report.demanded, "pod"),
        report.served_without_plan,
        count(report.repartitioned, "device"),
        if report.moves.len() == 1 {
            "1 pod moves".to_owned()
        } else {
            format!("{} pods move", report.moves.len())
        },
    );
    let verified = if report.verified {
        "every pod was placed on its partitions by the allocator, with all filters"
    } else {
        "the allocator or a filter refuses the layout; see what pods need besides partitions"
    };
    if report.demanded > 0 {
        let _ = writeln!(text, "{verified}");
    }
    if !report.left_out.is_empty() {
        let _ = writeln!(text, "without a part in the plan: {}", printable_line(&report.left_out.join(", ")));
    }
    text.push_str(&footer(&report.assumptions));
    text
}
