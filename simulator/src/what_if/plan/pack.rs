//! Which partitions to hold: all demands that must be met and as many of the others as possible.

use std::collections::{BTreeMap, BTreeSet};

use super::stock::Stock;

/// What a pod wants: for each request, the partitions that it can have, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Demand {
    pub(super) requests: Vec<(BTreeSet<usize>, usize)>,
    /// Nodes on which the pod can be at all.
    pub(super) nodes: BTreeSet<usize>,
    /// Whether it must be met: it is of a pod that has its place now.
    pub(super) must: bool,
}

/// What can be taken.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// What is left of every counter, by whole device.
    pub(super) left: Vec<Vec<i64>>,
    /// Partitions that are taken.
    pub(super) taken: BTreeSet<usize>,
}

/// An assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Packing {
    /// The partitions of each demand, by request; `None` where it is not met.
    pub(super) chosen: Vec<Option<Vec<usize>>>,
    /// How many demands that need not be met are.
    pub(super) met: usize,
    /// No assignment meets more of them.
    pub(super) most: usize,
}

/// More ways than this are not looked at for one demand.
const MOST_WAYS: usize = 4096;

/// The best assignment that a search finds, or `None` where what must be met cannot be: then the second value says
/// whether that is sure.
pub(super) fn pack(
    stock: &Stock,
    demands: &[Demand],
    room: &Room,
    steps: &mut u64,
) -> (Option<Packing>, bool) {
    let optional = demands.iter().filter(|demand| !demand.must).count();
    // What must be met comes first, then what needs most.
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by_key(|&at| {
        let demand = demands.get(at);
        let size = demand.map_or(0, |demand| least_need(stock, demand));
        (demand.is_none_or(|demand| !demand.must), std::cmp::Reverse(size), demand.cloned(), at)
    });
    let bound = optional.min(bound(stock, demands, room));
    let mut search = Search {
        stock,
        demands,
        order: &order,
        steps,
        best: None,
        best_met: 0,
        bound,
        chosen: vec![None; demands.len()],
        over: false,
        classes: classes(stock, demands),
    };
    search.next(0, &mut room.clone(), 0, None);
    let over = search.over;
    let best = search.best.take();
    let met = search.best_met;
    (best.map(|chosen| Packing { chosen, met, most: if over { bound } else { met } }), !over)
}

/// What a demand takes of all counters at least.
fn least_need(stock: &Stock, demand: &Demand) -> i64 {
    demand.requests.iter().map(|(matching, count)| least_of(stock, matching, None) * wide(*count)).sum()
}

/// The least that any of these partitions takes, of all counters or of those with a name.
fn least_of(stock: &Stock, matching: &BTreeSet<usize>, counter: Option<&str>) -> i64 {
    let of = |&number: &usize| -> Option<i64> {
        let partition = stock.partitions.get(number)?;
        let whole = stock.wholes.get(partition.whole)?;
        let taken = partition.takes.iter().filter(|(at, _)| {
            counter.is_none_or(|wanted| whole.counters.get(*at).is_some_and(|name| stem(name) == wanted))
        });
        Some(taken.map(|(_, amount)| amount).sum())
    };
    matching.iter().filter_map(of).min().unwrap_or(0)
}

/// Counters of one kind, such as `memory-slice-0` to `memory-slice-7`, count together.
fn stem(name: &str) -> &str {
    name.trim_end_matches(|character: char| character.is_ascii_digit())
}

