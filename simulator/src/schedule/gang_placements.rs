//! Where the pods of a group may go together: anywhere, or into one part of a topology (KEP-5732, plugins
//! TopologyPlacementGenerator, PodGroupPodsCount and NodeResourcesFit).
//!
//! A group that names a node label is tried in each part of the nodes that has one value of it; where pods of it are on
//! nodes already, in their part alone. Of the parts in which enough pods find nodes, the one is taken in which most do,
//! and of those the one that is used most.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;

use super::attempt::Attempt;
use super::cluster_state::ClusterState;
use super::gangs::Group;
use super::node::PodNeeds;
use super::options::SimulateError;
use super::pods::{PodId, PodPlace};
use crate::report::PodOutcome;

const UNSCHEDULABLE: &str = "pod group is unschedulable";
/// What 1.36 says of a pod that has a node and waits for the others.
const WAITING: &str = "waiting for minCount pods from a gang to be scheduled, one or more plugins asked to wait and no \
                       plugin rejected pod";

/// What became of a group.
pub(super) enum GroupEnd {
    /// It started; some of its pods may have no node all the same.
    Placed(Vec<(PodId, Attempt)>),
    /// It did not, and the state is as before. Attempts for its first pods, as far as they were tried.
    Refused(Vec<(PodId, Attempt)>, Refusal),
}

/// Why a group did not start.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// Too few of its pods find nodes.
    Unschedulable {
        /// The plugin that says so.
        plugin: &'static str,
        /// What the scheduler says of pods that had nodes.
        with_node: String,
        /// What it says of pods that were not tried any more.
        untried: String,
    },
    /// An error.
    Failed(String),
}

/// The pods of a group, placed in a part of the nodes.
struct Trial {
    state: ClusterState,
    attempts: Vec<(PodId, Attempt)>,
    /// How many pods of the group are on nodes, those included that were before.
    placed: usize,
    failure: Option<String>,
    /// Why it is in vain, where that is known before the end.
    in_vain: Option<String>,
}

impl ClusterState {
    /// Places pods of a group, or leaves the state as it was.
    pub(super) fn place_group(
        &mut self,
        group: &str,
        of: &Group,
        members: &[PodId],
        cancel: &AtomicBool,
    ) -> Result<GroupEnd, SimulateError> {
        let least = of.least.unwrap_or_default();
        let key = of.topology.as_deref().filter(|_| self.gangs.by_topology);
        let parts: Vec<Option<Vec<usize>>> = match key.map(|key| self.parts(group, key)) {
            None => vec![None],
            Some(Ok(parts)) => parts.into_iter().map(Some).collect(),
            Some(Err(message)) => return Ok(GroupEnd::Refused(Vec::new(), Refusal::Failed(message))),
        };
        if parts.is_empty() {
            let message = "no feasible placements found".to_owned();
            let refusal = Refusal::Unschedulable {
                plugin: "TopologyPlacementGenerator",
                with_node: message.clone(),
                untried: message,
            };
            return Ok(GroupEnd::Refused(Vec::new(), refusal));
        }
        let mut refused: Option<Trial> = None;
        let mut found: Vec<(Option<&[usize]>, Trial)> = Vec::new();
        for part in &parts {
            let trial = self.try_group(group, least, members, part.as_deref(), cancel)?;
            if let Some(failure) = &trial.failure {
                let message = format!("failed to schedule other pod from a pod group: {failure}");
                self.next_start = trial.state.next_start;
                return Ok(GroupEnd::Refused(trial.attempts, Refusal::Failed(message)));
            }
            let none_new = trial.attempts.iter().all(|(_, attempt)| attempt.outcome != PodOutcome::Scheduled);
            if trial.placed < least || none_new {
                refused.get_or_insert(trial);
            } else {
                found.push((part.as_deref(), trial));
            }
        }
        if let Some(best) = self.best_part(&found, members) {
            let (_, trial) = found.swap_remove(best);
            *self = trial.state;
            return Ok(GroupEnd::Placed(trial.attempts));
        }
        let Some(trial) = refused else {
            return Ok(GroupEnd::Refused(Vec::new(), Refusal::Failed(UNSCHEDULABLE.to_owned())));
        };
        self.next_start = trial.state.next_start;
        let refusal = self.refusal(&trial, parts.len());
        Ok(GroupEnd::Refused(trial.attempts, refusal))
    }

    /// The numbers of the nodes in each part of a topology in which a group may be, by the value of the label. Where pods
    /// of it are on nodes, that is one part.
    fn parts(&self, group: &str, key: &str) -> Result<Vec<Vec<usize>>, String> {
        let failed = |why: String| Err(format!("cannot determine domain for already scheduled pods: {why}"));
        let value = |at: usize| Some(self.nodes.get(at)?.node.metadata.labels.get(key)?.as_str());
        let mut required: Option<&str> = None;
        for (id, entry) in self.pods.iter() {
            let on_node = matches!(entry.place, PodPlace::Node(_) | PodPlace::Elsewhere);
            if !on_node || self.group_of(id).as_deref() != Some(group) {
                continue;
            }
            let name = entry.pod.metadata.full_name();
            let PodPlace::Node(at) = entry.place else {
                return failed(format!(
                    "getting node for pod {name}: nodeinfo not found for node name {:?}",
                    entry.pod.spec.node_name.as_deref().unwrap_or_default()
                ));
            };
            let Some(domain) = value(at) else {
                return failed(format!("no topology domain found for pod {name}"));
            };
            if let Some(other) = required.filter(|other| *other != domain) {
                return failed(format!("more than 1 domain found for pod group: {other}, {domain}"));
            }
            required = Some(domain);
        }
        let mut parts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &at in self.nodes.search_order_twice().get(..self.nodes.len()).unwrap_or_default() {
            if let Some(domain) =
                value(at).filter(|domain| required.is_none_or(|required| required == *domain))
            {
                parts.entry(domain).or_default().push(at);
            }
        }
        Ok(parts.into_values().collect())
    }

