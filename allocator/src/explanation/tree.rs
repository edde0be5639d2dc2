//! The tree of an explanation: claims, requests, alternatives, and what became of the devices.

use fixedbitset::FixedBitSet;

use crate::objects::DeviceId;
use crate::verify::programs::Programs;

use super::core::{best_partial, is_single};
use super::describe::Describer;
use super::fact::{Fact, Form, Given, RequestName};
use super::holders::Holders;
use super::key::Key;
use super::model::{FactNumber, Model};
use super::{Core, NoSolution};

/// How many devices are named as examples.
const EXAMPLES: usize = 3;

/// A fact, and whether the core needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFact {
    /// The fact.
    pub fact: Fact,
    /// Whether it is in the core.
    pub in_core: bool,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNode {
    /// Its full name.
    pub claim: String,
    /// Its requests, in order.
    pub requests: Vec<RequestNode>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestNode {
    /// Its name.
    pub request: String,
    /// Whether the core needs it. Other requests have no part in the failure.
    pub in_core: bool,
    /// The request itself, or its alternatives.
    pub forms: Vec<FormNode>,
}

/// A request, or an alternative of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormNode {
    /// Its name and what it needs.
    pub form: Form,
    /// How many devices nothing is said against but what concerns several devices together.
    pub free: usize,
    /// All other devices by the first fact against them, those of the core before others; most devices first.
    pub refused: Vec<RefusedDevices>,
    /// Facts of the core about several devices together, as places in [`NoSolution::facts`].
    pub together: Vec<usize>,
}

/// Devices that one fact keeps from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedDevices {
    /// The fact, as its place in [`NoSolution::facts`].
    pub fact: usize,
    /// How many devices.
    pub devices: usize,
    /// Some of them, in search order.
    pub examples: Vec<DeviceId>,
}

/// The best that can be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NearestMiss {
    /// Devices that go together under all facts: for each request in order as many as possible beside those of
    /// the requests before it.
    pub given: Vec<Given>,
    /// What is missing then. Empty if it was not found out.
    pub missing: Vec<Missing>,
    /// For the first request that misses devices, the device with the fewest facts against it.
    pub closest: Option<Closest>,
}

/// A request and the devices that it misses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Full name of the claim.
    pub claim: String,
    /// Name of the request.
    pub request: String,
    /// See [`RequestName::place`].
    pub place: (usize, usize),
    /// How many devices it misses.
    pub devices: usize,
}

/// A device that nearly fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closest {
    /// The device.
    pub device: DeviceId,
    /// The request, or the alternative, that it nearly fits.
    pub request: RequestName,
    /// What is said against it alone, as places in [`NoSolution::facts`]. Nothing, if it is only together with
    /// others that it does not fit.
    pub facts: Vec<usize>,
}

/// Everything but the suggestions.
pub(super) fn build(
    model: &Model<'_, '_>,
    programs: &Programs,
    holders: &Holders<'_>,
    core: Core,
    respected: &FixedBitSet,
    (each, budget): (u64, &mut u64),
) -> NoSolution {
    let mut all = FixedBitSet::with_capacity(model.facts.len());
    all.insert_range(..);
    let describer = Describer { model, programs, holders, facts: &all };
    let mut listed = Listed { describer: &describer, respected, numbers: Vec::new(), facts: Vec::new() };
    let mut claims = Vec::new();
    for (index, claim) in model.question.claims.iter().enumerate() {
        let demands = model.demands.iter();
        let own = demands.filter(|row| model.asks.get(row.asks.start).is_some_and(|ask| ask.claim == index));
        let mut requests = Vec::new();
        for row in own {
            let in_core = respected.contains(row.fact);
            let forms =
                row.asks.clone().filter_map(|ask| form_node(model, &describer, ask, &mut listed, in_core));
            let forms = forms.collect();
            let request = model.asks.get(row.asks.start).map(|ask| ask.ask.base_name.to_owned());
            requests.push(RequestNode { request: request.unwrap_or_default(), in_core, forms });
        }
        claims.push(ClaimNode { claim: claim.full_name(), requests });
    }
    let nearest = nearest(model, &describer, &mut listed, each, budget);
    let facts = listed.facts;
    let devices = model.devices.len();
    NoSolution { core, facts, claims, devices, nearest, suggestions: Vec::new() }
}

/// Facts with places, as they come up.
struct Listed<'l, 'd, 'q, 'a> {
    describer: &'l Describer<'d, 'q, 'a>,
    respected: &'l FixedBitSet,
    numbers: Vec<FactNumber>,
    facts: Vec<TreeFact>,
}

