//! What follows for several counters together from what holds for each.
//!
//! A device that is one of many partitions of many parents leaves nearly every counter alone, so the least that a
//! request takes of any one counter is often nothing. Taken together it is not: with non-negative weights, what all
//! devices take of a weighted sum of counters is at most the weighted sum of what is left. And of the devices that
//! draw on one counter set only so many fit into it, the cheapest first.

use smallvec::SmallVec;

use super::flow::Demand;
use super::guide::Guide;

/// Counters that are looked at together. Depends on slices only.
#[derive(Debug, Default)]
pub(crate) struct CounterGroups {
    /// Counters of one name, in all counter sets: book and number.
    named: Vec<Vec<(u32, u32)>>,
    /// By book, by counter: its counter set, numbered over all books.
    set_of: Vec<Vec<u32>>,
    sets: u32,
}

impl CounterGroups {
    /// `names` are counter set and counter, by book and number.
    pub(crate) fn new<'n>(names: impl Iterator<Item = &'n [(String, String)]>) -> Self {
        let mut groups = Self::default();
        let mut counter_names: Vec<&str> = Vec::new();
        for (book, names) in (0_u32..).zip(names) {
            let mut sets: Vec<(&str, u32)> = Vec::new();
            let mut set_of = Vec::with_capacity(names.len());
            for (number, (set, counter)) in (0_u32..).zip(names) {
                let known = sets.iter().find(|(name, _)| *name == set.as_str()).map(|(_, set)| *set);
                set_of.push(known.unwrap_or_else(|| {
                    sets.push((set, groups.sets));
                    groups.sets += 1;
                    groups.sets - 1
                }));
                let group = counter_names.iter().position(|name| *name == counter.as_str());
                let group = group.unwrap_or_else(|| {
                    counter_names.push(counter);
                    groups.named.push(Vec::new());
                    counter_names.len() - 1
                });
                groups.named[group].push((book, number));
            }
            groups.set_of.push(set_of);
        }
        groups
    }
}

/// A weighted sum of counters.
struct Sum {
    /// By class: what one device takes of it.
    takes: Vec<i128>,
    left: i128,
}

/// The sums and sets of what is left at one place.
pub(crate) struct CounterSums {
    sums: Vec<Sum>,
    /// By class: the counter set it draws on, if it takes anything. A class that draws on several counts for one.
    set_of: Vec<Option<u32>>,
}

/// Weights are such that all that is left of a counter has this weight.
const WHOLE: i128 = 1 << 40;

impl CounterSums {
    pub(crate) fn new(guide: &Guide, left: &[Vec<Option<i128>>]) -> Self {
        let left_of = |book: u32, counter: u32| -> Option<i128> {
            left.get(book as usize)?.get(counter as usize).copied().flatten()
        };
        let takes = |class: usize| -> SmallVec<[(u32, u32, i128); 4]> {
            let details = &guide.classes[class];
            let book = details.book.filter(|_| !details.shareable);
            let takes = book.into_iter().flat_map(|book| {
                details.takes.iter().filter_map(move |(counter, amount)| {
                    (*amount > 0 && left_of(book, *counter).is_some()).then_some((book, *counter, *amount))
                })
            });
            takes.collect()
        };
        let by_class: Vec<_> = (0..guide.classes.len()).map(takes).collect();
        let mut sums = Vec::new();
        for group in guide.counter_groups.named.iter().filter(|group| group.len() > 1) {
            let of_group = |takes: &SmallVec<[(u32, u32, i128); 4]>| {
                let mine = takes.iter().filter(|(book, counter, _)| group.contains(&(*book, *counter)));
                mine.fold(0_i128, |sum, (_, _, amount)| sum.saturating_add(*amount))
            };
            let left = group.iter().filter_map(|(book, counter)| left_of(*book, *counter));
            sums.push(Sum {
                takes: by_class.iter().map(of_group).collect(),
                // Where more was taken than there was, nothing more can be: that is no debt of other sets.
                left: left.fold(0_i128, |sum, left| sum.saturating_add(left.max(0))),
            });
        }
        // All counters, each measured by what is left of it. Rounded down, so that nothing possible is refused.
        let weight = |(book, counter, amount): &(u32, u32, i128)| {
            let left = left_of(*book, *counter).unwrap_or_default();
            if left <= 0 { WHOLE } else { amount.saturating_mul(WHOLE) / left }
        };
        let weighted = |takes: &SmallVec<[(u32, u32, i128); 4]>| {
            takes.iter().fold(0_i128, |sum, take| sum.saturating_add(weight(take)))
        };
        let used = |book: u32, counter: u32| {
            by_class.iter().flatten().any(|take| (take.0, take.1) == (book, counter))
        };
        let counters = guide.counter_groups.named.iter().flatten();
        let counters = counters.filter(|(book, counter)| {
            left_of(*book, *counter).is_some_and(|left| left > 0) && used(*book, *counter)
        });
        let count = i128::try_from(counters.count()).unwrap_or(i128::MAX);
        sums.push(Sum { takes: by_class.iter().map(weighted).collect(), left: count.saturating_mul(WHOLE) });
        let set_of = by_class.iter().map(|takes| {
            let (book, counter, _) = takes.first()?;
            guide.counter_groups.set_of.get(*book as usize)?.get(*counter as usize).copied()
        });
        Self { sums, set_of: set_of.collect() }
    }

