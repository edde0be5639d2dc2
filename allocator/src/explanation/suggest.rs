//! Suggestions: changes that were tried and give a solution.

use crate::allocator::Allocator;
use crate::diagnosis::UnusablePoolState;
use crate::objects::{AllocationResult, DeviceId, Quantity};

use super::change::{Change, Changed, GATE_CONSUMABLE};
use super::fact::{Fact, Given, HeldDevice, Needed, ReadWhat, RequestName};
use super::holders::Holders;
use super::model::GATE_PARTITIONABLE;
use super::{Asked, NoSolution};

/// Changes with which there is a solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// What to change: one thing, where that is enough.
    pub changes: Vec<Change>,
    /// The devices that the claims would have then.
    pub devices: Vec<Given>,
}

/// How many holders are tried one by one.
const HOLDERS: usize = 6;

/// Tries the changes that the facts call for: each one alone, and if none helps, as few as possible together.
pub(super) fn suggestions(
    allocator: &mut Allocator,
    asked: &Asked<'_>,
    holders: &Holders<'_>,
    found: &NoSolution,
) -> Vec<Suggestion> {
    let mut trial = Trial { allocator, asked, holders, left: asked.effort.suggestions };
    let core = candidates(trial.allocator, asked, found, &found.core.facts.iter().collect::<Vec<_>>());
    let mut helpful: Vec<Suggestion> = Vec::new();
    for change in &core {
        if helpful.len() >= MOST {
            break;
        }
        helpful.extend(trial.suggestion(&[change]));
    }
    if helpful.is_empty() {
        let others = found.facts.iter().filter(|fact| !fact.in_core).map(|fact| &fact.fact);
        let more = candidates(trial.allocator, asked, found, &others.collect::<Vec<_>>());
        helpful.extend(trial.together(core.iter().chain(&more)));
    }
    helpful.sort_by_key(|suggestion| suggestion.changes.iter().map(Change::cost).map(u16::from).sum::<u16>());
    helpful
}

/// More suggestions than these are of no use.
const MOST: usize = 6;

struct Trial<'t, 'q> {
    allocator: &'t mut Allocator,
    asked: &'t Asked<'q>,
    holders: &'t Holders<'t>,
    left: usize,
}

impl Trial<'_, '_> {
    fn solve(&mut self, changes: &[&Change]) -> Option<Vec<AllocationResult>> {
        self.left = self.left.checked_sub(1)?;
        let what_if = Changed::new(self.allocator, self.asked, self.holders, changes);
        what_if.solve(self.allocator, self.asked)
    }

    fn suggestion(&mut self, changes: &[&Change]) -> Option<Suggestion> {
        let results = self.solve(changes)?;
        let changes = changes.iter().map(|change| (*change).clone()).collect();
        Some(Suggestion { changes, devices: self.devices(&results) })
    }

    fn devices(&self, results: &[AllocationResult]) -> Vec<Given> {
        let mut devices = Vec::new();
        for (at, (claim, result)) in self.asked.claims.iter().zip(results).enumerate() {
            for device in &result.results {
                let base = device.request.split('/').next();
                let request = claim.requests.iter().position(|request| Some(request.name.as_str()) == base);
                devices.push(Given {
                    request: RequestName {
                        claim: claim.full_name(),
                        request: device.request.clone(),
                        place: (at, request.unwrap_or_default()),
                    },
                    device: device.device_id(),
                });
            }
        }
        devices
    }

    /// Adds changes until there is a solution, then takes away what it does not need.
    fn together<'c>(&mut self, changes: impl Iterator<Item = &'c Change>) -> Option<Suggestion> {
        // Dropping requests always helps in the end, and says nothing.
        let useful =
            |change: &&Change| !matches!(change, Change::DropRequest { .. } | Change::LowerCount { .. });
        let mut chosen: Vec<&Change> = Vec::new();
        let mut solved = false;
        for change in changes.filter(useful) {
            if chosen.contains(&change) {
                continue;
            }
            chosen.push(change);
            solved = chosen.len() > 1 && self.solve(&chosen).is_some();
            if solved {
                break;
            }
        }
        if !solved {
            return None;
        }
        for place in (0..chosen.len()).rev() {
            let mut fewer = chosen.clone();
            fewer.remove(place);
            if !fewer.is_empty() && self.solve(&fewer).is_some() {
                chosen = fewer;
            }
        }
        self.left = self.left.max(1);
        self.suggestion(&chosen)
    }
}

/// The changes that facts call for, the cheapest first.
fn candidates(allocator: &Allocator, asked: &Asked<'_>, found: &NoSolution, facts: &[&Fact]) -> Vec<Change> {
    let mut changes = Vec::new();
    for fact in facts {
        from_fact(asked, found, fact, &mut changes);
    }
    let features = allocator.features();
    let hidden = |slice: &crate::objects::ResourceSlice| {
        slice.per_device_node_selection.is_some() || !slice.shared_counters.is_empty()
    };
    if !features.partitionable_devices && allocator.inventory().slices().any(hidden) {
        changes.push(Change::EnableGate { gate: GATE_PARTITIONABLE });
    }
    let shared = |device: &crate::objects::Device| device.allow_multiple_allocations == Some(true);
    if !features.consumable_capacity
        && allocator.inventory().slices().any(|slice| slice.devices.iter().any(shared))
    {
        changes.push(Change::EnableGate { gate: GATE_CONSUMABLE });
    }
    changes.sort_by_key(Change::cost);
    let mut seen: Vec<Change> = Vec::new();
    changes.retain(|change| {
        let is_new = !seen.contains(change);
        seen.extend(is_new.then(|| change.clone()));
        is_new
    });
    changes
}

