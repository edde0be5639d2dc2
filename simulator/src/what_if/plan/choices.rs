//! Which devices with partitions in use to change: as few as serve most.
//!
//! Changing a device frees what is held of it, and the pods that hold it must be met again. At the prices of a bound that
//! is a gain by which the bound may grow, so choices whose gains are too small for a better layout need not be tried, and
//! the bounds say how many changes a number of served pods needs at least.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::field::{Field, StateId};
use super::fill::Filling;
use super::linked::Linked;
use super::pack::{Demands, Packing};
use super::prices::{Bound, ONE, wide};
use super::stock::Stock;
use crate::schedule::{Observer, PodId, SimulateError};
use crate::what_if::defrag::Movable;

/// Pods that wait and pods that may move, by lot.
pub(super) struct Pods<'p> {
    /// Those that wait, by lot.
    pub(super) waiting: Vec<Vec<PodId>>,
    /// The lot of each pod that may move with its partitions, and whether it could also stay as the plan sees it.
    pub(super) movers: FxHashMap<PodId, (usize, bool)>,
    pub(super) movable: &'p Movable,
}

/// A layout that was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) filling: Filling,
    pub(super) met: usize,
    /// Devices with partitions in use that change.
    pub(super) changed: BTreeSet<usize>,
    /// The pods that hold partitions of them.
    pub(super) movers: Vec<PodId>,
}

/// What looking for layouts came to.
pub(super) struct Answer {
    pub(super) layout: Layout,
    /// No layout serves more.
    pub(super) most: usize,
    /// No layout serves more that changes no more devices than allowed.
    pub(super) within: usize,
    /// No layout that serves as many changes fewer devices.
    pub(super) least: usize,
}

/// How far to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// At most so many devices change.
    pub(super) changes: usize,
    /// Steps of the search for the layouts of one choice.
    pub(super) steps: u64,
    /// At most so many choices.
    pub(super) choices: usize,
}

/// All choices together look at no more bins and demands than this; at least some are always tried.
const MOST_WORK: usize = 20_000_000;
const LEAST_CHOICES: usize = 16;

/// All numbers of changes up to this are tried, and of larger ones some.
const EVERY_SIZE: usize = 8;

/// A device that may change.
struct Candidate {
    whole: usize,
    pods: Vec<PodId>,
    /// How much more the bounds may be.
    gains: Vec<i64>,
    /// Number of the next candidate that is not alike.
    next: usize,
}

/// What makes two devices alike: gains, states before and after, lots and budgets of the pods.
type Alike<'a> = (StateId, StateId, Vec<(usize, &'a [String])>);

pub(super) struct Choices<'c, 'f> {
    pub(super) stock: &'c Stock<'c>,
    pub(super) field: &'c mut Field<'f>,
    pub(super) demands: Demands<'c>,
    pub(super) pods: &'c Pods<'c>,
    pub(super) limits: Limits,
    /// States of the whole devices now.
    pub(super) initial: Vec<StateId>,
}

/// What is known while choices of one size are looked at.
struct Looking {
    base: Packing,
    bounds: Vec<(Bound, i64)>,
    candidates: Vec<Candidate>,
    best: Layout,
    /// Nothing serves more.
    most: usize,
    /// The most that a choice of this size was found to serve at most.
    seen: usize,
    /// Choices that may still be tried.
    left: usize,
    tried: usize,
    cut: bool,
}

