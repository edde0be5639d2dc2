//! Gangs: pods that start together or not at all (KEP-4671, plugin GangScheduling).
//!
//! When the first pod of a group is due, all of its pods that wait are placed one after the other, as a pod alone would
//! be (`gang_placements`). If fewer than `minCount` then have nodes, all of it is undone. Nothing is tried in another order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::Snapshot;
use drayage_cluster::objects::{Pod, WorkloadReference};

use super::attempt::{Attempt, AttemptClaim};
use super::cluster_state::ClusterState;
use super::gang_placements::{GroupEnd, Refusal};
use super::options::SimulateError;
use super::pods::{PodId, PodPlace};
use crate::gates::FeatureGates;
use crate::report::{PodOutcome, Reason};

const WAITING_FOR_PODS: &str = "waiting for minCount pods from a gang to appear in scheduling queue";

/// The groups of pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gangs {
    /// Gates GenericWorkload and GangScheduling.
    enabled: bool,
    /// Gate TopologyAwareWorkloadScheduling.
    pub(super) by_topology: bool,
    /// Whether groups are those of Workloads, as in 1.35.
    by_workload: bool,
    /// By `namespace/name`, or `namespace/workload/name`.
    groups: BTreeMap<String, Group>,
}

/// A group of pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// How many must start together, where that is said.
    pub(super) least: Option<usize>,
    /// The node label of which all nodes of the group must have the same value.
    pub(super) topology: Option<String>,
}

impl Gangs {
    pub(crate) fn new(objects: &Snapshot, gates: &FeatureGates) -> Self {
        let least = |count: i64| usize::try_from(count).unwrap_or_default();
        let by_workload = gates.release() < Release::V1_36;
        let mut groups = BTreeMap::new();
        for group in objects.pod_groups.iter().filter(|_| !by_workload) {
            let of = Group { least: group.min_count.map(least), topology: group.topology_key.clone() };
            groups.insert(group.metadata.full_name(), of);
        }
        for workload in objects.gang_workloads.iter().filter(|_| by_workload) {
            for (name, count) in &workload.groups {
                let of = Group { least: count.map(least), topology: None };
                groups.insert(format!("{}/{name}", workload.metadata.full_name()), of);
            }
        }
        // Since 1.37 one gate is enough.
        let enabled = gates.enabled("GenericWorkload")
            && (gates.release() >= Release::V1_37 || gates.enabled("GangScheduling"));
        Self {
            enabled,
            by_topology: enabled && gates.enabled("TopologyAwareWorkloadScheduling"),
            by_workload,
            groups,
        }
    }

    /// A group by the name that pods are known by: what they have in common in 1.35 ends with a key of the replica.
    pub(super) fn get(&self, group: &str) -> Option<&Group> {
        let name =
            if self.by_workload { group.rsplit_once('/').map_or(group, |(name, _)| name) } else { group };
        self.groups.get(name)
    }

    /// Whether groups are there that have no effect.
    pub(crate) fn are_ignored(&self) -> bool {
        !self.enabled && self.groups.values().any(|group| group.least.is_some())
    }

    /// Whether groups name parts of a topology to no effect.
    pub(crate) fn topology_is_ignored(&self) -> bool {
        self.enabled && !self.by_topology && self.groups.values().any(|group| group.topology.is_some())
    }

    /// The group of a pod, as `namespace/name`, or `namespace/workload/name/replica` in 1.35.
    pub(crate) fn of(&self, pod: &Pod) -> Option<String> {
        let namespace = &pod.metadata.namespace;
        if !self.enabled {
            None
        } else if self.by_workload {
            let reference = pod.spec.workload_ref.as_ref()?;
            let WorkloadReference { workload, group, replica } = reference;
            Some(format!("{namespace}/{workload}/{group}/{replica}"))
        } else {
            Some(format!("{namespace}/{}", pod.spec.pod_group.as_ref()?))
        }
    }

    /// Puts a pod into another group of its namespace.
    pub(crate) fn move_to(&self, pod: &mut Pod, group: &str) {
        let mut parts = group.split('/').skip(1).map(str::to_owned);
        if self.by_workload {
            let mut part = || parts.next().unwrap_or_default();
            pod.spec.workload_ref =
                Some(WorkloadReference { workload: part(), group: part(), replica: part() });
        } else {
            pod.spec.pod_group = parts.next();
        }
    }

    /// What the scheduler says of pods whose group is not there.
    fn missing(&self, group: &str) -> String {
        let parts: Vec<&str> = group.split('/').skip(1).collect();
        match parts.as_slice() {
            [workload, name, _] if self.has_workload(group, workload) => {
                format!("pod group \"{name}\" doesn't exist for a workload \"{workload}\"")
            }
            [workload, ..] if self.by_workload => {
                format!("waiting for pods's workload \"{workload}\" to appear in scheduling queue")
            }
            parts => format!(
                "waiting for pods's pod group \"{}\" to appear in scheduling queue",
                parts.first().copied().unwrap_or_default()
            ),
        }
    }

