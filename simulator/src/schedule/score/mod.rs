//! Which of the nodes that fit is best: kube-scheduler's default scores, normalised and weighted.

mod images;
mod resources;

use drayage_allocator::objects::AllocationResult;

pub(crate) use images::{Images, names as image_names};
pub(crate) use resources::Scorers;

use super::filter::Asked;
use super::neighbours::PodCounts;
use super::nodes::Nodes;
use super::placement::Placement;
use super::profile::SchedulerProfile;

/// The best score that a plugin gives.
const MOST: i64 = 100;

/// A node that fits.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) at: usize,
    pub(crate) placement: Placement,
    /// What the chosen alternatives of the pod's claims are worth, see KEP-4816.
    pub(crate) alternatives: i64,
    /// The devices, if they were computed just now.
    pub(crate) results: Option<Vec<AllocationResult>>,
}

/// Scores of the candidates, in their order.
pub(crate) struct Scoring<'a> {
    pub(crate) profile: &'a SchedulerProfile,
    pub(crate) scorers: &'a Scorers,
    pub(crate) nodes: &'a Nodes,
    pub(crate) images: &'a Images,
    pub(crate) counts: &'a PodCounts,
}

impl Scoring<'_> {
    /// The scores of the candidates: for each plugin normalised to 0 to 100, weighted, added.
    pub(in crate::schedule) fn scores(&self, asked: &Asked<'_>, candidates: &[Candidate]) -> Vec<i64> {
        let &Asked { nodes, pod, needs, verdicts, neighbours } = asked;
        let weights = &self.profile.weights;
        let mut totals = vec![0; candidates.len()];
        let mut add = |weight: i64, scores: &mut dyn Iterator<Item = i64>| {
            for (total, score) in totals.iter_mut().zip(scores) {
                *total += weight * score;
            }
        };
        if weights.taint_toleration > 0 {
            let most = candidates.iter().map(|candidate| i64::from(candidate.placement.soft_taints)).max();
            let most = most.unwrap_or_default();
            add(
                weights.taint_toleration,
                &mut candidates
                    .iter()
                    .map(|candidate| MOST - share(i64::from(candidate.placement.soft_taints), most)),
            );
        }
        if weights.node_affinity > 0 {
            let most = candidates.iter().map(|candidate| i64::from(candidate.placement.preference)).max();
            let most = most.unwrap_or_default();
            add(
                weights.node_affinity,
                &mut candidates
                    .iter()
                    .map(|candidate| share(i64::from(candidate.placement.preference), most)),
            );
        }
        if weights.dynamic_resources > 0 {
            let most = candidates.iter().map(|candidate| candidate.alternatives).max().unwrap_or_default();
            add(
                weights.dynamic_resources,
                &mut candidates.iter().map(|candidate| share(candidate.alternatives, most)),
            );
        }
        let resources = |at: usize| self.nodes.get(at).map(|state| &state.resources);
        if weights.node_resources_fit > 0 {
            let score = |candidate: &Candidate| {
                resources(candidate.at).map_or(0, |resources| self.scorers.fit(resources, needs))
            };
            add(weights.node_resources_fit, &mut candidates.iter().map(score));
        }
        if weights.balanced_allocation > 0 && self.scorers.balances(needs) {
            let score = |candidate: &Candidate| {
                resources(candidate.at).map_or(0, |resources| self.scorers.balanced(resources, needs))
            };
            add(weights.balanced_allocation, &mut candidates.iter().map(score));
        }
        if weights.image_locality > 0 && !self.images.is_empty() {
            let names = image_names(pod);
            let containers = pod.spec.init_containers.len() + pod.spec.containers.len();
            let score = |candidate: &Candidate| {
                let state = self.nodes.get(candidate.at);
                state.map_or(0, |state| self.images.score(&names, containers, &state.node, self.nodes.len()))
            };
            add(weights.image_locality, &mut candidates.iter().map(score));
        }
        let numbers: Vec<usize> = candidates.iter().map(|candidate| candidate.at).collect();
        if weights.pod_topology_spread > 0
            && let Some(scores) = neighbours.spread_scores(self.counts, &numbers, nodes, verdicts)
        {
            add(weights.pod_topology_spread, &mut scores.into_iter());
        }
        let required = self.profile.hard_pod_affinity_weight;
        if weights.inter_pod_affinity > 0
            && let Some(scores) = neighbours.affinity_scores(self.counts, &numbers, required)
        {
            add(weights.inter_pod_affinity, &mut scores.into_iter());
        }
        totals
    }
}

/// A count as a share of the greatest one, of 100; 0 where all are 0.
fn share(count: i64, most: i64) -> i64 {
    if most == 0 { 0 } else { MOST * count / most }
}
