//! Some claims on one node, outside of any scheduling cycle.

use std::collections::BTreeSet;
use std::sync::Arc;

use drayage_allocator::Outcome;
use drayage_allocator::explanation::Explanation;
use drayage_allocator::objects::ResourceClaim;
use drayage_cluster::Snapshot;

use super::claims::ClaimId;
use super::cluster_state::ClusterState;
use super::explain::Merged;
use super::node::PodNeeds;
use super::options::{Options, SimulateError};
use super::plan::DevicePlan;
use super::prepare::Prepared;
use super::report::claim_report;
use super::run::assumptions;
use crate::report::{API_VERSION, AllocateReport, ErrorReport, ProblemOutcome};

/// Which claims are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimSelection {
    /// Every claim of the input that has no devices yet, by namespace and name.
    All,
    /// The claims of a pod, with the one for its extended resources.
    Pod {
        /// `metadata.namespace`
        namespace: String,
        /// `metadata.name`
        name: String,
    },
    /// These claims, in this order, as `namespace/name`.
    Claims(Vec<String>),
}

/// Allocates claims together on one node, as the scheduler does for one pod, and says what they get.
///
/// What the input shows as allocated is held. Nothing but devices counts: neither taints nor resources of the
/// node.
pub fn allocate_on_node(
    prepared: &Prepared,
    node: &str,
    selection: &ClaimSelection,
    options: &Options,
) -> Result<AllocateReport, SimulateError> {
    let snapshot = &prepared.snapshot;
    let mut simulation = ClusterState::new(prepared, options);
    let at =
        simulation.nodes.find(node).ok_or_else(|| SimulateError::NodeMissing { name: node.to_owned() })?;
    let mut report = AllocateReport {
        api_version: API_VERSION,
        kind: "AllocateReport",
        assumptions: assumptions(prepared, options, &simulation),
        node: node.to_owned(),
        outcome: ProblemOutcome::Error,
        claims: Vec::new(),
        failures: Vec::new(),
        error: None,
        steps: 0,
    };
    let chosen = match choose(&mut simulation, snapshot, at, selection, options)? {
        Ok(chosen) => chosen,
        Err(message) => {
            report.error =
                Some(ErrorReport { kind: "claim".to_owned(), message, node: Some(node.to_owned()) });
            return Ok(report);
        }
    };
    allocate(&mut simulation, at, &chosen, &mut report);
    Ok(report)
}

/// As [`allocate_on_node`], but explains the answer. The error is about claims that cannot be looked at.
pub fn explain_on_node(
    prepared: &Prepared,
    node: &str,
    selection: &ClaimSelection,
    options: &Options,
) -> Result<Result<Explanation, ErrorReport>, SimulateError> {
    let mut simulation = ClusterState::new(prepared, options);
    let missing = || SimulateError::NodeMissing { name: node.to_owned() };
    let at = simulation.nodes.find(node).ok_or_else(missing)?;
    let chosen = match choose(&mut simulation, &prepared.snapshot, at, selection, options)? {
        Ok(chosen) => chosen,
        Err(message) => {
            let (kind, node) = ("claim".to_owned(), Some(node.to_owned()));
            return Ok(Err(ErrorReport { kind, message, node }));
        }
    };
    let mut seen = BTreeSet::new();
    let claims = chosen.claims.iter().filter(|(_, id)| seen.insert(*id));
    let entries = claims.filter_map(|(_, id)| simulation.claims.get(*id));
    let claims: Vec<&ResourceClaim> = entries
        .filter(|entry| entry.allocation.is_none())
        .map(|entry| entry.spec.as_ref())
        .chain(&chosen.extended)
        .collect();
    let holders = simulation.claims.holders();
    let state = simulation.nodes.get(at).ok_or_else(missing)?;
    Ok(Ok(simulation.devices.explain(&state.for_allocator, &claims, &holders)))
}

/// The claims to look at.
struct Chosen {
    /// Name in the pod, and the claim.
    claims: Vec<(Option<String>, ClaimId)>,
    extended: Option<ResourceClaim>,
}

