//! The best layout of devices that are divided, such as GPUs with partitions (KEP-4815).
//!
//! Pods that wait want partitions; partitions take from the counters of their device, so that a layout is what may be
//! held at the same time. As many pods as possible are served, and of the layouts that do that, one that changes the
//! fewest devices with partitions in use. A pod whose partition goes must get another, and is moved; disruption budgets
//! limit how many. The layout is then allocated for real: each pod is placed on its node while only its own partitions are
//! offered.
//!
//! `wants` reads what requests want, by alternative; `stock` finds the partitions and who holds them; `narrow` the nodes on
//! which pods can be at all. `field` numbers the states of devices, so that devices that are alike are looked at once.
//! `prices` bounds what layouts can serve, `fill` finds a good layout, `pack` the best one, `choices` the devices to change.
//! `assign` names the pods of a layout, `trial` places them.

mod assign;
mod choices;
mod field;
mod fill;
mod linked;
mod narrow;
mod pack;
mod prices;
mod stock;
mod trial;
mod wants;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use drayage_cel::{Compiler, Environment, ExpressionStage};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::report::{API_VERSION, PartitionPlanReport, PodOutcome};
use crate::schedule::{ClusterState, Observer, PodId, SimulateError};

use super::copies::Model;
use super::defrag::Movable;
use super::drain::DrainOptions;
use super::ground::{Ground, waiting};
use assign::name;
use choices::{Choices, Limits, Pods};
use field::{Field, Kind};
use pack::Demands;
use prices::Lot;
use stock::Stock;
use wants::{Asked, Requests, WantId, Wants};

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

const APPROXIMATIONS: [&str; 5] = [
    "pods whose requests for partitions can also have devices that several nodes reach or several claims share, all devices, or \
     devices with admin access, have no part in the plan",
    "the plan counts requests of an exact number of devices, of each request one alternative, and takes an earlier alternative \
     first only where the choice costs nothing; constraints and compatibility groups are only looked at when it is tried",
    "counter sets that some device takes from together are one device, which changes as a whole",
    "that a pod gets the partition of the plan takes a selector, or a driver that offers no others",
    "a pod that moves is evicted and made anew; which pods may move is what cluster-autoscaler's rules for drains say",
];

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
    let movable = Movable::new(ground, &state, &question.drain);
    let mut wants = Wants::new(&ground.prepared.snapshot, compiler(ground));
    let asked: Vec<(PodId, Asked)> = wanted.iter().map(|&id| (id, wants.asked(&state, id, false))).collect();
    let again: Vec<(PodId, Asked)> =
        holders(&state, &movable).into_iter().map(|id| (id, wants.asked(&state, id, true))).collect();
    let stock = Stock::new(&state, &mut wants);
    let shared = shared_claims(&state, &wanted);
    let (mut served, mut left_out) = (Vec::new(), Vec::new());
    for (id, asked) in asked {
        let alone = !state.claims_of(id).iter().any(|claim| shared.contains(claim));
        match wants.requests(&asked).filter(|_| alone) {
            Some(requests) => served.push((id, requests)),
            None => left_out.push(name(&state, id)),
        }
    }
    let is_free = |id: &PodId| {
        let of_pod = stock.of_pod.get(id);
        of_pod.is_some_and(|of_pod| !of_pod.iter().any(|number| stock.stuck.contains(number)))
    };
    let movers: Vec<(PodId, Requests)> = again
        .into_iter()
        .filter_map(|(id, asked)| Some((id, wants.requests(&asked)?)))
        .filter(|(id, _)| is_free(id))
        .collect();
    let nodes: BTreeSet<usize> = stock.wholes.iter().map(|whole| whole.node).collect();
    let all: Vec<PodId> = served.iter().chain(&movers).map(|(id, _)| *id).collect();
    let reachable = narrow::nodes(&state, &all, &movable.pods, &nodes, ground.cancel)?;
    let book = Book::new(&served, &movers, &reachable);
    let mut field = Field::new(&stock, book.kinds.clone());
    let pods = Pods {
        waiting: book.waiting.clone(),
        movers: movers
            .iter()
            .zip(&book.lots_of_movers)
            .map(|((id, _), &lot)| (*id, (lot, stays(&stock, &field, &book, *id, lot))))
            .collect(),
        movable: &movable,
    };
    let mut initial = field.untouched.clone();
    for number in stock.holders.keys() {
        let Some(partition) = stock.partitions.get(*number) else { continue };
        if let Some(state) = initial.get_mut(partition.whole) {
            *state = field.changed(*state, partition.form, 1);
        }
    }
    let demands = Demands::new(&field, &book.lots, ground.cancel);
    let limits = Limits {
        changes: question.most_repartitioned,
        steps: question.steps,
        choices: question.most_choices,
    };
    let mut choices = Choices { stock: &stock, field: &mut field, demands, pods: &pods, limits, initial };
    let answer = choices.best(observer)?;
    let assigned = assign::assign(&stock, &field, &pods, &book.lots, &answer.layout);
    let placed: BTreeSet<PodId> = assigned.iter().map(|one| one.pod).collect();
    let verified = trial::holds(&state, &stock, &answer.layout.movers, &assigned, ground.cancel)?;
    let mut report = PartitionPlanReport {
        api_version: API_VERSION,
        kind: "PartitionPlanReport",
        assumptions: ground.assumptions(&state, &APPROXIMATIONS),
        demanded: served.len(),
        served: answer.layout.met,
        most_served: answer.most,
        most_served_within_changes: answer.within,
        served_without_plan: without_plan(ground, &state, &served)?,
        repartitioned: answer.layout.changed.len(),
        least_repartitioned: Some(answer.least),
        certainty: "found",
        verified,
        devices: Vec::new(),
        moves: Vec::new(),
        not_served: Vec::new(),
        left_out,
        profiles: BTreeMap::new(),
    };
    if report.served == report.most_served && answer.least == report.repartitioned {
        report.certainty = "proven";
    }
    let missing = served.iter().filter(|(id, _)| !placed.contains(id));
    report.not_served = missing.map(|(id, _)| name(&state, *id)).collect();
    assign::describe(&state, &stock, &answer.layout, &assigned, &mut report);
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

