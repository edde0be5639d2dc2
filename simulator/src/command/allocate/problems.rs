//! `dray allocate --problems`: recorded problems in, one JSON line each out.

use std::io::{BufRead, Read as _};
use std::path::Path;
use std::sync::Arc;

use drayage_allocator::{AllocatedState, Allocator, Features, Inventory, Outcome, Profile};
use drayage_cel::Release;
use drayage_cluster::problems::{self, Problem, ProblemFeatures};
use drayage_cluster::write::allocation_result_json;
use drayage_simulator::report::{ProblemAnswer, ProblemError, ProblemOutcome};

use crate::command::exit::Exit;
use crate::command::failure::{Complaint, Failure, Place};
use crate::command::source;
use crate::command::terminal::Terminal;

/// A line longer than this is refused before it fills the memory; no cluster needs it.
const LONGEST_LINE: u64 = 1 << 30;

/// Answers every line of the file, in order. Each answer is written out before the next line is read, so that
/// another program can hold a conversation with this one.
pub(crate) fn run(path: &Path, release: Release, budget: u64, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut input = source::open(path)?;
    let mut line = Vec::new();
    for number in 1_usize.. {
        line.clear();
        let length = (&mut input)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::unreadable(path, &error))?;
        if length == 0 {
            break;
        }
        let malformed = |complaint: Complaint, column: usize| {
            let place = Place {
                file: source::name(path),
                position: Some((number, column)),
                source_line: String::new(),
            };
            Failure::input(complaint.at(place).with_hint(
                "every line is one JSON object with `node`, `classes`, `slices` and `claims`; \
                 the answers before it are printed",
            ))
        };
        let text = std::str::from_utf8(&line).map_err(|error| {
            malformed(
                Complaint::new(format!("line {number} is not UTF-8 text")),
                error.valid_up_to().saturating_add(1),
            )
        })?;
        if text.trim().is_empty() {
            continue;
        }
        let problem = problems::read_line(text).map_err(|error| {
            let (column, message) = column_and_message(error);
            malformed(Complaint::new(format!("line {number} is no problem: {message}")), column)
        })?;
        let mut answer = serde_json::to_vec(&answer(problem, release, budget))
            .map_err(|error| Failure::Internal(error.to_string()))?;
        answer.push(b'\n');
        terminal.write(&answer)?;
    }
    Ok(Exit::Yes)
}

fn column_and_message(error: problems::ProblemError) -> (usize, String) {
    match error {
        problems::ProblemError::Syntax { column, message } => (column, message),
        problems::ProblemError::Field { column, field, message } => (column, format!("`{field}`: {message}")),
    }
}

fn answer(problem: Problem, release: Release, budget: u64) -> ProblemAnswer {
    let features = features(problem.features);
    let state = allocated_state(&problem);
    let inventory = Arc::new(Inventory::new(problem.slices));
    let mut allocator = Allocator::new(inventory, problem.classes, Profile::for_release(release), features);
    let claims: Vec<_> = problem.claims.iter().collect();
    let answer = allocator.allocate(&state, &problem.node, &claims, &mut share_ids(), budget);
    // Asked first: a node without a solution counts as an error where one of its pools is invalid.
    let error = answer
        .error()
        .map(|error| ProblemError { kind: error.kind().to_string(), message: error.to_string() });
    let (outcome, results) = match answer.outcome {
        Outcome::Allocated(results) => {
            (ProblemOutcome::Allocated, Some(results.iter().map(allocation_result_json).collect()))
        }
        _ if error.is_some() => (ProblemOutcome::Error, None),
        Outcome::Unsatisfiable { .. } => (ProblemOutcome::Unsatisfiable, None),
        Outcome::Error(_) => (ProblemOutcome::Error, None),
        Outcome::Undecided => (ProblemOutcome::Undecided, None),
    };
    ProblemAnswer { name: problem.name, outcome, results, error, steps: answer.steps }
}

fn features(features: ProblemFeatures) -> Features {
    let ProblemFeatures {
        admin_access,
        prioritized_list,
        partitionable_devices,
        device_taints,
        device_binding_and_status,
        consumable_capacity,
        list_type_attributes,
    } = features;
    Features {
        admin_access,
        prioritized_list,
        partitionable_devices,
        device_taints,
        device_binding_and_status,
        consumable_capacity,
        list_type_attributes,
    }
}

fn allocated_state(problem: &Problem) -> AllocatedState {
    let mut state = AllocatedState::new();
    for id in &problem.allocated_devices {
        state.insert_device(id);
    }
    for id in &problem.allocated_shared_devices {
        state.insert_share(id);
    }
    for (id, amounts) in &problem.allocated_capacity {
        state.insert_capacity(id, amounts);
    }
    state
}

/// Upstream draws a random UUID for each share; equal input gives equal output here, so they are counted.
fn share_ids() -> impl FnMut() -> String {
    let mut shares = 0_u64;
    move || {
        shares += 1;
        format!("00000000-0000-4000-8000-{shares:012x}")
    }
}
