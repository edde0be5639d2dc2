//! A question as rules with numbers, each of which can be lifted.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use crate::diagnosis::SelectorSource;
use crate::objects::{AllocationMode, AttributeValue, Device, DeviceId, Quantity};
use crate::verify::Question;
use crate::verify::books::{allowed, counters_are_paid, short_capacity, skips_operations, taken};
use crate::verify::claim::{Ask, asks, compared_attribute};
use crate::verify::groups::Common;
use crate::verify::programs::Programs;
use crate::verify::reach::{Pool, Reached, device_selects_node};

use super::key::Key;
use super::terms::terms;

/// Number of a fact in [`Model::facts`].
pub(super) type FactNumber = usize;

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
    pub(super) groups: Vec<GroupRow<'a>>,
    /// By claim and place: what the constraint compares.
    pub(super) compared: BTreeMap<(usize, usize), Compared>,
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

/// One counter set on which devices with compatibility groups draw.
pub(super) struct GroupRow<'a> {
    pub(super) pool: usize,
    pub(super) set: &'a str,
    /// The devices of other claims that draw on it, in search order.
    pub(super) held: Vec<(DeviceId, &'a Device)>,
    pub(super) fact: FactNumber,
}

/// What a constraint compares: the attribute, for devices and for requests that derive it in their own way.
#[derive(Default)]
pub(super) struct Compared {
    /// Lists of values by device; `None` where the attribute is missing.
    pub(super) columns: Vec<Vec<Option<AttributeValue>>>,
    /// By form: its column.
    pub(super) column_of: BTreeMap<usize, usize>,
}

impl Compared {
    /// The attribute of a device as a form sees it.
    pub(super) fn of(&self, ask: usize, device: usize) -> Option<&AttributeValue> {
        self.columns.get(*self.column_of.get(&ask)?)?.get(device)?.as_ref()
    }
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
        let groups = group_rows(question, pools, &devices, &mut numbers);
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
            groups,
            compared: BTreeMap::new(),
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
                let compared = model.compared(claim_index, index, programs);
                model.compared.insert((claim_index, index), compared);
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

    /// What a constraint compares on each device, for each form of a request that it is for.
    fn compared(&self, claim: usize, index: usize, programs: &Programs) -> Compared {
        let mut compared = Compared::default();
        let object = self.question.claims.get(claim).and_then(|claim| claim.constraints.get(index));
        let Some(name) =
            object.and_then(|object| object.match_attribute.as_ref().or(object.distinct_attribute.as_ref()))
        else {
            return compared;
        };
        let derived = self.question.features.derived_attributes;
        let mut expressions: Vec<Option<&str>> = Vec::new();
        for (number, row) in self.asks.iter().enumerate() {
            if row.claim != claim || !row.constraints.contains(&index) {
                continue;
            }
            let mut own = row.ask.derived_attributes.iter().rev().filter(|_| derived);
            let expression = own.find(|own| own.name == *name).map(|own| own.expression.as_str());
            let known = expressions.iter().position(|known| *known == expression);
            let column = known.unwrap_or_else(|| {
                expressions.push(expression);
                let of_device = |device: &ModelDevice<'_>| {
                    let value = compared_attribute(self.question, programs, &row.ask, &device.reached, name);
                    value.map(Cow::into_owned)
                };
                compared.columns.push(self.devices.iter().map(of_device).collect());
                compared.columns.len() - 1
            });
            compared.column_of.insert(number, column);
        }
        compared
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
        // A request for all devices wants such a device too, and fails.
        if !skips_operations(question, &device.reached) {
            refused.push(numbers.of(Key::Gate(GATE_OPERATIONS)));
        }
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
            for row in self.groups.iter().filter(|row| row.pool == device.pool) {
                if !go_together(row, std::iter::once(device.reached.device)) {
                    refused.push(row.fact);
                }
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

fn group_rows<'a>(
    question: &Question<'a>,
    pools: &[Pool<'a>],
    devices: &[ModelDevice<'a>],
    numbers: &mut Numbers<'a>,
) -> Vec<GroupRow<'a>> {
    let mut rows: Vec<GroupRow<'a>> = Vec::new();
    if !question.features.compatibility_groups || !question.features.partitionable_devices {
        return rows;
    }
    for (number, pool) in pools.iter().enumerate() {
        // A pool of which nothing may be taken has no devices of other claims that count.
        let held: Vec<(DeviceId, &Device)> = pool
            .reachable
            .iter()
            .chain(&pool.elsewhere)
            .copied()
            .filter(|slice| slice.shared_counters.is_empty())
            .flat_map(|slice| &slice.devices)
            .map(|device| (DeviceId { pool: pool.id.clone(), device: device.name.clone() }, device))
            .filter(|(id, _)| question.state.is_allocated(id))
            .collect();
        let own = devices.iter().filter(|device| device.pool == number).map(|device| device.reached.device);
        let drawing: Vec<&Device> = own.chain(held.iter().map(|(_, device)| *device)).collect();
        let draws = || drawing.iter().flat_map(|device| &device.consumes_counters);
        // Where no device of the pool has a group, all go together.
        if draws().all(|draw| draw.compatibility_groups.is_empty()) {
            continue;
        }
        let sets: BTreeSet<&str> = draws().map(|draw| draw.counter_set.as_str()).collect();
        for set in sets {
            let draws_on =
                |device: &Device| device.consumes_counters.iter().any(|draw| draw.counter_set == set);
            let held = held.iter().filter(|(_, device)| draws_on(device)).cloned().collect();
            let fact = numbers.of(Key::Groups(rows.len()));
            rows.push(GroupRow { pool: number, set, held, fact });
        }
    }
    rows
}

/// The groups with which a device draws on a counter set, draw by draw.
pub(super) fn draws_on<'d>(device: &'d Device, set: &str) -> impl Iterator<Item = BTreeSet<&'d str>> {
    let draws = device.consumes_counters.iter().filter(move |draw| draw.counter_set == set);
    draws.map(|draw| draw.compatibility_groups.iter().map(String::as_str).collect())
}

/// What the devices of other claims leave possible on a counter set.
pub(super) fn held_groups<'d>(row: &GroupRow<'d>) -> Common<'d> {
    let mut common = Common::Anything;
    for own in row.held.iter().flat_map(|(_, device)| draws_on(device, row.set)) {
        match &mut common {
            Common::Anything => common = first_on_set(own),
            // Slices may change under devices that are held. Then the first decides whether groups count.
            Common::Groups(groups) if !own.is_empty() => groups.retain(|group| own.contains(group)),
            Common::Groups(_) | Common::NoGroups => {}
        }
    }
    common
}

fn first_on_set(own: BTreeSet<&str>) -> Common<'_> {
    if own.is_empty() { Common::NoGroups } else { Common::Groups(own) }
}

/// Whether these devices may draw on a counter set, beside each other and those of other claims.
pub(super) fn go_together<'d>(row: &GroupRow<'d>, devices: impl Iterator<Item = &'d Device>) -> bool {
    let mut common = held_groups(row);
    for own in devices.flat_map(|device| draws_on(device, row.set)) {
        match &mut common {
            Common::Anything => common = first_on_set(own),
            Common::NoGroups if own.is_empty() => {}
            Common::NoGroups => return false,
            Common::Groups(groups) => {
                groups.retain(|group| own.contains(group));
                if groups.is_empty() {
                    return false;
                }
            }
        }
    }
    true
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
