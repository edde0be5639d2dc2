//! The scheduling cycle: one pod after the other, each through the filters and onto the first node that fits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drayage_allocator::objects::AllocationResult;
use drayage_cluster::objects::Pod;

use super::attempt::{Attempt, AttemptClaim};
use super::claims::{ClaimId, MOST_CONSUMERS, PodClaim};
use super::cluster_state::ClusterState;
use super::devices::Verdict;
use super::explain::ExplainedInFull;
use super::node::PodNeeds;
use super::options::{Observer, SimulateError};
use super::placement::{PlacementRefusal, PlacementVerdicts};
use super::plan::{DevicePlan, DeviceVerdict, PlanError};
use super::pods::{PodId, PodPlace};
use super::report;
use super::tally::Refusal;
use crate::report::{PodOutcome, PodReport, Reason};

/// Up to this many nodes the scheduler looks at all of them even when one fits, so that an error on any ends the
/// cycle.
const NODES_ALL_LOOKED_AT: usize = 100;

/// How far several threads have looked ahead for one pod.
///
/// Most pods find a node among the first ones, for which threads do not pay. The longer a pod finds none, the more
/// nodes are looked at together.
#[derive(Debug, Default)]
struct LookAhead {
    /// How many nodes had no devices for the pod.
    refused: usize,
    blocks: u32,
    /// Nodes before this one were looked at.
    end: usize,
}

impl LookAhead {
    fn is_due(&self, at: usize) -> bool {
        let patience = if cfg!(test) { 1 } else { 16 };
        self.refused >= patience && at >= self.end
    }

    /// How many nodes to look at next.
    fn next(&mut self) -> usize {
        self.blocks += 1;
        64 << self.blocks.min(5)
    }

    /// Notes the last node that was looked at, if there was any.
    fn reaches(&mut self, last: Option<usize>) {
        self.end = last.map_or(usize::MAX, |last| last + 1);
    }
}

fn verdict_at(verdicts: &PlacementVerdicts, at: usize) -> Option<PlacementRefusal> {
    u32::try_from(at).ok().and_then(|at| verdicts.get(at).copied()).flatten()
}

impl ClusterState {
    /// Schedules every pending pod once, in the order of the queue, and reports on all pods.
    pub(crate) fn run(
        &mut self,
        observer: &mut dyn Observer,
        cancel: &AtomicBool,
    ) -> Result<Vec<PodReport>, SimulateError> {
        let (pending, running): (Vec<PodId>, Vec<PodId>) =
            self.pods.iter().map(|(id, _)| id).partition(|&id| self.is_pending(id));
        let mut reports = Vec::with_capacity(pending.len() + running.len());
        reports.extend(running.into_iter().filter_map(|id| report::running(self, id)));
        let pending = self.in_queue_order(pending);
        for (done, &id) in pending.iter().enumerate() {
            observer.progress(done, pending.len());
            let attempt = self.attempt(id, cancel)?;
            reports.extend(report::attempted(self, id, attempt));
        }
        observer.progress(pending.len(), pending.len());
        Ok(reports)
    }

    /// Tries to place a pod, and does so where a node takes it.
    pub fn attempt(&mut self, id: PodId, cancel: &AtomicBool) -> Result<Attempt, SimulateError> {
        let nodes = self.nodes.order();
        self.attempt_on(&nodes, id, cancel)
    }

