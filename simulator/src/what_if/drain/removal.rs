//! Taking a node away: who must move, and where to.

use std::collections::BTreeMap;

use drayage_cluster::objects::{DisruptionBudget, Taint};

use super::rules::{DrainOptions, Drainability, drainability};
use crate::report::{ClaimMove, NodeRemoval, PodMove, PodOutcome};
use crate::schedule::{Attempt, ClusterState, PodId, PodPlace, SimulateError};
use crate::what_if::ground::{Ground, reported};

/// Cluster-autoscaler's taint on nodes that go.
pub(crate) const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// Removals one after the other in one state.
pub(crate) struct Removals<'g, 'a> {
    ground: &'g Ground<'a>,
    options: DrainOptions,
    /// Evictions that each budget still allows, by `namespace/name`.
    allowed: BTreeMap<String, i64>,
    robin: RoundRobin,
}

/// Goes through nodes as cluster-autoscaler does: each search starts behind the node that the one before found.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundRobin {
    last: usize,
}

impl RoundRobin {
    /// Places a pod on the first node of `nodes` that `accepts` and every filter let pass; the node's number. Cordoned
    /// nodes are left out, even for pods that tolerate that.
    pub(crate) fn find(
        &mut self,
        ground: &Ground<'_>,
        state: &mut ClusterState,
        id: PodId,
        nodes: &[usize],
        accepts: impl Fn(usize) -> bool,
    ) -> Result<Option<usize>, SimulateError> {
        let attempt = self.search(ground, state, id, nodes, accepts)?;
        Ok(attempt.node.filter(|_| attempt.outcome == PodOutcome::Scheduled))
    }

    /// As [`find`](Self::find), with the attempt; where there is no node, an attempt on all of them for the words.
    pub(crate) fn place(
        &mut self,
        ground: &Ground<'_>,
        state: &mut ClusterState,
        id: PodId,
        nodes: &[usize],
        accepts: impl Fn(usize) -> bool,
    ) -> Result<Attempt, SimulateError> {
        let attempt = self.search(ground, state, id, nodes, &accepts)?;
        if attempt.outcome != PodOutcome::Unschedulable {
            return Ok(attempt);
        }
        let all: Vec<usize> = nodes.iter().copied().filter(|&at| accepts(at)).collect();
        let mut fork = state.clone();
        let in_words = fork.attempt_on(&all, id, ground.cancel)?;
        // The scheduler might do what the search does not, such as to give up an allocation.
        let agrees = in_words.outcome == PodOutcome::Unschedulable;
        Ok(if agrees { in_words } else { attempt })
    }

    fn search(
        &mut self,
        ground: &Ground<'_>,
        state: &mut ClusterState,
        id: PodId,
        nodes: &[usize],
        accepts: impl Fn(usize) -> bool,
    ) -> Result<Attempt, SimulateError> {
        let count = nodes.len();
        let order = (0..count).filter_map(|step| nodes.get((step + 1 + self.last) % count).copied());
        let order: Vec<usize> = order
            .filter(|&at| accepts(at) && !state.node(at).is_some_and(|node| node.unschedulable))
            .collect();
        let attempt = state.first_fit(nodes, order, id, ground.cancel)?;
        if let Some(at) = attempt.node.filter(|_| attempt.outcome == PodOutcome::Scheduled) {
            self.last = nodes.iter().position(|&other| other == at).unwrap_or(self.last);
        }
        Ok(attempt)
    }
}

impl<'g, 'a> Removals<'g, 'a> {
    pub(crate) fn new(ground: &'g Ground<'a>, state: &ClusterState, options: DrainOptions) -> Self {
        let budgets = &ground.prepared.snapshot.disruption_budgets;
        let allowed = budgets.iter().map(|budget| {
            let covered = state
                .pods()
                .filter(|(_, pod, _)| budget.covers(&pod.metadata.namespace, &pod.metadata.labels));
            let (mut expected, mut healthy) = (0, 0);
            for (_, _, place) in covered {
                expected += 1;
                healthy += i64::from(matches!(place, PodPlace::Node(_) | PodPlace::Elsewhere));
            }
            (budget.metadata.full_name(), budget.allowed(expected, healthy))
        });
        Self { ground, options, allowed: allowed.collect(), robin: RoundRobin::default() }
    }

