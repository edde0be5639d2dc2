//! The workload controllers: make pods from templates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drayage_allocator::objects::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use crate::matching;
use crate::objects::{
    Metadata, Node, NodeAffinity, ObjectReference, OwnerReference, Pod, PodSpec, PodStatus, Toleration,
    Workload, WorkloadKind, WorkloadSize,
};
use crate::path::FieldPath;
use crate::snapshot::Snapshot;

use super::names::{TakenNames, free_name, template_hash};
use super::volume_claims::VolumeClaims;

/// What became of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// The workload.
    pub workload: ObjectReference,
    /// How many pods it wants; for a DaemonSet, one for each node that fits.
    pub wanted: usize,
    /// How many of them the input already had.
    pub existing: usize,
    /// How many pods were made.
    pub created: usize,
}

/// Makes the pods that Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs lack.
///
/// Pods that exist count by their owner reference. A Deployment whose ReplicaSets are in the input makes none
/// itself. Pods have the names, labels, owners and tolerations that the controllers give them, with suffixes from
/// [`super::generated_name`]. Pods of a StatefulSet get a PersistentVolumeClaim for each of its templates; one that is there
/// already, of a pod before, is used, and where the input has neither claims nor volumes nor StorageClasses none is made.
pub fn expand_workloads(snapshot: &mut Snapshot) -> Vec<Expansion> {
    let mut names: BTreeSet<(String, String)> =
        snapshot.pods.iter().map(|pod| (pod.metadata.namespace.clone(), pod.metadata.name.clone())).collect();
    let by_workload = pods_by_workload(&snapshot.pods);
    let mut expansions = Vec::new();
    let mut created = Vec::new();
    let mut claims = VolumeClaims::new(snapshot);
    for workload in &snapshot.workloads {
        if workload.kind == WorkloadKind::Deployment && has_replica_sets(snapshot, workload) {
            continue;
        }
        let key =
            (workload.metadata.namespace.as_str(), workload.kind.as_str(), workload.metadata.name.as_str());
        let existing = by_workload.get(&key).map_or(&[][..], Vec::as_slice);
        let plan = plan(workload, existing, &snapshot.nodes);
        expansions.push(Expansion {
            workload: ObjectReference {
                kind: workload.kind.as_str().to_owned(),
                namespace: workload.metadata.namespace.clone(),
                name: workload.metadata.name.clone(),
            },
            wanted: plan.wanted,
            existing: existing.len(),
            created: plan.missing.len(),
        });
        for identity in &plan.missing {
            let mut pod = pod(workload, identity, &mut names);
            claims.give(workload, &mut pod);
            created.push(pod);
        }
    }
    snapshot.pods.extend(created.into_iter().map(Arc::new));
    snapshot.persistent_volume_claims.extend(claims.created);
    snapshot.sort();
    expansions
}

/// What tells the pods of one workload apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// Nothing but the name.
    Any(u64),
    /// `web-0`
    Ordinal(u32),
    /// The completion index of a Job.
    Index(u32),
    /// The node of a DaemonSet's pod.
    Node(String),
}

struct Plan {
    wanted: usize,
    missing: Vec<Identity>,
}

