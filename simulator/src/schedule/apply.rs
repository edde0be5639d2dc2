//! Writes what a simulation decided into the snapshot, so that the next question starts from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drayage_allocator::objects::{AllocationResult, ResourceClaim};
use drayage_cluster::Snapshot;
use drayage_cluster::objects::{
    Claim, ConsumerReference, ExtendedResourceClaimStatus, Metadata, OwnerReference, Pod,
};

use super::claims::EXTENDED_RESOURCE_ANNOTATION;
use super::cluster_state::ClusterState;
use super::options::{Observer, Options, SimulateError};
use super::prepare::Prepared;
use super::run::report_of;
use crate::report::{PodOutcome, SimulationReport};

/// As [`simulate`](super::simulate), and the snapshot gets the outcome: nodes of pods, allocations and consumers
/// of claims, claims for extended resources. On an error it stays as it was.
pub fn simulate_and_apply(
    prepared: &mut Prepared,
    options: &Options,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<SimulationReport, SimulateError> {
    let mut simulation = ClusterState::new(prepared, options);
    let report = report_of(&mut simulation, prepared, options, observer, cancel)?;
    let held = simulation
        .claims
        .allocated()
        .filter_map(|(entry, consumers)| {
            let held = Held {
                spec: entry.spec.as_ref().clone(),
                allocation: entry.allocation.as_deref().cloned()?,
                consumers: consumers.iter().cloned().collect(),
            };
            Some((entry.spec.full_name(), held))
        })
        .collect();
    apply(&mut prepared.snapshot, &report, held);
    Ok(report)
}

/// A claim that holds devices.
struct Held {
    spec: ResourceClaim,
    allocation: AllocationResult,
    consumers: Vec<String>,
}

fn apply(snapshot: &mut Snapshot, report: &SimulationReport, mut held: BTreeMap<String, Held>) {
    let names: BTreeMap<String, String> =
        snapshot.pods.iter().map(|pod| (pod.metadata.uid.clone(), pod.metadata.name.clone())).collect();
    for claim in &mut snapshot.claims {
        if let Some(held) = held.remove(&claim.metadata.full_name()) {
            claim.reserved_for = consumers(&claim.reserved_for, held.consumers, &names);
            claim.allocation = Some(held.allocation);
        } else {
            claim.allocation = None;
            claim.reserved_for.clear();
        }
    }
    remove_preempted(snapshot, report);
    leave_nodes(snapshot, report);
    let key = |metadata: &Metadata| (metadata.namespace.clone(), metadata.name.clone());
    for placed in report.pods.iter().filter(|pod| pod.outcome == PodOutcome::Scheduled) {
        let found = snapshot
            .pods
            .binary_search_by(|pod| key(&pod.metadata).cmp(&(placed.namespace.clone(), placed.name.clone())));
        let Some(pod) = found.ok().and_then(|at| snapshot.pods.get_mut(at)) else { continue };
        let pod = Arc::make_mut(pod);
        pod.spec.node_name.clone_from(&placed.node);
        // What is left was made for extended resources.
        for made in placed.claims.iter().filter(|claim| claim.extended_resources) {
            let Some(held) = held.remove(&format!("{}/{}", placed.namespace, made.name)) else { continue };
            pod.status.extended_resource_claim_status = Some(ExtendedResourceClaimStatus {
                resource_claim_name: made.name.clone(),
                request_mappings: Vec::new(),
            });
            let claim = extended_claim(pod, held, &names);
            let at = snapshot.claims.partition_point(|other| key(&other.metadata) < key(&claim.metadata));
            snapshot.claims.insert(at, claim);
        }
    }
}

/// Takes evicted pods that found no other node from theirs.
fn leave_nodes(snapshot: &mut Snapshot, report: &SimulationReport) {
    let left = report.pods.iter().filter(|pod| pod.outcome.is_pending() && pod.eviction.is_some());
    let names: BTreeSet<String> = left.map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
    if names.is_empty() {
        return;
    }
    for pod in snapshot.pods.iter_mut().filter(|pod| names.contains(&pod.metadata.full_name())) {
        Arc::make_mut(pod).spec.node_name = None;
    }
}

/// Takes away the pods that were preempted, with the claims that were made for them.
fn remove_preempted(snapshot: &mut Snapshot, report: &SimulationReport) {
    let preempted = report.pods.iter().filter(|pod| pod.outcome == PodOutcome::Preempted);
    let names: BTreeSet<String> = preempted.map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
    if names.is_empty() {
        return;
    }
    let (gone, kept): (Vec<Arc<Pod>>, Vec<Arc<Pod>>) = std::mem::take(&mut snapshot.pods)
        .into_iter()
        .partition(|pod| names.contains(&pod.metadata.full_name()));
    snapshot.pods = kept;
    let gone: BTreeSet<&str> = gone.iter().map(|pod| pod.metadata.uid.as_str()).collect();
    snapshot.claims.retain(|claim| {
        let owner = claim.metadata.controller().filter(|owner| owner.kind == "Pod");
        owner.is_none_or(|owner| !gone.contains(owner.uid.as_str()))
    });
}

/// The consumers with these UIDs: those that were there as they were, new ones behind.
fn consumers(
    before: &[ConsumerReference],
    uids: Vec<String>,
    names: &BTreeMap<String, String>,
) -> Vec<ConsumerReference> {
    let mut kept: Vec<ConsumerReference> =
        before.iter().filter(|consumer| uids.contains(&consumer.uid)).cloned().collect();
    for uid in uids {
        if kept.iter().all(|consumer| consumer.uid != uid) {
            kept.push(ConsumerReference {
                api_group: String::new(),
                resource: "pods".to_owned(),
                name: names.get(&uid).cloned().unwrap_or_default(),
                uid,
            });
        }
    }
    kept
}

fn extended_claim(pod: &Pod, held: Held, names: &BTreeMap<String, String>) -> Claim {
    Claim {
        metadata: Metadata {
            uid: format!("ResourceClaim:{}", held.spec.full_name()),
            name: held.spec.name.clone(),
            namespace: held.spec.namespace.clone(),
            annotations: BTreeMap::from([(EXTENDED_RESOURCE_ANNOTATION.to_owned(), "true".to_owned())]),
            owner_references: vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
                controller: true,
                block_owner_deletion: false,
            }],
            ..Metadata::default()
        },
        reserved_for: consumers(&[], held.consumers, names),
        allocation: Some(held.allocation),
        spec: held.spec,
        ..Claim::default()
    }
}
