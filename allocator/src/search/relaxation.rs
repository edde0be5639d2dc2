//! Easier versions of what is left of a problem. If one of them has no solution, the problem has none.
//!
//! What is left is a list of demands: so many devices for this request, so many for that. The easier problem keeps
//!
//! - that a device serves one request, unless it can be shared (a flow from classes of devices to requests);
//! - that the devices of a `matchAttribute` constraint have one value, for all combinations of values;
//! - that the devices of a `distinctAttribute` constraint have different values, where it compares requests of one
//!   device each;
//! - that each counter, and each of some sums of counters, covers the least that each request must take of it, and
//!   that counter sets have room for as many devices (see [`super::counter_sums`]);
//! - that shares have room together, in number and volume, where devices have one capacity (see
//!   [`super::share_sums`]);
//!
//! and forgets how these go together, and which alternative goes with which other.

use drayage_cel::Quantity;
use smallvec::SmallVec;

use crate::constraints::{AttributeClass, ConstraintKind, ConstraintState};
use crate::problem::Problem;

use super::candidate::Chosen;
use super::counter_sums::{CounterSums, sum_of_least};
use super::flow::{self, Demand};
use super::guide::Guide;
use super::share_sums::{ShareSums, Wanted};
use super::walk::Place;

/// How many combinations of attribute values are looked at before a problem counts as possible.
const MAX_COMBINATIONS: u32 = 256;

/// What is left of a problem at one place of the search.
pub(crate) struct Relaxation<'r> {
    guide: &'r Guide,
    problem: &'r Problem<'r>,
    demands: Vec<Remaining>,
    /// By class: how many devices are free.
    free: Vec<u32>,
    /// By class: how many devices the request at the place may still choose.
    ahead: Vec<u32>,
    /// By class: how many requests can be served, more than `free` where devices can be shared.
    supplies: Vec<u32>,
    /// Where the request at the place goes on.
    start: u32,
    /// By constraint of all claims: the one value that devices must have, where that is settled.
    values: Vec<Option<AttributeClass>>,
    /// By counter book, by counter: what is left, in units of 10⁻⁹.
    counters: Vec<Vec<Option<i128>>>,
    /// Where there are counters.
    sums: Option<CounterSums>,
    /// Where there are devices that can be shared and have one capacity.
    shares: Option<ShareSums>,
    combinations: u32,
}

/// Devices that one request still needs.
struct Remaining {
    claim: u32,
    /// The alternatives that could provide them.
    choices: SmallVec<[u32; 4]>,
    amount: u32,
    /// Whether this is the request at the place, which may not look back.
    at_place: bool,
}

impl<'r> Relaxation<'r> {
    pub(crate) fn new(
        guide: &'r Guide,
        problem: &'r Problem<'r>,
        chosen: &Chosen<'_>,
        place: &Place,
    ) -> Self {
        let size = |members: &[u32]| u32::try_from(members.len()).unwrap_or(u32::MAX);
        let mut free: Vec<u32> = guide.classes.iter().map(|class| size(&class.members)).collect();
        let mut ahead: Vec<u32> = guide
            .classes
            .iter()
            .map(|class| {
                let behind = class.members.partition_point(|position| *position < place.start);
                size(&class.members) - u32::try_from(behind).unwrap_or(u32::MAX)
            })
            .collect();
        let mut counters = guide.available.clone();
        // With admin access two claims may have chosen the same device.
        let mut used: Vec<u32> = chosen.devices().iter().map(|device| device.position).collect();
        used.sort_unstable();
        used.dedup();
        for position in used {
            let Some(number) = guide.class_of[position as usize] else { continue };
            if !guide.classes[number as usize].shareable {
                free[number as usize] -= 1;
                if position >= place.start {
                    ahead[number as usize] -= 1;
                }
            }
        }
        for device in chosen.devices() {
            let Some(number) = guide.class_of[device.position as usize] else { continue };
            let class = &guide.classes[number as usize];
            if let (Some(book), true) = (class.book, device.takes_counters) {
                for (counter, amount) in &class.takes {
                    if let Some(Some(left)) = counters[book as usize].get_mut(*counter as usize) {
                        *left -= *amount;
                    }
                }
            }
        }
        let constraints = guide.first_constraint.last().map_or(0, |last| {
            *last as usize + problem.claims.last().map_or(0, |claim| claim.constraints.len())
        });
        let mut values = vec![None; constraints];
        let first = guide.first_constraint.get(place.claim as usize).copied().unwrap_or_default() as usize;
        for (index, state) in chosen.constraints(place.claim).iter().enumerate() {
            if let ConstraintState::Match { first: value, devices: 1.. } = state {
                values[first + index] = Some(*value);
            }
        }
        let supplies =
            (0_u32..).zip(&free).map(|(class, free)| supply(guide, chosen, class, *free)).collect();
        Self {
            guide,
            problem,
            demands: remaining(guide, problem, place),
            free,
            ahead,
            supplies,
            start: place.start,
            values,
            sums: (!counters.is_empty()).then(|| CounterSums::new(guide, &counters)),
            counters,
            shares: guide
                .number(place)
                .filter(|_| guide.kinds.iter().all(|kind| kind.capacities() == 1))
                .and_then(|number| ShareSums::new(guide, chosen, number)),
            combinations: MAX_COMBINATIONS,
        }
    }

