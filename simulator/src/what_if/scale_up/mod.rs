//! Which node groups grow for pending pods: as cluster-autoscaler decides, and at best.

pub mod equivalence;
mod estimate;
pub mod expander;
mod limits;
mod optimum;
mod plan;
mod round;
mod similar;

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{AllocationMode, DeviceId};

pub use limits::NodeLimits;
pub use similar::Similarity;

pub(crate) use estimate::add_node;

use crate::report::{API_VERSION, LeftPod, ScaleUpPlan, ScaleUpReport, ScaleUpRound, Waste};
use crate::schedule::{ClusterState, Observer, PodId, PodPlace, SimulateError};
use expander::{Expander, ExpanderContext};
use plan::{Objective, float, wide};
use round::fits_fresh;

use super::drain::RoundRobin;
use super::ground::{Ground, waiting};
use super::node_groups::Group;

/// What is asked.
#[derive(Clone, Debug)]
pub struct ScaleUpQuestion {
    /// The groups, in the order in which the provider lists them.
    pub groups: Vec<Group>,
    /// Expanders, each of which narrows down what the one before left.
    pub chain: Vec<Expander>,
    /// What expanders know.
    pub context: ExpanderContext,
    /// Limits of the autoscaler.
    pub limits: NodeLimits,
    /// `balance-similar-node-groups`: growth is shared among groups that are similar in this sense.
    pub balance: Option<Similarity>,
    /// Whether the scheduler places what it can before cluster-autoscaler looks, as it does in a cluster. Without that,
    /// only cluster-autoscaler's own search decides which pods need no new node.
    pub scheduler_first: bool,
    /// Decides between groups that the expanders leave; without it the first by name is taken.
    pub seed: Option<u64>,
    /// The label by which the provider marks GPU nodes, if it has one.
    pub gpu_label: Option<String>,
    /// At most this many rounds.
    pub rounds: usize,
}

const APPROXIMATIONS: [&str; 7] = [
    "each round of cluster-autoscaler grows one group, or those similar to it; here the next begins when its nodes are \
     there, without backoffs, quotas and limits of time",
    "groups of equal pods that score equally are packed in the order of the queue, where cluster-autoscaler's order is random",
    "pods of DaemonSets are on new nodes without their claims, as cluster-autoscaler has it",
    "the fewest and the cheapest nodes are the best of several greedy packings and of an exact cover, with the same filters \
     and allocator; nothing in Kubernetes would choose them",
    "bounds are those of an exact cover of the pods by new nodes, as far as cpu, memory, number of pods, devices and \
     anti-affinity within a node go, with at most 8 kinds of pods; beyond that they count sums",
    "waste of devices counts devices of new nodes that no claim holds",
    "nobody is preempted and gangs are no gangs, as cluster-autoscaler has it: their pods are placed one by one",
];

/// Pods that cluster-autoscaler takes for equal.
#[derive(Clone, Debug)]
struct PendingGroup {
    pods: Vec<PodId>,
    milli_cpu: i64,
    memory: i64,
    /// Devices that the claims of one pod ask for at least.
    devices: usize,
}

/// What all parts of one question share.
struct Context<'q> {
    ground: &'q Ground<'q>,
    groups: &'q [Group],
    limits: NodeLimits,
    next_number: usize,
    requests: BTreeMap<PodId, (i64, i64)>,
}

impl Context<'_> {
    /// A plan as it is reported.
    fn plan(
        &self,
        state: &ClusterState,
        added: &BTreeMap<usize, usize>,
        nodes: &[usize],
        pods: &[PodId],
    ) -> ScaleUpPlan {
        let counts = added.iter().filter(|(_, count)| **count > 0);
        let groups: Vec<(&Group, usize)> =
            counts.filter_map(|(&at, &count)| Some((self.groups.get(at)?, count))).collect();
        let price =
            groups.iter().try_fold(0.0, |sum, (group, count)| Some(sum + group.price? * float(*count)));
        let available = groups.iter().fold((0.0, 0.0), |sum, (group, count)| {
            let (cpu, memory) = capacity(group);
            (sum.0 + wide(cpu) * float(*count), sum.1 + wide(memory) * float(*count))
        });
        let requested = pods
            .iter()
            .filter_map(|id| self.requests.get(id))
            .fold((0.0, 0.0), |sum, of| (sum.0 + wide(of.0), sum.1 + wide(of.1)));
        let unused =
            |available: f64, used: f64| if available > 0.0 { (available - used) / available } else { 0.0 };
        ScaleUpPlan {
            nodes: groups.iter().map(|(_, count)| count).sum(),
            groups: groups.iter().map(|(group, count)| (group.name.clone(), *count)).collect(),
            pods: pods.len(),
            price_per_hour: price,
            waste: Waste {
                cpu: unused(available.0, requested.0),
                memory: unused(available.1, requested.1),
                devices: device_waste(state, nodes),
            },
            certainty: None,
        }
    }
}

