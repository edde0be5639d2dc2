//! One device after the other: what speaks against it, given what is chosen already.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{
    AllocationMode, AllocationResult, AttributeValue, DeviceConstraint, DeviceId, DeviceTaint, Quantity,
};
use crate::profile::DistinctMemory;
use crate::verify::Question;
use crate::verify::books::{allowed, counters_are_paid, skips_operations, taken};
use crate::verify::claim::{Ask, asks, compared_attribute, values};
use crate::verify::groups::Groups;
use crate::verify::programs::Programs;
use crate::verify::reach::{Pool, Reached, device_selects_node};

use super::refusal::{Amounts, Holder, Refusal, SelectorSource};
use super::{Attempt, Needed, Refused};

const RESULTS_LIMIT: usize = 32;

/// What is chosen, and what follows for one more device.
pub(super) struct Context<'c, 'a> {
    question: &'c Question<'a>,
    pools: &'c [Pool<'a>],
    reached: &'c BTreeMap<DeviceId, Reached<'a>>,
    programs: &'c Programs,
    /// The claim that fails.
    claim: usize,
    chosen: Vec<Chosen<'a>>,
}

/// A device that is chosen, or that is tried to be.
#[derive(Clone)]
struct Chosen<'a> {
    claim: usize,
    ask: Ask<'a>,
    id: DeviceId,
    reached: Reached<'a>,
    shareable: bool,
    /// Whether it takes its counters; further shares of a device do not.
    charged: bool,
}