fn wide(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How many demands can be met at most, by what is left of each kind of counter in all.
fn bound(stock: &Stock, demands: &[Demand], room: &Room) -> usize {
    let stems: BTreeSet<&str> =
        stock.wholes.iter().flat_map(|whole| &whole.counters).map(|name| stem(name)).collect();
    let mut least = demands.iter().filter(|demand| !demand.must).count();
    for counter in stems {
        let mut left: i64 = 0;
        for (whole, amounts) in stock.wholes.iter().zip(&room.left) {
            let of_kind = whole.counters.iter().zip(amounts).filter(|(name, _)| stem(name) == counter);
            left = of_kind.fold(left, |sum, (_, amount)| sum.saturating_add(*amount));
        }
        let need = |demand: &Demand| -> i64 {
            let requests = demand.requests.iter();
            requests
                .map(|(matching, count)| {
                    least_of(stock, matching, Some(counter)).saturating_mul(wide(*count))
                })
                .sum()
        };
        left = demands
            .iter()
            .filter(|demand| demand.must)
            .fold(left, |left, demand| left.saturating_sub(need(demand)));
        let mut needs: Vec<i64> = demands.iter().filter(|demand| !demand.must).map(need).collect();
        needs.sort_unstable();
        let mut fitting = 0;
        for need in needs {
            left = left.saturating_sub(need);
            if left < 0 {
                break;
            }
            fitting += 1;
        }
        least = least.min(fitting);
    }
    least
}

struct Search<'s> {
    stock: &'s Stock,
    demands: &'s [Demand],
    order: &'s [usize],
    /// Steps that may still be made.
    steps: &'s mut u64,
    best: Option<Vec<Option<Vec<usize>>>>,
    best_met: usize,
    bound: usize,
    chosen: Vec<Option<Vec<usize>>>,
    over: bool,
    /// Whole devices of one class are alike in all that a demand can see; empty where demands want several partitions.
    classes: Vec<usize>,
}

/// Groups whole devices that differ in nothing but their names.
fn classes(stock: &Stock, demands: &[Demand]) -> Vec<usize> {
    if demands
        .iter()
        .any(|demand| demand.requests.len() != 1 || demand.requests.iter().any(|(_, count)| *count != 1))
    {
        return Vec::new();
    }
    let kinds: BTreeSet<&Demand> = demands.iter().collect();
    let mut numbers = BTreeMap::new();
    let mut classes = Vec::new();
    for whole in &stock.wholes {
        let partitions: Vec<_> = whole
            .partitions
            .iter()
            .filter_map(|number| {
                let takes = &stock.partitions.get(*number)?.takes;
                let wanted: Vec<bool> = kinds
                    .iter()
                    .map(|demand| demand.requests.iter().any(|(matching, _)| matching.contains(number)))
                    .collect();
                Some((takes, wanted))
            })
            .collect();
        let nodes: Vec<bool> = kinds.iter().map(|demand| demand.nodes.contains(&whole.node)).collect();
        let next = numbers.len();
        classes.push(*numbers.entry((&whole.counters, partitions, nodes)).or_insert(next));
    }
    classes
}