/// Decides round by round as cluster-autoscaler does, and looks for better plans beside that.
pub fn scale_up(
    ground: &Ground<'_>,
    question: &ScaleUpQuestion,
    observer: &mut dyn Observer,
) -> Result<ScaleUpReport, SimulateError> {
    scale_up_in(ground, &mut ground.state(), 0, question, observer)
}

/// As [`scale_up`], from a state, which gets what cluster-autoscaler decides. New nodes are numbered from
/// `first_number`.
pub(crate) fn scale_up_in(
    ground: &Ground<'_>,
    state: &mut ClusterState,
    first_number: usize,
    question: &ScaleUpQuestion,
    observer: &mut dyn Observer,
) -> Result<ScaleUpReport, SimulateError> {
    let assumptions = ground.assumptions(state, &APPROXIMATIONS);
    let mut robin = RoundRobin::default();
    let mut placed = 0;
    let mut waits = if question.scheduler_first {
        let waiting = ground.place_waiting_alone(state, observer)?;
        placed += waiting.placed;
        waiting.left
    } else {
        state.in_queue_order(waiting(state))
    };
    placed += round::place_what_fits(ground, state, &mut waits, &mut robin)?.len();
    let requests = waits.iter().filter_map(|&id| Some((id, requests(state, id)?))).collect();
    let mut groups = question.groups.clone();
    let start = state.clone();
    let mut context = Context {
        ground,
        groups: &question.groups,
        limits: question.limits,
        next_number: first_number,
        requests,
    };
    let mut left = waits.clone();
    let mut rounds = Vec::new();
    let mut added: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut new_nodes, mut helped) = (Vec::new(), Vec::new());
    let mut reasons: BTreeMap<PodId, BTreeMap<String, String>> = BTreeMap::new();
    while !left.is_empty() && rounds.len() < question.rounds {
        observer.progress(rounds.len(), question.rounds);
        reasons.clear();
        let pending = pending_groups(&context, state, &left);
        let round = round::one_round(&context, question, &groups, state, &pending, &mut robin, &mut reasons)?;
        let Some(round) = round else { break };
        for (at, group) in groups.iter_mut().enumerate() {
            let count = round.added.get(&group.name).copied().unwrap_or(0);
            for _ in 0..count {
                new_nodes.push(add_node(ground, state, group, context.next_number));
                context.next_number += 1;
            }
            group.current_size += count;
            *added.entry(at).or_default() += count;
        }
        let grew = !round.added.is_empty();
        rounds.push(round);
        // The next round begins with what the scheduler leaves, which cluster-autoscaler works out for itself.
        left = state.in_queue_order(left);
        let found = round::place_what_fits(ground, state, &mut left, &mut robin)?;
        let helps = !found.is_empty();
        helped.extend(found);
        if !helps || !grew {
            break;
        }
    }
    let of_autoscaler = context.plan(state, &added, &new_nodes, &helped);
    // The best plans are for every pod that some group can take at all.
    context.next_number = first_number;
    let helpable: Vec<PodId> = helpable(&context, &start, &waits)?;
    let pending = pending_groups(&context, &start, &helpable);
    let (mut node_bound, mut price_bound) = plan::bounds(&context, &pending);
    let mut fewest = plan::best(&context, &start, &pending, Objective::Nodes)?;
    let priced = question.groups.iter().all(|group| group.price.is_some()) && !question.groups.is_empty();
    let mut cheapest =
        if priced { Some(plan::best(&context, &start, &pending, Objective::Price)?) } else { None };
    let complete = |plan: &ScaleUpPlan| plan.pods >= helpable.len();
    if let Some(found) = optimum::optimum(&context, &start, &pending, Objective::Nodes)? {
        node_bound = node_bound.max(optimum::whole(found.least));
        if let Some(plan) = found.plan.filter(|plan| !complete(&fewest) || plan.nodes < fewest.nodes) {
            fewest = plan;
        }
    }
    if let Some(known) = &mut cheapest
        && let Some(found) = optimum::optimum(&context, &start, &pending, Objective::Price)?
    {
        price_bound = price_bound.map(|bound| bound.max(found.least));
        let better = |plan: &ScaleUpPlan| !complete(known) || plan.price_per_hour < known.price_per_hour;
        if let Some(plan) = found.plan.filter(better) {
            *known = plan;
        }
    }
    // What cluster-autoscaler found may be better than what the search found.
    if complete(&of_autoscaler) {
        if !complete(&fewest) || of_autoscaler.nodes < fewest.nodes {
            fewest = of_autoscaler.clone();
        }
        if let Some(known) = &mut cheapest
            && (!complete(known) || of_autoscaler.price_per_hour < known.price_per_hour)
        {
            *known = of_autoscaler.clone();
        }
    }
    let proven = complete(&fewest) && fewest.nodes <= node_bound;
    fewest.certainty = Some(if proven { "proven" } else { "found" });
    if let Some(known) = &mut cheapest {
        let met = price_bound.zip(known.price_per_hour).is_some_and(|(bound, price)| price <= bound + 1e-9);
        known.certainty = Some(if complete(known) && met { "proven" } else { "found" });
    }
    let mut differences = differences(&of_autoscaler, &fewest, cheapest.as_ref(), question, &rounds);
    let has_pod = |at: &usize| {
        helped.iter().any(|&id| state.pod(id).is_some_and(|(_, place)| place == PodPlace::Node(*at)))
    };
    let empty = new_nodes.iter().filter(|at| !has_pod(at)).count();
    if empty > 0 {
        differences.push(format!(
            "{empty} of cluster-autoscaler's {} new nodes get no pod: groups grow to their largest size, or nodes of the \
             cluster that take pods are counted as new, or the scheduler's search packs more closely",
            new_nodes.len()
        ));
    }
    let left = left.into_iter().map(|id| LeftPod {
        pod: state.pod(id).map(|(pod, _)| pod.metadata.full_name()).unwrap_or_default(),
        reasons: reasons.remove(&id).unwrap_or_default(),
    });
    Ok(ScaleUpReport {
        api_version: API_VERSION,
        kind: "ScaleUpReport",
        assumptions,
        placed_before: placed,
        pending: waits.len(),
        waiting: waits.iter().filter_map(|&id| Some(state.pod(id)?.0.metadata.full_name())).collect(),
        left: left.collect(),
        rounds,
        cluster_autoscaler: of_autoscaler,
        fewest_nodes: fewest,
        cheapest,
        node_bound,
        price_bound,
        differences,
    })
}