    /// Tries to place pods of a group in a fork, on these nodes or on any.
    fn try_group(
        &self,
        group: &str,
        least: usize,
        members: &[PodId],
        nodes: Option<&[usize]>,
        cancel: &AtomicBool,
    ) -> Result<Trial, SimulateError> {
        let ends_early = self.options.gates.release() >= Release::V1_37;
        let mut state = self.clone();
        let mut placed = state.placed_of(group);
        let mut attempts = Vec::with_capacity(members.len());
        let (mut failure, mut in_vain) = (None, None);
        for (done, &id) in members.iter().enumerate() {
            let attempt = match nodes {
                Some(nodes) => state.attempt_in_part(nodes, id, cancel)?,
                None => state.attempt(id, cancel)?,
            };
            placed += usize::from(attempt.outcome == PodOutcome::Scheduled);
            if matches!(attempt.outcome, PodOutcome::Error | PodOutcome::Undecided) {
                failure = Some(attempt.message.clone().unwrap_or_default());
            }
            attempts.push((id, attempt));
            let remaining = members.len() - done - 1;
            let least = least.max(1);
            if ends_early && failure.is_none() && placed + remaining < least {
                in_vain = Some(format!(
                    "minCount ({least}) cannot be satisfied: {placed} scheduled, {remaining} remaining"
                ));
            }
            if failure.is_some() || in_vain.is_some() {
                break;
            }
        }
        Ok(Trial { state, attempts, placed, failure, in_vain })
    }

    /// What the scheduler says where no part is enough.
    fn refusal(&self, first: &Trial, parts: usize) -> Refusal {
        let of_first = first.in_vain.clone().unwrap_or_else(|| UNSCHEDULABLE.to_owned());
        let (of_group, untried) = match (
            self.options.gates.release() >= Release::V1_37,
            self.gangs.by_topology,
        ) {
            (false, _) => (WAITING.to_owned(), UNSCHEDULABLE.to_owned()),
            (true, false) => (of_first.clone(), of_first),
            (true, true) => {
                let words = format!(
                    "{UNSCHEDULABLE}, 0/{parts} placements are available, first placement status: {of_first}"
                );
                (words.clone(), words)
            }
        };
        Refusal::Unschedulable {
            plugin: "GangScheduling",
            with_node: format!("{UNSCHEDULABLE}, {of_group}"),
            untried,
        }
    }

    /// The number of the part with the best score: by how many pods of the group it has, and by how much of it is in use
    /// with them.
    fn best_part(&mut self, found: &[(Option<&[usize]>, Trial)], members: &[PodId]) -> Option<usize> {
        if found.len() < 2 {
            return found.first().map(|_| 0);
        }
        let most = found.iter().map(|(_, trial)| trial.placed).max().unwrap_or_default().max(1);
        let scores: Vec<i64> = found
            .iter()
            .map(|(nodes, trial)| {
                let count = i64::try_from(trial.placed * 100 / most).unwrap_or_default();
                count + self.use_of_part(nodes.unwrap_or_default(), trial, members)
            })
            .collect();
        let best = scores.iter().max().copied()?;
        let of_best = |at: &usize| scores.get(*at) == Some(&best);
        // A node stands for its part, where chance decides.
        let wanted: Vec<usize> = members.iter().filter_map(|id| self.wanted.get(id).copied()).collect();
        let head = |nodes: &[usize]| {
            nodes.iter().copied().find(|at| wanted.contains(at)).or_else(|| nodes.first().copied())
        };
        let heads: Vec<usize> =
            (0..found.len()).filter(of_best).filter_map(|at| head(found.get(at)?.0?)).collect();
        if let Some(&node) = heads.iter().find(|at| wanted.contains(at)) {
            self.prefer(Some(node));
        }
        let head = self.ties.choose(&heads, &self.nodes)?;
        found.iter().position(|(nodes, _)| nodes.is_some_and(|nodes| nodes.contains(&head)))
    }

    /// How much of a part's nodes together is in use with the pods of a trial, weighted.
    fn use_of_part(&mut self, nodes: &[usize], trial: &Trial, members: &[PodId]) -> i64 {
        let first = members
            .first()
            .and_then(|&id| self.pods.get(id))
            .map(|entry| entry.pod.spec.scheduler_name.clone());
        let number = first.and_then(|name| self.options.profile_of(&name)).unwrap_or_default();
        let weight = self.options.numbered_profile(number).weights.node_resources_fit;
        if weight == 0 {
            return 0;
        }
        let placed = trial.attempts.iter().filter(|(_, attempt)| attempt.outcome == PodOutcome::Scheduled);
        let pods: Vec<_> = placed.filter_map(|(id, _)| Some(self.pods.get(*id)?.pod.clone())).collect();
        let needs: Vec<PodNeeds> = pods.iter().map(|pod| self.needs(pod)).collect();
        let nodes: Vec<_> = nodes.iter().filter_map(|&at| Some(&self.nodes.get(at)?.resources)).collect();
        weight * self.scorers.get(number).map_or(0, |scorers| scorers.of_part(&nodes, &needs))
    }
}
