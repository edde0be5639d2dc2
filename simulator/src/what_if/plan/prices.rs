//! How many demands can be met at most, by prices.
//!
//! Let every demand have a price between 0 and 1, and every partition the most that a demand could pay for it as a part of
//! what it wants. Nobody can sell more of a whole device than the dearest partitions that fit together, so the demands that
//! are met pay no more than all whole devices are worth; and a demand that is met is worth at most 1, of which its price is
//! paid for. So no layout meets more than `sum of (1 - price) + worth of all whole devices`, less what demands pay that must
//! be met. That holds for all prices; good ones are looked for by a subgradient method. Everything is counted in integers.

use super::field::{Field, Move, StateId};

/// Demands of one kind: those that wait, or those that have their place now and must be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lot {
    pub(super) kind: usize,
    pub(super) must: bool,
}

/// One, in the unit of prices. Many small numbers divide it.
pub(super) const ONE: i64 = 55_440;

/// A demand that must be met may pay more than it is worth.
const DEAREST: i64 = ONE * 1000;

/// At most so many states are looked at for the worth of whole devices; beyond them it is only bounded.
const MOST_STATES: usize = 100_000;

/// Whole devices with more partitions in a row than this are only bounded.
const MOST_DEPTH: usize = 200;

/// Rounds of looking for better prices.
const ROUNDS: usize = 120;

/// What a whole device is worth, and what is sold first: form, and state after.
type Sale = (i64, Option<Move>);

/// What whole devices are worth in each state, at some prices.
#[derive(Clone, Debug, Default)]
pub(super) struct Worth {
    /// By shape and form.
    prices: Vec<Vec<i64>>,
    /// By state: what it is worth, and what is sold first.
    known: Vec<Option<Sale>>,
    looked: usize,
}

impl Worth {
    /// At these prices of the lots.
    pub(super) fn new(field: &Field<'_>, lots: &[Lot], of_lots: &[i64]) -> Self {
        let price = |shape: usize, form: usize| {
            let mut best = 0;
            for (lot, &price) in lots.iter().zip(of_lots) {
                for_pieces(field, *lot, |want, share, count| {
                    if field.may_have(shape, form, lot.kind, want) {
                        best = best.max(part_of(price, share, count));
                    }
                });
            }
            best
        };
        let shape = |shape: usize| (0..field.forms(shape)).map(|form| price(shape, form)).collect();
        Self { prices: (0..field.shapes()).map(shape).collect(), known: Vec::new(), looked: 0 }
    }

    fn price(&self, shape: usize, form: usize) -> i64 {
        self.prices.get(shape).and_then(|forms| forms.get(form)).copied().unwrap_or(0)
    }

    /// What a whole device is worth in a state, or more.
    pub(super) fn of(&mut self, field: &mut Field<'_>, state: StateId) -> i64 {
        self.look(field, state, 0).0
    }

    fn look(&mut self, field: &mut Field<'_>, state: StateId, depth: usize) -> Sale {
        if let Some(known) = self.known.get(state as usize).copied().flatten() {
            return known;
        }
        let best = if self.looked >= MOST_STATES || depth > MOST_DEPTH {
            (self.at_most(field, state), None)
        } else {
            self.looked += 1;
            let shape = field.shape_of(state);
            let mut best = (0, None);
            for &(form, after) in field.moves(state).iter() {
                let price = self.price(shape, form);
                if price > 0 {
                    let with = price + self.look(field, after, depth + 1).0;
                    if with > best.0 {
                        best = (with, Some((form, after)));
                    }
                }
            }
            best
        };
        if self.known.len() <= state as usize {
            self.known.resize(state as usize + 1, None);
        }
        if let Some(known) = self.known.get_mut(state as usize) {
            *known = Some(best);
        }
        best
    }

