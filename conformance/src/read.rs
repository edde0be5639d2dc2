//! Reads problem lines as Go's decoder does: without the defaults of the API server.
//!
//! `dray allocate --problems` reads the same lines as objects that went through an API server, which turns a count of 0
//! into 1, an absent mode into `ExactCount`, and an empty list into none. The real allocator of a peer sees what the
//! line says, so this does too.

use drayage_allocator::objects::{AllocationMode, AttributeValue};
use drayage_cluster::problems::{self, ProblemError, Recorded};
use serde_json::Value;

use crate::peer::{Ending, PeerAnswer};
use crate::problem::Problem;

/// A problem line, with the answer that was recorded for it.
pub fn read_line(line: &str) -> Result<(Problem, Recorded), ProblemError> {
    let read = problems::read_line(line)?;
    let recorded = read.recorded;
    let mut problem = Problem {
        name: read.name,
        node: read.node,
        classes: read.classes,
        slices: read.slices,
        claims: read.claims,
        held_devices: read.allocated_devices.into_iter().collect(),
        held_shares: read.allocated_shared_devices.into_iter().collect(),
        held_capacity: read.allocated_capacity,
        features: read.features,
    };
    let value: Value = serde_json::from_str(line)
        .map_err(|error| ProblemError::Syntax { column: error.column(), message: error.to_string() })?;
    undo_defaults(&mut problem, &value);
    Ok((problem, recorded))
}

fn undo_defaults(problem: &mut Problem, value: &Value) {
    for (claim, value) in problem.claims.iter_mut().zip(items(&value["claims"])) {
        let values = items(&value["spec"]["devices"]["requests"]);
        for (request, value) in claim.requests.iter_mut().zip(values) {
            if let Some(exact) = &mut request.exactly {
                (exact.allocation_mode, exact.count) = mode_and_count(&value["exactly"]);
            }
            for (sub, value) in request.first_available.iter_mut().zip(items(&value["firstAvailable"])) {
                (sub.allocation_mode, sub.count) = mode_and_count(value);
            }
        }
    }
    for (slice, value) in problem.slices.iter_mut().zip(items(&value["slices"])) {
        slice.node_name = value["spec"]["nodeName"].as_str().map(str::to_owned);
        for (device, value) in slice.devices.iter_mut().zip(items(&value["spec"]["devices"])) {
            for (name, attribute) in &mut device.attributes {
                let value = &value["attributes"][name];
                if *attribute == AttributeValue::Unset {
                    let empty = [
                        ("ints", AttributeValue::Ints(Vec::new())),
                        ("bools", AttributeValue::Bools(Vec::new())),
                        ("strings", AttributeValue::Strings(Vec::new())),
                        ("versions", AttributeValue::Versions(Vec::new())),
                    ];
                    let kind = empty.into_iter().find(|(kind, _)| value[*kind].is_array());
                    *attribute = kind.map_or(AttributeValue::Unset, |(_, list)| list);
                }
            }
            device.binding_conditions = texts(&value["bindingConditions"]);
            device.binding_failure_conditions = texts(&value["bindingFailureConditions"]);
        }
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn mode_and_count(request: &Value) -> (AllocationMode, i64) {
    let mode = match request["allocationMode"].as_str().unwrap_or_default() {
        "ExactCount" => AllocationMode::ExactCount,
        "All" => AllocationMode::All,
        other => AllocationMode::Other(other.to_owned()),
    };
    (mode, request["count"].as_i64().unwrap_or_default())
}

fn texts(list: &Value) -> Option<Vec<String>> {
    let list = list.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// A recorded answer as the peer that gave it.
pub fn answer(line: &str, recorded: &Recorded) -> PeerAnswer {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let results = value["results"].as_array().cloned();
    let panicked = value["panicked"].as_bool() == Some(true);
    PeerAnswer {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        ending: match (&results, &recorded.error) {
            _ if panicked => Ending::Panic,
            (Some(_), _) => Ending::Allocated,
            (None, Some(_)) if recorded.expect_error => Ending::Error,
            (None, _) => Ending::Unsatisfiable,
        },
        results: results.unwrap_or_default(),
        error: recorded.error.clone(),
        steps: recorded.steps.unwrap_or_default(),
        channel: value["channel"].as_str().unwrap_or_default().to_owned(),
        dropped: Vec::new(),
        times: Vec::new(),
    }
}