impl<'c, 'a> Context<'c, 'a> {
    pub(super) fn new(
        question: &'c Question<'a>,
        pools: &'c [Pool<'a>],
        reached: &'c BTreeMap<DeviceId, Reached<'a>>,
        programs: &'c Programs,
        claim: usize,
        solution: Option<&[AllocationResult]>,
    ) -> Self {
        let mut context = Self { question, pools, reached, programs, claim, chosen: Vec::new() };
        for (index, result) in solution.unwrap_or_default().iter().enumerate() {
            let Some(claim) = question.claims.get(index) else { continue };
            for device in &result.results {
                let mut forms = (0..claim.requests.len()).flat_map(|request| asks(claim, request));
                let ask = forms.find(|ask| ask.result_name() == device.request);
                let id = device.device_id();
                if let (Some(ask), Some(reached)) = (ask, reached.get(&id)) {
                    let chosen = context.choice(index, ask, id, *reached);
                    context.chosen.push(chosen);
                }
            }
        }
        context
    }

    fn choice(&self, claim: usize, ask: Ask<'a>, id: DeviceId, reached: Reached<'a>) -> Chosen<'a> {
        let shareable = self.question.features.consumable_capacity
            && reached.device.allow_multiple_allocations == Some(true);
        let shared = counters_are_paid(self.question, &id)
            || self.chosen.iter().any(|chosen| chosen.shareable && chosen.id == id);
        Chosen { claim, ask, id, reached, shareable, charged: !(shareable && shared) }
    }

    /// What became of all devices for one form of the failing request.
    pub(super) fn attempt(mut self, ask: &Ask<'a>) -> Attempt {
        let all = *ask.mode == AllocationMode::All;
        let mut usable: Vec<DeviceId> = Vec::new();
        for chosen in &self.chosen {
            if chosen.claim == self.claim && chosen.ask.result_name() == ask.result_name() {
                usable.push(chosen.id.clone());
            }
        }
        let mut devices: Vec<_> = self.reached.iter().filter(|(id, _)| !usable.contains(id)).collect();
        devices.sort_by_key(|(_, reached)| reached.position);
        let mut refused = Vec::new();
        let mut matching = 0;
        for (id, reached) in devices {
            let refusal = match self.fixed_refusal(ask, reached) {
                None => {
                    matching += 1;
                    self.refusal(ask, id, reached)
                }
                some => some,
            };
            match refusal {
                // A request for all takes what it can get, one after the other.
                None if all => {
                    let chosen = self.choice(self.claim, *ask, id.clone(), *reached);
                    self.chosen.push(chosen);
                    usable.push(id.clone());
                }
                None => refused.push(Refused { device: id.clone(), refusal: Refusal::Combination }),
                Some(refusal) => refused.push(Refused { device: id.clone(), refusal }),
            }
        }
        let needed = if all {
            Needed::All { matching }
        } else {
            Needed::Count(usize::try_from(ask.count).unwrap_or(0))
        };
        Attempt { request: ask.result_name(), needed, usable, refused }
    }

    /// What does not depend on who has what.
    fn fixed_refusal(&self, ask: &Ask<'_>, reached: &Reached<'_>) -> Option<Refusal> {
        let device = reached.device;
        let binding = device.binding_conditions.as_ref().is_some_and(|conditions| !conditions.is_empty());
        if binding && !self.question.features.device_binding_and_status {
            return Some(Refusal::GateOff { gate: "DRADeviceBindingConditions" });
        }
        if !skips_operations(self.question, reached) {
            return Some(Refusal::NodeOperations);
        }
        let class = self.question.classes.iter().find(|class| class.name == ask.class);
        let of_class = class.map(|class| class.selectors.as_slice()).unwrap_or_default();
        let of_request = ask.selectors;
        for (source, selectors) in [(SelectorSource::Class, of_class), (SelectorSource::Request, of_request)]
        {
            for (index, selector) in selectors.iter().enumerate() {
                let verdict = self.programs.matches(selector, reached);
                if verdict != Some(true) {
                    let expression = selector.cel.clone().unwrap_or_default();
                    return Some(Refusal::Selector { source, index, expression, failed: verdict.is_none() });
                }
            }
        }
        (device_selects_node(reached, self.question.node) != Some(true)).then_some(Refusal::NodeSelection)
    }

    /// What speaks against one more device now.
    fn refusal(&self, ask: &Ask<'a>, id: &DeviceId, reached: &Reached<'a>) -> Option<Refusal> {
        let candidate = self.choice(self.claim, *ask, id.clone(), *reached);
        let of_claim = self.chosen.iter().filter(|chosen| chosen.claim == self.claim).count();
        self.in_use(&candidate)
            .or_else(|| self.capacity(&candidate))
            .or_else(|| self.groups(&candidate))
            .or_else(|| self.counters(&candidate))
            .or_else(|| self.taint(&candidate))
            .or_else(|| self.constraint(&candidate))
            .or_else(|| (of_claim >= RESULTS_LIMIT).then_some(Refusal::Limit))
    }

    /// Whether the device does not go with the others on a counter set.
    fn groups(&self, candidate: &Chosen<'a>) -> Option<Refusal> {
        if !self.question.features.compatibility_groups || !candidate.charged {
            return None;
        }
        let mut groups = Groups::new(self.question, self.pools);
        for chosen in self.chosen.iter().filter(|chosen| chosen.charged) {
            groups.draw(&chosen.id.pool, chosen.reached.device);
        }
        let clash = groups.draw(&candidate.id.pool, candidate.reached.device);
        clash.map(|counter_set| Refusal::Groups { counter_set: counter_set.to_owned() })
    }

    fn in_use(&self, candidate: &Chosen<'a>) -> Option<Refusal> {
        let admin = candidate.ask.is_admin();
        let holder = self.chosen.iter().find(|chosen| {
            let blocks = !chosen.shareable && (!admin || chosen.claim == candidate.claim);
            // A request does not get one device twice, shareable or not.
            let again = chosen.claim == candidate.claim && chosen.ask.request == candidate.ask.request;
            chosen.id == candidate.id && (blocks || again)
        });
        if let Some(chosen) = holder {
            let claim = self.question.claims.get(chosen.claim).map(|claim| claim.full_name());
            let request = chosen.ask.result_name();
            return Some(Refusal::InUse {
                by: Holder::Request { claim: claim.unwrap_or_default(), request },
            });
        }
        let held = !admin && self.question.state.holds_device(&candidate.id);
        held.then_some(Refusal::InUse { by: Holder::OtherClaim })
    }

    fn capacity(&self, candidate: &Chosen<'a>) -> Option<Refusal> {
        if !self.question.features.consumable_capacity {
            return None;
        }
        let (ask, device) = (&candidate.ask, candidate.reached.device);
        let mut requested = ask.capacity.into_iter().flat_map(BTreeMap::keys);
        if let Some(missing) = requested.find(|name| !device.capacity.contains_key(*name)) {
            return Some(Refusal::CapacityMissing { capacity: missing.clone() });
        }
        for (name, capacity) in &device.capacity {
            let needed = taken(self.question, ask, name, capacity);
            if !allowed(self.question, &needed, capacity) {
                return Some(Refusal::CapacityPolicy { capacity: name.clone(), amount: needed });
            }
            let held = self.question.state.consumed_capacity(&candidate.id).and_then(|held| held.get(name));
            let shares = self.chosen.iter().filter(|chosen| chosen.shareable && chosen.id == candidate.id);
            let shares: Vec<Quantity> =
                shares.map(|share| taken(self.question, &share.ask, name, capacity)).collect();
            let available = minus(capacity.value.clone(), held.into_iter().chain(&shares));
            if needed > available {
                let amounts = Amounts { needed, available };
                return Some(Refusal::Capacity { capacity: name.clone(), amounts });
            }
        }
        None
    }

    fn counters(&self, candidate: &Chosen<'a>) -> Option<Refusal> {
        let device = candidate.reached.device;
        if device.consumes_counters.is_empty() || !candidate.charged {
            return None;
        }
        if !self.question.features.partitionable_devices {
            return Some(Refusal::GateOff { gate: "DRAPartitionableDevices" });
        }
        let pool = self.pools.iter().find(|pool| pool.id == candidate.id.pool)?;
        let mut short = Vec::new();
        for (set_name, set) in &pool.counter_sets {
            for (counter, full) in &set.counters {
                let consumed = |chosen: &Reached<'a>| {
                    let of_set =
                        chosen.device.consumes_counters.iter().filter(|of| of.counter_set == *set_name);
                    of_set.filter_map(|of| of.counters.get(counter)).collect::<Vec<&'a Quantity>>()
                };
                let held = self
                    .reached
                    .iter()
                    .filter(|(id, _)| id.pool == pool.id && self.question.state.is_allocated(id));
                let elsewhere = pool.elsewhere.iter().flat_map(|slice| {
                    slice.devices.iter().map(|device| Reached { position: 0, slice, device })
                });
                let elsewhere = elsewhere.filter(|reached| {
                    let id = DeviceId { pool: pool.id.clone(), device: reached.device.name.clone() };
                    self.question.state.is_allocated(&id)
                });
                let chosen = self.chosen.iter().filter(|chosen| chosen.charged && chosen.id.pool == pool.id);
                let chosen = chosen.map(|chosen| chosen.reached);
                let others: Vec<&Quantity> = held
                    .map(|(_, reached)| *reached)
                    .chain(elsewhere)
                    .chain(chosen)
                    .flat_map(|r| consumed(&r))
                    .collect();
                let available = minus(full.clone(), others);
                let own = consumed(&candidate.reached);
                let needs = !own.is_empty();
                let needed =
                    own.into_iter().fold(Quantity::ZERO, |sum, more| sum.checked_add(more).unwrap_or(sum));
                if needed > available {
                    let amounts = Amounts { needed, available };
                    let (counter_set, counter) = ((*set_name).to_owned(), counter.clone());
                    short.push((needs, Refusal::Counters { counter_set, counter, amounts }));
                }
            }
        }
        // A counter that the device consumes says more than one that is overdrawn anyway.
        let own = short.iter().position(|(needs, _)| *needs).unwrap_or(0);
        (!short.is_empty()).then(|| short.swap_remove(own).1)
    }

    fn taint(&self, candidate: &Chosen<'a>) -> Option<Refusal> {
        if !self.question.features.device_taints {
            return None;
        }
        let tolerations = candidate.ask.tolerations;
        let refusing = crate::taints::untolerated(
            &candidate.reached.device.taints,
            tolerations,
            self.question.profile.taint_effects,
        )?;
        let DeviceTaint { key, value, effect } = refusing;
        let taint =
            if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") };
        Some(Refusal::Taint { taint })
    }

    fn constraint(&self, candidate: &Chosen<'a>) -> Option<Refusal> {
        let claim = self.question.claims.get(self.claim)?;
        let mut constraints = claim.constraints.iter().enumerate();
        constraints.find_map(|(index, constraint)| self.one_constraint(candidate, index, constraint))
    }

    fn one_constraint(
        &self,
        candidate: &Chosen<'a>,
        index: usize,
        constraint: &DeviceConstraint,
    ) -> Option<Refusal> {
        let is_match = constraint.match_attribute.is_some();
        let attribute = constraint.match_attribute.as_ref().or(constraint.distinct_attribute.as_ref())?;
        let covers = |ask: &Ask<'_>| {
            let named = |name: &String| name == ask.base_name || *name == ask.result_name();
            constraint.requests.is_empty() || constraint.requests.iter().any(named)
        };
        if !covers(&candidate.ask) {
            return None;
        }
        let refusal = |value: Option<&AttributeValue>, other: Option<(DeviceId, AttributeValue)>| {
            Some(Refusal::Constraint {
                index,
                is_match,
                attribute: attribute.clone(),
                value: value.cloned(),
                other,
            })
        };
        let compared = |chosen: &Chosen<'a>| {
            compared_attribute(self.question, self.programs, &chosen.ask, &chosen.reached, attribute)
        };
        let Some(own) = compared(candidate) else { return refusal(None, None) };
        let own = own.as_ref();
        let lists = self.question.features.list_type_attributes;
        let own_values = values(own, lists);
        let mut others: Vec<(&Chosen<'a>, Cow<'a, AttributeValue>)> = Vec::new();
        for chosen in self.chosen.iter().filter(|chosen| chosen.claim == self.claim && covers(&chosen.ask)) {
            others.extend(compared(chosen).map(|value| (chosen, value)));
        }
        if own_values.is_empty() && (lists || !others.is_empty()) {
            return refusal(Some(own), None);
        }
        let name = |(chosen, value): &(&Chosen<'a>, Cow<'a, AttributeValue>)| {
            (chosen.id.clone(), value.as_ref().clone())
        };
        if is_match {
            let mut common: BTreeSet<AttributeValue> = own_values;
            for other in &others {
                common = common.intersection(&values(other.1.as_ref(), lists)).cloned().collect();
                if common.is_empty() {
                    return refusal(Some(own), Some(name(other)));
                }
            }
            return None;
        }
        let latest_only = self.question.profile.distinct_memory == DistinctMemory::LatestOfRequest;
        let clash = others.iter().enumerate().find(|(place, other)| {
            let later = others.iter().skip(place + 1);
            let latest =
                later.map(|(chosen, _)| chosen.ask.request).all(|request| request != other.0.ask.request);
            (latest || !latest_only) && !values(other.1.as_ref(), lists).is_disjoint(&own_values)
        });
        clash.and_then(|(_, other)| refusal(Some(own), Some(name(other))))
    }
}

fn minus<'q>(from: Quantity, amounts: impl IntoIterator<Item = &'q Quantity>) -> Quantity {
    amounts.into_iter().fold(from, |left, amount| left.checked_sub(amount).unwrap_or(left))
}
