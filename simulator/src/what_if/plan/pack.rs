//! Which partitions to hold: all demands that must be met and as many of the others as possible.
//!
//! Bound, then a good layout, then, where the two differ, a search through everything with the prices of the bound.

use std::sync::atomic::{AtomicBool, Ordering};

use super::field::{Field, StateId, Way};
use super::fill::{Costs, Filling, fill};
use super::prices::{Bound, Lot, Market, ONE, Worth, bound, by_size, wide};
use crate::schedule::SimulateError;

/// A layout, and what is sure about layouts.
#[derive(Clone, Debug)]
pub(super) struct Packing {
    /// `None` where none was found that meets what must be met.
    pub(super) best: Option<Filling>,
    /// How many demands that need not be met are.
    pub(super) met: usize,
    /// No layout meets more; `None` where no layout even meets what must be met.
    pub(super) most: Option<usize>,
    pub(super) bound: Bound,
}

/// More demands than this are not searched through.
pub(super) const MOST_DEMANDS: usize = 400;

/// Demands, and what they cost by size.
pub(super) struct Demands<'d> {
    pub(super) lots: &'d [Lot],
    sizes: Vec<i64>,
    by_size: Worth,
    /// What must be met first, and what is large before what is small.
    order: Vec<usize>,
    pub(super) cancel: &'d AtomicBool,
}

impl<'d> Demands<'d> {
    pub(super) fn new(field: &Field<'_>, lots: &'d [Lot], cancel: &'d AtomicBool) -> Self {
        let sizes = by_size(field, lots);
        let by_size = Worth::new(field, lots, &sizes);
        let mut order: Vec<usize> = (0..lots.len()).collect();
        order.sort_by_key(|&at| {
            let size = sizes.get(at).copied().unwrap_or(0);
            (lots.get(at).is_none_or(|lot| !lot.must), std::cmp::Reverse(size), at)
        });
        Self { lots, sizes, by_size, order, cancel }
    }

    /// Looks for prices with a low bound on what can be met.
    pub(super) fn bound(
        &self,
        field: &mut Field<'_>,
        states: &[StateId],
        counts: &[usize],
        met: usize,
    ) -> Bound {
        bound(field, &Market::new(self.lots, counts, states), &self.sizes, met)
    }

    /// Adds to a layout what is missing in it.
    pub(super) fn fill(
        &mut self,
        field: &mut Field<'_>,
        filling: Filling,
        missing: &[usize],
        prices: Option<&mut Worth>,
    ) -> Result<Option<Filling>, SimulateError> {
        let costs = Costs { prices, sizes: &mut self.by_size };
        fill(field, filling, self.lots, missing, &self.order, costs, self.cancel)
    }

    /// The best layout that can be found from these states in so many steps.
    pub(super) fn pack(
        &mut self,
        field: &mut Field<'_>,
        states: &[StateId],
        counts: &[usize],
        steps: &mut u64,
    ) -> Result<Packing, SimulateError> {
        let empty = || Filling::new(states.to_vec(), self.lots.len());
        let lots = self.lots;
        let met = |filling: &Option<Filling>| filling.as_ref().map_or(0, |filling| filling.met(lots));
        let empty_one = empty();
        let mut best = self.fill(field, empty_one.clone(), counts, None)?;
        let mut bound = self.bound(field, states, counts, met(&best));
        let Some(most) = bound.most() else {
            return Ok(Packing { best: None, met: 0, most: None, bound });
        };
        if best.is_none() || met(&best) < most {
            let priced = self.fill(field, empty_one.clone(), counts, Some(&mut bound.worth))?;
            if priced.is_some() && (best.is_none() || met(&priced) > met(&best)) {
                best = priced;
            }
        }
        let all: usize = counts.iter().sum();
        let mut packing = Packing { met: met(&best), best, most: Some(most), bound };
        if (packing.best.is_none() || packing.met < most) && all <= MOST_DEMANDS {
            self.search(field, empty_one, counts, steps, &mut packing)?;
        }
        Ok(packing)
    }

    fn search(
        &self,
        field: &mut Field<'_>,
        empty: Filling,
        counts: &[usize],
        steps: &mut u64,
        packing: &mut Packing,
    ) -> Result<(), SimulateError> {
        let mut total: i64 = 0;
        for &state in &empty.states {
            total = total.saturating_add(packing.bound.worth.of(field, state));
        }
        let mut search = Search {
            lots: self.lots,
            order: &self.order,
            counts,
            prices: &packing.bound.of_lots,
            worth: packing.bound.worth.clone(),
            current: empty,
            total,
            best_met: packing.best.as_ref().map(|_| packing.met),
            best: None,
            most: packing.most.unwrap_or(0),
            steps,
            over: false,
            cancel: self.cancel,
        };
        let missing = search.missing(0);
        search.next(field, 0, missing, 0, 0)?;
        let (over, best, best_met) = (search.over, search.best.take(), search.best_met);
        if let (Some(best), Some(met)) = (best, best_met) {
            (packing.best, packing.met) = (Some(best), met);
        }
        if !over {
            packing.most = best_met;
        }
        Ok(())
    }
}

