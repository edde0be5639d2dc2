//! `dray defrag`: the fewest moves that make room.

use std::fmt::Write as _;

use clap::Args;
use drayage_simulator::report::{DefragReport, DefragVerdict};
use drayage_simulator::what_if::defrag::{DefragQuestion, defrag};

use super::arguments::{Common, DrainFlags};
use super::{Read, ask, footer, print, removal};
use crate::command::exit::Exit;
use crate::command::failure::Failure;
use crate::command::terminal::Terminal;
use crate::command::text::{Columns, count, printable_line};

/// Find the fewest pods that must move so that a pod, or a gang, gets a place.
///
/// Every plan is simulated: the pods that move are evicted, those that are asked about are placed, then the others again. The
/// answer says whether fewer moves can be ruled out. Exits with 0 if there is a plan, with 1 if it is sure that there is none
/// within --moves, with 3 if that is not known.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray defrag -f examples/defrag --pod ml/train-0

Example: a gang of two, for which at most four pods may move
  dray defrag -f cluster/ --pod ml/worker-0 --pod ml/worker-1 --moves 4")]
pub(crate) struct Defrag {
    #[command(flatten)]
    pub(crate) common: Common,
    /// A pod that waits; repeat it for pods that need their places together
    #[arg(long, value_name = "NS/NAME", required = true)]
    pub(crate) pod: Vec<String>,
    /// At most this many pods may move
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) moves: usize,
    /// Simulate at most this many sets of moves
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) tries: usize,
    /// Let other pods that wait stay where they are instead of placing them first
    #[arg(long)]
    pub(crate) ignore_pending: bool,
    #[command(flatten)]
    pub(crate) flags: DrainFlags,
}

/// Reads, looks for moves, prints.
pub(crate) fn run(typed: &Defrag, terminal: &Terminal) -> Result<Exit, Failure> {
    let drain = removal::options(&typed.flags)?;
    let mut read = Read::new(&typed.common, terminal)?;
    read.options.explain = false;
    let question = DefragQuestion {
        pods: typed.pod.clone(),
        most_moves: typed.moves,
        most_tries: typed.tries,
        drain,
        place_waiting: !typed.ignore_pending,
    };
    let report = ask("looking for moves", &read, |watcher| defrag(&read.ground(), &question, watcher))?;
    print(&report, &report.assumptions, typed.common.asked.output, render, terminal)?;
    Ok(match report.verdict {
        DefragVerdict::FitsAlready | DefragVerdict::Plan => Exit::Yes,
        DefragVerdict::Impossible | DefragVerdict::NotWithinMoves => Exit::No,
        DefragVerdict::Undecided => Exit::Undecided,
    })
}

fn render(report: &DefragReport) -> String {
    let mut text = String::new();
    let mut columns = Columns::new(&["POD", "FROM", "TO", "DEVICES BEFORE", "DEVICES"]);
    let named = |devices: Vec<&str>| if devices.is_empty() { "-".to_owned() } else { devices.join(",") };
    for pod in &report.admitted {
        let devices = pod.devices.iter().map(|device| device.device.as_str()).collect();
        let node = if pod.pinned { format!("{} (bound to it)", pod.node) } else { pod.node.clone() };
        columns.push(&[pod.pod.clone(), "-".to_owned(), node, "-".to_owned(), named(devices)]);
    }
    for pod in &report.moves {
        let before = pod.claims.iter().flat_map(|claim| &claim.before);
        let before = before.map(|device| device.rsplit('/').next().unwrap_or(device)).collect();
        let after = pod.claims.iter().flat_map(|claim| &claim.after);
        let after = after.map(|device| device.device.as_str()).collect();
        columns.push(&[pod.pod.clone(), pod.from.clone(), pod.to.clone(), named(before), named(after)]);
    }
    if !report.admitted.is_empty() {
        columns.render(&mut text);
        text.push('\n');
    }
    let moves = report.moves.len();
    let _ = match report.verdict {
        DefragVerdict::FitsAlready => writeln!(text, "MOVES  0, there is room already"),
        DefragVerdict::Plan if report.certainty == Some("proven") => {
            writeln!(text, "MOVES  {moves}, no plan has fewer")
        }
        DefragVerdict::Plan => {
            writeln!(text, "MOVES  {moves}, no plan has fewer than {}", report.lower_bound)
        }
        DefragVerdict::Impossible => writeln!(text, "MOVES  no moves make room"),
        DefragVerdict::NotWithinMoves => {
            writeln!(text, "MOVES  no plan has fewer than {}", report.lower_bound)
        }
        DefragVerdict::Undecided => {
            writeln!(text, "MOVES  undecided, no plan has fewer than {}", report.lower_bound)
        }
    };
    if let Some(message) = &report.message {
        let _ = writeln!(text, "{}", printable_line(message));
    }
    let fixed: Vec<String> =
        report.fixed_pods.iter().map(|(reason, pods)| format!("{pods} {reason}")).collect();
    let _ = writeln!(
        text,
        "{} may move{}{}; {} tried",
        count(report.movable_pods, "pod"),
        if fixed.is_empty() { "" } else { ", others not: " },
        printable_line(&fixed.join(", ")),
        if report.tried == 1 {
            "1 set of moves".to_owned()
        } else {
            format!("{} sets of moves", report.tried)
        },
    );
    for (budget, left) in &report.budgets_left {
        let _ = writeln!(
            text,
            "budget {} allows {} more",
            printable_line(budget),
            count(usize::try_from(*left).unwrap_or(0), "eviction")
        );
    }
    text.push_str(&footer(&report.assumptions));
    text
}