fn plan(workload: &Workload, existing: &[&Pod], nodes: &[Node]) -> Plan {
    match workload.size {
        WorkloadSize::Replicas { count, first } if workload.kind == WorkloadKind::StatefulSet => {
            let taken: BTreeSet<&str> = existing.iter().map(|pod| pod.metadata.name.as_str()).collect();
            let missing = (first..first.saturating_add(count))
                .filter(|ordinal| !taken.contains(format!("{}-{ordinal}", workload.metadata.name).as_str()))
                .map(Identity::Ordinal)
                .collect();
            Plan { wanted: usize_of(count), missing }
        }
        WorkloadSize::Replicas { count, .. } => anonymous(usize_of(count), existing.len()),
        WorkloadSize::Completions { suspended: true, .. } => Plan { wanted: 0, missing: Vec::new() },
        WorkloadSize::Completions { pods, indexed: false, .. } => anonymous(usize_of(pods), existing.len()),
        WorkloadSize::Completions { pods, indexed: true, .. } => {
            let taken: BTreeSet<u32> = existing.iter().filter_map(|pod| completion_index(pod)).collect();
            let lacking = usize_of(pods).saturating_sub(existing.len());
            let missing = (0..u32::MAX)
                .filter(|index| !taken.contains(index))
                .take(lacking)
                .map(Identity::Index)
                .collect();
            Plan { wanted: usize_of(pods), missing }
        }
        WorkloadSize::OnePerNode => {
            let spec = daemon_spec(&workload.template.spec);
            let fitting: Vec<&Node> = nodes.iter().filter(|node| daemon_fits(&spec, node)).collect();
            let taken: BTreeSet<&str> = existing.iter().filter_map(|pod| target_node(pod)).collect();
            let missing = fitting
                .iter()
                .filter(|node| !taken.contains(node.metadata.name.as_str()))
                .map(|node| Identity::Node(node.metadata.name.clone()))
                .collect();
            Plan { wanted: fitting.len(), missing }
        }
    }
}

fn anonymous(wanted: usize, existing: usize) -> Plan {
    let missing = (existing..wanted).filter_map(|number| Some(Identity::Any(u64::try_from(number).ok()?)));
    Plan { wanted, missing: missing.collect() }
}

fn usize_of(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn completion_index(pod: &Pod) -> Option<u32> {
    pod.metadata.annotations.get(COMPLETION_INDEX)?.parse().ok()
}

const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Whether the input has ReplicaSets of this Deployment.
fn has_replica_sets(snapshot: &Snapshot, deployment: &Workload) -> bool {
    snapshot.workloads.iter().any(|other| {
        other.kind == WorkloadKind::ReplicaSet
            && other.metadata.namespace == deployment.metadata.namespace
            && other
                .metadata
                .controller()
                .is_some_and(|owner| owner.kind == "Deployment" && owner.name == deployment.metadata.name)
    })
}

/// Pods that have not ended, by namespace, and kind and name of the workload that controls them.
///
/// A Deployment does so through a ReplicaSet that need not be in the input: its name is that of the Deployment and
/// the hash that the pod has as a label.
fn pods_by_workload(pods: &[Arc<Pod>]) -> BTreeMap<(&str, &str, &str), Vec<&Pod>> {
    let mut index: BTreeMap<(&str, &str, &str), Vec<&Pod>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod.has_ended()) {
        let Some(owner) = pod.metadata.controller() else { continue };
        let namespace = pod.metadata.namespace.as_str();
        index.entry((namespace, &owner.kind, &owner.name)).or_default().push(pod);
        let deployment = pod
            .metadata
            .labels
            .get("pod-template-hash")
            .and_then(|hash| owner.name.strip_suffix(hash.as_str()))
            .and_then(|rest| rest.strip_suffix('-'));
        if let Some(deployment) = deployment.filter(|_| owner.kind == "ReplicaSet") {
            index.entry((namespace, "Deployment", deployment)).or_default().push(pod);
        }
    }
    index
}

