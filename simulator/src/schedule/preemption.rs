//! Plugin DefaultPreemption: which pods of lower priority make room for one that fits nowhere.
//!
//! A node where others are in the way is tried without all pods of lower priority. Then they come back one after the
//! other, those first whose disruption budget would be violated, then the more important ones, as long as the pod
//! still fits; the rest are victims. Of the nodes that were tried the one with the least harm is taken.
//!
//! As upstream's, this is blind to devices: a victim's claims keep their devices while nodes are tried, and a node
//! that DynamicResources refuses is never tried at all.

use std::cmp::{Ordering, Reverse};

use drayage_cel::Timestamp;
use drayage_cluster::objects::Pod;

use super::cluster_state::ClusterState;
use super::filter::Asked;
use super::neighbours::{Filtering, Neighbours, wants};
use super::node::PodNeeds;
use super::plan::{DevicePlan, DeviceVerdict};
use super::pods::PodId;
use super::profile::FilterPlugin;

/// Pods that make room for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    /// Number of the node on which room is made.
    pub node: usize,
    /// The pods that have to go, the most important first.
    pub victims: Vec<Victim>,
    /// Numbers of the nodes where the harm would have been as small, among them the one that was taken.
    pub best: Vec<usize>,
}

/// A pod that has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Its number. It is gone; what it was can still be looked at.
    pub pod: PodId,
    /// Whether this violates a disruption budget.
    pub violates_budget: bool,
}

/// A pod that may have to go.
#[derive(Clone, Debug)]
struct Candidate {
    id: PodId,
    name: String,
    priority: i32,
    /// Seconds since 1970; pods that have not started count as starting now.
    started: i64,
    needs: PodNeeds,
    violates_budget: bool,
}

impl Candidate {
    /// The more important one first: higher priority, running for longer. Upstream leaves open which of two pods
    /// that agree in both is more important; here it is the first by name.
    fn by_importance(&self, other: &Self) -> Ordering {
        (Reverse(self.priority), self.started, &self.name).cmp(&(
            Reverse(other.priority),
            other.started,
            &other.name,
        ))
    }
}

/// A node and who would have to leave it.
struct Choice {
    node: usize,
    victims: Vec<Candidate>,
}

impl Choice {
    fn violations(&self) -> usize {
        self.victims.iter().filter(|victim| victim.violates_budget).count()
    }

    /// How bad it is; less is better.
    fn harm(&self) -> (usize, i32, i64, usize, Reverse<i64>) {
        let highest = self.victims.iter().map(|victim| victim.priority).max().unwrap_or(i32::MIN);
        // A sum in which a pod of any priority is worse than none.
        let sum = self.victims.iter().map(|victim| i64::from(victim.priority) + (1 << 31)).sum();
        let top = self.victims.iter().filter(|victim| victim.priority == highest);
        let earliest = top.map(|victim| victim.started).min().unwrap_or(i64::MAX);
        (self.violations(), highest, sum, self.victims.len(), Reverse(earliest))
    }
}

/// Priority of a pod; the loader has resolved classes.
pub(crate) fn priority(pod: &Pod) -> i32 {
    pod.spec.priority.unwrap_or(0)
}

fn started(pod: &Pod) -> i64 {
    let time = pod.status.start_time.as_deref().and_then(Timestamp::parse);
    time.and_then(Result::ok).map_or(i64::MAX, Timestamp::seconds)
}

impl ClusterState {
    /// From now on attempts may preempt pods of lower priority, or no longer.
    pub fn allow_preemption(&mut self, allow: bool) {
        self.may_preempt = allow;
    }

    /// From now on pods that are preempted wait for another node, or are gone.
    pub(crate) fn let_victims_wait(&mut self, wait: bool) {
        self.victims_wait = wait;
    }

    /// Whether it is worth to remember where others are in the way of a pod.
    pub(super) fn could_preempt(&self, pod: &Pod) -> bool {
        self.may_preempt
            && priority(pod) > self.lowest_priority
            && pod.spec.preemption_policy.as_deref() != Some("Never")
    }

