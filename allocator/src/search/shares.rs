//! What is left of devices that can be shared, whatever was taken of them.
//!
//! Whether a share fits depends on what is left of a device's capacities, not on how large they were. Devices that
//! differ in nothing else are of one *kind*: one of 12 units of which 4 are taken is as good as a free one of 8. And
//! one that has too little left for everything that is still wanted is as good as none.

use drayage_cel::Quantity;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::candidate::Chosen;
use super::guide::{GuidedRequest, InterchangeableDevices};
use crate::constraints::AttributeClass;

/// By capacity, in the order of their names, in units of 10⁻⁹.
pub(crate) type Units = SmallVec<[i128; 2]>;

/// Devices that differ in nothing but how much of their capacities is left.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// Positions, rising, with what is left before this search.
    members: Vec<(u32, Units)>,
    /// By request: the least of each capacity that it or a later one takes; `None` if none wants such devices.
    least: Vec<Option<Units>>,
    /// What choices take of each capacity.
    takes: Vec<(u32, Units)>,
}

/// What devices of one kind have in common.
#[derive(PartialEq, Eq, Hash)]
struct KindKey {
    choices: Vec<u32>,
    values: Vec<AttributeClass>,
    capacities: Vec<String>,
    /// By choice.
    amounts: Vec<Units>,
}

/// A class of devices, what tells it from others, and where to note its kind.
pub(crate) struct ClassOfDevices<'c> {
    pub(crate) class: &'c mut InterchangeableDevices,
    pub(crate) choices: Vec<u32>,
}

/// Puts classes of devices that can be shared into kinds. Those that draw on counters have none: what a share takes
/// of a counter depends on whether it is the first.
pub(crate) fn tell_kinds_apart<'c>(
    classes: impl Iterator<Item = ClassOfDevices<'c>>,
    requests: &[GuidedRequest],
    chosen: &mut Chosen<'_>,
) -> Vec<Kind> {
    let mut known: FxHashMap<KindKey, u32> = FxHashMap::default();
    let mut kinds: Vec<Kind> = Vec::new();
    for ClassOfDevices { class, choices } in classes {
        let Some(&first) = class.members.first() else { continue };
        let plain = class.shareable && class.book.is_none() && chosen.draws(first).is_empty();
        let Some(left) = plain.then(|| left_before(chosen, first)).flatten() else { continue };
        let Some(amounts) = amounts(chosen, &choices, first) else { continue };
        let least = requests.iter().map(|request| {
            let wanted = choices.iter().zip(&amounts).filter(|(choice, _)| **choice >= request.choices.start);
            wanted.map(|(_, amounts)| amounts.clone()).reduce(|least, other| {
                least.into_iter().zip(other).map(|(least, other)| least.min(other)).collect()
            })
        });
        let least: Vec<Option<Units>> = least.collect();
        let capacities = chosen.device(first).capacity.keys().cloned().collect();
        let takes: Vec<(u32, Units)> = choices.iter().copied().zip(amounts.iter().cloned()).collect();
        let key = KindKey { choices, values: class.values().to_vec(), capacities, amounts };
        let next = u32::try_from(kinds.len()).unwrap_or(u32::MAX);
        let number = *known.entry(key).or_insert(next);
        if number == next {
            kinds.push(Kind { members: Vec::new(), least, takes });
        }
        if let Some(kind) = kinds.get_mut(number as usize) {
            kind.members.extend(class.members.iter().map(|position| (*position, left.clone())));
            class.kind = Some(number);
        }
    }
    for kind in &mut kinds {
        kind.members.sort_unstable();
    }
    kinds
}

/// What other claims leave of a device's capacities; `None` beyond 128 bits.
fn left_before(chosen: &Chosen<'_>, position: u32) -> Option<Units> {
    let held = chosen.held_capacity(position);
    let capacities = chosen.device(position).capacity.iter();
    let left = capacities.map(|(name, capacity)| {
        let taken = held.and_then(|held| held.get(name)).map_or(Some(0), Quantity::nano_units)?;
        capacity.value.nano_units()?.checked_sub(taken)
    });
    left.collect()
}

/// What choices take of a device's capacities; `None` where one cannot take anything, or beyond 128 bits.
fn amounts(chosen: &mut Chosen<'_>, choices: &[u32], position: u32) -> Option<Vec<Units>> {
    let names = &chosen.device(position).capacity;
    let of_choice = |choice: &u32| {
        // Computes the amounts of a choice that was not tested because it asks for the same as another.
        chosen.has_capacity(*choice, position);
        let amounts = chosen.amounts(*choice, position)?;
        names.keys().map(|name| amounts.get(name).map_or(Some(0), Quantity::nano_units)).collect()
    };
    choices.iter().map(of_choice).collect()
}

impl Kind {
    /// What a choice takes of each capacity.
    pub(crate) fn takes(&self, choice: u32) -> Option<&Units> {
        self.takes.iter().find(|(other, _)| *other == choice).map(|(_, takes)| takes)
    }

    /// How many capacities the devices have.
    pub(crate) fn capacities(&self) -> usize {
        self.takes.first().map_or(0, |(_, takes)| takes.len())
    }

    /// The devices that have enough left for anything a request or a later one wants, with what is left of them.
    /// `None` beyond 128 bits.
    pub(crate) fn left(&self, chosen: &Chosen<'_>, request: u32) -> Option<Vec<(u32, Units)>> {
        let least = self.least.get(request as usize).and_then(Option::as_ref);
        let mut all = Vec::with_capacity(self.members.len());
        for (position, before) in &self.members {
            let mut left = before.clone();
            if let Some(share) = chosen.share(*position) {
                let names = chosen.device(*position).capacity.keys();
                for (left, name) in left.iter_mut().zip(names) {
                    let taken = share.consumed.get(name).map_or(Some(0), Quantity::nano_units)?;
                    *left = left.checked_sub(taken)?;
                }
            }
            if least.is_none_or(|least| left.iter().zip(least).all(|(left, least)| left >= least)) {
                all.push((*position, left));
            }
        }
        Some(all)
    }
}