/// The pods that may move and hold devices of pools with shared counters.
fn holders(state: &ClusterState, movable: &Movable) -> Vec<PodId> {
    let divided = state.slices().filter(|slice| !slice.shared_counters.is_empty());
    let divided: FxHashSet<(&str, &str)> =
        divided.map(|slice| (slice.driver.as_str(), slice.pool.name.as_str())).collect();
    let holds = |id: &PodId| {
        state.claims_of(*id).into_iter().filter_map(|claim| state.claim(claim)?.allocation).any(
            |allocation| {
                let mut results = allocation.results.iter();
                results.any(|result| divided.contains(&(result.driver.as_str(), result.pool.as_str())))
            },
        )
    };
    movable.pods.iter().copied().filter(holds).collect()
}

/// Claims without devices that several of these pods use.
fn shared_claims(state: &ClusterState, pods: &[PodId]) -> FxHashSet<crate::schedule::ClaimId> {
    let (mut seen, mut shared) = (FxHashSet::default(), FxHashSet::default());
    for claim in pods.iter().flat_map(|&id| state.claims_of(id)) {
        if !seen.insert(claim) && state.claim(claim).is_some_and(|claim| claim.allocation.is_none()) {
            shared.insert(claim);
        }
    }
    shared
}

/// Demands by kind and lot.
#[derive(Default)]
struct Book {
    kinds: Vec<Kind>,
    lots: Vec<Lot>,
    /// By lot.
    waiting: Vec<Vec<PodId>>,
    lots_of_movers: Vec<usize>,
}