    /// Finds out whom a pod that no node takes should preempt. The state is the same afterwards.
    pub(super) fn find_preemption(
        &mut self,
        id: PodId,
        asked: &Asked<'_>,
        plan: &DevicePlan,
    ) -> Option<Preemption> {
        let nodes = self.tally.resolvable().to_vec();
        let never = asked.pod.spec.preemption_policy.as_deref() == Some("Never");
        if never || asked.profile.1.preemption.is_none() || self.waits_for_victims(id, asked.pod, &nodes) {
            return None;
        }
        let offset = self.ties.begin(nodes.len());
        // In a fork, so that what is known of nodes stays known.
        let mut choices = self.clone().least_harm(&nodes, offset, asked, &mut plan.clone());
        let best: Vec<usize> = choices.iter().map(|choice| choice.node).collect();
        let node = self.ties.choose(&best, &self.nodes);
        let chosen = choices.iter().position(|choice| Some(choice.node) == node);
        let found = chosen.map(|at| {
            let Choice { node, victims } = choices.swap_remove(at);
            let victim =
                |victim: Candidate| Victim { pod: victim.id, violates_budget: victim.violates_budget };
            Preemption { node, victims: victims.into_iter().map(victim).collect(), best }
        });
        if found.is_none() {
            self.nominations.forget(id);
        }
        found
    }

    /// The nodes where the least harm is done, beginning with the one at `offset`.
    fn least_harm(
        &mut self,
        nodes: &[usize],
        offset: usize,
        asked: &Asked<'_>,
        plan: &mut DevicePlan,
    ) -> Vec<Choice> {
        let (_, profile) = asked.profile;
        let (percentage, least) = profile.preemption.unwrap_or_default();
        let share = nodes.len().saturating_mul(percentage as usize) / 100;
        let wanted = share.max(least as usize).min(nodes.len());
        let mut choices: Vec<Choice> = Vec::new();
        let mut without_violations = 0;
        for &at in nodes.iter().cycle().skip(offset).take(nodes.len()) {
            let Some(victims) = self.victims(at, asked, plan).filter(|victims| !victims.is_empty()) else {
                continue;
            };
            let choice = Choice { node: at, victims };
            without_violations += usize::from(choice.violations() == 0);
            choices.push(choice);
            if without_violations > 0 && choices.len() >= wanted {
                break;
            }
        }
        let least = choices.iter().map(Choice::harm).min();
        choices.retain(|choice| Some(choice.harm()) == least);
        choices
    }

    /// Whether victims of an earlier preemption are still leaving the node that the pod was promised.
    fn waits_for_victims(&self, id: PodId, pod: &Pod, resolvable: &[usize]) -> bool {
        let Some(node) = self.nominations.node_of(id).filter(|node| resolvable.contains(node)) else {
            return false;
        };
        self.pods_on(node).iter().filter_map(|&other| self.pods.get(other)).any(|other| {
            other.pod.metadata.deletion_timestamp.is_some()
                && other.pod.status.preempted_by_scheduler
                && priority(&other.pod) < priority(pod)
        })
    }

    /// The pods that have to leave a node so that the pod fits, the most important first; `None` where nothing helps.
    fn victims(&mut self, at: usize, asked: &Asked<'_>, plan: &mut DevicePlan) -> Option<Vec<Candidate>> {
        let before = self.nodes.get(at)?.clone();
        let lower: Vec<PodId> = before
            .pods
            .iter()
            .copied()
            .filter(|&id| self.pods.get(id).is_some_and(|entry| priority(&entry.pod) < priority(asked.pod)))
            .collect();
        if lower.is_empty() {
            return None;
        }
        let mut gone: Vec<Candidate> = Vec::with_capacity(lower.len());
        for id in lower {
            let Some(pod) = self.pods.get(id).map(|entry| entry.pod.clone()) else { continue };
            let needs = self.needs(&pod);
            self.unsettle(id, at, &needs);
            gone.push(Candidate {
                id,
                name: pod.metadata.full_name(),
                priority: priority(&pod),
                started: started(&pod),
                needs,
                violates_budget: false,
            });
        }
        let victims = if self.fits_with_nominated(at, asked, plan) {
            gone.sort_by(Candidate::by_importance);
            let violates = self.budgets.violated_by(gone.iter().map(|pod| pod.id), &self.pods);
            for (pod, violates) in gone.iter_mut().zip(violates) {
                pod.violates_budget = violates;
            }
            // Those whose budget would be violated come back first.
            gone.sort_by_key(|pod| !pod.violates_budget);
            let mut victims = Vec::new();
            for pod in gone {
                self.settle(pod.id, at, &pod.needs);
                if !self.fits_with_nominated(at, asked, plan) {
                    self.unsettle(pod.id, at, &pod.needs);
                    victims.push(pod);
                }
            }
            gone = victims;
            gone.sort_by(Candidate::by_importance);
            Some(gone.clone())
        } else {
            None
        };
        for pod in gone {
            self.settle(pod.id, at, &pod.needs);
        }
        if let Some(state) = self.nodes.get_mut(at) {
            *state = before;
        }
        victims
    }