struct Search<'s> {
    lots: &'s [Lot],
    order: &'s [usize],
    counts: &'s [usize],
    prices: &'s [i64],
    worth: Worth,
    current: Filling,
    /// What all whole devices are worth now.
    total: i64,
    best: Option<Filling>,
    /// Met by the best layout that is known.
    best_met: Option<usize>,
    /// Nothing meets more.
    most: usize,
    /// Steps that may still be made.
    steps: &'s mut u64,
    over: bool,
    cancel: &'s AtomicBool,
}

impl Search<'_> {
    /// How many demands the lot in this place of the order has.
    fn missing(&self, place: usize) -> usize {
        self.order.get(place).and_then(|&number| self.counts.get(number)).copied().unwrap_or(0)
    }

    /// Whether what is left can lead to a better layout than the best: `missing` of the lot in a place, and all lots behind.
    fn may_be_better(&self, place: usize, missing: usize, met: usize) -> bool {
        let mut bound = wide(met).saturating_mul(ONE).saturating_add(self.total);
        for (at, &number) in self.order.iter().enumerate().skip(place) {
            let (Some(lot), Some(&price)) = (self.lots.get(number), self.prices.get(number)) else {
                continue;
            };
            let count = if at == place { missing } else { self.missing(at) };
            let open = if lot.must { -price } else { ONE - price };
            bound = bound.saturating_add(open.saturating_mul(wide(count)));
        }
        bound.div_euclid(ONE) >= self.best_met.map_or(0, |met| wide(met) + 1)
    }

    /// Goes on with the next demand of the lot in this place of the order. Equal demands get bins in ascending order, from
    /// `first` on. True if it is time to stop.
    fn next(
        &mut self,
        field: &mut Field<'_>,
        place: usize,
        missing: usize,
        first: usize,
        met: usize,
    ) -> Result<bool, SimulateError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(SimulateError::Cancelled);
        }
        if *self.steps == 0 {
            self.over = true;
            return Ok(true);
        }
        *self.steps -= 1;
        let Some(&number) = self.order.get(place) else {
            if self.best_met.is_none_or(|best| met > best) {
                self.best = Some(self.current.clone());
                self.best_met = Some(met);
            }
            return Ok(self.best_met >= Some(self.most));
        };
        if missing == 0 {
            let missing = self.missing(place + 1);
            return self.next(field, place + 1, missing, 0, met);
        }
        if !self.may_be_better(place, missing, met) {
            return Ok(false);
        }
        let Some(lot) = self.lots.get(number).copied() else { return Ok(false) };
        for (bin, way) in self.choices(field, lot.kind, first) {
            let before = self.total;
            for &(form, state) in &way.taken {
                let after = field.changed(state, form, 1);
                self.total += self.worth.of(field, after) - self.worth.of(field, state);
            }
            let taken = self.current.take(field, bin, &way);
            if let Some(placed) = self.current.placed.get_mut(number) {
                placed.push(taken.clone());
            }
            let stop = self.next(field, place, missing - 1, bin, met + usize::from(!lot.must))?;
            if let Some(placed) = self.current.placed.get_mut(number) {
                placed.pop();
            }
            self.current.give_back(field, &taken);
            self.total = before;
            if stop {
                return Ok(true);
            }
        }
        if lot.must {
            return Ok(false);
        }
        // The others of the lot could only do what this one did not.
        let missing = self.missing(place + 1);
        self.next(field, place + 1, missing, 0, met)
    }

    /// All ways to meet a demand in bins from `first` on, cheap ones first. Of bins with the same content only the first is
    /// tried.
    fn choices(&mut self, field: &mut Field<'_>, kind: usize, first: usize) -> Vec<(usize, Way)> {
        let mut seen = std::collections::BTreeSet::new();
        let mut choices = Vec::new();
        for bin in first..field.bins.len() {
            let content = field.content(bin, &self.current.states);
            *self.steps = self.steps.saturating_sub(1);
            if !seen.insert(content) {
                continue;
            }
            let (ways, complete) = field.ways(kind, content);
            self.over |= !complete;
            *self.steps = self.steps.saturating_sub(ways.len() as u64);
            for way in ways.iter() {
                let mut cost = 0;
                for &(form, state) in &way.taken {
                    let after = field.changed(state, form, 1);
                    cost += self.worth.of(field, state) - self.worth.of(field, after);
                }
                choices.push((cost, bin, way.clone()));
            }
        }
        choices.sort_by_key(|(cost, bin, _)| (*cost, *bin));
        choices.into_iter().map(|(_, bin, way)| (bin, way)).collect()
    }
}