impl Listed<'_, '_, '_, '_> {
    fn place(&mut self, fact: FactNumber) -> Option<usize> {
        if let Some(known) = self.numbers.iter().position(|number| *number == fact) {
            return Some(known);
        }
        let described = self.describer.one(fact)?;
        self.numbers.push(fact);
        self.facts.push(TreeFact { fact: described, in_core: self.respected.contains(fact) });
        Some(self.facts.len() - 1)
    }
}

fn form_node(
    model: &Model<'_, '_>,
    describer: &Describer<'_, '_, '_>,
    ask: usize,
    listed: &mut Listed<'_, '_, '_, '_>,
    in_core: bool,
) -> Option<FormNode> {
    let mut node =
        FormNode { form: describer.form(ask)?, free: 0, refused: Vec::new(), together: Vec::new() };
    if !in_core {
        return Some(node);
    }
    let order = model.preferred();
    let rank = |fact: &FactNumber| {
        let place = order.iter().position(|known| known == fact);
        (!listed.respected.contains(*fact), place)
    };
    let mut groups: Vec<(FactNumber, usize, Vec<DeviceId>)> = Vec::new();
    for (at, refusals) in model.refusals.get(ask)?.iter().enumerate() {
        let device = model.devices.get(at)?;
        let Some(first) = refusals.iter().copied().min_by_key(|fact| rank(fact)) else {
            node.free += 1;
            continue;
        };
        match groups.iter_mut().find(|(fact, ..)| *fact == first) {
            Some((_, count, examples)) => {
                *count += 1;
                if examples.len() < EXAMPLES {
                    examples.push(device.id.clone());
                }
            }
            None => groups.push((first, 1, vec![device.id.clone()])),
        }
    }
    groups.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    for (fact, devices, examples) in groups {
        if let Some(fact) = listed.place(fact) {
            node.refused.push(RefusedDevices { fact, devices, examples });
        }
    }
    let row = model.asks.get(ask)?;
    for fact in order.iter().copied().filter(|fact| listed.respected.contains(*fact)).collect::<Vec<_>>() {
        let concerns = match model.facts.get(fact)? {
            Key::Demand { .. } => false,
            Key::Constraint { claim, index } => *claim == row.claim && row.constraints.contains(index),
            Key::ClaimLimit(claim) => *claim == row.claim,
            _ => !is_single(model, fact),
        };
        if concerns {
            node.together.extend(listed.place(fact));
        }
    }
    Some(node)
}

fn nearest(
    model: &Model<'_, '_>,
    describer: &Describer<'_, '_, '_>,
    listed: &mut Listed<'_, '_, '_, '_>,
    each: u64,
    budget: &mut u64,
) -> NearestMiss {
    let (given, missing) = best_partial(model, each, budget);
    let mut miss = NearestMiss { given: describer.given(&given), ..NearestMiss::default() };
    for (demand, devices) in &missing {
        let first = model.demands.get(*demand).and_then(|row| model.asks.get(row.asks.start));
        if let Some(ask) = first {
            let (claim, request) = (model.claim_name(ask.claim), ask.ask.base_name.to_owned());
            let place = (ask.claim, ask.ask.request);
            miss.missing.push(Missing { claim, request, place, devices: *devices });
        }
    }
    let mut best: Option<(usize, usize, &[FactNumber])> = None;
    let mut least = (usize::MAX, true);
    let first = missing.first().and_then(|(demand, _)| model.demands.get(*demand));
    for ask in first.into_iter().flat_map(|row| row.asks.clone()) {
        for (device, refusals) in model.refusals.get(ask).into_iter().flatten().enumerate() {
            let is_given = given.iter().any(|taken| {
                taken.device == device
                    && model.asks.get(taken.ask).map(|row| row.demand)
                        == model.asks.get(ask).map(|row| row.demand)
            });
            // Of devices with equally many facts against them, one that nobody has is closer.
            let rank = (refusals.len(), given.iter().any(|taken| taken.device == device));
            if !is_given && (best.is_none() || rank < least) {
                least = rank;
                best = Some((ask, device, refusals));
            }
        }
    }
    miss.closest = best.and_then(|(ask, device, facts)| {
        Some(Closest {
            device: model.devices.get(device)?.id.clone(),
            request: describer.name(ask)?,
            facts: facts.iter().filter_map(|fact| listed.place(*fact)).collect(),
        })
    });
    miss
}
