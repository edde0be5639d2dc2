//! How many pods there are in each part of a topology, kept from pod to pod.

use std::sync::Arc;

use drayage_allocator::persistent::Map;

use super::counts::PodCounts;
use super::wants::{Spread, Wants};
use crate::schedule::placement::PlacementVerdicts;

/// As long as this is equal, the same nodes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// How often nodes came or went.
    pub(crate) nodes: u64,
    /// How often nodes changed what they say of themselves.
    pub(crate) placements: usize,
}

/// Pods in each part of a topology, for one constraint.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// By value of the label, behind them nodes without the label; `None` where no node counts.
    pub(super) pods: Vec<Option<i64>>,
    /// How much of the counter's journal is in them.
    read: u32,
}

/// The sums of all constraints of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct SumsOfPod {
    pub(super) hard: Vec<Sums>,
    pub(super) soft: Vec<Sums>,
}

/// The sums of pods that are alike: by what matters to their neighbours, and by the filters that depend on nothing that
/// changes.
#[derive(Clone, Debug, Default)]
pub(super) struct SpreadSums(Map<(u32, usize), (Membership, Arc<SumsOfPod>)>);

/// Sums are dropped beyond this many pods that are not alike.
const MOST: usize = 1_024;

/// Which nodes count for the constraints of a pod.
#[derive(Clone, Copy)]
struct Counting<'a> {
    counts: &'a PodCounts,
    constraints: &'a [Spread],
    /// Whether nodes that lack a label of any constraint count for none.
    all_labels: bool,
    verdicts: &'a PlacementVerdicts,
}

impl Counting<'_> {
    fn counts_node(&self, at: usize) -> bool {
        let value = |spread: &Spread| self.counts.topologies.value(spread.key, at);
        !self.all_labels || self.constraints.iter().all(|spread| value(spread).is_some())
    }

    fn add(&self, spread: &Spread, sums: &mut Sums, at: usize, pods: i64) {
        let placement = self.verdicts.get(at);
        let is_included = (!spread.honors_affinity || placement.matches_affinity)
            && (!spread.honors_taints || placement.tolerates_taints);
        let value = self.counts.topologies.value(spread.key, at);
        let place = value.map_or(sums.pods.len().checked_sub(1), |value| usize::try_from(value).ok());
        if is_included && let Some(place) = place.and_then(|place| sums.pods.get_mut(place)) {
            *place.get_or_insert(0) += pods;
        }
    }

    fn anew(&self, nodes: &[usize]) -> Vec<Sums> {
        let mut all: Vec<Sums> = self
            .constraints
            .iter()
            .map(|spread| Sums {
                pods: vec![None; self.counts.topologies.values(spread.key) + 1],
                read: spread.counter.map_or(0, |counter| self.counts.journal_length(counter)),
            })
            .collect();
        for &at in nodes.iter().filter(|&&at| !self.constraints.is_empty() && self.counts_node(at)) {
            for (spread, sums) in self.constraints.iter().zip(&mut all) {
                self.add(spread, sums, at, self.counts.pods_on(spread, at));
            }
        }
        all
    }

    fn is_current(&self, all: &[Sums]) -> bool {
        self.constraints.iter().zip(all).all(|(spread, sums)| {
            spread.counter.is_none_or(|counter| self.counts.journal_length(counter) == sums.read)
        })
    }

    fn catch_up(&self, all: &mut [Sums]) {
        for (spread, sums) in self.constraints.iter().zip(all) {
            let Some(counter) = spread.counter else { continue };
            for (node, times) in self.counts.counted_since(counter, sums.read) {
                let at = usize::try_from(node).unwrap_or(usize::MAX);
                if self.counts_node(at) {
                    self.add(spread, sums, at, times);
                }
            }
            sums.read = self.counts.journal_length(counter);
        }
    }
}

impl PodCounts {
    /// How many pods of a constraint are on a node.
    pub(super) fn pods_on(&self, spread: &Spread, at: usize) -> i64 {
        let node = u32::try_from(at).ok();
        spread.counter.zip(node).map_or(0, |(counter, node)| self.count(counter, node))
    }

    /// The sums for a pod of a kind. `nodes` are the nodes that count; if they are all nodes there are, their membership
    /// is given, and the sums are kept.
    pub(super) fn spread_sums(
        &mut self,
        kind: u32,
        wants: &Wants,
        nodes: &[usize],
        membership: Option<Membership>,
        verdicts: &PlacementVerdicts,
    ) -> Arc<SumsOfPod> {
        if wants.hard.is_empty() && wants.soft.is_empty() {
            return Arc::default();
        }
        let counting =
            |constraints, all_labels| Counting { counts: &*self, constraints, all_labels, verdicts };
        let (hard, soft) = (counting(&wants.hard, true), counting(&wants.soft, wants.own_soft));
        let key = (kind, verdicts.wish);
        let known = self.sums.0.get(&key).filter(|(when, _)| Some(*when) == membership);
        let sums = match known {
            Some((_, sums)) if hard.is_current(&sums.hard) && soft.is_current(&sums.soft) => {
                return Arc::clone(sums);
            }
            Some((_, sums)) => {
                let mut sums = SumsOfPod::clone(sums);
                hard.catch_up(&mut sums.hard);
                soft.catch_up(&mut sums.soft);
                sums
            }
            None => SumsOfPod { hard: hard.anew(nodes), soft: soft.anew(nodes) },
        };
        let sums = Arc::new(sums);
        if let Some(membership) = membership {
            if self.sums.0.len() >= MOST {
                self.sums = SpreadSums::default();
            }
            self.sums.0.insert(key, (membership, Arc::clone(&sums)));
        }
        sums
    }
}
