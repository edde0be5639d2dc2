//! A good layout without much search: lot by lot, each demand where it loses least of what is left.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::atomic::{AtomicBool, Ordering};

use rustc_hash::FxHashMap;

use super::field::{ContentId, Field, StateId, Way};
use super::prices::{Lot, ONE, Worth};
use crate::schedule::SimulateError;

/// Partitions of one demand: whole device and form.
pub(super) type Place = Vec<(usize, usize)>;

/// Whole devices with what was taken of them, and who got what.
#[derive(Clone, Debug, Default)]
pub(super) struct Filling {
    /// By whole device.
    pub(super) states: Vec<StateId>,
    /// By lot, as many as are met.
    pub(super) placed: Vec<Vec<Place>>,
}

impl Filling {
    pub(super) fn new(states: Vec<StateId>, lots: usize) -> Self {
        Self { states, placed: vec![Vec::new(); lots] }
    }

    /// How many demands are met that need not be.
    pub(super) fn met(&self, lots: &[Lot]) -> usize {
        let placed = self.placed.iter().zip(lots);
        placed.filter(|(_, lot)| !lot.must).map(|(placed, _)| placed.len()).sum()
    }

    /// Takes the partitions of a way from a bin.
    pub(super) fn take(&mut self, field: &mut Field<'_>, bin: usize, way: &Way) -> Place {
        let mut place = Place::new();
        for &(form, before) in &way.taken {
            let mut wholes = field.bins.get(bin).into_iter().flatten().copied();
            let whole = wholes.find(|&whole| self.states.get(whole) == Some(&before));
            let Some(whole) = whole else { continue };
            let after = field.changed(before, form, 1);
            if let Some(state) = self.states.get_mut(whole) {
                *state = after;
            }
            place.push((whole, form));
        }
        place
    }

    /// Gives partitions back.
    pub(super) fn give_back(&mut self, field: &mut Field<'_>, place: &[(usize, usize)]) {
        for &(whole, form) in place {
            if let Some(state) = self.states.get_mut(whole) {
                *state = field.changed(*state, form, -1);
            }
        }
    }
}

/// What a partition costs others: what its whole device is worth less, at prices that are true and at prices by size.
pub(super) struct Costs<'c> {
    /// With it, nobody is placed who costs more than one demand.
    pub(super) prices: Option<&'c mut Worth>,
    pub(super) sizes: &'c mut Worth,
}

/// Costs at prices, and by size.
type Cost = (i64, i64);

impl Costs<'_> {
    /// What a change of a whole device costs, in one number: prices count first.
    fn of(&mut self, field: &mut Field<'_>, before: StateId, after: StateId) -> i64 {
        let (price, size) = self.both(field, before, after);
        price.saturating_mul(1 << 24).saturating_add(size)
    }

    fn both(&mut self, field: &mut Field<'_>, before: StateId, after: StateId) -> Cost {
        let price = self.prices.as_mut().map_or(0, |worth| worth.of(field, before) - worth.of(field, after));
        (price, self.sizes.of(field, before) - self.sizes.of(field, after))
    }

    fn of_way(&mut self, field: &mut Field<'_>, way: &Way) -> Cost {
        let mut sum = (0, 0);
        for &(form, before) in &way.taken {
            let after = field.changed(before, form, 1);
            let cost = self.both(field, before, after);
            sum = (sum.0 + cost.0, sum.1 + cost.1);
        }
        sum
    }
}

/// Bins by their content.
struct Groups {
    bins: FxHashMap<ContentId, BinaryHeap<Reverse<usize>>>,
}

impl Groups {
    fn new(field: &mut Field<'_>, states: &[StateId]) -> Self {
        let mut groups = Self { bins: FxHashMap::default() };
        for bin in 0..field.bins.len() {
            let content = field.content(bin, states);
            groups.bins.entry(content).or_default().push(Reverse(bin));
        }
        groups
    }

    fn contents(&self) -> Vec<ContentId> {
        let mut contents: Vec<ContentId> = self.bins.keys().copied().collect();
        contents.sort_unstable();
        contents
    }

    fn pop(&mut self, content: ContentId) -> Option<usize> {
        self.bins.get_mut(&content)?.pop().map(|Reverse(bin)| bin)
    }
}

/// Meets as many more demands as it can: of each lot in this order what `missing` says. `None` where one that must be met
/// finds no place, which is no proof that there is none.
pub(super) fn fill(
    field: &mut Field<'_>,
    mut filling: Filling,
    lots: &[Lot],
    missing: &[usize],
    order: &[usize],
    mut costs: Costs<'_>,
    cancel: &AtomicBool,
) -> Result<Option<Filling>, SimulateError> {
    if missing.iter().all(|&count| count == 0) {
        return Ok(Some(filling));
    }
    let mut groups = Groups::new(field, &filling.states);
    for &number in order {
        let (Some(lot), Some(&count)) = (lots.get(number), missing.get(number)) else { continue };
        if count == 0 {
            continue;
        }
        let mut ranked: BTreeSet<(Cost, ContentId)> = BTreeSet::new();
        let mut cheapest: FxHashMap<ContentId, Option<(Cost, Way)>> = FxHashMap::default();
        let mut rank =
            |field: &mut Field<'_>, content: ContentId, ranked: &mut BTreeSet<(Cost, ContentId)>| {
                let known = cheapest.entry(content).or_insert_with(|| {
                    let way = field
                        .cheap_way(lot.kind, content, &mut |field, one, other| costs.of(field, one, other))?;
                    Some((costs.of_way(field, &way), way))
                });
                if let Some((cost, _)) = known
                    && (lot.must || cost.0 <= ONE)
                {
                    ranked.insert((*cost, content));
                }
                known.as_ref().map(|(_, way)| way.clone())
            };
        for content in groups.contents() {
            rank(field, content, &mut ranked);
        }
        let mut met = 0;
        while met < count {
            if cancel.load(Ordering::Relaxed) {
                return Err(SimulateError::Cancelled);
            }
            let Some(&(cost, content)) = ranked.first() else { break };
            let Some(bin) = groups.pop(content) else {
                ranked.remove(&(cost, content));
                continue;
            };
            let Some(way) = rank(field, content, &mut ranked) else { break };
            let place = filling.take(field, bin, &way);
            groups.bins.entry(way.after).or_default().push(Reverse(bin));
            rank(field, way.after, &mut ranked);
            if let Some(placed) = filling.placed.get_mut(number) {
                placed.push(place);
            }
            met += 1;
        }
        if lot.must && met < count {
            return Ok(None);
        }
    }
    Ok(Some(filling))
}