    /// Whether shares have room together.
    fn shares_have_room(&self) -> bool {
        let Some(shares) = &self.shares else { return true };
        let mut wanted = Vec::with_capacity(self.demands.len());
        for demand in self.demands.iter().filter(|demand| !self.is_for_admins(demand)) {
            let mut elsewhere = false;
            let mut least: Option<i128> = None;
            for choice in &demand.choices {
                for class in self.allowed(*choice) {
                    let details = &self.guide.classes[class as usize];
                    if !details.shareable {
                        elsewhere = true;
                        continue;
                    }
                    let kind = details.kind.and_then(|kind| self.guide.kinds.get(kind as usize));
                    let takes = kind.and_then(|kind| kind.takes(*choice)?.first().copied());
                    // Of a class without a kind nothing is known.
                    let takes = takes.unwrap_or(0);
                    least = Some(least.map_or(takes, |least| least.min(takes)));
                }
            }
            let takes = least.unwrap_or(0);
            wanted.push(Wanted { amount: demand.amount, takes, elsewhere });
        }
        let classes = self.guide.classes.iter().zip(&self.free);
        let others = classes.filter(|(class, _)| !class.shareable).map(|(_, free)| *free);
        shares.have_room(wanted, others.sum())
    }

    /// Whether the easier problem has a solution.
    pub(crate) fn is_possible(&mut self, chosen: &Chosen<'_>, place: &Place) -> bool {
        self.demands.iter().all(|demand| !demand.choices.is_empty())
            && self.values_can_differ(chosen, place)
            && {
                let open = self.open_constraints();
                self.has_common_values(chosen, &open)
            }
    }

    /// Whether values can be found for the open `matchAttribute` constraints.
    fn has_common_values(&mut self, chosen: &Chosen<'_>, open: &[(u32, u32)]) -> bool {
        if !self.has_enough(chosen) {
            return false;
        }
        let Some((&(claim, index), rest)) = open.split_first() else { return true };
        let slot = (self.guide.first_constraint[claim as usize] + index) as usize;
        for value in self.values_of(claim, index) {
            if self.combinations == 0 {
                return true;
            }
            self.combinations -= 1;
            self.values[slot] = Some(value);
            let possible = self.has_common_values(chosen, rest);
            self.values[slot] = None;
            if possible {
                return true;
            }
        }
        false
    }

