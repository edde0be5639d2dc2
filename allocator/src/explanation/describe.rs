//! Facts in full: from numbers to what a reader wants to know.

use std::collections::{BTreeMap, BTreeSet};

use drayage_cel::References;
use fixedbitset::FixedBitSet;

use crate::diagnosis::{SelectorSource, UnusablePoolState};
use crate::objects::{AttributeValue, DeviceId, DeviceTaint, Quantity};
use crate::verify::books::taken;
use crate::verify::claim::attribute_of;
use crate::verify::groups::Common;
use crate::verify::programs::Programs;
use crate::verify::reach::{Reached, Unusable};

use super::core::is_single;
use super::fact::{
    CapacityLeft, ConstraintFact, CounterFact, Demand, Fact, Form, Given, GroupsFact, HeldDevice, Needed,
    Read, ReadValue, ReadWhat, RequestName, SelectorCase, SelectorFact,
};
use super::holders::Holders;
use super::key::Key;
use super::model::{FactNumber, Model, Need, draws_on, held_devices, held_groups, sum};
use super::relaxed::Taken;

/// Writes the facts of one list. What they say of each other is about that list.
pub(super) struct Describer<'d, 'q, 'a> {
    pub(super) model: &'d Model<'q, 'a>,
    pub(super) programs: &'d Programs,
    pub(super) holders: &'d Holders<'d>,
    /// The list.
    pub(super) facts: &'d FixedBitSet,
}

