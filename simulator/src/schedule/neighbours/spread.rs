//! Plugin PodTopologySpread.

use std::sync::Arc;

use super::counts::PodCounts;
use super::sums::SumsOfPod;
use super::wants::{Spread, Wants};
use crate::schedule::tally::Refusal;

/// What the hard constraints look at.
#[derive(Debug)]
pub(super) struct Hard {
    sums: Arc<SumsOfPod>,
    /// By constraint, the fewest pods in any part.
    least: Vec<i64>,
}

fn has_labels(counts: &PodCounts, constraints: &[Spread], at: usize) -> bool {
    constraints.iter().all(|spread| counts.topologies.value(spread.key, at).is_some())
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl Hard {
    pub(super) fn new(constraints: &[Spread], sums: Arc<SumsOfPod>) -> Self {
        let least = constraints.iter().zip(&sums.hard).map(|(spread, sums)| {
            let known = || sums.pods.iter().flatten();
            if known().count() < spread.min_domains {
                0
            } else {
                known().min().copied().unwrap_or(i64::from(i32::MAX))
            }
        });
        Self { least: least.collect(), sums }
    }

    pub(super) fn refusal(&self, counts: &PodCounts, constraints: &[Spread], at: usize) -> Option<Refusal> {
        for ((spread, sums), least) in constraints.iter().zip(&self.sums.hard).zip(&self.least) {
            let Some(value) = counts.topologies.value(spread.key, at) else {
                return Some(Refusal::SpreadLabel);
            };
            let pods = sums.pods.get(index(value)).copied().flatten().unwrap_or(0);
            if pods + i64::from(spread.counts_itself) - least > spread.max_skew {
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
    sums: &SumsOfPod,
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
    for (spread, sums) in constraints.iter().zip(&sums.soft) {
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
                *pods = Some(sums.pods.get(place(at)).copied().flatten().unwrap_or(0));
            }
        }
        weights.push(weight(of_values.iter().flatten().count()));
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
                counts.pods_on(spread, at)
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
