//! Knowledge about a problem that lets the search skip what cannot succeed, without changing its answer.
//!
//! Upstream's search is a plain walk: its answer is the first feasible choice of devices in walk order, or the first
//! error it runs into. Skipping a part of the walk keeps the answer if nothing in that part is a solution, nothing
//! in it is an error, and nothing it leaves behind changes what comes later. [`Guide`] knows where the last two
//! hold; what cannot be a solution is found in three ways:
//!
//! - *relaxation* (see [`super::relaxation`]): what is left of the problem, made easier, has no solution;
//! - *interchangeable devices*: two free devices that no request, constraint, counter or share can tell apart lead
//!   to the same result, so after the first failed the second is not tried;
//! - *memory* (see [`super::memory`]): what is left of the problem looks the same as where it failed before. Devices
//!   that are shared look the same if the same is left of them (see [`super::shares`]).

use std::collections::BTreeMap;

use drayage_cel::Quantity;
use fixedbitset::FixedBitSet;
use rustc_hash::FxHashMap;

use crate::capacity::Amounts;
use crate::compatibility::Draw;
use crate::constraints::{AttributeClass, ConstraintKind};
use crate::objects::DeviceCapacity;
use crate::problem::{Choice, Problem};
use crate::profile::{DistinctMemory, Profile};
use crate::selectors::Verdicts;

use super::candidate::{Chosen, Refusal};
use super::counter_sums::CounterGroups;
use super::shares::{self, ClassOfDevices, Kind};
use super::walk::Place;

/// See the module.
#[derive(Debug)]
pub(crate) struct Guide {
    /// All requests of all claims, in order.
    pub(crate) requests: Vec<GuidedRequest>,
    /// By claim: its first request in `requests`.
    first_request: Vec<u32>,
    /// By choice.
    pub(crate) candidates: Vec<Candidates>,
    /// Devices that cannot be told apart, in the order of their first members.
    pub(crate) classes: Vec<InterchangeableDevices>,
    /// By position; devices that no choice can use have no class.
    pub(crate) class_of: Vec<Option<u32>>,
    /// By claim: whether undoing a choice in it may leave something behind.
    leaves_traces: Vec<bool>,
    /// By claim: how many constraints all claims before it have.
    pub(crate) first_constraint: Vec<u32>,
    /// By constraint of all claims: its first value in [`InterchangeableDevices::values`].
    first_value: Vec<u32>,
    /// Whether any choice has admin access.
    pub(crate) admin_access: bool,
    /// By counter book, by counter: what other claims leave, in units of 10⁻⁹.
    pub(crate) available: Vec<Vec<Option<i128>>>,
    pub(crate) counter_groups: CounterGroups,
    /// Of devices that can be shared.
    pub(crate) kinds: Vec<Kind>,
}

/// A request of the problem.
#[derive(Clone, Debug)]
pub(crate) struct GuidedRequest {
    pub(crate) claim: u32,
    pub(crate) choices: std::ops::Range<u32>,
    /// The first request, this one or a later one, that can end the search with an error.
    first_error: Option<u32>,
    /// The classes this and later requests can use.
    pub(crate) classes: FixedBitSet,
    /// The counter books this and later requests can use.
    pub(crate) books: FixedBitSet,
}

/// The devices a choice could use if nothing else were chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates {
    pub(crate) devices: FixedBitSet,
    pub(crate) classes: Vec<u32>,
    /// Whether they are enough.
    pub(crate) possible: bool,
    may_err: bool,
}

/// A set of devices that cannot be told apart.
#[derive(Clone, Debug)]
pub(crate) struct InterchangeableDevices {
    /// Their positions, rising.
    pub(crate) members: Vec<u32>,
    pub(crate) shareable: bool,
    /// The values for each constraint of each claim; see [`Guide::value`].
    values: Vec<AttributeClass>,
    /// The counter book they take from.
    pub(crate) book: Option<u32>,
    /// What each takes, by number of the counter, in units of 10⁻⁹.
    pub(crate) takes: Vec<(u32, i128)>,
    /// For shareable devices, by capacity: the least that any choice takes, where that is more than nothing.
    pub(crate) least_share: Vec<(String, Quantity)>,
    /// For shareable devices: which of them differ in nothing but how much of their capacity is left.
    pub(crate) kind: Option<u32>,
}

