//! A question as rules with numbers, each of which can be lifted.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use crate::diagnosis::SelectorSource;
use crate::objects::{AllocationMode, DeviceId, Quantity};
use crate::verify::Question;
use crate::verify::books::{allowed, counters_are_paid, short_capacity, skips_operations, taken};
use crate::verify::claim::{Ask, asks};
use crate::verify::programs::Programs;
use crate::verify::reach::{Pool, Reached, device_selects_node};

use super::terms::terms;

/// Number of a fact in [`Model::facts`].
pub(super) type FactNumber = usize;

/// Which fact it is. Their order is the order of preference: where several could explain a failure, the first is
/// the one that readers expect, because what follows it matters only for devices that pass it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    Demand { claim: usize, request: usize },
    ClassTerm { class: &'a str, index: usize, term: &'a str },
    Gate(&'static str),
    NodeSelection,
    RequestTerm { ask: usize, index: usize, term: &'a str },
    Pool(usize),
    CapacityMissing(&'a str),
    CapacityPolicy { ask: usize, capacity: &'a str },
    Constraint { claim: usize, index: usize },
    Taint { key: &'a str, value: &'a str, effect: &'a str },
    Once,
    Held,
    Counter(usize),
    Capacity(&'a str),
    ClaimLimit(usize),
}

pub(super) const GATE_BINDING: &str = "DRADeviceBindingConditions";
pub(super) const GATE_OPERATIONS: &str = "DRAOptionalNodeOperations";
pub(super) const GATE_PARTITIONABLE: &str = "DRAPartitionableDevices";

/// The question.
pub(super) struct Model<'q, 'a> {
    pub(super) question: &'q Question<'a>,
    pub(super) pools: &'q [Pool<'a>],
    pub(super) devices: Vec<ModelDevice<'a>>,
    pub(super) asks: Vec<AskRow<'a>>,
    pub(super) demands: Vec<DemandRow>,
    pub(super) counters: Vec<CounterRow<'a>>,
    pub(super) facts: Vec<Key<'a>>,
    /// By request form, then by device: the facts that keep the device from it.
    pub(super) refusals: Vec<Vec<SmallVec<[FactNumber; 2]>>>,
}

/// A device that the node sees, or would see if its pool were usable.
pub(super) struct ModelDevice<'a> {
    pub(super) id: DeviceId,
    pub(super) reached: Reached<'a>,
    pub(super) pool: usize,
    pub(super) shareable: bool,
    /// A share that other claims hold pays its counters already.
    pub(super) paid: bool,
    /// Amounts by number of counter, for devices that take counters.
    pub(super) counters: Vec<(usize, Quantity)>,
    pub(super) takes_counters: bool,
}

/// One form of a request.
pub(super) struct AskRow<'a> {
    pub(super) ask: Ask<'a>,
    pub(super) claim: usize,
    pub(super) demand: usize,
    pub(super) need: Need,
    /// The constraints of the claim that are for it.
    pub(super) constraints: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Count(usize),
    /// All of these, and at least one.
    All(Vec<usize>),
}

/// One request.
pub(super) struct DemandRow {
    pub(super) fact: FactNumber,
    pub(super) asks: std::ops::Range<usize>,
}

/// One counter of a pool.
pub(super) struct CounterRow<'a> {
    pub(super) pool: usize,
    pub(super) set: &'a str,
    pub(super) counter: &'a str,
    pub(super) total: &'a Quantity,
    pub(super) held: Quantity,
    pub(super) fact: FactNumber,
}

/// Numbers for facts as they come up.
#[derive(Default)]
struct Numbers<'a> {
    by_key: BTreeMap<Key<'a>, FactNumber>,
    keys: Vec<Key<'a>>,
}

impl<'a> Numbers<'a> {
    fn of(&mut self, key: Key<'a>) -> FactNumber {
        *self.by_key.entry(key).or_insert_with_key(|key| {
            self.keys.push(key.clone());
            self.keys.len() - 1
        })
    }
}

