//! How many more copies of a pod, or of a set of pods, fit.

use std::collections::BTreeMap;

use crate::report::{API_VERSION, CapacityItem, CapacityReport, Copies, PodOutcome, PodReport, Stop};
use crate::schedule::{ClusterState, Observer, PodId, SimulateError};

use super::copies::Model;
use super::ground::{Ground, reported, waiting};

/// What is asked.
#[derive(Clone, Debug)]
pub struct CapacityQuestion {
    /// The pods of one set, and how many copies of each. A name is `namespace/name` of a pod, or `namespace/kind/name`
    /// of a workload.
    pub set: Vec<(String, usize)>,
    /// Counting ends at this many sets.
    pub most: usize,
    /// Whether pods that wait already are placed first, as the scheduler would.
    pub place_waiting: bool,
}

const APPROXIMATIONS: [&str; 4] = [
    "copies are placed one after the other, as the scheduler would; another order or choice of nodes may fit more",
    "what is asked about is copied and does not take part itself while it waits",
    "copies preempt nobody: what fits only where others have to go does not count",
    "a copy of a pod that starts with a gang is a gang of its own, and fits if all its pods find a place",
];

/// Places set after set until one does not fit.
///
/// A set fits if all its pods find a place; what a set that does not fit has taken is given back.
pub fn capacity(
    ground: &Ground<'_>,
    question: &CapacityQuestion,
    observer: &mut dyn Observer,
) -> Result<CapacityReport, SimulateError> {
    capacity_in(ground, ground.state(), question, observer)
}

/// As [`capacity`], from a state.
pub(crate) fn capacity_in(
    ground: &Ground<'_>,
    mut state: ClusterState,
    question: &CapacityQuestion,
    observer: &mut dyn Observer,
) -> Result<CapacityReport, SimulateError> {
    let models: Vec<(Model, usize)> = question
        .set
        .iter()
        .map(|(name, count)| {
            Ok((Model::find(ground.prepared, name)?.with_gang(ground.prepared, &state), *count))
        })
        .collect::<Result<_, SimulateError>>()?;
    let assumptions = ground.assumptions(&state, &APPROXIMATIONS);
    let asked_about: Vec<PodId> = question.set.iter().filter_map(|(name, _)| state.find_pod(name)).collect();
    let asked_about = state.with_waiting_members(asked_about);
    let waiting = if question.place_waiting {
        ground.place_waiting(&mut state, &asked_about, observer)?
    } else {
        super::ground::Waiting { left: waiting(&state), ..super::ground::Waiting::default() }
    };
    let mut report = CapacityReport {
        api_version: API_VERSION,
        kind: "CapacityReport",
        assumptions,
        set: models
            .iter()
            .map(|(model, count)| CapacityItem {
                pod: model.name.clone(),
                count: *count,
                shared_claims: model.shared_claims(),
                gang: model.gang(),
            })
            .collect(),
        placed_before: waiting.placed,
        preempted_before: waiting.preempted,
        pending_before: waiting.left.iter().filter(|id| !asked_about.contains(id)).count(),
        fits: 0,
        limited: false,
        nodes: Vec::new(),
        stop: None,
    };
    let mut nodes: BTreeMap<String, Copies> = BTreeMap::new();
    let mut number = 0;
    'sets: while report.fits < question.most {
        observer.progress(report.fits, question.most);
        let mut fork = state.clone();
        let mut placed = Vec::new();
        for (model, count) in &models {
            for _ in 0..*count {
                number += 1;
                match placed_copy(ground, &mut fork, model, number)? {
                    Ok(pods) => placed.extend(pods),
                    Err(pod) => {
                        let nodes = fork.node_numbers().len();
                        report.stop = pod.map(|pod| stop(report.fits + 1, &model.name, nodes, *pod));
                        break 'sets;
                    }
                }
            }
        }
        state = fork;
        report.fits += 1;
        for pod in placed {
            let Some(node) = pod.node else { continue };
            let copies = nodes.entry(node.clone()).or_insert_with(|| Copies { node, ..Copies::default() });
            copies.copies += 1;
            let new = pod.claims.into_iter().filter(|claim| !claim.allocated_before);
            copies.devices.extend(new.flat_map(|claim| claim.devices));
        }
    }
    report.limited = report.stop.is_none();
    report.nodes = nodes.into_values().collect();
    Ok(report)
}

/// Adds a copy and places all its pods; else the pod that found no place, if there is one.
fn placed_copy(
    ground: &Ground<'_>,
    state: &mut ClusterState,
    model: &Model,
    number: usize,
) -> Result<Result<Vec<PodReport>, Option<Box<PodReport>>>, SimulateError> {
    let copy = model.add_all_to(state, number);
    let attempts = state.attempt_together(&copy, ground.cancel)?;
    let mut pods: Vec<PodReport> =
        attempts.into_iter().filter_map(|(id, attempt)| reported(state, id, attempt)).collect();
    // Members of a gang that are only undone with the others say nothing of the cause.
    let undone = |pod: &PodReport| pod.reasons.iter().any(|reason| reason.plugin == "GangScheduling");
    let refused = |pod: &PodReport| pod.outcome != PodOutcome::Scheduled;
    let cause = pods.iter().position(|pod| refused(pod) && !undone(pod));
    Ok(match cause.or_else(|| pods.iter().position(refused)) {
        Some(at) => Err(Some(Box::new(pods.swap_remove(at)))),
        None if pods.is_empty() => Err(None),
        None => Ok(pods),
    })
}

fn stop(set: usize, model: &str, nodes: usize, report: PodReport) -> Stop {
    let first = report.reasons.first();
    let words = match (&report.error, first) {
        (Some(error), _) => error.message.clone(),
        (None, Some(reason)) => reason.reason.clone(),
        (None, None) => report.message.clone().unwrap_or_default(),
    };
    Stop {
        set,
        pod: model.to_owned(),
        limiting_reason: words,
        plugin: first.map(|reason| reason.plugin.clone()),
        nodes,
        report,
    }
}
