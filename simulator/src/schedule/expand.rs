//! Plays the workload controllers: makes the pods of Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs
//! that have none.

use drayage_allocator::objects::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use drayage_cluster::FieldPath;
use drayage_cluster::objects::{
    Metadata, Node, NodeAffinity, OwnerReference, Pod, PodSpec, PodStatus, Toleration, Workload,
    WorkloadKind, WorkloadSize,
};
use rustc_hash::FxHashSet;

use super::options::SimulateError;
use super::selector;
use super::taints;

/// More pods than this are not made: a typing error in `replicas` should not eat the machine.
const MOST_PODS: usize = 500_000;

/// A pod that was made, and of what, such as `Deployment/trainer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) pod: Pod,
    pub(crate) from: String,
}

/// The pods of workloads that own none. A Deployment with a ReplicaSet is left to that.
pub(crate) fn expand(
    workloads: &[Workload],
    pods: &[Pod],
    nodes: &[Node],
    comparison: bool,
) -> Result<Vec<Expanded>, SimulateError> {
    let owners = |metadata: &'_ Metadata| {
        let namespace = metadata.namespace.clone();
        metadata.controller().map(|owner| (namespace, owner.kind.clone(), owner.name.clone()))
    };
    let mut busy: FxHashSet<(String, String, String)> =
        pods.iter().filter_map(|pod| owners(&pod.metadata)).collect();
    busy.extend(workloads.iter().filter_map(|workload| owners(&workload.metadata)));
    let mut expanded = Vec::new();
    for workload in workloads {
        let metadata = &workload.metadata;
        let key = (metadata.namespace.clone(), workload.kind.as_str().to_owned(), metadata.name.clone());
        if metadata.deletion_timestamp.is_some() || busy.contains(&key) {
            continue;
        }
        let (count, first) = match workload.size {
            WorkloadSize::OnePerNode => {
                daemons(workload, nodes, comparison, &mut expanded)?;
                continue;
            }
            WorkloadSize::Replicas { count, first } => (count, first),
            WorkloadSize::Completions { suspended: true, .. } => continue,
            WorkloadSize::Completions { pods, .. } => (pods, 0),
        };
        if expanded.len().saturating_add(count as usize) > MOST_PODS {
            return Err(too_many(workload));
        }
        for number in 0..count {
            let name = format!("{}-{}", metadata.name, u64::from(first) + u64::from(number));
            expanded.push(made(workload, name, workload.template.spec.clone()));
        }
    }
    Ok(expanded)
}

fn too_many(workload: &Workload) -> SimulateError {
    SimulateError::TooManyPods {
        workload: format!("{}/{}", workload.kind.as_str(), workload.metadata.full_name()),
        limit: MOST_PODS,
    }
}

fn made(workload: &Workload, name: String, spec: PodSpec) -> Expanded {
    let owner = &workload.metadata;
    let pod = Pod {
        metadata: Metadata {
            uid: format!("pod-of-{}", owner.uid) + "/" + &name,
            name,
            namespace: owner.namespace.clone(),
            labels: workload.template.labels.clone(),
            annotations: workload.template.annotations.clone(),
            owner_references: vec![OwnerReference {
                api_version: workload.kind.api_version().to_owned(),
                kind: workload.kind.as_str().to_owned(),
                name: owner.name.clone(),
                uid: owner.uid.clone(),
                controller: true,
                block_owner_deletion: true,
            }],
            creation_timestamp: owner.creation_timestamp.clone(),
            ..Metadata::default()
        },
        origin: workload.origin.within(&FieldPath::fields("spec.template")),
        spec,
        status: PodStatus { phase: "Pending".to_owned(), ..PodStatus::default() },
    };
    Expanded { pod, from: format!("{}/{}", workload.kind.as_str(), owner.name) }
}

/// One pod for every node that the DaemonSet controller would choose, tied to it by affinity.
fn daemons(
    workload: &Workload,
    nodes: &[Node],
    comparison: bool,
    expanded: &mut Vec<Expanded>,
) -> Result<(), SimulateError> {
    debug_assert_eq!(workload.kind, WorkloadKind::DaemonSet, "only DaemonSets have one pod per node");
    let mut spec = workload.template.spec.clone();
    spec.tolerations.extend(daemon_tolerations(spec.host_network));
    let required = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.clone());
    for node in nodes {
        let name = &node.metadata.name;
        let fits = selector::accepts(&spec.node_selector, required.as_ref(), &node.for_allocator())
            && taints::untolerated(&node.taints, &spec.tolerations, comparison).is_none();
        if !fits {
            continue;
        }
        if expanded.len() >= MOST_PODS {
            return Err(too_many(workload));
        }
        let mut spec = spec.clone();
        let only_this_node = NodeSelector {
            terms: vec![NodeSelectorTerm {
                match_expressions: Vec::new(),
                match_fields: vec![NodeSelectorRequirement {
                    key: "metadata.name".to_owned(),
                    operator: "In".to_owned(),
                    values: vec![name.clone()],
                }],
            }],
        };
        spec.node_affinity.get_or_insert_with(NodeAffinity::default).required = Some(only_this_node);
        expanded.push(made(workload, format!("{}-{name}", workload.metadata.name), spec));
    }
    Ok(())
}

