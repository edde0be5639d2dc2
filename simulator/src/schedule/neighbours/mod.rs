//! Plugins PodTopologySpread and InterPodAffinity: which nodes suit a pod's neighbours, and how well.

mod affinity;
mod counts;
mod spread;
mod sums;
mod wants;

use std::sync::Arc;

pub(crate) use counts::{Namespaces, PodCounts};
pub(crate) use sums::Membership;
pub(crate) use wants::{DefaultSelectors, Wants, wants};

use super::placement::PlacementVerdicts;
use super::tally::Refusal;

/// Which of the two plugins filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filtering {
    pub(crate) spread: bool,
    pub(crate) affinity: bool,
}

/// What one attempt has found out about the neighbours of a pod.
#[derive(Debug)]
pub(crate) struct Neighbours {
    wants: Arc<Wants>,
    spread: spread::Hard,
    sums: Arc<sums::SumsOfPod>,
    affinity: affinity::Required,
    /// Counters of terms that select the pod.
    wanted_by: Arc<Vec<counts::CounterId>>,
    filtering: Filtering,
}

impl Neighbours {
    /// Counts for the filters. `nodes` are the nodes that there are; if they are all of the cluster, their membership is
    /// given.
    pub(crate) fn new(
        counts: &mut PodCounts,
        kind: u32,
        wants: Arc<Wants>,
        nodes: &[usize],
        membership: Option<Membership>,
        verdicts: &PlacementVerdicts,
        filtering: Filtering,
    ) -> Self {
        let wanted_by = counts.wanted_by(kind);
        let sums = counts.spread_sums(kind, &wants, nodes, membership, verdicts);
        Self {
            spread: spread::Hard::new(&wants.hard, Arc::clone(&sums)),
            sums,
            affinity: affinity::Required::new(counts, &wants, &wanted_by),
            wants,
            wanted_by,
            filtering,
        }
    }

    /// Whether every node suits.
    pub(crate) fn is_content(&self) -> bool {
        (self.wants.hard.is_empty() || !self.filtering.spread)
            && (self.affinity.is_empty() || !self.filtering.affinity)
    }

    /// Why a node does not suit.
    pub(crate) fn refusal(&self, counts: &PodCounts, at: usize) -> Option<Refusal> {
        let of_spread = || self.spread.refusal(counts, &self.wants.hard, at);
        let of_affinity = || self.affinity.refusal(counts, &self.wants, at);
        let spread = if self.filtering.spread { of_spread() } else { None };
        spread.or_else(|| if self.filtering.affinity { of_affinity() } else { None })
    }

    /// Normalised scores of plugin PodTopologySpread for candidates; `None` where it has no say.
    pub(crate) fn spread_scores(&self, counts: &PodCounts, candidates: &[usize]) -> Option<Vec<i64>> {
        spread::scores(counts, &self.wants, candidates, &self.sums)
    }

    /// Normalised scores of plugin InterPodAffinity for candidates; `None` where it has no say. `required` is what a
    /// required affinity of another pod is worth; `ignoring` says that the wishes of others do not count for a pod
    /// without preferred terms.
    pub(crate) fn affinity_scores(
        &self,
        counts: &PodCounts,
        candidates: &[usize],
        required: i64,
        ignoring: bool,
    ) -> Option<Vec<i64>> {
        if ignoring && self.wants.preferred.is_empty() {
            return None;
        }
        affinity::scores(counts, &self.wants, &self.wanted_by, candidates, required)
    }
}
