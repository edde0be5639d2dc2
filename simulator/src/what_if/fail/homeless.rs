//! Pods without a place, and where they find one.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{EvictedPod, Fate, FatePlace, PodOutcome, UnitReport};
use crate::schedule::{Attempt, ClusterState, PodId, PodPlace, SimulateError};
use crate::what_if::ground::{Ground, reported, victims};

/// A pod that lost its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost {
    /// Its node before.
    pub(super) from: String,
    /// Seconds after which a taint evicts it.
    pub(super) after: Option<i64>,
    /// Who preempted it.
    pub(super) by: Option<PodId>,
}

/// What an attempt for a pod that lost its place came to.
struct Tried {
    outcome: PodOutcome,
    message: Option<String>,
    place: Option<FatePlace>,
}

/// Has the scheduler look for new places: groups together, and with preemption. Those that are preempted look for a place
/// after the others. Counts in `report`; with `detail`, every pod is reported on.
pub(super) fn place_anew(
    ground: &Ground<'_>,
    state: &mut ClusterState,
    mut lost: BTreeMap<PodId, Lost>,
    detail: bool,
    report: &mut UnitReport,
) -> Result<(), SimulateError> {
    let mut order: Vec<PodId> = Vec::with_capacity(lost.len());
    let mut tried: BTreeMap<PodId, Tried> = BTreeMap::new();
    let mut round: Vec<PodId> = lost.keys().copied().collect();
    state.let_victims_wait(true);
    while !round.is_empty() {
        let mut preempted: Vec<(PodId, PodId, String)> = Vec::new();
        let queue = state.with_waiting_members(std::mem::take(&mut round));
        let queue = state.in_queue_order(queue);
        state.place_in_turn(&queue, &mut (), ground.cancel, &mut |state, id, attempt| {
            for victim in victims(&attempt) {
                preempted.push((victim, id, node_of(state, &attempt, victim)));
            }
            if lost.contains_key(&id) {
                tried.insert(id, Tried::new(state, id, attempt, detail));
            }
        })?;
        order.extend(queue.iter().filter(|id| lost.contains_key(id)));
        for (victim, by, from) in preempted {
            if state.is_pending(victim) {
                round.push(victim);
            }
            let of = lost.entry(victim).or_insert_with(|| Lost { from, ..Lost::default() });
            of.by = Some(by);
        }
    }
    state.let_victims_wait(false);
    let mut seen = BTreeSet::new();
    // Somebody may have found a place and lost it again; the last time counts.
    order.reverse();
    order.retain(|id| seen.insert(*id));
    order.reverse();
    for id in order {
        let (Some(of), Some(tried)) = (lost.remove(&id), tried.remove(&id)) else { continue };
        count(state, id, of, tried, detail, report);
    }
    Ok(())
}

fn count(state: &ClusterState, id: PodId, lost: Lost, tried: Tried, detail: bool, report: &mut UnitReport) {
    let name = |id: PodId| state.pod(id).map(|(pod, _)| pod.metadata.full_name()).unwrap_or_default();
    let unowned = state.pod(id).is_some_and(|(pod, _)| pod.metadata.controller().is_none());
    report.evicted += 1;
    report.preempted += usize::from(lost.by.is_some());
    report.unowned += usize::from(unowned);
    let fate = match tried.outcome {
        PodOutcome::Scheduled => Fate::Moved,
        PodOutcome::Undecided => Fate::Undecided,
        _ => Fate::Stuck,
    };
    match fate {
        Fate::Moved => report.moved += 1,
        Fate::Stuck => report.stuck += 1,
        Fate::Undecided => report.undecided += 1,
    }
    if detail {
        report.pods.push(EvictedPod {
            pod: name(id),
            from: lost.from,
            fate,
            message: tried.message.filter(|_| tried.place.is_none()),
            place: tried.place,
            unowned,
            after_seconds: lost.after,
            preempted_by: lost.by.map(name),
        });
    }
}

impl Tried {
    fn new(state: &ClusterState, id: PodId, attempt: Attempt, detail: bool) -> Self {
        let (outcome, message) = (attempt.outcome, attempt.message.clone());
        let found = if detail { reported(state, id, attempt) } else { None };
        let place = found.and_then(|pod| {
            let devices = pod.claims.iter().flat_map(|claim| claim.devices.iter().cloned()).collect();
            Some(FatePlace { node: pod.node?, devices })
        });
        Self { outcome, message, place }
    }
}

/// The node on which a victim made room.
fn node_of(state: &ClusterState, attempt: &Attempt, victim: PodId) -> String {
    let of_victim = attempt
        .preemptions
        .iter()
        .find(|preemption| preemption.victims.iter().any(|other| other.pod == victim));
    let node = of_victim.and_then(|preemption| state.node(preemption.node));
    node.map(|node| node.metadata.name.clone()).unwrap_or_default()
}

/// The gangs of which enough pods were on nodes, and no longer are, as `namespace/name`.
pub(super) fn broken_gangs(before: &ClusterState, after: &ClusterState) -> Vec<String> {
    if !before.has_gangs() {
        return Vec::new();
    }
    let on_nodes = |state: &ClusterState| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (id, _, place) in state.pods() {
            if matches!(place, PodPlace::Node(_) | PodPlace::Elsewhere)
                && let Some(group) = state.group_of(id)
            {
                *counts.entry(group).or_default() += 1;
            }
        }
        counts
    };
    let (had, has) = (on_nodes(before), on_nodes(after));
    let broken = had.into_iter().filter(|(group, had)| {
        let least = before.gang_size(group).unwrap_or_default();
        *had >= least && has.get(group).copied().unwrap_or_default() < least
    });
    broken.map(|(group, _)| group).collect()
}
