//! The scheduling cycle: one pod after the other, each through the filters and onto the first node that fits.

use std::sync::atomic::{AtomicBool, Ordering};

use drayage_allocator::Profile;
use drayage_allocator::objects::{AllocationResult, ResourceClaim, ResourceSlice};
use drayage_cluster::objects::{Node, Pod};
use drayage_cluster::{Snapshot, controllers};
use rustc_hash::{FxHashMap, FxHashSet};

use super::claims::{ClaimBook, ClaimId, MOST_CONSUMERS, PodClaim};
use super::devices::{Devices, Verdict};
use super::explain::ExplainedInFull;
use super::extended::ResourceClasses;
use super::node::{NodeState, PodNeeds};
use super::options::{Observer, Options, SimulateError};
use super::placement::Placements;
use super::plan::{DevicePlan, DeviceVerdict, PlanError};
use super::queue;
use super::report;
use super::resources::{ResourceId, ResourceNames};
use super::tally::{Refusal, Tally};
use crate::report::{ErrorReport, PodOutcome, PodReport, Reason};

/// Up to this many nodes the scheduler looks at all of them even when one fits, so that an error on any ends the
/// cycle.
const NODES_ALL_LOOKED_AT: usize = 100;

/// A cluster under simulation.
#[derive(Debug)]
pub(crate) struct Simulation<'a> {
    options: &'a Options,
    nodes: Vec<&'a Node>,
    pub(crate) states: Vec<NodeState>,
    /// Running pods, then pending ones in queue order.
    running: Vec<&'a Pod>,
    pending: Vec<&'a Pod>,
    pub(crate) names: ResourceNames,
    pub(crate) claims: ClaimBook,
    pub(crate) devices: Devices,
    placements: Placements,
    /// Given where gate DRAExtendedResource is on.
    classes: Option<ResourceClasses>,
    /// Resources that devices may stand in for.
    delegated: FxHashSet<ResourceId>,
    tally: Tally,
    pub(crate) warnings: Vec<String>,
    finished: usize,
}

/// What an attempt to place a pod came to.
pub(crate) struct Attempt {
    pub(crate) outcome: PodOutcome,
    pub(crate) node: Option<usize>,
    pub(crate) claims: Vec<AttemptClaim>,
    pub(crate) message: Option<String>,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) error: Option<ErrorReport>,
    pub(crate) notes: Vec<String>,
    pub(crate) explained: ExplainedInFull,
}

/// A claim of a pod after the attempt.
pub(crate) struct AttemptClaim {
    /// The entry of `spec.resourceClaims`; `None` for extended resources.
    pub(crate) pod_claim: Option<String>,
    pub(crate) claim: ClaimId,
    /// Whether it had devices before.
    pub(crate) allocated_before: bool,
}

impl AttemptClaim {
    /// A claim that the attempt did not change.
    fn before(claim: &PodClaim) -> Self {
        Self { pod_claim: Some(claim.name.clone()), claim: claim.claim, allocated_before: true }
    }
}

impl Attempt {
    fn new(outcome: PodOutcome) -> Self {
        Self {
            outcome,
            node: None,
            claims: Vec::new(),
            message: None,
            reasons: Vec::new(),
            error: None,
            notes: Vec::new(),
            explained: ExplainedInFull::default(),
        }
    }

    fn gated(message: String) -> Self {
        Self { message: Some(message), ..Self::new(PodOutcome::Gated) }
    }

    fn failed(kind: &str, message: String, node: Option<String>) -> Self {
        Self {
            message: Some(message.clone()),
            error: Some(ErrorReport { kind: kind.to_owned(), message, node }),
            ..Self::new(PodOutcome::Error)
        }
    }
}

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

