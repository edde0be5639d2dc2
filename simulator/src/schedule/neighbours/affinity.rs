//! Plugin InterPodAffinity.

use super::counts::{CounterId, PodCounts, Role};
use super::wants::Wants;
use crate::schedule::tally::Refusal;
use crate::schedule::topology::TopologyKey;

/// What is required.
#[derive(Debug)]
pub(super) struct Required {
    /// Anti-affinity of pods that are there: counters of terms that select the pod.
    kept_away_by: Vec<(CounterId, TopologyKey)>,
    /// Whether the pod is the first of those that want to be near each other.
    is_first: bool,
    asks: bool,
}

impl Required {
    pub(super) fn new(counts: &PodCounts, wants: &Wants, wanted_by: &[CounterId]) -> Self {
        let kept_away_by: Vec<(CounterId, TopologyKey)> = wanted_by
            .iter()
            .filter_map(|&id| match counts.term(id)? {
                (Role::Far, key) if !counts.counts_none(id) => Some((id, key)),
                _ => None,
            })
            .collect();
        let is_first = wants.near_itself && wants.near.iter().all(|&(id, _)| counts.counts_none(id));
        let asks = !wants.near.is_empty() || !wants.far.is_empty() || !kept_away_by.is_empty();
        Self { kept_away_by, is_first, asks }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.asks
    }

    pub(super) fn refusal(&self, counts: &PodCounts, wants: &Wants, at: usize) -> Option<Refusal> {
        if !self.asks {
            return None;
        }
        let value = |key| counts.topologies.value(key, at);
        let there = |&(id, key): &(CounterId, TopologyKey)| {
            value(key).is_some_and(|value| counts.count(id, value) > 0)
        };
        let labelled = wants.near.iter().all(|&(_, key)| value(key).is_some());
        if !labelled || !(self.is_first || wants.near.iter().all(there)) {
            return Some(Refusal::PodAffinity);
        }
        if wants.far.iter().any(there) {
            return Some(Refusal::PodAntiAffinity);
        }
        self.kept_away_by.iter().any(there).then_some(Refusal::ExistingAntiAffinity)
    }
}

/// Sums of weights, spread over 0 to 100.
pub(super) fn scores(
    counts: &PodCounts,
    wants: &Wants,
    wanted_by: &[CounterId],
    candidates: &[usize],
    required: i64,
) -> Option<Vec<i64>> {
    let existing = wanted_by.iter().filter_map(|&id| match counts.term(id)? {
        (Role::Near, key) => Some((id, key, required)),
        (Role::Preferred(weight), key) => Some((id, key, weight)),
        (Role::Far, _) => None,
    });
    let weighted: Vec<(CounterId, TopologyKey, i64)> = wants
        .preferred
        .iter()
        .copied()
        .chain(existing)
        .filter(|&(id, _, weight)| weight != 0 && !counts.counts_none(id))
        .collect();
    if weighted.is_empty() {
        return None;
    }
    let score = |&at: &usize| -> i64 {
        let worth = weighted.iter().filter_map(|&(id, key, weight)| {
            Some(weight * counts.count(id, counts.topologies.value(key, at)?))
        });
        worth.sum()
    };
    let sums: Vec<i64> = candidates.iter().map(score).collect();
    let least = sums.iter().min().copied().unwrap_or(0);
    let range = sums.iter().max().copied().unwrap_or(0) - least;
    Some(sums.into_iter().map(|sum| normalised(sum - least, range)).collect())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the scheduler computes with doubles too, and scores are between 0 and 100"
)]
fn normalised(above: i64, range: i64) -> i64 {
    if range > 0 { (100.0 * (above as f64 / range as f64)) as i64 } else { 0 }
}