    /// Whether any group of a Workload is there.
    fn has_workload(&self, group: &str, workload: &str) -> bool {
        let namespace = group.split('/').next().unwrap_or_default();
        let prefix = format!("{namespace}/{workload}/");
        self.by_workload && self.groups.keys().any(|name| name.starts_with(&prefix))
    }
}

impl ClusterState {
    /// The group of a pod, where groups count.
    pub(crate) fn group_of(&self, id: PodId) -> Option<String> {
        self.gangs.of(&self.pods.get(id)?.pod)
    }

    /// Whether there are gangs, and their gates are on.
    pub(crate) fn has_gangs(&self) -> bool {
        self.gangs.enabled && self.gangs.groups.values().any(|group| group.least.is_some())
    }

    /// Whether there are groups at all, whatever their policy, and their gates are on.
    pub(crate) fn has_groups(&self) -> bool {
        self.gangs.enabled && !self.gangs.groups.is_empty()
    }

    /// How many pods of a group start together or not at all; `None` where each starts for itself, or where there is no
    /// such group.
    pub(crate) fn gang_size(&self, group: &str) -> Option<usize> {
        self.gangs.get(group)?.least
    }

    /// Adds copy number `number` of a group, and returns its name. In 1.35 that is another replica of the same.
    pub(crate) fn copy_group(&mut self, group: &str, number: usize) -> String {
        let copy = format!("{group}-copy-{number}");
        if let Some(like) = self.gangs.get(group).filter(|_| !self.gangs.by_workload).cloned() {
            Arc::make_mut(&mut self.gangs).groups.insert(copy.clone(), like);
        }
        copy
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
        let Some(of) = self.gangs.get(group).cloned() else { return Ok(gated(&self.gangs.missing(group))) };
        if self.placed_of(group) + members.len() < of.least.unwrap_or_default() {
            return Ok(gated(WAITING_FOR_PODS));
        }
        let end = self.place_group(group, &of, members, cancel)?;
        let (mut attempts, refusal) = match end {
            GroupEnd::Placed(attempts) => return Ok(attempts),
            GroupEnd::Refused(attempts, refusal) => (attempts, refusal),
        };
        for (id, attempt) in &mut attempts {
            if attempt.outcome == PodOutcome::Scheduled {
                *attempt = self.undone(*id, &refusal, true);
            }
        }
        for &id in members.get(attempts.len()..).unwrap_or_default() {
            attempts.push((id, self.undone(id, &refusal, false)));
        }
        Ok(attempts)
    }

    /// Whether all pods of a group must be in one part of a topology.
    pub(crate) fn keeps_together(&self, id: PodId) -> bool {
        let group = self.group_of(id).and_then(|group| self.gangs.get(&group).cloned());
        self.gangs.by_topology && group.is_some_and(|group| group.topology.is_some())
    }

    /// How many pods of a group are on nodes.
    pub(crate) fn placed_of(&self, group: &str) -> usize {
        let is_member = |pod: &Pod| match group.split_once('/') {
            Some((namespace, name)) if !self.gangs.by_workload => {
                pod.spec.pod_group.as_deref() == Some(name) && pod.metadata.namespace == namespace
            }
            _ => self.gangs.of(pod).as_deref() == Some(group),
        };
        let on_nodes = self
            .pods
            .iter()
            .filter(|(_, entry)| matches!(entry.place, PodPlace::Node(_) | PodPlace::Elsewhere));
        on_nodes.filter(|(_, entry)| is_member(&entry.pod)).count()
    }

    /// What became of a pod whose group was given up: one that had a node, or one that was not tried any more.
    fn undone(&self, id: PodId, refusal: &Refusal, had_node: bool) -> Attempt {
        let pod = self.pods.get(id).map(|entry| &entry.pod);
        let claims = pod.map(|pod| self.claims.of_pod(pod).unwrap_or_default()).unwrap_or_default();
        let claims = claims.iter().map(AttemptClaim::before).collect();
        let (plugin, words) = match refusal {
            Refusal::Failed(message) => {
                return Attempt { claims, ..Attempt::failed("pod-group", message.clone(), None) };
            }
            Refusal::Unschedulable { plugin, with_node, untried } => {
                (plugin, if had_node { with_node } else { untried })
            }
        };
        let reason = Reason {
            plugin: (*plugin).to_owned(),
            reason: "waiting for minCount pods from a gang to be scheduled".to_owned(),
            nodes: 0,
            nearest: None,
            devices: Vec::new(),
        };
        let message = Some(words.clone());
        Attempt { claims, message, reasons: vec![reason], ..Attempt::new(PodOutcome::Unschedulable) }
    }
}
