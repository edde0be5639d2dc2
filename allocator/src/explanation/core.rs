//! Which facts are enough for a failure, and none of them superfluous.

use fixedbitset::FixedBitSet;

use super::key::Key;
use super::model::{FactNumber, Model, Need};
use super::relaxed::{OtherCount, Relaxed, Taken, solve};

/// What a search for a core came to.
pub(super) enum Reduced {
    /// These facts are enough.
    Core(Reduction),
    /// All rules hold for this, so the failure has another cause.
    Feasible(Vec<Taken>),
}

/// Facts that are enough.
pub(super) struct Reduction {
    pub(super) facts: FixedBitSet,
    /// Whether each of them is known to be necessary.
    pub(super) minimal: bool,
    /// Whether it is known here that they are enough.
    pub(super) confirmed: bool,
}

/// Takes one fact after the other away as long as the rest is enough, those first that say least.
///
/// `each` bounds the steps of one decision, `budget` those of all.
pub(super) fn reduce(model: &Model<'_, '_>, each: u64, budget: &mut u64) -> Reduced {
    let mut facts = FixedBitSet::with_capacity(model.facts.len());
    facts.insert_range(..);
    let mut reduction = Reduction { facts, minimal: true, confirmed: true };
    match bounded(model, &reduction.facts, &[], each.saturating_mul(4), budget) {
        Relaxed::Possible(solution) => return Reduced::Feasible(solution),
        Relaxed::Impossible => {}
        Relaxed::Unknown => reduction.confirmed = false,
    }
    // Facts that keep nothing from anything go without a question.
    drop_idle(model, &mut reduction.facts);
    for fact in model.preferred().into_iter().rev() {
        if !reduction.facts.contains(fact) {
            continue;
        }
        let mut without = reduction.facts.clone();
        without.set(fact, false);
        if matches!(model.facts.get(fact), Some(Key::Demand { .. })) {
            drop_idle(model, &mut without);
        }
        match bounded(model, &without, &[], each, budget) {
            Relaxed::Impossible => {
                reduction.facts = without;
                reduction.confirmed = true;
            }
            Relaxed::Possible(_) => {}
            Relaxed::Unknown => reduction.minimal = false,
        }
    }
    drop_idle(model, &mut reduction.facts);
    Reduced::Core(reduction)
}

/// Lifts refusals that concern no form of a respected demand; they cannot matter.
fn drop_idle(model: &Model<'_, '_>, facts: &mut FixedBitSet) {
    let mut used = FixedBitSet::with_capacity(model.facts.len());
    for (fact, key) in model.facts.iter().enumerate() {
        let joint = matches!(
            key,
            Key::Demand { .. }
                | Key::Once
                | Key::ClaimLimit(_)
                | Key::Constraint { .. }
                | Key::Counter(_)
                | Key::Groups(_)
                | Key::Capacity(_)
        );
        used.set(fact, joint);
    }
    for demand in model.demands.iter().filter(|demand| facts.contains(demand.fact)) {
        for fact in demand.asks.clone().filter_map(|ask| model.refusals.get(ask)).flatten().flatten() {
            used.insert(*fact);
        }
    }
    facts.intersect_with(&used);
}

/// Decides with at most `each` steps of the budget.
pub(super) fn bounded(
    model: &Model<'_, '_>,
    facts: &FixedBitSet,
    other: &[OtherCount],
    each: u64,
    budget: &mut u64,
) -> Relaxed {
    let granted = each.min(*budget);
    let mut left = granted;
    let relaxed = solve(model, facts, other, &mut left);
    *budget -= granted - left;
    relaxed
}

/// The most devices the last demand for a number can have beside the others of the core: the demand, the number
/// it needs, the number it can have.
pub(super) fn shortage(
    model: &Model<'_, '_>,
    reduction: &Reduction,
    each: u64,
    budget: &mut u64,
) -> Option<(usize, usize, usize)> {
    if !reduction.minimal || !reduction.confirmed {
        return None;
    }
    let (demand, needed) = last_count(model, &reduction.facts)?;
    let (mut possible, mut impossible) = (0, needed);
    while possible + 1 < impossible {
        let count = usize::midpoint(possible, impossible);
        match bounded(model, &reduction.facts, &[OtherCount { demand, count }], each, budget) {
            Relaxed::Possible(_) => possible = count,
            Relaxed::Impossible => impossible = count,
            Relaxed::Unknown => return None,
        }
    }
    // Without any device for it the demand is as good as lifted, and then there is a solution.
    Some((demand, needed, possible))
}

/// The last demand of the facts that has one form, and that for a number.
fn last_count(model: &Model<'_, '_>, facts: &FixedBitSet) -> Option<(usize, usize)> {
    let demands = model.demands.iter().enumerate().rev();
    let mut respected = demands.filter(|(_, row)| facts.contains(row.fact));
    respected.find_map(|(demand, row)| {
        let mut asks = row.asks.clone();
        match (asks.next().and_then(|ask| model.asks.get(ask)).map(|ask| &ask.need), asks.next()) {
            (Some(Need::Count(count)), None) => Some((demand, *count)),
            _ => None,
        }
    })
}

/// The best that can be had under all facts: demand after demand, each as many devices as possible beside those
/// before it. The numbers of devices missing are by demand.
pub(super) fn best_partial(
    model: &Model<'_, '_>,
    each: u64,
    budget: &mut u64,
) -> (Vec<Taken>, Vec<(usize, usize)>) {
    let mut facts = FixedBitSet::with_capacity(model.facts.len());
    for (fact, key) in model.facts.iter().enumerate() {
        facts.set(fact, !matches!(key, Key::Demand { .. }));
    }
    let mut counts: Vec<OtherCount> = Vec::new();
    let mut missing = Vec::new();
    let mut best = Vec::new();
    for (demand, row) in model.demands.iter().enumerate() {
        facts.insert(row.fact);
        match bounded(model, &facts, &counts, each, budget) {
            Relaxed::Possible(solution) => {
                best = solution;
                continue;
            }
            Relaxed::Impossible | Relaxed::Unknown => {}
        }
        let needed = row.asks.clone().filter_map(|ask| model.asks.get(ask)).map(|ask| match &ask.need {
            Need::Count(count) => *count,
            Need::All(all) => all.len().max(1),
        });
        let needed = needed.min().unwrap_or(0);
        let (mut possible, mut impossible) = (0, needed);
        while possible + 1 < impossible {
            let count = usize::midpoint(possible, impossible);
            let with: Vec<OtherCount> =
                counts.iter().copied().chain([OtherCount { demand, count }]).collect();
            match bounded(model, &facts, &with, each, budget) {
                Relaxed::Possible(solution) => (best, possible) = (solution, count),
                Relaxed::Impossible | Relaxed::Unknown => impossible = count,
            }
        }
        missing.push((demand, needed - possible.min(needed)));
        counts.push(OtherCount { demand, count: possible });
    }
    (best, missing)
}

/// Whether a fact is about one device and one request, not about several together.
pub(super) fn is_single(model: &Model<'_, '_>, fact: FactNumber) -> bool {
    !matches!(
        model.facts.get(fact),
        Some(
            Key::Demand { .. }
                | Key::Once
                | Key::ClaimLimit(_)
                | Key::Constraint { .. }
                | Key::Counter(_)
                | Key::Groups(_)
                | Key::Capacity(_)
        )
    )
}
