//! Which pod of a lot gets which partitions of a layout, and the layout in words.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::choices::{Layout, Pods};
use super::field::Field;
use super::stock::Stock;
use super::trial::Assigned;
use crate::report::{DeviceLayout, HeldPartition, PartitionMove, PartitionPlanReport};
use crate::schedule::{ClusterState, PodId};

/// Names the pods and partitions of a layout. A pod that moves keeps what it has where the layout lets somebody of its lot.
pub(super) fn assign(
    stock: &Stock<'_>,
    field: &Field<'_>,
    pods: &Pods<'_>,
    lots: &[super::prices::Lot],
    layout: &Layout,
) -> Vec<Assigned> {
    let moved: BTreeSet<PodId> = layout.movers.iter().copied().collect();
    let stays = |number: usize, holders: &Vec<PodId>| {
        stock.stuck.contains(&number) || holders.iter().any(|id| !moved.contains(id))
    };
    let held = stock.holders.iter().filter(|(number, holders)| stays(**number, holders));
    let mut taken: BTreeSet<usize> = held.map(|(&number, _)| number).collect();
    let mut assigned = Vec::new();
    let mut open = Vec::new();
    for (lot, places) in layout.filling.placed.iter().enumerate() {
        let Some(of) = lots.get(lot) else { continue };
        let requests = field.kinds.get(of.kind).map(|kind| kind.requests.as_slice()).unwrap_or_default();
        let may_swap = matches!(requests, [alternatives] if alternatives.len() == 1);
        let mut waiting: Vec<PodId> = if of.must {
            let of_lot = |id: &&PodId| pods.movers.get(id).is_some_and(|(other, _)| *other == lot);
            layout.movers.iter().filter(of_lot).copied().collect()
        } else {
            pods.waiting.get(lot).cloned().unwrap_or_default()
        };
        waiting.reverse();
        let mut at_home: BTreeMap<Vec<(usize, usize)>, Vec<PodId>> = BTreeMap::new();
        if of.must {
            for &id in &waiting {
                at_home.entry(home(stock, id)).or_default().push(id);
            }
        }
        let (mut rest, mut at_rest) = (Vec::new(), BTreeSet::new());
        for place in places {
            let mut sorted = place.clone();
            sorted.sort_unstable();
            match at_home.get_mut(&sorted).and_then(Vec::pop) {
                Some(pod) => {
                    let partitions = stock.of_pod.get(&pod).cloned().unwrap_or_default();
                    taken.extend(&partitions);
                    at_rest.insert(pod);
                    assigned.push(Assigned { pod, lot, may_swap, partitions });
                }
                None => rest.push(place),
            }
        }
        waiting.retain(|pod| !at_rest.contains(pod));
        // In the order of the queue and of the devices.
        rest.sort_unstable();
        for place in rest {
            if let Some(pod) = waiting.pop() {
                open.push((pod, lot, may_swap, place));
            }
        }
    }
    let mut next: FxHashMap<(usize, usize), usize> = FxHashMap::default();
    for (pod, lot, may_swap, place) in open {
        let mut partitions = Vec::new();
        for &(whole, form) in place {
            let of_form = stock.wholes.get(whole).and_then(|whole| whole.forms.get(form));
            let begin = next.entry((whole, form)).or_default();
            while let Some(&number) = of_form.and_then(|form| form.partitions.get(*begin)) {
                *begin += 1;
                if taken.insert(number) {
                    partitions.push(number);
                    break;
                }
            }
        }
        partitions.sort_unstable();
        assigned.push(Assigned { pod, lot, may_swap, partitions });
    }
    assigned
}

/// Where a pod's partitions are: whole devices and forms.
fn home(stock: &Stock<'_>, id: PodId) -> Vec<(usize, usize)> {
    let partitions = stock.of_pod.get(&id).into_iter().flatten();
    let mut home: Vec<(usize, usize)> = partitions
        .filter_map(|&number| stock.partitions.get(number))
        .map(|partition| (partition.whole, partition.form))
        .collect();
    home.sort_unstable();
    home
}

/// Puts the layouts into words.
pub(super) fn describe(
    state: &ClusterState,
    stock: &Stock<'_>,
    layout: &Layout,
    assigned: &[Assigned],
    report: &mut PartitionPlanReport,
) {
    let of_pod = |number: usize, id: Option<PodId>| {
        let (_, _, device) = stock.place(number)?;
        Some(HeldPartition {
            device: device.name.clone(),
            profile: stock.profile(number),
            pod: id.map(|id| name(state, id)),
        })
    };
    let moved: BTreeSet<PodId> = layout.movers.iter().copied().collect();
    let mut after: BTreeMap<usize, Option<PodId>> = BTreeMap::new();
    for (&number, holders) in &stock.holders {
        if stock.stuck.contains(&number) || holders.iter().any(|id| !moved.contains(id)) {
            after.insert(number, holders.first().copied());
        }
    }
    let mut now: BTreeMap<PodId, &[usize]> = BTreeMap::new();
    for one in assigned {
        after.extend(one.partitions.iter().map(|&number| (number, Some(one.pod))));
        now.insert(one.pod, &one.partitions);
    }
    for (number, whole) in stock.wholes.iter().enumerate() {
        let mut partitions: Vec<usize> =
            whole.forms.iter().flat_map(|form| &form.partitions).copied().collect();
        partitions.sort_unstable();
        let held = partitions.iter().filter_map(|partition| {
            let holders = stock.holders.get(partition)?;
            of_pod(*partition, holders.first().copied())
        });
        let then = partitions.iter().filter_map(|partition| of_pod(*partition, *after.get(partition)?));
        let (held, then): (Vec<HeldPartition>, Vec<HeldPartition>) = (held.collect(), then.collect());
        if whole.counter_sets.is_empty() && held == then {
            continue;
        }
        for partition in &held {
            report.profiles.entry(partition.profile.clone()).or_default().before += 1;
        }
        for partition in &then {
            report.profiles.entry(partition.profile.clone()).or_default().after += 1;
        }
        report.devices.push(DeviceLayout {
            node: state.node(whole.node).map(|node| node.metadata.name.clone()).unwrap_or_default(),
            pool: stock.pool(whole).map(|pool| pool.to_string()).unwrap_or_default(),
            counter_sets: whole.counter_sets.iter().map(|&set| set.to_owned()).collect(),
            repartitioned: layout.changed.contains(&number),
            before: held,
            after: then,
        });
    }
    let named = |number: &usize| stock.id(*number).map(|id| id.to_string());
    for &id in &moved {
        let from = stock.of_pod.get(&id).map(Vec::as_slice).unwrap_or_default();
        let to = now.get(&id).copied().unwrap_or_default();
        let (mut from, mut to) = (from.to_vec(), to.to_vec());
        from.sort_unstable();
        to.sort_unstable();
        if from != to {
            let (from, to) = (from.iter().filter_map(named), to.iter().filter_map(named));
            report.moves.push(PartitionMove { pod: name(state, id), from: from.collect(), to: to.collect() });
        }
    }
}

pub(super) fn name(state: &ClusterState, id: PodId) -> String {
    state.pod(id).map(|(pod, _)| pod.metadata.full_name()).unwrap_or_default()
}