impl Choices<'_, '_> {
    /// Looks for the layout that serves most, and of those one that changes fewest devices.
    pub(super) fn best(&mut self, observer: &mut dyn Observer) -> Result<Answer, SimulateError> {
        let counts: Vec<usize> = self.pods.waiting.iter().map(Vec::len).collect();
        let demanded: usize = counts.iter().sum();
        let initial = self.initial.clone();
        let mut steps = self.limits.steps;
        let base = self.demands.pack(self.field, &initial, &counts, &mut steps)?;
        let changeable: Vec<usize> = (0..self.stock.wholes.len())
            .filter(|&whole| self.movers(&[whole]).is_some_and(|pods| !pods.is_empty()))
            .collect();
        let best = Layout {
            filling: base
                .best
                .clone()
                .unwrap_or_else(|| Filling::new(initial.clone(), self.demands.lots.len())),
            met: base.met,
            ..Layout::default()
        };
        let mut uppers = vec![base.most.unwrap_or(0).min(demanded)];
        if base.met >= demanded || changeable.is_empty() {
            let most = uppers.first().copied().unwrap_or(demanded);
            return Ok(Answer { layout: best, most, within: most, least: 0 });
        }
        let (all, most) = self.with_all_changed(&changeable, &counts, base.met)?;
        let most = most.min(demanded).max(base.met);
        let mut bounds = vec![base.bound.clone(), all];
        let bounds = bounds.drain(..).map(|mut bound| {
            let exact = self.exact(&mut bound, &counts);
            (bound, exact)
        });
        let bounds = bounds.collect();
        let mut looking = Looking {
            base,
            bounds,
            candidates: Vec::new(),
            best,
            most,
            seen: 0,
            left: 0,
            tried: 0,
            cut: false,
        };
        looking.candidates = self.candidates(&changeable, &mut looking.bounds);
        let sizes = sizes(self.limits.changes.min(changeable.len()));
        let cost = self.field.bins.len() + demanded;
        let allowed = self.limits.choices.min((MOST_WORK / cost.max(1)).max(LEAST_CHOICES));
        for (at, &size) in sizes.iter().enumerate() {
            if looking.best.met >= looking.most {
                break;
            }
            for skipped in uppers.len()..size {
                uppers.push(looking.at_most(skipped));
            }
            let bound = looking.at_most(size);
            uppers.push(bound);
            if bound <= looking.best.met {
                continue;
            }
            // What a size leaves of its part is for those that follow.
            looking.left = (allowed - looking.tried.min(allowed)) / (sizes.len() - at);
            (looking.seen, looking.cut) = (0, false);
            let sums: Vec<i64> = looking.bounds.iter().map(|(_, exact)| *exact).collect();
            observer.progress(at, sizes.len());
            self.pick(&mut looking, 0, size, &mut Vec::new(), &sums, &counts)?;
            if !looking.cut
                && let Some(upper) = uppers.last_mut()
            {
                *upper = bound.min(looking.seen);
            }
        }
        let Looking { best, most, .. } = looking;
        let least =
            (0..best.changed.len()).find(|&size| uppers.get(size).is_none_or(|&upper| upper >= best.met));
        let most = most.max(best.met);
        // Sizes behind the one with a layout that serves most were not looked at.
        let within = uppers.iter().copied().max().filter(|_| best.met < most).unwrap_or(most);
        Ok(Answer {
            least: least.unwrap_or(best.changed.len()),
            within: within.clamp(best.met, most),
            most,
            layout: best,
        })
    }

    /// The bound of the present states at the prices of a bound.
    fn exact(&mut self, bound: &mut Bound, counts: &[usize]) -> i64 {
        let mut exact: i64 = 0;
        for ((lot, &count), &price) in self.demands.lots.iter().zip(counts).zip(&bound.of_lots) {
            if !lot.must {
                exact = exact.saturating_add((ONE - price).saturating_mul(wide(count)));
            }
        }
        for &state in &self.initial {
            exact = exact.saturating_add(bound.worth.of(self.field, state));
        }
        exact
    }

