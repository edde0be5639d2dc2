//! Recorded answers of the real allocators, which tests repeat without Go.

use std::io::{self, Write};

use drayage_allocator::Features;
use serde_json::{Map, Value, json};

use crate::compare::{Comparison, compare};
use crate::coverage::Coverage;
use crate::json;
use crate::mix;
use crate::peer::{Ending, Peer, PeerAnswer, PeerError};
use crate::problem::Problem;
use crate::read;
use crate::release::{TARGETS, Target};

/// Lines longer than this are left out of a sample.
const LONGEST: usize = 2_300;

/// A problem with upstream's answer, in the format of recorded problems; fields that say nothing are left out.
pub fn line(problem: &Problem, target: Target, theirs: &PeerAnswer) -> Value {
    let mut line = compact(json::problem(problem));
    line["release"] = json!(target.version);
    line["channel"] = json!(theirs.channel);
    line["results"] = if theirs.ending == Ending::Allocated { json!(theirs.results) } else { Value::Null };
    line["steps"] = json!(theirs.steps);
    if let Some(error) = &theirs.error {
        line["error"] = json!(error);
        line["expectError"] = json!(theirs.ending != Ending::Unsatisfiable);
    }
    if theirs.ending == Ending::Panic {
        line["panicked"] = json!(true);
    }
    line
}

/// Which release answered a recorded line; none if it names none, or one that there is no peer for.
pub fn target(line: &str) -> Option<Target> {
    let line: Value = serde_json::from_str(line).ok()?;
    let version = line.get("release")?.as_str()?;
    TARGETS.into_iter().find(|target| target.version == version)
}

/// Leaves out nulls, switches that are off, and lists and maps that mean the same when they are absent.
fn compact(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let value = compact(value);
                let is_default = match &value {
                    Value::Null | Value::Bool(false) => {
                        name != "perDeviceNodeSelection"
                            && name != "adminAccess"
                            && name != "bool"
                            && name != "allowMultipleAllocations"
                            || value.is_null()
                    }
                    // An empty list of these is not the same as none.
                    Value::Array(items) => {
                        items.is_empty()
                            && !["bindingConditions", "bindingFailureConditions", "validValues", "strings"]
                                .contains(&name.as_str())
                    }
                    Value::Object(fields) => {
                        fields.is_empty()
                            && ["attributes", "capacity", "labels", "allocatedCapacity", "status"]
                                .contains(&name.as_str())
                    }
                    _ => false,
                };
                if !is_default {
                    kept.insert(name, value);
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(compact).collect()),
        other => other,
    }
}

/// Asks until upstream gives the answer that we give, where it leaves something to chance; its latest one otherwise.
fn settled(
    target: Target,
    peer: &mut Peer,
    problem: &Problem,
) -> Result<(Comparison, PeerAnswer), PeerError> {
    let ours = problem.solve_as(target.profile());
    let mut tries = 120;
    loop {
        tries -= 1;
        let theirs = peer.ask(&json::problem(problem))?;
        let comparison = compare(&ours, &theirs);
        if tries == 0 || !matches!(comparison, Comparison::Differs(_)) {
            return Ok((comparison, theirs));
        }
    }
}

/// Writes a sample of random problems with upstream's answers: those that bring features, or pairs of features, that
/// came at most `copies` times before. Problems on which we differ are never part of it.
pub fn sample(
    target: Target,
    peer: &mut Peer,
    (seed, count): (u64, u64),
    copies: u64,
    to: &mut dyn Write,
) -> Result<usize, Box<dyn std::error::Error>> {
    let mut coverage = Coverage::new(target);
    let mut written = 0;
    for seed in seed..seed.saturating_add(count) {
        let problem = mix::problem(seed, target);
        if !coverage.brings_rare(&problem, copies)
            || compact(json::problem(&problem)).to_string().len() > LONGEST
        {
            continue;
        }
        let (comparison, theirs) = settled(target, peer, &problem)?;
        if comparison != Comparison::Agreed {
            continue;
        }
        let text = line(&problem, target, &theirs).to_string();
        // What is recorded must mean the same when it is read.
        let (again, _) = read::read_line(&text)?;
        if again != problem {
            return Err(
                format!("{}: reading what was written gives another problem: {text}", problem.name).into()
            );
        }
        coverage.add(&problem);
        writeln!(to, "{text}")?;
        written += 1;
    }
    Ok(written)
}

/// Asks upstream lines that were recorded of another release, and writes them with the answers of this one. Returns
/// the names of those where our answer is another.
pub fn again(
    target: Target,
    peer: &mut Peer,
    lines: &str,
    to: &mut dyn Write,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut differing = Vec::new();
    for text in lines.lines() {
        let (mut problem, _) = read::read_line(text)?;
        problem.features = common(problem.features, target.features());
        let (comparison, theirs) = settled(target, peer, &problem)?;
        if matches!(comparison, Comparison::Differs(_)) {
            differing.push(format!("{}: {comparison}", problem.name));
        }
        let mut written: Value = serde_json::from_str(text).map_err(io::Error::from)?;
        let answer = line(&problem, target, &theirs);
        for field in
            ["release", "channel", "results", "steps", "error", "expectError", "panicked", "features"]
        {
            match answer.get(field) {
                Some(value) => written[field] = value.clone(),
                None => drop(written.as_object_mut().and_then(|fields| fields.remove(field))),
            }
        }
        writeln!(to, "{written}")?;
    }
    Ok(differing)
}

/// The features that are on in both.
fn common(one: Features, other: Features) -> Features {
    Features {
        admin_access: one.admin_access && other.admin_access,
        prioritized_list: one.prioritized_list && other.prioritized_list,
        partitionable_devices: one.partitionable_devices && other.partitionable_devices,
        device_taints: one.device_taints && other.device_taints,
        device_binding_and_status: one.device_binding_and_status && other.device_binding_and_status,
        device_status: one.device_status && other.device_status,
        consumable_capacity: one.consumable_capacity && other.consumable_capacity,
        list_type_attributes: one.list_type_attributes && other.list_type_attributes,
        fractional_capacity_range: one.fractional_capacity_range && other.fractional_capacity_range,
        optional_node_operations: one.optional_node_operations && other.optional_node_operations,
        derived_attributes: one.derived_attributes && other.derived_attributes,
        compatibility_groups: one.compatibility_groups && other.compatibility_groups,
    }
}

/// Whether our answer to a recorded line is the recorded one.
pub fn check(text: &str, target: Target) -> Result<(Problem, Comparison), Box<dyn std::error::Error>> {
    let (problem, recorded) = read::read_line(text)?;
    let theirs = read::answer(text, &recorded);
    let comparison = compare(&problem.solve_as(target.profile()), &theirs);
    Ok((problem, comparison))
}
