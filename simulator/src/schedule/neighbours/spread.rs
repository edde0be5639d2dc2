//! Plugin PodTopologySpread.

use super::counts::PodCounts;
use super::wants::{Spread, Wants};
use crate::schedule::placement::PlacementVerdicts;
use crate::schedule::tally::Refusal;

/// What the hard constraints look at, one for each.
#[derive(Debug)]
pub(super) struct Hard(Vec<Domains>);

#[derive(Debug)]
struct Domains {
    /// Pods by value of the label; `None` for values that do not count.
    pods: Vec<Option<i64>>,
    least: i64,
}

fn pods_on(counts: &PodCounts, spread: &Spread, at: usize) -> i64 {
    let node = u32::try_from(at).ok();
    spread.counter.zip(node).map_or(0, |(counter, node)| counts.count(counter, node))
}

fn has_labels(counts: &PodCounts, constraints: &[Spread], at: usize) -> bool {
    constraints.iter().all(|spread| counts.topologies.value(spread.key, at).is_some())
}

/// Whether a node counts for a constraint by the pod's node affinity and tolerations.
fn is_included(spread: &Spread, at: usize, verdicts: &PlacementVerdicts) -> bool {
    let placement = verdicts.get(at);
    (!spread.honors_affinity || placement.matches_affinity)
        && (!spread.honors_taints || placement.tolerates_taints)
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl Hard {
    pub(super) fn new(
        counts: &PodCounts,
        constraints: &[Spread],
        nodes: &[usize],
        verdicts: &PlacementVerdicts,
    ) -> Self {
        let mut all: Vec<Vec<Option<i64>>> =
            constraints.iter().map(|spread| vec![None; counts.topologies.values(spread.key)]).collect();
        if !constraints.is_empty() {
            for &at in nodes.iter().filter(|&&at| has_labels(counts, constraints, at)) {
                for (spread, pods) in constraints.iter().zip(&mut all) {
                    let value = counts.topologies.value(spread.key, at);
                    let place = value.and_then(|value| pods.get_mut(index(value)));
                    if let Some(place) = place.filter(|_| is_included(spread, at, verdicts)) {
                        *place.get_or_insert(0) += pods_on(counts, spread, at);
                    }
                }
            }
        }
        let domains = constraints.iter().zip(all).map(|(spread, pods)| {
            let known = || pods.iter().flatten();
            let least = if known().count() < spread.min_domains {
                0
            } else {
                known().min().copied().unwrap_or(i64::from(i32::MAX))
            };
            Domains { pods, least }
        });
        Self(domains.collect())
    }

    pub(super) fn refusal(&self, counts: &PodCounts, constraints: &[Spread], at: usize) -> Option<Refusal> {
        for (spread, domains) in constraints.iter().zip(&self.0) {
            let Some(value) = counts.topologies.value(spread.key, at) else {
                return Some(Refusal::SpreadLabel);
            };
            let pods = domains.pods.get(index(value)).copied().flatten().unwrap_or(0);
            if pods + i64::from(spread.counts_itself) - domains.least > spread.max_skew {
                return Some(Refusal::Spread);
            }
        }
        None
    }
}

/// Scores of the soft constraints: nodes whose domains have fewer pods are better.
pub(super) fn scores(
    counts: &PodCounts,
    wants: &Wants,
    candidates: &[usize],
    nodes: &[usize],
    verdicts: &PlacementVerdicts,
) -> Option<Vec<i64>> {
    let constraints = &wants.soft;
    if constraints.is_empty() {
        return None;
    }
    let counts_at = |at: usize| !wants.own_soft || has_labels(counts, constraints, at);
    let scored = candidates.iter().filter(|&&at| counts_at(at)).count();
    // By constraint and value of the label, pods where a candidate has that value. Nodes without the label share a
    // place behind all values.
    let mut pods: Vec<Vec<Option<i64>>> = Vec::with_capacity(constraints.len());
    let mut weights = Vec::with_capacity(constraints.len());
    for spread in constraints {
        let values = counts.topologies.values(spread.key);
        let place = |at: usize| counts.topologies.value(spread.key, at).map_or(values, index);
        if spread.by_host {
            pods.push(Vec::new());
            weights.push(weight(scored));
            continue;
        }
        let mut of_values: Vec<Option<i64>> = vec![None; values + 1];
        for &at in candidates.iter().filter(|&&at| counts_at(at)) {
            if let Some(pods) = of_values.get_mut(place(at)) {
                *pods = Some(0);
            }
        }
        weights.push(weight(of_values.iter().flatten().count()));
        for &at in nodes.iter().filter(|&&at| counts_at(at) && is_included(spread, at, verdicts)) {
            if let Some(Some(pods)) = of_values.get_mut(place(at)) {
                *pods += pods_on(counts, spread, at);
            }
        }
        pods.push(of_values);
    }
    let score = |&at: &usize| -> Option<i64> {
        if !counts_at(at) {
            return None;
        }
        let mut score = 0.0;
        for ((spread, pods), weight) in constraints.iter().zip(&pods).zip(&weights) {
            let Some(value) = counts.topologies.value(spread.key, at) else { continue };
            let pods = if spread.by_host {
                pods_on(counts, spread, at)
            } else {
                pods.get(index(value)).copied().flatten().unwrap_or(0)
            };
            score += share(pods, spread.max_skew, *weight);
        }
        Some(rounded(score))
    };
    let raw: Vec<Option<i64>> = candidates.iter().map(score).collect();
    let least = raw.iter().flatten().min().copied().unwrap_or(0);
    let most = raw.iter().flatten().max().copied().unwrap_or(0);
    let normalised = raw.into_iter().map(|score| match score {
        None => 0,
        Some(_) if most == 0 => 100,
        Some(score) => 100 * (most + least - score) / most,
    });
    Some(normalised.collect())
}

#[expect(clippy::cast_precision_loss, reason = "the scheduler computes with doubles too")]
fn weight(domains: usize) -> f64 {
    ((domains + 2) as f64).ln()
}

#[expect(clippy::cast_precision_loss, reason = "the scheduler computes with doubles too")]
fn share(pods: i64, max_skew: i64, weight: f64) -> f64 {
    pods as f64 * weight + (max_skew - 1) as f64
}

#[expect(clippy::cast_possible_truncation, reason = "numbers of pods times a small weight")]
fn rounded(score: f64) -> i64 {
    score.round() as i64
}
