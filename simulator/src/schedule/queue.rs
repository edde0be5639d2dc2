//! The order in which pods are tried.

use std::cmp::Ordering;

use drayage_cluster::objects::Pod;

/// What [`order`] does, for reports.
pub(crate) const QUEUE_RULE: &str =
    "pods by priority, highest first, then by creationTimestamp (pods without one last), namespace and name";

/// Queue order: kube-scheduler's, priority and then the time of arrival, for which the creation time stands in;
/// ties, for which it has no rule, by namespace and name.
pub(crate) fn order(left: &Pod, right: &Pod) -> Ordering {
    let created =
        |pod: &Pod| (pod.metadata.creation_timestamp.is_none(), pod.metadata.creation_timestamp.clone());
    // The loader has resolved priority classes; a pod made by hand may have none.
    let priority = |pod: &Pod| pod.spec.priority.unwrap_or(0);
    priority(right)
        .cmp(&priority(left))
        .then_with(|| created(left).cmp(&created(right)))
        .then_with(|| left.metadata.namespace.cmp(&right.metadata.namespace))
        .then_with(|| left.metadata.name.cmp(&right.metadata.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, priority: impl Into<Option<i32>>, created: Option<&str>) -> Pod {
        let mut pod = Pod::default();
        name.clone_into(&mut pod.metadata.name);
        pod.spec.priority = priority.into();
        pod.metadata.creation_timestamp = created.map(str::to_owned);
        pod
    }

    #[test]
    fn priority_then_time_then_name() {
        let mut pods = [
            pod("d", None, None),
            pod("c", 0, Some("2023-01-02T00:00:00Z")),
            pod("b", 0, Some("2023-01-01T00:00:00Z")),
            pod("a", 0, Some("2023-01-02T00:00:00Z")),
            pod("z", 5, None),
            pod("y", -5, Some("2022-01-01T00:00:00Z")),
        ];
        pods.sort_by(order);
        assert_eq!(pods.map(|pod| pod.metadata.name), ["z", "b", "a", "c", "d", "y"]);
    }
}
