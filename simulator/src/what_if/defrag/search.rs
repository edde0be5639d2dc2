//! Sets of moves in the order of their size, and what may be left out.
//!
//! A pod needs its room on some node, and evicting pods makes room only where they are, or where their devices reach. So
//! a set is worth a simulation only if, after its evictions, each pod that is to be admitted fits on some node by
//! itself. That holds as long as evictions can only help a pod, which they do unless it must be near other pods or
//! spread among them, and as long as nobody keeps others off nodes beside its own; else every set is tried.

use std::collections::BTreeSet;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::DefragQuestion;
use super::movable::Movable;
use super::trial::{Trial, Tried, name_of, tried};
use crate::report::PodOutcome;
use crate::schedule::{ClusterState, Observer, PodId, PodPlace, SimulateError};
use crate::what_if::ground::Ground;

/// What looking came to.
pub(super) enum Found {
    Plan(Box<Trial>),
    /// Nothing helps, and why that is sure.
    Impossible(String),
    /// Nothing of at most so many moves helps.
    NotWithinMoves,
    /// Why it is not known.
    Undecided(String),
}

pub(super) struct Search<'s> {
    ground: &'s Ground<'s>,
    base: &'s ClusterState,
    targets: &'s [PodId],
    movable: &'s Movable,
    question: &'s DefragQuestion,
    shared: BTreeSet<PodId>,
    tried: usize,
    /// Sets of fewer moves are no plans.
    lower_bound: usize,
    /// Whether some trial was undecided.
    undecided: bool,
    /// By node: what [`that_make_room`](Self::that_make_room) found.
    rooms: FxHashMap<usize, Option<Rc<[PodId]>>>,
}

/// Where not everything can be tried, so many nodes are.
const MOST_GREEDY_NODES: usize = 200;

impl<'s> Search<'s> {
    pub(super) fn new(
        ground: &'s Ground<'s>,
        base: &'s ClusterState,
        targets: &'s [PodId],
        movable: &'s Movable,
        question: &'s DefragQuestion,
    ) -> Self {
        let shared = movable.with_shared_devices(base);
        Self {
            ground,
            base,
            targets,
            movable,
            question,
            shared,
            tried: 0,
            lower_bound: 0,
            undecided: false,
            rooms: FxHashMap::default(),
        }
    }

    pub(super) fn tried(&self) -> usize {
        self.tried
    }

    pub(super) fn lower_bound(&self) -> usize {
        self.lower_bound
    }

    pub(super) fn run(&mut self, observer: &mut dyn Observer) -> Result<Found, SimulateError> {
        if let Some(found) = self.simulate(&[])? {
            return Ok(Found::Plan(found));
        }
        if !self.undecided {
            self.lower_bound = 1;
        }
        let evictions_help = self.targets.iter().all(|&id| self.evictions_help(id));
        // By themselves, with every movable pod gone: who does not fit then never will.
        if evictions_help && let Some(hopeless) = self.hopeless()? {
            return Ok(hopeless);
        }
        let evictions_are_local = self.evictions_are_local();
        let most = self.question.most_moves.min(self.movable.pods.len());
        for size in 1..=most {
            observer.progress(size, most + 1);
            let mut complete = true;
            let mut seen: BTreeSet<Vec<PodId>> = BTreeSet::new();
            if evictions_help
                && evictions_are_local
                && let [only] = self.targets
            {
                // First the sets that are on one node, then those with others that make room for the evicted.
                let (plan, known) = self.sets_with_room(*only, size, &mut seen)?;
                if let Some(plan) = plan {
                    return Ok(Found::Plan(plan));
                }
                complete &= known;
            } else {
                let limit = self.question.most_tries.saturating_mul(4);
                for (looked, numbers) in Combinations::new(self.movable.pods.len(), size).enumerate() {
                    if looked >= limit {
                        complete = false;
                        break;
                    }
                    let set: Vec<PodId> =
                        numbers.iter().filter_map(|&at| self.movable.pods.get(at).copied()).collect();
                    if let Some(plan) = self.simulate_once(&set, &mut seen)? {
                        return Ok(Found::Plan(plan));
                    }
                    if self.is_over() {
                        complete = false;
                        break;
                    }
                }
            }
            if !complete || self.is_over() {
                return self.greedy();
            }
            if !self.undecided {
                self.lower_bound = size + 1;
            }
        }
        if self.undecided {
            return self.greedy();
        }
        Ok(if most == self.movable.pods.len() {
            Found::Impossible("every set of pods that may move was tried".to_owned())
        } else {
            Found::NotWithinMoves
        })
    }

    fn is_over(&self) -> bool {
        self.tried >= self.question.most_tries
    }

    /// A set of moves if it is new and the budgets allow it.
    fn simulate_once(
        &mut self,
        set: &[PodId],
        seen: &mut BTreeSet<Vec<PodId>>,
    ) -> Result<Option<Box<Trial>>, SimulateError> {
        let mut key = set.to_vec();
        key.sort_unstable();
        if !seen.insert(key) || !self.movable.allows(set) {
            return Ok(None);
        }
        self.simulate(set)
    }