/// The pods that at least one group with headroom can take.
fn helpable(
    context: &Context<'_>,
    state: &ClusterState,
    pods: &[PodId],
) -> Result<Vec<PodId>, SimulateError> {
    let mut found = Vec::new();
    for pods in pending_groups(context, state, pods) {
        for group in context.groups.iter().filter(|group| group.headroom() > 0) {
            if fits_fresh(context, state, group, &pods)?.is_none() {
                found.extend(pods.pods.iter().copied());
                break;
            }
        }
    }
    Ok(found)
}

fn pending_groups(context: &Context<'_>, state: &ClusterState, pods: &[PodId]) -> Vec<PendingGroup> {
    let known: Vec<_> = pods.iter().filter_map(|&id| Some((id, state.pod(id)?.0.as_ref()))).collect();
    let objects: Vec<_> = known.iter().map(|(_, pod)| *pod).collect();
    let numbers = equivalence::groups(&objects);
    let group = |members: Vec<usize>| {
        let pods: Vec<PodId> = members.iter().filter_map(|&at| Some(known.get(at)?.0)).collect();
        let sample = pods.first().copied();
        let (milli_cpu, memory) =
            sample.and_then(|id| context.requests.get(&id)).copied().unwrap_or_default();
        let devices = sample.map_or(0, |id| least_devices(state, id));
        PendingGroup { pods, milli_cpu, memory, devices }
    };
    numbers.into_iter().map(group).collect()
}