impl<'q, 'a> Model<'q, 'a> {
    /// `programs` must have the selectors of the question; terms are added.
    pub(super) fn new(question: &'q Question<'a>, pools: &'q [Pool<'a>], programs: &mut Programs) -> Self {
        let mut numbers = Numbers::default();
        let mut devices: Vec<ModelDevice<'a>> = Vec::new();
        for (number, pool) in pools.iter().enumerate() {
            // A pool with two devices of one name is invalid; if that is lifted, the first counts.
            let mut names = BTreeSet::new();
            for slice in pool.reachable.iter().chain(&pool.withheld) {
                for device in slice.devices.iter().filter(|device| names.insert(&device.name)) {
                    let reached = Reached { position: devices.len(), slice, device };
                    devices.push(model_device(question, pool, number, reached));
                }
            }
        }
        let counters = counter_rows(question, pools, &mut numbers);
        for device in &mut devices {
            device.counters = taken_counters(device, &counters);
        }
        let mut model = Self {
            question,
            pools,
            devices,
            asks: Vec::new(),
            demands: Vec::new(),
            counters,
            facts: Vec::new(),
            refusals: Vec::new(),
        };
        for (claim_index, claim) in question.claims.iter().enumerate() {
            for request in 0..claim.requests.len() {
                let start = model.asks.len();
                let demand = model.demands.len();
                for ask in asks(claim, request) {
                    model.add_ask(ask, claim_index, demand, programs, &mut numbers);
                }
                let fact = numbers.of(Key::Demand { claim: claim_index, request });
                model.demands.push(DemandRow { fact, asks: start..model.asks.len() });
            }
            for index in 0..claim.constraints.len() {
                numbers.of(Key::Constraint { claim: claim_index, index });
            }
            numbers.of(Key::ClaimLimit(claim_index));
        }
        if question.features.consumable_capacity {
            for device in &model.devices {
                for name in device.reached.device.capacity.keys() {
                    numbers.of(Key::Capacity(name));
                }
            }
        }
        numbers.of(Key::Once);
        model.facts = numbers.keys;
        model
    }

    /// Facts in the order of preference.
    pub(super) fn preferred(&self) -> Vec<FactNumber> {
        let mut order: Vec<FactNumber> = (0..self.facts.len()).collect();
        order.sort_by(|left, right| self.facts.get(*left).cmp(&self.facts.get(*right)));
        order
    }

    /// Full name of a claim.
    pub(super) fn claim_name(&self, claim: usize) -> String {
        self.question.claims.get(claim).map(|claim| claim.full_name()).unwrap_or_default()
    }

    fn add_ask(
        &mut self,
        ask: Ask<'a>,
        claim: usize,
        demand: usize,
        programs: &mut Programs,
        numbers: &mut Numbers<'a>,
    ) {
        let number = self.asks.len();
        let selectors = self.selector_terms(&ask, number, programs, numbers);
        let mut refusals = Vec::with_capacity(self.devices.len());
        let mut matching = Vec::new();
        for (place, device) in self.devices.iter().enumerate() {
            let mut refused: SmallVec<[FactNumber; 2]> = SmallVec::new();
            for (fact, term) in &selectors {
                if programs.verdict(term, &device.reached) != Some(true) {
                    refused.push(*fact);
                }
            }
            self.match_refusals(device, numbers, &mut refused);
            if refused.is_empty() && self.counts_for_all(&ask, device) {
                matching.push(place);
            }
            self.capacity_refusals(&ask, number, device, numbers, &mut refused);
            self.other_refusals(&ask, device, numbers, &mut refused);
            refused.sort_unstable();
            refused.dedup();
            refusals.push(refused);
        }
        let need = match ask.mode {
            AllocationMode::All => Need::All(matching),
            _ => Need::Count(usize::try_from(ask.count).unwrap_or(0)),
        };
        let object = self.question.claims.get(claim);
        let constraints = object.into_iter().flat_map(|claim| claim.constraints.iter().enumerate());
        let constraints = constraints.filter(|(_, constraint)| {
            let named = |name: &String| name == ask.base_name || *name == ask.result_name();
            constraint.requests.is_empty() || constraint.requests.iter().any(named)
        });
        let constraints = constraints.map(|(index, _)| index).collect();
        self.asks.push(AskRow { ask, claim, demand, need, constraints });
        self.refusals.push(refusals);
    }

    /// The terms of the selectors of class and request, with their facts.
    fn selector_terms(
        &self,
        ask: &Ask<'a>,
        number: usize,
        programs: &mut Programs,
        numbers: &mut Numbers<'a>,
    ) -> Vec<(FactNumber, &'a str)> {
        let class = self.question.classes.iter().find(|class| class.name == ask.class);
        let of_class = class.map(|class| class.selectors.as_slice()).unwrap_or_default();
        let mut found = Vec::new();
        for (source, selectors) in
            [(SelectorSource::Class, of_class), (SelectorSource::Request, ask.selectors)]
        {
            for (index, selector) in selectors.iter().enumerate() {
                let expression = selector.cel.as_deref().unwrap_or_default();
                for term in compiled_terms(expression, self.question, programs) {
                    let key = match source {
                        SelectorSource::Class => Key::ClassTerm { class: ask.class, index, term },
                        SelectorSource::Request => Key::RequestTerm { ask: number, index, term },
                    };
                    found.push((numbers.of(key), term));
                }
            }
        }
        found
    }

    /// What else decides whether a device matches a request at all.
    fn match_refusals(
        &self,
        device: &ModelDevice<'a>,
        numbers: &mut Numbers<'a>,
        refused: &mut SmallVec<[FactNumber; 2]>,
    ) {
        let question = self.question;
        let binding = device.reached.device.binding_conditions.as_ref();
        if binding.is_some_and(|conditions| !conditions.is_empty())
            && !question.features.device_binding_and_status
        {
            refused.push(numbers.of(Key::Gate(GATE_BINDING)));
        }
        if !skips_operations(question, &device.reached) {
            refused.push(numbers.of(Key::Gate(GATE_OPERATIONS)));
        }
        if device_selects_node(&device.reached, question.node) != Some(true) {
            refused.push(numbers.of(Key::NodeSelection));
        }
        if self.pools.get(device.pool).is_some_and(|pool| pool.unusable.is_some()) {
            refused.push(numbers.of(Key::Pool(device.pool)));
        }
    }

    fn capacity_refusals(
        &self,
        ask: &Ask<'a>,
        number: usize,
        device: &ModelDevice<'a>,
        numbers: &mut Numbers<'a>,
        refused: &mut SmallVec<[FactNumber; 2]>,
    ) {
        if !self.question.features.consumable_capacity {
            return;
        }
        let object = device.reached.device;
        for name in ask.capacity.into_iter().flat_map(BTreeMap::keys) {
            if !object.capacity.contains_key(name) {
                refused.push(numbers.of(Key::CapacityMissing(name)));
            }
        }
        let held = self.question.state.consumed_capacity(&device.id);
        for (name, capacity) in &object.capacity {
            let amount = taken(self.question, ask, name, capacity);
            if !allowed(self.question, &amount, capacity) {
                refused.push(numbers.of(Key::CapacityPolicy { ask: number, capacity: name }));
            }
            let held = held.and_then(|held| held.get(name)).cloned().unwrap_or_default();
            if held.checked_add(&amount).is_none_or(|sum| sum > capacity.value) {
                refused.push(numbers.of(Key::Capacity(name)));
            }
        }
    }

    /// Whether there are rules without facts: compatibility groups, and constraints over derived attributes.
    pub(super) fn is_partial(&self) -> bool {
        let mut draws = self.devices.iter().flat_map(|device| &device.reached.device.consumes_counters);
        let grouped = self.question.features.compatibility_groups
            && draws.any(|draw| !draw.compatibility_groups.is_empty());
        grouped || self.facts.iter().any(|fact| self.misses(fact))
    }

    /// Whether a fact is not what counts: a constraint over an attribute that a request derives.
    pub(super) fn misses(&self, fact: &Key<'a>) -> bool {
        let Key::Constraint { claim, index } = fact else { return false };
        let claim_object = self.question.claims.get(*claim);
        let constraint = claim_object.and_then(|object| object.constraints.get(*index));
        let Some(constraint) = constraint else { return false };
        let mut forms = self.asks.iter().filter(|row| row.claim == *claim).map(|row| &row.ask);
        self.question.features.derived_attributes
            && forms.any(|ask| {
                ask.derived_attributes.iter().any(|derived| {
                    [&constraint.match_attribute, &constraint.distinct_attribute]
                        .into_iter()
                        .flatten()
                        .any(|attribute| *attribute == derived.name)
                })
            })
    }

    /// Whether a request for all devices wants this one, which matches.
    fn counts_for_all(&self, ask: &Ask<'_>, device: &ModelDevice<'_>) -> bool {
        let question = self.question;
        // Newer releases leave out what has not enough capacity at all.
        let leaves_out_full = question.profile.all_leaves_out_full_devices;
        let held = question.state.consumed_capacity(&device.id).filter(|_| leaves_out_full);
        !question.features.consumable_capacity
            || short_capacity(question, ask, device.reached.device, held, None).is_none()
    }

    fn other_refusals(
        &self,
        ask: &Ask<'a>,
        device: &ModelDevice<'a>,
        numbers: &mut Numbers<'a>,
        refused: &mut SmallVec<[FactNumber; 2]>,
    ) {
        let question = self.question;
        if !ask.is_admin() && question.state.holds_device(&device.id) {
            refused.push(numbers.of(Key::Held));
        }
        if device.takes_counters && !device.paid {
            if question.features.partitionable_devices {
                for row in self.counters.iter().enumerate().filter(|(_, row)| row.pool == device.pool) {
                    let (number, row) = row;
                    let own = device.counters.iter().find(|(counter, _)| *counter == number);
                    let own = own.map(|(_, amount)| amount.clone()).unwrap_or_default();
                    if row.held.checked_add(&own).is_none_or(|sum| sum > *row.total) {
                        refused.push(row.fact);
                    }
                }
            } else {
                refused.push(numbers.of(Key::Gate(GATE_PARTITIONABLE)));
            }
        }
        if question.features.device_taints {
            for taint in &device.reached.device.taints {
                let alone = std::slice::from_ref(taint);
                let effects = question.profile.taint_effects;
                if crate::taints::untolerated(alone, ask.tolerations, effects).is_some() {
                    let (key, value, effect) = (&taint.key, &taint.value, &taint.effect);
                    refused.push(numbers.of(Key::Taint { key, value, effect }));
                }
            }
        }
    }
}