    /// With the scheduler's own choice of nodes, then with the first pod bound to each of the nodes that somebody leaves.
    fn simulate(&mut self, set: &[PodId]) -> Result<Option<Box<Trial>>, SimulateError> {
        self.tried += 1;
        match tried(self.ground, self.base, self.targets, set, None)? {
            Tried::Plan(trial) => return Ok(Some(trial)),
            Tried::No => {}
            Tried::Undecided => self.undecided = true,
        }
        let places = set.iter().filter_map(|&id| match self.base.pod(id)?.1 {
            PodPlace::Node(at) => Some(at),
            _ => None,
        });
        let nodes: BTreeSet<usize> = places.collect();
        for at in nodes {
            match tried(self.ground, self.base, self.targets, set, Some(at))? {
                Tried::Plan(trial) => return Ok(Some(trial)),
                Tried::No => {}
                Tried::Undecided => self.undecided = true,
            }
        }
        Ok(None)
    }

    /// Whether more evictions never take away a place of the pod, wherever others of its group are.
    fn evictions_help(&self, id: PodId) -> bool {
        let Some((pod, _)) = self.base.pod(id) else { return false };
        let spreads = pod.spec.topology_spread.iter().any(|one| one.required);
        pod.spec.pod_affinity.required.is_empty() && !spreads && !self.base.keeps_together(id)
    }

    /// Whether an eviction makes room only where the pod was, or where its devices reach: nobody keeps others off nodes
    /// beside its own.
    fn evictions_are_local(&self) -> bool {
        let mut pods = self.targets.iter().chain(&self.movable.pods).filter_map(|&id| self.base.pod(id));
        pods.all(|(pod, _)| pod.spec.pod_anti_affinity.required.is_empty())
    }

    /// A pod that does not fit even with every movable pod gone.
    fn hopeless(&mut self) -> Result<Option<Found>, SimulateError> {
        for &id in self.targets {
            let mut fork = self.base.clone();
            for &other in &self.movable.pods {
                fork.evict(other);
            }
            let attempt = fork.attempt(id, self.ground.cancel)?;
            match attempt.outcome {
                PodOutcome::Scheduled => {}
                PodOutcome::Undecided => {
                    self.undecided = true;
                    return Ok(None);
                }
                _ => {
                    let message = format!(
                        "pod `{}` has no place even without all pods that may move: {}",
                        name_of(self.base, id),
                        attempt.message.unwrap_or_default()
                    );
                    return Ok(Some(Found::Impossible(message)));
                }
            }
        }
        Ok(None)
    }

    /// Whether a pod fits on a node after evictions.
    fn fits(&mut self, id: PodId, at: usize, evicted: &[PodId]) -> Result<bool, SimulateError> {
        let mut fork = self.base.clone();
        for &other in evicted {
            fork.evict(other);
        }
        let outcome = fork.attempt_on(&[at], id, self.ground.cancel)?.outcome;
        // What is not known is worth a trial.
        self.undecided |= outcome == PodOutcome::Undecided;
        Ok(matches!(outcome, PodOutcome::Scheduled | PodOutcome::Undecided))
    }

    /// The movable pods that matter on a node, if the pod fits there without all of them.
    fn that_make_room(&mut self, id: PodId, at: usize) -> Result<Option<Rc<[PodId]>>, SimulateError> {
        if let Some(known) = self.rooms.get(&at) {
            return Ok(known.clone());
        }
        let matter = self.movable.that_matter(self.base, at, &self.shared);
        let room = self.fits(id, at, &matter)?.then(|| Rc::from(matter));
        self.rooms.insert(at, room.clone());
        Ok(room)
    }

    /// Simulates all sets of a size whose evictions make room for the pod on some node; false where there are too many of
    /// them to look at.
    fn sets_with_room(
        &mut self,
        id: PodId,
        size: usize,
        seen: &mut BTreeSet<Vec<PodId>>,
    ) -> Result<(Option<Box<Trial>>, bool), SimulateError> {
        let mut looked = 0;
        let limit = self.question.most_tries.saturating_mul(4);
        for &at in self.base.node_numbers().iter() {
            let Some(matter) = self.that_make_room(id, at)? else { continue };
            // Of those that matter as few as possible, and the others from elsewhere.
            for inner in (1..=size.min(matter.len())).rev() {
                for numbers in Combinations::new(matter.len(), inner) {
                    looked += 1;
                    if looked > limit {
                        return Ok((None, false));
                    }
                    let set: Vec<PodId> = numbers.iter().filter_map(|&at| matter.get(at).copied()).collect();
                    if !self.movable.allows(&set) || !self.fits(id, at, &set)? {
                        continue;
                    }
                    let rest: Vec<PodId> = if inner == size {
                        Vec::new()
                    } else {
                        let matter: FxHashSet<PodId> = matter.iter().copied().collect();
                        self.movable.pods.iter().copied().filter(|other| !matter.contains(other)).collect()
                    };
                    for more in Combinations::new(rest.len(), size - inner) {
                        looked += 1;
                        if looked > limit {
                            return Ok((None, false));
                        }
                        let more = more.iter().filter_map(|&at| rest.get(at).copied());
                        let set: Vec<PodId> = set.iter().copied().chain(more).collect();
                        if let Some(plan) = self.simulate_once(&set, seen)? {
                            return Ok((Some(plan), true));
                        }
                        if self.is_over() {
                            return Ok((None, false));
                        }
                    }
                }
            }
        }
        Ok((None, true))
    }

