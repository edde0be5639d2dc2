//! The least that any plan takes: an exact cover of the waiting pods by what fits on new nodes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use drayage_cluster::objects::{Pod, PodResourceClaim, Toleration};
use rustc_hash::FxHashMap;

use super::equivalence::are_alike;
use super::plan::{Objective, float};
use super::{Context, PendingGroup, add_node};
use crate::report::{PodOutcome, ScaleUpPlan};
use crate::schedule::{ClusterState, PodId, SimulateError};
use crate::what_if::node_groups::Group;

/// Beyond these there is no exact cover.
const MOST_KINDS: usize = 8;
const MOST_PATTERNS: usize = 1200;
const MOST_STEPS: usize = 1_000_000;
/// After this many questions to the allocator, devices are taken to fit.
const MOST_CHECKS: usize = 300;

/// Pods that are equal, of whatever controller.
struct Kind {
    pods: Vec<PodId>,
    milli_cpu: i64,
    memory: i64,
    has_claims: bool,
}

/// How many pods of each kind may share a node of a group.
#[derive(Clone, Debug)]
struct Pattern {
    group: usize,
    cost: f64,
    counts: Vec<usize>,
}

/// What is known of the best plan.
#[derive(Debug)]
pub(super) struct Optimum {
    /// No plan that puts the pods on new nodes takes less.
    pub(super) least: f64,
    /// A plan that takes so much, if the one that the cover suggests stands every filter.
    pub(super) plan: Option<ScaleUpPlan>,
}

/// Covers the pods with nodes. A node may have what its CPU, its memory and its number of pods allow, what the allocator
/// finds devices for when it is asked for all claims at once, and no two pods that keep each other off a node. So it may
/// have more than filters let pass, and the cover is a bound. `None` where that takes too many steps.
pub(super) fn optimum(
    context: &Context<'_>,
    base: &ClusterState,
    pods: &[PendingGroup],
    objective: Objective,
) -> Result<Option<Optimum>, SimulateError> {
    let kinds = kinds(base, pods);
    if kinds.is_empty() || kinds.len() > MOST_KINDS {
        return Ok(None);
    }
    let mut patterns = Vec::new();
    for (at, group) in context.groups.iter().enumerate().filter(|(_, group)| group.headroom() > 0) {
        let cost = match objective {
            Objective::Nodes => 1.0,
            Objective::Price => group.price.unwrap_or(f64::MAX),
        };
        let mut of_group = OfGroup::new(context, base, group, &kinds)?;
        of_group.extend(&mut Vec::new())?;
        if of_group.found.len() > MOST_PATTERNS {
            return Ok(None);
        }
        patterns.extend(of_group.found.into_iter().map(|counts| Pattern { group: at, cost, counts }));
    }
    let mut cover = Cover { patterns: without_dominated(patterns), known: FxHashMap::default(), steps: 0 };
    let demand: Vec<usize> = kinds.iter().map(|kind| kind.pods.len()).collect();
    let Some(least) = cover.least(&demand).filter(|least| least.is_finite()) else { return Ok(None) };
    let plan = realise(context, base, &kinds, &cover.chosen(&demand))?;
    Ok(Some(Optimum { least, plan }))
}

fn kinds(state: &ClusterState, groups: &[PendingGroup]) -> Vec<Kind> {
    let mut kinds: Vec<(&Pod, Kind)> = Vec::new();
    for group in groups {
        let Some((sample, _)) = group.pods.first().and_then(|&id| state.pod(id)) else { continue };
        let same = |pod: &Pod| pod.metadata.namespace == sample.metadata.namespace && are_alike(pod, sample);
        if let Some((_, kind)) = kinds.iter_mut().find(|(pod, _)| same(pod)) {
            kind.pods.extend(&group.pods);
        } else {
            let kind = Kind {
                pods: group.pods.clone(),
                milli_cpu: group.milli_cpu,
                memory: group.memory,
                has_claims: !sample.spec.resource_claims.is_empty(),
            };
            kinds.push((sample, kind));
        }
    }
    kinds.into_iter().map(|(_, kind)| kind).collect()
}

