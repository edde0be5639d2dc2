//! Tries devices, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{AttributeValue, Quantity};
use crate::profile::DistinctMemory;
use crate::verify::books::{counters_are_paid, taken};
use crate::verify::claim::{compared_attribute, values};
use crate::verify::groups::Common;

use super::world::{Restriction, World};

/// The steps ran out.
#[derive(Debug)]
pub(super) struct OutOfSteps;

/// A form and a device, by their numbers.
type Pick = (usize, usize);

const MOST_DEVICES: usize = 32;

/// A solution under the restriction, if there is one. `other` is another number of devices for a form.
pub(super) fn feasible(
    world: &World<'_, '_>,
    restriction: &Restriction,
    other: Option<(usize, usize)>,
    steps: u64,
) -> Result<Option<Vec<Pick>>, OutOfSteps> {
    let demands = restriction.demands.iter().copied().collect();
    let mut trial = Trial { world, restriction, other, demands, twins: Vec::new(), picks: Vec::new(), steps };
    trial.twins = trial.twins();
    Ok(trial.request(0)?.then_some(trial.picks))
}

struct Trial<'t, 'q, 'a> {
    world: &'t World<'q, 'a>,
    restriction: &'t Restriction,
    other: Option<(usize, usize)>,
    demands: Vec<(usize, usize)>,
    /// By device: the first device that is like it in every respect the restriction knows.
    twins: Vec<usize>,
    picks: Vec<Pick>,
    steps: u64,
}

