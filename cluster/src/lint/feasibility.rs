//! What the allocator says of claims on empty devices: claims, alternatives and pods that fit nowhere, and claims that
//! end with errors.

use std::collections::BTreeSet;
use std::sync::Arc;

use drayage_allocator::diagnosis::{Attempt, Needed};
use drayage_allocator::objects::ResourceClaim;
use drayage_allocator::{AllocatedState, Allocator, ErrorKind, Inventory, Outcome, diagnose};

use super::cluster::{Cluster, Demand};
use super::finding::{Draft, Findings};
use super::input::reference;
use super::pools::{number, shown};
use super::rules::{ALTERNATIVE_UNREACHABLE, CLAIM_ERROR, CLAIM_UNSATISFIABLE, POD_UNSATISFIABLE};
use crate::matching::{node_matches_pod, untolerated_taint};
use crate::objects::{Node, ObjectReference, Origin, PodSpec};
use crate::path::FieldPath;

/// What the nodes say to some claims together.
enum Answer {
    /// Some node can.
    Fits,
    /// Every node was asked and cannot.
    FitsNowhere,
    /// The search ended with an error.
    Error { node: String, kind: ErrorKind, message: String },
    /// Some node did not come to an end, and none can.
    Undecided,
}

/// Asks the allocator about nodes without anything allocated.
struct Oracle<'s> {
    allocator: Allocator,
    nodes: Vec<(&'s Node, drayage_allocator::objects::Node)>,
    empty: AllocatedState,
    budget: u64,
}

/// Nodes of which one is looked at more closely when nothing fits.
const DIAGNOSED_NODES: usize = 8;

impl<'s> Oracle<'s> {
    fn new(cluster: &Cluster<'s>) -> Self {
        let snapshot = cluster.snapshot;
        let mut slices = snapshot.allocator_slices(cluster.options.taint_rules);
        slices.sort_by(|left, right| left.name.cmp(&right.name));
        let allocator = Allocator::new(
            Arc::new(Inventory::new(slices)),
            snapshot.allocator_classes(),
            drayage_allocator::Profile::named(cluster.options.profile),
            cluster.options.features,
        );
        Self {
            allocator,
            nodes: snapshot.nodes.iter().map(|node| (node, node.for_allocator())).collect(),
            empty: AllocatedState::new(),
            budget: cluster.options.step_budget,
        }
    }

    /// Asks node by node until one can; `accepts` says which nodes count.
    fn ask(&mut self, claims: &[&ResourceClaim], accepts: impl Fn(&Node) -> bool) -> Answer {
        let mut share = 0_usize;
        let mut share_ids = || {
            share += 1;
            format!("share-{share}")
        };
        let mut undecided = false;
        for (node, for_allocator) in self.nodes.iter().filter(|(node, _)| accepts(node)) {
            let answer =
                self.allocator.allocate(&self.empty, for_allocator, claims, &mut share_ids, self.budget);
            match answer.outcome {
                Outcome::Allocated(_) => return Answer::Fits,
                Outcome::Unsatisfiable { .. } => {}
                Outcome::Undecided => undecided = true,
                Outcome::Error(error) => {
                    return Answer::Error {
                        node: node.metadata.name.clone(),
                        kind: error.kind(),
                        message: error.to_string(),
                    };
                }
            }
        }
        if undecided { Answer::Undecided } else { Answer::FitsNowhere }
    }

    /// What stands in the way on the node that comes closest.
    fn nearest(&mut self, claims: &[&ResourceClaim], accepts: impl Fn(&Node) -> bool) -> Vec<String> {
        let mut best: Option<(usize, Vec<String>)> = None;
        let nodes = self.nodes.iter().filter(|(node, _)| accepts(node));
        let (with, without): (Vec<_>, Vec<_>) = nodes.partition(|(node, _)| {
            self.allocator
                .inventory()
                .slices()
                .any(|slice| slice.node_name.as_ref() == Some(&node.metadata.name))
        });
        for (node, for_allocator) in with.into_iter().chain(without).take(DIAGNOSED_NODES) {
            let Some(diagnosis) =
                diagnose(&mut self.allocator, &self.empty, for_allocator, claims, self.budget)
            else {
                continue;
            };
            let usable = diagnosis.attempts.iter().map(|attempt| attempt.usable.len()).max().unwrap_or(0);
            let seen = usable * 2
                + usize::from(diagnosis.attempts.iter().any(|attempt| !attempt.refused.is_empty()));
            if best.as_ref().is_none_or(|(before, _)| seen > *before) {
                let lines = diagnosis.attempts.iter().flat_map(|attempt| lines(&node.metadata.name, attempt));
                best = Some((seen, lines.collect()));
            }
        }
        best.map(|(_, lines)| lines).unwrap_or_default()
    }
}

