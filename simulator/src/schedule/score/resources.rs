//! Scores of plugins NodeResourcesFit and NodeResourcesBalancedAllocation.

use drayage_cel::Release;

use super::MOST;
use crate::schedule::node::PodNeeds;
use crate::schedule::profile::{SchedulerProfile, ScoreWeights, ScoringStrategy};
use crate::schedule::resources::{Amounts, NodeResources, ResourceId, ResourceNames};

/// How many devices stand in for an extended resource on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceAmount {
    pub(crate) resource: ResourceId,
    pub(crate) all: i64,
    pub(crate) held: i64,
}

/// The scores by resources of a profile and release.
#[derive(Clone, Debug)]
pub(crate) struct Scorers {
    strategy: ScoringStrategy,
    /// Resources with their weights.
    fit: Vec<(ResourceId, i64)>,
    balanced: Vec<ResourceId>,
    /// Whether what counts is how much better balanced a node gets (1.36), not how balanced it is.
    improvement: bool,
}

impl Scorers {
    pub(crate) fn new(profile: &SchedulerProfile, release: Release, names: &mut ResourceNames) -> Self {
        Self {
            strategy: profile.strategy.clone(),
            fit: profile.fit_resources.iter().map(|(name, weight)| (names.id(name), *weight)).collect(),
            balanced: profile.balanced_resources.iter().map(|name| names.id(name)).collect(),
            improvement: release >= Release::V1_36,
        }
    }

    /// The weighted scores that look at nothing but the resources of a node and of the pod.
    pub(crate) fn of_node(
        &self,
        weights: &ScoreWeights,
        node: &NodeResources,
        needs: &PodNeeds,
        by_devices: &[DeviceAmount],
    ) -> i64 {
        let fit = if weights.node_resources_fit > 0 {
            weights.node_resources_fit * self.fit(node, needs, by_devices)
        } else {
            0
        };
        if weights.balanced_allocation > 0 && self.balances(needs) {
            fit + weights.balanced_allocation * self.balanced(node, needs, by_devices)
        } else {
            fit
        }
    }

    /// Resources besides CPU, memory and ephemeral storage that count and that the pod requests.
    pub(crate) fn scalars<'a>(&'a self, needs: &'a PodNeeds) -> impl Iterator<Item = ResourceId> + 'a {
        let all = self.fit.iter().map(|&(id, _)| id).chain(self.balanced.iter().copied());
        all.filter(|&id| needs.amounts.scalar(id).is_some_and(|amount| amount > 0))
    }

    /// NodeResourcesFit: how much of the node is in use with the pod.
    pub(crate) fn fit(&self, node: &NodeResources, needs: &PodNeeds, by_devices: &[DeviceAmount]) -> i64 {
        let (mut sum, mut weights) = (0_i64, 0_i64);
        for &(id, weight) in &self.fit {
            let (requested, allocatable) = match id {
                ResourceId::CPU => {
                    (node.assumed().milli_cpu + needs.scored.milli_cpu, node.allocatable.milli_cpu)
                }
                ResourceId::MEMORY => (node.assumed().memory + needs.scored.memory, node.allocatable.memory),
                id => {
                    let Some((requested, allocatable)) = in_use(node, needs, id, by_devices) else {
                        continue;
                    };
                    (requested, allocatable)
                }
            };
            if allocatable == 0 {
                continue;
            }
            let score = self.score(requested, allocatable);
            if matches!(self.strategy, ScoringStrategy::RequestedToCapacityRatio(_)) && score <= 0 {
                continue;
            }
            sum += score * weight;
            weights += weight;
        }
        if weights == 0 {
            0
        } else if matches!(self.strategy, ScoringStrategy::RequestedToCapacityRatio(_)) {
            rounded(sum, weights)
        } else {
            sum / weights
        }
    }