fn from_fact(asked: &Asked<'_>, found: &NoSolution, fact: &Fact, changes: &mut Vec<Change>) {
    match fact {
        Fact::Demand(demand) => {
            let requests: usize = asked.claims.iter().map(|claim| claim.requests.len()).sum();
            if requests > 1 {
                let (claim, request) = (demand.claim.clone(), demand.request.clone());
                changes.push(Change::DropRequest { claim, request, place: demand.place });
            }
            let most = found.nearest.missing.iter().find(|missing| missing.place == demand.place);
            if let (Some(missing), [form]) = (most, demand.forms.as_slice())
                && let Needed::Count(needed) = form.needed
                && missing.devices < needed
            {
                let request = RequestName {
                    claim: demand.claim.clone(),
                    request: form.request.clone(),
                    place: demand.place,
                };
                changes.push(Change::LowerCount { request, from: needed, to: needed - missing.devices });
            }
        }
        Fact::Selector(selector) => {
            let of_driver =
                |case: &super::SelectorCase| case.reads.iter().any(|read| read.what == ReadWhat::Driver);
            // Devices of another driver are nothing that anybody wants instead.
            if !selector.cases.iter().any(of_driver) {
                changes.push(Change::DropTerm {
                    source: selector.source,
                    owner: selector.owner.clone(),
                    index: selector.index,
                    term: selector.term.clone(),
                    requests: selector.requests.clone(),
                });
            }
        }
        Fact::GateOff { gate, .. } => changes.push(Change::EnableGate { gate }),
        Fact::Pool { pool, state: UnusablePoolState::Incomplete { .. }, .. } => {
            changes.push(Change::CompletePool { pool: pool.clone() });
        }
        Fact::Taint { taint, requests, .. } => {
            changes.push(Change::Tolerate { taint: taint.clone(), requests: requests.clone() });
        }
        Fact::Held { devices, .. } => free(devices, changes),
        Fact::Counter(counter) => free(&counter.holders, changes),
        Fact::Groups(groups) => free(&groups.holders, changes),
        Fact::Constraint(constraint) => changes.push(Change::DropConstraint {
            claim: constraint.claim.clone(),
            index: constraint.index,
            is_match: constraint.is_match,
            attribute: constraint.attribute.clone(),
        }),
        Fact::CapacityMissing { capacity, requests, .. } => {
            for request in requests {
                let (request, capacity) = (request.clone(), capacity.clone());
                changes.push(Change::LowerCapacity { request, capacity, to: None });
            }
        }
        Fact::CapacityPolicy { capacity, request, .. } => {
            let (request, capacity) = (request.clone(), capacity.clone());
            changes.push(Change::LowerCapacity { request, capacity, to: None });
        }
        Fact::Capacity { capacity, devices, needed } => {
            let left = devices.iter().filter_map(|left| left.total.checked_sub(&left.held));
            let most = left.max().filter(|left| *left > Quantity::ZERO);
            for (request, amount) in needed {
                if let Some(most) = most.clone().filter(|most| most < amount) {
                    let (request, capacity) = (request.clone(), capacity.clone());
                    changes.push(Change::LowerCapacity { request, capacity, to: Some(most) });
                }
            }
            let held = |left: &super::CapacityLeft| HeldDevice {
                device: left.device.clone(),
                claims: left.claims.clone(),
            };
            let known: Vec<HeldDevice> =
                devices.iter().filter(|left| !left.claims.is_empty()).map(held).collect();
            free(&known, changes);
        }
        Fact::Pool { .. }
        | Fact::NodeSelection { .. }
        | Fact::Once { .. }
        | Fact::ClaimLimit { .. }
        | Fact::NotFound { .. } => {}
    }
}

/// One change for each claim that holds devices, or for each device where nobody knows the claim.
fn free(held: &[HeldDevice], changes: &mut Vec<Change>) {
    let mut by_claim: Vec<(Option<String>, Vec<DeviceId>)> = Vec::new();
    for device in held {
        if device.claims.is_empty() {
            by_claim.push((None, vec![device.device.clone()]));
        }
        for claim in &device.claims {
            match by_claim.iter_mut().find(|(known, _)| known.as_ref() == Some(claim)) {
                Some((_, devices)) => devices.push(device.device.clone()),
                None => by_claim.push((Some(claim.clone()), vec![device.device.clone()])),
            }
        }
    }
    let free = by_claim.into_iter().take(HOLDERS).map(|(claim, devices)| Change::Free { claim, devices });
    changes.extend(free);
}