/// The tolerations that the DaemonSet controller adds.
fn daemon_tolerations(host_network: bool) -> impl Iterator<Item = Toleration> {
    let all = [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("network-unavailable", "NoSchedule"),
    ];
    all.into_iter().filter(move |&(key, _)| host_network || key != "network-unavailable").map(
        |(key, effect)| Toleration {
            key: format!("node.kubernetes.io/{key}"),
            operator: "Exists".to_owned(),
            effect: effect.to_owned(),
            ..Toleration::default()
        },
    )
}

#[cfg(test)]
mod tests {
    use drayage_cluster::objects::Taint;

    use super::*;

    fn workload(kind: WorkloadKind, name: &str, size: WorkloadSize) -> Workload {
        let metadata = Metadata {
            name: name.to_owned(),
            namespace: "ns".to_owned(),
            uid: format!("uid-{name}"),
            ..Metadata::default()
        };
        Workload { metadata, kind, size, ..Workload::default() }
    }

    fn owned_by(owner: &Workload) -> Metadata {
        let mut metadata = made(owner, "x".to_owned(), PodSpec::default()).pod.metadata;
        metadata.name = "owned".to_owned();
        metadata
    }

    fn names(workloads: &[Workload], pods: &[Pod], nodes: &[Node]) -> Vec<String> {
        let expanded = expand(workloads, pods, nodes, false).unwrap();
        expanded.into_iter().map(|expanded| expanded.pod.metadata.name).collect()
    }

    #[test]
    fn replicas_and_completions_are_numbered() {
        let deployment =
            workload(WorkloadKind::Deployment, "web", WorkloadSize::Replicas { count: 2, first: 0 });
        let set = workload(WorkloadKind::StatefulSet, "db", WorkloadSize::Replicas { count: 2, first: 5 });
        let job = |suspended| {
            let size = WorkloadSize::Completions { pods: 1, indexed: false, suspended };
            workload(WorkloadKind::Job, "once", size)
        };
        assert_eq!(
            names(&[deployment, set, job(false)], &[], &[]),
            ["web-0", "web-1", "db-5", "db-6", "once-0"]
        );
        assert!(names(&[job(true)], &[], &[]).is_empty());
    }

    #[test]
    fn workloads_with_pods_are_left_alone() {
        let deployment =
            workload(WorkloadKind::Deployment, "web", WorkloadSize::Replicas { count: 2, first: 0 });
        let mut replicas =
            workload(WorkloadKind::ReplicaSet, "web-5f", WorkloadSize::Replicas { count: 1, first: 0 });
        replicas.metadata.owner_references = owned_by(&deployment).owner_references;
        let pod = Pod { metadata: owned_by(&replicas), ..Pod::default() };
        let workloads = [deployment, replicas];
        assert_eq!(names(&workloads, &[], &[]), ["web-5f-0"]);
        assert!(names(&workloads, &[pod], &[]).is_empty());
    }

    #[test]
    fn daemons_go_where_their_tolerations_allow() {
        let node = |name: &str, taint: Option<&str>| {
            let mut node = Node::default();
            name.clone_into(&mut node.metadata.name);
            node.taints.extend(taint.map(|key| Taint {
                key: key.to_owned(),
                value: String::new(),
                effect: "NoSchedule".to_owned(),
            }));
            node
        };
        let nodes = [
            node("a", None),
            node("b", Some("gpu")),
            node("c", Some("node.kubernetes.io/unschedulable")),
            node("d", Some("node.kubernetes.io/network-unavailable")),
        ];
        let mut set = workload(WorkloadKind::DaemonSet, "agent", WorkloadSize::OnePerNode);
        assert_eq!(names(std::slice::from_ref(&set), &[], &nodes), ["agent-a", "agent-c"]);
        set.template.spec.host_network = true;
        assert_eq!(names(&[set], &[], &nodes), ["agent-a", "agent-c", "agent-d"]);
    }

    #[test]
    fn absurd_replicas_are_refused() {
        let size = WorkloadSize::Replicas { count: u32::MAX, first: u32::MAX };
        let error = expand(&[workload(WorkloadKind::Deployment, "web", size)], &[], &[], false).unwrap_err();
        assert!(matches!(error, SimulateError::TooManyPods { .. }), "{error}");
    }
}