    /// NodeResourcesFit for parts of a topology: how much of all nodes of a part is in use with these pods, which are on
    /// none of them yet; more is better, whatever the strategy for nodes.
    pub(crate) fn of_part(&self, nodes: &[&NodeResources], pods: &[PodNeeds]) -> i64 {
        let (mut sum, mut weights) = (0_i64, 0_i64);
        for &(id, weight) in &self.fit {
            let needed = pods.iter().map(|needs| match id {
                ResourceId::CPU => needs.scored.milli_cpu,
                ResourceId::MEMORY => needs.scored.memory,
                id => amount(&needs.amounts, id),
            });
            let mut requested: i64 = needed.sum();
            if requested == 0
                && !matches!(id, ResourceId::CPU | ResourceId::MEMORY | ResourceId::EPHEMERAL_STORAGE)
            {
                continue;
            }
            let mut allocatable = 0_i64;
            for node in nodes {
                let in_use = match id {
                    ResourceId::CPU => node.assumed().milli_cpu,
                    ResourceId::MEMORY => node.assumed().memory,
                    id => amount(node.requested(), id),
                };
                requested = requested.saturating_add(in_use);
                allocatable = allocatable.saturating_add(amount(&node.allocatable, id));
            }
            if allocatable == 0 {
                continue;
            }
            let share = i128::from(requested.min(allocatable)) * i128::from(MOST) / i128::from(allocatable);
            sum += i64::try_from(share).unwrap_or(MOST) * weight;
            weights += weight;
        }
        if weights == 0 { 0 } else { sum / weights }
    }

    fn score(&self, requested: i64, allocatable: i64) -> i64 {
        let share = |amount: i64| {
            // Amounts of memory times a hundred fit, those near the end of the range need more room.
            let share = i128::from(amount) * i128::from(MOST) / i128::from(allocatable);
            i64::try_from(share).unwrap_or(i64::MAX)
        };
        match &self.strategy {
            ScoringStrategy::LeastAllocated if requested > allocatable => 0,
            ScoringStrategy::LeastAllocated => share(allocatable - requested),
            ScoringStrategy::MostAllocated => share(requested.min(allocatable)),
            ScoringStrategy::RequestedToCapacityRatio(points) => {
                broken_line(points, if requested > allocatable { MOST } else { share(requested) })
            }
        }
    }

    /// Whether the balance counts for the pod: it does not where the pod requests nothing of the resources.
    pub(crate) fn balances(&self, needs: &PodNeeds) -> bool {
        self.balanced.iter().any(|&id| amount(&needs.amounts, id) != 0)
    }

    /// NodeResourcesBalancedAllocation: how equally resources are in use with the pod.
    pub(crate) fn balanced(
        &self,
        node: &NodeResources,
        needs: &PodNeeds,
        by_devices: &[DeviceAmount],
    ) -> i64 {
        let with_pod = self.balance(node, needs, by_devices, true);
        if self.improvement {
            MOST / 2 + (MOST / 2 + with_pod - self.balance(node, needs, by_devices, false)) / 2
        } else {
            with_pod
        }
    }

    fn balance(
        &self,
        node: &NodeResources,
        needs: &PodNeeds,
        by_devices: &[DeviceAmount],
        with_pod: bool,
    ) -> i64 {
        // Mostly there are two resources, and no room is needed for more.
        let mut first_two = [0.0_f64; 2];
        let (mut count, mut more) = (0_usize, Vec::new());
        for &id in &self.balanced {
            let Some((with, allocatable)) = in_use(node, needs, id, by_devices) else { continue };
            if allocatable == 0 {
                continue;
            }
            let requested = if with_pod { with } else { with - amount(&needs.amounts, id) };
            let fraction = (float(requested) / float(allocatable)).min(1.0);
            match first_two.get_mut(count) {
                Some(place) => *place = fraction,
                None => more.push(fraction),
            }
            count += 1;
        }
        let [first, second] = first_two;
        let deviation = match count {
            0 | 1 => 0.0,
            2 => ((first - second) / 2.0).abs(),
            _ => {
                let all = || first_two.iter().chain(&more);
                let number = float(i64::try_from(count).unwrap_or(i64::MAX));
                let mean = all().fold(0.0, |sum, fraction| sum + fraction) / number;
                let squares = all().fold(0.0, |sum, fraction| sum + (fraction - mean) * (fraction - mean));
                (squares / number).sqrt()
            }
        };
        truncated((1.0 - deviation) * 100.0)
    }
}