    /// As [`attempt`](Self::attempt), as if the cluster had only these nodes, in this order.
    pub fn attempt_on(
        &mut self,
        nodes: &[usize],
        id: PodId,
        cancel: &AtomicBool,
    ) -> Result<Attempt, SimulateError> {
        if cancel.load(Ordering::Relaxed) {
            return Err(SimulateError::Cancelled);
        }
        let pod = match self.pods.get(id) {
            Some(entry) if entry.place == PodPlace::Pending => Arc::clone(&entry.pod),
            _ => return Ok(Attempt::failed("not-pending", "the pod waits for no node".to_owned(), None)),
        };
        let pod = pod.as_ref();
        if pod.metadata.deletion_timestamp.is_some() {
            return Ok(Attempt::gated("the pod is being deleted".to_owned()));
        }
        if !pod.spec.scheduling_gates.is_empty() {
            let gates = pod.spec.scheduling_gates.join(" ");
            return Ok(Attempt::gated(format!("waiting for scheduling gates: [{gates}]")));
        }
        let pod_claims = match self.claims.of_pod(pod) {
            Ok(claims) => claims,
            Err(message) => return Ok(Attempt::gated(message)),
        };
        let needs = self.needs(pod);
        self.note_delegated(&needs);
        let mut remarks = Vec::new();
        loop {
            let mut attempt = self.attempt_once(nodes, id, pod, &pod_claims, &needs, cancel)?;
            // After a failure upstream may give up an allocation that no other pod uses and try again.
            if attempt.outcome == PodOutcome::Unschedulable
                && let Some(claim) = self.give_up_allocation(pod, &pod_claims)
            {
                remarks.push(format!("the unused allocation of claim `{claim}` was given up"));
                continue;
            }
            attempt.notes.append(&mut remarks);
            if attempt.outcome != PodOutcome::Scheduled {
                attempt.claims = pod_claims.iter().map(AttemptClaim::before).collect();
            }
            return Ok(attempt);
        }
    }

    fn attempt_once(
        &mut self,
        nodes: &[usize],
        id: PodId,
        pod: &Pod,
        pod_claims: &[PodClaim],
        needs: &PodNeeds,
        cancel: &AtomicBool,
    ) -> Result<Attempt, SimulateError> {
        let refused_everywhere = |plugin: &str, reason: String, nodes: usize| {
            let message = format!("0/{nodes} nodes are available: {reason}.");
            let reasons =
                vec![Reason { plugin: plugin.to_owned(), reason, nodes, nearest: None, devices: Vec::new() }];
            Attempt { message: Some(message), reasons, ..Attempt::new(PodOutcome::Unschedulable) }
        };
        let count = nodes.len();
        let verdicts = match self.placements.verdicts(pod, &self.nodes) {
            Ok(verdicts) => verdicts,
            Err(reason) => return Ok(refused_everywhere("NodeAffinity", reason.to_owned(), count)),
        };
        let plan = DevicePlan::new(
            pod_claims,
            &self.claims,
            &self.devices,
            &needs.amounts,
            &self.names,
            self.classes.as_deref(),
        );
        let mut plan = match plan {
            Ok(plan) => plan,
            Err(PlanError::Unschedulable(reason)) => {
                return Ok(refused_everywhere("DynamicResources", reason, count));
            }
            Err(PlanError::Failed(message)) => return Ok(Attempt::failed("invalid-claim", message, None)),
        };

        self.tally.clear();
        let mut chosen: Option<(usize, Option<Vec<AllocationResult>>)> = None;
        let mut ahead = LookAhead::default();
        for (position, &at) in nodes.iter().enumerate() {
            if let Some(refusal) = verdict_at(&verdicts, at) {
                self.tally.add(Refusal::Placement(refusal));
                continue;
            }
            let Some(state) = self.nodes.get(at) else { continue };
            if !state.has_free(&needs.ports) {
                self.tally.add(Refusal::Ports);
                continue;
            }
            if !state.resources.fits(&needs.amounts, |id| self.delegated.contains(&id)) {
                let (tally, delegated) = (&mut self.tally, &self.delegated);
                state.resources.each_shortage(
                    &needs.amounts,
                    |id| delegated.contains(&id),
                    |shortage| {
                        tally.add_shortage(shortage, at);
                        true
                    },
                );
                continue;
            }
            if plan.is_empty() {
                chosen = Some((at, None));
                break;
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(SimulateError::Cancelled);
            }
            if chosen.is_none() && self.devices.looks_ahead() && ahead.is_due(position) {
                let fits = |at: usize| verdict_at(&verdicts, at).is_none() && self.has_room(at, needs);
                let later = nodes.iter().copied().enumerate().skip(position);
                let block: Vec<(usize, usize)> =
                    later.filter(|&(_, at)| fits(at)).take(ahead.next()).collect();
                ahead.reaches(block.last().map(|&(position, _)| position));
                let block: Vec<usize> = block.into_iter().map(|(_, at)| at).collect();
                plan.look_ahead(pod, &block, &self.nodes, &mut self.claims, &mut self.devices, &self.names);
            }
            match plan.verdict(pod, at, state, &mut self.claims, &mut self.devices, &self.names) {
                DeviceVerdict::Fits(results) => {
                    chosen.get_or_insert((at, results));
                    if count > NODES_ALL_LOOKED_AT || !plan.may_fail() {
                        break;
                    }
                }
                DeviceVerdict::Refused(refusal) => {
                    ahead.refused += 1;
                    self.tally.add_device_refusal(refusal, at);
                }
                DeviceVerdict::Failed(error) => {
                    let node = Some(state.name().to_owned());
                    let failed = Attempt::failed(error.kind().as_str(), error.to_string(), node);
                    let message = Some(format!("running \"DynamicResources\" filter plugin: {error}"));
                    return Ok(Attempt { message, ..failed });
                }
                // Upstream's limit is wall time, which a node behind the chosen one need not reach.
                DeviceVerdict::Undecided if chosen.is_some() => {}
                DeviceVerdict::Undecided => {
                    let message = format!(
                        "node `{}`: no answer within {} steps of the search for devices",
                        state.name(),
                        self.options.step_budget
                    );
                    let node = Some(state.name().to_owned());
                    let failed = Attempt::failed("undecided", message, node);
                    return Ok(Attempt { outcome: PodOutcome::Undecided, ..failed });
                }
            }
        }
        match chosen {
            Some((at, results)) => Ok(self.commit(id, pod, needs, &mut plan, at, results)),
            None => Ok(self.refused(nodes.len(), pod, &mut plan)),
        }
    }

