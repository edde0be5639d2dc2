//! Decides whether a question that respects only some of its facts has a solution.
//!
//! Devices that no respected fact tells apart are taken by number, not one by one, so that a question with many
//! devices and few facts is decided in a few steps.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::objects::{AttributeValue, Quantity};
use crate::profile::DistinctMemory;
use crate::verify::books::taken;
use crate::verify::claim::values;

use super::key::Key;
use super::model::{FactNumber, Model, Need, draws_on, go_together};

/// The most devices a claim may hold.
pub(super) const CLAIM_LIMIT: usize = 32;

/// A device for a form of a request, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Taken {
    pub(super) ask: usize,
    pub(super) device: usize,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relaxed {
    Possible(Vec<Taken>),
    Impossible,
    /// The budget ran out.
    Unknown,
}

/// Another number of devices for a request than it asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct OtherCount {
    pub(super) demand: usize,
    pub(super) count: usize,
}

/// Decides the question with only these facts. `budget` is the number of steps, and is reduced by those taken.
pub(super) fn solve(
    model: &Model<'_, '_>,
    respected: &FixedBitSet,
    other: &[OtherCount],
    budget: &mut u64,
) -> Relaxed {
    let demands: Vec<usize> = (0..model.demands.len())
        .filter(|demand| model.demands.get(*demand).is_some_and(|row| respected.contains(row.fact)))
        .collect();
    let mut search = Search::new(model, respected, other, demands, budget);
    match search.demand(0) {
        Ok(true) => Relaxed::Possible(search.chosen),
        Ok(false) => Relaxed::Impossible,
        Err(OutOfSteps) => Relaxed::Unknown,
    }
}

struct OutOfSteps;

/// The devices that are taken, by what they are and who has them.
type State = Vec<(usize, Vec<usize>)>;

struct Search<'s, 'q, 'a> {
    model: &'s Model<'q, 'a>,
    respected: &'s FixedBitSet,
    other: &'s [OtherCount],
    demands: Vec<usize>,
    left: &'s mut u64,
    once: bool,
    /// By claim: whether it may hold 32 devices only.
    limited: Vec<bool>,
    /// The capacities that may run short.
    capacities: BTreeSet<&'a str>,
    /// By device: which devices no respected fact tells apart.
    class: Vec<usize>,
    /// By form and device: whether it is usable as far as it is alone.
    usable: Vec<FixedBitSet>,
    constraints: BTreeMap<(usize, usize), ConstraintRow>,
    chosen: Vec<Taken>,
    /// By device, the forms that have it.
    users: Vec<Vec<usize>>,
    failed: FxHashSet<(usize, State)>,
}

/// A respected constraint.
struct ConstraintRow {
    is_match: bool,
    /// The values by column and device; `None` where the attribute is missing.
    columns: Vec<Vec<Option<BTreeSet<AttributeValue>>>>,
}

impl<'s, 'q, 'a> Search<'s, 'q, 'a> {
    fn new(
        model: &'s Model<'q, 'a>,
        respected: &'s FixedBitSet,
        other: &'s [OtherCount],
        demands: Vec<usize>,
        left: &'s mut u64,
    ) -> Self {
        let usable = model.refusals.iter().map(|row| {
            let free = |(_, facts): &(usize, &smallvec::SmallVec<[FactNumber; 2]>)| {
                !facts.iter().any(|fact| respected.contains(*fact))
            };
            row.iter().enumerate().filter(free).map(|(device, _)| device).collect()
        });
        let mut once = false;
        let mut limited = vec![false; model.question.claims.len()];
        let mut capacities = BTreeSet::new();
        for key in respected.ones().filter_map(|fact| model.facts.get(fact)) {
            match key {
                Key::Once => once = true,
                Key::Capacity(name) => {
                    capacities.insert(*name);
                }
                Key::ClaimLimit(claim) => {
                    if let Some(limited) = limited.get_mut(*claim) {
                        *limited = true;
                    }
                }
                _ => {}
            }
        }
        let mut search = Self {
            model,
            respected,
            other,
            demands,
            left,
            once,
            limited,
            capacities,
            class: Vec::new(),
            usable: usable.collect(),
            constraints: BTreeMap::new(),
            chosen: Vec::new(),
            users: vec![Vec::new(); model.devices.len()],
            failed: FxHashSet::default(),
        };
        search.constraints = search.constraint_rows();
        search.class = search.classes();
        search
    }