/// What fits on a fresh node of one group.
struct OfGroup<'o> {
    context: &'o Context<'o>,
    kinds: &'o [Kind],
    /// The cluster with the node.
    state: ClusterState,
    at: usize,
    /// CPU, memory and pods.
    free: (i64, i64, i64),
    /// The most pods of each kind.
    most: Vec<usize>,
    /// What the allocator said, by pods with claims.
    known: BTreeMap<Vec<usize>, bool>,
    found: Vec<Vec<usize>>,
}

impl<'o> OfGroup<'o> {
    fn new(
        context: &'o Context<'o>,
        base: &ClusterState,
        group: &Group,
        kinds: &'o [Kind],
    ) -> Result<Self, SimulateError> {
        let mut state = base.clone();
        let at = add_node(context.ground, &mut state, group, context.next_number);
        let used = state.node_use(at).unwrap_or_default();
        let left = |(used, all): (i64, i64)| all.saturating_sub(used).max(0);
        let free = (left(used.milli_cpu), left(used.memory), left(used.pods));
        let (most, known, found) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut of_group = Self { context, kinds, state, at, free, most, known, found };
        for kind in kinds {
            let most = of_group.most_of(kind)?;
            of_group.most.push(most);
        }
        Ok(of_group)
    }

    /// None where the node does not suit, one where such pods keep each other off a node.
    fn most_of(&self, kind: &Kind) -> Result<usize, SimulateError> {
        let mut fork = self.state.clone();
        let nodes = fork.node_numbers();
        for (number, &id) in kind.pods.iter().take(2).enumerate() {
            let attempt = fork.first_fit(&nodes, [self.at], id, self.context.ground.cancel)?;
            if attempt.outcome == PodOutcome::Scheduled {
                continue;
            }
            let refused_by = |plugins: &[&str]| {
                attempt.reasons.iter().any(|reason| plugins.contains(&reason.plugin.as_str()))
            };
            // Pods elsewhere may change the mind of the other plugins.
            let never =
                ["NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodeResourcesFit"];
            if number == 0 {
                return Ok(if refused_by(&never) { 0 } else { kind.pods.len() });
            }
            let apart = attempt.reasons.iter().any(|reason| reason.reason.contains("anti-affinity"));
            return Ok(if apart || refused_by(&["NodePorts"]) { 1 } else { kind.pods.len() });
        }
        Ok(kind.pods.len())
    }

    /// Goes through the numbers of pods of each kind, one kind after the other, as many as fit first.
    fn extend(&mut self, counts: &mut Vec<usize>) -> Result<(), SimulateError> {
        let (at, kinds) = (counts.len(), self.kinds);
        let Some(kind) = kinds.get(at) else {
            if counts.iter().any(|&count| count > 0) {
                self.found.push(counts.clone());
            }
            return Ok(());
        };
        let mut most = self.room(kind, counts).min(self.most.get(at).copied().unwrap_or(0));
        loop {
            counts.push(most);
            let fits = most == 0 || !kind.has_claims || self.finds_devices(counts)?;
            if fits && self.found.len() <= MOST_PATTERNS {
                self.extend(counts)?;
            }
            counts.pop();
            // The last kind takes all it can; fewer would only be a part of that.
            if most == 0 || (fits && at + 1 == kinds.len()) {
                return Ok(());
            }
            most -= 1;
        }
    }