    /// The `matchAttribute` constraints without a value that several devices must agree on.
    fn open_constraints(&self) -> Vec<(u32, u32)> {
        let mut open = Vec::new();
        for (claim, claim_problem) in (0_u32..).zip(&self.problem.claims) {
            for (index, constraint) in (0_u32..).zip(&claim_problem.constraints) {
                let slot = (self.guide.first_constraint[claim as usize] + index) as usize;
                if constraint.kind == ConstraintKind::Match
                    && !constraint.compares_sets()
                    && self.values[slot].is_none()
                    && self.bound_by(claim, index).map(|demand| demand.amount).sum::<u32>() > 1
                {
                    open.push((claim, index));
                }
            }
        }
        open
    }

    /// The demands that a constraint is for, whichever alternative provides them.
    fn bound_by(&self, claim: u32, index: u32) -> impl Iterator<Item = &Remaining> {
        self.demands.iter().filter(move |demand| {
            demand.claim == claim
                && demand
                    .choices
                    .iter()
                    .all(|choice| self.problem.choice(*choice).constraints.contains(&index))
        })
    }

    /// The values that devices of the demand with the fewest classes have.
    fn values_of(&self, claim: u32, index: u32) -> Vec<AttributeClass> {
        let slot = (self.guide.first_constraint[claim as usize] + index) as usize;
        let values = self.bound_by(claim, index).filter(|demand| demand.amount > 0).map(|demand| {
            let mut values: Vec<AttributeClass> = demand
                .choices
                .iter()
                .flat_map(|choice| {
                    let derivation = self.derivation(*choice, index);
                    self.allowed(*choice).map(move |class| self.guide.value(class, slot, derivation))
                })
                .filter(|value| matches!(value, AttributeClass::Value(_)))
                .collect();
            values.sort_unstable();
            values.dedup();
            values
        });
        values.min_by_key(Vec::len).unwrap_or_default()
    }

    /// The classes a choice can use, as far as values of attributes are settled.
    fn allowed(&self, choice: u32) -> impl Iterator<Item = u32> {
        let wanted = self.problem.choice(choice);
        let first = self.guide.first_constraint[wanted.claim as usize];
        self.guide.candidates[choice as usize].classes.iter().copied().filter(move |class| {
            wanted.constraints().all(|(constraint, derivation)| {
                let slot = (first + constraint) as usize;
                self.values[slot].is_none_or(|value| {
                    matches!(value, AttributeClass::Value(_))
                        && self.guide.value(*class, slot, derivation) == value
                })
            })
        })
    }

    /// Which values of a constraint count for a choice that it is for.
    fn derivation(&self, choice: u32, constraint: u32) -> u32 {
        let mut constraints = self.problem.choice(choice).constraints();
        constraints.find(|(index, _)| *index == constraint).map_or(0, |(_, derivation)| derivation)
    }

    /// Whether there are devices for all demands, and counters.
    fn has_enough(&self, chosen: &Chosen<'_>) -> bool {
        let mut demands = Vec::with_capacity(self.demands.len());
        for remaining in &self.demands {
            let mut demand = Demand { amount: remaining.amount, from: Vec::new() };
            for choice in &remaining.choices {
                for class in self.allowed(*choice) {
                    let most = self.usable(remaining, *choice, class, chosen);
                    match demand.from.iter_mut().find(|(other, _)| *other == class) {
                        Some((_, other)) => *other = most.max(*other),
                        None => demand.from.push((class, most)),
                    }
                }
            }
            // Devices with admin access do not compete with others in the same way.
            if self.is_for_admins(remaining) {
                continue;
            }
            let total: u64 = demand.from.iter().map(|(_, most)| u64::from(*most)).sum();
            if total < u64::from(demand.amount) {
                return false;
            }
            demands.push(demand);
        }
        self.sums.as_ref().is_none_or(|sums| {
            sums.suffice(&demands)
                && sums.have_room(self.guide, &self.counters, &self.free, &demands)
                && self.counters_suffice()
        }) && self.shares_have_room()
            && flow::satisfiable(&demands, &self.supplies)
    }

