//! Pods and workloads: which claims they name, and how they share them.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Cluster;
use super::finding::{Draft, Findings};
use super::input::reference;
use super::pools::{number, shown};
use super::rules::{
    CLAIM_NOT_USED, CLAIM_SHARED_BY_REPLICAS, DAEMON_SET_CLAIM, NODE_NAME_WITH_CLAIMS, Rule,
    TOO_MANY_CONSUMERS, UNKNOWN_CLAIM, UNKNOWN_POD_CLAIM,
};
use super::selectors::nearest;
use crate::objects::{
    ObjectReference, Origin, PodResourceClaim, PodSpec, Workload, WorkloadKind, WorkloadSize,
};
use crate::path::FieldPath;

/// How many consumers a claim may have at a time.
const MOST_CONSUMERS: usize = 256;

/// A pod's specification and where it stands.
struct Site<'s> {
    object: ObjectReference,
    origin: &'s Origin,
    field: FieldPath,
    spec: &'s PodSpec,
}

impl Site<'_> {
    fn draft(&self, rule: &'static Rule, field: FieldPath, message: impl Into<String>) -> Draft {
        Draft::new(rule, self.object.clone(), self.origin, field, message)
    }

    fn claim_field(&self, index: usize) -> FieldPath {
        self.field.clone().field("resourceClaims").index(index)
    }
}

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    let mut consumers: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for workload in &cluster.snapshot.workloads {
        let site = Site {
            object: reference(workload.kind.as_str(), &workload.metadata),
            origin: &workload.origin,
            field: FieldPath::fields("spec.template.spec"),
            spec: &workload.template.spec,
        };
        check_site(cluster, &site, findings);
        check_workload(cluster, workload, &site, findings);
        for entry in &workload.template.spec.resource_claims {
            if let Some(name) = &entry.resource_claim_name {
                let pods = pods_of(cluster, workload);
                *consumers.entry((&workload.metadata.namespace, name)).or_default() += pods;
            }
        }
    }
    for pod in &cluster.snapshot.pods {
        // Pods of a workload that is in the input are like its template.
        let of_workload = pod.metadata.controller().is_some();
        if of_workload || pod.has_ended() {
            continue;
        }
        let site = Site {
            object: reference("Pod", &pod.metadata),
            origin: &pod.origin,
            field: FieldPath::fields("spec"),
            spec: &pod.spec,
        };
        check_site(cluster, &site, findings);
        let bound_by_hand = pod.spec.node_name.is_some() && pod.status.phase == "Pending";
        if bound_by_hand {
            check_node_name(&site, findings);
        }
        for entry in &pod.spec.resource_claims {
            if let Some(name) = &entry.resource_claim_name {
                *consumers.entry((&pod.metadata.namespace, name)).or_default() += 1;
            }
        }
    }
    for ((namespace, name), pods) in consumers.into_iter().filter(|(_, pods)| *pods > MOST_CONSUMERS) {
        if let Some(claim) = cluster.snapshot.claim(namespace, name) {
            let message = format!("{pods} pods use the claim, at most {MOST_CONSUMERS} can at a time");
            let object = reference("ResourceClaim", &claim.metadata);
            findings.add(Draft::new(TOO_MANY_CONSUMERS, object, &claim.origin, FieldPath::root(), message));
        }
    }
}

/// What holds for every pod.
fn check_site(cluster: &Cluster<'_>, site: &Site<'_>, findings: &mut Findings) {
    let containers = || site.spec.containers.iter().chain(&site.spec.init_containers);
    let names: BTreeSet<&str> = site.spec.resource_claims.iter().map(|entry| entry.name.as_str()).collect();
    for (index, entry) in site.spec.resource_claims.iter().enumerate() {
        missing(cluster, site, index, entry, findings);
        let used =
            containers().any(|container| container.claims.iter().any(|claim| claim.name == entry.name));
        if !used {
            let message = format!("no container uses claim `{}`", entry.name);
            findings.add(site.draft(CLAIM_NOT_USED, site.claim_field(index), message));
        }
    }
    for (list, containers) in
        [("containers", &site.spec.containers), ("initContainers", &site.spec.init_containers)]
    {
        for (index, container) in containers.iter().enumerate() {
            for (at, claim) in container.claims.iter().enumerate() {
                if !names.contains(claim.name.as_str()) {
                    let field = site.field.clone().field(list).index(index);
                    let field = field.field("resources").field("claims").index(at).field("name");
                    let message = format!(
                        "container `{}` uses claim `{}`, which the pod does not have",
                        container.name, claim.name
                    );
                    findings.add(site.draft(UNKNOWN_POD_CLAIM, field, message));
                }
            }
        }
    }
}