impl Trial<'_, '_, '_> {
    /// Serves the demands from one place on.
    fn request(&mut self, place: usize) -> Result<bool, OutOfSteps> {
        let Some(demand) = self.demands.get(place).copied() else { return Ok(true) };
        let later = self.demands.get(place..).unwrap_or_default();
        if !later.iter().all(|demand| self.forms(*demand).iter().any(|form| self.has_enough(*form))) {
            return Ok(false);
        }
        for form in self.forms(demand) {
            let before = self.picks.len();
            let served = match self.wanted(form) {
                Wanted::Number(number) => self.slots(form, number, 0, place)?,
                Wanted::These(devices) => {
                    let all = devices.iter().all(|device| {
                        let allowed = self.allows(form, *device);
                        self.picks.push((form, *device));
                        allowed
                    });
                    all && self.request(place + 1)?
                }
            };
            if served {
                return Ok(true);
            }
            self.picks.truncate(before);
        }
        Ok(false)
    }

    fn forms(&self, (claim, request): (usize, usize)) -> Vec<usize> {
        let forms = self.world.forms.iter().enumerate();
        let own = forms.filter(|(_, form)| form.claim == claim && form.ask.request == request);
        own.map(|(number, _)| number).collect()
    }

    fn wanted(&self, form: usize) -> Wanted {
        match (self.other, self.world.forms.get(form).and_then(|form| form.all.as_ref())) {
            (Some((other, number)), _) if other == form => Wanted::Number(number),
            (_, Some(all)) if all.is_empty() => Wanted::Number(1),
            (_, Some(all)) => Wanted::These(all.iter().copied().collect()),
            (_, None) => Wanted::Number(self.world.count(form).unwrap_or(0)),
        }
    }

    /// Whether enough devices are left for a form, whatever else holds.
    fn has_enough(&self, form: usize) -> bool {
        match self.wanted(form) {
            Wanted::Number(number) => {
                let free = (0..self.world.devices.len()).filter(|device| self.is_free(form, *device));
                free.take(number).count() == number
            }
            Wanted::These(devices) => devices.iter().all(|device| self.is_free(form, *device)),
        }
    }

    /// Takes a number of devices from one place on, then serves the demands after `place`.
    fn slots(&mut self, form: usize, number: usize, from: usize, place: usize) -> Result<bool, OutOfSteps> {
        if number == 0 {
            return self.request(place + 1);
        }
        let all = self.world.devices.len();
        let mut free = (from..all).filter(|device| self.is_free(form, *device)).count();
        let mut tried = BTreeSet::new();
        for device in from..all {
            if !self.is_free(form, device) {
                continue;
            }
            if free < number {
                break;
            }
            free -= 1;
            self.steps = self.steps.checked_sub(1).ok_or(OutOfSteps)?;
            let unused = self.picks.iter().all(|(_, other)| *other != device);
            let twin = self.twins.get(device).copied().unwrap_or(device);
            // What failed with a device fails with one that is like it and as little in use.
            if unused && !tried.insert(twin) {
                continue;
            }
            if self.allows(form, device) {
                self.picks.push((form, device));
                if self.slots(form, number - 1, device + 1, place)? {
                    return Ok(true);
                }
                self.picks.pop();
            }
        }
        Ok(false)
    }

    /// Whether a device may serve a form, as far as the two are alone with those who have the device.
    fn is_free(&self, form: usize, device: usize) -> bool {
        !self.restriction.refused.contains(&(form, device)) && !self.is_marked(form, device)
    }

    fn is_marked(&self, form: usize, device: usize) -> bool {
        let Some(asking) = self.world.forms.get(form) else { return true };
        if !self.restriction.once.contains(&device) || self.world.is_shareable(device) {
            return false;
        }
        let mut users = self.picks.iter().filter(|(_, other)| *other == device);
        users.any(|(user, _)| {
            let same_claim = self.world.forms.get(*user).is_some_and(|user| user.claim == asking.claim);
            same_claim || !asking.ask.is_admin()
        })
    }

    /// Whether the restriction allows one more device.
    fn allows(&self, form: usize, device: usize) -> bool {
        let Some(asking) = self.world.forms.get(form) else { return false };
        if !self.is_free(form, device) {
            return false;
        }
        let claim = asking.claim;
        let of_claim = |pick: &&Pick| self.world.forms.get(pick.0).is_some_and(|form| form.claim == claim);
        if self.restriction.limits.contains(&claim)
            && self.picks.iter().filter(of_claim).count() == MOST_DEVICES
        {
            return false;
        }
        let constraints = self.restriction.constraints.iter().filter(|(of, _)| *of == claim);
        let mut picks = self.picks.clone();
        picks.push((form, device));
        constraints.clone().all(|(_, index)| self.constraint_holds(claim, *index, &picks))
            && self.counters_hold(&picks)
            && self.groups_hold(&picks)
            && self.capacities_hold(&picks, device)
    }

    /// Whether the last device goes with those before it.
    fn constraint_holds(&self, claim: usize, index: usize, picks: &[Pick]) -> bool {
        let question = self.world.question;
        let constraint = question.claims.get(claim).and_then(|claim| claim.constraints.get(index));
        let Some(constraint) = constraint else { return true };
        let lists = question.features.list_type_attributes;
        let name = constraint.match_attribute.as_ref().or(constraint.distinct_attribute.as_ref());
        let Some(name) = name else { return true };
        let mut seen: Vec<(usize, Option<BTreeSet<AttributeValue>>)> = Vec::new();
        let mut last_is_covered = false;
        for (form, device) in picks {
            let (Some(form), Some(device)) = (self.world.forms.get(*form), self.world.devices.get(*device))
            else {
                continue;
            };
            let requests = &constraint.requests;
            let covers = requests.is_empty()
                || requests.contains(&form.name.request)
                || requests.iter().any(|request| request == form.ask.base_name);
            last_is_covered = form.claim == claim && covers;
            if last_is_covered {
                let programs = &self.world.programs;
                let value = compared_attribute(question, programs, &form.ask, &device.reached, name);
                seen.push((form.ask.request, value.map(|value| values(&value, lists))));
            }
        }
        if !last_is_covered {
            return true;
        }
        let Some((last, before)) = seen.split_last() else { return true };
        let (request, Some(own)) = last else { return false };
        let _ = request;
        let others: Vec<(usize, &BTreeSet<AttributeValue>)> =
            before.iter().filter_map(|(request, value)| Some((*request, value.as_ref()?))).collect();
        let first_of_match_needs_value = lists && constraint.match_attribute.is_some();
        if own.is_empty() && (!others.is_empty() || first_of_match_needs_value) {
            return false;
        }
        if constraint.match_attribute.is_some() {
            let common = own.iter().any(|value| others.iter().all(|(_, other)| other.contains(value)));
            return common || others.is_empty();
        }
        let latest = question.profile.distinct_memory == DistinctMemory::LatestOfRequest;
        others.iter().enumerate().all(|(place, (request, other))| {
            let later = others.get(place + 1..).unwrap_or_default();
            let forgotten = latest && later.iter().any(|(next, _)| next == request);
            forgotten || own.is_disjoint(other)
        })
    }

    /// Whether a pick takes the counters of its device: a further share does not.
    fn pays(&self, picks: &[Pick], place: usize) -> bool {
        let Some((_, device)) = picks.get(place) else { return false };
        let Some(seen) = self.world.devices.get(*device) else { return false };
        let shared_before = counters_are_paid(self.world.question, &seen.id)
            || picks.get(..place).unwrap_or_default().iter().any(|(_, other)| other == device);
        let is_further_share = self.world.is_shareable(*device) && shared_before;
        !seen.reached.device.consumes_counters.is_empty() && !is_further_share
    }

    fn counters_hold(&self, picks: &[Pick]) -> bool {
        if !self.world.question.features.partitionable_devices || self.restriction.counters.is_empty() {
            return true;
        }
        let Some(last) = picks.len().checked_sub(1) else { return true };
        let pool_of = |place: usize| {
            let device = picks.get(place).and_then(|(_, device)| self.world.devices.get(*device));
            device.map(|device| device.pool)
        };
        if !self.pays(picks, last) {
            return true;
        }
        let counters = self.restriction.counters.iter().filter(|(pool, _, _)| Some(*pool) == pool_of(last));
        let mut counters = counters.map(|(pool, set, counter)| {
            let (total, held) = counter_amounts(self.world, *pool, set, counter)?;
            let mut sum = Some(held);
            for place in 0..picks.len() {
                let paying = pool_of(place) == Some(*pool) && self.pays(picks, place);
                let device = picks.get(place).and_then(|(_, device)| self.world.devices.get(*device));
                if let (true, Some(device)) = (paying, device) {
                    for amount in amounts_of(device.reached.device, set, counter) {
                        sum = sum.and_then(|sum| sum.checked_add(amount));
                    }
                }
            }
            Some(sum? <= total)
        });
        counters.all(|enough| enough == Some(true))
    }

    /// Whether the devices that draw on a counter set have a group in common, or none of them has any.
    fn groups_hold(&self, picks: &[Pick]) -> bool {
        let Some(last) = picks.len().checked_sub(1) else { return true };
        if self.restriction.groups.is_empty() || !self.pays(picks, last) {
            return true;
        }
        self.restriction.groups.iter().all(|(pool, set)| {
            let mut draws: Vec<BTreeSet<&str>> = Vec::new();
            for (place, (_, device)) in picks.iter().enumerate() {
                let Some(seen) = self.world.devices.get(*device).filter(|seen| seen.pool == *pool) else {
                    continue;
                };
                if self.pays(picks, place) {
                    let own = seen.reached.device.consumes_counters.iter();
                    let own = own.filter(|draw| draw.counter_set == *set);
                    draws.extend(
                        own.map(|draw| draw.compatibility_groups.iter().map(String::as_str).collect()),
                    );
                }
            }
            let Some(first) = draws.first() else { return true };
            let in_all = |group: &&&str| draws.iter().all(|draw| draw.contains(**group));
            let Some(pool) = self.world.pools.get(*pool) else { return false };
            let without_groups = || draws.iter().all(BTreeSet::is_empty);
            match self.world.held_groups.common(&pool.id, set) {
                Common::Anything if first.is_empty() => without_groups(),
                Common::Anything => first.iter().any(|group| in_all(&group)),
                Common::NoGroups => without_groups(),
                Common::Groups(common) => common.iter().any(|group| in_all(&group)),
            }
        })
    }

    fn capacities_hold(&self, picks: &[Pick], device: usize) -> bool {
        if !self.world.question.features.consumable_capacity {
            return true;
        }
        let Some(seen) = self.world.devices.get(device) else { return false };
        let held = self.world.question.state.consumed_capacity(&seen.id);
        let mut limited = seen.reached.device.capacity.iter();
        limited.all(|(name, capacity)| {
            if !self.restriction.capacities.contains(&(device, name.clone())) {
                return true;
            }
            let mut sum = held.and_then(|held| held.get(name)).cloned().or(Some(Quantity::ZERO));
            let shares = picks.iter().enumerate().filter(|(_, (_, other))| *other == device);
            for (place, (form, _)) in shares {
                let counts = self.world.is_shareable(device) || place + 1 == picks.len();
                if let (true, Some(form)) = (counts, self.world.forms.get(*form)) {
                    sum = sum.and_then(|sum| {
                        sum.checked_add(&taken(self.world.question, &form.ask, name, capacity))
                    });
                }
            }
            sum.is_some_and(|sum| sum <= capacity.value)
        })
    }

    /// For each device the first one that the restriction cannot tell from it.
    fn twins(&self) -> Vec<usize> {
        let all = 0..self.world.devices.len();
        let question = self.world.question;
        let object = |(claim, index): &(usize, usize)| question.claims.get(*claim)?.constraints.get(*index);
        let constraints: Vec<_> = self.restriction.constraints.iter().filter_map(object).collect();
        // Where a constraint forgets, or treats the first device in its own way, the order matters.
        let lists = question.features.list_type_attributes;
        let latest = question.profile.distinct_memory == DistinctMemory::LatestOfRequest;
        let ordered =
            constraints.iter().filter(|constraint| constraint.match_attribute.is_none()).any(|one| {
                let name = one.distinct_attribute.as_deref().unwrap_or_default();
                let programs = &self.world.programs;
                latest
                    || self.world.devices.iter().any(|device| {
                        let mut forms = self.world.forms.iter();
                        forms.any(|form| {
                            compared_attribute(question, programs, &form.ask, &device.reached, name)
                                .is_some_and(|value| values(&value, lists).is_empty())
                        })
                    })
            });
        if ordered {
            return all.collect();
        }
        let mut firsts: BTreeMap<usize, usize> = BTreeMap::new();
        for device in all.clone() {
            let twin = firsts.values().copied().find(|first| self.alike(*first, device, &constraints));
            firsts.insert(device, twin.unwrap_or(device));
        }
        firsts.into_values().collect()
    }

    fn alike(&self, one: usize, two: usize, constraints: &[&crate::objects::DeviceConstraint]) -> bool {
        let (Some(left), Some(right)) = (self.world.devices.get(one), self.world.devices.get(two)) else {
            return false;
        };
        let Restriction { refused, once, capacities, .. } = self.restriction;
        let question = self.world.question;
        let forms = (0..self.world.forms.len()).zip(&self.world.forms);
        let same_use = forms.into_iter().all(|(number, form)| {
            refused.contains(&(number, one)) == refused.contains(&(number, two))
                && form.all.as_ref().is_none_or(|all| all.contains(&one) == all.contains(&two))
        });
        let (first, second) = (left.reached.device, right.reached.device);
        let same_values = constraints.iter().all(|constraint| {
            let name = constraint.match_attribute.as_ref().or(constraint.distinct_attribute.as_ref());
            let name = name.map(String::as_str).unwrap_or_default();
            let programs = &self.world.programs;
            self.world.forms.iter().all(|form| {
                compared_attribute(question, programs, &form.ask, &left.reached, name)
                    == compared_attribute(question, programs, &form.ask, &right.reached, name)
            })
        });
        let names = |device| capacities.iter().filter(move |(of, _)| *of == device).map(|(_, name)| name);
        let state = self.world.question.state;
        let no_capacity = names(one).next().is_none() && names(two).next().is_none();
        let no_counters = self.restriction.counters.is_empty() && self.restriction.groups.is_empty();
        same_use
            && same_values
            && once.contains(&one) == once.contains(&two)
            && self.world.is_shareable(one) == self.world.is_shareable(two)
            && (no_counters
                || (left.pool == right.pool
                    && first.consumes_counters == second.consumes_counters
                    && state.consumed_capacity(&left.id).is_some()
                        == state.consumed_capacity(&right.id).is_some()))
            && (no_capacity
                || (names(one).eq(names(two))
                    && first.capacity == second.capacity
                    && state.consumed_capacity(&left.id) == state.consumed_capacity(&right.id)))
    }
}