    /// How many devices of a class a demand could use as one of its choices.
    fn usable(&self, demand: &Remaining, choice: u32, class: u32, chosen: &Chosen<'_>) -> u32 {
        let most = if demand.at_place { self.ahead[class as usize] } else { self.free[class as usize] };
        if !self.guide.classes[class as usize].shareable {
            return most.min(self.covered(class, demand.amount));
        }
        let mut full: SmallVec<[u32; 8]> = chosen
            .devices()
            .iter()
            .map(|device| device.position)
            .filter(|position| {
                self.guide.class_of[*position as usize] == Some(class)
                    && (!demand.at_place || *position >= self.start)
                    && !chosen.still_has_capacity(choice, *position)
            })
            .collect();
        full.sort_unstable();
        full.dedup();
        most - u32::try_from(full.len()).unwrap_or(most)
    }

    /// Whether a demand may be met with admin access, which sees devices as free that others do not.
    fn is_for_admins(&self, demand: &Remaining) -> bool {
        demand.choices.iter().any(|choice| self.problem.choice(*choice).admin_access)
    }

    /// How many devices of a class its counters cover, up to `most`.
    fn covered(&self, class: u32, most: u32) -> u32 {
        let details = &self.guide.classes[class as usize];
        let Some(book) = details.book else { return most };
        let counters = &self.counters[book as usize];
        if counters.iter().flatten().any(|left| *left < 0) {
            return 0;
        }
        let limits =
            details.takes.iter().filter(|(_, amount)| *amount > 0).filter_map(|(counter, amount)| {
                let left = counters.get(*counter as usize).copied().flatten()?;
                u32::try_from(left / amount).ok()
            });
        limits.min().map_or(most, |limit| limit.min(most))
    }

    /// Whether every counter covers what all demands take of it at least.
    fn counters_suffice(&self) -> bool {
        (0_u32..).zip(&self.counters).all(|(book, counters)| {
            (0_u32..).zip(counters).all(|(counter, left)| {
                let Some(left) = left else { return true };
                let least = self.demands.iter().map(|demand| self.least_taken(demand, book, counter));
                let least = least.sum::<i128>();
                least == 0 || least <= *left
            })
        })
    }

    /// The least that a demand takes of a counter.
    fn least_taken(&self, demand: &Remaining, book: u32, counter: u32) -> i128 {
        if self.is_for_admins(demand) {
            return 0;
        }
        let mut amounts: SmallVec<[(i128, u32); 8]> = SmallVec::new();
        let mut free_of_charge = 0_u32;
        for class in demand.choices.iter().flat_map(|choice| self.allowed(*choice)) {
            let details = &self.guide.classes[class as usize];
            let count = if demand.at_place { self.ahead[class as usize] } else { self.free[class as usize] };
            let taken =
                details.takes.iter().find(|(number, _)| details.book == Some(book) && *number == counter);
            match taken {
                Some((_, amount)) if !details.shareable => amounts.push((*amount, count)),
                _ => free_of_charge = free_of_charge.saturating_add(count),
            }
            if free_of_charge >= demand.amount {
                return 0;
            }
        }
        sum_of_least(&mut amounts, demand.amount.saturating_sub(free_of_charge))
    }

    /// Whether requests of one device each find different values for every `distinctAttribute` constraint.
    fn values_can_differ(&self, chosen: &Chosen<'_>, place: &Place) -> bool {
        (0_u32..).zip(&self.problem.claims).all(|(claim, claim_problem)| {
            (0_u32..).zip(&claim_problem.constraints).all(|(index, constraint)| {
                constraint.kind != ConstraintKind::Distinct || {
                    let remembered = if claim == place.claim {
                        remembered(chosen.constraints(claim).get(index as usize))
                    } else {
                        Vec::new()
                    };
                    self.differ(claim, index, &remembered)
                }
            })
        })
    }