impl Describer<'_, '_, '_> {
    /// All facts of the list, in the order of preference.
    pub(super) fn all(&self) -> Vec<(FactNumber, Fact)> {
        let listed = self.model.preferred().into_iter().filter(|fact| self.facts.contains(*fact));
        listed.filter_map(|fact| Some((fact, self.one(fact)?))).collect()
    }

    pub(super) fn one(&self, fact: FactNumber) -> Option<Fact> {
        let described = match self.model.facts.get(fact)? {
            Key::Demand { .. } => self.demand(fact)?,
            Key::ClassTerm { class, index, term } => {
                self.selector(fact, SelectorSource::Class, (*class).to_owned(), *index, term)?
            }
            Key::RequestTerm { ask, index, term } => {
                let owner = self.model.asks.get(*ask)?.ask.result_name();
                self.selector(fact, SelectorSource::Request, owner, *index, term)?
            }
            Key::Gate(gate) => Fact::GateOff { gate, devices: self.refused_by(fact) },
            Key::NodeSelection => Fact::NodeSelection { devices: self.refused_by(fact) },
            Key::Pool(pool) => {
                let pool = self.model.pools.get(*pool)?;
                let state = match pool.unusable.clone()? {
                    Unusable::Incomplete { found, announced } => {
                        UnusablePoolState::Incomplete { found, announced }
                    }
                    Unusable::Invalid { reason } => UnusablePoolState::Invalid { reason },
                };
                Fact::Pool { pool: pool.id.clone(), state, devices: self.refused_by(fact) }
            }
            Key::CapacityMissing(capacity) => Fact::CapacityMissing {
                capacity: (*capacity).to_owned(),
                requests: self.refusing_requests(fact),
                devices: self.refused_by(fact),
            },
            Key::CapacityPolicy { ask, capacity } => {
                let row = self.model.asks.get(*ask)?;
                let amount = |device: &DeviceId| {
                    let device = self.model.devices.iter().find(|known| known.id == *device)?;
                    let object = device.reached.device.capacity.get(*capacity)?;
                    Some((device.id.clone(), taken(self.model.question, &row.ask, capacity, object)))
                };
                let devices = self.refused_by(fact).iter().filter_map(amount).collect();
                Fact::CapacityPolicy { capacity: (*capacity).to_owned(), request: self.name(*ask)?, devices }
            }
            Key::Taint { key, value, effect } => Fact::Taint {
                taint: DeviceTaint {
                    key: (*key).to_owned(),
                    value: (*value).to_owned(),
                    effect: (*effect).to_owned(),
                },
                requests: self.refusing_requests(fact),
                devices: self.refused_by(fact),
            },
            Key::Held => {
                let held = |device: DeviceId| HeldDevice { claims: self.holders.of(&device), device };
                let devices = self.refused_by(fact).into_iter().map(held).collect();
                Fact::Held { requests: self.refusing_requests(fact), devices }
            }
            Key::Constraint { claim, index } => self.constraint(*claim, *index)?,
            Key::Once => self.once(),
            Key::Counter(counter) => self.counter(*counter)?,
            Key::Groups(groups) => self.groups(*groups)?,
            Key::Capacity(capacity) => self.capacity(capacity),
            Key::ClaimLimit(claim) => Fact::ClaimLimit { claim: self.model.claim_name(*claim) },
        };
        Some(described)
    }

    pub(super) fn name(&self, ask: usize) -> Option<RequestName> {
        let row = self.model.asks.get(ask)?;
        Some(RequestName {
            claim: self.model.claim_name(row.claim),
            request: row.ask.result_name(),
            place: (row.claim, row.ask.request),
        })
    }

    /// The forms of the demands of the list.
    fn forms(&self) -> impl Iterator<Item = usize> {
        let demands = self.model.demands.iter().filter(|row| self.facts.contains(row.fact));
        demands.flat_map(|row| row.asks.clone())
    }

    fn refuses(&self, fact: FactNumber, ask: usize, device: usize) -> bool {
        let row = self.model.refusals.get(ask).and_then(|row| row.get(device));
        row.is_some_and(|facts| facts.contains(&fact))
    }

    /// Whether no fact of the list that is about single devices keeps the device from a form.
    fn usable(&self, ask: usize, device: usize) -> bool {
        let row = self.model.refusals.get(ask).and_then(|row| row.get(device));
        row.is_some_and(|facts| {
            !facts.iter().any(|fact| self.facts.contains(*fact) && is_single(self.model, *fact))
        })
    }

    fn refused_by(&self, fact: FactNumber) -> Vec<DeviceId> {
        let devices = self.model.devices.iter().enumerate();
        let refused = devices.filter(|(at, _)| self.forms().any(|ask| self.refuses(fact, ask, *at)));
        refused.map(|(_, device)| device.id.clone()).collect()
    }

    fn refusing_requests(&self, fact: FactNumber) -> Vec<RequestName> {
        let devices = 0..self.model.devices.len();
        let forms = self.forms().filter(|ask| devices.clone().any(|at| self.refuses(fact, *ask, at)));
        forms.filter_map(|ask| self.name(ask)).collect()
    }

    fn demand(&self, fact: FactNumber) -> Option<Fact> {
        let row = self.model.demands.iter().find(|row| row.fact == fact)?;
        let forms: Vec<Form> = row.asks.clone().filter_map(|ask| self.form(ask)).collect();
        let first = self.model.asks.get(row.asks.start)?;
        Some(Fact::Demand(Demand {
            claim: self.model.claim_name(first.claim),
            request: first.ask.base_name.to_owned(),
            place: (first.claim, first.ask.request),
            forms,
        }))
    }

    pub(super) fn form(&self, ask: usize) -> Option<Form> {
        let row = self.model.asks.get(ask)?;
        let needed = match &row.need {
            Need::Count(count) => Needed::Count(*count),
            Need::All(all) => {
                let matching = all.iter().filter_map(|device| self.model.devices.get(*device));
                Needed::All { matching: matching.map(|device| device.id.clone()).collect() }
            }
        };
        Some(Form { request: row.ask.result_name(), needed })
    }

    fn selector(
        &self,
        fact: FactNumber,
        source: SelectorSource,
        owner: String,
        index: usize,
        term: &str,
    ) -> Option<Fact> {
        let mut cases: Vec<SelectorCase> = Vec::new();
        let mut requests = Vec::new();
        let mut expression = None;
        for ask in self.forms() {
            let row = self.model.asks.get(ask)?;
            let selectors = match source {
                SelectorSource::Class => {
                    let classes = self.model.question.classes;
                    let class = classes.iter().find(|class| class.name == row.ask.class);
                    class.filter(|class| class.name == owner).map(|class| class.selectors.as_slice())
                }
                SelectorSource::Request => Some(row.ask.selectors),
            };
            let mut refused = false;
            for (at, device) in self.model.devices.iter().enumerate() {
                if !self.refuses(fact, ask, at) {
                    continue;
                }
                refused = true;
                let reads = reads(self.programs, term, &device.reached);
                let failed = self.programs.verdict(term, &device.reached).is_none();
                match cases.iter_mut().find(|case| case.failed == failed && case.reads == reads) {
                    Some(case) if case.devices.contains(&device.id) => {}
                    Some(case) => case.devices.push(device.id.clone()),
                    None => cases.push(SelectorCase { failed, reads, devices: vec![device.id.clone()] }),
                }
            }
            if refused {
                requests.extend(self.name(ask));
                expression = selectors.and_then(|selectors| selectors.get(index));
            }
        }
        let expression = expression.and_then(|selector| selector.cel.clone()).unwrap_or_default();
        let term = term.to_owned();
        Some(Fact::Selector(SelectorFact { source, owner, index, expression, term, requests, cases }))
    }

    fn constraint(&self, claim: usize, index: usize) -> Option<Fact> {
        let object = self.model.question.claims.get(claim)?.constraints.get(index)?;
        let attribute = object.match_attribute.as_ref().or(object.distinct_attribute.as_ref())?;
        let mut fact = ConstraintFact {
            claim: self.model.claim_name(claim),
            index,
            is_match: object.match_attribute.is_some(),
            attribute: attribute.clone(),
            values: BTreeMap::new(),
            examples: BTreeMap::new(),
        };
        for (at, device) in self.model.devices.iter().enumerate() {
            let covers = |ask: &usize| {
                let row = self.model.asks.get(*ask);
                row.is_some_and(|row| row.claim == claim && row.constraints.contains(&index))
            };
            // Requests may derive the attribute, each in its own way.
            let usable = self.forms().filter(covers).filter(|ask| self.usable(*ask, at));
            let compared = self.model.compared.get(&(claim, index))?;
            let values: BTreeSet<Option<&AttributeValue>> = usable.map(|ask| compared.of(ask, at)).collect();
            for value in values {
                *fact.values.entry(value.cloned()).or_default() += 1;
                fact.examples.entry(value.cloned()).or_insert_with(|| device.id.clone());
            }
        }
        Some(Fact::Constraint(fact))
    }

    fn once(&self) -> Fact {
        let mut devices = Vec::new();
        for (at, device) in self.model.devices.iter().enumerate() {
            let usable = self.forms().filter(|ask| self.usable(*ask, at));
            let demands: BTreeSet<usize> =
                usable.filter_map(|ask| Some(self.model.asks.get(ask)?.demand)).collect();
            if !device.shareable && demands.len() > 1 {
                devices.push(device.id.clone());
            }
        }
        Fact::Once { devices }
    }

    fn counter(&self, counter: usize) -> Option<Fact> {
        let row = self.model.counters.get(counter)?;
        let pool = self.model.pools.get(row.pool)?;
        let mut least: Option<Quantity> = None;
        for (at, device) in self.model.devices.iter().enumerate() {
            let Some((_, amount)) = device.counters.iter().find(|(number, _)| *number == counter) else {
                continue;
            };
            let pays = device.takes_counters && !device.paid;
            let smaller = least.as_ref().is_none_or(|least| amount < least);
            if pays && smaller && self.forms().any(|ask| self.usable(ask, at)) {
                least = Some(amount.clone());
            }
        }
        let takes = |device: &crate::objects::Device| {
            device
                .consumes_counters
                .iter()
                .any(|taken| taken.counter_set == row.set && taken.counters.contains_key(row.counter))
        };
        let holders = held_devices(self.model.question, pool).filter(|(_, device)| takes(device));
        Some(Fact::Counter(Box::new(CounterFact {
            pool: pool.id.clone(),
            counter_set: row.set.to_owned(),
            counter: row.counter.to_owned(),
            total: row.total.clone(),
            held: row.held.clone(),
            holders: holders
                .map(|(device, _)| HeldDevice { claims: self.holders.of(&device), device })
                .collect(),
            least,
        })))
    }

    fn groups(&self, number: usize) -> Option<Fact> {
        let row = self.model.groups.get(number)?;
        let owned = |groups: BTreeSet<&str>| groups.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let held = |(device, _): &(DeviceId, _)| HeldDevice {
            claims: self.holders.of(device),
            device: device.clone(),
        };
        let mut fact = GroupsFact {
            pool: self.model.pools.get(row.pool)?.id.clone(),
            counter_set: row.set.to_owned(),
            common: match held_groups(row) {
                Common::Anything => None,
                Common::NoGroups => Some(Vec::new()),
                Common::Groups(groups) => Some(owned(groups)),
            },
            holders: row.held.iter().map(held).collect(),
            groups: BTreeMap::new(),
        };
        for (at, device) in
            self.model.devices.iter().enumerate().filter(|(_, device)| device.pool == row.pool)
        {
            let mut draws = draws_on(device.reached.device, row.set);
            if let Some(own) = draws.next()
                && !device.paid
                && self.forms().any(|ask| self.usable(ask, at))
            {
                *fact.groups.entry(owned(own)).or_default() += 1;
            }
        }
        Some(Fact::Groups(Box::new(fact)))
    }

    fn capacity(&self, name: &str) -> Fact {
        let mut devices = Vec::new();
        let mut needed: Vec<(RequestName, Quantity)> = Vec::new();
        for (at, device) in self.model.devices.iter().enumerate() {
            let Some(capacity) = device.reached.device.capacity.get(name) else { continue };
            let mut is_usable = false;
            for ask in self.forms().filter(|ask| self.usable(*ask, at)) {
                is_usable = true;
                let (Some(row), Some(request)) = (self.model.asks.get(ask), self.name(ask)) else { continue };
                let amount = taken(self.model.question, &row.ask, name, capacity);
                match needed.iter_mut().find(|(known, _)| *known == request) {
                    Some((_, least)) if amount < *least => *least = amount,
                    Some(_) => {}
                    None => needed.push((request, amount)),
                }
            }
            if is_usable {
                let held = self.model.question.state.consumed_capacity(&device.id);
                let held = sum(held.and_then(|held| held.get(name)));
                let claims = self.holders.of(&device.id);
                let (device, total) = (device.id.clone(), capacity.value.clone());
                devices.push(CapacityLeft { device, total, held, claims });
            }
        }
        Fact::Capacity { capacity: name.to_owned(), devices, needed }
    }

    /// Devices by their names.
    pub(super) fn given(&self, taken: &[Taken]) -> Vec<Given> {
        let given = taken.iter().filter_map(|one| {
            let device = self.model.devices.get(one.device)?.id.clone();
            Some(Given { request: self.name(one.ask)?, device })
        });
        given.collect()
    }
}