impl Search<'_> {
    /// Goes on with the demand in this place of the order. `before` is what an equal demand just before this one got:
    /// this one gets nothing that comes earlier. True if it is time to stop.
    fn next(&mut self, place: usize, room: &mut Room, met: usize, before: Option<Vec<usize>>) -> bool {
        if *self.steps == 0 {
            self.over = true;
            return true;
        }
        *self.steps -= 1;
        let Some(&at) = self.order.get(place) else {
            if self.best.is_none() || met > self.best_met {
                self.best = Some(self.chosen.clone());
                self.best_met = met;
            }
            return self.best_met >= self.bound;
        };
        let Some(demand) = self.demands.get(at) else { return false };
        let rest = self.order.len() - place;
        if !demand.must && self.best.is_some() && met + rest <= self.best_met {
            return false;
        }
        let is_equal =
            |other: usize| self.order.get(other).and_then(|&at| self.demands.get(at)) == Some(demand);
        let after = before.filter(|_| place > 0 && is_equal(place - 1));
        // Equal demands that were given up stay so: one after them could only do what they did not.
        let given_up = after.as_ref().is_some_and(Vec::is_empty);
        if !given_up {
            for choice in self.choices(demand, room, after.as_deref()) {
                self.take(&choice, room, 1);
                if let Some(slot) = self.chosen.get_mut(at) {
                    *slot = Some(choice.clone());
                }
                let stop = self.next(place + 1, room, met + usize::from(!demand.must), Some(choice.clone()));
                self.take(&choice, room, -1);
                if let Some(slot) = self.chosen.get_mut(at) {
                    *slot = None;
                }
                if stop {
                    return true;
                }
            }
        }
        if demand.must { false } else { self.next(place + 1, room, met, Some(Vec::new())) }
    }

    fn take(&self, choice: &[usize], room: &mut Room, sign: i64) {
        for &number in choice {
            let Some(partition) = self.stock.partitions.get(number) else { continue };
            if sign > 0 {
                room.taken.insert(number);
            } else {
                room.taken.remove(&number);
            }
            let Some(left) = room.left.get_mut(partition.whole) else { continue };
            for &(counter, amount) in &partition.takes {
                if let Some(left) = left.get_mut(counter) {
                    *left -= sign * amount;
                }
            }
        }
    }

    /// All ways to meet a demand, in the order of the partitions, from behind what an equal demand has. Of whole devices
    /// that are alike and in the same state only the first is tried.
    fn choices(&mut self, demand: &Demand, room: &Room, after: Option<&[usize]>) -> Vec<Vec<usize>> {
        let wanted: Vec<(&BTreeSet<usize>, usize)> =
            demand.requests.iter().map(|(matching, count)| (matching, *count)).collect();
        let mut ways = Vec::new();
        for &node in &demand.nodes {
            self.ways_on(node, &wanted, 0, &mut room.clone(), &mut Vec::new(), &mut ways);
        }
        // Not everything was looked at.
        self.over |= ways.len() >= MOST_WAYS;
        if let Some(after) = after {
            ways.retain(|way| way.as_slice() > after);
        }
        ways.sort_unstable();
        let mut seen = BTreeSet::new();
        ways.retain(|way| match (way.as_slice(), self.classes.is_empty()) {
            ([only], false) => self.state_with(*only, room).is_none_or(|state| seen.insert(state)),
            _ => true,
        });
        ways
    }

    /// The class and the state of the whole device of a partition, and which of its partitions that is.
    fn state_with(&self, number: usize, room: &Room) -> Option<(usize, Vec<i64>, Vec<bool>, usize)> {
        let whole = self.stock.partitions.get(number)?.whole;
        let partitions = &self.stock.wholes.get(whole)?.partitions;
        let taken = partitions.iter().map(|other| room.taken.contains(other)).collect();
        let place = partitions.iter().position(|&other| other == number)?;
        Some((*self.classes.get(whole)?, room.left.get(whole)?.clone(), taken, place))
    }

    fn ways_on(
        &self,
        node: usize,
        wanted: &[(&BTreeSet<usize>, usize)],
        from: usize,
        room: &mut Room,
        current: &mut Vec<usize>,
        ways: &mut Vec<Vec<usize>>,
    ) {
        let Some(((matching, count), rest)) = wanted.split_first() else {
            ways.push(current.clone());
            return;
        };
        if *count == 0 {
            return self.ways_on(node, rest, 0, room, current, ways);
        }
        for &number in matching.range(from..) {
            if ways.len() >= MOST_WAYS {
                return;
            }
            let Some(partition) = self.stock.partitions.get(number) else { continue };
            let on_node = self.stock.wholes.get(partition.whole).is_some_and(|whole| whole.node == node);
            let left = room.left.get(partition.whole);
            let fits = left.is_some_and(|left| {
                partition
                    .takes
                    .iter()
                    .all(|(counter, amount)| left.get(*counter).is_some_and(|left| left >= amount))
            });
            if !on_node || !fits || room.taken.contains(&number) {
                continue;
            }
            self.take(&[number], room, 1);
            current.push(number);
            let mut fewer: Vec<(&BTreeSet<usize>, usize)> = wanted.to_vec();
            if let Some(first) = fewer.first_mut() {
                first.1 -= 1;
            }
            self.ways_on(node, &fewer, number + 1, room, current, ways);
            current.pop();
            self.take(&[number], room, -1);
        }
    }
}