    /// A bound of what a state is worth: by each counter alone, as if partitions could be divided.
    fn at_most(&self, field: &Field<'_>, state: StateId) -> i64 {
        let shape = field.shape_of(state);
        let forms: Vec<(i64, i64, usize)> = (0..field.forms(shape))
            .map(|form| {
                let still = i64::try_from(field.still(state, form)).unwrap_or(i64::MAX);
                (self.price(shape, form), still, form)
            })
            .filter(|(price, still, _)| *price > 0 && *still > 0)
            .collect();
        let all = forms.iter().map(|(price, still, _)| i128::from(*price) * i128::from(*still)).sum::<i128>();
        let mut least = all;
        for (counter, &left) in field.left(state).iter().enumerate() {
            let mut sum: i128 = 0;
            let mut sold = Vec::new();
            for &(price, still, form) in &forms {
                let takes = field.taken_by(state, form).iter().find(|(other, _)| *other == counter);
                match takes.map(|(_, amount)| *amount).filter(|amount| *amount > 0) {
                    Some(amount) => sold.push((price, amount, still)),
                    None => sum += i128::from(price) * i128::from(still),
                }
            }
            // Dearest by amount first.
            sold.sort_by(|one, other| {
                (i128::from(other.0) * i128::from(one.1)).cmp(&(i128::from(one.0) * i128::from(other.1)))
            });
            let mut left = i128::from(left.max(0));
            for (price, amount, still) in sold {
                let whole = (left / i128::from(amount)).min(i128::from(still));
                sum += whole * i128::from(price);
                left -= whole * i128::from(amount);
                if whole < i128::from(still) {
                    sum += (left * i128::from(price)).div_euclid(i128::from(amount)) + 1;
                    break;
                }
            }
            least = least.min(sum);
        }
        i64::try_from(least).unwrap_or(i64::MAX / 4)
    }
}

/// Calls with every piece of a lot: its want, the part of the price that is for its request, in millionths, and how many
/// devices it is.
fn for_pieces(field: &Field<'_>, lot: Lot, mut with: impl FnMut(usize, i64, usize)) {
    let Some(kind) = field.kinds.get(lot.kind) else { return };
    let size = |want: usize| {
        let forms =
            (0..field.shapes()).flat_map(|shape| (0..field.forms(shape)).map(move |form| (shape, form)));
        let matching = forms.filter(|&(shape, form)| field.may_have(shape, form, lot.kind, want));
        matching.map(|(shape, form)| field.part(shape, form)).min().unwrap_or(1)
    };
    if let [alternatives] = kind.requests.as_slice() {
        for piece in alternatives {
            with(piece.want, 1_000_000, piece.count);
        }
        return;
    }
    let sizes: Vec<i64> = kind
        .requests
        .iter()
        .map(|alternatives| {
            let sizes = alternatives.iter().map(|piece| size(piece.want).saturating_mul(wide(piece.count)));
            sizes.min().unwrap_or(1).max(1)
        })
        .collect();
    let all: i64 = sizes.iter().fold(0_i64, |sum, size| sum.saturating_add(*size)).max(1);
    let mut left = 1_000_000;
    for (at, alternatives) in kind.requests.iter().enumerate() {
        let of = sizes.get(at).copied().unwrap_or(1);
        let share =
            if at + 1 == sizes.len() { left } else { (of.saturating_mul(1000) / all * 1000).min(left) };
        left -= share;
        for piece in alternatives {
            with(piece.want, share, piece.count);
        }
    }
}

/// What one device of a piece is paid: all together at least the share.
fn part_of(price: i64, share: i64, count: usize) -> i64 {
    let share = (price.saturating_mul(share) + 999_999) / 1_000_000;
    let count = wide(count).max(1);
    (share + count - 1) / count
}

/// A count among prices.
pub(super) fn wide(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Some whole devices and demands, as far as the bound needs them.
pub(super) struct Market<'m> {
    pub(super) lots: &'m [Lot],
    /// How many demands each lot has.
    pub(super) counts: &'m [usize],
    /// States of whole devices, and how many are in each.
    pub(super) states: Vec<(StateId, usize)>,
}

impl<'m> Market<'m> {
    pub(super) fn new(lots: &'m [Lot], counts: &'m [usize], states: &[StateId]) -> Self {
        let mut sorted = states.to_vec();
        sorted.sort_unstable();
        let runs = sorted.chunk_by(|one, other| one == other);
        let states = runs.filter_map(|run| Some((*run.first()?, run.len()))).collect();
        Self { lots, counts, states }
    }