/// What a term reads of a device, as far as that can be told.
pub(super) fn reads(programs: &Programs, term: &str, reached: &Reached<'_>) -> Vec<Read> {
    let references = programs.program(term).map(drayage_cel::Program::references);
    let Some(References::Only(parts)) = references else { return Vec::new() };
    let mut found = Vec::new();
    let text = |text: &str| ReadValue::Attribute(AttributeValue::String(text.to_owned()));
    if parts.driver {
        found.push(Read { what: ReadWhat::Driver, value: Some(text(&reached.slice.driver)) });
    }
    if parts.allow_multiple_allocations {
        let shareable = reached.device.allow_multiple_allocations == Some(true);
        let value = Some(ReadValue::Attribute(AttributeValue::Bool(shareable)));
        found.push(Read { what: ReadWhat::AllowMultipleAllocations, value });
    }
    for (domain, id) in &parts.attributes {
        let name = format!("{domain}/{id}");
        let value = attribute_of(reached, &name).cloned().map(ReadValue::Attribute);
        found.push(Read { what: ReadWhat::Attribute(name), value });
    }
    for (domain, id) in &parts.capacity {
        let name = format!("{domain}/{id}");
        let own = || reached.device.capacity.get(id).filter(|_| *domain == reached.slice.driver);
        let capacity = reached.device.capacity.get(&name).or_else(own);
        let value = capacity.map(|capacity| ReadValue::Capacity(capacity.value.clone()));
        found.push(Read { what: ReadWhat::Capacity(name), value });
    }
    found
}