    /// Node by node, as many of the pods that matter there as it takes for the pod to fit, then fewer again; simulated as
    /// often as a set is found, up to a number of nodes.
    fn greedy_on_nodes(&mut self, id: PodId) -> Result<Option<Box<Trial>>, SimulateError> {
        let mut nodes = 0;
        let mut best: Option<Box<Trial>> = None;
        for &at in self.base.node_numbers().iter() {
            if nodes >= MOST_GREEDY_NODES {
                break;
            }
            let Some(matter) = self.that_make_room(id, at)? else { continue };
            nodes += 1;
            let most = best.as_ref().map_or(self.question.most_moves, |best| best.evicted.len() - 1);
            let mut set: Vec<PodId> = Vec::new();
            for &other in matter.iter() {
                let more: Vec<PodId> = set.iter().copied().chain([other]).collect();
                if self.movable.allows(&more) {
                    set = more;
                }
            }
            if !self.fits(id, at, &set)? {
                continue;
            }
            for other in set.clone() {
                let fewer: Vec<PodId> = set.iter().copied().filter(|&one| one != other).collect();
                if !fewer.is_empty() && self.fits(id, at, &fewer)? {
                    set = fewer;
                }
            }
            if set.is_empty() || set.len() > most {
                continue;
            }
            if let Some(found) = self.simulate(&set)? {
                best = Some(found);
            }
        }
        Ok(best)
    }

    /// Where not everything could be tried: for each pod in turn the cheapest way, if there is one at all.
    fn greedy(&mut self) -> Result<Found, SimulateError> {
        if let [only] = self.targets
            && let Some(found) = self.greedy_on_nodes(*only)?
        {
            return Ok(Found::Plan(found));
        }
        let mut set: Vec<PodId> = Vec::new();
        // Grows until everybody fits, then shrinks again.
        for &id in &self.movable.pods {
            if set.len() >= self.question.most_moves {
                break;
            }
            let mut more = set.clone();
            more.push(id);
            if self.movable.allows(&more) {
                set = more;
            }
        }
        let mut best = match tried(self.ground, self.base, self.targets, &set, None)? {
            Tried::Plan(trial) => trial,
            Tried::No | Tried::Undecided => {
                let why = if self.undecided {
                    "a search for devices ended at its budget".to_owned()
                } else {
                    format!("looking ended after {} sets of moves", self.tried)
                };
                return Ok(Found::Undecided(why));
            }
        };
        for id in set {
            let fewer: Vec<PodId> = best.evicted.iter().copied().filter(|&other| other != id).collect();
            if let Tried::Plan(trial) = tried(self.ground, self.base, self.targets, &fewer, None)? {
                best = trial;
            }
        }
        Ok(Found::Plan(best))
    }
}

/// The subsets of a size of the numbers below a bound, in the order of their members.
struct Combinations {
    bound: usize,
    next: Option<Vec<usize>>,
}

impl Combinations {
    fn new(bound: usize, size: usize) -> Self {
        Self { bound, next: (size <= bound).then(|| (0..size).collect()) }
    }
}

impl Iterator for Combinations {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        let current = self.next.take()?;
        let size = current.len();
        let mut following = current.clone();
        let movable = (0..size)
            .rev()
            .find(|&at| current.get(at).is_some_and(|&number| number + size < self.bound + at));
        if let Some(at) = movable {
            let first = current.get(at).copied().unwrap_or_default() + 1;
            for (number, place) in (first..).zip(following.iter_mut().skip(at)) {
                *place = number;
            }
            self.next = Some(following);
        }
        Some(current)
    }
}

#[cfg(test)]
mod tests {
    use super::Combinations;

    #[test]
    fn every_subset_comes_once() {
        let all = |bound, size| Combinations::new(bound, size).collect::<Vec<_>>();
        assert_eq!(all(3, 2), [vec![0, 1], vec![0, 2], vec![1, 2]]);
        assert_eq!(all(3, 0), [Vec::<usize>::new()]);
        assert_eq!(all(2, 3), Vec::<Vec<usize>>::new());
        assert_eq!(all(7, 3).len(), 35);
    }
}
