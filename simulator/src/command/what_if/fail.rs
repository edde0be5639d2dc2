//! `dray fail`: what fails, and what that leads to.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use drayage_cluster::objects::TaintRule;
use drayage_simulator::report::{FailureReport, Fate, Shard, UnitReport};
use drayage_simulator::schedule::ClusterState;
use drayage_simulator::what_if::fail::{
    FailureQuestion, Target, Unit, combined, every_device, every_node, fail, merge, of_target, sampled,
    starting_state,
};

use super::arguments::{Fail, Sweep};
use super::{Read, ask, footer, print};
use crate::command::arguments::Objects;
use crate::command::exit::Exit;
use crate::command::failure::{Complaint, Failure, Place};
use crate::command::terminal::Terminal;
use crate::command::text::{Columns, count, printable_line};
use crate::command::{missing, objects, output, source};

/// Reads, lets fail, prints.
pub(crate) fn run(typed: &Fail, terminal: &Terminal) -> Result<Exit, Failure> {
    let report = if typed.merge.is_empty() { asked(typed, terminal)? } else { merged(&typed.merge)? };
    if let (Some(folder), Some(shard)) = (&typed.save_in, report.shard) {
        fs::create_dir_all(folder).map_err(|error| Failure::unwritable(folder, &error))?;
        let file = folder.join(format!("part-{}-of-{}.json", shard.index, shard.of));
        output::write_file(&file, output::json(&report)?.as_bytes())?;
    }
    let table = |report: &FailureReport| render(report, typed.top);
    print(&report, &report.assumptions, typed.asked.output, table, terminal)?;
    // A part is no answer.
    Ok(if report.shard.is_some() { Exit::Yes } else { verdict(&report) })
}

fn verdict(report: &FailureReport) -> Exit {
    let summary = &report.summary;
    if summary.safe == summary.units {
        Exit::Yes
    } else if report.units.iter().all(|unit| unit.stuck == 0) {
        Exit::Undecided
    } else {
        Exit::No
    }
}

fn asked(typed: &Fail, terminal: &Terminal) -> Result<FailureReport, Failure> {
    let shard = typed.shard.as_deref().map(shard).transpose()?;
    let files = Objects {
        filename: typed.filename.clone(),
        strict: typed.strict,
        allow_missing: typed.allow_missing,
    };
    let rules = rules(&typed.taint_rules, terminal)?;
    let read = Read::of(&files, &typed.asked, terminal)?;
    ask("letting things fail", &read, |watcher| {
        let ground = read.ground();
        let state = starting_state(&ground, !typed.ignore_pending, watcher)?;
        Ok(match units(typed, &read, &state, rules) {
            Err(failure) => Err(failure),
            Ok(units) => {
                let detail = typed.detail || typed.sweep.is_none();
                Ok(fail(&ground, &state, &FailureQuestion { units, shard, detail }, watcher)?)
            }
        })
    })?
}

/// The units that the arguments mean.
fn units(
    typed: &Fail,
    read: &Read,
    state: &ClusterState,
    rules: Vec<TaintRule>,
) -> Result<Vec<Unit>, Failure> {
    let named = typed
        .node
        .iter()
        .map(|name| Target::Node(name.clone()))
        .chain(typed.device.iter().map(|name| Target::Device(name.clone())))
        .chain(typed.label.iter().map(|text| Target::Label(text.clone())))
        .chain(typed.attribute.iter().map(|text| Target::Attribute(text.clone())));
    let mut units = Vec::new();
    for target in named {
        let found = of_target(state, &target);
        units.extend(found.map_err(|error| missing::no_target(&error, &read.prepared.snapshot))?);
    }
    units.extend(rules.into_iter().map(|rule| Unit {
        kind: "taint-rule",
        name: rule.metadata.name.clone(),
        rules: vec![rule],
        ..Unit::default()
    }));
    let Some(sweep) = typed.sweep else {
        return Ok(if units.len() > 1 { vec![combined(units)] } else { units });
    };
    if units.is_empty() {
        if sweep != Sweep::Devices {
            units.extend(every_node(state));
        }
        if sweep != Sweep::Nodes {
            units.extend(every_device(state));
        }
    }
    Ok(match typed.samples {
        Some(samples) => sampled(&units, typed.together.max(1), samples, typed.seed),
        None => units,
    })
}

fn rules(files: &[PathBuf], terminal: &Terminal) -> Result<Vec<TaintRule>, Failure> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let typed = Objects { filename: files.to_vec(), strict: false, allow_missing: false };
    let rules = objects::load(&typed, terminal)?.taint_rules;
    if rules.is_empty() {
        let complaint = Complaint::new("the files of `--taint-rules` have no DeviceTaintRule");
        return Err(Failure::input(complaint));
    }
    Ok(rules)
}

/// What a Job with completionMode Indexed sets: which of its pods this is, from 0.
const COMPLETION_INDEX: &str = "JOB_COMPLETION_INDEX";

