//! One device for one request: the tests in upstream's order, and their undoing.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_cel::Quantity;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::allocator::KnownView;
use crate::amount;
use crate::capacity::{self, Amounts, CapacityMismatch, CapacityRules};
use crate::compatibility::{Common, Draw, GroupLayout, GroupState};
use crate::constraints::{AttributeClass, ConstraintState};
use crate::counters::{CounterLayout, CounterState};
use crate::held::HeldDevices;
use crate::objects::{Device, DeviceCapacity, ResourceSlice};
use crate::problem::{Choice, Problem, Setting};
use crate::profile::{NewFields, SecondCapacityCheck, ShareEntries, Undo};
use crate::taints;

use super::marks::Marks;

static NOTHING: Quantity = Quantity::ZERO;

/// What the search has chosen so far, and the books that follow from it.
#[derive(Debug)]
pub(crate) struct Chosen<'s> {
    setting: &'s Setting<'s>,
    problem: &'s Problem<'s>,
    layout: &'s CounterLayout,
    /// What other claims hold of the node's devices, if they hold anything.
    held: Option<Arc<HeldDevices>>,
    /// The claims that use devices exclusively.
    marks: Marks,
    counters: CounterState,
    group_layout: &'s GroupLayout,
    groups: GroupState,
    /// Shares taken in this search, by position.
    shares: FxHashMap<u32, Share>,
    /// By claim, by constraint.
    constraints: SmallVec<[SmallVec<[ConstraintState; 1]>; 1]>,
    /// How many devices each claim has so far.
    results: SmallVec<[i64; 2]>,
    /// The devices in order of choice.
    stack: SmallVec<[ChosenDevice; 8]>,
    /// What a choice consumes of a device, by choice and position.
    amounts: FxHashMap<(u32, u32), Consumed>,
    rules: CapacityRules,
}

/// Shares of one device taken in this search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// How many.
    pub(crate) count: u32,
    /// What they consume together.
    pub(crate) consumed: Amounts,
}

/// What a choice consumes of a device's capacity.
#[derive(Clone, Debug)]
enum Consumed {
    Amounts(Amounts),
    /// It cannot consume anything.
    Nothing,
    /// What it asks cannot be computed. Upstream's text.
    Fault(String),
}

impl Consumed {
    fn new(
        requested: Option<&Amounts>,
        capacities: &BTreeMap<String, DeviceCapacity>,
        rules: CapacityRules,
    ) -> Self {
        match capacity::consumption(requested, capacities, rules) {
            Ok(amounts) => Self::Amounts(amounts),
            Err(CapacityMismatch::Fault { message }) => Self::Fault(message),
            Err(_) => Self::Nothing,
        }
    }

    fn amounts(&self) -> Option<&Amounts> {
        match self {
            Self::Amounts(amounts) => Some(amounts),
            Self::Nothing | Self::Fault(_) => None,
        }
    }
}

/// A device that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct ChosenDevice {
    pub(crate) choice: u32,
    pub(crate) position: u32,
    /// What a share consumes; `None` for a device that is used exclusively.
    pub(crate) share: Option<Amounts>,
    pub(crate) takes_counters: bool,
}

/// Why a device cannot be chosen for a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another claim holds it, or an earlier request of the question got it.
    InUse,
    /// Its slice lets the kubelet skip operations, which the node or the release cannot do.
    NodeOperations,
    /// It consumes counters, and gate DRAPartitionableDevices is off.
    CountersDisabled,
    /// Its compatibility groups do not go with those of the other devices on a counter set, by number.
    Groups(u32),
    /// A counter of its pool, by number, is short.
    Counters(u32),
    /// It has a taint that is not tolerated.
    Taint,
    /// A constraint of the claim, by index, does not hold.
    Constraint(u32),
    /// The attribute that a constraint of the claim, by index, compares cannot be derived from it.
    Derivation { constraint: u32, class: AttributeClass },
    /// Its capacity does not suffice.
    Capacity,
    /// Upstream panics: it looks at the device of this index in the device's slice, which has fewer.
    Panic { index: i64, devices: u32 },
}

impl<'s> Chosen<'s> {
    pub(crate) fn new(
        setting: &'s Setting<'s>,
        problem: &'s Problem<'s>,
        known: &'s KnownView,
        held: Option<Arc<HeldDevices>>,
    ) -> Self {
        let constraints = problem.claims.iter().map(|claim| {
            let states = claim.constraints.iter();
            states.map(|constraint| constraint.initial_state(setting.profile)).collect()
        });
        Self {
            setting,
            problem,
            layout: &known.counters,
            held,
            marks: Marks::new(setting.view.len()),
            counters: CounterState::new(&known.counters),
            group_layout: &known.groups,
            groups: GroupState::new(&known.groups, setting.inventory, setting.view, setting.state),
            shares: FxHashMap::default(),
            constraints: constraints.collect(),
            results: SmallVec::from_elem(0, problem.claims.len()),
            stack: SmallVec::new(),
            amounts: FxHashMap::default(),
            rules: CapacityRules::new(setting.features, setting.profile),
        }
    }