    /// The bound of what could be served if everything changed that may, whatever budgets say: nobody serves more.
    fn with_all_changed(
        &mut self,
        changeable: &[usize],
        counts: &[usize],
        met: usize,
    ) -> Result<(Bound, usize), SimulateError> {
        let mut pods = BTreeSet::new();
        for &whole in changeable {
            pods.extend(self.movers(&[whole]).into_iter().flatten());
        }
        let pods: Vec<PodId> = pods.into_iter().collect();
        let mut states = self.initial.clone();
        self.release(&pods, &mut states);
        let mut counts = counts.to_vec();
        // Who could not stay where it is, as the plan sees it, does stay where a device does not change.
        for id in &pods {
            if let Some(&(lot, true)) = self.pods.movers.get(id)
                && let Some(count) = counts.get_mut(lot)
            {
                *count += 1;
            }
        }
        let bound = self.demands.bound(self.field, &states, &counts, met);
        let Some(mut most) = bound.most() else { return Ok((bound, usize::MAX)) };
        if most > met && counts.iter().sum::<usize>() <= super::pack::MOST_DEMANDS {
            let mut steps = self.limits.steps;
            let packing = self.demands.pack(self.field, &states, &counts, &mut steps)?;
            most = packing.most.map_or(most, |exact| exact.min(most));
        }
        Ok((bound, most))
    }

    /// The pods that hold partitions of these devices, if all of them may move together.
    fn movers(&self, changed: &[usize]) -> Option<Vec<PodId>> {
        let mut pods = BTreeSet::new();
        for &whole in changed {
            if !self.stock.is_divided(whole) {
                return None;
            }
            for number in self.stock.wholes.get(whole)?.forms.iter().flat_map(|form| &form.partitions) {
                if self.stock.stuck.contains(number) {
                    return None;
                }
                pods.extend(self.stock.holders.get(number).into_iter().flatten().copied());
            }
        }
        let pods: Vec<PodId> = pods.into_iter().collect();
        let may = pods.iter().all(|id| self.pods.movers.contains_key(id)) && self.pods.movable.allows(&pods);
        may.then_some(pods)
    }

    /// Gives back what these pods hold.
    fn release(&mut self, pods: &[PodId], states: &mut [StateId]) {
        for number in pods.iter().filter_map(|id| self.stock.of_pod.get(id)).flatten() {
            let Some(partition) = self.stock.partitions.get(*number) else { continue };
            if let Some(state) = states.get_mut(partition.whole) {
                *state = self.field.changed(*state, partition.form, -1);
            }
        }
    }