/// What one request lacks on a node.
fn lines(node: &str, attempt: &Attempt) -> Vec<String> {
    let needed = match attempt.needed {
        Needed::Count(count) => number(count, "device"),
        Needed::All { matching } => format!("all {}", number(matching, "device")),
    };
    let mut lines = vec![format!(
        "nearest node `{node}`: request `{}` needs {needed}, {} usable",
        attempt.request,
        attempt.usable.len()
    )];
    let counts = attempt.counts();
    let shown = counts.iter().take(3);
    lines.extend(shown.map(|(reason, count)| format!("{}: {reason}", number(*count, "device"))));
    lines
}

/// Returns the claims about which there is no answer.
pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) -> Vec<String> {
    let mut undecided = Vec::new();
    // Without nodes or devices everything would be impossible, and surely that is not the point.
    if cluster.snapshot.nodes.is_empty() || cluster.devices.is_empty() {
        return undecided;
    }
    let mut oracle = Oracle::new(cluster);
    let mut impossible: BTreeSet<ObjectReference> = BTreeSet::new();
    for demand in cluster.demands.iter().filter(|demand| !demand.allocated) {
        if findings.is_broken(&demand.object) || !has_classes(cluster, demand.spec) {
            impossible.insert(demand.object.clone());
            continue;
        }
        match oracle.ask(&[demand.spec], |_| true) {
            Answer::Fits => alternatives(&mut oracle, demand, findings),
            Answer::Undecided => undecided.push(demand.object.to_string()),
            Answer::FitsNowhere => {
                impossible.insert(demand.object.clone());
                let nodes = cluster.snapshot.nodes.len();
                let message = match nodes {
                    1 => "the only node cannot satisfy the claim, even with all devices free".to_owned(),
                    nodes => {
                        format!("none of {nodes} nodes can satisfy the claim, even with all devices free")
                    }
                };
                let draft = Draft::new(
                    CLAIM_UNSATISFIABLE,
                    demand.object.clone(),
                    demand.origin,
                    demand.devices.clone().field("requests"),
                    message,
                );
                let nearest = oracle.nearest(&[demand.spec], |_| true);
                findings.add(draft.details(nearest).alike(demand.alike));
            }
            Answer::Error { node, kind, message } => {
                impossible.insert(demand.object.clone());
                let message = format!("on node `{node}` scheduling ends with an error ({kind}): {message}");
                let draft = Draft::new(
                    CLAIM_ERROR,
                    demand.object.clone(),
                    demand.origin,
                    demand.devices.clone().field("requests"),
                    message,
                );
                findings.add(draft.alike(demand.alike));
            }
        }
    }
    pods(cluster, &mut oracle, &impossible, findings);
    undecided
}

fn has_classes(cluster: &Cluster<'_>, spec: &ResourceClaim) -> bool {
    let exactly = spec.requests.iter().filter_map(|request| request.exactly.as_ref());
    let classes = exactly.map(|exactly| &exactly.device_class_name);
    let alternatives = spec.requests.iter().flat_map(|request| &request.first_available);
    let mut classes = classes.chain(alternatives.map(|alternative| &alternative.device_class_name));
    classes.all(|class| cluster.snapshot.class(class).is_some())
}

/// Alternatives that fit nowhere although the claim does.
fn alternatives(oracle: &mut Oracle<'_>, demand: &Demand<'_>, findings: &mut Findings) {
    for (index, request) in demand.spec.requests.iter().enumerate() {
        if request.first_available.len() < 2 {
            continue;
        }
        for (position, alternative) in request.first_available.iter().enumerate() {
            let mut alone = demand.spec.clone();
            if let Some(request) = alone.requests.get_mut(index) {
                request.first_available = vec![alternative.clone()];
            }
            // Names of the other alternatives lead nowhere then.
            let gone = |name: &String| {
                name.split_once('/')
                    .is_some_and(|(parent, own)| parent == request.name && own != alternative.name)
            };
            for constraint in &mut alone.constraints {
                constraint.requests.retain(|name| !gone(name));
            }
            alone.constraints.retain(|constraint| {
                !constraint.requests.is_empty()
                    || demand.spec.constraints.iter().any(|other| other == constraint)
            });
            if !matches!(oracle.ask(&[&alone], |_| true), Answer::FitsNowhere) {
                continue;
            }
            let message = format!(
                "alternative `{}` of request `{}` fits on no node, even with all devices free",
                alternative.name, request.name
            );
            let field = demand.devices.clone().field("requests").index(index);
            let field = field.field("firstAvailable").index(position);
            let nearest = oracle.nearest(&[&alone], |_| true);
            findings.add(
                Draft::new(ALTERNATIVE_UNREACHABLE, demand.object.clone(), demand.origin, field, message)
                    .details(nearest)
                    .alike(demand.alike),
            );
        }
    }
}