/// The terms of an expression, each of which compiles; the whole expression otherwise.
pub(super) fn compiled_terms<'e>(
    expression: &'e str,
    question: &Question<'_>,
    programs: &mut Programs,
) -> Vec<&'e str> {
    let parts = terms(expression);
    if parts.iter().all(|part| programs.compile(part, question)) {
        return parts;
    }
    programs.compile(expression, question);
    vec![expression]
}

fn model_device<'a>(
    question: &Question<'a>,
    pool: &Pool<'a>,
    number: usize,
    reached: Reached<'a>,
) -> ModelDevice<'a> {
    let id = DeviceId { pool: pool.id.clone(), device: reached.device.name.clone() };
    let shareable =
        question.features.consumable_capacity && reached.device.allow_multiple_allocations == Some(true);
    let paid = shareable && counters_are_paid(question, &id);
    let takes_counters = !reached.device.consumes_counters.is_empty();
    ModelDevice { id, reached, pool: number, shareable, paid, counters: Vec::new(), takes_counters }
}

fn taken_counters(device: &ModelDevice<'_>, counters: &[CounterRow<'_>]) -> Vec<(usize, Quantity)> {
    let mut amounts: Vec<(usize, Quantity)> = Vec::new();
    for (number, row) in counters.iter().enumerate().filter(|(_, row)| row.pool == device.pool) {
        let of_set = device.reached.device.consumes_counters.iter();
        let of_set = of_set.filter(|taken| taken.counter_set == row.set);
        let mut found = of_set.filter_map(|taken| taken.counters.get(row.counter)).peekable();
        if found.peek().is_some() {
            amounts.push((number, sum(found)));
        }
    }
    amounts
}