    /// The devices that may change, with what each may add to the bounds: those first that may add most.
    fn candidates(&mut self, changeable: &[usize], bounds: &mut [(Bound, i64)]) -> Vec<Candidate> {
        let touched: Vec<(Vec<PodId>, BTreeSet<usize>)> = changeable
            .iter()
            .map(|&whole| {
                let pods = self.movers(&[whole]).unwrap_or_default();
                let of_pods = pods.iter().filter_map(|id| self.stock.of_pod.get(id)).flatten();
                let wholes = of_pods.filter_map(|&number| Some(self.stock.partitions.get(number)?.whole));
                let wholes = wholes.chain([whole]).collect();
                (pods, wholes)
            })
            .collect();
        // Devices that hang together by pods that hold partitions of several.
        let mut linked = Linked::new(self.stock.wholes.len());
        for (_, wholes) in &touched {
            linked.link(wholes.iter().copied());
        }
        let mut of_first: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (number, (_, wholes)) in touched.iter().enumerate() {
            if let (true, Some(&whole)) = (wholes.len() > 1, changeable.get(number)) {
                of_first.entry(linked.first(whole)).or_default().insert(number);
            }
        }
        let singles = self.field.bins.len() == self.stock.wholes.len();
        let mut found: Vec<(Option<Alike<'_>>, Candidate)> = Vec::new();
        for (&whole, (pods, _)) in changeable.iter().zip(&touched) {
            // Alone, a device is freed of its pods, which must be met again; of several that hang together all count as
            // freed and nobody as met again.
            let together = of_first.get(&linked.first(whole));
            let group: BTreeSet<PodId> = match together {
                Some(numbers) => numbers
                    .iter()
                    .filter_map(|&number| touched.get(number))
                    .flat_map(|(pods, _)| pods.iter().copied())
                    .chain(pods.iter().copied())
                    .collect(),
                None => pods.iter().copied().collect(),
            };
            let mut states = Vec::new();
            let mut freed: BTreeMap<usize, StateId> = BTreeMap::new();
            for number in group.iter().filter_map(|id| self.stock.of_pod.get(id)).flatten() {
                let Some(partition) = self.stock.partitions.get(*number) else { continue };
                let Some(&now) = self.initial.get(partition.whole) else { continue };
                let state = freed.entry(partition.whole).or_insert(now);
                *state = self.field.changed(*state, partition.form, -1);
            }
            for (&whole, &after) in &freed {
                states.extend(self.initial.get(whole).map(|&before| (before, after)));
            }
            let gains = bounds.iter_mut().map(|(bound, _)| {
                let mut gain: i64 = 0;
                for &(before, after) in &states {
                    let more = bound.worth.of(self.field, after) - bound.worth.of(self.field, before);
                    gain = gain.saturating_add(if together.is_some() { more.max(0) } else { more });
                }
                if together.is_none() {
                    for (lot, _) in pods.iter().filter_map(|id| self.pods.movers.get(id)) {
                        gain = gain.saturating_sub(bound.of_lots.get(*lot).copied().unwrap_or(0));
                    }
                }
                gain
            });
            let gains = gains.collect();
            let alike = match (states.as_slice(), singles && together.is_none()) {
                (&[(before, after)], true) => {
                    let mut of_pods: Vec<(usize, &[String])> = pods
                        .iter()
                        .filter_map(|id| {
                            Some((self.pods.movers.get(id)?.0, self.pods.movable.budgets_of(*id)))
                        })
                        .collect();
                    of_pods.sort_unstable();
                    Some((before, after, of_pods))
                }
                _ => None,
            };
            found.push((alike, Candidate { whole, pods: pods.clone(), gains, next: 0 }));
        }
        found.sort_by(|(one, left), (other, right)| {
            right.gains.cmp(&left.gains).then_with(|| one.cmp(other)).then(left.whole.cmp(&right.whole))
        });
        let mut next = found.len();
        for at in (0..found.len()).rev() {
            let alike = match (found.get(at), found.get(at + 1)) {
                (Some((one, _)), Some((other, _))) => one.is_some() && one == other,
                _ => false,
            };
            next = if alike { next } else { at + 1 };
            if let Some((_, candidate)) = found.get_mut(at) {
                candidate.next = next;
            }
        }
        found.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// Tries all choices of so many more candidates, from a place in their order on, that may be better than the best.
    fn pick(
        &mut self,
        looking: &mut Looking,
        from: usize,
        more: usize,
        chosen: &mut Vec<usize>,
        sums: &[i64],
        counts: &[usize],
    ) -> Result<bool, SimulateError> {
        if more == 0 {
            let bound = floor(sums);
            let upper = if bound > looking.best.met {
                if looking.left == 0 {
                    looking.cut = true;
                    return Ok(true);
                }
                looking.left -= 1;
                looking.tried += 1;
                self.try_choice(looking, chosen, bound, counts)?
            } else {
                bound
            };
            looking.seen = looking.seen.max(upper);
            return Ok(looking.best.met >= looking.most);
        }
        let mut at = from;
        while let Some(candidate) = looking.candidates.get(at) {
            // All that follow gain no more than this one by the first bound.
            let gain = candidate.gains.first().copied().unwrap_or(0);
            let first = sums.first().copied().unwrap_or(0);
            let bound = floor(&[first.saturating_add(gain.saturating_mul(wide(more)))]);
            if at + more > looking.candidates.len() {
                return Ok(false);
            }
            if bound <= looking.best.met {
                looking.seen = looking.seen.max(bound);
                return Ok(false);
            }
            let sums: Vec<i64> =
                sums.iter().zip(&candidate.gains).map(|(sum, gain)| sum.saturating_add(*gain)).collect();
            let next = candidate.next;
            chosen.push(at);
            let stop = self.pick(looking, at + 1, more - 1, chosen, &sums, counts)?;
            chosen.pop();
            if stop {
                return Ok(true);
            }
            at = next.max(at + 1);
        }
        Ok(false)
    }

    /// Lays out anew the devices of a choice; how many pods such a layout serves at most.
    fn try_choice(
        &mut self,
        looking: &mut Looking,
        chosen: &[usize],
        bound: usize,
        counts: &[usize],
    ) -> Result<usize, SimulateError> {
        let of: Vec<&Candidate> = chosen.iter().filter_map(|&at| looking.candidates.get(at)).collect();
        let changed: BTreeSet<usize> = of.iter().map(|candidate| candidate.whole).collect();
        let movers: BTreeSet<PodId> =
            of.iter().flat_map(|candidate| candidate.pods.iter().copied()).collect();
        let movers: Vec<PodId> = movers.into_iter().collect();
        if !self.pods.movable.allows(&movers) {
            return Ok(0);
        }
        let mut musts = vec![0; counts.len()];
        for (lot, _) in movers.iter().filter_map(|id| self.pods.movers.get(id)) {
            if let Some(must) = musts.get_mut(*lot) {
                *must += 1;
            }
        }
        // First beside what the layout without changes has.
        if let Some(base) = &looking.base.best {
            let mut filling = Filling::new(base.states.clone(), counts.len());
            self.release(&movers, &mut filling.states);
            let missing: Vec<usize> = (0..counts.len())
                .map(|lot| {
                    let placed = base.placed.get(lot).map_or(0, Vec::len);
                    counts.get(lot).copied().unwrap_or(0).saturating_sub(placed)
                        + musts.get(lot).copied().unwrap_or(0)
                })
                .collect();
            let worth = looking.bounds.last_mut().map(|(bound, _)| &mut bound.worth);
            if let Some(mut filling) = self.demands.fill(self.field, filling, &missing, worth)? {
                let met = looking.base.met + filling.met(self.demands.lots);
                if met > looking.best.met {
                    for (all, before) in filling.placed.iter_mut().zip(&base.placed) {
                        let more = std::mem::replace(all, before.clone());
                        all.extend(more);
                    }
                    looking.best = Layout { filling, met, changed: changed.clone(), movers: movers.clone() };
                }
                if met >= bound {
                    return Ok(bound);
                }
            }
        }
        let all: usize = counts.iter().chain(&musts).sum();
        if all > super::pack::MOST_DEMANDS {
            return Ok(bound);
        }
        let mut states = self.initial.clone();
        self.release(&movers, &mut states);
        let counts: Vec<usize> = counts.iter().zip(&musts).map(|(count, must)| count + must).collect();
        let mut steps = self.limits.steps;
        let packing = self.demands.pack(self.field, &states, &counts, &mut steps)?;
        if let Some(filling) = packing.best.filter(|_| packing.met > looking.best.met) {
            looking.best = Layout { filling, met: packing.met, changed, movers };
        }
        Ok(packing.most.unwrap_or(0).min(bound))
    }
}

impl Looking {
    /// No layout with so many changes serves more.
    fn at_most(&self, size: usize) -> usize {
        let bounds = self.bounds.iter().enumerate().map(|(number, (_, exact))| {
            let mut gains: Vec<i64> =
                self.candidates.iter().filter_map(|candidate| candidate.gains.get(number).copied()).collect();
            gains.sort_unstable_by(|one, other| other.cmp(one));
            gains.iter().take(size).fold(*exact, |sum, gain| sum.saturating_add(*gain))
        });
        floor(&bounds.collect::<Vec<_>>()).min(self.most)
    }
}

/// The least of some bounds, in demands.
fn floor(bounds: &[i64]) -> usize {
    let least = bounds.iter().copied().min().unwrap_or(i64::MAX);
    usize::try_from(least.div_euclid(ONE)).unwrap_or(0)
}

/// Numbers of changes that are tried.
fn sizes(most: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = (1..=most.min(EVERY_SIZE)).collect();
    while let Some(last) = sizes.last().copied().filter(|last| *last < most) {
        sizes.push((last + last / 2).min(most));
    }
    sizes
}
