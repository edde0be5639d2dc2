//! Disruption budgets as preemption looks at them.

use std::sync::Arc;

use drayage_cluster::objects::{DisruptionBudget, Pod};

use super::pods::{PodId, PodPlace, Pods};

/// The disruption budgets of a cluster, with what they allow now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budgets {
    budgets: Arc<Vec<DisruptionBudget>>,
    /// How many pods of each may still go.
    allowed: Vec<i64>,
}

impl Budgets {
    /// What the status of each says. Where there is none, the disruption controller is played: pods with a node are
    /// healthy, and the pods that are there are those that should be.
    pub(crate) fn new(budgets: &[DisruptionBudget], pods: &Pods) -> Self {
        let allowed = budgets.iter().map(|budget| {
            let (mut expected, mut healthy) = (0, 0);
            let covered = |pod: &Pod| budget.covers(&pod.metadata.namespace, &pod.metadata.labels);
            if budget.disruptions_allowed.is_none() {
                for (_, entry) in pods.iter().filter(|(_, entry)| covered(&entry.pod)) {
                    expected += 1;
                    healthy += i64::from(entry.place != PodPlace::Pending);
                }
            }
            budget.allowed(expected, healthy)
        });
        Self { allowed: allowed.collect(), budgets: Arc::new(budgets.to_vec()) }
    }

    /// For each pod, whether a budget would be violated if they all went, one after the other.
    pub(crate) fn violated_by(&self, going: impl Iterator<Item = PodId>, pods: &Pods) -> Vec<bool> {
        let mut left = self.allowed.clone();
        let violates = |id: PodId| {
            let Some(pod) = pods.get(id).map(|entry| &entry.pod) else { return false };
            let mut covering = self.budgets.iter().zip(&mut left).filter(|(budget, _)| {
                budget.covers_for_preemption(&pod.metadata.namespace, &pod.metadata.labels)
                    && !budget.disrupted_pods.contains(&pod.metadata.name)
            });
            // As upstream's, it takes nothing of the budgets behind the one that is violated; upstream has them in any
            // order, here they are in that of their names.
            covering.any(|(_, left)| {
                *left -= 1;
                *left < 0
            })
        };
        going.map(violates).collect()
    }

    /// A pod is gone: its budgets allow one less.
    pub(crate) fn pod_leaves(&mut self, pod: &Pod) {
        for (budget, allowed) in self.budgets.iter().zip(&mut self.allowed) {
            if budget.covers(&pod.metadata.namespace, &pod.metadata.labels)
                && !budget.disrupted_pods.contains(&pod.metadata.name)
            {
                *allowed = (*allowed - 1).max(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use drayage_cluster::objects::LabelSelector;

    use super::*;

    fn labels(names: &[&str]) -> std::collections::BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), "yes".to_owned())).collect()
    }

    /// A pod that violated one budget used to be counted against those behind it too, so that others violated them.
    #[test]
    fn a_pod_that_violates_a_budget_takes_nothing_of_the_next() {
        let budget = |label: &str, allowed: i64| DisruptionBudget {
            selector: Some(LabelSelector { match_labels: labels(&[label]), ..LabelSelector::default() }),
            disruptions_allowed: Some(allowed),
            ..DisruptionBudget::default()
        };
        let mut pods = Pods::default();
        let mut add = |name: &str, of: &[&str]| {
            let mut pod = Pod::default();
            name.clone_into(&mut pod.metadata.name);
            pod.metadata.labels = labels(of);
            pods.add(Arc::new(pod), PodPlace::Pending)
        };
        let going = [add("both", &["a", "b"]), add("second", &["b"]), add("third", &["b"])];
        let budgets = Budgets::new(&[budget("a", 0), budget("b", 1)], &pods);
        assert_eq!(budgets.violated_by(going.into_iter(), &pods), [true, false, true]);
    }
}