    fn optional(&self) -> i64 {
        let lots = self.lots.iter().zip(self.counts);
        lots.filter(|(lot, _)| !lot.must).map(|(_, count)| wide(*count)).sum()
    }

    /// The bound at some prices, in the unit of prices.
    fn bound(&self, field: &mut Field<'_>, worth: &mut Worth, of_lots: &[i64]) -> i64 {
        let mut bound: i64 = 0;
        for ((lot, &count), &price) in self.lots.iter().zip(self.counts).zip(of_lots) {
            let open = if lot.must { -price } else { ONE - price };
            bound = bound.saturating_add(open.saturating_mul(wide(count)));
        }
        for &(state, count) in &self.states {
            bound = bound.saturating_add(worth.of(field, state).saturating_mul(wide(count)));
        }
        bound
    }

    /// How much more, or less, of each lot is sold than there are demands, in demands: what the bound changes by with the
    /// prices.
    fn slope(&self, field: &mut Field<'_>, worth: &mut Worth, of_lots: &[i64]) -> Vec<f64> {
        let mut slope: Vec<f64> = self.counts.iter().map(|&count| -float(count)).collect();
        // Which lot pays for a form, and what part of its price.
        let mut payers: rustc_hash::FxHashMap<(usize, usize), Option<(usize, f64)>> =
            rustc_hash::FxHashMap::default();
        for &(first, count) in &self.states {
            let mut state = first;
            while let (_, Some((form, after))) = worth.look(field, state, 0) {
                let shape = field.shape_of(state);
                let payer = *payers
                    .entry((shape, form))
                    .or_insert_with(|| self.payer(field, (shape, form), worth.price(shape, form), of_lots));
                if let Some((lot, part)) = payer
                    && let Some(slope) = slope.get_mut(lot)
                {
                    *slope += part * float(count);
                }
                state = after;
            }
        }
        slope
    }

    fn payer(
        &self,
        field: &Field<'_>,
        (shape, form): (usize, usize),
        paid: i64,
        of_lots: &[i64],
    ) -> Option<(usize, f64)> {
        let mut payer = None;
        for (number, (lot, &price)) in self.lots.iter().zip(of_lots).enumerate() {
            for_pieces(field, *lot, |want, share, count| {
                let pays = part_of(price, share, count) == paid;
                if payer.is_none() && pays && field.may_have(shape, form, lot.kind, want) {
                    payer = Some((number, as_float(share) / 1_000_000.0 / float(count)));
                }
            });
        }
        payer
    }
}

#[expect(clippy::cast_precision_loss, reason = "only prices are derived from it, and any prices do")]
fn float(count: usize) -> f64 {
    count as f64
}

/// Prices, what devices are worth at them, and the bound that follows.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) of_lots: Vec<i64>,
    pub(super) worth: Worth,
    /// In the unit of prices. Below 0 not even what must be met can be.
    pub(super) exact: i64,
}

impl Bound {
    /// No layout meets more demands than this; `None` where not even those can be met that must be.
    pub(super) fn most(&self) -> Option<usize> {
        usize::try_from(self.exact.div_euclid(ONE)).ok()
    }

    /// Every demand that must be met, and has no price yet, pays what its partitions are worth anyway.
    pub(super) fn let_others_pay(&mut self, field: &Field<'_>, lots: &[Lot], counts: &[usize]) {
        for (number, lot) in lots.iter().enumerate() {
            if !lot.must || counts.get(number) != Some(&0) {
                continue;
            }
            let Some(kind) = field.kinds.get(lot.kind) else { continue };
            let cheapest = |want: usize| {
                let shapes = 0..field.shapes();
                let forms = shapes.flat_map(|shape| (0..field.forms(shape)).map(move |form| (shape, form)));
                let matching = forms.filter(|&(shape, form)| field.may_have(shape, form, lot.kind, want));
                matching.map(|(shape, form)| self.worth.price(shape, form)).min().unwrap_or(0)
            };
            let of_requests = kind.requests.iter().map(|alternatives| {
                let paid =
                    alternatives.iter().map(|piece| cheapest(piece.want).saturating_mul(wide(piece.count)));
                paid.min().unwrap_or(0)
            });
            let price = of_requests.sum();
            if let Some(of_lot) = self.of_lots.get_mut(number) {
                *of_lot = price;
            }
        }
    }
}

