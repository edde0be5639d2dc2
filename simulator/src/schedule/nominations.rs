//! Pods that were promised a node because others were preempted there for them (`status.nominatedNodeName`).

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_cluster::objects::Pod;

use super::cluster_state::ClusterState;
use super::filter::Asked;
use super::node::PodNeeds;
use super::pods::{PodId, PodPlace};
use super::preemption::priority;
use super::profile::FilterPlugin;
use super::resources::Shortage;
use super::tally::Refusal;

/// Which waiting pod was promised which node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nominations(Arc<BTreeMap<PodId, usize>>);

impl Nominations {
    /// Whether no pod was promised any node.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The node of a pod.
    pub(crate) fn node_of(&self, pod: PodId) -> Option<usize> {
        self.0.get(&pod).copied()
    }

    /// Promises a node to a pod.
    pub(crate) fn set(&mut self, pod: PodId, node: usize) {
        Arc::make_mut(&mut self.0).insert(pod, node);
    }

    /// Forgets the promise to a pod.
    pub(crate) fn forget(&mut self, pod: PodId) {
        if self.0.contains_key(&pod) {
            Arc::make_mut(&mut self.0).remove(&pod);
        }
    }

    /// Takes a node from the pods to which it was promised and that `lower` names.
    pub(crate) fn withdraw(&mut self, node: usize, lower: impl Fn(PodId) -> bool) {
        if self.0.iter().any(|(&pod, &at)| at == node && lower(pod)) {
            Arc::make_mut(&mut self.0).retain(|&pod, at| *at != node || !lower(pod));
        }
    }

    fn of_node(&self, node: usize) -> impl Iterator<Item = PodId> + '_ {
        self.0.iter().filter(move |&(_, &at)| at == node).map(|(&pod, _)| pod)
    }
}

impl ClusterState {
    /// Puts the pods of the same or a higher priority that were promised a node on it, for a while.
    pub(super) fn add_nominated(&mut self, at: usize, pod: &Pod) -> Vec<(PodId, PodNeeds)> {
        if self.nominations.is_empty() {
            return Vec::new();
        }
        let waits = |&id: &PodId| {
            self.pods.get(id).is_some_and(|entry| {
                entry.place == PodPlace::Pending
                    && entry.pod.metadata.uid != pod.metadata.uid
                    && priority(&entry.pod) >= priority(pod)
            })
        };
        let nominated: Vec<PodId> = self.nominations.of_node(at).filter(waits).collect();
        let mut added = Vec::with_capacity(nominated.len());
        for id in nominated {
            let Some(pod) = self.pods.get(id).map(|entry| Arc::clone(&entry.pod)) else { continue };
            let needs = self.needs(&pod);
            self.settle(id, at, &needs);
            added.push((id, needs));
        }
        added
    }

    /// Takes them away again.
    pub(super) fn remove_nominated(&mut self, at: usize, nominated: Vec<(PodId, PodNeeds)>) {
        for (id, needs) in nominated.into_iter().rev() {
            self.unsettle(id, at, &needs);
        }
    }

    /// Whether a node that fits a pod fits it no longer with the pods that were promised a place there; counted like
    /// other refusals.
    pub(super) fn is_promised_away(&mut self, at: usize, asked: &Asked<'_>) -> bool {
        let nominated = self.add_nominated(at, asked.pod);
        if nominated.is_empty() {
            return false;
        }
        let refused = self.count_refusal_beside_devices(at, asked);
        self.remove_nominated(at, nominated);
        refused
    }

    /// Counts why ports, resources or neighbours refuse a node, if they do.
    fn count_refusal_beside_devices(&mut self, at: usize, asked: &Asked<'_>) -> bool {
        let Some(state) = self.nodes.get(at) else { return false };
        let (_, profile) = asked.profile;
        if profile.filters_by(FilterPlugin::NodePorts) && !state.has_free(&asked.needs.ports) {
            self.tally.add(Refusal::Ports);
            self.tally.add_resolvable(at);
            return true;
        }
        let mut shortages: Vec<Shortage> = Vec::new();
        let delegated = &self.delegated;
        state.resources.each_shortage(
            asked.room,
            |id| delegated.contains(&id),
            |shortage| {
                shortages.push(shortage);
                true
            },
        );
        if !shortages.is_empty() && profile.filters_by(FilterPlugin::NodeResourcesFit) {
            for shortage in shortages {
                self.tally.add_shortage(shortage, at);
            }
            self.tally.add_resolvable(at);
            return true;
        }
        let refusal = self.neighbours_of(asked).and_then(|neighbours| neighbours.refusal(&self.counts, at));
        if let Some(refusal) = refusal {
            self.tally.add(refusal);
            if refusal.is_resolvable() {
                self.tally.add_resolvable(at);
            }
        }
        refusal.is_some()
    }
}