/// Claims and templates that are not there. Manifests may leave out claims that the cluster has, so there must be at
/// least one object of the kind, or a node.
fn missing(
    cluster: &Cluster<'_>,
    site: &Site<'_>,
    index: usize,
    entry: &PodResourceClaim,
    findings: &mut Findings,
) {
    let snapshot = cluster.snapshot;
    let namespace = &site.object.namespace;
    let (kind, field, name, others): (_, _, _, BTreeSet<String>) =
        match (&entry.resource_claim_name, &entry.resource_claim_template_name) {
            (Some(name), _) if snapshot.claim(namespace, name).is_none() => (
                "ResourceClaim",
                "resourceClaimName",
                name,
                snapshot
                    .claims
                    .iter()
                    .filter(|claim| claim.metadata.namespace == *namespace)
                    .map(|claim| claim.metadata.name.clone())
                    .collect(),
            ),
            (None, Some(name)) if snapshot.claim_template(namespace, name).is_none() => (
                "ResourceClaimTemplate",
                "resourceClaimTemplateName",
                name,
                snapshot
                    .claim_templates
                    .iter()
                    .filter(|template| template.metadata.namespace == *namespace)
                    .map(|template| template.metadata.name.clone())
                    .collect(),
            ),
            _ => return,
        };
    let message = format!("namespace `{namespace}` has no {kind} `{name}`");
    let draft = site.draft(UNKNOWN_CLAIM, site.claim_field(index).field(field), message);
    let names: Vec<&str> = others.iter().map(String::as_str).collect();
    findings.add(match (nearest(name, &others), names.as_slice()) {
        (Some(near), _) => draft.fix(format!("is `{near}` meant?")),
        (None, []) => draft.fix(format!("the input has no {kind} in this namespace; was a file left out?")),
        (None, names) => draft.fix(format!("the namespace has `{}`", shown(names).join("`, `"))),
    });
}

fn check_node_name(site: &Site<'_>, findings: &mut Findings) {
    if let (Some(node), [_, ..]) = (&site.spec.node_name, site.spec.resource_claims.as_slice()) {
        let message = format!("the pod names node `{node}` itself, so nobody allocates its claims");
        findings.add(site.draft(NODE_NAME_WITH_CLAIMS, site.field.clone().field("nodeName"), message));
    }
}

/// What holds for workloads.
fn check_workload(cluster: &Cluster<'_>, workload: &Workload, site: &Site<'_>, findings: &mut Findings) {
    check_node_name(site, findings);
    for (index, entry) in site.spec.resource_claims.iter().enumerate() {
        if workload.kind == WorkloadKind::DaemonSet {
            daemon_set(cluster, site, index, entry, findings);
            continue;
        }
        let pods = pods_of(cluster, workload);
        if let Some(name) = entry.resource_claim_name.as_ref().filter(|_| pods > 1) {
            let message = format!("{} share claim `{name}`", number(pods, "pod"));
            let field = site.claim_field(index).field("resourceClaimName");
            findings.add(site.draft(CLAIM_SHARED_BY_REPLICAS, field, message));
        }
    }
}

fn daemon_set(
    cluster: &Cluster<'_>,
    site: &Site<'_>,
    index: usize,
    entry: &PodResourceClaim,
    findings: &mut Findings,
) {
    let namespace = &site.object.namespace;
    let field = site.claim_field(index);
    if let Some(name) = &entry.resource_claim_name {
        let message = format!(
            "all pods of the DaemonSet share claim `{name}`, whose devices only some nodes can reach"
        );
        findings.add(site.draft(DAEMON_SET_CLAIM, field.field("resourceClaimName"), message));
        return;
    }
    let Some(name) = &entry.resource_claim_template_name else { return };
    let Some(template) = cluster.snapshot.claim_template(namespace, name) else { return };
    let takes = template
        .spec
        .requests
        .iter()
        .any(|request| request.exactly.as_ref().is_none_or(|exactly| exactly.admin_access != Some(true)));
    if takes {
        let message = format!("every pod of the DaemonSet takes the devices of claim template `{name}`");
        findings.add(site.draft(DAEMON_SET_CLAIM, field.field("resourceClaimTemplateName"), message));
    }
}

/// How many pods a workload wants at a time.
fn pods_of(cluster: &Cluster<'_>, workload: &Workload) -> usize {
    match workload.size {
        WorkloadSize::Replicas { count, .. } => usize::try_from(count).unwrap_or(usize::MAX),
        WorkloadSize::OnePerNode => cluster.snapshot.nodes.len(),
        WorkloadSize::Completions { pods, suspended, .. } => {
            if suspended {
                0
            } else {
                usize::try_from(pods).unwrap_or(usize::MAX)
            }
        }
    }
}