    /// Whether ports and resources leave room on a node.
    fn has_room(&self, at: usize, needs: &PodNeeds) -> bool {
        self.nodes.get(at).is_some_and(|state| {
            state.has_free(&needs.ports)
                && state.resources.fits(&needs.amounts, |id| self.delegated.contains(&id))
        })
    }

    /// Writes the allocation and the pod's place into the books.
    fn commit(
        &mut self,
        id: PodId,
        pod: &Pod,
        needs: &PodNeeds,
        plan: &mut DevicePlan,
        at: usize,
        results: Option<Vec<AllocationResult>>,
    ) -> Attempt {
        let uid = &pod.metadata.uid;
        let Some(state) = self.nodes.get(at) else { return Attempt::new(PodOutcome::Error) };
        let name = state.name().to_owned();
        let full = plan.claims().iter().find(|pod_claim| {
            self.claims.get(pod_claim.claim).is_some_and(|entry| !entry.can_be_used_by(uid))
        });
        if let Some(entry) = full.and_then(|pod_claim| self.claims.get(pod_claim.claim)) {
            let message = format!(
                "resource claim `{}` is used by {MOST_CONSUMERS} pods already, which is the limit",
                entry.spec.full_name()
            );
            return Attempt::failed("too-many-consumers", message, Some(name));
        }
        let results = match results {
            Some(results) => results,
            None => match plan.allocate(pod, state, &mut self.claims, &mut self.devices, &self.names) {
                Verdict::Fits(results) => results.unwrap_or_default(),
                Verdict::Failed(error) => {
                    return Attempt::failed(error.kind().as_str(), error.to_string(), Some(name));
                }
                Verdict::Unsatisfiable { .. } | Verdict::Undecided => {
                    let message = "the search for devices contradicts its own verdict".to_owned();
                    return Attempt::failed("internal", message, Some(name));
                }
            },
        };
        let extended = plan.extended_claim(pod, state, &mut self.claims, &mut self.devices, &self.names).map(
            |mut claim| {
                claim.name = format!("{}-extended-resources", pod.metadata.name);
                self.claims.push_extended(claim)
            },
        );
        let new: Vec<ClaimId> = plan.to_allocate().iter().copied().chain(extended).collect();
        for (at, (&id, result)) in new.iter().zip(results).enumerate() {
            // The devices of a claim that the pod names twice are the last ones.
            if new.iter().skip(at + 1).all(|&later| later != id) {
                self.devices.hold(&result);
                self.claims.allocate(id, result);
            }
        }
        if plan.has_empty_extended_claim(pod, state, &mut self.claims, &mut self.devices, &self.names) {
            let message = format!(
                "running PreBind plugin \"DynamicResources\": nil or empty request mappings, no update of pod {} \
                 ExtendedResourceClaimStatus",
                pod.metadata.full_name()
            );
            return Attempt::failed("extended-resource-claim", message, Some(name));
        }
        let mut claims: Vec<AttemptClaim> = plan
            .claims()
            .iter()
            .map(|pod_claim| AttemptClaim {
                pod_claim: Some(pod_claim.name.clone()),
                claim: pod_claim.claim,
                allocated_before: !new.contains(&pod_claim.claim),
            })
            .collect();
        claims.extend(extended.map(|claim| AttemptClaim { pod_claim: None, claim, allocated_before: false }));
        for claim in &claims {
            self.claims.reserve(claim.claim, uid);
        }
        if let Some(entry) = self.pods.get_mut(id) {
            (entry.place, entry.extended) = (PodPlace::Node(at), extended);
        }
        if let Some(state) = self.nodes.get_mut(at) {
            state.take(id, needs);
        }
        Attempt { node: Some(at), claims, ..Attempt::new(PodOutcome::Scheduled) }
    }