    fn differ(&self, claim: u32, index: u32, remembered: &[AttributeClass]) -> bool {
        let slot = (self.guide.first_constraint[claim as usize] + index) as usize;
        let mut values: Vec<AttributeClass> = Vec::new();
        let mut supplies: Vec<u32> = Vec::new();
        let mut demands = Vec::new();
        for remaining in self.bound_by(claim, index).filter(|demand| demand.amount == 1) {
            // Two alternatives may each need more than one device, and within a request values need not differ.
            if remaining.choices.iter().any(|choice| self.problem.choice(*choice).count != 1) {
                continue;
            }
            let mut demand = Demand { amount: 1, from: Vec::new() };
            let usable = remaining.choices.iter().flat_map(|choice| {
                let derivation = self.derivation(*choice, index);
                self.allowed(*choice).map(move |class| self.guide.value(class, slot, derivation))
            });
            for value in usable {
                if remembered.contains(&value) {
                    continue;
                }
                let number = values.iter().position(|other| *other == value).unwrap_or_else(|| {
                    values.push(value);
                    // What cannot be compared is not counted on.
                    supplies.push(if value == AttributeClass::Incomparable { u32::MAX / 2 } else { 1 });
                    values.len() - 1
                });
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                if !demand.from.iter().any(|(other, _)| *other == number) {
                    demand.from.push((number, 1));
                }
            }
            demands.push(demand);
        }
        demands.is_empty() || flow::satisfiable(&demands, &supplies)
    }
}

/// How many requests the devices of a class can serve, of which so many are free.
fn supply(guide: &Guide, chosen: &Chosen<'_>, class: u32, free: u32) -> u32 {
    const UNLIMITED: u32 = u32::MAX / 2;
    let details = &guide.classes[class as usize];
    if !details.shareable {
        return free;
    }
    let shares_left = |position: u32| {
        let limits = details.least_share.iter().filter_map(|(name, least)| {
            let mut left = chosen.device(position).capacity.get(name)?.value.nano_units()?;
            left -= chosen.held_capacity(position).and_then(|held| held.get(name)).map_or(Some(0), nanos)?;
            let running = chosen.share(position).and_then(|share| share.consumed.get(name));
            left -= running.map_or(Some(0), nanos)?;
            u32::try_from((left / least.nano_units()?).max(0)).ok()
        });
        limits.min().unwrap_or(UNLIMITED)
    };
    let mut untouched = None;
    let shares = details.members.iter().map(|position| {
        if chosen.is_untouched(*position) {
            *untouched.get_or_insert_with(|| shares_left(*position))
        } else {
            shares_left(*position)
        }
    });
    shares.fold(0, |sum: u32, shares| sum.saturating_add(shares).min(UNLIMITED))
}

fn nanos(amount: &Quantity) -> Option<i128> {
    amount.nano_units()
}

fn remembered(state: Option<&ConstraintState>) -> Vec<AttributeClass> {
    match state {
        Some(ConstraintState::LatestOfRequest { values, .. }) => {
            values.iter().map(|(_, value)| *value).collect()
        }
        Some(ConstraintState::EveryDevice { values }) => values.clone(),
        _ => Vec::new(),
    }
}

/// The demands from a place on, up to the first request that may end in an error: only if all before can be met,
/// the search gets there. A demand without choices cannot be met.
fn remaining(guide: &Guide, problem: &Problem<'_>, place: &Place) -> Vec<Remaining> {
    let Some(number) = guide.number(place) else { return Vec::new() };
    let mut demands = Vec::new();
    let end = guide.first_error(number).map_or(guide.requests.len(), |request| request as usize);
    for (index, request) in guide.requests.iter().enumerate().take(end).skip(number as usize) {
        let here = index == number as usize;
        let fixed = place.choice.filter(|_| here);
        let possible = |choice: &u32| fixed.is_some() || guide.candidates[*choice as usize].possible;
        let choices: SmallVec<[u32; 4]> = match fixed {
            Some(choice) => SmallVec::from_slice(&[choice]),
            None => request.choices.clone().filter(possible).collect(),
        };
        let done = if fixed.is_some() { place.ordinal } else { 0 };
        let least = choices.iter().map(|choice| problem.choice(*choice).count - done).min();
        let amount = least.map_or(1, |least| u32::try_from(least.max(0)).unwrap_or(u32::MAX));
        demands.push(Remaining { claim: request.claim, choices, amount, at_place: here });
    }
    demands
}
