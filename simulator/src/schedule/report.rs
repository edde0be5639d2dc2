//! Turns what the cycle found out into reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drayage_allocator::objects::{AllocationResult, DeviceId};
use rustc_hash::FxHashMap;

use super::attempt::Attempt;
use super::claims::ClaimEntry;
use super::cluster_state::ClusterState;
use super::eviction::Eviction;
use super::pods::{PodId, PodPlace};
use super::preemption::priority;
use crate::report::{
    Allocated, ClaimReport, DeviceReport, EvictionReport, HeldDevices, PodOutcome, PodReport, PreemptedBy,
    PreemptionReport, Summary, VictimReport,
};

/// Report on a pod that ran before.
pub(crate) fn running(simulation: &ClusterState, id: PodId) -> Option<PodReport> {
    let entry = simulation.pods.get(id)?;
    let pod = entry.pod.as_ref();
    let mut notes = Vec::new();
    if pod.metadata.deletion_timestamp.is_some() {
        notes.push("terminating, but still holding its resources".to_owned());
    }
    let mut claims = Vec::new();
    match simulation.claims.of_pod(pod) {
        Ok(pod_claims) => {
            for pod_claim in pod_claims {
                let Some(entry) = simulation.claims.get(pod_claim.claim) else { continue };
                if entry.allocation.is_none() {
                    notes.push(format!("claim `{}` has no devices although the pod runs", entry.spec.name));
                }
                claims.push(claim(entry, Some(pod_claim.name), true));
            }
        }
        Err(problem) => notes.push(problem),
    }
    let node = match entry.place {
        PodPlace::Node(at) => simulation.nodes.get(at).map(|state| state.name().to_owned()),
        _ => pod.spec.node_name.clone(),
    };
    let extended = entry.extended.and_then(|id| simulation.claims.get(id));
    claims.extend(extended.map(|entry| claim(entry, None, true)));
    Some(PodReport {
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        expanded_from: None,
        outcome: PodOutcome::AlreadyRunning,
        node,
        claims,
        message: None,
        reasons: Vec::new(),
        explanations: Vec::new(),
        explained_like: None,
        preemption: None,
        preempted_by: None,
        eviction: None,
        error: None,
        notes,
    })
}

/// Report on an attempt.
pub(crate) fn attempted(simulation: &ClusterState, id: PodId, mut attempt: Attempt) -> Option<PodReport> {
    let pod = simulation.pods.get(id)?.pod.as_ref();
    let preemption = preemption(simulation, &attempt);
    attempt.notes.extend(preemption.as_ref().and_then(note));
    let claims = attempt
        .claims
        .into_iter()
        .filter_map(|used| {
            let entry = simulation.claims.get(used.claim)?;
            let before = used.allocated_before && entry.allocation.is_some();
            let mut report = claim(entry, used.pod_claim, before);
            // The claim has them, but the pod does not.
            if !before && attempt.outcome != PodOutcome::Scheduled && report.allocation.is_some() {
                (report.allocation, report.devices) = (None, Vec::new());
                attempt.notes.push(format!(
                    "claim `{}` was given devices before the error and keeps them, for no pod",
                    report.name
                ));
            }
            Some(report)
        })
        .collect();
    Some(PodReport {
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        expanded_from: None,
        outcome: attempt.outcome,
        node: attempt.node.and_then(|at| Some(simulation.nodes.get(at)?.name().to_owned())),
        claims,
        message: attempt.message,
        reasons: attempt.reasons,
        explanations: attempt.explained.explanations,
        explained_like: attempt.explained.like,
        preemption,
        preempted_by: None,
        eviction: None,
        error: attempt.error,
        notes: attempt.notes,
    })
}

/// Who was preempted for a pod, and who could have been but was not.
fn preemption(simulation: &ClusterState, attempt: &Attempt) -> Option<PreemptionReport> {
    let node = |at: usize| simulation.nodes.get(at).map(|state| state.name().to_owned());
    let name = |id: PodId| simulation.pods.get(id).map(|entry| entry.pod.metadata.full_name());
    let victims =
        attempt.preemptions.iter().flat_map(|preemption| &preemption.victims).filter_map(|victim| {
            Some(VictimReport {
                pod: name(victim.pod)?,
                priority: simulation.pods.get(victim.pod).map_or(0, |entry| priority(&entry.pod)),
                violates_budget: victim.violates_budget,
            })
        });
    let devices_not_freed = attempt.devices_in_the_way.as_ref().and_then(|held| {
        let pods = held.pods.iter().filter_map(|&id| name(id)).collect();
        Some(HeldDevices { node: node(held.node)?, pods })
    });
    let report = PreemptionReport {
        node: attempt.preemptions.last().and_then(|preemption| node(preemption.node)),
        victims: victims.collect(),
        devices_not_freed,
    };
    (report != PreemptionReport::default()).then_some(report)
}