    fn refused(&mut self, count: usize, pod: &Pod, plan: &mut DevicePlan) -> Attempt {
        let message = self.tally.message(&self.names, count);
        let states = &self.nodes;
        let mut reasons = self.tally.reasons(&self.names, &self.placements, |at| {
            states.get(at).map(|state| state.name().to_owned()).unwrap_or_default()
        });
        let nodes = self.tally.nodes_without_devices();
        let mut explained = ExplainedInFull::default();
        if self.options.explain && !nodes.is_empty() {
            let (states, names) = (&self.nodes, &self.names);
            let failures = plan.explain(pod, nodes, states, &mut self.claims, &mut self.devices, names);
            if self.options.explain_in_full {
                explained =
                    plan.explain_in_full(pod, &failures, states, &mut self.claims, &mut self.devices, names);
            }
            // Nodes with and without invalid pools have reasons of their own; the failures say which is which.
            if let Some(reason) =
                reasons.iter_mut().find(|reason| Refusal::is_lack_of_devices(&reason.reason))
            {
                reason.devices = failures;
            }
        }
        Attempt { message: Some(message), reasons, explained, ..Attempt::new(PodOutcome::Unschedulable) }
    }

    /// Deallocates one claim of the pod that is allocated for other nodes and that no other pod uses, the first
    /// in the pod's order, where upstream takes a random one. Returns its name.
    fn give_up_allocation(&mut self, pod: &Pod, pod_claims: &[PodClaim]) -> Option<String> {
        for &at in self.tally.nodes_with_claims_elsewhere() {
            let node = &self.nodes.get(at)?.for_allocator;
            for pod_claim in pod_claims {
                let Some(entry) = self.claims.get(pod_claim.claim) else { continue };
                let usable = entry.allocation.as_deref().is_none_or(|allocation| {
                    let nodes = allocation.node_selector.as_ref();
                    nodes.is_none_or(|nodes| super::selector::accepts_strictly(nodes, node))
                        && self.devices.operations_suit(allocation, node)
                });
                if usable {
                    continue;
                }
                let name = entry.spec.full_name();
                if let Some(result) = self.claims.deallocate_unused(pod_claim.claim, &pod.metadata.uid) {
                    self.devices.release(&result);
                    return Some(name);
                }
            }
        }
        None
    }
}