    fn constraint_rows(&self) -> BTreeMap<(usize, usize), ConstraintRow> {
        let lists = self.model.question.features.list_type_attributes;
        let mut rows = BTreeMap::new();
        for (fact, key) in self.model.facts.iter().enumerate() {
            let Key::Constraint { claim, index } = *key else { continue };
            if !self.respected.contains(fact) {
                continue;
            }
            let object = self.model.question.claims.get(claim).and_then(|claim| claim.constraints.get(index));
            let Some(object) = object else { continue };
            let Some(compared) = self.model.compared.get(&(claim, index)) else { continue };
            if object.match_attribute.is_none() && object.distinct_attribute.is_none() {
                continue;
            }
            let sets = |column: &Vec<Option<AttributeValue>>| {
                column.iter().map(|value| value.as_ref().map(|value| values(value, lists))).collect()
            };
            let columns = compared.columns.iter().map(sets).collect();
            let is_match = object.match_attribute.is_some();
            rows.insert((claim, index), ConstraintRow { is_match, columns });
        }
        rows
    }

    /// Numbers for devices such that devices with one number can be exchanged for each other.
    fn classes(&self) -> Vec<usize> {
        let model = self.model;
        let latest = model.question.profile.distinct_memory == DistinctMemory::LatestOfRequest;
        // The order of devices matters where a constraint forgets, or treats the first device differently.
        let ordered = self.constraints.values().any(|row| {
            let incomparable = |value: &Option<BTreeSet<_>>| value.as_ref().is_some_and(BTreeSet::is_empty);
            !row.is_match && (latest || row.columns.iter().flatten().any(incomparable))
        });
        let mut values: FxHashMap<&Option<BTreeSet<AttributeValue>>, usize> = FxHashMap::default();
        let mut amounts: FxHashMap<Vec<Quantity>, usize> = FxHashMap::default();
        let mut groups: FxHashMap<(usize, Vec<Vec<&str>>), usize> = FxHashMap::default();
        let mut classes: FxHashMap<Vec<usize>, usize> = FxHashMap::default();
        let mut found = Vec::with_capacity(model.devices.len());
        for (place, device) in model.devices.iter().enumerate() {
            if ordered {
                found.push(place);
                continue;
            }
            let mut key = vec![usize::from(device.shareable), usize::from(device.paid)];
            for demand in &self.demands {
                for ask in model.demands.get(*demand).map(|row| row.asks.clone()).into_iter().flatten() {
                    let wanted = match model.asks.get(ask).map(|row| &row.need) {
                        Some(Need::All(all)) => all.contains(&place),
                        _ => false,
                    };
                    let usable = self.usable.get(ask).is_some_and(|row| row.contains(place));
                    key.push(usize::from(usable) + 2 * usize::from(wanted));
                }
            }
            for column in self.constraints.values().flat_map(|row| &row.columns) {
                if let Some(value) = column.get(place) {
                    let next = values.len();
                    key.push(*values.entry(value).or_insert(next));
                }
            }
            let mut any_counter = false;
            for (number, row) in model.counters.iter().enumerate() {
                if row.pool == device.pool && self.respected.contains(row.fact) {
                    any_counter = true;
                    let own = device.counters.iter().find(|(counter, _)| *counter == number);
                    let amount = own.map(|(_, amount)| vec![amount.clone()]).unwrap_or_default();
                    let next = amounts.len();
                    key.push(*amounts.entry(amount).or_insert(next));
                }
            }
            key.push(if any_counter { device.pool + 1 } else { 0 });
            key.push(usize::from(any_counter && device.takes_counters));
            let mut drawn: Vec<Vec<&str>> = Vec::new();
            for row in model.groups.iter().filter(|row| self.respected.contains(row.fact)) {
                if row.pool == device.pool {
                    drawn.extend(
                        draws_on(device.reached.device, row.set).map(|own| own.into_iter().collect()),
                    );
                    drawn.push(vec![row.set]);
                }
            }
            let next = groups.len();
            key.push(*groups.entry((device.pool, drawn)).or_insert(next));
            for name in &self.capacities {
                let next = amounts.len();
                key.push(*amounts.entry(self.capacity_profile(place, name)).or_insert(next));
            }
            let next = classes.len();
            found.push(*classes.entry(key).or_insert(next));
        }
        found
    }

