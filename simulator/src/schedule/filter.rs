//! Which nodes fit a pod: the filters, in the scheduler's order.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use drayage_cel::Release;
use drayage_cluster::objects::Pod;

use super::attempt::Attempt;
use super::cluster_state::ClusterState;
use super::neighbours::Neighbours;
use super::node::PodNeeds;
use super::options::SimulateError;
use super::placement::{PlacementRefusal, PlacementVerdicts};
use super::plan::{DevicePlan, DeviceVerdict};
use super::profile::{FilterPlugin, SchedulerProfile};
use super::resources::Amounts;
use super::score::{Candidate, DeviceAmount};
use super::standing::{Known, KnownNodes, Likeness, NodeChanges};
use super::tally::Refusal;
use super::volumes::VolumePlan;
use crate::report::PodOutcome;

/// How far several threads have looked ahead for one pod.
///
/// Mostly the verdicts on nodes are known, and threads do not pay. The more are not, the more nodes are looked at
/// together.
#[derive(Debug, Default)]
struct LookAhead {
    /// How many verdicts were not known.
    asked: usize,
    blocks: u32,
    /// Nodes before this one were looked at.
    end: usize,
}

impl LookAhead {
    fn is_due(&self, at: usize) -> bool {
        let patience = if cfg!(test) { 1 } else { 16 };
        self.asked >= patience && at >= self.end
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

/// What the filters and scores of an attempt look at.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Numbers of the nodes that are looked at, in their order.
    pub(super) nodes: &'a [usize],
    /// Those of all nodes, among which the pod has its neighbours.
    pub(super) all_nodes: &'a [usize],
    pub(super) pod: &'a Pod,
    pub(super) needs: &'a PodNeeds,
    /// What the filter of plugin NodeResourcesFit looks at of the needs.
    pub(super) room: &'a Amounts,
    pub(super) volumes: &'a VolumePlan,
    /// Number of the profile, and the profile.
    pub(super) profile: (usize, &'a SchedulerProfile),
    pub(super) verdicts: &'a PlacementVerdicts,
    pub(super) neighbours: &'a Neighbours,
    /// The number of pods that are alike, if it is only them that decide on nodes.
    pub(super) likeness: Option<Likeness>,
}

impl ClusterState {
    /// Nodes that fit a pod, in the order of `nodes`, as many as the scheduler looks for; or the attempt that an error
    /// ends. The others that were looked at are counted with the reason.
    pub(super) fn candidates(
        &mut self,
        asked: &Asked<'_>,
        plan: &mut DevicePlan,
        cancel: &AtomicBool,
    ) -> Result<Result<Vec<Candidate>, Box<Attempt>>, SimulateError> {
        let mut known = asked.likeness.map(|likeness| self.standing.take(likeness)).unwrap_or_default();
        let candidates = self.candidates_knowing(asked, plan, cancel, &mut known);
        if let Some(likeness) = asked.likeness {
            self.standing.put_back(likeness, known);
        }
        candidates
    }

    fn candidates_knowing(
        &mut self,
        asked: &Asked<'_>,
        plan: &mut DevicePlan,
        cancel: &AtomicBool,
        known: &mut KnownNodes,
    ) -> Result<Result<Vec<Candidate>, Box<Attempt>>, SimulateError> {
        let &Asked { nodes, pod, verdicts, neighbours, likeness, profile: (profile_number, profile), .. } =
            asked;
        let is_content = neighbours.is_content();
        self.tally.clear();
        let mut named = Vec::new();
        let nodes = if verdicts.names_nodes {
            let is_named = |at: &usize| verdicts.get(*at).refusal != Some(PlacementRefusal::NotNamed);
            named.extend(nodes.iter().copied().filter(is_named));
            self.tally.add_all(Refusal::Placement(PlacementRefusal::NotNamed), nodes.len() - named.len());
            &named
        } else {
            nodes
        };
        let wanted = profile.nodes_to_find(nodes.len());
        let mut candidates: Vec<Candidate> = Vec::with_capacity(wanted.min(nodes.len()));
        let mut ahead = LookAhead::default();
        let scorers = self.scorers.get(profile_number);
        let scores_devices = scorers.is_none_or(|scorers| scorers.scalars(asked.needs).next().is_some());
        let needs_devices = scores_devices || !plan.is_empty();
        for (position, &at) in nodes.iter().enumerate() {
            if candidates.len() == wanted {
                break;
            }
            self.looked_at += 1;
            // Who needs no devices does not mind what happens to them.
            let devices = if needs_devices { self.devices.changes(at) } else { 0 };
            let changes = NodeChanges { node: self.nodes.changes(at), devices };
            let (mut of_node, mut score) = known.get(at, changes, scores_devices);
            if of_node == Known::Nothing {
                if !self.begin(asked, at) {
                    continue;
                }
                score = self.node_score(at, asked);
                of_node = if plan.is_empty() { Known::Fits { alternatives: 0 } } else { Known::Begun };
                if likeness.is_some() {
                    known.set(at, changes, of_node, score);
                }
            }
            if !is_content && let Some(refusal) = neighbours.refusal(&self.counts, at) {
                self.tally.add(refusal);
                if refusal.is_resolvable() {
                    self.tally.add_resolvable(at);
                }
                continue;
            }
            match of_node {
                Known::Fits { alternatives } => {
                    let alternatives = i64::from(alternatives);
                    candidates.push(Candidate { at, score, alternatives, results: None });
                    continue;
                }
                Known::NoDevices { invalid_pools } => {
                    self.tally.add_device_refusal(Refusal::Devices { invalid_pools }, at);
                    continue;
                }
                Known::Nothing | Known::Begun => {}
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(SimulateError::Cancelled);
            }
            if self.devices.looks_ahead() && ahead.is_due(position) {
                let fits = |at: usize| {
                    verdicts.get(at).refusal.is_none()
                        && self.has_room(at, asked)
                        && (is_content || neighbours.refusal(&self.counts, at).is_none())
                };
                let later = nodes.iter().copied().enumerate().skip(position);
                // Of many nodes no more than are wanted, as long as they fit.
                let most = ahead.next().min((wanted - candidates.len()).max(64));
                let block: Vec<(usize, usize)> = later.filter(|&(_, at)| fits(at)).take(most).collect();
                ahead.reaches(block.last().map(|&(position, _)| position));
                let block: Vec<usize> = block.into_iter().map(|(_, at)| at).collect();
                plan.look_ahead(pod, &block, &self.nodes, &mut self.claims, &mut self.devices, &self.names);
            }
            let Some(state) = self.nodes.get(at) else { continue };
            let mut found_out = Known::Begun;
            match plan.verdict(pod, at, state, &mut self.claims, &mut self.devices, &self.names) {
                DeviceVerdict::Fits(results, alternatives) => {
                    ahead.asked += usize::from(results.is_some());
                    if let Ok(alternatives) = u16::try_from(alternatives) {
                        found_out = Known::Fits { alternatives };
                    }
                    candidates.push(Candidate { at, score, alternatives, results });
                }
                DeviceVerdict::Refused(refusal) => {
                    ahead.asked += 1;
                    if let Refusal::Devices { invalid_pools } = refusal {
                        found_out = Known::NoDevices { invalid_pools };
                    }
                    self.tally.add_device_refusal(refusal, at);
                }
                DeviceVerdict::Failed(error) => {
                    let node = Some(state.name().to_owned());
                    let failed = Attempt::failed(error.kind().as_str(), error.to_string(), node);
                    let message = Some(format!("running \"DynamicResources\" filter plugin: {error}"));
                    return Ok(Err(Box::new(Attempt { message, ..failed })));
                }
                // Upstream's limit is wall time, which a node behind one that fits need not reach.
                DeviceVerdict::Undecided if !candidates.is_empty() => {}
                DeviceVerdict::Undecided => {
                    let message = format!(
                        "node `{}`: no answer within {} steps of the search for devices",
                        state.name(),
                        self.options.step_budget
                    );
                    let node = Some(state.name().to_owned());
                    let failed = Attempt::failed("undecided", message, node);
                    return Ok(Err(Box::new(Attempt { outcome: PodOutcome::Undecided, ..failed })));
                }
            }
            if likeness.is_some() && found_out != Known::Begun {
                known.set(at, changes, found_out, score);
            }
        }
        Ok(Ok(candidates))
    }

    /// The filters before those that look at other nodes: whether they accept a node. If not, it is counted with the
    /// reason.
    fn begin(&mut self, asked: &Asked<'_>, at: usize) -> bool {
        let (_, profile) = asked.profile;
        if let Some(refusal) = asked.verdicts.get(at).refusal {
            self.tally.add(Refusal::Placement(refusal));
            return false;
        }
        if !self.nominations.is_empty() && self.is_promised_away(at, asked) {
            return false;
        }
        let Some(state) = self.nodes.get(at) else { return false };
        if profile.filters_by(FilterPlugin::NodePorts) && !state.has_free(&asked.needs.ports) {
            self.tally.add(Refusal::Ports);
            self.tally.add_resolvable(at);
            return false;
        }
        let (tally, delegated) = (&mut self.tally, &self.delegated);
        let mut fits = true;
        if profile.filters_by(FilterPlugin::NodeResourcesFit) {
            state.resources.each_shortage(
                asked.room,
                |id| delegated.contains(&id),
                |shortage| {
                    tally.add_shortage(shortage, at);
                    fits = false;
                    true
                },
            );
        }
        if !fits
            && tally.gathers_resolvable()
            && state.resources.offers(asked.room, |id| delegated.contains(&id))
        {
            tally.add_resolvable(at);
        }
        if fits && !asked.volumes.is_empty() {
            self.volumes.each_refusal(
                asked.volumes,
                &state.for_allocator,
                &state.pods,
                &self.pods,
                |refusal| {
                    tally.add(Refusal::Volume(refusal));
                    fits = false;
                },
            );
        }
        fits
    }

    /// What a node is worth for itself, see [`Scorers::of_node`](super::score::Scorers::of_node).
    fn node_score(&mut self, at: usize, asked: &Asked<'_>) -> i64 {
        let (number, profile) = asked.profile;
        let by_devices = self.device_amounts(at, asked.needs, number);
        let (Some(state), Some(scorers)) = (self.nodes.get(at), self.scorers.get(number)) else { return 0 };
        scorers.of_node(&profile.weights, &state.resources, asked.needs, &by_devices)
    }

    /// The devices that stand in on a node for extended resources that a pod requests and that count for its score,
    /// since 1.35.
    fn device_amounts(&mut self, at: usize, needs: &PodNeeds, number: usize) -> Vec<DeviceAmount> {
        let mut amounts: Vec<DeviceAmount> = Vec::new();
        let (Some(classes), Some(scorers)) = (self.classes.as_deref(), self.scorers.get(number)) else {
            return amounts;
        };
        let Some(state) = self.nodes.get(at).filter(|_| self.devices.kubernetes() >= Release::V1_35) else {
            return amounts;
        };
        for resource in scorers.scalars(needs) {
            let is_offered = state.resources.allocatable.scalar(resource).unwrap_or(0) > 0;
            if is_offered || amounts.iter().any(|found| found.resource == resource) {
                continue;
            }
            let name = classes.class(self.names.name(resource));
            let Some(class) = name.and_then(|name| self.devices.class(name)) else { continue };
            let counted = self.device_counts.of(class, at, &state.for_allocator, &self.devices);
            amounts.extend(counted.map(|(all, held)| DeviceAmount { resource, all, held }));
        }
        amounts
    }

    /// Whether ports and resources leave room on a node.
    pub(super) fn has_room(&self, at: usize, asked: &Asked<'_>) -> bool {
        let (_, profile) = asked.profile;
        self.nodes.get(at).is_some_and(|state| {
            (!profile.filters_by(FilterPlugin::NodePorts) || state.has_free(&asked.needs.ports))
                && (!profile.filters_by(FilterPlugin::NodeResourcesFit)
                    || state.resources.fits(asked.room, |id| self.delegated.contains(&id)))
        })
    }

    /// What the filter of plugin NodeResourcesFit looks at of a pod's needs.
    pub(super) fn room<'a>(&self, needs: &'a PodNeeds, profile: &SchedulerProfile) -> Cow<'a, Amounts> {
        let is_ignored = |id| profile.ignores(self.names.name(id));
        if needs.amounts.scalars().iter().any(|&(id, _)| is_ignored(id)) {
            Cow::Owned(needs.amounts.without(is_ignored))
        } else {
            Cow::Borrowed(&needs.amounts)
        }
    }
}
