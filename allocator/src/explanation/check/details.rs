//! What facts say about the list they stand in: which devices are left, and what the least of them needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::explanation::fact::{ConstraintFact, CounterFact, Fact, GroupsFact, RequestName};
use crate::objects::{AttributeValue, Quantity};
use crate::verify::books::{counters_are_paid, taken};
use crate::verify::claim::compared_attribute;

use super::assignments::amounts_of;
use super::world::{OneForm, Restriction, Seen, World};

/// Whether the details of a fact are right.
pub(super) fn check(world: &World<'_, '_>, whole: &Restriction, fact: &Fact) -> Result<(), String> {
    let right = match fact {
        Fact::Constraint(constraint) => constraint_values(world, whole, constraint),
        Fact::Counter(counter) => counter_least(world, whole, counter),
        Fact::Groups(groups) => usable_groups(world, whole, groups),
        Fact::Capacity { capacity, devices, needed } => {
            let numbers: Vec<usize> = devices.iter().filter_map(|left| world.device(&left.device)).collect();
            capacity_needed(world, whole, capacity, &numbers) == *needed
        }
        _ => true,
    };
    if right { Ok(()) } else { Err("its details are wrong".to_owned()) }
}

/// The forms of respected demands, with their numbers.
fn forms<'w, 'a>(
    world: &'w World<'_, 'a>,
    whole: &'w Restriction,
) -> impl Iterator<Item = (usize, &'w OneForm<'a>)> {
    let forms = world.forms.iter().enumerate();
    forms.filter(|(_, form)| whole.demands.contains(&(form.claim, form.ask.request)))
}

fn constraint_values(world: &World<'_, '_>, whole: &Restriction, fact: &ConstraintFact) -> bool {
    let claims = world.question.claims.iter();
    let mut claims = claims.enumerate().filter(|(_, claim)| claim.full_name() == fact.claim);
    let Some((claim, object)) = claims.next() else { return false };
    let Some(constraint) = object.constraints.get(fact.index) else { return false };
    let covered = |form: &OneForm<'_>| {
        let names = &constraint.requests;
        form.claim == claim
            && (names.is_empty()
                || names.iter().any(|name| name == form.ask.base_name || *name == form.name.request))
    };
    let mut values = BTreeMap::new();
    for (number, device) in world.devices.iter().enumerate() {
        let left = forms(world, whole).filter(|(_, form)| covered(form));
        let left = left.filter(|(form, _)| !whole.refused.contains(&(*form, number)));
        let seen: BTreeSet<Option<AttributeValue>> =
            left.map(|(_, form)| compared(world, form, device, &fact.attribute)).collect();
        for value in seen {
            *values.entry(value).or_insert(0_usize) += 1;
        }
    }
    let example = |(value, id): (&Option<AttributeValue>, &_)| {
        let device = world.device(id).and_then(|device| world.devices.get(device));
        device.is_some_and(|device| {
            let mut forms = forms(world, whole).filter(|(_, form)| covered(form));
            forms.any(|(_, form)| compared(world, form, device, &fact.attribute) == *value)
        })
    };
    values == fact.values && fact.examples.iter().all(example)
}

/// The attribute as a form of a request sees it.
fn compared(
    world: &World<'_, '_>,
    form: &OneForm<'_>,
    device: &Seen<'_>,
    attribute: &str,
) -> Option<AttributeValue> {
    let value = compared_attribute(world.question, &world.programs, &form.ask, &device.reached, attribute);
    value.map(std::borrow::Cow::into_owned)
}

fn usable_groups(world: &World<'_, '_>, whole: &Restriction, fact: &GroupsFact) -> bool {
    let mut found: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (number, device) in world.devices.iter().enumerate() {
        let in_pool = world.pools.get(device.pool).is_some_and(|pool| pool.id == fact.pool);
        let paid = world.is_shareable(number) && counters_are_paid(world.question, &device.id);
        let usable = forms(world, whole).any(|(form, _)| !whole.refused.contains(&(form, number)));
        let mut draws = device.reached.device.consumes_counters.iter();
        if let Some(draw) = draws.find(|draw| draw.counter_set == fact.counter_set)
            && in_pool
            && usable
            && !paid
        {
            let own: BTreeSet<&String> = draw.compatibility_groups.iter().collect();
            *found.entry(own.into_iter().cloned().collect()).or_default() += 1;
        }
    }
    found == fact.groups
}

fn counter_least(world: &World<'_, '_>, whole: &Restriction, fact: &CounterFact) -> bool {
    let mut least: Option<Quantity> = None;
    for (number, device) in world.devices.iter().enumerate() {
        let in_pool = world.pools.get(device.pool).is_some_and(|pool| pool.id == fact.pool);
        let paid = world.is_shareable(number) && counters_are_paid(world.question, &device.id);
        let usable = forms(world, whole).any(|(form, _)| !whole.refused.contains(&(form, number)));
        let mut amounts =
            amounts_of(device.reached.device, &fact.counter_set, &fact.counter).cloned().peekable();
        if in_pool && usable && !paid && amounts.peek().is_some() {
            let sum = amounts.fold(Quantity::ZERO, |sum, more| sum.checked_add(&more).unwrap_or(sum));
            least = Some(least.map_or(sum.clone(), |least| least.min(sum)));
        }
    }
    least == fact.least
}

/// The least amount for each request over the devices that are left for it.
fn capacity_needed(
    world: &World<'_, '_>,
    whole: &Restriction,
    capacity: &str,
    devices: &[usize],
) -> Vec<(RequestName, Quantity)> {
    let mut needed: Vec<(RequestName, Quantity)> = Vec::new();
    for device in devices {
        let Some(object) =
            world.devices.get(*device).and_then(|seen| seen.reached.device.capacity.get(capacity))
        else {
            continue;
        };
        for (form, asking) in forms(world, whole) {
            if whole.refused.contains(&(form, *device)) {
                continue;
            }
            let amount = taken(world.question, &asking.ask, capacity, object);
            match needed.iter_mut().find(|(name, _)| *name == asking.name) {
                Some((_, least)) if amount < *least => *least = amount,
                Some(_) => {}
                None => needed.push((asking.name.clone(), amount)),
            }
        }
    }
    needed
}
