//! `dray drain` and `dray scale-down`: nodes that go, and where their pods go.

use std::fmt::Write as _;

use drayage_simulator::report::{NodeRemoval, RemovalReport};
use drayage_simulator::what_if::drain::{self, DrainOptions};
use drayage_simulator::what_if::scale_down::{ScaleDownQuestion, scale_down};

use super::arguments::{Drain, DrainFlags, ScaleDown};
use super::{Read, ask, footer, own, print};
use crate::command::exit::Exit;
use crate::command::failure::{Complaint, Failure};
use crate::command::terminal::Terminal;
use crate::command::text::{Columns, printable_line};

/// Reads, empties, prints.
pub(crate) fn drain(typed: &Drain, terminal: &Terminal) -> Result<Exit, Failure> {
    let options = options(&typed.flags)?;
    let mut read = Read::new(&typed.common, terminal)?;
    read.options.explain = false;
    let report = ask("emptying nodes", &read, |_| drain::drain(&read.ground(), &typed.nodes, &options))?;
    print(&report, &report.assumptions, typed.common.asked.output, render, terminal)?;
    Ok(verdict(&report, report.nodes.len()))
}

/// Reads, looks for nodes to remove, prints.
pub(crate) fn shrink(typed: &ScaleDown, terminal: &Terminal) -> Result<Exit, Failure> {
    let drain = options(&typed.flags)?;
    let mut read = Read::new(&typed.common, terminal)?;
    read.options.explain = false;
    let groups = own::node_groups(&typed.node_groups, &read.prepared)?;
    let question = ScaleDownQuestion { threshold: typed.threshold, drain, groups };
    let report = ask("looking at nodes", &read, |watcher| scale_down(&read.ground(), &question, watcher))?;
    print(&report, &report.assumptions, typed.common.asked.output, render, terminal)?;
    Ok(verdict(&report, 1))
}

/// The rules for drains that the flags mean.
pub(crate) fn options(typed: &DrainFlags) -> Result<DrainOptions, Failure> {
    let now = match typed.now.as_deref() {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let complaint = Complaint::new(format!("`--now {text}` is no time"));
            Failure::input(complaint.with_hint("write for instance `2026-11-21T12:00:00Z`"))
        })?),
    };
    Ok(DrainOptions {
        skip_nodes_with_system_pods: !typed.move_system_pods,
        skip_nodes_with_local_storage: !typed.move_local_storage,
        skip_nodes_with_custom_controller_pods: !typed.move_custom_controller_pods,
        missing_controllers_block: typed.controllers_are_complete,
        now,
        ..DrainOptions::default()
    })
}

/// Yes if at least so many nodes can go.
fn verdict(report: &RemovalReport, wanted: usize) -> Exit {
    if report.removable >= wanted {
        Exit::Yes
    } else if report.nodes.iter().any(|node| node.reason == Some("Undecided")) {
        Exit::Undecided
    } else {
        Exit::No
    }
}

fn render(report: &RemovalReport) -> String {
    let mut text = String::new();
    let with_shares = report.nodes.iter().any(|node| node.utilisation.is_some());
    let headings: &[&str] = if with_shares {
        &["NODE", "REMOVABLE", "REASON", "USED", "MOVES", "BLOCKING POD"]
    } else {
        &["NODE", "REMOVABLE", "REASON", "MOVES", "BLOCKING POD"]
    };
    let mut columns = Columns::new(headings);
    for node in &report.nodes {
        let mut row = vec![
            node.node.clone(),
            if node.removable { "yes" } else { "no" }.to_owned(),
            match (node.reason, &node.message) {
                (Some("BlockedByPod"), Some(message)) => format!("BlockedByPod: {message}"),
                (Some(reason), _) => reason.to_owned(),
                (None, _) => "-".to_owned(),
            },
        ];
        if with_shares {
            row.push(used(node));
        }
        row.push(node.moves.len().to_string());
        row.push(node.blocking_pod.clone().unwrap_or_else(|| "-".to_owned()));
        columns.push(&row);
    }
    columns.render(&mut text);
    moves(report, &mut text);
    let _ = write!(text, "\nREMOVABLE  {} of {} nodes", report.removable, report.nodes.len());
    if let Some(saved) = report.saved_per_hour {
        let _ = write!(text, ", saves {saved:.2} per hour");
    }
    let _ = write!(text, "\n{}", footer(&report.assumptions));
    text
}

fn used(node: &NodeRemoval) -> String {
    node.utilisation
        .as_ref()
        .map_or_else(|| "-".to_owned(), |used| format!("{:.0} % of {}", used.share * 100.0, used.resource))
}

fn moves(report: &RemovalReport, text: &mut String) {
    if report.nodes.iter().all(|node| node.moves.is_empty()) {
        return;
    }
    text.push('\n');
    let mut columns = Columns::new(&["POD", "FROM", "TO", "CLAIM", "DEVICES"]);
    for node in &report.nodes {
        for pod in &node.moves {
            let to = pod.to.clone().unwrap_or_else(|| "-".to_owned());
            let mut row = |claim: String, devices: String| {
                columns.push(&[pod.pod.clone(), node.node.clone(), to.clone(), claim, devices]);
            };
            if pod.to.is_none() {
                row("-".to_owned(), printable_line(pod.message.as_deref().unwrap_or("-")));
            } else if pod.claims.is_empty() {
                row("-".to_owned(), "-".to_owned());
            } else {
                for claim in &pod.claims {
                    let after: Vec<&str> = claim.after.iter().map(|device| device.device.as_str()).collect();
                    let name = claim.claim.rsplit('/').next().unwrap_or_default();
                    row(format!("{name} ({})", claim.fate), after.join(","));
                }
            }
        }
    }
    columns.render(text);
}
