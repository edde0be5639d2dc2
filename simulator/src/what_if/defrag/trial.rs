//! One set of moves, simulated.

use crate::report::{AdmittedPod, ClaimMove, DefragMove, DeviceReport, PodOutcome};
use crate::schedule::{ClusterState, PodId, PodPlace, SimulateError};
use crate::what_if::drain::claims_before;
use crate::what_if::ground::Ground;

/// A set of moves after which everybody has a place.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) evicted: Vec<PodId>,
    pub(super) admitted: Vec<AdmittedPod>,
    pub(super) moves: Vec<DefragMove>,
}

/// What a trial came to.
pub(super) enum Tried {
    Plan(Box<Trial>),
    /// Somebody is without a place.
    No,
    /// A search for devices ended at its budget.
    Undecided,
}

/// Evicts, admits, and places the evicted again, in a fork. With `first_on`, the first pod must go to that node.
pub(super) fn tried(
    ground: &Ground<'_>,
    base: &ClusterState,
    targets: &[PodId],
    evicted: &[PodId],
    first_on: Option<usize>,
) -> Result<Tried, SimulateError> {
    let mut fork = base.clone();
    let mut before: Vec<(PodId, String, Vec<ClaimMove>)> = Vec::new();
    for &id in evicted {
        before.push((id, node_of(&fork, id), claims_before(&fork, id)));
    }
    for &id in evicted {
        fork.evict(id);
    }
    if let (Some(at), Some(&first)) = (first_on, targets.first()) {
        let attempt = fork.attempt_on(&[at], first, ground.cancel)?;
        if let Some(end) = end(attempt.outcome) {
            return Ok(end);
        }
    }
    let order = fork.in_queue_order(evicted.to_vec());
    for queue in [targets.get(usize::from(first_on.is_some())..).unwrap_or_default(), &order] {
        for together in with_their_groups(&fork, queue) {
            for (_, attempt) in fork.attempt_together(&together, ground.cancel)? {
                if let Some(end) = end(attempt.outcome) {
                    return Ok(end);
                }
            }
        }
    }
    let admitted = targets.iter().enumerate().map(|(position, &id)| AdmittedPod {
        pod: name_of(&fork, id),
        node: node_of(&fork, id),
        devices: devices_of(&fork, id),
        pinned: position == 0 && first_on.is_some(),
    });
    let moves = order.iter().map(|&id| {
        let found = before.iter().find(|(other, _, _)| *other == id);
        let (from, claims) =
            found.map(|(_, from, claims)| (from.clone(), claims.clone())).unwrap_or_default();
        let claims = claims.into_iter().map(|claim| with_devices(&fork, id, claim)).collect();
        DefragMove { pod: name_of(&fork, id), from, to: node_of(&fork, id), claims }
    });
    let trial = Trial { evicted: evicted.to_vec(), admitted: admitted.collect(), moves: moves.collect() };
    Ok(Tried::Plan(Box::new(trial)))
}

/// What an attempt without a place makes of a trial.
fn end(outcome: PodOutcome) -> Option<Tried> {
    match outcome {
        PodOutcome::Scheduled => None,
        PodOutcome::Undecided => Some(Tried::Undecided),
        _ => Some(Tried::No),
    }
}

/// Pods in their order, those of a group together when the first of them is due.
fn with_their_groups(state: &ClusterState, queue: &[PodId]) -> Vec<Vec<PodId>> {
    let mut found: Vec<(Option<String>, Vec<PodId>)> = Vec::new();
    for &id in queue {
        let group = state.group_of(id);
        match found.iter_mut().find(|(other, _)| group.is_some() && *other == group) {
            Some((_, pods)) => pods.push(id),
            None => found.push((group, vec![id])),
        }
    }
    found.into_iter().map(|(_, pods)| pods).collect()
}

fn with_devices(state: &ClusterState, id: PodId, claim: ClaimMove) -> ClaimMove {
    let found = state
        .claims_of(id)
        .into_iter()
        .filter_map(|number| state.claim(number))
        .find(|view| view.spec.full_name() == claim.claim);
    let after = found.and_then(|view| view.allocation).into_iter().flat_map(|allocation| &allocation.results);
    ClaimMove { after: after.map(DeviceReport::from).collect(), ..claim }
}

pub(super) fn name_of(state: &ClusterState, id: PodId) -> String {
    state.pod(id).map(|(pod, _)| pod.metadata.full_name()).unwrap_or_default()
}

fn node_of(state: &ClusterState, id: PodId) -> String {
    match state.pod(id) {
        Some((_, PodPlace::Node(at))) => {
            state.node(at).map(|node| node.metadata.name.clone()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn devices_of(state: &ClusterState, id: PodId) -> Vec<DeviceReport> {
    let claims = state.claims_of(id).into_iter().filter_map(|claim| state.claim(claim));
    let results = claims.filter_map(|claim| claim.allocation).flat_map(|allocation| &allocation.results);
    results.map(DeviceReport::from).collect()
}
