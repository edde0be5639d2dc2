//! The best layout of devices that are divided, such as GPUs with partitions (KEP-4815).
//!
//! Pods that wait want partitions; partitions take from the counters of their device, so that a layout is what may be
//! held at the same time. As many pods as possible are served, and of the layouts that do that, one that changes the
//! fewest devices with partitions in use. A pod whose partition goes must get another, and is moved; disruption budgets
//! limit how many. Every layout is then allocated for real: each pod is placed on its node while only its own partitions
//! are offered.

mod pack;
mod stock;

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{AllocationMode, DeviceRequestAllocationResult, ResourceSlice};
use drayage_cel::{Compiler, Environment, ExpressionStage};

use crate::report::{
    API_VERSION, DeviceLayout, HeldPartition, PartitionMove, PartitionPlanReport, PodOutcome, ProfileCount,
};
use crate::schedule::{ClusterState, Observer, PodId, SimulateError};

use super::copies::Model;
use super::defrag::Movable;
use super::drain::DrainOptions;
use super::ground::{Ground, waiting};
use super::scale_up::equivalence;
use pack::{Demand, Packing, Room, pack};
use stock::Stock;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct PartitionQuestion {
    /// A demand of copies of pods instead of the pods that wait: `namespace/name` of a pod or `namespace/kind/name` of a
    /// workload, and how many of it.
    pub copies: Vec<(String, usize)>,
    /// At most so many devices with partitions in use may change.
    pub most_repartitioned: usize,
    /// Steps of the search for one choice of devices that change.
    pub steps: u64,
    /// At most so many choices of devices that change.
    pub most_choices: usize,
    /// Which pods may not move.
    pub drain: DrainOptions,
}

const APPROXIMATIONS: [&str; 4] = [
    "devices that take from more than one counter set, and partitions that several nodes can reach, have no part in the plan",
    "the plan counts requests of an exact number of partitions; constraints between devices are only looked at when it is tried",
    "that a pod gets the partition of the plan takes a selector, or a driver that offers no others",
    "a pod that moves is evicted and made anew; which pods may move is what cluster-autoscaler's rules for drains say",
];

/// A layout that was found.
struct Layout {
    packing: Packing,
    demands: Vec<Demand>,
    /// The pod of each demand.
    pods: Vec<PodId>,
    /// Devices with partitions in use that change.
    changed: BTreeSet<usize>,
    /// Whether the search came to an end.
    complete: bool,
}

/// Looks for the best layouts.
pub fn plan_partitions(
    ground: &Ground<'_>,
    question: &PartitionQuestion,
    observer: &mut dyn Observer,
) -> Result<PartitionPlanReport, SimulateError> {
    let mut state = ground.state();
    let wanted: Vec<PodId> = if question.copies.is_empty() {
        let pods = waiting(&state);
        state.in_queue_order(pods)
    } else {
        let mut added = Vec::new();
        for (name, count) in &question.copies {
            let model = Model::find(ground.prepared, name)?;
            added.extend((1..=*count).map(|number| model.add_to(&mut state, number)));
        }
        added
    };
    let stock = Stock::new(&state);
    let planner = Planner { ground, state: &state, stock: &stock, compiler: compiler(ground) };
    let (mut served, mut left_out) = (Vec::new(), Vec::new());
    for &id in &wanted {
        match planner.demand(id, false) {
            Some(demand) => served.push((id, demand)),
            None => left_out.push(name(&state, id)),
        }
    }
    let movable = Movable::new(ground, &state, &question.drain);
    planner.narrow(&mut served, &movable)?;
    let layout = planner.best(&served, &movable, question, observer);
    let without_plan = planner.without_plan(&served)?;
    let verified = planner.verify(&layout.0)?;
    let (layout, least) = layout;
    let mut report = PartitionPlanReport {
        api_version: API_VERSION,
        kind: "PartitionPlanReport",
        assumptions: ground.assumptions(&state, &APPROXIMATIONS),
        demanded: served.len(),
        served: layout.packing.met,
        most_served: layout.packing.most,
        served_without_plan: without_plan,
        repartitioned: layout.changed.len(),
        least_repartitioned: least,
        certainty: "found",
        verified,
        devices: Vec::new(),
        moves: Vec::new(),
        not_served: Vec::new(),
        left_out,
        profiles: BTreeMap::new(),
    };
    if layout.complete && layout.packing.met == layout.packing.most && least == Some(layout.changed.len()) {
        report.certainty = "proven";
    }
    planner.describe(&layout, &mut report);
    Ok(report)
}