/// What is in use of a resource with the pod, and how much there is; `None` for a resource that does not count.
fn in_use(
    node: &NodeResources,
    needs: &PodNeeds,
    id: ResourceId,
    by_devices: &[DeviceAmount],
) -> Option<(i64, i64)> {
    let needed = amount(&needs.amounts, id);
    if let Some(found) = by_devices.iter().find(|found| found.resource == id) {
        return Some((found.held + needed, found.all));
    }
    match id {
        ResourceId::CPU => Some((node.requested().milli_cpu + needed, node.allocatable.milli_cpu)),
        ResourceId::MEMORY => Some((node.requested().memory + needed, node.allocatable.memory)),
        ResourceId::EPHEMERAL_STORAGE => {
            Some((node.requested().ephemeral_storage + needed, node.allocatable.ephemeral_storage))
        }
        _ if needed == 0 => None,
        id => Some((node.requested().scalar(id).unwrap_or(0) + needed, node.allocatable.scalar(id)?)),
    }
}

fn amount(amounts: &Amounts, id: ResourceId) -> i64 {
    match id {
        ResourceId::CPU => amounts.milli_cpu,
        ResourceId::MEMORY => amounts.memory,
        ResourceId::EPHEMERAL_STORAGE => amounts.ephemeral_storage,
        id => amounts.scalar(id).unwrap_or(0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the scheduler computes with doubles too")]
fn float(amount: i64) -> f64 {
    amount as f64
}

#[expect(clippy::cast_possible_truncation, reason = "scores are between 0 and 100")]
fn truncated(score: f64) -> i64 {
    score as i64
}

fn rounded(sum: i64, weights: i64) -> i64 {
    truncated((float(sum) / float(weights)).round())
}

/// The function through the points, scores times ten.
fn broken_line(points: &[(i64, i64)], utilization: i64) -> i64 {
    let mut before: Option<(i64, i64)> = None;
    for &(at, score) in points {
        let score = score * 10;
        if utilization <= at {
            return match before {
                None => score,
                Some((from, low)) => low + (score - low) * (utilization - from) / (at - from).max(1),
            };
        }
        before = Some((at, score));
    }
    before.map_or(0, |(_, score)| score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::resources::{Assumed, ResourceList};

    fn amounts(names: &mut ResourceNames, cpu: &str, memory: &str) -> Amounts {
        let list: ResourceList = [("cpu", cpu), ("memory", memory)]
            .map(|(name, text)| (name.to_owned(), text.parse().unwrap()))
            .into();
        names.amounts(&list)
    }

    fn scores(strategy: ScoringStrategy, release: Release) -> (i64, i64) {
        let mut names = ResourceNames::default();
        let profile = SchedulerProfile { strategy, ..SchedulerProfile::default() };
        let scorers = Scorers::new(&profile, release, &mut names);
        let mut node = NodeResources::new(amounts(&mut names, "4", "10Gi"), 10);
        let taken = amounts(&mut names, "1", "1Gi");
        node.take(&taken, Assumed { milli_cpu: taken.milli_cpu, memory: taken.memory });
        let needed = amounts(&mut names, "1", "4Gi");
        let scored = Assumed { milli_cpu: needed.milli_cpu, memory: needed.memory };
        let needs = PodNeeds { amounts: needed, scored, assumed: scored, ..PodNeeds::default() };
        (scorers.fit(&node, &needs, &[]), scorers.balanced(&node, &needs, &[]))
    }

    #[test]
    fn strategies_score_what_is_in_use_with_the_pod() {
        // Half of both is in use with the pod; before, a quarter and a tenth.
        assert_eq!(scores(ScoringStrategy::LeastAllocated, Release::V1_36), (50, 79));
        assert_eq!(scores(ScoringStrategy::MostAllocated, Release::V1_34), (50, 100));
        let line = ScoringStrategy::RequestedToCapacityRatio(vec![(0, 0), (100, 10)]);
        assert_eq!(scores(line, Release::V1_35).0, 50);
        let flat = ScoringStrategy::RequestedToCapacityRatio(vec![(60, 3), (70, 10)]);
        assert_eq!(scores(flat, Release::V1_35).0, 30);
    }
}
