//! Groups that count as one, and how growth is shared among them: cluster-autoscaler's `balance-similar-node-groups`.

use std::collections::{BTreeMap, BTreeSet};

use drayage_cel::Quantity;

use crate::what_if::node_groups::Group;

/// Labels in which similar groups may differ.
const IGNORED: [&str; 7] = [
    "kubernetes.io/hostname",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "beta.kubernetes.io/fluentd-ds-ready",
    "kops.k8s.io/instancegroup",
];

/// When groups are similar. Devices are not compared, neither here nor upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarity {
    /// `balancing-ignore-label`, besides host name, zone and region.
    pub ignored_labels: BTreeSet<String>,
    /// `memory-difference-ratio`: how much capacity of memory may differ.
    pub memory: f64,
    /// `max-allocatable-difference-ratio`
    pub allocatable: f64,
    /// `max-free-difference-ratio`: what the pods that a node starts with leave.
    pub free: f64,
}

impl Default for Similarity {
    fn default() -> Self {
        Self { ignored_labels: BTreeSet::new(), memory: 0.015, allocatable: 0.05, free: 0.05 }
    }
}

/// A group as it is compared: with what the pods that its nodes start with request, by resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared<'g> {
    pub(super) group: &'g Group,
    pub(super) requested: (i64, i64),
}

impl Similarity {
    /// Whether nodes of two groups are alike but for what may differ.
    pub(super) fn holds(&self, left: Compared<'_>, right: Compared<'_>) -> bool {
        let nodes = (&left.group.node, &right.group.node);
        let capacity = both(&nodes.0.capacity, &nodes.1.capacity);
        let allocatable = both(&nodes.0.allocatable, &nodes.1.allocatable);
        let same_capacity = capacity.iter().all(|(name, amounts)| match amounts {
            (Some(left), Some(right)) if *name == "memory" => {
                is_within(milli(left), milli(right), self.memory)
            }
            (Some(left), Some(right)) => left == right,
            _ => false,
        });
        let near =
            |ratio: f64, used: (f64, f64), amounts: &(Option<&Quantity>, Option<&Quantity>)| match amounts {
                (Some(left), Some(right)) => is_within(milli(left) - used.0, milli(right) - used.1, ratio),
                _ => false,
            };
        let same_allocatable =
            allocatable.values().all(|amounts| near(self.allocatable, (0.0, 0.0), amounts));
        let used = |name: &str| match name {
            "cpu" => (super::wide(left.requested.0), super::wide(right.requested.0)),
            "memory" => (super::wide(left.requested.1) * 1000.0, super::wide(right.requested.1) * 1000.0),
            _ => (0.0, 0.0),
        };
        let same_free = allocatable
            .iter()
            .filter(|(name, _)| matches!(**name, "cpu" | "memory" | "pods" | "ephemeral-storage"))
            .all(|(name, amounts)| near(self.free, used(name), amounts));
        same_capacity && same_allocatable && same_free && self.same_labels(nodes.0, nodes.1)
    }

    fn same_labels(
        &self,
        left: &drayage_cluster::objects::Node,
        right: &drayage_cluster::objects::Node,
    ) -> bool {
        let counts =
            |key: &str| !IGNORED.contains(&key) && !self.ignored_labels.iter().any(|ignored| ignored == key);
        let of = |node: &drayage_cluster::objects::Node| -> BTreeMap<String, String> {
            let labels = node.metadata.labels.iter().filter(|(key, _)| counts(key));
            labels.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        of(left) == of(right)
    }
}

type Both<'q> = BTreeMap<&'q str, (Option<&'q Quantity>, Option<&'q Quantity>)>;

fn both<'q>(
    left: impl IntoIterator<Item = (&'q String, &'q Quantity)>,
    right: impl IntoIterator<Item = (&'q String, &'q Quantity)>,
) -> Both<'q> {
    let mut found: Both<'q> = BTreeMap::new();
    for (name, amount) in left {
        found.entry(name).or_default().0 = Some(amount);
    }
    for (name, amount) in right {
        found.entry(name).or_default().1 = Some(amount);
    }
    found
}

fn milli(amount: &Quantity) -> f64 {
    super::wide(amount.milli_value())
}

fn is_within(left: f64, right: f64, ratio: f64) -> bool {
    let (larger, smaller) = (left.max(right), left.min(right));
    larger - smaller <= larger * ratio
}

/// How many of `nodes` new nodes each group gets, given as current size and largest size. The smallest group grows
/// first, until it is as large as the next; what no group has room for is left out.
pub(super) fn shares(groups: &[(usize, usize)], nodes: usize) -> Vec<usize> {
    struct Growing {
        at: usize,
        size: usize,
        most: usize,
    }
    let mut growing: Vec<Growing> = groups
        .iter()
        .enumerate()
        .filter(|(_, (size, most))| size != most)
        .map(|(at, &(size, most))| Growing { at, size, most })
        .collect();
    growing.sort_by_key(|group| group.size);
    let room: usize = growing.iter().map(|group| group.most.saturating_sub(group.size)).sum();
    let mut shares = vec![0; groups.len()];
    let (mut first, mut current) = (0, 0);
    let mut left = nodes.min(room);
    while left > 0 {
        let Some(group) = growing.get_mut(current) else { break };
        if group.size < group.most {
            group.size += 1;
            left -= 1;
            if let Some(share) = shares.get_mut(group.at) {
                *share += 1;
            }
        } else {
            growing.swap(first, current);
            first += 1;
        }
        let size_at = |at: usize| growing.get(at).map(|group| group.size);
        current = if size_at(current + 1).is_some_and(|next| size_at(current).is_some_and(|size| size > next))
        {
            current + 1
        } else {
            first
        };
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_group_grows_first() {
        assert_eq!(shares(&[(1, 10), (3, 10)], 1), [1, 0]);
        assert_eq!(shares(&[(1, 10), (3, 10)], 4), [3, 1]);
        assert_eq!(shares(&[(1, 10), (2, 10), (3, 10)], 6), [3, 2, 1]);
    }

    #[test]
    fn no_group_grows_beyond_its_largest_size() {
        assert_eq!(shares(&[(1, 2), (3, 10)], 5), [1, 4]);
        assert_eq!(shares(&[(2, 2), (3, 4)], 5), [0, 1]);
        assert_eq!(shares(&[(0, 3), (0, 3)], 9), [3, 3]);
        assert_eq!(shares(&[(5, 3), (0, 3)], 9), [0, 3]);
    }
}