/// What makes devices different.
#[derive(PartialEq, Eq, Hash)]
struct ClassKey {
    choices: Vec<u32>,
    values: Vec<AttributeClass>,
    book: Option<u32>,
    takes: Vec<(u32, i128)>,
    sharing: Option<usize>,
    /// The counter sets and groups with which it draws on them.
    draws: Vec<Draw>,
    /// Whether its counters count as charged.
    charged: bool,
}

impl Guide {
    /// Studies a problem of which nothing is chosen yet. `selects` tells whether the selectors of a choice select
    /// a device; `None` is an error.
    ///
    /// `None` where nothing may be skipped: counters of several pools in one book, or amounts that are negative
    /// or beyond 128 bits.
    pub(crate) fn new(
        problem: &Problem<'_>,
        chosen: &mut Chosen<'_>,
        profile: Profile,
        mut selects: impl FnMut(u32, u32) -> Option<bool>,
    ) -> Option<Self> {
        if chosen.layout().mixes_pools() || problem.choices.iter().any(|choice| choice.count < 0) {
            return None;
        }
        let positions = chosen.setting().view.len();
        let mut candidates: Vec<Candidates> = Vec::with_capacity(problem.choices.len());
        for (number, choice) in (0_u32..).zip(&problem.choices) {
            let twin = problem.choices[..number as usize].iter().position(|other| is_twin(choice, other));
            let found = match twin {
                Some(twin) => candidates[twin].clone(),
                None => find_candidates(chosen, number, choice, positions, &mut selects),
            };
            candidates.push(found);
        }
        for (choice, found) in problem.choices.iter().zip(&mut candidates) {
            let enough = i64::try_from(found.devices.count_ones(..)).unwrap_or(i64::MAX) >= choice.count;
            found.possible = enough && (choice.all_devices.is_none() || choice.count > 0);
            found.may_err |= all_devices_may_clash(problem, choice, profile.distinct_memory);
        }

        let mut first_constraint = Vec::with_capacity(problem.claims.len());
        let mut first_value = Vec::new();
        let mut values = 0_u32;
        for claim in &problem.claims {
            first_constraint.push(u32::try_from(first_value.len()).ok()?);
            for constraint in &claim.constraints {
                first_value.push(values);
                values = values.checked_add(constraint.kinds_of_values())?;
            }
        }
        let mut guide = Self {
            requests: Vec::new(),
            first_request: Vec::new(),
            leaves_traces: (0_u32..)
                .zip(&problem.claims)
                .map(|(claim, _)| leaves_traces(problem, claim, profile))
                .collect(),
            classes: Vec::new(),
            class_of: vec![None; positions as usize],
            candidates,
            first_constraint,
            first_value,
            admin_access: problem.choices.iter().any(|choice| choice.admin_access),
            available: available_counters(chosen)?,
            counter_groups: CounterGroups::new(
                chosen.layout().books.iter().map(|book| book.names.as_slice()),
            ),
            kinds: Vec::new(),
        };
        guide.tell_devices_apart(problem, chosen)?;
        guide.list_requests(problem, chosen);
        guide.tell_kinds_apart(chosen);
        Some(guide)
    }

    /// The value that a class of devices has for a constraint, counted over all claims, by a derivation.
    pub(crate) fn value(&self, class: u32, constraint: usize, derivation: u32) -> AttributeClass {
        let first = self.first_value[constraint];
        self.classes[class as usize].values[(first + derivation) as usize]
    }

