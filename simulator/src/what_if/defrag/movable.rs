//! Which pods may move, and how many of them together.

use std::collections::{BTreeMap, BTreeSet};

use drayage_cluster::objects::DisruptionBudget;
use rustc_hash::FxHashMap;

use crate::schedule::{ClusterState, PodId, PodPlace};
use crate::what_if::drain::{DrainOptions, Drainability, drainability};
use crate::what_if::ground::Ground;

/// The pods that may move, with the budgets that limit how many.
pub(in crate::what_if) struct Movable {
    /// In the order in which they are tried: lowest priority first, then those that hold fewest devices, then by name.
    pub(in crate::what_if) pods: Vec<PodId>,
    /// The place of each in that order.
    ranks: FxHashMap<PodId, usize>,
    /// The others by reason.
    pub(in crate::what_if) fixed: BTreeMap<String, usize>,
    /// Evictions that each budget allows.
    allowed: BTreeMap<String, i64>,
    /// The budgets of each pod.
    budgets: BTreeMap<PodId, Vec<String>>,
}

impl Movable {
    pub(in crate::what_if) fn new(ground: &Ground<'_>, state: &ClusterState, options: &DrainOptions) -> Self {
        let snapshot = &ground.prepared.snapshot;
        let covers = |budget: &DisruptionBudget, id: PodId| {
            state.pod(id).is_some_and(|(pod, _)| budget.covers(&pod.metadata.namespace, &pod.metadata.labels))
        };
        let mut allowed = BTreeMap::new();
        for budget in &snapshot.disruption_budgets {
            let (mut expected, mut healthy) = (0, 0);
            for (_, _, place) in state.pods().filter(|(id, _, _)| covers(budget, *id)) {
                expected += 1;
                healthy += i64::from(matches!(place, PodPlace::Node(_) | PodPlace::Elsewhere));
            }
            allowed.insert(budget.metadata.full_name(), budget.allowed(expected, healthy));
        }
        let mut movable = Self {
            pods: Vec::new(),
            ranks: FxHashMap::default(),
            fixed: BTreeMap::new(),
            allowed,
            budgets: BTreeMap::new(),
        };
        let mut ordered = Vec::new();
        for (id, pod, place) in state.pods() {
            let PodPlace::Node(_) = place else { continue };
            let budgets: Vec<&DisruptionBudget> =
                snapshot.disruption_budgets.iter().filter(|budget| covers(budget, id)).collect();
            let left = |budget: &DisruptionBudget| {
                movable.allowed.get(&budget.metadata.full_name()).copied().unwrap_or(0)
            };
            let fixed = match drainability(pod, &snapshot.workloads, &budgets, left, options) {
                Drainability::Moves => None,
                Drainability::Blocks(reason) => Some(reason.as_str()),
                Drainability::DaemonSet => Some("DaemonSet"),
                Drainability::Skipped => Some("static, or ending"),
                Drainability::WaitsForCompletion => Some("OnCompletion"),
            };
            if let Some(reason) = fixed {
                *movable.fixed.entry(reason.to_owned()).or_default() += 1;
                continue;
            }
            let names = budgets.iter().map(|budget| budget.metadata.full_name()).collect();
            movable.budgets.insert(id, names);
            let devices: usize = state
                .claims_of(id)
                .into_iter()
                .filter_map(|claim| state.claim(claim)?.allocation.map(|allocation| allocation.results.len()))
                .sum();
            ordered.push((pod.spec.priority.unwrap_or(0), devices, pod.metadata.full_name(), id));
        }
        ordered.sort();
        movable.pods = ordered.into_iter().map(|(_, _, _, id)| id).collect();
        movable.ranks = movable.pods.iter().enumerate().map(|(rank, &id)| (id, rank)).collect();
        movable
    }

    /// Whether the budgets allow all of these evictions together.
    pub(in crate::what_if) fn allows(&self, pods: &[PodId]) -> bool {
        self.budgets_after(pods).values().all(|left| *left >= 0)
    }

    /// The budgets of a pod that may move.
    pub(in crate::what_if) fn budgets_of(&self, id: PodId) -> &[String] {
        self.budgets.get(&id).map_or(&[], Vec::as_slice)
    }

    /// What is left of the budgets of these pods after all of them were evicted.
    pub(in crate::what_if) fn budgets_after(&self, pods: &[PodId]) -> BTreeMap<String, i64> {
        let mut left = BTreeMap::new();
        for name in pods.iter().filter_map(|id| self.budgets.get(id)).flatten() {
            let of_budget =
                left.entry(name.clone()).or_insert_with(|| self.allowed.get(name).copied().unwrap_or(0));
            *of_budget -= 1;
        }
        left
    }

    /// Those of the movable pods whose eviction can make room on a node: those on it, and those that hold devices that
    /// more than one node may have.
    pub(in crate::what_if) fn that_matter(
        &self,
        state: &ClusterState,
        at: usize,
        shared: &BTreeSet<PodId>,
    ) -> Vec<PodId> {
        let mut ranks: Vec<usize> =
            state.pods_on(at).iter().chain(shared).filter_map(|id| self.ranks.get(id).copied()).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks.into_iter().filter_map(|rank| self.pods.get(rank).copied()).collect()
    }

    /// The movable pods that hold devices of slices that are not of one node alone, or claims that others use too.
    pub(in crate::what_if) fn with_shared_devices(&self, state: &ClusterState) -> BTreeSet<PodId> {
        let network: BTreeSet<_> = state
            .slices()
            .filter(|slice| slice.node_name.as_ref().is_none_or(String::is_empty))
            .map(drayage_allocator::objects::ResourceSlice::pool_id)
            .collect();
        let matters = |id: PodId| {
            state.claims_of(id).into_iter().filter_map(|claim| state.claim(claim)).any(|claim| {
                claim.consumers.len() > 1
                    || !claim.generated
                    || claim.allocation.is_some_and(|allocation| {
                        allocation.results.iter().any(|result| network.contains(&result.device_id().pool))
                    })
            })
        };
        self.pods.iter().copied().filter(|&id| matters(id)).collect()
    }
}