    /// How many pods of a kind CPU, memory and the number of pods allow beside others.
    fn room(&self, kind: &Kind, counts: &[usize]) -> usize {
        let sum = |of: fn(&Kind) -> i64| {
            let needs = self.kinds.iter().zip(counts);
            let needs =
                needs.map(|(kind, &count)| of(kind).saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)));
            needs.fold(0, i64::saturating_add)
        };
        let room = |free: i64, used: i64, need: i64| {
            let left = free.saturating_sub(used).max(0);
            left.checked_div(need).map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
        };
        let by_cpu = room(self.free.0, sum(|kind| kind.milli_cpu), kind.milli_cpu);
        let by_memory = room(self.free.1, sum(|kind| kind.memory), kind.memory);
        kind.pods.len().min(by_cpu).min(by_memory).min(room(self.free.2, sum(|_| 1), 1))
    }

    /// Whether the allocator finds devices for the claims of these pods, asked for all of them together.
    fn finds_devices(&mut self, counts: &[usize]) -> Result<bool, SimulateError> {
        let with_claims =
            self.kinds.iter().zip(counts).map(|(kind, &count)| if kind.has_claims { count } else { 0 });
        let key: Vec<usize> = with_claims.collect();
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        if self.known.len() >= MOST_CHECKS {
            return Ok(true);
        }
        let mut fork = self.state.clone();
        let mut by_namespace: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let ids = self.kinds.iter().zip(&key).flat_map(|(kind, &count)| kind.pods.iter().take(count));
        for &id in ids {
            for claim in fork.claims_of(id).into_iter().filter_map(|claim| fork.claim(claim)) {
                let full = claim.spec.full_name();
                if claim.generated
                    && claim.allocation.is_none()
                    && let Some((namespace, name)) = full.split_once('/')
                {
                    by_namespace.entry(namespace.to_owned()).or_default().push(name.to_owned());
                }
            }
        }
        let mut fits = true;
        for (namespace, names) in by_namespace {
            let id = fork.add_pod(together(namespace, names));
            let attempt = fork.first_fit(&[self.at], [self.at], id, self.context.ground.cancel)?;
            fits &= !attempt.reasons.iter().any(|reason| reason.plugin == "DynamicResources");
        }
        self.known.insert(key, fits);
        Ok(fits)
    }
}

/// A pod that needs nothing but the claims.
fn together(namespace: String, claims: Vec<String>) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.uid = format!("Pod:{namespace}/together");
    "together".clone_into(&mut pod.metadata.name);
    pod.metadata.namespace = namespace;
    "Pending".clone_into(&mut pod.status.phase);
    pod.spec.tolerations = vec![Toleration { operator: "Exists".to_owned(), ..Toleration::default() }];
    let entry = |(number, name): (usize, String)| PodResourceClaim {
        name: format!("claim-{number}"),
        resource_claim_name: Some(name),
        resource_claim_template_name: None,
    };
    pod.spec.resource_claims = claims.into_iter().enumerate().map(entry).collect();
    pod
}

fn without_dominated(patterns: Vec<Pattern>) -> Vec<Pattern> {
    let covers = |one: &Pattern, other: &Pattern| {
        one.cost <= other.cost && one.counts.iter().zip(&other.counts).all(|(one, other)| one >= other)
    };
    let mut kept: Vec<Pattern> = Vec::new();
    for pattern in patterns {
        if !kept.iter().any(|known| covers(known, &pattern)) {
            kept.retain(|known| !covers(&pattern, known));
            kept.push(pattern);
        }
    }
    kept
}

/// The cheapest way to cover what is left: its cost, and the pattern to begin with.
struct Cover {
    patterns: Vec<Pattern>,
    known: FxHashMap<Vec<usize>, (f64, usize)>,
    steps: usize,
}