    /// Everything that decides how often a capacity of a device suffices.
    fn capacity_profile(&self, device: usize, name: &str) -> Vec<Quantity> {
        let Some(device) = self.model.devices.get(device) else { return Vec::new() };
        let Some(capacity) = device.reached.device.capacity.get(name) else { return Vec::new() };
        let held = self.model.question.state.consumed_capacity(&device.id).and_then(|held| held.get(name));
        let mut profile = vec![capacity.value.clone(), held.cloned().unwrap_or_default()];
        profile
            .extend(self.model.asks.iter().map(|row| taken(self.model.question, &row.ask, name, capacity)));
        profile
    }

    fn step(&mut self) -> Result<(), OutOfSteps> {
        *self.left = self.left.checked_sub(1).ok_or(OutOfSteps)?;
        Ok(())
    }

    /// Serves the demand at a place and all after it.
    fn demand(&mut self, place: usize) -> Result<bool, OutOfSteps> {
        let Some(&demand) = self.demands.get(place) else { return Ok(true) };
        self.step()?;
        if !self.enough_left(place) {
            return Ok(false);
        }
        let state = (place, self.state());
        if self.failed.contains(&state) {
            return Ok(false);
        }
        let forms = self.model.demands.get(demand).map(|row| row.asks.clone()).unwrap_or_default();
        for ask in forms {
            match self.need(demand, ask) {
                Need::Count(count) => {
                    let groups = self.groups(ask);
                    if self.take_from(&groups, ask, count, place)? {
                        return Ok(true);
                    }
                }
                Need::All(devices) => {
                    let before = self.chosen.len();
                    let all = devices.iter().all(|device| self.take(ask, *device));
                    if all && self.demand(place + 1)? {
                        return Ok(true);
                    }
                    self.undo(before);
                }
            }
        }
        if self.failed.len() < 100_000 {
            self.failed.insert(state);
        }
        Ok(false)
    }

    fn need(&self, demand: usize, ask: usize) -> Need {
        if let Some(other) = self.other.iter().find(|other| other.demand == demand) {
            return Need::Count(other.count);
        }
        match self.model.asks.get(ask).map(|row| &row.need) {
            Some(Need::All(all)) if all.is_empty() => Need::Count(1),
            Some(need) => need.clone(),
            None => Need::Count(0),
        }
    }

    /// What earlier demands leave behind, as far as it matters.
    fn state(&self) -> State {
        let devices: BTreeSet<usize> = self.chosen.iter().map(|taken| taken.device).collect();
        let mut state: State = devices
            .into_iter()
            .filter_map(|device| Some((*self.class.get(device)?, self.users.get(device)?.clone())))
            .collect();
        state.sort_unstable();
        state
    }

    /// Whether there are as many devices as the demands from a place on need, other rules aside.
    fn enough_left(&self, place: usize) -> bool {
        let mut union = FixedBitSet::with_capacity(self.model.devices.len());
        let mut sum = 0_usize;
        let mut countable = self.once;
        for &demand in self.demands.get(place..).unwrap_or_default() {
            let Some(row) = self.model.demands.get(demand) else { continue };
            let mut least = usize::MAX;
            for ask in row.asks.clone() {
                let (count, wanted) = match self.need(demand, ask) {
                    Need::Count(count) => (count, None),
                    Need::All(all) => (all.len(), Some(all)),
                };
                let mut free = 0;
                for device in self.usable.get(ask).map(FixedBitSet::ones).into_iter().flatten() {
                    if !self.blocked(ask, device) {
                        free += 1;
                        union.insert(device);
                        countable &= self.model.devices.get(device).is_some_and(|one| !one.shareable);
                    }
                }
                let blocked = |all: Vec<usize>| {
                    all.iter().any(|device| {
                        self.blocked(ask, *device)
                            || !self.usable.get(ask).is_some_and(|row| row.contains(*device))
                    })
                };
                if free >= count && !wanted.is_some_and(blocked) {
                    least = least.min(count);
                }
                countable &= self.model.asks.get(ask).is_some_and(|row| !row.ask.is_admin());
            }
            if least == usize::MAX {
                return false;
            }
            sum = sum.saturating_add(least);
        }
        !countable || sum <= union.count_ones(..)
    }