    fn budgets_of(&self, state: &ClusterState, id: PodId) -> Vec<&'g DisruptionBudget> {
        let Some((pod, _)) = state.pod(id) else { return Vec::new() };
        let budgets = self.ground.prepared.snapshot.disruption_budgets.iter();
        budgets.filter(|budget| budget.covers(&pod.metadata.namespace, &pod.metadata.labels)).collect()
    }

    /// Tries to empty and remove a node. If that works it is gone from `state`, with its pods on other nodes; if not,
    /// `state` is as before. Pods go to nodes that `accepts`. A node whose pods can all move, except those that end on
    /// their own, is gone as well, though not removable yet: cluster-autoscaler goes on with its simulation like that.
    pub(crate) fn remove(
        &mut self,
        state: &mut ClusterState,
        at: usize,
        accepts: impl Fn(usize) -> bool,
    ) -> Result<NodeRemoval, SimulateError> {
        let node = state.node(at).map(|node| node.metadata.name.clone()).unwrap_or_default();
        let mut report = NodeRemoval { node, ..NodeRemoval::default() };
        let mut movers = Vec::new();
        let mut with_node = Vec::new();
        for &id in state.pods_on(at) {
            let Some((pod, _)) = state.pod(id) else { continue };
            let snapshot = &self.ground.prepared.snapshot;
            let budgets = self.budgets_of(state, id);
            let left = |budget: &DisruptionBudget| {
                self.allowed.get(&budget.metadata.full_name()).copied().unwrap_or(0)
            };
            match drainability(pod, &snapshot.workloads, &budgets, left, &self.options) {
                Drainability::Skipped => with_node.push(id),
                Drainability::DaemonSet => {
                    report.daemon_set_pods.push(pod.metadata.full_name());
                    with_node.push(id);
                }
                Drainability::Moves => movers.push(id),
                Drainability::WaitsForCompletion => {
                    report.waits_for.push(pod.metadata.full_name());
                    with_node.push(id);
                }
                Drainability::Blocks(reason) => {
                    report.reason = Some("BlockedByPod");
                    report.message = Some(reason.as_str().to_owned());
                    report.blocking_pod = Some(pod.metadata.full_name());
                    return Ok(report);
                }
            }
        }
        let mut fork = state.clone();
        let before: Vec<Vec<ClaimMove>> = movers.iter().map(|&id| claims_before(&fork, id)).collect();
        for &id in &movers {
            fork.evict(id);
        }
        // An empty node stands for the one that goes: it still counts for topology spread.
        for id in with_node {
            fork.delete(id);
        }
        let taint =
            Taint { key: TO_BE_DELETED.to_owned(), value: String::new(), effect: "NoSchedule".to_owned() };
        fork.change_node(at, |node| node.taints.push(taint));
        let nodes = fork.node_numbers();
        for (&id, claims) in movers.iter().zip(before) {
            let attempt = self
                .robin
                .place(self.ground, &mut fork, id, &nodes, |other| other != at && accepts(other))?;
            let outcome = attempt.outcome;
            let message = attempt.message.clone();
            let found = reported(&fork, id, attempt);
            let name = fork.pod(id).map(|(pod, _)| pod.metadata.full_name()).unwrap_or_default();
            let mut pod = PodMove { pod: name.clone(), claims, message, ..PodMove::default() };
            if let Some(found) = found {
                pod.to = found.node;
                for claim in found.claims {
                    let full_name = format!("{}/{}", found.namespace, claim.name);
                    if let Some(moved) = pod.claims.iter_mut().find(|moved| moved.claim == full_name) {
                        moved.after = claim.devices;
                    }
                }
            }
            report.moves.push(pod);
            match outcome {
                PodOutcome::Scheduled => {}
                PodOutcome::Undecided => {
                    report.reason = Some("Undecided");
                    report.blocking_pod = Some(name);
                    return Ok(report);
                }
                _ => {
                    report.reason = Some("NoPlaceToMovePods");
                    report.blocking_pod = Some(name);
                    return Ok(report);
                }
            }
        }
        fork.remove_node(at);
        for &id in &movers {
            for budget in self.budgets_of(&fork, id) {
                let name = budget.metadata.full_name();
                let left = self.allowed.entry(name.clone()).or_default();
                *left -= 1;
                report.budgets_left.insert(name, *left);
            }
        }
        report.removable = report.waits_for.is_empty();
        if !report.removable {
            report.reason = Some("BlockedByOnCompletionPod");
            report.blocking_pod = report.waits_for.first().cloned();
        }
        *state = fork;
        Ok(report)
    }
}

/// The claims of a pod that is about to move, with what they hold.
pub(crate) fn claims_before(state: &ClusterState, id: PodId) -> Vec<ClaimMove> {
    let of_pod = state.claims_of(id).into_iter().filter_map(|claim| state.claim(claim));
    of_pod
        .map(|claim| ClaimMove {
            claim: claim.spec.full_name(),
            fate: if claim.generated {
                "made anew"
            } else if claim.consumers.iter().any(|&other| other != id) {
                "stays"
            } else {
                "moves"
            },
            before: claim
                .allocation
                .into_iter()
                .flat_map(|allocation| &allocation.results)
                .map(|result| result.device_id().to_string())
                .collect(),
            after: Vec::new(),
        })
        .collect()
}