impl Book {
    fn new(
        served: &[(PodId, Requests)],
        movers: &[(PodId, Requests)],
        reachable: &[Option<Rc<BTreeSet<usize>>>],
    ) -> Self {
        let mut book = Self::default();
        let mut numbers: FxHashMap<(Kind, bool), usize> = FxHashMap::default();
        for (at, (id, requests)) in served.iter().chain(movers).enumerate() {
            let nodes = reachable.get(at).cloned().flatten();
            let kind = Kind { requests: requests.clone(), nodes };
            let must = at >= served.len();
            let lot = *numbers.entry((kind.clone(), must)).or_insert_with(|| {
                let known = book.kinds.iter().position(|other| *other == kind);
                let kind = known.unwrap_or_else(|| {
                    book.kinds.push(kind);
                    book.kinds.len() - 1
                });
                book.lots.push(Lot { kind, must });
                book.waiting.push(Vec::new());
                book.lots.len() - 1
            });
            if must {
                book.lots_of_movers.push(lot);
            } else if let Some(waiting) = book.waiting.get_mut(lot) {
                waiting.push(*id);
            }
        }
        book
    }
}

/// Whether the place that a pod has now is one that its requests and the filters allow, as the plan sees it.
fn stays(stock: &Stock<'_>, field: &Field<'_>, book: &Book, id: PodId, lot: usize) -> bool {
    let Some(kind) = book.lots.get(lot).map(|lot| lot.kind) else { return false };
    let Some(requests) = book.kinds.get(kind).map(|kind| &kind.requests) else { return false };
    let held = stock.of_pod.get(&id).into_iter().flatten();
    let held: Vec<_> = held.filter_map(|&number| stock.partitions.get(number)).collect();
    let matches = |want: WantId, at: usize| {
        let Some(partition) = held.get(at) else { return false };
        let state = field.untouched.get(partition.whole);
        state.is_some_and(|&state| field.may_have(field.shape_of(state), partition.form, kind, want))
    };
    // One alternative of each request.
    let mut choices: Vec<Vec<WantId>> = vec![Vec::new()];
    for alternatives in requests {
        let with = |needs: &Vec<WantId>| {
            let more = alternatives.iter().map(|piece| std::iter::repeat_n(piece.want, piece.count));
            more.map(|more| needs.iter().copied().chain(more).collect()).collect::<Vec<_>>()
        };
        choices = choices.iter().flat_map(with).take(MOST_CHOICES_OF_ALTERNATIVES).collect();
    }
    choices.iter().any(|needs| can_be_matched(needs, held.len(), &matches))
}

/// More choices of alternatives are not looked at to find out whether a pod could stay.
const MOST_CHOICES_OF_ALTERNATIVES: usize = 256;

/// Whether every need can have a partition of its own.
fn can_be_matched(needs: &[WantId], held: usize, matches: &dyn Fn(WantId, usize) -> bool) -> bool {
    fn find(
        need: usize,
        needs: &[WantId],
        matches: &dyn Fn(WantId, usize) -> bool,
        users: &mut [Option<usize>],
        seen: &mut [bool],
    ) -> bool {
        for at in 0..users.len() {
            if seen.get(at) != Some(&false) || !needs.get(need).is_some_and(|&want| matches(want, at)) {
                continue;
            }
            if let Some(seen) = seen.get_mut(at) {
                *seen = true;
            }
            let user = users.get(at).copied().flatten();
            if user.is_none_or(|user| find(user, needs, matches, users, seen)) {
                if let Some(slot) = users.get_mut(at) {
                    *slot = Some(need);
                }
                return true;
            }
        }
        false
    }
    let mut users = vec![None; held];
    (0..needs.len()).all(|need| find(need, needs, matches, &mut users, &mut vec![false; held]))
}

/// How many of the pods the scheduler places by itself.
fn without_plan(
    ground: &Ground<'_>,
    state: &ClusterState,
    served: &[(PodId, Requests)],
) -> Result<usize, SimulateError> {
    let mut fork = state.clone();
    let order = fork.in_queue_order(served.iter().map(|(id, _)| *id).collect());
    let mut placed = 0;
    for id in order {
        placed += usize::from(fork.attempt(id, ground.cancel)?.outcome == PodOutcome::Scheduled);
    }
    Ok(placed)
}
