//! One round of cluster-autoscaler: what each group offers, and which of them grow.

use std::collections::BTreeMap;

use super::equivalence;
use super::expander::{self, Expander, ExpanderContext, Offer};
use super::plan::wide;
use super::similar::{self, Compared};
use super::{Context, PendingGroup, ScaleUpQuestion, add_node, allocatable, capacity, estimate};
use crate::report::{PodOutcome, ScaleUpOption, ScaleUpRound};
use crate::schedule::{ClusterState, PodId, SimulateError};
use crate::what_if::drain::RoundRobin;
use crate::what_if::ground::Ground;
use crate::what_if::node_groups::Group;

/// Groups of pods that fit a fresh node, for each node group that may grow.
type Fitting = BTreeMap<usize, Vec<usize>>;

/// One round: the options of all groups, and the one that the expanders take. `None` where no group helps.
pub(super) fn one_round(
    context: &Context<'_>,
    question: &ScaleUpQuestion,
    groups: &[Group],
    state: &ClusterState,
    pending: &[PendingGroup],
    robin: &mut RoundRobin,
    reasons: &mut BTreeMap<PodId, BTreeMap<String, String>>,
) -> Result<Option<ScaleUpRound>, SimulateError> {
    let mut round = ScaleUpRound::default();
    let nodes = state.node_numbers().len();
    let mut fitting: Fitting = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        let mut skip = |why: &str| round.skipped.insert(group.name.clone(), why.to_owned());
        if group.headroom() == 0 {
            skip("max node group size reached");
            continue;
        }
        if group.zero_or_max && group.headroom() > question.limits.left(nodes) {
            skip("atomic scale-up exceeds cluster node count limit");
            continue;
        }
        let mut of_group = Vec::new();
        for (number, pods) in pending.iter().enumerate() {
            match fits_fresh(context, state, group, pods)? {
                None => of_group.push(number),
                Some(reason) => {
                    for &id in &pods.pods {
                        reasons.entry(id).or_default().insert(group.name.clone(), reason.clone());
                    }
                }
            }
        }
        fitting.insert(at, of_group);
    }
    let requested = if question.balance.is_some() { requested(context, groups, state) } else { Vec::new() };
    let mut offers = Vec::new();
    for (&at, of_group) in &fitting {
        let Some(group) = groups.get(at) else { continue };
        if of_group.is_empty() {
            continue;
        }
        let similar = similar_groups(question, groups, &fitting, &requested, at);
        let headroom = |at: &usize| groups.get(*at).map_or(0, Group::headroom);
        let room = similar.iter().map(headroom).fold(group.headroom(), usize::saturating_add);
        let ordered = ordered(group, of_group.iter().filter_map(|&number| pending.get(number)));
        let allowed = question.limits.allowed(nodes, room);
        let number = context.next_number;
        let found = estimate::estimate(context.ground, state, group, &ordered, allowed, robin, number)?;
        if found.pods.is_empty() {
            continue;
        }
        // Upstream sets the largest size even for a group that has nodes already.
        let count = if group.zero_or_max { group.max_size } else { found.nodes.len() };
        let offer = offer(context, question, group, &found.pods, count);
        let members: Vec<usize> = std::iter::once(at).chain(similar.iter().copied()).collect();
        let sizes: Vec<(usize, usize)> = members
            .iter()
            .filter_map(|&at| groups.get(at))
            .map(|group| (group.current_size, group.max_size))
            .collect();
        let shares = similar::shares(&sizes, count.min(question.limits.left(nodes)));
        let name = |at: &usize| groups.get(*at).map(|group| group.name.clone());
        let shares = members.iter().zip(shares).filter(|(_, count)| *count > 0);
        let plan = context.plan(&found.state, &BTreeMap::from([(at, count)]), &found.nodes, &found.pods);
        let with_a_score = [Expander::LeastWaste, Expander::MostPods, Expander::LeastNodes, Expander::Price];
        let expanders = ExpanderContext { nodes, ..question.context.clone() };
        let scores = with_a_score.into_iter().filter_map(|expander| {
            Some((expander.as_str().to_owned(), expander::score(expander, &offer, &expanders)?))
        });
        round.options.push(ScaleUpOption {
            group: group.name.clone(),
            nodes: count,
            pods: offer.pods,
            names: found.pods.iter().filter_map(|&id| Some(state.pod(id)?.0.metadata.full_name())).collect(),
            similar: similar.iter().filter_map(name).collect(),
            shares: shares.filter_map(|(at, count)| Some((name(at)?, count))).collect(),
            limited: found.limited,
            waste: plan.waste,
            price_per_hour: plan.price_per_hour,
            scores: scores.collect(),
        });
        offers.push(offer);
    }
    let expanders = ExpanderContext { nodes, ..question.context.clone() };
    let Some(choice) = expander::choose(&offers, &question.chain, &expanders, question.seed) else {
        return Ok(None);
    };
    let Some(taken) = round.options.get(choice.taken) else { return Ok(None) };
    round.group.clone_from(&taken.group);
    round.added.clone_from(&taken.shares);
    round.nodes = round.added.values().sum();
    if choice.equal.len() > 1 {
        let names = choice.equal.iter().filter_map(|&at| offers.get(at)).map(|offer| offer.group.clone());
        round.equal = names.collect();
    }
    Ok(Some(round))
}

