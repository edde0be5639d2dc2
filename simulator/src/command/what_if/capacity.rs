//! `dray capacity`: how many more fit.

use std::fmt::Write as _;

use drayage_simulator::report::{CapacityReport, PodOutcome};
use drayage_simulator::what_if::capacity::{CapacityQuestion, capacity};

use super::arguments::Capacity;
use super::{Read, ask, footer, print};
use crate::command::exit::Exit;
use crate::command::failure::{Complaint, Failure};
use crate::command::simulate::reasons;
use crate::command::terminal::Terminal;
use crate::command::text::{Columns, count, printable_line};

/// Reads, counts, prints.
pub(crate) fn run(typed: &Capacity, terminal: &Terminal) -> Result<Exit, Failure> {
    let set = typed.pod.iter().map(|text| item(text)).collect::<Result<_, Failure>>()?;
    let read = Read::new(&typed.common, terminal)?;
    let question = CapacityQuestion {
        set,
        most: typed.at_most.max(typed.at_least),
        place_waiting: !typed.ignore_pending,
    };
    let report = ask("placing copies", &read, |watcher| capacity(&read.ground(), &question, watcher))?;
    print(&report, &report.assumptions, typed.common.asked.output, render, terminal)?;
    Ok(verdict(&report, typed.at_least))
}

/// `NS/NAME` or `NS/KIND/NAME`, with `=COUNT` or without.
fn item(text: &str) -> Result<(String, usize), Failure> {
    let (name, number) = text.rsplit_once('=').unwrap_or((text, "1"));
    match number.parse::<usize>() {
        Ok(number) if number > 0 => {
            let name = if name.contains('/') { name.to_owned() } else { format!("default/{name}") };
            Ok((name, number))
        }
        _ => {
            let complaint = Complaint::new(format!("`--pod {text}`: `{number}` is no number of copies"));
            Err(Failure::input(complaint.with_hint("write for instance `--pod ml/loader=2`")))
        }
    }
}

fn verdict(report: &CapacityReport, at_least: usize) -> Exit {
    if report.fits >= at_least {
        return Exit::Yes;
    }
    match &report.stop {
        Some(stop) if stop.report.outcome == PodOutcome::Undecided => Exit::Undecided,
        _ => Exit::No,
    }
}

fn render(report: &CapacityReport) -> String {
    let mut text = String::new();
    if !report.nodes.is_empty() {
        let mut columns = Columns::new(&["NODE", "COPIES", "DEVICES"]);
        for node in &report.nodes {
            let devices: Vec<&str> = node.devices.iter().map(|device| device.device.as_str()).collect();
            let devices = if devices.is_empty() { "-".to_owned() } else { devices.join(",") };
            columns.push(&[node.node.clone(), node.copies.to_string(), devices]);
        }
        columns.render(&mut text);
        text.push('\n');
    }
    let more = if report.limited { "at least " } else { "" };
    let _ = writeln!(text, "FITS  {more}{}", sets(report, report.fits));
    if let Some(stop) = &report.stop {
        let plugin = stop.plugin.as_deref().map(|plugin| format!(" ({plugin})")).unwrap_or_default();
        let what = if report.set.len() == 1 && report.set.iter().all(|item| item.count == 1) {
            format!("copy {}", stop.set)
        } else {
            format!("set {}, at {}", stop.set, stop.pod)
        };
        let _ = writeln!(text, "STOP  {}: {}{plugin}", what, printable_line(&stop.limiting_reason));
        let _ =
            write!(text, "\nno node of {} for the next copy of {}\n", stop.nodes, printable_line(&stop.pod));
        text.push_str(&reasons::tree(&stop.report));
    }
    for item in &report.set {
        let Some(gang) = &item.gang else { continue };
        let _ = writeln!(
            text,
            "\none copy of {} is a gang like {} with {}",
            printable_line(&item.pod),
            printable_line(&gang.group),
            count(gang.pods, "pod")
        );
    }
    if !report.preempted_before.is_empty() {
        let _ = writeln!(
            text,
            "\npreempted for pending pods: {}",
            printable_line(&report.preempted_before.join(", "))
        );
    }
    for item in report.set.iter().filter(|item| !item.shared_claims.is_empty()) {
        let _ = writeln!(
            text,
            "\nall copies of {} share the claim {}",
            printable_line(&item.pod),
            printable_line(&item.shared_claims.join(", "))
        );
    }
    let _ = write!(
        text,
        "\nbefore: {} placed, {} waiting on\n{}",
        count(report.placed_before, "pending pod"),
        report.pending_before,
        footer(&report.assumptions)
    );
    text
}

/// `3 more copies of ml/a`, `2 more sets of 1 ml/a and 2 ml/b`.
fn sets(report: &CapacityReport, number: usize) -> String {
    let items: Vec<String> = match report.set.as_slice() {
        [only] if only.count == 1 => {
            let copies = if number == 1 { "copy" } else { "copies" };
            return printable_line(&format!("{number} more {copies} of {}", only.pod));
        }
        several => several.iter().map(|item| format!("{} {}", item.count, item.pod)).collect(),
    };
    let sets = if number == 1 { "set" } else { "sets" };
    printable_line(&format!("{number} more {sets} of {}", items.join(" and ")))
}
