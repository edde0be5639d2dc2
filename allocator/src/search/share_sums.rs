//! What follows for shares together from what holds for each.
//!
//! Two bounds, for each capacity. *Volume*: what all shares take is at most what is left, and of what is left on a
//! device only sums of shares can be used. *Number*: of shares that take at least so much, each device has room for
//! so many. A device that cannot be shared serves one of them and takes no part in either.

use super::candidate::Chosen;
use super::guide::Guide;
use super::shares::Units;

/// The widest sums that are told apart, in units of the greatest common divisor of what shares take.
const WIDEST: i128 = 127;

/// What is left of shared devices at one place.
pub(crate) struct ShareSums {
    /// By kind: what is left of each device.
    left: Vec<Vec<Units>>,
}

/// What one demand takes of a capacity at least, so often.
pub(crate) struct Wanted {
    pub(crate) amount: u32,
    pub(crate) takes: i128,
    /// Whether a device that cannot be shared would do.
    pub(crate) elsewhere: bool,
}

impl ShareSums {
    /// `request` is the first that has demands. `None` where there are no kinds, or amounts beyond 128 bits.
    pub(crate) fn new(guide: &Guide, chosen: &Chosen<'_>, request: u32) -> Option<Self> {
        if guide.kinds.is_empty() {
            return None;
        }
        let left = guide
            .kinds
            .iter()
            .map(|kind| Some(kind.left(chosen, request)?.into_iter().map(|(_, left)| left).collect()));
        Some(Self { left: left.collect::<Option<_>>()? })
    }

    /// Whether there is room for what is wanted of the first capacity of all kinds. `others` is how many devices
    /// are free that cannot be shared.
    pub(crate) fn have_room(&self, mut wanted: Vec<Wanted>, others: u32) -> bool {
        wanted.retain(|wanted| wanted.amount > 0 && wanted.takes > 0);
        // The largest shares go where they take no part.
        wanted.sort_unstable_by_key(|wanted| std::cmp::Reverse(wanted.takes));
        let mut others = others;
        let mut here: Vec<(u32, i128)> = Vec::with_capacity(wanted.len());
        for wanted in &wanted {
            let away = if wanted.elsewhere { others.min(wanted.amount) } else { 0 };
            others -= away;
            here.push((wanted.amount - away, wanted.takes));
        }
        let left: Vec<i128> = self.left.iter().flatten().filter_map(|left| left.first().copied()).collect();
        numbers_fit(&here, &left) && volumes_fit(&wanted, &here, &left)
    }
}

/// Whether there is room for the shares of at least every size. `here` falls.
fn numbers_fit(here: &[(u32, i128)], left: &[i128]) -> bool {
    let mut count = 0_i128;
    let mut demands = 0_i128;
    here.iter().all(|(amount, takes)| {
        count += i128::from(*amount);
        demands += 1;
        // Each demand uses a device at most once.
        let room: i128 = left.iter().map(|left| (left / takes).clamp(0, demands)).sum();
        count <= room
    })
}

/// Whether the shares take no more than what can be used.
fn volumes_fit(wanted: &[Wanted], here: &[(u32, i128)], left: &[i128]) -> bool {
    let unit = wanted.iter().fold(0, |unit, wanted| greatest_common_divisor(unit, wanted.takes));
    if unit == 0 {
        return true;
    }
    let volume = here.iter().fold(0_i128, |sum, (amount, takes)| {
        sum.saturating_add((takes / unit).saturating_mul((*amount).into()))
    });
    // Bit n: whether a sum of n units is possible.
    let mut sums = 1_u128;
    for wanted in wanted {
        let takes = wanted.takes / unit;
        if takes <= WIDEST {
            sums |= sums << takes;
        }
    }
    let usable = |left: &i128| {
        let left = (left / unit).max(0);
        if left > WIDEST {
            return left;
        }
        let below = if left == WIDEST { u128::MAX } else { (1_u128 << (left + 1)) - 1 };
        i128::from((sums & below).ilog2())
    };
    let room = left.iter().fold(0_i128, |sum, left| sum.saturating_add(usable(left)));
    volume <= room
}

fn greatest_common_divisor(mut left: i128, mut right: i128) -> i128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}