    /// The number of a request in [`Guide::requests`]; `None` behind the last.
    pub(crate) fn number(&self, place: &Place) -> Option<u32> {
        self.first_request.get(place.claim as usize).map(|first| first + place.request)
    }

    /// The first request from this one on that can end the search with an error.
    pub(crate) fn first_error(&self, request: u32) -> Option<u32> {
        self.requests.get(request as usize).and_then(|request| request.first_error)
    }

    /// Whether the search may be declared failed at a place if what is needed there, before anything that may end
    /// in an error, cannot be had.
    pub(crate) fn may_cut(&self, place: &Place) -> bool {
        let at_entry = place.request == 0 && place.choice.is_none();
        self.number(place).is_some_and(|number| self.first_error(number) != Some(number))
            && (at_entry || !self.leaves_traces(place.claim))
    }

    /// Whether a failure at a place can be remembered for places that look the same.
    pub(crate) fn may_remember(&self, place: &Place) -> bool {
        self.may_cut(place) && self.number(place).is_some_and(|number| self.first_error(number).is_none())
    }

    /// Whether single devices may be left out when a place is scanned.
    pub(crate) fn may_skip(&self, place: &Place) -> bool {
        self.may_remember(place) && !self.leaves_traces(place.claim)
    }

    fn leaves_traces(&self, claim: u32) -> bool {
        self.leaves_traces.get(claim as usize).copied().unwrap_or(true)
    }

    /// Puts devices that some choice can use into classes.
    fn tell_devices_apart(&mut self, problem: &Problem<'_>, chosen: &Chosen<'_>) -> Option<()> {
        let mut known: FxHashMap<ClassKey, u32> = FxHashMap::default();
        let mut sharing: Vec<(&BTreeMap<String, DeviceCapacity>, Option<&Amounts>)> = Vec::new();
        for position in 0..chosen.setting().view.len() {
            let device = chosen.device(position);
            let choices: Vec<u32> = (0_u32..)
                .zip(&self.candidates)
                .filter(|(_, found)| found.devices.contains(position as usize))
                .map(|(choice, _)| choice)
                .collect();
            if choices.is_empty() {
                continue;
            }
            let shareable = chosen.is_shareable(device);
            if device.capacity.values().any(|capacity| capacity.value.sign() < 0) {
                return None;
            }
            let share_group = shareable.then(|| {
                let books = (&device.capacity, chosen.held_capacity(position));
                sharing.iter().position(|other| *other == books).unwrap_or_else(|| {
                    sharing.push(books);
                    sharing.len() - 1
                })
            });
            let (book, takes) = match chosen.layout().consumption(position) {
                Some((book, consumption)) if !device.consumes_counters.is_empty() => {
                    let mut takes = Vec::with_capacity(consumption.len());
                    for (counter, amount) in consumption {
                        takes.push((*counter, amount.nano_units().filter(|amount| *amount >= 0)?));
                    }
                    (Some(book), takes)
                }
                _ => (None, Vec::new()),
            };
            let values: Vec<AttributeClass> = problem
                .claims
                .iter()
                .flat_map(|claim| &claim.constraints)
                .flat_map(|constraint| {
                    (0..constraint.kinds_of_values()).map(|derivation| constraint.class(derivation, position))
                })
                .collect();
            let draws = chosen.draws(position).to_vec();
            let charged = shareable && chosen.is_charged_by_others(position);
            let key = ClassKey { choices, values, book, takes, sharing: share_group, draws, charged };
            let next = u32::try_from(self.classes.len()).ok()?;
            let class = known.get(&key).copied().unwrap_or(next);
            if class == next {
                let least_share =
                    if shareable { least_share(chosen, &key.choices, position) } else { Vec::new() };
                self.classes.push(InterchangeableDevices {
                    members: Vec::new(),
                    shareable,
                    values: key.values.clone(),
                    book: key.book,
                    takes: key.takes.clone(),
                    least_share,
                    kind: None,
                });
                for choice in &key.choices {
                    self.candidates[*choice as usize].classes.push(next);
                }
                known.insert(key, next);
            }
            self.classes[class as usize].members.push(position);
            self.class_of[position as usize] = Some(class);
        }
        Some(())
    }

