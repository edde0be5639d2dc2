//! The scheduling cycle: one pod after the other, each through the filters and onto the best node that fits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drayage_allocator::objects::AllocationResult;
use drayage_cluster::objects::Pod;

use super::attempt::{Attempt, AttemptClaim};
use super::beginning::{Beginning, End};
use super::claims::{ClaimId, MOST_CONSUMERS, PodClaim};
use super::cluster_state::ClusterState;
use super::devices::Verdict;
use super::explain::ExplainedInFull;
use super::filter::Asked;
use super::neighbours::{Filtering, Membership, Neighbours, wants};
use super::node::PodNeeds;
use super::options::{Observer, SimulateError};
use super::plan::DevicePlan;
use super::pods::{PodId, PodPlace};
use super::preemption::priority;
use super::profile::FilterPlugin;
use super::report;
use super::score::{Candidate, Scoring};
use super::standing::{Failure, Moment};
use super::tally::Refusal;
use super::turns::Before;
use super::volumes::VolumePlan;
use crate::report::{PodOutcome, PodReport};

/// Where an attempt looks.
#[derive(Clone, Copy)]
struct Search<'a> {
    /// Numbers of the nodes that are looked at, in their order.
    nodes: &'a [usize],
    /// The nodes that count for neighbours, those among them.
    cluster: &'a [usize],
    /// Where in the order of all nodes that begins, if they are all.
    start: Option<usize>,
    cancel: &'a AtomicBool,
}

impl ClusterState {
    /// Schedules every pending pod once, in the order of the queue, and reports on all pods.
    pub(crate) fn run(
        &mut self,
        observer: &mut dyn Observer,
        cancel: &AtomicBool,
    ) -> Result<Vec<PodReport>, SimulateError> {
        self.run_watched(observer, cancel, &mut |_, _| Ok(()))
    }

    /// As [`run`](Self::run); `before` sees the state before the turn of some pods.
    pub(crate) fn run_watched(
        &mut self,
        observer: &mut dyn Observer,
        cancel: &AtomicBool,
        before: Before<'_>,
    ) -> Result<Vec<PodReport>, SimulateError> {
        let evictions = self.evict_by_taints();
        let (pending, running): (Vec<PodId>, Vec<PodId>) =
            self.pods.iter().map(|(id, _)| id).partition(|&id| self.is_pending(id));
        let mut reports = Vec::with_capacity(pending.len() + running.len());
        reports.extend(running.into_iter().filter_map(|id| report::running(self, id)));
        let pending = self.in_queue_order(pending);
        let mut preempted = BTreeMap::new();
        self.place_watched(&pending, observer, cancel, before, &mut |state, id, attempt| {
            report::note_preempted(state, id, &attempt, &mut preempted);
            reports.extend(report::attempted(state, id, attempt));
        })?;
        report::mark_preempted(&mut reports, preempted);
        report::mark_given_up(self, &mut reports);
        report::mark_evicted(self, &mut reports, &evictions);
        Ok(reports)
    }

    /// Tries to place a pod, and does so where a node takes it.
    pub fn attempt(&mut self, id: PodId, cancel: &AtomicBool) -> Result<Attempt, SimulateError> {
        let (twice, count) = (self.nodes.search_order_twice(), self.nodes.len());
        let start = self.next_start.checked_rem(count).unwrap_or_default();
        let nodes = twice.get(start..start + count).unwrap_or_default();
        self.looked_at = 0;
        let attempt = self.attempt_in(Search { nodes, cluster: nodes, start: Some(start), cancel }, id);
        if count > 0 {
            self.next_start = (self.next_start + self.looked_at) % count;
        }
        attempt
    }

    /// As [`attempt`](Self::attempt), as if the cluster had only these nodes, in this order.
    pub fn attempt_on(
        &mut self,
        nodes: &[usize],
        id: PodId,
        cancel: &AtomicBool,
    ) -> Result<Attempt, SimulateError> {
        self.attempt_in(Search { nodes, cluster: nodes, start: None, cancel }, id)
    }

    /// As [`attempt`](Self::attempt), on a part of the nodes, in this order.
    pub(super) fn attempt_in_part(
        &mut self,
        nodes: &[usize],
        id: PodId,
        cancel: &AtomicBool,
    ) -> Result<Attempt, SimulateError> {
        let twice = self.nodes.search_order_twice();
        let cluster = twice.get(..self.nodes.len()).unwrap_or_default();
        self.attempt_in(Search { nodes, cluster, start: None, cancel }, id)
    }

