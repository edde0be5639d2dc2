//! Which of the nodes that fit is best: kube-scheduler's default scores, normalised and weighted.

mod device_counts;
mod images;
mod resources;

use drayage_allocator::objects::AllocationResult;

pub(crate) use device_counts::DeviceCounts;
pub(crate) use images::{Images, names as image_names};
pub(crate) use resources::{DeviceAmount, Scorers};

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
    /// What the scores that look at this node alone give it, see [`Scorers::of_node`].
    pub(crate) score: i64,
    /// What the chosen alternatives of the pod's claims are worth, see KEP-4816.
    pub(crate) alternatives: i64,
    /// The devices, if they were computed just now.
    pub(crate) results: Option<Vec<AllocationResult>>,
}

/// Scores of the candidates, in their order.
pub(crate) struct Scoring<'a> {
    pub(crate) profile: &'a SchedulerProfile,
    pub(crate) nodes: &'a Nodes,
    pub(crate) images: &'a Images,
    pub(crate) counts: &'a PodCounts,
}

impl Scoring<'_> {
    /// The scores of the candidates: for each plugin normalised to 0 to 100, weighted, added.
    pub(in crate::schedule) fn scores(&self, asked: &Asked<'_>, candidates: &[Candidate]) -> Vec<i64> {
        let &Asked { pod, verdicts, neighbours, .. } = asked;
        let weights = &self.profile.weights;
        let mut totals: Vec<i64> = candidates.iter().map(|candidate| candidate.score).collect();
        let mut add = |weight: i64, scores: &mut dyn Iterator<Item = i64>| {
            for (total, score) in totals.iter_mut().zip(scores) {
                *total += weight * score;
            }
        };
        // Where no node has any of it, all are worth the same.
        if verdicts.has_scores {
            let placements: Vec<Placement> =
                candidates.iter().map(|candidate| verdicts.get(candidate.at)).collect();
            let soft_taints = |placement: &Placement| i64::from(placement.soft_taints);
            let most = placements.iter().map(soft_taints).max().unwrap_or_default();
            add(
                weights.taint_toleration,
                &mut placements.iter().map(|placement| MOST - share(soft_taints(placement), most)),
            );
            let preference = |placement: &Placement| i64::from(placement.preference);
            let most = placements.iter().map(preference).max().unwrap_or_default();
            add(
                weights.node_affinity,
                &mut placements.iter().map(|placement| share(preference(placement), most)),
            );
        }
        if weights.dynamic_resources > 0 {
            let most = candidates.iter().map(|candidate| candidate.alternatives).max().unwrap_or_default();
            if most != 0 {
                add(
                    weights.dynamic_resources,
                    &mut candidates.iter().map(|candidate| share(candidate.alternatives, most)),
                );
            }
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
            && let Some(scores) = neighbours.spread_scores(self.counts, &numbers)
        {
            add(weights.pod_topology_spread, &mut scores.into_iter());
        }
        let required = self.profile.hard_pod_affinity_weight;
        let ignoring = self.profile.ignore_preferred_of_existing;
        if weights.inter_pod_affinity > 0
            && let Some(scores) = neighbours.affinity_scores(self.counts, &numbers, required, ignoring)
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