    /// Puts classes of devices that can be shared into kinds.
    fn tell_kinds_apart(&mut self, chosen: &mut Chosen<'_>) {
        let candidates = &self.candidates;
        let classes = (0_u32..).zip(&mut self.classes).filter(|(_, class)| class.shareable);
        let classes = classes.map(|(number, class)| {
            let uses = |choice: &u32| candidates[*choice as usize].classes.contains(&number);
            let all = 0..u32::try_from(candidates.len()).unwrap_or(u32::MAX);
            ClassOfDevices { class, choices: all.filter(uses).collect() }
        });
        self.kinds = shares::tell_kinds_apart(classes, &self.requests, chosen);
    }

    fn list_requests(&mut self, problem: &Problem<'_>, chosen: &Chosen<'_>) {
        for (claim, claim_problem) in (0_u32..).zip(&problem.claims) {
            self.first_request.push(u32::try_from(self.requests.len()).unwrap_or(u32::MAX));
            self.requests.extend(claim_problem.requests.iter().map(|request| GuidedRequest {
                claim,
                choices: request.choices.clone(),
                first_error: None,
                classes: FixedBitSet::new(),
                books: FixedBitSet::new(),
            }));
        }
        let mut first_error = None;
        let mut classes = FixedBitSet::with_capacity(self.classes.len());
        let mut books = FixedBitSet::with_capacity(chosen.layout().books.len());
        for (number, request) in (0_u32..).zip(&mut self.requests).collect::<Vec<_>>().into_iter().rev() {
            for choice in request.choices.clone() {
                let found = &self.candidates[choice as usize];
                if found.may_err {
                    first_error = Some(number);
                }
                for class in &found.classes {
                    classes.insert(*class as usize);
                    if let Some(book) = self.classes[*class as usize].book {
                        books.insert(book as usize);
                    }
                }
            }
            request.first_error = first_error;
            request.classes.clone_from(&classes);
            request.books.clone_from(&books);
        }
    }
}

impl InterchangeableDevices {
    /// Its values for all constraints, with all derivations.
    pub(crate) fn values(&self) -> &[AttributeClass] {
        &self.values
    }
}

impl Candidates {
    /// Adds a device if the choice can use it while nothing else is chosen.
    fn test(&mut self, chosen: &mut Chosen<'_>, number: u32, position: u32) {
        if chosen.has_capacity(number, position) {
            match chosen.choose(number, 0, position) {
                Ok(()) => {
                    chosen.undo();
                    self.devices.insert(position as usize);
                }
                Err(refusal) => self.may_err |= matches!(refusal, Refusal::Derivation { .. }),
            }
        } else {
            self.may_err |= chosen.capacity_fault(number, position).is_some();
        }
    }
}

/// What other claims leave of each counter, while every book belongs to one pool.
fn available_counters(chosen: &Chosen<'_>) -> Option<Vec<Vec<Option<i128>>>> {
    let setting = chosen.setting();
    let layout = chosen.layout();
    let books = (0_u32..).zip(&layout.books).map(|(number, book)| {
        let pool = book.sources.first()?.pool;
        let available = layout.available(number, pool, setting.inventory, setting.view, setting.state);
        available
            .iter()
            .map(|amount| match amount {
                Some(amount) => amount.nano_units().map(Some),
                None => Some(None),
            })
            .collect()
    });
    books.collect()
}

/// The least that one of the choices takes of each capacity of a device.
fn least_share(chosen: &Chosen<'_>, choices: &[u32], position: u32) -> Vec<(String, Quantity)> {
    let names = chosen.device(position).capacity.keys();
    let least = names.filter_map(|name| {
        // A choice that was not tested asks for the same as one that was.
        let amounts = choices.iter().filter_map(|choice| chosen.amounts(*choice, position)?.get(name));
        let least = amounts.min()?.clone();
        (least.sign() > 0).then(|| (name.clone(), least))
    });
    least.collect()
}