fn compiler(ground: &Ground<'_>) -> Compiler {
    let gates = &ground.options.gates;
    Compiler::new(Environment {
        release: gates.release(),
        stage: ExpressionStage::Stored,
        consumable_capacity: gates.enabled("DRAConsumableCapacity"),
        list_type_attributes: gates.enabled("DRAListTypeAttributes"),
    })
}

fn name(state: &ClusterState, id: PodId) -> String {
    state.pod(id).map(|(pod, _)| pod.metadata.full_name()).unwrap_or_default()
}

struct Planner<'p> {
    ground: &'p Ground<'p>,
    state: &'p ClusterState,
    stock: &'p Stock,
    compiler: Compiler,
}

impl Planner<'_> {
    /// What a pod wants of partitions; `None` where it wants none, or also something that no plan can tell.
    fn demand(&self, id: PodId, must: bool) -> Option<Demand> {
        let snapshot = &self.ground.prepared.snapshot;
        let mut requests = Vec::new();
        for claim in self.state.claims_of(id) {
            let claim = self.state.claim(claim)?;
            if claim.allocation.is_some() && !must {
                continue;
            }
            for request in &claim.spec.requests {
                let exactly = request.exactly.as_ref()?;
                let class = snapshot.class(&exactly.device_class_name);
                let matching = self.stock.matching(class, exactly, &self.compiler)?;
                if matching.is_empty() {
                    continue;
                }
                if exactly.allocation_mode != AllocationMode::ExactCount || exactly.admin_access == Some(true)
                {
                    return None;
                }
                requests.push((matching, usize::try_from(exactly.count).unwrap_or(0)));
            }
        }
        if requests.is_empty() {
            return None;
        }
        let nodes = self.stock.wholes.iter().map(|whole| whole.node).collect();
        Some(Demand { requests, nodes, must })
    }

    /// Takes away the nodes on which a pod cannot be for other reasons than its devices, even without all pods that may
    /// move.
    fn narrow(&self, demands: &mut [(PodId, Demand)], movable: &Movable) -> Result<(), SimulateError> {
        let mut empty = self.state.clone();
        for &id in &movable.pods {
            empty.evict(id);
        }
        let known: Vec<_> =
            demands.iter().filter_map(|(id, _)| Some(self.state.pod(*id)?.0.as_ref())).collect();
        for group in equivalence::groups(&known) {
            let Some(sample) = group.first().and_then(|&at| demands.get(at)) else { continue };
            let mut nodes = sample.1.nodes.clone();
            for &at in &sample.1.nodes {
                let attempt = empty.clone().attempt_on(&[at], sample.0, self.ground.cancel)?;
                if attempt.reasons.iter().any(|reason| reason.plugin != "DynamicResources") {
                    nodes.remove(&at);
                }
            }
            for at in group {
                if let Some((_, demand)) = demands.get_mut(at) {
                    demand.nodes.clone_from(&nodes);
                }
            }
        }
        Ok(())
    }

    /// The best layout, and the least number of devices that must change for it, where that is sure.
    fn best(
        &self,
        served: &[(PodId, Demand)],
        movable: &Movable,
        question: &PartitionQuestion,
        observer: &mut dyn Observer,
    ) -> (Layout, Option<usize>) {
        let changeable: Vec<usize> = (0..self.stock.wholes.len())
            .filter(|&whole| self.movers(&[whole], movable).is_some_and(|pods| !pods.is_empty()))
            .collect();
        let nothing = Layout {
            packing: Packing { chosen: vec![None; served.len()], met: 0, most: served.len() },
            demands: served.iter().map(|(_, demand)| demand.clone()).collect(),
            pods: served.iter().map(|(id, _)| *id).collect(),
            changed: BTreeSet::new(),
            complete: false,
        };
        let mut best = self.with_changed(&[], served, movable, question).unwrap_or(nothing);
        // What could be served if everything changed that may: nobody serves more.
        let all = self.with_changed(&changeable, served, movable, question);
        let most = all.as_ref().map_or(served.len(), |all| all.packing.most);
        let most = if all.as_ref().is_some_and(|all| all.complete) {
            most.max(best.packing.met)
        } else {
            served.len()
        };
        let mut least = best.complete.then_some(0);
        let mut sure = best.complete;
        let mut choices = 0;
        'sizes: for size in 1..=question.most_repartitioned.min(changeable.len()) {
            if best.packing.met >= most {
                break;
            }
            for numbers in super::defrag::Combinations::new(changeable.len(), size) {
                choices += 1;
                if choices > question.most_choices {
                    sure = false;
                    break 'sizes;
                }
                observer.progress(choices, question.most_choices);
                let changed: Vec<usize> =
                    numbers.iter().filter_map(|&at| changeable.get(at).copied()).collect();
                let Some(found) = self.with_changed(&changed, served, movable, question) else { continue };
                sure &= found.complete;
                if found.packing.met > best.packing.met {
                    best = found;
                    least = sure.then_some(size);
                    if best.packing.met >= most {
                        break 'sizes;
                    }
                }
            }
        }
        if !sure {
            least = least.filter(|_| best.packing.met >= most && best.changed.is_empty());
        }
        best.packing.most = most;
        best.complete = best.packing.met >= most;
        (best, least)
    }

    /// The pods that hold partitions of these devices, if all of them may move together.
    fn movers(&self, changed: &[usize], movable: &Movable) -> Option<Vec<PodId>> {
        let mut pods = BTreeSet::new();
        for &whole in changed {
            for number in &self.stock.wholes.get(whole)?.partitions {
                if self.stock.stuck.contains(number) {
                    return None;
                }
                pods.extend(self.stock.holders.get(number).into_iter().flatten().copied());
            }
        }
        let pods: Vec<PodId> = pods.into_iter().collect();
        (pods.iter().all(|id| movable.pods.contains(id)) && movable.allows(&pods)).then_some(pods)
    }

    /// The best layout in which these devices are laid out anew; `None` where that cannot be.
    fn with_changed(
        &self,
        changed: &[usize],
        served: &[(PodId, Demand)],
        movable: &Movable,
        question: &PartitionQuestion,
    ) -> Option<Layout> {
        let movers = self.movers(changed, movable)?;
        let mut pods = Vec::new();
        let mut demands = Vec::new();
        for &id in &movers {
            demands.push(self.demand(id, true)?);
            pods.push(id);
        }
        for (id, demand) in served {
            demands.push(demand.clone());
            pods.push(*id);
        }
        let room = self.room(&movers);
        let mut steps = question.steps;
        let (packing, complete) = pack(self.stock, &demands, &room, &mut steps);
        Some(Layout {
            packing: packing?,
            demands,
            pods,
            changed: changed.iter().copied().collect(),
            complete,
        })
    }

    /// What is free once these pods are gone.
    fn room(&self, gone: &[PodId]) -> Room {
        let mut left: Vec<Vec<i64>> = self.stock.wholes.iter().map(|whole| whole.amounts.clone()).collect();
        let mut taken = BTreeSet::new();
        for (&number, holders) in &self.stock.holders {
            let stays = self.stock.stuck.contains(&number) || holders.iter().any(|id| !gone.contains(id));
            let Some(partition) = self.stock.partitions.get(number).filter(|_| stays) else { continue };
            taken.insert(number);
            let Some(left) = left.get_mut(partition.whole) else { continue };
            for (counter, amount) in &partition.takes {
                if let Some(left) = left.get_mut(*counter) {
                    *left -= amount;
                }
            }
        }
        Room { left, taken }
    }

    /// How many of the pods the scheduler places by itself.
    fn without_plan(&self, served: &[(PodId, Demand)]) -> Result<usize, SimulateError> {
        let mut fork = self.state.clone();
        let order = fork.in_queue_order(served.iter().map(|(id, _)| *id).collect());
        let mut placed = 0;
        for id in order {
            placed += usize::from(fork.attempt(id, self.ground.cancel)?.outcome == PodOutcome::Scheduled);
        }
        Ok(placed)
    }

    /// Places every pod on its node while only its own partitions are offered, and those that are held.
    fn verify(&self, layout: &Layout) -> Result<bool, SimulateError> {
        let mut fork = self.state.clone();
        let movers = layout.pods.iter().zip(&layout.demands).filter(|(_, demand)| demand.must);
        for (&id, _) in movers {
            fork.evict(id);
        }
        let original: Vec<ResourceSlice> = fork.slices().cloned().collect();
        let ours: BTreeSet<_> = self.stock.partitions.iter().map(|partition| &partition.id).collect();
        for (&id, chosen) in layout.pods.iter().zip(&layout.packing.chosen) {
            let Some(chosen) = chosen else { continue };
            let partitions: Vec<_> =
                chosen.iter().filter_map(|&number| self.stock.partitions.get(number)).collect();
            let node = partitions.first().and_then(|partition| self.stock.wholes.get(partition.whole));
            let Some(node) = node.map(|whole| whole.node) else { continue };
            let own: BTreeSet<_> = partitions.iter().map(|partition| &partition.id).collect();
            let held: BTreeSet<_> = fork
                .claims()
                .filter_map(|claim| claim.allocation)
                .flat_map(|allocation| {
                    allocation.results.iter().map(DeviceRequestAllocationResult::device_id)
                })
                .collect();
            for slice in &original {
                let mut offered = slice.clone();
                offered.devices.retain(|device| {
                    let device = drayage_allocator::objects::DeviceId {
                        pool: slice.pool_id(),
                        device: device.name.clone(),
                    };
                    !ours.contains(&device) || own.contains(&device) || held.contains(&device)
                });
                fork.publish(offered);
            }
            let outcome = fork.attempt_on(&[node], id, self.ground.cancel)?.outcome;
            if outcome != PodOutcome::Scheduled {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts the layouts into words.
    fn describe(&self, layout: &Layout, report: &mut PartitionPlanReport) {
        let of_pod = |number: usize, id: Option<PodId>| {
            let partition = self.stock.partitions.get(number)?;
            Some(HeldPartition {
                device: partition.id.device.clone(),
                profile: partition.profile.clone(),
                pod: id.map(|id| name(self.state, id)),
            })
        };
        let moved: BTreeSet<PodId> = layout
            .pods
            .iter()
            .zip(&layout.demands)
            .filter(|(_, demand)| demand.must)
            .map(|(id, _)| *id)
            .collect();
        let mut after: BTreeMap<usize, Option<PodId>> = BTreeMap::new();
        for (&number, holders) in &self.stock.holders {
            if self.stock.stuck.contains(&number) || holders.iter().any(|id| !moved.contains(id)) {
                after.insert(number, holders.first().copied());
            }
        }
        for (&id, chosen) in layout.pods.iter().zip(&layout.packing.chosen) {
            match chosen {
                Some(chosen) => after.extend(chosen.iter().map(|&number| (number, Some(id)))),
                None => report.not_served.push(name(self.state, id)),
            }
        }
        for (number, whole) in self.stock.wholes.iter().enumerate() {
            let held = whole.partitions.iter().filter_map(|partition| {
                let holders = self.stock.holders.get(partition)?;
                of_pod(*partition, holders.first().copied())
            });
            let then =
                whole.partitions.iter().filter_map(|partition| of_pod(*partition, *after.get(partition)?));
            let device = DeviceLayout {
                node: self.state.node(whole.node).map(|node| node.metadata.name.clone()).unwrap_or_default(),
                pool: whole.pool.to_string(),
                counter_sets: whole.counter_sets.iter().cloned().collect(),
                repartitioned: layout.changed.contains(&number),
                before: held.collect(),
                after: then.collect(),
            };
            for partition in &device.before {
                report.profiles.entry(partition.profile.clone()).or_default().before += 1;
            }
            for partition in &device.after {
                let count: &mut ProfileCount = report.profiles.entry(partition.profile.clone()).or_default();
                count.after += 1;
            }
            report.devices.push(device);
        }
        for &id in &moved {
            let from = self
                .stock
                .holders
                .iter()
                .filter(|(_, holders)| holders.contains(&id))
                .map(|(number, _)| number);
            let to = after.iter().filter(|(_, holder)| **holder == Some(id)).map(|(number, _)| number);
            let named =
                |number: &usize| self.stock.partitions.get(*number).map(|partition| partition.id.to_string());
            let (from, to): (Vec<String>, Vec<String>) =
                (from.filter_map(named).collect(), to.filter_map(named).collect());
            if from != to {
                report.moves.push(PartitionMove { pod: name(self.state, id), from, to });
            }
        }
    }
}