fn choose(
    simulation: &mut ClusterState,
    snapshot: &Snapshot,
    at: usize,
    selection: &ClaimSelection,
    options: &Options,
) -> Result<Result<Chosen, String>, SimulateError> {
    let missing = |name: &str| SimulateError::ClaimMissing { name: name.to_owned() };
    let claims = match selection {
        ClaimSelection::All => snapshot
            .claims
            .iter()
            .filter_map(|claim| simulation.claims.find(&claim.metadata.full_name()))
            .filter(|&id| simulation.claims.get(id).is_some_and(|entry| entry.allocation.is_none()))
            .map(|id| (None, id))
            .collect(),
        ClaimSelection::Claims(names) => names
            .iter()
            .map(|name| Ok((None, simulation.claims.find(name).ok_or_else(|| missing(name))?)))
            .collect::<Result<_, SimulateError>>()?,
        ClaimSelection::Pod { namespace, name } => {
            let pod = snapshot
                .pod(namespace, name)
                .ok_or_else(|| SimulateError::PodMissing { name: format!("{namespace}/{name}") })?;
            let claims = match simulation.claims.of_pod(pod) {
                Ok(claims) => claims,
                Err(message) => return Ok(Err(message)),
            };
            let needs = PodNeeds::new(pod, options.gates.enabled("PodLevelResources"), &mut simulation.names);
            let mut plan = DevicePlan::extended_only(&needs.amounts, &simulation.names, simulation.classes());
            let extended = simulation.extended_claim(&mut plan, pod, at);
            return Ok(Ok(Chosen {
                claims: claims.into_iter().map(|claim| (Some(claim.name), claim.claim)).collect(),
                extended,
            }));
        }
    };
    Ok(Ok(Chosen { claims, extended: None }))
}

fn allocate(simulation: &mut ClusterState, at: usize, chosen: &Chosen, report: &mut AllocateReport) {
    let Some(state) = simulation.nodes.get(at) else { return };
    let mut seen = BTreeSet::new();
    let entries: Vec<_> = chosen
        .claims
        .iter()
        // A claim that is named twice is one claim.
        .filter(|(_, id)| seen.insert(*id))
        .filter_map(|(name, id)| Some((name.clone(), simulation.claims.get(*id)?)))
        .collect();
    let claims: Vec<&ResourceClaim> = entries
        .iter()
        .filter(|(_, entry)| entry.allocation.is_none())
        .map(|(_, entry)| entry.spec.as_ref())
        .chain(&chosen.extended)
        .collect();
    let answer = simulation.devices.ask(&state.for_allocator, &claims);
    report.steps = answer.steps;
    let mut results = Vec::new().into_iter();
    match answer.outcome {
        Outcome::Allocated(found) => {
            report.outcome = ProblemOutcome::Allocated;
            results = Arc::unwrap_or_clone(found).into_iter();
        }
        Outcome::Unsatisfiable { .. } => {
            report.outcome = ProblemOutcome::Unsatisfiable;
            let mut merged = Merged::default();
            merged.add(at, &simulation.devices.diagnose(&state.for_allocator, &claims));
            report.failures = merged.into_failures(&claims, |_| report.node.clone());
        }
        Outcome::Error(error) => {
            report.outcome = ProblemOutcome::Error;
            report.error = Some(ErrorReport {
                kind: error.kind().as_str().to_owned(),
                message: error.to_string(),
                node: Some(report.node.clone()),
            });
        }
        Outcome::Undecided => report.outcome = ProblemOutcome::Undecided,
    }
    for (pod_claim, entry) in entries {
        let before = entry.allocation.is_some();
        let new = if before { None } else { results.next().map(Arc::new) };
        let allocation = entry.allocation.as_ref().or(new.as_ref());
        report.claims.push(claim_report(
            pod_claim,
            &entry.spec.full_name(),
            entry.generated,
            false,
            before,
            allocation,
        ));
    }
    if let Some(claim) = &chosen.extended {
        let new = results.next().map(Arc::new);
        report.claims.push(claim_report(None, &claim.full_name(), true, true, false, new.as_ref()));
    }
}