/// Prices that say how large demands are: the part of a whole device that each takes at least.
pub(super) fn by_size(field: &Field<'_>, lots: &[Lot]) -> Vec<i64> {
    let price = |lot: &Lot| {
        let Some(kind) = field.kinds.get(lot.kind) else { return 0 };
        let shapes =
            || (0..field.shapes()).flat_map(|shape| (0..field.forms(shape)).map(move |form| (shape, form)));
        let size = |want: usize| {
            let matching = shapes().filter(|&(shape, form)| field.may_have(shape, form, lot.kind, want));
            matching.map(|(shape, form)| field.part(shape, form)).min().unwrap_or(1_000_000)
        };
        let of_request = |pieces: &Vec<super::wants::Piece>| {
            pieces.iter().map(|piece| size(piece.want).saturating_mul(wide(piece.count))).min().unwrap_or(0)
        };
        let parts = kind.requests.iter().map(of_request).fold(0_i64, i64::saturating_add);
        (parts.min(1_000_000) * ONE / 1_000_000).max(1)
    };
    lots.iter().map(price).collect()
}

/// Looks for prices with a low bound, until it is as low as `met`, which can be reached.
pub(super) fn bound(field: &mut Field<'_>, market: &Market<'_>, first: &[i64], met: usize) -> Bound {
    let mut best: Option<Bound> = None;
    let first = first.iter().zip(market.counts);
    let mut prices: Vec<f64> =
        first.map(|(&price, &count)| if count == 0 { 0.0 } else { as_float(price) }).collect();
    let goal = wide(met).saturating_mul(ONE);
    let try_them = |field: &mut Field<'_>, prices: &[i64], best: &mut Option<Bound>| {
        let mut worth = Worth::new(field, market.lots, prices);
        let exact = market.bound(field, &mut worth, prices);
        let slope = market.slope(field, &mut worth, prices);
        if best.as_ref().is_none_or(|best| exact < best.exact) {
            *best = Some(Bound { of_lots: prices.to_vec(), worth, exact });
        }
        (exact, slope)
    };
    // Without prices every demand could be met.
    try_them(field, &vec![0; market.lots.len()], &mut best);
    let is_enough = |best: &Option<Bound>| {
        best.as_ref().is_some_and(|best| best.exact < goal.saturating_add(ONE) || best.exact < 0)
    };
    let mut pace = 1.0;
    let mut before = i64::MAX;
    for _ in 0..ROUNDS {
        if is_enough(&best) {
            break;
        }
        let rounded: Vec<i64> = prices.iter().map(|price| as_integer(*price)).collect();
        let (exact, slope) = try_them(field, &rounded, &mut best);
        let steep: f64 = slope.iter().map(|slope| slope * slope).sum();
        if steep == 0.0 {
            break;
        }
        if exact >= before {
            pace *= 0.8;
        }
        before = exact;
        let stride = pace * as_float(exact - goal).max(as_float(ONE) / 2.0) / steep;
        for ((price, slope), lot) in prices.iter_mut().zip(&slope).zip(market.lots) {
            let most = if lot.must { DEAREST } else { ONE };
            *price = (*price - stride * slope).clamp(0.0, as_float(most));
        }
    }
    // The best prices are often simple fractions.
    for parts in 1..=16 {
        if is_enough(&best) {
            break;
        }
        let unit = ONE / parts;
        let near = best.as_ref().map(|best| best.of_lots.clone()).unwrap_or_default();
        let near: Vec<i64> = near.iter().map(|price| (price + unit / 2) / unit * unit).collect();
        try_them(field, &near, &mut best);
    }
    let mut best = best.unwrap_or_else(|| Bound {
        of_lots: vec![0; market.lots.len()],
        worth: Worth::default(),
        exact: market.optional().saturating_mul(ONE),
    });
    best.let_others_pay(field, market.lots, market.counts);
    best
}

#[expect(clippy::cast_precision_loss, reason = "only prices are derived from it, and any prices do")]
fn as_float(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, reason = "prices are clamped, and any prices do")]
fn as_integer(number: f64) -> i64 {
    number.round() as i64
}