/// What preemption came to, in words.
fn note(report: &PreemptionReport) -> Option<String> {
    let list = |names: &mut dyn Iterator<Item = &String>| {
        names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    if let Some(held) = &report.devices_not_freed {
        return Some(format!(
            "without {}, of lower priority, and what they hold it would fit on node `{}`; the scheduler does not preempt \
             for devices",
            list(&mut held.pods.iter()),
            held.node
        ));
    }
    let node = report.node.as_ref()?;
    let victims = list(&mut report.victims.iter().map(|victim| &victim.pod));
    Some(format!("preempted {victims} on node `{node}`"))
}

/// Remembers who was preempted by a pod.
pub(crate) fn note_preempted(
    simulation: &ClusterState,
    by: PodId,
    attempt: &Attempt,
    preempted: &mut BTreeMap<String, PreemptedBy>,
) {
    let name = |id: PodId| simulation.pods.get(id).map(|entry| entry.pod.metadata.full_name());
    for preemption in &attempt.preemptions {
        let node = simulation.nodes.get(preemption.node).map(|state| state.name().to_owned());
        for victim in &preemption.victims {
            let (Some(victim_name), Some(pod), Some(node)) = (name(victim.pod), name(by), node.clone())
            else {
                continue;
            };
            let by = PreemptedBy { pod, node, violates_budget: victim.violates_budget };
            preempted.insert(victim_name, by);
        }
    }
}

/// Adds to the reports on pods what taints do to them.
pub(crate) fn mark_evicted(simulation: &ClusterState, reports: &mut [PodReport], evictions: &[Eviction]) {
    let mut of_pod: BTreeMap<String, EvictionReport> = BTreeMap::new();
    for eviction in evictions {
        let name = simulation.pods.get(eviction.pod).map(|entry| entry.pod.metadata.full_name());
        let node = simulation.nodes.get(eviction.node).map(|state| state.name().to_owned());
        if let (Some(name), Some(node)) = (name, node) {
            let at = eviction.at.map(|at| at.to_string());
            let report =
                EvictionReport { node, reason: eviction.why.clone(), after_seconds: eviction.after, at };
            of_pod.insert(name, report);
        }
    }
    if of_pod.is_empty() {
        return;
    }
    for pod in reports {
        let Some(eviction) = of_pod.remove(&format!("{}/{}", pod.namespace, pod.name)) else { continue };
        pod.notes.push(match eviction.after_seconds {
            None => format!("evicted from node `{}`: {}", eviction.node, eviction.reason),
            Some(seconds) => {
                let at = eviction.at.as_ref().map(|at| format!(", at {at}")).unwrap_or_default();
                format!("will be evicted {seconds} s after the taint{at}: {}", eviction.reason)
            }
        });
        pod.eviction = Some(eviction);
    }
}

/// Corrects the reports on pods that wait: an allocation that no pod used may have been given up after they were made.
pub(crate) fn mark_given_up(simulation: &ClusterState, reports: &mut [PodReport]) {
    for pod in reports.iter_mut().filter(|pod| pod.outcome.is_pending()) {
        for report in &mut pod.claims {
            let Some(Allocated(shown)) = &report.allocation else { continue };
            let id = simulation.claims.find(&format!("{}/{}", pod.namespace, report.name));
            let now = id.and_then(|id| simulation.claims.get(id));
            let kept =
                now.and_then(|entry| entry.allocation.as_ref()).is_some_and(|now| Arc::ptr_eq(now, shown));
            if !kept {
                (report.allocation, report.devices, report.allocated_before) = (None, Vec::new(), false);
            }
        }
    }
}

/// Corrects the reports on pods that were preempted after they were made.
pub(crate) fn mark_preempted(reports: &mut [PodReport], mut preempted: BTreeMap<String, PreemptedBy>) {
    if preempted.is_empty() {
        return;
    }
    for pod in reports {
        let Some(by) = preempted.remove(&format!("{}/{}", pod.namespace, pod.name)) else { continue };
        let against = if by.violates_budget { ", against a disruption budget" } else { "" };
        pod.message = Some(format!("preempted on node `{}` by pod `{}`{against}", by.node, by.pod));
        (pod.outcome, pod.node) = (PodOutcome::Preempted, None);
        pod.claims.iter_mut().for_each(|claim| (claim.allocation, claim.devices) = (None, Vec::new()));
        pod.preempted_by = Some(by);
    }
}

fn claim(entry: &ClaimEntry, pod_claim: Option<String>, allocated_before: bool) -> ClaimReport {
    let extended_resources = pod_claim.is_none();
    claim_report(
        pod_claim,
        &entry.spec.name,
        entry.generated,
        extended_resources,
        allocated_before,
        entry.allocation.as_ref(),
    )
}

/// Report on one claim.
pub(crate) fn claim_report(
    pod_claim: Option<String>,
    name: &str,
    generated: bool,
    extended_resources: bool,
    allocated_before: bool,
    allocation: Option<&Arc<AllocationResult>>,
) -> ClaimReport {
    ClaimReport {
        pod_claim,
        name: name.to_owned(),
        generated,
        extended_resources,
        allocated_before,
        allocation: allocation.cloned().map(Allocated),
        devices: allocation.map(|allocation| devices(allocation)).unwrap_or_default(),
    }
}

fn devices(result: &AllocationResult) -> Vec<DeviceReport> {
    result
        .results
        .iter()
        .map(|device| DeviceReport {
            request: device.request.clone(),
            driver: device.driver.clone(),
            pool: device.pool.clone(),
            device: device.device.clone(),
            consumed_capacity: device
                .consumed_capacity
                .iter()
                .map(|(name, quantity)| (name.clone(), quantity.to_string()))
                .collect(),
            admin_access: device.admin_access == Some(true),
        })
        .collect()
}

/// Counts over all pods and devices.
pub(crate) fn summary(simulation: &ClusterState, pods: &[PodReport]) -> Summary {
    let mut summary = Summary {
        pods: pods.len(),
        finished: simulation.finished(),
        nodes: simulation.nodes.len(),
        ..Summary::default()
    };
    for pod in pods {
        let evicted = pod.eviction.as_ref().is_some_and(|eviction| eviction.after_seconds.is_none());
        summary.evicted += usize::from(evicted);
        match pod.outcome {
            PodOutcome::AlreadyRunning => summary.already_running += 1,
            PodOutcome::Scheduled => summary.scheduled += 1,
            PodOutcome::Preempted => {
                summary.preempted += 1;
                let by = pod.preempted_by.as_ref();
                summary.preempted_against_budget += usize::from(by.is_some_and(|by| by.violates_budget));
            }
            _ => {
                summary.pending += 1;
                *summary.pending_by_cause.entry(cause(pod)).or_default() += 1;
            }
        }
    }
    summary.devices = device_count(simulation);
    let mut in_use = BTreeSet::new();
    for result in simulation.claims.allocations().flat_map(|allocation| &allocation.results) {
        if result.admin_access != Some(true) {
            summary.device_allocations += 1;
            in_use.insert(result.device_id());
        }
    }
    // Devices of vanished slices may still be held; they are not among those counted above.
    let known: BTreeSet<DeviceId> = newest_devices(simulation).collect();
    summary.devices_in_use = in_use.intersection(&known).count();
    summary
}

fn cause(pod: &PodReport) -> String {
    match pod.outcome {
        PodOutcome::Gated => "Gated".to_owned(),
        PodOutcome::Error => "Error".to_owned(),
        PodOutcome::Undecided => "Undecided".to_owned(),
        _ => {
            let mut nodes: BTreeMap<&str, usize> = BTreeMap::new();
            for reason in &pod.reasons {
                *nodes.entry(&reason.plugin).or_default() += reason.nodes;
            }
            let most = nodes.into_iter().max_by_key(|&(plugin, nodes)| (nodes, std::cmp::Reverse(plugin)));
            most.map_or_else(|| "NoNodes".to_owned(), |(plugin, _)| plugin.to_owned())
        }
    }
}

fn device_count(simulation: &ClusterState) -> usize {
    newest_devices(simulation).collect::<BTreeSet<_>>().len()
}

/// The devices of every pool's newest generation.
fn newest_devices(simulation: &ClusterState) -> impl Iterator<Item = DeviceId> {
    let slices = || simulation.devices.slices();
    let mut newest: FxHashMap<_, i64> = FxHashMap::default();
    for slice in slices() {
        let generation = newest.entry(slice.pool_id()).or_insert(slice.pool.generation);
        *generation = (*generation).max(slice.pool.generation);
    }
    slices().filter(move |slice| newest.get(&slice.pool_id()) == Some(&slice.pool.generation)).flat_map(
        |slice| {
            slice.devices.iter().map(|device| DeviceId { pool: slice.pool_id(), device: device.name.clone() })
        },
    )
}
