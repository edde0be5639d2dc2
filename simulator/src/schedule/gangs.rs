//! Gangs: pods that start together or not at all (KEP-4671, plugin GangScheduling).
//!
//! When the first pod of a group is due, all of its pods that wait are placed one after the other, as a pod alone would
//! be. If fewer than `minCount` then have nodes, all of it is undone. Nothing is tried in another order or on other nodes.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::Snapshot;
use drayage_cluster::objects::Pod;

use super::attempt::{Attempt, AttemptClaim};
use super::cluster_state::ClusterState;
use super::options::SimulateError;
use super::pods::{PodId, PodPlace};
use crate::gates::FeatureGates;
use crate::report::{PodOutcome, Reason};

/// What the plugin says of a pod that has a node and waits for the others.
const WAITING: &str = "pod group is unschedulable, waiting for minCount pods from a gang to be scheduled, one or more \
                       plugins asked to wait and no plugin rejected pod";
const WAITING_FOR_PODS: &str = "waiting for minCount pods from a gang to appear in scheduling queue";

/// The groups of pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gangs {
    /// Gates GenericWorkload and GangScheduling.
    enabled: bool,
    /// By `namespace/name`, how many must start together, where that is said.
    groups: BTreeMap<String, Option<usize>>,
}

impl Gangs {
    pub(crate) fn new(objects: &Snapshot, gates: &FeatureGates) -> Self {
        let least = |count: i64| usize::try_from(count).unwrap_or_default();
        let groups = objects.pod_groups.iter();
        Self {
            // Since 1.37 one gate is enough.
            enabled: gates.enabled("GenericWorkload")
                && (gates.release() >= Release::V1_37 || gates.enabled("GangScheduling")),
            groups: groups.map(|group| (group.metadata.full_name(), group.min_count.map(least))).collect(),
        }
    }

    /// Whether groups are there that have no effect.
    pub(crate) fn are_ignored(&self) -> bool {
        !self.enabled && self.groups.values().any(Option::is_some)
    }

    /// The group of a pod, as `namespace/name`.
    fn of(&self, pod: &Pod) -> Option<String> {
        let name = pod.spec.pod_group.as_ref().filter(|_| self.enabled)?;
        Some(format!("{}/{name}", pod.metadata.namespace))
    }
}

impl ClusterState {
    /// The group of a pod, where groups count.
    pub(super) fn group_of(&self, id: PodId) -> Option<String> {
        self.gangs.of(&self.pods.get(id)?.pod)
    }

    /// Tries to place the pods of a group that wait, in this order, all or nothing.
    pub(super) fn attempt_group(
        &mut self,
        group: &str,
        members: &[PodId],
        cancel: &AtomicBool,
    ) -> Result<Vec<(PodId, Attempt)>, SimulateError> {
        let gated = |message: &str| {
            members.iter().map(|&id| (id, Attempt::gated(message.to_owned()))).collect::<Vec<_>>()
        };
        let Some(least) = self.gangs.groups.get(group).copied() else {
            let name = group.split_once('/').map_or(group, |(_, name)| name);
            return Ok(gated(&format!(
                "waiting for pods's pod group \"{name}\" to appear in scheduling queue"
            )));
        };
        let mut placed = self.placed_of(group);
        let least = least.unwrap_or_default();
        if placed + members.len() < least {
            return Ok(gated(WAITING_FOR_PODS));
        }
        let before = self.clone();
        let mut attempts: Vec<(PodId, Attempt)> = Vec::with_capacity(members.len());
        let mut failure: Option<String> = None;
        for &id in members {
            let attempt = self.attempt(id, cancel)?;
            placed += usize::from(attempt.outcome == PodOutcome::Scheduled);
            if matches!(attempt.outcome, PodOutcome::Error | PodOutcome::Undecided) {
                failure = Some(attempt.message.clone().unwrap_or_default());
            }
            attempts.push((id, attempt));
            if failure.is_some() {
                break;
            }
        }
        if failure.is_none() && placed >= least {
            return Ok(attempts);
        }
        let next_start = self.next_start;
        *self = before;
        self.next_start = next_start;
        for (id, attempt) in &mut attempts {
            if attempt.outcome == PodOutcome::Scheduled {
                *attempt = self.undone(*id, failure.as_deref());
            }
        }
        let untried = members.get(attempts.len()..).unwrap_or_default();
        for &id in untried {
            attempts.push((id, self.undone(id, failure.as_deref())));
        }
        Ok(attempts)
    }

    /// How many pods of a group are on nodes.
    fn placed_of(&self, group: &str) -> usize {
        let on_nodes = self
            .pods
            .iter()
            .filter(|(_, entry)| matches!(entry.place, PodPlace::Node(_) | PodPlace::Elsewhere));
        on_nodes.filter(|(_, entry)| self.gangs.of(&entry.pod).as_deref() == Some(group)).count()
    }

    /// What became of a pod whose group was given up.
    fn undone(&self, id: PodId, failure: Option<&str>) -> Attempt {
        let pod = self.pods.get(id).map(|entry| &entry.pod);
        let claims = pod.map(|pod| self.claims.of_pod(pod).unwrap_or_default()).unwrap_or_default();
        let claims = claims.iter().map(AttemptClaim::before).collect();
        if let Some(failure) = failure {
            let message = format!("failed to schedule other pod from a pod group: {failure}");
            return Attempt { claims, ..Attempt::failed("pod-group", message, None) };
        }
        let reason = Reason {
            plugin: "GangScheduling".to_owned(),
            reason: "waiting for minCount pods from a gang to be scheduled".to_owned(),
            nodes: 0,
            nearest: None,
            devices: Vec::new(),
        };
        let message = Some(WAITING.to_owned());
        Attempt { claims, message, reasons: vec![reason], ..Attempt::new(PodOutcome::Unschedulable) }
    }
}