/// Whether two choices can use the same devices because they ask for the same.
fn is_twin(choice: &Choice<'_>, other: &Choice<'_>) -> bool {
    // A view has one column of verdicts for each expression.
    let selectors = |choice: &Choice<'_>| -> Vec<_> {
        choice
            .selectors
            .iter()
            .map(|selector| selector.verdicts.as_ref().and_then(Verdicts::column))
            .collect()
    };
    choice.claim == other.claim
        && choice.admin_access == other.admin_access
        && choice.all_devices == other.all_devices
        && choice.constraints == other.constraints
        && choice.derivations == other.derivations
        && choice.capacity == other.capacity
        && choice.tolerations == other.tolerations
        && selectors(choice) == selectors(other)
}

fn find_candidates(
    chosen: &mut Chosen<'_>,
    number: u32,
    choice: &Choice<'_>,
    positions: u32,
    selects: &mut impl FnMut(u32, u32) -> Option<bool>,
) -> Candidates {
    let mut found =
        Candidates { devices: FixedBitSet::with_capacity(positions as usize), ..Candidates::default() };
    if let Some(devices) = &choice.all_devices {
        for position in devices {
            found.test(chosen, number, *position);
        }
        return found;
    }
    // A device that is held by another claim is passed over before its selectors are evaluated, so they cannot err.
    let free = (0..positions).filter(|position| !chosen.in_use(choice, *position)).collect::<Vec<_>>();
    for position in free {
        match selects(number, position) {
            Some(true) => found.test(chosen, number, position),
            Some(false) => {}
            None => found.may_err = true,
        }
    }
    found
}

/// Whether a constraint may refuse a device of a request for all devices, which is an error. Not so where the
/// request has the constraint for itself and its devices agree.
fn all_devices_may_clash(problem: &Problem<'_>, choice: &Choice<'_>, memory: DistinctMemory) -> bool {
    let Some(devices) = &choice.all_devices else { return false };
    choice.constraints().any(|(constraint, derivation)| {
        let shared = problem.choices.iter().any(|other| {
            other.claim == choice.claim
                && other.request != choice.request
                && other.constraints.contains(&constraint)
        });
        let constraint = &problem.claims[choice.claim as usize].constraints[constraint as usize];
        let mut values: Vec<AttributeClass> =
            devices.iter().map(|position| constraint.class(derivation, *position)).collect();
        let comparable = values.iter().all(|value| matches!(value, AttributeClass::Value(_)));
        let agree = match constraint.kind {
            ConstraintKind::Match => values.windows(2).all(|pair| pair[0] == pair[1]),
            ConstraintKind::Distinct if memory == DistinctMemory::EveryDevice => {
                values.sort_unstable();
                values.windows(2).all(|pair| pair[0] != pair[1])
            }
            ConstraintKind::Distinct => values.len() < 2,
        };
        shared || !comparable || !agree
    })
}

/// Whether undoing a device of the claim may forget more, or less, than that device: a `distinctAttribute` constraint
/// that remembers one value a request, over a request of several devices; a `matchAttribute` constraint over lists
/// that is not restored.
fn leaves_traces(problem: &Problem<'_>, claim: u32, profile: Profile) -> bool {
    let constraints = &problem.claims[claim as usize].constraints;
    let narrowed = !profile.common_values_restored
        && constraints
            .iter()
            .any(|constraint| constraint.kind == ConstraintKind::Match && constraint.has_larger_sets());
    let forgotten = profile.distinct_memory == DistinctMemory::LatestOfRequest
        && problem.choices.iter().filter(|choice| choice.claim == claim && choice.count > 1).any(|choice| {
            choice
                .constraints
                .iter()
                .any(|constraint| constraints[*constraint as usize].kind == ConstraintKind::Distinct)
        });
    narrowed || forgotten
}