impl Cover {
    fn least(&mut self, left: &[usize]) -> Option<f64> {
        let Some(first) = left.iter().position(|&count| count > 0) else { return Some(0.0) };
        if let Some((cost, _)) = self.known.get(left) {
            return Some(*cost);
        }
        let mut best = (f64::INFINITY, 0);
        for at in 0..self.patterns.len() {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return None;
            }
            let Some(pattern) = self.patterns.get(at) else { continue };
            if pattern.counts.get(first).copied().unwrap_or(0) == 0 {
                continue;
            }
            let (cost, rest) = (pattern.cost, rest(left, &pattern.counts));
            let cost = cost + self.least(&rest)?;
            if cost < best.0 {
                best = (cost, at);
            }
        }
        self.known.insert(left.to_vec(), best);
        Some(best.0)
    }

    /// The nodes of the cheapest cover: groups, and how many pods of each kind.
    fn chosen(&self, demand: &[usize]) -> Vec<(usize, Vec<usize>)> {
        let mut left = demand.to_vec();
        let mut nodes = Vec::new();
        while let Some(pattern) = self.known.get(&left).and_then(|(_, at)| self.patterns.get(*at)) {
            let taken = left.iter().zip(&pattern.counts).map(|(left, most)| *left.min(most)).collect();
            nodes.push((pattern.group, taken));
            left = rest(&left, &pattern.counts);
        }
        nodes
    }
}

fn rest(left: &[usize], taken: &[usize]) -> Vec<usize> {
    left.iter().zip(taken).map(|(left, taken)| left.saturating_sub(*taken)).collect()
}

/// Adds the nodes and puts the pods on them through every filter; `None` where one refuses.
fn realise(
    context: &Context<'_>,
    base: &ClusterState,
    kinds: &[Kind],
    nodes: &[(usize, Vec<usize>)],
) -> Result<Option<ScaleUpPlan>, SimulateError> {
    let mut added: BTreeMap<usize, usize> = BTreeMap::new();
    for (group, _) in nodes {
        *added.entry(*group).or_default() += 1;
    }
    let has_room =
        |at: usize, count: usize| context.groups.get(at).is_some_and(|group| group.headroom() >= count);
    let allowed = context.limits.left(base.node_numbers().len());
    if nodes.len() > allowed || !added.iter().all(|(&at, &count)| has_room(at, count)) {
        return Ok(None);
    }
    let mut state = base.clone();
    let mut next = vec![0; kinds.len()];
    let (mut new_nodes, mut helped) = (Vec::new(), Vec::new());
    for (number, (group, counts)) in nodes.iter().enumerate() {
        let Some(group) = context.groups.get(*group) else { return Ok(None) };
        let at = add_node(context.ground, &mut state, group, context.next_number + number);
        new_nodes.push(at);
        let mut pods = Vec::new();
        for ((kind, &count), next) in kinds.iter().zip(counts).zip(&mut next) {
            let of_kind = kind.pods.iter().skip(*next).take(count);
            pods.extend(of_kind.map(|&id| (kind.has_claims, kind.milli_cpu, id)));
            *next += count;
        }
        let mut placed = None;
        for order in 0..3 {
            match order {
                0 => pods.sort_by_key(|&(has_claims, cpu, _)| Reverse((has_claims, cpu))),
                1 => pods.reverse(),
                _ => pods.sort_by_key(|&(_, cpu, _)| Reverse(cpu)),
            }
            let mut fork = state.clone();
            if all_fit(context, &mut fork, at, &pods)? {
                placed = Some(fork);
                break;
            }
        }
        let Some(fork) = placed else { return Ok(None) };
        state = fork;
        helped.extend(pods.iter().map(|&(_, _, id)| id));
    }
    Ok(Some(context.plan(&state, &added, &new_nodes, &helped)))
}

fn all_fit(
    context: &Context<'_>,
    state: &mut ClusterState,
    at: usize,
    pods: &[(bool, i64, PodId)],
) -> Result<bool, SimulateError> {
    let nodes = state.node_numbers();
    for &(_, _, id) in pods {
        if state.first_fit(&nodes, [at], id, context.ground.cancel)?.outcome != PodOutcome::Scheduled {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whole nodes of a bound that is a number of nodes.
pub(super) fn whole(least: f64) -> usize {
    let mut nodes = 0;
    while float(nodes) + 1e-9 < least {
        nodes += 1;
    }
    nodes
}
