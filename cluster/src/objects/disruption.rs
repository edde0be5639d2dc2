//! Disruption budgets and the label selectors they have.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::NodeSelectorRequirement;

use super::{Metadata, Origin};

/// `meta/v1` `LabelSelector`: everything in it must hold; nothing in it holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// `matchLabels`
    pub match_labels: BTreeMap<String, String>,
    /// `matchExpressions`, with the operators `In`, `NotIn`, `Exists` and `DoesNotExist`.
    pub match_expressions: Vec<NodeSelectorRequirement>,
}

/// `policy/v1` `PodDisruptionBudget`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisruptionBudget {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.selector`; `None` selects no pod.
    pub selector: Option<LabelSelector>,
    /// `spec.minAvailable`
    pub min_available: Option<PodNumber>,
    /// `spec.maxUnavailable`
    pub max_unavailable: Option<PodNumber>,
    /// `status.disruptionsAllowed`; `None` where the object has no status, as manifests have none.
    pub disruptions_allowed: Option<i64>,
    /// Names in `status.disruptedPods`: pods whose eviction is under way and counted already.
    pub disrupted_pods: BTreeSet<String>,
}

/// A number of pods, or a share of those there should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodNumber {
    /// As it is.
    Count(i64),
    /// In percent, rounded up.
    Percent(i64),
}

impl PodNumber {
    /// The number for so many pods.
    pub fn of(self, pods: i64) -> i64 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => pods.saturating_mul(percent).saturating_add(99).div_euclid(100),
        }
    }
}

impl DisruptionBudget {
    /// Whether it is about pods of a namespace with these labels.
    pub fn covers(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.metadata.namespace == namespace
            && self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }

    /// Whether the scheduler takes a pod for one of its pods: unlike for the eviction API, a selector without anything
    /// in it selects no pod, nor is a pod without labels selected.
    pub fn covers_for_preemption(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let is_empty = self
            .selector
            .as_ref()
            .is_none_or(|selector| selector.match_labels.is_empty() && selector.match_expressions.is_empty());
        !is_empty && !labels.is_empty() && self.covers(namespace, labels)
    }

    /// How many of its pods may be evicted now: what the status says, else what the disruption controller would work
    /// out, where `expected` pods should be there and `healthy` of them are.
    pub fn allowed(&self, expected: i64, healthy: i64) -> i64 {
        if let Some(allowed) = self.disruptions_allowed {
            return allowed.max(0);
        }
        let desired = match (self.min_available, self.max_unavailable) {
            (Some(min), _) => min.of(expected),
            (None, Some(max)) => expected.saturating_sub(max.of(expected)).max(0),
            (None, None) => 0,
        };
        if expected == 0 { 0 } else { healthy.saturating_sub(desired).max(0) }
    }
}

impl LabelSelector {
    /// Whether everything in it holds for these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| {
                let actual = labels.get(&requirement.key);
                let listed = actual.is_some_and(|actual| requirement.values.contains(actual));
                match requirement.operator.as_str() {
                    "In" => listed,
                    // Unlike for nodes, a label that is not there is not among the values.
                    "NotIn" => !listed,
                    "Exists" => actual.is_some(),
                    "DoesNotExist" => actual.is_none(),
                    _ => false,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(min: Option<PodNumber>, max: Option<PodNumber>) -> DisruptionBudget {
        DisruptionBudget { min_available: min, max_unavailable: max, ..DisruptionBudget::default() }
    }

    #[test]
    fn percents_round_up_as_in_the_disruption_controller() {
        use PodNumber::{Count, Percent};
        assert_eq!(budget(Some(Percent(50)), None).allowed(7, 7), 3);
        assert_eq!(budget(None, Some(Percent(30))).allowed(7, 7), 3);
        assert_eq!(budget(None, Some(Count(1))).allowed(4, 3), 0);
        assert_eq!(budget(Some(Count(2)), None).allowed(4, 4), 2);
        assert_eq!(budget(Some(Count(0)), None).allowed(0, 0), 0);
    }

    #[test]
    fn the_status_wins() {
        let mut budget = budget(Some(PodNumber::Count(4)), None);
        budget.disruptions_allowed = Some(2);
        assert_eq!(budget.allowed(4, 4), 2);
    }

    #[test]
    fn not_in_holds_without_the_label() {
        let requirement = NodeSelectorRequirement {
            key: "tier".to_owned(),
            operator: "NotIn".to_owned(),
            values: vec!["test".to_owned()],
        };
        let selector = LabelSelector { match_expressions: vec![requirement], ..LabelSelector::default() };
        assert!(selector.matches(&BTreeMap::new()));
        assert!(!selector.matches(&BTreeMap::from([("tier".to_owned(), "test".to_owned())])));
    }
}
