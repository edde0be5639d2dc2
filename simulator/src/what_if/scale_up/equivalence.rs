//! Groups of pods that cluster-autoscaler takes for interchangeable.

use std::collections::BTreeMap;

use drayage_cluster::objects::{Pod, PodSpec};

use crate::what_if::drain::is_daemon_set_pod;

/// At most this many groups are told apart for one controller; further pods stand alone.
const MOST_GROUPS_OF_A_CONTROLLER: usize = 10;

/// Numbers of pods that are alike, each group in the order of the pods, groups in the order of their first pods.
///
/// Pods of one controller are alike when their labels and specifications are. A pod without a controller is alike
/// nobody, not even an equal one, and so is a pod of a DaemonSet. (Upstream goes through its groups in the random order
/// of a Go map, which shows where groups score equally.)
pub fn groups(pods: &[&Pod]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut of_controller: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, pod) in pods.iter().enumerate() {
        let controller = pod.metadata.controller().filter(|_| !is_daemon_set_pod(pod));
        if let Some(controller) = controller {
            let known = of_controller.entry(&controller.uid).or_default();
            let alike = known.iter().copied().find(|&group| {
                let first = groups.get(group).and_then(|members| members.first());
                first.and_then(|&first| pods.get(first)).is_some_and(|first| are_alike(pod, first))
            });
            if let Some(members) = alike.and_then(|group| groups.get_mut(group)) {
                members.push(at);
                continue;
            }
            if known.len() < MOST_GROUPS_OF_A_CONTROLLER {
                known.push(groups.len());
            }
        }
        groups.push(vec![at]);
    }
    groups
}

/// Whether labels and specifications agree. What cluster-autoscaler leaves out of the comparison (environment,
/// host name, projected volumes) is not read in the first place.
pub(super) fn are_alike(left: &Pod, right: &Pod) -> bool {
    left.metadata.labels == right.metadata.labels && without_place(&left.spec) == without_place(&right.spec)
}

fn without_place(spec: &PodSpec) -> PodSpec {
    PodSpec { node_name: None, ..spec.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drayage_cluster::objects::OwnerReference;

    fn pod(owner: &str, label: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.labels.insert("index".to_owned(), label.to_owned());
        if !owner.is_empty() {
            pod.metadata.owner_references = vec![OwnerReference {
                kind: "StatefulSet".to_owned(),
                uid: owner.to_owned(),
                controller: true,
                ..OwnerReference::default()
            }];
        }
        pod
    }

    fn numbers(pods: &[Pod]) -> Vec<Vec<usize>> {
        groups(&pods.iter().collect::<Vec<_>>())
    }

    #[test]
    fn pods_of_one_controller_with_equal_labels_are_alike() {
        let pods = [pod("a", "x"), pod("b", "x"), pod("a", "x"), pod("a", "y")];
        assert_eq!(numbers(&pods), [vec![0, 2], vec![1], vec![3]]);
    }

    #[test]
    fn pods_without_a_controller_are_alike_nobody() {
        assert_eq!(numbers(&[pod("", "x"), pod("", "x")]), [vec![0], vec![1]]);
    }

    #[test]
    fn an_eleventh_kind_of_a_controller_is_not_remembered() {
        let mut pods: Vec<Pod> = (0..11).map(|index| pod("a", &index.to_string())).collect();
        pods.extend([pod("a", "10"), pod("a", "0")]);
        let groups = numbers(&pods);
        assert_eq!(groups.len(), 12, "{groups:?}");
        assert_eq!(groups[0], [0, 12]);
    }
}