    /// The devices in order of choice.
    pub(crate) fn devices(&self) -> &[ChosenDevice] {
        &self.stack
    }

    pub(crate) fn setting(&self) -> &'s Setting<'s> {
        self.setting
    }

    pub(crate) fn layout(&self) -> &'s CounterLayout {
        self.layout
    }

    /// What other claims consume of the device's capacity.
    pub(crate) fn held_capacity(&self, position: u32) -> Option<&Amounts> {
        held_capacity(self.held.as_deref(), position)
    }

    /// Whether other claims hold shares of the device, in profiles where that means its counters were charged.
    fn is_shared_by_others(&self, position: u32) -> bool {
        self.setting.profile.share_entries == ShareEntries::UntilLastOfAnyone
            && self
                .held
                .as_ref()
                .and_then(|held| held.get(position))
                .is_some_and(|books| !books.shares.is_empty())
    }

    /// The claims that use the device exclusively in this search, in the order in which they came to it.
    pub(crate) fn marks(&self, position: u32) -> impl Iterator<Item = u32> {
        self.marks.of(position)
    }

    /// The shares of the device taken in this search.
    pub(crate) fn share(&self, position: u32) -> Option<&Share> {
        self.shares.get(&position)
    }

    /// What a claim's constraints remember.
    pub(crate) fn constraints(&self, claim: u32) -> &[ConstraintState] {
        self.constraints.get(claim as usize).map_or(&[], SmallVec::as_slice)
    }

    /// Whether nothing of the device was chosen in this search.
    pub(crate) fn is_untouched(&self, position: u32) -> bool {
        !self.marks.any(position) && !self.shares.contains_key(&position)
    }

    /// What this search has taken from a counter book, by counter.
    pub(crate) fn consumed_counters(&self, book: u32) -> impl Iterator<Item = &Quantity> {
        let counters = self.layout.books.get(book as usize).map_or(0, |book| book.names.len());
        let taken = self.counters.consumed(book);
        taken.iter().chain(std::iter::repeat_n(&NOTHING, counters.saturating_sub(taken.len())))
    }

    /// The counter sets that the device draws on, where compatibility groups matter.
    pub(crate) fn draws(&self, position: u32) -> &'s [Draw] {
        self.group_layout.draws(position)
    }

    /// What the devices on each such counter set have in common.
    pub(crate) fn common_groups(&self) -> &[Common] {
        self.groups.common()
    }

    /// How many devices a claim has so far.
    pub(crate) fn results(&self, claim: u32) -> i64 {
        self.results.get(claim as usize).copied().unwrap_or_default()
    }

    /// Whether the device cannot be used exclusively for the choice, the cheapest test.
    pub(crate) fn in_use(&self, choice: &Choice<'_>, position: u32) -> bool {
        if choice.admin_access {
            self.marks.of(position).any(|claim| claim == choice.claim)
        } else {
            self.held.as_ref().is_some_and(|held| held.is_exclusive(position)) || self.marks.any(position)
        }
    }

    /// Whether the device has capacity left for the choice.
    pub(crate) fn has_capacity(&mut self, number: u32, position: u32) -> bool {
        if !self.setting.features.consumable_capacity {
            return true;
        }
        let device = self.device(position);
        let requested = self.problem.choice(number).capacity;
        if device.capacity.is_empty() && requested.is_none_or(BTreeMap::is_empty) {
            return true;
        }
        let rules = self.rules;
        let amounts = self
            .amounts
            .entry((number, position))
            .or_insert_with(|| Consumed::new(requested, &device.capacity, rules));
        let allocated = held_capacity(self.held.as_deref(), position);
        let running = self.shares.get(&position).map(|share| &share.consumed);
        amounts.amounts().is_some_and(|amounts| {
            capacity::shortage(amounts, &device.capacity, allocated, running).is_none()
        })
    }

    /// The fault in what the choice asks of the device's capacity, if that was [tested](Self::has_capacity).
    pub(crate) fn capacity_fault(&self, number: u32, position: u32) -> Option<&str> {
        match self.amounts.get(&(number, position))? {
            Consumed::Fault(message) => Some(message),
            Consumed::Nothing | Consumed::Amounts(_) => None,
        }
    }

    /// Whether the device, if it was tested before, has capacity left for the choice.
    pub(crate) fn still_has_capacity(&self, number: u32, position: u32) -> bool {
        match self.amounts.get(&(number, position)) {
            Some(Consumed::Amounts(amounts)) => {
                let running = self.shares.get(&position).map(|share| &share.consumed);
                let capacities = &self.device(position).capacity;
                capacity::shortage(amounts, capacities, self.held_capacity(position), running).is_none()
            }
            _ => true,
        }
    }

    /// What the choice consumes of the device, if it was tested before and can consume anything.
    pub(crate) fn amounts(&self, number: u32, position: u32) -> Option<&Amounts> {
        self.amounts.get(&(number, position)).and_then(Consumed::amounts)
    }

    /// Chooses a device that the choice selects, if that is possible now. The tests and their order are upstream's.
    /// `ordinal` is how many devices the choice has.
    pub(crate) fn choose(&mut self, number: u32, ordinal: i64, position: u32) -> Result<(), Refusal> {
        let choice = self.problem.choice(number);
        let device = self.device(position);
        let shareable = self.is_shareable(device);
        if (!choice.admin_access || !shareable) && self.in_use(choice, position) {
            return Err(Refusal::InUse);
        }
        if self.setting.profile.new_fields == NewFields::All
            && !(self.setting.features.optional_node_operations && self.setting.skips_operations)
            && !self.slice(position).skip_node_operations.is_empty()
        {
            return Err(Refusal::NodeOperations);
        }
        if !self.setting.features.partitionable_devices && !device.consumes_counters.is_empty() {
            return Err(Refusal::CountersDisabled);
        }
        // A device that is shared already was charged with its counters by the first share.
        let charged = shareable
            && self.setting.profile.share_entries != ShareEntries::Ignored
            && (self.shares.contains_key(&position) || self.is_charged_by_others(position));
        let takes_counters = !charged && !device.consumes_counters.is_empty();
        if takes_counters {
            let draws = self.group_layout.draws(position);
            self.groups.take(draws).map_err(Refusal::Groups)?;
            if let Err(counter) = self.take_counters(position) {
                self.groups.give_back(draws.len());
                return Err(Refusal::Counters(counter));
            }
        }
        if let Err(refusal) = self.check_and_constrain(number, ordinal, position, device) {
            let partial = self.setting.profile.undo == Undo::Partial;
            if partial && refusal == Refusal::Capacity && !shareable {
                self.marks.insert(position, choice.claim);
            }
            if !partial {
                self.give_counters_back(takes_counters, position);
            }
            return Err(refusal);
        }
        let share = shareable.then(|| self.take_share(number, position));
        if share.is_none() {
            self.marks.insert(position, choice.claim);
        }
        if let Some(results) = self.results.get_mut(choice.claim as usize) {
            *results += 1;
        }
        self.stack.push(ChosenDevice { choice: number, position, share, takes_counters });
        Ok(())
    }

    /// Whether other claims share the device in a way that pays for its counters.
    pub(crate) fn is_charged_by_others(&self, position: u32) -> bool {
        self.held_capacity(position).is_some() || self.is_shared_by_others(position)
    }

    /// Undoes the latest choice.
    pub(crate) fn undo(&mut self) {
        let Some(last) = self.stack.pop() else { return };
        let choice = self.problem.choice(last.choice);
        if let Some(results) = self.results.get_mut(choice.claim as usize) {
            *results -= 1;
        }
        let keeps_counters = last.share.is_some() && self.setting.profile.undo == Undo::Partial;
        match last.share {
            Some(amounts) => self.give_share_back(last.position, &amounts),
            None => {
                self.marks.remove(last.position, choice.claim);
            }
        }
        self.release_constraints(choice, choice.constraints.len());
        self.give_counters_back(last.takes_counters && !keeps_counters, last.position);
    }

    /// Taints, constraints, capacity. On refusal the constraints are as before, unless the profile leaves traces.
    fn check_and_constrain(
        &mut self,
        number: u32,
        ordinal: i64,
        position: u32,
        device: &Device,
    ) -> Result<(), Refusal> {
        let choice = self.problem.choice(number);
        if self.setting.features.device_taints
            && taints::untolerated(&device.taints, choice.tolerations, self.setting.profile.taint_effects)
                .is_some()
        {
            return Err(Refusal::Taint);
        }
        let claim = &self.problem.claims[choice.claim as usize];
        let states = &mut self.constraints[choice.claim as usize];
        let mut refused = None;
        for (added, (constraint, derivation)) in choice.constraints().enumerate() {
            let details = &claim.constraints[constraint as usize];
            let class = details.class(derivation, position);
            if matches!(class, AttributeClass::Fault(_)) {
                refused = Some((added, Refusal::Derivation { constraint, class }));
                break;
            }
            if !states[constraint as usize].add(details, choice.request, class) {
                refused = Some((added, Refusal::Constraint(constraint)));
                break;
            }
        }
        if let Some((added, refusal)) = refused {
            self.release_constraints(choice, added);
            return Err(refusal);
        }
        let Setting { profile, features, .. } = self.setting;
        let checked = match profile.second_capacity_check {
            SecondCapacityCheck::DeviceAtOrdinal if features.consumable_capacity => {
                self.at_ordinal(position, ordinal)?
            }
            SecondCapacityCheck::SameDevice | SecondCapacityCheck::DeviceAtOrdinal => position,
        };
        if !self.has_capacity(number, checked) {
            if profile.undo == Undo::Complete {
                self.release_constraints(choice, choice.constraints.len());
            }
            return Err(Refusal::Capacity);
        }
        Ok(())
    }

    /// The device that a profile takes for the one at a position: that of its slice with the index `ordinal`.
    fn at_ordinal(&self, position: u32, ordinal: i64) -> Result<u32, Refusal> {
        let Setting { inventory, view, .. } = self.setting;
        let device = view.device(position);
        let (index, devices) = inventory.place_in_slice(device);
        match u32::try_from(ordinal) {
            Ok(ordinal) if ordinal < devices => Ok(position - index + ordinal),
            _ => Err(Refusal::Panic { index: ordinal, devices }),
        }
    }

    fn release_constraints(&mut self, choice: &Choice<'_>, added: usize) {
        let states = &mut self.constraints[choice.claim as usize];
        for constraint in choice.constraints.iter().take(added).rev() {
            states[*constraint as usize].remove(choice.request);
        }
    }

    fn take_counters(&mut self, position: u32) -> Result<(), u32> {
        let Setting { inventory, view, state, .. } = self.setting;
        let Some((book, consumption)) = self.layout.consumption(position) else { return Ok(()) };
        let pool = view.pool_of(position);
        self.counters.take(book, consumption, || self.layout.available(book, pool, inventory, view, state))
    }

    fn give_counters_back(&mut self, taken: bool, position: u32) {
        if let Some((book, consumption)) = self.layout.consumption(position).filter(|_| taken) {
            self.counters.give_back(book, consumption);
        }
        if taken {
            self.groups.give_back(self.group_layout.draws(position).len());
        }
    }

    fn take_share(&mut self, number: u32, position: u32) -> Amounts {
        // The first test of capacity is what remembers amounts; a request for all devices has had it already.
        let requested = self.problem.choice(number).capacity;
        let capacities = &self.device(position).capacity;
        let rules = self.rules;
        let consumed = self
            .amounts
            .entry((number, position))
            .or_insert_with(|| Consumed::new(requested, capacities, rules));
        let amounts = consumed.amounts().cloned().unwrap_or_default();
        let share = self.shares.entry(position).or_default();
        share.count += 1;
        for (name, amount) in &amounts {
            amount::add(share.consumed.entry(name.clone()).or_insert(Quantity::ZERO), amount);
        }
        amounts
    }

    fn give_share_back(&mut self, position: u32, amounts: &Amounts) {
        let Some(share) = self.shares.get_mut(&position) else { return };
        share.count = share.count.saturating_sub(1);
        for (name, amount) in amounts {
            if let Some(sum) = share.consumed.get_mut(name) {
                amount::subtract(sum, amount);
            }
        }
        let gone = match self.setting.profile.share_entries {
            ShareEntries::UntilLast | ShareEntries::UntilLastOfAnyone => share.count == 0,
            ShareEntries::UntilEmpty | ShareEntries::Ignored => {
                !amounts.is_empty() && share.consumed.values().all(|amount| amount.sign() == 0)
            }
        };
        if gone {
            self.shares.remove(&position);
        }
    }

    pub(crate) fn device(&self, position: u32) -> &'s Device {
        self.setting.inventory.device(self.setting.view.device(position))
    }

    fn slice(&self, position: u32) -> &'s ResourceSlice {
        self.setting.inventory.slice_of(self.setting.view.device(position))
    }

    /// Whether several requests may share the device, which needs the feature.
    pub(crate) fn is_shareable(&self, device: &Device) -> bool {
        self.setting.features.consumable_capacity && device.allow_multiple_allocations == Some(true)
    }
}

fn held_capacity(held: Option<&HeldDevices>, position: u32) -> Option<&Amounts> {
    held.and_then(|held| held.get(position)).and_then(|books| books.capacity.as_ref())
}