fn counter_rows<'a>(
    question: &Question<'a>,
    pools: &[Pool<'a>],
    numbers: &mut Numbers<'a>,
) -> Vec<CounterRow<'a>> {
    let mut rows = Vec::new();
    for (number, pool) in pools.iter().enumerate() {
        for (set, object) in &pool.counter_sets {
            for (counter, total) in &object.counters {
                let fact = numbers.of(Key::Counter(rows.len()));
                let held = held_devices(question, pool);
                let amounts = held.flat_map(|(_, device)| {
                    let of_set = device.consumes_counters.iter().filter(|taken| taken.counter_set == *set);
                    of_set.filter_map(|taken| taken.counters.get(counter))
                });
                let held = sum(amounts);
                rows.push(CounterRow { pool: number, set, counter, total, held, fact });
            }
        }
    }
    rows
}

/// The devices of a pool that other claims hold, wherever they are.
pub(super) fn held_devices<'m, 'a: 'm>(
    question: &'m Question<'a>,
    pool: &'m Pool<'a>,
) -> impl Iterator<Item = (DeviceId, &'a crate::objects::Device)> + 'm {
    let slices = pool.reachable.iter().chain(&pool.withheld).chain(&pool.elsewhere).copied();
    let slices = slices.filter(|slice| slice.shared_counters.is_empty());
    slices.flat_map(|slice| &slice.devices).filter_map(|device| {
        let id = DeviceId { pool: pool.id.clone(), device: device.name.clone() };
        question.state.is_allocated(&id).then_some((id, device))
    })
}

/// The sum as far as it can be represented.
pub(super) fn sum<'q>(amounts: impl IntoIterator<Item = &'q Quantity>) -> Quantity {
    amounts.into_iter().fold(Quantity::ZERO, |sum, more| sum.checked_add(more).unwrap_or(sum))
}
