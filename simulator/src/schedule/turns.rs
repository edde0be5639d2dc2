//! Pods of a queue, each in its turn: alone, or together with its group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use super::attempt::Attempt;
use super::cluster_state::ClusterState;
use super::options::{Observer, SimulateError};
use super::pods::PodId;

/// Sees the state before the turn of some pods.
pub(crate) type Before<'a> = &'a mut dyn FnMut(&mut ClusterState, &[PodId]) -> Result<(), SimulateError>;

impl ClusterState {
    /// Tries to place pods in this order, as the scheduler would: a pod that finds no node may preempt others, and the
    /// pods of a group are tried together, without preemption, when the first of them is due. `each` is told what every
    /// attempt came to, before the next one begins.
    pub(crate) fn place_in_turn(
        &mut self,
        queue: &[PodId],
        observer: &mut dyn Observer,
        cancel: &AtomicBool,
        each: &mut dyn FnMut(&Self, PodId, Attempt),
    ) -> Result<(), SimulateError> {
        self.place_watched(queue, observer, cancel, &mut |_, _| Ok(()), each)
    }

    /// As [`place_in_turn`](Self::place_in_turn); `before` sees the state before the turn of some pods.
    pub(super) fn place_watched(
        &mut self,
        queue: &[PodId],
        observer: &mut dyn Observer,
        cancel: &AtomicBool,
        before: Before<'_>,
        each: &mut dyn FnMut(&Self, PodId, Attempt),
    ) -> Result<(), SimulateError> {
        let may_preempt = self.may_preempt;
        let of_queue = queue.iter().map(|&id| (id, self.group_of(id))).collect::<Vec<_>>();
        let mut members: BTreeMap<&str, Vec<PodId>> = BTreeMap::new();
        for (id, group) in &of_queue {
            let Some(group) = group else { continue };
            members.entry(group).or_default().push(*id);
        }
        for (done, (id, group)) in of_queue.iter().enumerate() {
            observer.progress(done, queue.len());
            self.may_preempt = group.is_none();
            let Some(group) = group else {
                before(self, &[*id])?;
                let attempt = self.attempt(*id, cancel)?;
                each(self, *id, attempt);
                continue;
            };
            let members = members.remove(group.as_str()).unwrap_or_default();
            if members.is_empty() {
                continue;
            }
            before(self, &members)?;
            for (id, attempt) in self.attempt_group(group, &members, cancel)? {
                each(self, id, attempt);
            }
        }
        observer.progress(queue.len(), queue.len());
        self.may_preempt = may_preempt;
        Ok(())
    }

    /// As [`attempt`](Self::attempt) for pods of one group, or for one pod without a group, in this order. Nobody is
    /// preempted.
    pub fn attempt_together(
        &mut self,
        pods: &[PodId],
        cancel: &AtomicBool,
    ) -> Result<Vec<(PodId, Attempt)>, SimulateError> {
        let may_preempt = std::mem::take(&mut self.may_preempt);
        let attempts = match pods.first().and_then(|&id| self.group_of(id)) {
            Some(group) => self.attempt_group(&group, pods, cancel),
            None => pods.iter().map(|&id| Ok((id, self.attempt(id, cancel)?))).collect(),
        };
        self.may_preempt = may_preempt;
        attempts
    }

    /// These pods, and behind them those that wait and belong to the same groups.
    pub(crate) fn with_waiting_members(&self, mut pods: Vec<PodId>) -> Vec<PodId> {
        let groups: BTreeSet<String> = pods.iter().filter_map(|&id| self.group_of(id)).collect();
        if groups.is_empty() {
            return pods;
        }
        let known: BTreeSet<PodId> = pods.iter().copied().collect();
        let waits = |id: &PodId| {
            self.is_pending(*id)
                && !known.contains(id)
                && self.group_of(*id).is_some_and(|group| groups.contains(&group))
        };
        pods.extend(self.pods.iter().map(|(id, _)| id).filter(waits));
        pods
    }
}