    /// Whether every sum covers what all that is wanted takes of it at least.
    pub(crate) fn suffice(&self, demands: &[Demand]) -> bool {
        self.sums.iter().all(|sum| {
            let mut left = sum.left;
            demands.iter().all(|demand| {
                left = left.saturating_sub(least(&sum.takes, demand));
                left >= 0
            })
        })
    }

    /// Whether counter sets have room for as many devices as are wanted together. `free` is by class.
    pub(crate) fn have_room(
        &self,
        guide: &Guide,
        left: &[Vec<Option<i128>>],
        free: &[u32],
        demands: &[Demand],
    ) -> bool {
        let amount: u64 = demands.iter().map(|demand| u64::from(demand.amount)).sum();
        // By class: how many devices of it all demands together may use.
        let mut usable = vec![0_u32; guide.classes.len()];
        for (class, most) in demands.iter().flat_map(|demand| &demand.from) {
            if guide.classes[*class as usize].shareable {
                return true;
            }
            let known = &mut usable[*class as usize];
            *known = known.saturating_add(*most).min(free[*class as usize]);
        }
        let mut room = 0_u64;
        let mut by_set: Vec<Vec<u32>> = vec![Vec::new(); guide.counter_groups.sets as usize];
        for (class, usable) in (0_u32..).zip(&usable).filter(|(_, usable)| **usable > 0) {
            match self.set_of.get(class as usize).copied().flatten() {
                Some(set) => by_set[set as usize].push(class),
                None => room += u64::from(*usable),
            }
        }
        for (set, classes) in (0_u32..).zip(by_set).filter(|(_, classes)| !classes.is_empty()) {
            room += room_of(guide, left, set, &classes, &usable);
            if room >= amount {
                return true;
            }
        }
        room >= amount
    }
}

/// How many devices of some classes fit into a counter set, judged by each of its counters alone.
fn room_of(guide: &Guide, left: &[Vec<Option<i128>>], set: u32, classes: &[u32], usable: &[u32]) -> u64 {
    let all = classes.iter().map(|class| u64::from(usable[*class as usize])).sum();
    let counters =
        guide.counter_groups.set_of.iter().zip(left).zip(0_u32..).flat_map(|((sets, left), book)| {
            let counters = (0_u32..).zip(sets.iter().zip(left));
            counters
                .filter_map(move |(counter, (of, left))| (*of == set).then_some((book, counter, (*left)?)))
        });
    let rooms = counters.map(|(book, counter, left)| {
        let mut takes: SmallVec<[(i128, u32); 16]> = classes
            .iter()
            .map(|class| {
                let details = &guide.classes[*class as usize];
                let take =
                    details.takes.iter().find(|(number, _)| details.book == Some(book) && *number == counter);
                (take.map_or(0, |(_, amount)| *amount), usable[*class as usize])
            })
            .collect();
        takes.sort_unstable();
        let (mut left, mut room) = (left, 0_u64);
        for (amount, count) in takes {
            let fitting = if amount <= 0 {
                u64::from(count)
            } else {
                u64::try_from(left.max(0) / amount).unwrap_or(u64::MAX).min(u64::from(count))
            };
            room += fitting;
            if fitting < u64::from(count) {
                break;
            }
            left = left.saturating_sub(amount.saturating_mul(i128::from(fitting)));
        }
        room
    });
    rooms.min().unwrap_or(all).min(all)
}

/// The least that so many devices take.
fn least(by_class: &[i128], demand: &Demand) -> i128 {
    let mut missing = demand.amount;
    let mut amounts: SmallVec<[(i128, u32); 16]> = SmallVec::new();
    for (class, most) in &demand.from {
        let taken = by_class[*class as usize];
        if taken <= 0 {
            missing = missing.saturating_sub(*most);
            if missing == 0 {
                return 0;
            }
        } else {
            amounts.push((taken, *most));
        }
    }
    sum_of_least(&mut amounts, missing)
}

/// What so many devices take at least, given what a device takes and how many there are of it. Sorts them.
pub(super) fn sum_of_least(amounts: &mut [(i128, u32)], mut missing: u32) -> i128 {
    amounts.sort_unstable();
    let mut sum = 0_i128;
    for (taken, most) in amounts {
        let count = missing.min(*most);
        sum = sum.saturating_add(taken.saturating_mul(i128::from(count)));
        missing -= count;
    }
    sum
}
