//! Plans that are better than cluster-autoscaler's, and bounds that no plan can beat.

use std::collections::BTreeMap;

use super::estimate::add_node;
use super::{Context, PendingGroup};
use crate::report::{PodOutcome, ScaleUpPlan};
use crate::schedule::{ClusterState, PodId, SimulateError};

/// What is to be small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objective {
    Nodes,
    Price,
}

/// What a pod, or a node, has of each dimension: thousandths of a CPU, bytes, pods, devices.
type Amounts = [f64; 4];

/// The best plan among several greedy ones: pods in three orders, each time the group whose fresh node takes the most
/// of what is left for its price.
pub(super) fn best(
    context: &Context<'_>,
    base: &ClusterState,
    pods: &[PendingGroup],
    objective: Objective,
) -> Result<ScaleUpPlan, SimulateError> {
    let mut best: Option<ScaleUpPlan> = None;
    for order in 0..3 {
        let mut ordered: Vec<&PendingGroup> = pods.iter().collect();
        match order {
            0 => ordered.sort_by_key(|group| std::cmp::Reverse(group.devices)),
            1 => ordered.sort_by_key(|group| std::cmp::Reverse(group.milli_cpu)),
            _ => {}
        }
        let queue: Vec<PodId> = ordered.iter().flat_map(|group| group.pods.iter().copied()).collect();
        let plan = greedy(context, base, &queue, objective)?;
        let key = |plan: &ScaleUpPlan| match objective {
            Objective::Nodes => (float(plan.nodes), plan.price_per_hour.unwrap_or(f64::MAX)),
            Objective::Price => (plan.price_per_hour.unwrap_or(f64::MAX), float(plan.nodes)),
        };
        let better = best.as_ref().is_none_or(|known| {
            plan.pods > known.pods || (plan.pods == known.pods && key(&plan) < key(known))
        });
        if better {
            best = Some(plan);
        }
    }
    Ok(best.unwrap_or_default())
}

fn greedy(
    context: &Context<'_>,
    base: &ClusterState,
    queue: &[PodId],
    objective: Objective,
) -> Result<ScaleUpPlan, SimulateError> {
    let mut state = base.clone();
    let mut left: Vec<PodId> = queue.to_vec();
    let mut added: BTreeMap<usize, usize> = BTreeMap::new();
    let mut new_nodes = Vec::new();
    let mut helped = Vec::new();
    let mut number = context.next_number;
    loop {
        if context.limits.left(base.node_numbers().len()) <= new_nodes.len() {
            break;
        }
        let mut choice: Option<(f64, usize, ClusterState, usize, Vec<PodId>)> = None;
        for (at, group) in context.groups.iter().enumerate() {
            if added.get(&at).copied().unwrap_or(0) >= group.headroom() {
                continue;
            }
            let mut fork = state.clone();
            let node = add_node(context.ground, &mut fork, group, number);
            let mut taken = Vec::new();
            for &id in &left {
                let attempt = fork.attempt_on(&[node], id, context.ground.cancel)?;
                if attempt.outcome == PodOutcome::Scheduled {
                    taken.push(id);
                }
            }
            let cost = match objective {
                Objective::Nodes => 1.0,
                Objective::Price => group.price.unwrap_or(f64::MAX),
            };
            let score = cost / float(taken.len());
            if !taken.is_empty() && choice.as_ref().is_none_or(|(known, ..)| score < *known) {
                choice = Some((score, at, fork, node, taken));
            }
        }
        let Some((_, at, fork, node, taken)) = choice else { break };
        state = fork;
        number += 1;
        *added.entry(at).or_default() += 1;
        new_nodes.push(node);
        left.retain(|id| !taken.contains(id));
        helped.extend(taken);
    }
    Ok(context.plan(&state, &added, &new_nodes, &helped))
}

/// Bounds on nodes and price of any plan that gives these pods a place on new nodes: the sum of each need over the pods
/// against what the best group has of it.
pub(super) fn bounds(context: &Context<'_>, pods: &[PendingGroup]) -> (usize, Option<f64>) {
    let mut demand: Amounts = [0.0; 4];
    for group in pods {
        let number = float(group.pods.len());
        for (sum, need) in
            demand.iter_mut().zip([wide(group.milli_cpu), wide(group.memory), 1.0, float(group.devices)])
        {
            *sum += number * need;
        }
    }
    let supplies: Vec<(Amounts, Option<f64>)> = context
        .groups
        .iter()
        .filter(|group| group.headroom() > 0)
        .map(|group| {
            let of = |name: &str| group.node.allocatable.get(name);
            // Devices that are shared, or that counters make, can serve more or fewer requests than there are.
            let plain = group.slices.iter().all(|slice| {
                slice.shared_counters.is_empty()
                    && slice.devices.iter().all(|device| device.allow_multiple_allocations != Some(true))
            });
            let devices: usize = group.slices.iter().map(|slice| slice.devices.len()).sum();
            let supply = [
                of("cpu").map_or(0.0, |amount| wide(amount.milli_value())),
                of("memory").map_or(0.0, |amount| wide(amount.value())),
                of("pods").map_or(0.0, |amount| wide(amount.value())),
                if plain { float(devices) } else { f64::INFINITY },
            ];
            (supply, group.price)
        })
        .collect();
    let mut nodes = f64::from(u8::from(!pods.is_empty()));
    let mut price = Some(0.0_f64);
    for (dimension, &needed) in demand.iter().enumerate() {
        let amount_in = |supply: &Amounts| supply.get(dimension).copied().unwrap_or(0.0);
        let most = supplies.iter().map(|(supply, _)| amount_in(supply)).fold(0.0, f64::max);
        if needed <= 0.0 || most <= 0.0 {
            continue;
        }
        nodes = nodes.max((needed / most - 1e-9).ceil());
        let cheapest = supplies.iter().try_fold(f64::INFINITY, |least: f64, (supply, price)| {
            Some(least.min((*price)? / amount_in(supply)))
        });
        price = price.and_then(|known| Some(known.max(needed * cheapest?)));
    }
    // Whole nodes of the cheapest kind are a bound as well.
    let least = supplies.iter().try_fold(f64::INFINITY, |least: f64, (_, price)| Some(least.min((*price)?)));
    price = price.and_then(|known| Some(known.max(nodes * least?))).filter(|price| price.is_finite());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    let nodes = nodes as usize;
    (nodes, price)
}

#[expect(clippy::cast_precision_loss, reason = "shares and sums, not counts")]
pub(super) fn float(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "shares and sums, not counts")]
pub(super) fn wide(number: i64) -> f64 {
    number as f64
}