/// Pods in the order in which they are packed: the biggest first, by shares of CPU and memory of a node.
fn ordered<'p>(group: &Group, pods: impl Iterator<Item = &'p PendingGroup>) -> Vec<Vec<PodId>> {
    let (cpu, memory) = allocatable(group);
    let score = |pods: &PendingGroup| {
        let share = |need: i64, whole: i64| if whole > 0 { wide(need) / wide(whole) } else { 0.0 };
        share(pods.milli_cpu, cpu) + share(pods.memory, memory)
    };
    let mut pods: Vec<&PendingGroup> = pods.collect();
    pods.sort_by(|left, right| score(right).total_cmp(&score(left)));
    pods.iter().map(|pods| pods.pods.clone()).collect()
}

fn offer(
    context: &Context<'_>,
    question: &ScaleUpQuestion,
    group: &Group,
    pods: &[PodId],
    nodes: usize,
) -> Offer {
    let (node_milli_cpu, node_memory) = capacity(group);
    let requested = pods.iter().filter_map(|id| context.requests.get(id));
    let (pods_milli_cpu, pods_memory) =
        requested.fold((0_i64, 0_i64), |sum, of| (sum.0.saturating_add(of.0), sum.1.saturating_add(of.1)));
    let labels = &group.node.metadata.labels;
    Offer {
        group: group.name.clone(),
        nodes,
        pods: pods.len(),
        node_milli_cpu,
        node_memory,
        pods_milli_cpu,
        pods_memory,
        node_price: group.price,
        has_gpu_label: question.gpu_label.as_ref().is_some_and(|label| labels.contains_key(label)),
    }
}

/// CPU and memory that the pods request with which a node of each group starts.
fn requested(context: &Context<'_>, groups: &[Group], state: &ClusterState) -> Vec<(i64, i64)> {
    let of_group = |group: &Group| {
        let mut fork = state.clone();
        let at = add_node(context.ground, &mut fork, group, context.next_number);
        let used = fork.node_use(at).unwrap_or_default();
        (used.milli_cpu.0, used.memory.0)
    };
    groups.iter().map(of_group).collect()
}

/// The groups that may share the growth of one: similar, not full, and with room for the same pods.
fn similar_groups(
    question: &ScaleUpQuestion,
    groups: &[Group],
    fitting: &Fitting,
    requested: &[(i64, i64)],
    at: usize,
) -> Vec<usize> {
    let Some(similarity) = &question.balance else { return Vec::new() };
    let compared = |at: usize| Some(Compared { group: groups.get(at)?, requested: *requested.get(at)? });
    let (Some(main), Some(wanted)) = (compared(at), fitting.get(&at)) else { return Vec::new() };
    if main.group.zero_or_max {
        return Vec::new();
    }
    let takes_the_same = |other: &Vec<usize>| wanted.iter().all(|number| other.contains(number));
    let others = fitting.iter().filter(|(other, of_other)| **other != at && takes_the_same(of_other));
    let is_similar = |other: &usize| compared(*other).is_some_and(|other| similarity.holds(main, other));
    others.map(|(&other, _)| other).filter(is_similar).collect()
}

/// Why the first pod of a group does not fit a fresh node; `None` if it does.
pub(super) fn fits_fresh(
    context: &Context<'_>,
    state: &ClusterState,
    group: &Group,
    pods: &PendingGroup,
) -> Result<Option<String>, SimulateError> {
    let Some(&sample) = pods.pods.first() else { return Ok(None) };
    let mut fork = state.clone();
    let at = add_node(context.ground, &mut fork, group, context.next_number);
    let nodes = fork.node_numbers();
    let attempt = fork.first_fit(&nodes, [at], sample, context.ground.cancel)?;
    if attempt.outcome == PodOutcome::Scheduled {
        return Ok(None);
    }
    let reasons: Vec<&str> = attempt.reasons.iter().map(|reason| reason.reason.as_str()).collect();
    let words = if reasons.is_empty() { attempt.message.unwrap_or_default() } else { reasons.join(", ") };
    Ok(Some(words))
}

/// Gives pods a node of the cluster where one fits, first fit and round robin, and takes them out of `pods`. A pod like
/// one that no node took is not tried again.
pub(super) fn place_what_fits(
    ground: &Ground<'_>,
    state: &mut ClusterState,
    pods: &mut Vec<PodId>,
    robin: &mut RoundRobin,
) -> Result<Vec<PodId>, SimulateError> {
    let objects: Vec<_> = pods.iter().filter_map(|&id| Some(state.pod(id)?.0.clone())).collect();
    let alike = equivalence::groups(&objects.iter().map(std::ops::Deref::deref).collect::<Vec<_>>());
    let mut group_of = vec![0; pods.len()];
    for (group, members) in alike.iter().enumerate() {
        for &member in members {
            if let Some(place) = group_of.get_mut(member) {
                *place = group;
            }
        }
    }
    let nodes = state.node_numbers();
    let mut refused = vec![false; alike.len()];
    let (mut left, mut placed) = (Vec::new(), Vec::new());
    for (&id, &group) in pods.iter().zip(&group_of) {
        if refused.get(group) == Some(&true) {
            left.push(id);
        } else if robin.find(ground, state, id, &nodes, |_| true)?.is_some() {
            placed.push(id);
        } else {
            left.push(id);
            if let Some(refused) = refused.get_mut(group) {
                *refused = true;
            }
        }
    }
    *pods = left;
    Ok(placed)
}