/// A pod, or the pods of a workload.
struct PodDemand<'s> {
    object: ObjectReference,
    origin: &'s Origin,
    field: FieldPath,
    spec: &'s PodSpec,
}

/// Pods whose claims are possible one by one, but not together on a node that the pod accepts.
fn pods(
    cluster: &Cluster<'_>,
    oracle: &mut Oracle<'_>,
    impossible: &BTreeSet<ObjectReference>,
    findings: &mut Findings,
) {
    let snapshot = cluster.snapshot;
    let workloads = snapshot.workloads.iter().map(|workload| PodDemand {
        object: reference(workload.kind.as_str(), &workload.metadata),
        origin: &workload.origin,
        field: FieldPath::fields("spec.template.spec"),
        spec: &workload.template.spec,
    });
    let owned = |pod: &crate::objects::Pod| pod.metadata.controller().is_some();
    let alone = snapshot.pods.iter().filter(|pod| pod.is_pending() && !owned(pod)).map(|pod| PodDemand {
        object: reference("Pod", &pod.metadata),
        origin: &pod.origin,
        field: FieldPath::fields("spec"),
        spec: &pod.spec,
    });
    for pod in workloads.chain(alone) {
        let Some(claims) = claims_of(cluster, &pod, impossible) else { continue };
        let accepts = |node: &Node| {
            !node.unschedulable
                && node_matches_pod(pod.spec, node)
                && untolerated_taint(&pod.spec.tolerations, &node.taints).is_none()
        };
        if !matches!(oracle.ask(&claims, accepts), Answer::FitsNowhere) {
            continue;
        }
        let accepting: Vec<&str> = snapshot
            .nodes
            .iter()
            .filter(|node| accepts(node))
            .map(|node| node.metadata.name.as_str())
            .collect();
        let (message, details) = if accepting.is_empty() {
            let message = format!("the pod accepts none of {}", number(snapshot.nodes.len(), "node"));
            (message, vec!["its node selector, affinity or tolerations rule them out".to_owned()])
        } else {
            let message = format!(
                "no node that the pod accepts (`{}`) can satisfy its claims together, even with all devices free",
                shown(&accepting).join("`, `")
            );
            (message, oracle.nearest(&claims, accepts))
        };
        let field = pod.field.field("resourceClaims");
        let draft = Draft::new(POD_UNSATISFIABLE, pod.object, pod.origin, field, message);
        findings.add(draft.details(details));
    }
}

/// The claims of a pod; `None` where it has none, or one that is missing, has devices already, or is impossible by
/// itself.
fn claims_of<'s>(
    cluster: &Cluster<'s>,
    pod: &PodDemand<'s>,
    impossible: &BTreeSet<ObjectReference>,
) -> Option<Vec<&'s ResourceClaim>> {
    let namespace = &pod.object.namespace;
    let mut claims = Vec::new();
    for entry in &pod.spec.resource_claims {
        let (kind, name, spec) = match (&entry.resource_claim_name, &entry.resource_claim_template_name) {
            (Some(name), _) => {
                let claim = cluster.snapshot.claim(namespace, name)?;
                if claim.allocation.is_some() {
                    return None;
                }
                ("ResourceClaim", name, &claim.spec)
            }
            (None, Some(name)) => {
                let template = cluster.snapshot.claim_template(namespace, name)?;
                ("ResourceClaimTemplate", name, &template.spec)
            }
            (None, None) => return None,
        };
        let object =
            ObjectReference { kind: kind.to_owned(), namespace: namespace.clone(), name: name.clone() };
        if impossible.contains(&object) || !has_classes(cluster, spec) {
            return None;
        }
        claims.push(spec);
    }
    (!claims.is_empty()).then_some(claims)
}