/// `I/N`, or `/N` in a pod of an indexed Job.
fn shard(text: &str) -> Result<Shard, Failure> {
    let refused = |message: String, hint: String| Failure::input(Complaint::new(message).with_hint(hint));
    let no_part =
        || refused(format!("`--shard {text}` names no part"), "the first of three parts is `1/3`".to_owned());
    let (index, of) = text.split_once('/').ok_or_else(no_part)?;
    let of: usize = of.parse().map_err(|_| no_part())?;
    let index: usize = if index.is_empty() {
        let counted = std::env::var(COMPLETION_INDEX).ok().and_then(|index| index.parse::<usize>().ok());
        counted.and_then(|index| index.checked_add(1)).ok_or_else(|| {
            let message =
                format!("`--shard {text}` needs a number in the environment variable {COMPLETION_INDEX}");
            refused(message, format!("outside of a Job write which part it is: `1{text}`"))
        })?
    } else {
        index.parse().map_err(|_| no_part())?
    };
    if !(1..=of).contains(&index) {
        return Err(no_part());
    }
    Ok(Shard { index, of })
}

fn merged(paths: &[PathBuf]) -> Result<FailureReport, Failure> {
    let mut parts = Vec::new();
    for file in part_files(paths)? {
        let text = source::text(&file)?;
        parts.push(serde_json::from_str(&text).map_err(|error| {
            let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
            let place = Place::in_line(source::name(&file), error.line(), error.column(), line);
            Failure::input(Complaint::new("the file is not JSON").at(place))
        })?);
    }
    merge(&parts).map_err(|error| Failure::input(Complaint::new(error.to_string())))
}

/// The files, and the parts in the folders, by name.
fn part_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let is_part = |name: &str| name.strip_suffix(".json").is_some_and(|stem| stem.starts_with("part-"));
        let mut found = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| Failure::unreadable(path, &error))? {
            let entry = entry.map_err(|error| Failure::unreadable(path, &error))?;
            found.extend(entry.file_name().to_str().is_some_and(is_part).then(|| entry.path()));
        }
        found.sort();
        if found.is_empty() {
            let complaint = Complaint::new(format!("folder `{}` has no part-*.json", path.display()));
            return Err(Failure::input(complaint.with_hint("`--save-in` writes them")));
        }
        files.append(&mut found);
    }
    Ok(files)
}

fn render(report: &FailureReport, top: usize) -> String {
    let mut text = String::new();
    let mut columns =
        Columns::new(&["FAILED", "KIND", "NODES", "DEVICES", "EVICTED", "MOVED", "STUCK", "UNOWNED"]);
    for unit in report.units.iter().take(top) {
        let stuck = match unit.undecided {
            0 => unit.stuck.to_string(),
            undecided => format!("{} (undecided {undecided})", unit.stuck),
        };
        columns.push(&[
            unit.name.clone(),
            unit.kind.clone(),
            unit.nodes.to_string(),
            unit.devices.to_string(),
            unit.evicted.to_string(),
            unit.moved.to_string(),
            stuck,
            unit.unowned.to_string(),
        ]);
    }
    columns.render(&mut text);
    if report.units.len() > top {
        let _ = writeln!(text, "and {}, none of them worse", count(report.units.len() - top, "more unit"));
    }
    if let [only] = report.units.as_slice() {
        pods(only, &mut text);
    }
    let kinds: Vec<String> =
        report.summary.by_kind.iter().map(|(kind, of)| format!("{}/{} {kind}s", of.safe, of.units)).collect();
    let _ = write!(text, "\nSAFE  {}\n", if kinds.is_empty() { "-".to_owned() } else { kinds.join(", ") });
    if let Some(shard) = report.shard {
        let _ = writeln!(text, "part {} of {}", shard.index, shard.of);
    }
    text.push_str(&footer(&report.assumptions));
    text
}

/// The evicted pods of one failure.
fn pods(unit: &UnitReport, text: &mut String) {
    if unit.pods.is_empty() {
        return;
    }
    text.push('\n');
    let mut columns = Columns::new(&["POD", "FROM", "FATE", "TO", "DEVICES OR REASON"]);
    for pod in &unit.pods {
        let fate = match pod.fate {
            Fate::Moved => "moved",
            Fate::Stuck => "stuck",
            Fate::Undecided => "undecided",
        };
        let (to, rest) = match &pod.place {
            Some(place) => {
                let devices: Vec<&str> = place.devices.iter().map(|device| device.device.as_str()).collect();
                (place.node.clone(), if devices.is_empty() { "-".to_owned() } else { devices.join(",") })
            }
            None => ("-".to_owned(), pod.message.clone().unwrap_or_default()),
        };
        let after = pod.after_seconds.map(|seconds| format!(" after {seconds} s")).unwrap_or_default();
        let after = match &pod.preempted_by {
            Some(by) => format!("{after} (preempted by {})", printable_line(by)),
            None => after,
        };
        let name = if pod.unowned { format!("{} (unowned)", pod.pod) } else { pod.pod.clone() };
        columns.push(&[name, pod.from.clone(), format!("{fate}{after}"), to, printable_line(&rest)]);
    }
    columns.render(text);
    for gang in &unit.broken_gangs {
        let _ = writeln!(text, "gang {} has too few pods", printable_line(gang));
    }
    if unit.gone_with_node > 0 {
        let _ = writeln!(
            text,
            "gone with their nodes: {} of DaemonSets or static",
            count(unit.gone_with_node, "pod")
        );
    }
}