enum Wanted {
    Number(usize),
    These(Vec<usize>),
}

/// What a device takes from a counter.
pub(super) fn amounts_of<'d>(
    device: &'d crate::objects::Device,
    set: &str,
    counter: &str,
) -> impl Iterator<Item = &'d Quantity> {
    let of_set = device.consumes_counters.iter().filter(move |taken| taken.counter_set == set);
    of_set.filter_map(move |taken| taken.counters.get(counter))
}

/// All there is of a counter, and what devices that other claims hold take.
pub(super) fn counter_amounts(
    world: &World<'_, '_>,
    pool: usize,
    set: &str,
    counter: &str,
) -> Option<(Quantity, Quantity)> {
    let pool = world.pools.get(pool)?;
    let total = pool.counter_sets.get(set)?.counters.get(counter)?.clone();
    let mut held = Quantity::ZERO;
    let slices = pool.reachable.iter().chain(&pool.withheld).chain(&pool.elsewhere);
    for device in slices.filter(|slice| slice.shared_counters.is_empty()).flat_map(|slice| &slice.devices) {
        let id = crate::objects::DeviceId { pool: pool.id.clone(), device: device.name.clone() };
        if world.question.state.is_allocated(&id) {
            for amount in amounts_of(device, set, counter) {
                held = held.checked_add(amount).unwrap_or(held);
            }
        }
    }
    Some((total, held))
}