impl<'a> Simulation<'a> {
    pub(crate) fn new(objects: &'a Snapshot, options: &'a Options) -> Self {
        let gates = &options.gates;
        let mut nodes: Vec<&Node> = objects.nodes.iter().collect();
        nodes.sort_by(|left, right| left.metadata.name.cmp(&right.metadata.name));
        let mut running = Vec::new();
        let mut pending = Vec::new();
        let mut finished = 0;
        for pod in &objects.pods {
            if pod.has_ended() {
                finished += 1;
            } else if pod.spec.node_name.is_some() {
                running.push(pod);
            } else {
                pending.push(pod);
            }
        }
        let full_name = |pod: &Pod| (pod.metadata.namespace.clone(), pod.metadata.name.clone());
        running.sort_by_cached_key(|pod| full_name(pod));
        pending.sort_by(|left, right| queue::order(left, right));

        let mut names = ResourceNames::default();
        let states: Vec<NodeState> = nodes.iter().map(|node| NodeState::new(node, &mut names)).collect();
        let classes = gates.enabled("DRAExtendedResource").then(|| ResourceClasses::new(&objects.classes));
        let (claims, warnings) = ClaimBook::new(&objects.claims, &objects.pods);
        let features = gates.features();
        let node_names: Vec<&str> = nodes.iter().map(|node| node.metadata.name.as_str()).collect();
        let mut slices: Vec<ResourceSlice> = objects.slices.iter().map(|slice| slice.spec.clone()).collect();
        if features.device_taints && gates.enabled("DRADeviceTaintRules") {
            controllers::apply_taint_rules(&mut slices, &objects.taint_rules);
        }
        let mut devices = Devices::new(
            slices,
            objects.classes.iter().map(|class| class.spec.clone()),
            &node_names,
            Profile::named(gates.profile()),
            features,
            options.step_budget,
            options.threads,
        );
        for allocation in claims.allocations() {
            devices.hold(allocation);
        }
        let mut simulation = Self {
            options,
            nodes,
            states,
            running,
            pending,
            names,
            claims,
            devices,
            placements: Placements::new(gates.enabled("TaintTolerationComparisonOperators")),
            classes,
            delegated: FxHashSet::default(),
            tally: Tally::default(),
            warnings,
            finished,
        };
        simulation.place_running();
        simulation.warn_of_other_schedulers();
        simulation.warn_of_nodes_without_room();
        simulation
    }

    /// Pods that another scheduler would place are treated like the rest, which should not go unsaid.
    fn warn_of_other_schedulers(&mut self) {
        let is_other = |name: &str| !name.is_empty() && name != "default-scheduler";
        let mut others = self.pending.iter().filter(|pod| is_other(&pod.spec.scheduler_name));
        if let Some(first) = others.next() {
            self.warnings.push(format!(
                "{} pending pods name another scheduler, such as `{}` of pod `{}`; they are placed like the others",
                1 + others.count(),
                first.spec.scheduler_name,
                first.metadata.full_name(),
            ));
        }
    }

    /// A node without `pods` among its allocatable resources takes none, in a cluster as well as here; in a file
    /// written by hand that is seldom meant.
    fn warn_of_nodes_without_room(&mut self) {
        let mut without = self.states.iter().filter(|state| state.resources.allowed_pods == 0);
        if let Some(first) = without.next() {
            self.warnings.push(format!(
                "{} nodes allow no pods, such as `{}`: `status.allocatable` has no `pods`",
                1 + without.count(),
                first.name(),
            ));
        }
    }

    /// Running pods take what they need, whether or not it is there.
    fn place_running(&mut self) {
        let by_name: FxHashMap<&str, usize> =
            self.nodes.iter().enumerate().map(|(at, node)| (node.metadata.name.as_str(), at)).collect();
        let pod_level = self.options.gates.enabled("PodLevelResources");
        for pod in &self.running {
            let Some(node) = pod.spec.node_name.as_deref().and_then(|name| by_name.get(name)) else {
                self.warnings.push(format!(
                    "pod `{}` runs on node `{}`, which is not in the input",
                    pod.metadata.full_name(),
                    pod.spec.node_name.as_deref().unwrap_or_default(),
                ));
                continue;
            };
            let needs = PodNeeds::new(pod, pod_level, &mut self.names);
            if let Some(state) = self.states.get_mut(*node) {
                state.take(&needs);
            }
        }
    }

    /// Schedules every pending pod once.
    pub(crate) fn run(
        &mut self,
        observer: &mut dyn Observer,
        cancel: &AtomicBool,
    ) -> Result<Vec<PodReport>, SimulateError> {
        let mut reports = Vec::with_capacity(self.running.len() + self.pending.len());
        for pod in self.running.clone() {
            reports.push(report::running(self, pod));
        }
        let pending = self.pending.clone();
        for (done, pod) in pending.iter().enumerate() {
            if cancel.load(Ordering::Relaxed) {
                return Err(SimulateError::Cancelled);
            }
            observer.progress(done, pending.len());
            let attempt = self.attempt(pod, cancel)?;
            reports.push(report::attempted(self, pod, attempt));
        }
        observer.progress(pending.len(), pending.len());
        Ok(reports)
    }