/// How many devices the claims of a pod that hold none ask for at least. Shared claims and admin access count for
/// nothing.
fn least_devices(state: &ClusterState, id: PodId) -> usize {
    let claims = state.claims_of(id).into_iter().filter_map(|claim| state.claim(claim));
    let requests = claims
        .filter(|claim| claim.generated && claim.allocation.is_none())
        .flat_map(|claim| claim.spec.requests.iter());
    let counted = |mode: &AllocationMode, count: i64| {
        if *mode == AllocationMode::ExactCount { usize::try_from(count).unwrap_or(0) } else { 0 }
    };
    requests
        .map(|request| match &request.exactly {
            Some(exactly) if exactly.admin_access == Some(true) => 0,
            Some(exactly) => counted(&exactly.allocation_mode, exactly.count),
            None => {
                let alternatives = request.first_available.iter();
                let counts = alternatives.map(|one| counted(&one.allocation_mode, one.count));
                counts.min().unwrap_or(0)
            }
        })
        .sum()
}

/// CPU and memory that a pod requests.
fn requests(state: &mut ClusterState, id: PodId) -> Option<(i64, i64)> {
    let pod = std::sync::Arc::clone(state.pod(id)?.0);
    let needs = state.needs(&pod);
    Some((needs.amounts.milli_cpu, needs.amounts.memory))
}

fn capacity(group: &Group) -> (i64, i64) {
    let of = |name: &str| group.node.capacity.get(name);
    (
        of("cpu").map_or(0, drayage_cel::Quantity::milli_value),
        of("memory").map_or(0, drayage_cel::Quantity::value),
    )
}

fn allocatable(group: &Group) -> (i64, i64) {
    let of = |name: &str| group.node.allocatable.get(name);
    (
        of("cpu").map_or(0, drayage_cel::Quantity::milli_value),
        of("memory").map_or(0, drayage_cel::Quantity::value),
    )
}

/// The share of the devices on nodes that no claim holds.
fn device_waste(state: &ClusterState, nodes: &[usize]) -> Option<f64> {
    let names: BTreeSet<&str> =
        nodes.iter().filter_map(|&at| Some(state.node(at)?.metadata.name.as_str())).collect();
    let mut devices = BTreeSet::new();
    for slice in state.slices() {
        if slice.node_name.as_deref().is_some_and(|name| names.contains(name)) {
            let id = |name: &String| DeviceId { pool: slice.pool_id(), device: name.clone() };
            devices.extend(slice.devices.iter().map(|device| id(&device.name)));
        }
    }
    if devices.is_empty() {
        return None;
    }
    let mut held = BTreeSet::new();
    for claim in state.claims().filter_map(|claim| claim.allocation) {
        for result in claim.results.iter().filter(|result| result.admin_access != Some(true)) {
            let id = result.device_id();
            if devices.contains(&id) {
                held.insert(id);
            }
        }
    }
    Some(1.0 - float(held.len()) / float(devices.len()))
}

/// Why the plans differ, in words.
fn differences(
    of_autoscaler: &ScaleUpPlan,
    fewest: &ScaleUpPlan,
    cheapest: Option<&ScaleUpPlan>,
    question: &ScaleUpQuestion,
    rounds: &[ScaleUpRound],
) -> Vec<String> {
    let mut words = Vec::new();
    if of_autoscaler.pods < fewest.pods {
        words.push(format!(
            "cluster-autoscaler helps {} of the {} pods that groups can take",
            of_autoscaler.pods, fewest.pods
        ));
    }
    let chain: Vec<&str> = question.chain.iter().map(|expander| expander.as_str()).collect();
    let several = rounds.iter().any(|round| round.options.len() > 1);
    let other_groups = |plan: &ScaleUpPlan| plan.groups.keys().ne(of_autoscaler.groups.keys());
    let mut compare = |plan: &ScaleUpPlan, what: &str| {
        if other_groups(plan) && several {
            let names: Vec<&str> = plan.groups.keys().map(String::as_str).collect();
            words.push(format!(
                "{what} are of {}; the expanders `{}` look at one group at a time and at no device",
                names.join(" and "),
                chain.join(",")
            ));
        } else {
            words.push(format!(
                "{what} come of another order of pods; cluster-autoscaler orders them by CPU and memory only"
            ));
        }
    };
    if fewest.nodes < of_autoscaler.nodes && fewest.pods >= of_autoscaler.pods {
        compare(fewest, "the fewest nodes");
    }
    if let Some(cheapest) = cheapest
        && cheapest.pods >= of_autoscaler.pods
        && cheapest.price_per_hour < of_autoscaler.price_per_hour
    {
        compare(cheapest, "the cheapest nodes");
    }
    words
}