    /// Whether a node takes the pod as it is now, and also with the pods that were promised a place there.
    fn fits_with_nominated(&mut self, at: usize, asked: &Asked<'_>, plan: &mut DevicePlan) -> bool {
        let nominated = self.add_nominated(at, asked.pod);
        let fits = self.fits_now(at, asked, plan);
        let any = !nominated.is_empty();
        self.remove_nominated(at, nominated);
        fits && (!any || self.fits_now(at, asked, plan))
    }

    fn fits_now(&mut self, at: usize, asked: &Asked<'_>, plan: &mut DevicePlan) -> bool {
        if !self.has_room(at, asked) || self.volumes_refuse(at, asked) {
            return false;
        }
        let neighbours = self.neighbours_of(asked);
        if neighbours.is_some_and(|neighbours| neighbours.refusal(&self.counts, at).is_some()) {
            return false;
        }
        if plan.is_empty() {
            return true;
        }
        let Some(state) = self.nodes.get(at) else { return false };
        let verdict = plan.verdict(asked.pod, at, state, &mut self.claims, &mut self.devices, &self.names);
        matches!(verdict, DeviceVerdict::Fits(..))
    }

    fn volumes_refuse(&self, at: usize, asked: &Asked<'_>) -> bool {
        let Some(state) = self.nodes.get(at).filter(|_| !asked.volumes.is_empty()) else { return false };
        let mut refused = false;
        let found = |_| refused = true;
        self.volumes.each_refusal(asked.volumes, &state.for_allocator, &state.pods, &self.pods, found);
        refused
    }

    /// Counts the pod's neighbours as they are now; `None` where they do not matter to it.
    pub(super) fn neighbours_of(&mut self, asked: &Asked<'_>) -> Option<Neighbours> {
        if asked.neighbours.is_content() {
            return None;
        }
        let (number, profile) = asked.profile;
        let filtering = Filtering {
            spread: profile.filters_by(FilterPlugin::PodTopologySpread),
            affinity: profile.filters_by(FilterPlugin::InterPodAffinity),
        };
        let kind = self.counts.kind(asked.pod, number);
        let wants = wants(&mut self.counts, kind, &self.nodes, &self.pods, &self.default_selectors);
        Some(Neighbours::new(&mut self.counts, kind, wants, asked.all_nodes, None, asked.verdicts, filtering))
    }

    /// Removes the victims and promises the node to the pod.
    pub(super) fn preempt(&mut self, id: PodId, preemption: &Preemption) {
        for victim in &preemption.victims {
            if let Some(entry) = self.pods.get(victim.pod) {
                self.budgets.pod_leaves(&entry.pod);
            }
            if self.victims_wait {
                self.evict(victim.pod);
            } else {
                self.delete(victim.pod);
            }
        }
        let of = self.pods.get(id).map_or(0, |entry| priority(&entry.pod));
        let pods = &self.pods;
        let lower = |other: PodId| pods.get(other).is_some_and(|entry| priority(&entry.pod) < of);
        self.nominations.withdraw(preemption.node, lower);
        self.nominations.set(id, preemption.node);
    }
}