    fn attempt(&mut self, pod: &Pod, cancel: &AtomicBool) -> Result<Attempt, SimulateError> {
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
        let needs = PodNeeds::new(pod, self.options.gates.enabled("PodLevelResources"), &mut self.names);
        if let Some(classes) = &self.classes {
            for &(id, _) in needs.amounts.scalars() {
                if classes.class(self.names.name(id)).is_some() {
                    self.delegated.insert(id);
                }
            }
        }
        let mut notes = Vec::new();
        loop {
            let mut attempt = self.attempt_once(pod, &pod_claims, &needs, cancel)?;
            // After a failure upstream may give up an allocation that no other pod uses and try again.
            if attempt.outcome == PodOutcome::Unschedulable
                && let Some(claim) = self.give_up_allocation(pod, &pod_claims)
            {
                notes.push(format!("the unused allocation of claim `{claim}` was given up"));
                continue;
            }
            attempt.notes.append(&mut notes);
            if attempt.outcome != PodOutcome::Scheduled {
                attempt.claims = pod_claims.iter().map(AttemptClaim::before).collect();
            }
            return Ok(attempt);
        }
    }

    fn attempt_once(
        &mut self,
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
        let count = self.nodes.len();
        let verdicts = match self.placements.verdicts(pod, &self.nodes, &self.states) {
            Ok(verdicts) => verdicts,
            Err(reason) => return Ok(refused_everywhere("NodeAffinity", reason.to_owned(), count)),
        };
        let plan = DevicePlan::new(
            pod_claims,
            &self.claims,
            &self.devices,
            &needs.amounts,
            &self.names,
            self.classes.as_ref(),
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
        for (at, refusal) in verdicts.iter().enumerate() {
            if let Some(refusal) = refusal {
                self.tally.add(Refusal::Placement(*refusal));
                continue;
            }
            let Some(state) = self.states.get(at) else { continue };
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
            if chosen.is_none() && self.devices.looks_ahead() && ahead.is_due(at) {
                let fits =
                    |at: usize| verdicts.get(at).is_some_and(Option::is_none) && self.has_room(at, needs);
                let nodes: Vec<usize> = (at..count).filter(|at| fits(*at)).take(ahead.next()).collect();
                ahead.reaches(nodes.last().copied());
                plan.look_ahead(pod, &nodes, &self.states, &mut self.claims, &mut self.devices, &self.names);
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
            Some((at, results)) => Ok(self.commit(pod, needs, &mut plan, at, results)),
            None => Ok(self.refused(pod, &mut plan)),
        }
    }

    /// Whether ports and resources leave room on a node.
    fn has_room(&self, at: usize, needs: &PodNeeds) -> bool {
        self.states.get(at).is_some_and(|state| {
            state.has_free(&needs.ports)
                && state.resources.fits(&needs.amounts, |id| self.delegated.contains(&id))
        })
    }

    /// Writes the allocation and the pod's place into the books.
    fn commit(
        &mut self,
        pod: &Pod,
        needs: &PodNeeds,
        plan: &mut DevicePlan,
        at: usize,
        results: Option<Vec<AllocationResult>>,
    ) -> Attempt {
        let uid = &pod.metadata.uid;
        let Some(state) = self.states.get(at) else { return Attempt::new(PodOutcome::Error) };
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
        if let Some(state) = self.states.get_mut(at) {
            state.take(needs);
        }
        Attempt { node: Some(at), claims, ..Attempt::new(PodOutcome::Scheduled) }
    }

    fn refused(&mut self, pod: &Pod, plan: &mut DevicePlan) -> Attempt {
        let message = self.tally.message(&self.names, self.nodes.len());
        let states = &self.states;
        let mut reasons = self.tally.reasons(&self.names, &self.placements, |at| {
            states.get(at).map(|state| state.name().to_owned()).unwrap_or_default()
        });
        let nodes = self.tally.nodes_without_devices();
        let mut explained = ExplainedInFull::default();
        if self.options.explain && !nodes.is_empty() {
            let (states, names) = (&self.states, &self.names);
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
            let node = &self.states.get(at)?.for_allocator;
            for pod_claim in pod_claims {
                let Some(entry) = self.claims.get(pod_claim.claim) else { continue };
                let usable = entry.allocation.as_ref().is_none_or(|allocation| {
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

    /// The device classes behind extended resources, where the gate is on.
    pub(crate) fn classes(&self) -> Option<&ResourceClasses> {
        self.classes.as_ref()
    }

    /// The claim for the extended resources of a pod that devices must provide on a node.
    pub(crate) fn extended_claim(
        &mut self,
        plan: &mut DevicePlan,
        pod: &Pod,
        at: usize,
    ) -> Option<ResourceClaim> {
        let state = self.states.get(at)?;
        plan.extended_claim(pod, state, &mut self.claims, &mut self.devices, &self.names)
    }

    /// Number of pods that have ended.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }
}