fn pod(workload: &Workload, identity: &Identity, names: &mut TakenNames) -> Pod {
    let namespace = &workload.metadata.namespace;
    let seed = format!("{}/{namespace}/{}", workload.kind.as_str(), workload.metadata.name);
    let mut labels = workload.template.labels.clone();
    let mut annotations = workload.template.annotations.clone();
    let mut spec = workload.template.spec.clone();
    let mut owner = OwnerReference {
        api_version: workload.kind.api_version().to_owned(),
        kind: workload.kind.as_str().to_owned(),
        name: workload.metadata.name.clone(),
        uid: workload.metadata.uid.clone(),
        controller: true,
        block_owner_deletion: true,
    };
    let mut base = format!("{}-", workload.metadata.name);
    match workload.kind {
        WorkloadKind::Deployment => {
            let hash = template_hash(&seed);
            "ReplicaSet".clone_into(&mut owner.kind);
            owner.name = format!("{}-{hash}", workload.metadata.name);
            owner.uid = format!("ReplicaSet:{namespace}/{}", owner.name);
            base = format!("{}-", owner.name);
            labels.insert("pod-template-hash".to_owned(), hash);
        }
        WorkloadKind::Job => {
            for key in ["job-name", "batch.kubernetes.io/job-name"] {
                labels.insert(key.to_owned(), workload.metadata.name.clone());
            }
            for key in ["controller-uid", "batch.kubernetes.io/controller-uid"] {
                labels.insert(key.to_owned(), workload.metadata.uid.clone());
            }
        }
        WorkloadKind::DaemonSet => spec = daemon_spec(&spec),
        WorkloadKind::ReplicaSet | WorkloadKind::StatefulSet => {}
    }
    let mut first = 0;
    match identity {
        Identity::Any(number) => first = *number,
        Identity::Ordinal(ordinal) => {
            labels.insert("apps.kubernetes.io/pod-index".to_owned(), ordinal.to_string());
            let name = format!("{base}{ordinal}");
            labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), name.clone());
            names.insert((namespace.clone(), name.clone()));
            return assemble(workload, name, labels, annotations, spec, owner);
        }
        Identity::Index(index) => {
            labels.insert(COMPLETION_INDEX.to_owned(), index.to_string());
            annotations.insert(COMPLETION_INDEX.to_owned(), index.to_string());
            base = format!("{base}{index}-");
        }
        Identity::Node(node) => pin_to_node(&mut spec, node),
    }
    let name = free_name(&base, &seed, first, namespace, names);
    assemble(workload, name, labels, annotations, spec, owner)
}

fn assemble(
    workload: &Workload,
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: PodSpec,
    owner: OwnerReference,
) -> Pod {
    let namespace = workload.metadata.namespace.clone();
    Pod {
        metadata: Metadata {
            uid: format!("Pod:{namespace}/{name}"),
            name,
            namespace,
            labels,
            annotations,
            owner_references: vec![owner],
            creation_timestamp: workload.metadata.creation_timestamp.clone(),
            ..Metadata::default()
        },
        origin: workload.origin.within(&FieldPath::fields("spec.template")),
        spec,
        status: PodStatus { phase: "Pending".to_owned(), ..PodStatus::default() },
    }
}

/// The template with the tolerations that DaemonSets add: their pods stay and start on troubled nodes.
fn daemon_spec(template: &PodSpec) -> PodSpec {
    let mut added = vec![
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ];
    if template.host_network {
        added.push(("network-unavailable", "NoSchedule"));
    }
    let mut spec = template.clone();
    for (taint, effect) in added {
        let toleration = Toleration {
            key: format!("node.kubernetes.io/{taint}"),
            operator: "Exists".to_owned(),
            effect: effect.to_owned(),
            ..Toleration::default()
        };
        if !spec.tolerations.contains(&toleration) {
            spec.tolerations.push(toleration);
        }
    }
    spec
}

/// Whether the DaemonSet controller wants a pod on the node.
fn daemon_fits(spec: &PodSpec, node: &Node) -> bool {
    spec.node_name.as_ref().is_none_or(|name| *name == node.metadata.name)
        && matching::node_matches_pod(spec, node)
        && matching::untolerated_taint(&spec.tolerations, &node.taints).is_none()
}

/// The controller replaces all terms of the required affinity by one that names the node.
fn pin_to_node(spec: &mut PodSpec, node: &str) {
    let requirement = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: vec![node.to_owned()],
    };
    let term = NodeSelectorTerm { match_fields: vec![requirement], ..NodeSelectorTerm::default() };
    let affinity = spec.node_affinity.get_or_insert_with(NodeAffinity::default);
    affinity.required = Some(NodeSelector { terms: vec![term] });
}

/// The node for which a DaemonSet's pod was made.
fn target_node(pod: &Pod) -> Option<&str> {
    if let Some(node) = &pod.spec.node_name {
        return Some(node);
    }
    let required = pod.spec.node_affinity.as_ref()?.required.as_ref()?;
    let fields = required.terms.iter().flat_map(|term| &term.match_fields);
    let named = fields.into_iter().find(|field| field.key == "metadata.name" && field.operator == "In")?;
    named.values.first().map(String::as_str)
}