    fn attempt_in(&mut self, search: Search<'_>, id: PodId) -> Result<Attempt, SimulateError> {
        if search.cancel.load(Ordering::Relaxed) {
            return Err(SimulateError::Cancelled);
        }
        if let Some(&node) = self.wanted.get(&id) {
            self.prefer(Some(node));
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
        if self.options.profile_of(&pod.spec.scheduler_name).is_none() {
            let scheduler = &pod.spec.scheduler_name;
            let message = format!("waiting for scheduler `{scheduler}`, for which there is no profile");
            return Ok(Attempt::gated(message));
        }
        let needs = self.needs(pod);
        self.note_delegated(&needs);
        let mut remarks = Vec::new();
        let mut preemptions = Vec::new();
        loop {
            let mut attempt = self.attempt_once(search, id, pod, &pod_claims, &needs)?;
            // After a failure upstream may give up an allocation that no other pod uses, and preempt pods that it
            // chose before that; then the pod is tried again.
            if attempt.outcome == PodOutcome::Unschedulable {
                let given_up = self.give_up_allocation(pod, &pod_claims);
                let preemption = attempt.preemptions.pop();
                if let Some(preemption) = &preemption {
                    self.preempt(id, preemption);
                }
                let again = given_up.is_some() || preemption.is_some();
                preemptions.extend(preemption);
                remarks.extend(
                    given_up.map(|claim| format!("the unused allocation of claim `{claim}` was given up")),
                );
                if again {
                    continue;
                }
            }
            attempt.notes.append(&mut remarks);
            attempt.preemptions = preemptions;
            if attempt.outcome == PodOutcome::Unschedulable && self.options.explain && self.could_preempt(pod)
            {
                attempt.devices_in_the_way = self.devices_in_the_way(id, search.cancel)?;
            }
            // After an error they may say already which devices claims keep.
            if attempt.outcome != PodOutcome::Scheduled && attempt.claims.is_empty() {
                attempt.claims = pod_claims.iter().map(AttemptClaim::before).collect();
            }
            return Ok(attempt);
        }
    }

    fn attempt_once(
        &mut self,
        search: Search<'_>,
        id: PodId,
        pod: &Pod,
        pod_claims: &[PodClaim],
        needs: &PodNeeds,
    ) -> Result<Attempt, SimulateError> {
        let Search { nodes, cluster, start, cancel } = search;
        let options = Arc::clone(&self.options);
        let number = options.profile_of(&pod.spec.scheduler_name).unwrap_or_default();
        let profile = options.numbered_profile(number);
        let begun = self.begin_attempt(pod, pod_claims, needs, (number, profile));
        let Beginning { verdicts, volumes, mut plan } = match begun {
            Ok(begun) => begun,
            Err(End::Refused { plugin, reason }) => {
                let message = format!("0/{} nodes are available: {reason}.", nodes.len());
                return Ok(Attempt::refused(plugin, reason, nodes.len(), message));
            }
            Err(End::Failed(attempt)) => return Ok(*attempt),
        };
        let kind = self.counts.kind(pod, number);
        // What volumes decide is not among what makes pods alike.
        let demands = plan.demands_only(&mut self.devices).ok().filter(|_| volumes.is_empty());
        #[cfg(test)]
        let demands = demands.filter(|_| !self.devices.forgetful);
        let all = self.nodes.all_len();
        // Promised nodes are not the same for all pods that are alike.
        let demands = demands.filter(|_| self.nominations.is_empty());
        let likeness = demands.map(|demands| self.standing.likeness(verdicts.wish, needs, demands, all));
        let moment = start.map(|start| self.moment(start));
        let could_preempt = self.could_preempt(pod).then(|| priority(pod));
        if let (Some(likeness), Some(moment)) = (likeness, moment)
            && let Some(failure) = self.standing.failure(likeness, kind, moment)
            && (could_preempt.is_none() || could_preempt == failure.preempts_nobody)
        {
            self.tally.clear();
            if could_preempt.is_some() {
                self.tally = failure.tally.clone();
            }
            self.looked_at = failure.looked_at;
            return Ok(self.refused(nodes.len(), pod, &mut plan, &failure));
        }
        let wants = wants(&mut self.counts, kind, &self.nodes, &self.pods, &self.default_selectors);
        let membership = start
            .map(|_| Membership { nodes: self.nodes.memberships(), placements: self.placements.changes() });
        #[cfg(test)]
        let membership = membership.filter(|_| !self.devices.forgetful);
        let filtering = Filtering {
            spread: profile.filters_by(FilterPlugin::PodTopologySpread),
            affinity: profile.filters_by(FilterPlugin::InterPodAffinity),
        };
        let neighbours =
            Neighbours::new(&mut self.counts, kind, wants, cluster, membership, &verdicts, filtering);
        let room = self.room(needs, profile);
        let asked = Asked {
            nodes,
            all_nodes: cluster,
            pod,
            needs,
            room: &room,
            volumes: &volumes,
            profile: (number, profile),
            verdicts: &verdicts,
            neighbours: &neighbours,
            likeness,
        };
        self.tally.gather_resolvable(could_preempt.is_some());
        let mut candidates = Vec::new();
        // The node that was promised to the pod comes first, and is taken whatever the others are worth.
        if let Some(promised) = self.nominations.node_of(id).filter(|at| nodes.contains(at)) {
            let only = Asked { nodes: &[promised], ..asked };
            candidates = self.candidates(&only, &mut plan, cancel)?.unwrap_or_default();
            self.looked_at = 0;
        }
        if candidates.is_empty() {
            candidates = match self.candidates(&asked, &mut plan, cancel)? {
                Ok(candidates) => candidates,
                Err(attempt) => return Ok(*attempt),
            };
        }
        if candidates.is_empty() {
            if self.may_preempt
                && let Some(preemption) = self.find_preemption(id, &asked, &plan)
            {
                let preemptions = vec![preemption];
                return Ok(Attempt { preemptions, ..Attempt::new(PodOutcome::Unschedulable) });
            }
            let tally = self.tally.clone();
            let failure = match (likeness, moment) {
                (Some(likeness), Some(moment)) => {
                    self.standing.failed(likeness, kind, moment, tally, self.looked_at, could_preempt)
                }
                _ => Arc::new(Failure::once(tally)),
            };
            return Ok(self.refused(nodes.len(), pod, &mut plan, &failure));
        }
        self.nominations.forget(id);
        let best = self.best(&asked, &candidates);
        let chosen = self.ties.choose(&best, &self.nodes);
        let at = candidates.iter().position(|candidate| Some(candidate.at) == chosen).unwrap_or_default();
        let chosen = candidates.swap_remove(at);
        let attempt = self.commit(id, pod, needs, &mut plan, chosen.at, chosen.results);
        self.bind_volumes(&volumes, &attempt);
        Ok(Attempt { best, ..attempt })
    }

    /// Binds the volumes of a pod that got a node.
    pub(super) fn bind_volumes(&mut self, volumes: &VolumePlan, attempt: &Attempt) {
        if let Some(state) = attempt.node.and_then(|at| self.nodes.get(at)) {
            self.volumes.commit(volumes, &state.for_allocator);
        }
    }

    /// The candidates with the best score, by the order in which the scheduler looks at them.
    fn best(&self, asked: &Asked<'_>, candidates: &[Candidate]) -> Vec<usize> {
        if let [only] = candidates {
            return vec![only.at];
        }
        let scoring = Scoring {
            profile: asked.profile.1,
            nodes: &self.nodes,
            images: &self.images,
            counts: &self.counts,
        };
        let scores = scoring.scores(asked, candidates);
        let most = scores.iter().max().copied().unwrap_or_default();
        let best = candidates.iter().zip(&scores).filter(|&(_, &score)| score == most);
        best.map(|(candidate, _)| candidate.at).collect()
    }

    /// Writes the allocation and the pod's place into the books.
    pub(super) fn commit(
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
                Verdict::Fits(results, _) => results.unwrap_or_default(),
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
        let claims_of_pod = plan.claims().iter().map(|pod_claim| AttemptClaim {
            pod_claim: Some(pod_claim.name.clone()),
            claim: pod_claim.claim,
            allocated_before: !new.contains(&pod_claim.claim),
        });
        let mut claims: Vec<AttemptClaim> = claims_of_pod.collect();
        if plan.has_empty_extended_claim(pod, state, &mut self.claims, &mut self.devices, &self.names) {
            let message = format!(
                "running PreBind plugin \"DynamicResources\": nil or empty request mappings, no update of pod {} \
                 ExtendedResourceClaimStatus",
                pod.metadata.full_name()
            );
            // The claims of the pod were written before, and keep their devices; they are not reserved for it any more.
            return Attempt { claims, ..Attempt::failed("extended-resource-claim", message, Some(name)) };
        }
        claims.extend(extended.map(|claim| AttemptClaim { pod_claim: None, claim, allocated_before: false }));
        for claim in &claims {
            self.claims.reserve(claim.claim, uid);
        }
        if let Some(entry) = self.pods.get_mut(id) {
            (entry.place, entry.extended) = (PodPlace::Node(at), extended);
        }
        self.settle(id, at, needs);
        Attempt { node: Some(at), claims, ..Attempt::new(PodOutcome::Scheduled) }
    }

    /// As long as this is equal, no attempt that begins there comes to anything else.
    fn moment(&self, start: usize) -> Moment {
        Moment {
            nodes: self.nodes.all_changes(),
            devices: self.devices.all_changes(),
            placements: self.placements.changes(),
            start,
        }
    }

    pub(super) fn refused(
        &mut self,
        count: usize,
        pod: &Pod,
        plan: &mut DevicePlan,
        failure: &Failure,
    ) -> Attempt {
        let tally = &failure.tally;
        let message = tally.message(&self.names, count);
        let states = &self.nodes;
        let mut reasons = tally.reasons(&self.names, &self.placements, |at| {
            states.get(at).map(|state| state.name().to_owned()).unwrap_or_default()
        });
        let nodes = tally.nodes_without_devices();
        let mut explained = ExplainedInFull::default();
        if self.options.explain && !nodes.is_empty() {
            let (states, names) = (&self.nodes, &self.names);
            let merged = failure
                .merged
                .get_or_init(|| plan.explain(pod, nodes, states, &mut self.claims, &mut self.devices, names));
            let failures = plan.name_failures(merged.clone(), states, &self.claims);
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