    /// Devices that can be exchanged for each other, with those that may serve the form.
    fn groups(&self, ask: usize) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<(usize, &[usize]), Vec<usize>> = BTreeMap::new();
        for device in self.usable.get(ask).map(FixedBitSet::ones).into_iter().flatten() {
            if let (false, Some(class), Some(users)) =
                (self.blocked(ask, device), self.class.get(device), self.users.get(device))
            {
                groups.entry((*class, users)).or_default().push(device);
            }
        }
        groups.into_values().collect()
    }

    /// Takes `count` devices from the groups, then serves the demands after `place`.
    fn take_from(
        &mut self,
        groups: &[Vec<usize>],
        ask: usize,
        count: usize,
        place: usize,
    ) -> Result<bool, OutOfSteps> {
        if count == 0 {
            return self.demand(place + 1);
        }
        self.step()?;
        let Some((group, rest)) = groups.split_first() else { return Ok(false) };
        let before = self.chosen.len();
        let most = group.iter().take(count).take_while(|device| self.take(ask, **device)).count();
        let later: usize = rest.iter().map(Vec::len).sum();
        for number in (0..=most).rev() {
            self.undo(before + number);
            if later + number < count {
                break;
            }
            if self.take_from(rest, ask, count - number, place)? {
                return Ok(true);
            }
        }
        self.undo(before);
        Ok(false)
    }

    /// Whether another request of the question keeps the device from this one.
    fn blocked(&self, ask: usize, device: usize) -> bool {
        let (Some(row), Some(users)) = (self.model.asks.get(ask), self.users.get(device)) else {
            return true;
        };
        let shareable = self.model.devices.get(device).is_some_and(|device| device.shareable);
        let claim_of = |user: usize| self.model.asks.get(user).map(|user| user.claim);
        self.once
            && !shareable
            && users.iter().any(|user| !row.ask.is_admin() || claim_of(*user) == Some(row.claim))
    }

    /// Adds a device if the rules about several devices allow it.
    fn take(&mut self, ask: usize, device: usize) -> bool {
        let usable = self.usable.get(ask).is_some_and(|row| row.contains(device));
        if !usable || self.blocked(ask, device) {
            return false;
        }
        let Some(row) = self.model.asks.get(ask) else { return false };
        let of_claim =
            |taken: &&Taken| self.model.asks.get(taken.ask).map(|row| row.claim) == Some(row.claim);
        if self.limited.get(row.claim) == Some(&true)
            && self.chosen.iter().filter(of_claim).count() >= CLAIM_LIMIT
        {
            return false;
        }
        if !row.constraints.iter().all(|index| self.constraint_allows(ask, device, row.claim, *index)) {
            return false;
        }
        self.chosen.push(Taken { ask, device });
        let allowed = self.counters_suffice(device)
            && self.groups_go_together(device)
            && self.capacity_suffices(device);
        if allowed {
            if let Some(users) = self.users.get_mut(device) {
                users.push(ask);
            }
        } else {
            self.chosen.pop();
        }
        allowed
    }

    fn undo(&mut self, length: usize) {
        while self.chosen.len() > length {
            if let Some(taken) = self.chosen.pop()
                && let Some(users) = self.users.get_mut(taken.device)
            {
                users.pop();
            }
        }
    }

    fn constraint_allows(&self, ask: usize, device: usize, claim: usize, index: usize) -> bool {
        let Some(row) = self.constraints.get(&(claim, index)) else { return true };
        let column_of = self.model.compared.get(&(claim, index)).map(|compared| &compared.column_of);
        let value =
            |ask: usize, device: usize| row.columns.get(*column_of?.get(&ask)?)?.get(device)?.as_ref();
        let Some(own) = value(ask, device) else { return false };
        let lists = self.model.question.features.list_type_attributes;
        let covered = self.chosen.iter().filter_map(|taken| {
            let other = self.model.asks.get(taken.ask)?;
            let values = value(taken.ask, taken.device)?;
            let demand = other.demand;
            (other.claim == claim && other.constraints.contains(&index)).then_some((demand, values))
        });
        let covered: Vec<(usize, &BTreeSet<AttributeValue>)> = covered.collect();
        if covered.is_empty() {
            // Without lists the first device is taken whatever its value is.
            return !row.is_match || !lists || !own.is_empty();
        }
        if own.is_empty() {
            return false;
        }
        if row.is_match {
            let mut common = own.clone();
            for (_, values) in covered {
                common.retain(|value| values.contains(value));
            }
            return !common.is_empty();
        }
        let latest = self.model.question.profile.distinct_memory == DistinctMemory::LatestOfRequest;
        let mut remembered: BTreeMap<usize, &BTreeSet<AttributeValue>> = BTreeMap::new();
        for (number, (demand, values)) in covered.iter().enumerate() {
            remembered.insert(if latest { *demand } else { number }, values);
        }
        remembered.values().all(|values| own.is_disjoint(values))
    }

    /// Whether the device at the end of the list has its counters.
    fn counters_suffice(&self, device: usize) -> bool {
        let Some(object) = self.model.devices.get(device) else { return false };
        if !object.takes_counters || !self.model.question.features.partitionable_devices {
            return true;
        }
        let earlier = self.chosen.split_last().map(|(_, earlier)| earlier).unwrap_or_default();
        if !self.pays(earlier, device) {
            return true;
        }
        self.model.counters.iter().enumerate().all(|(number, row)| {
            if row.pool != object.pool || !self.respected.contains(row.fact) {
                return true;
            }
            let mut total = Some(row.held.clone());
            for (place, taken) in self.chosen.iter().enumerate() {
                let before = self.chosen.get(..place).unwrap_or_default();
                let Some(device) = self.model.devices.get(taken.device) else { continue };
                if let Some((_, amount)) = device.counters.iter().find(|(counter, _)| *counter == number)
                    && self.pays(before, taken.device)
                {
                    total = total.and_then(|total| total.checked_add(amount));
                }
            }
            total.is_some_and(|total| total <= *row.total)
        })
    }

    /// Whether the device at the end of the list may draw on its counter sets beside the others.
    fn groups_go_together(&self, device: usize) -> bool {
        let Some(object) = self.model.devices.get(device) else { return false };
        let earlier = self.chosen.split_last().map(|(_, earlier)| earlier).unwrap_or_default();
        if !object.takes_counters || !self.pays(earlier, device) {
            return true;
        }
        self.model.groups.iter().filter(|row| row.pool == object.pool).all(|row| {
            let drawing = self.chosen.iter().enumerate().filter_map(|(place, taken)| {
                let other = self.model.devices.get(taken.device)?;
                let before = self.chosen.get(..place)?;
                (other.pool == row.pool && self.pays(before, taken.device)).then_some(other.reached.device)
            });
            !self.respected.contains(row.fact) || go_together(row, drawing)
        })
    }

    /// Whether taking the device after those takes its counters: a further share does not.
    fn pays(&self, before: &[Taken], device: usize) -> bool {
        self.model.devices.get(device).is_some_and(|object| {
            let shared = object.shareable && before.iter().any(|taken| taken.device == device);
            !object.paid && !shared
        })
    }

    /// Whether the device at the end of the list has its capacities.
    fn capacity_suffices(&self, device: usize) -> bool {
        let question = self.model.question;
        let Some(object) = self.model.devices.get(device) else { return false };
        if !question.features.consumable_capacity {
            return true;
        }
        let held = question.state.consumed_capacity(&object.id);
        object.reached.device.capacity.iter().all(|(name, capacity)| {
            if !self.capacities.contains(name.as_str()) {
                return true;
            }
            let mut total = Some(held.and_then(|held| held.get(name)).cloned().unwrap_or_default());
            let mut shares = self.chosen.iter().filter(|taken| taken.device == device).rev();
            // The books of a device that cannot be shared know of no other request's amount.
            let counted = if object.shareable { usize::MAX } else { 1 };
            for taken_by in shares.by_ref().take(counted) {
                if let Some(row) = self.model.asks.get(taken_by.ask) {
                    let amount = taken(self.model.question, &row.ask, name, capacity);
                    total = total.and_then(|total| total.checked_add(&amount));
                }
            }
            total.is_some_and(|total| total <= capacity.value)
        })
    }
}
