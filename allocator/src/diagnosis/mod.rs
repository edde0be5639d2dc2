//! Why nothing fits: the first request that fails, and what keeps each device from serving it.
//!
//! An unsatisfiable answer alone says nothing about its cause. A diagnosis finds the shortest beginning of the
//! question (claims and requests in order) that is unsatisfiable by itself; its last request is the one that
//! fails. It then takes a solution with as many devices for that request as are possible, and says for every
//! other device why it cannot be one more.

mod candidates;
mod refusal;
mod text;

use std::mem;
use std::sync::Arc;

use crate::AllocatedState;
use crate::allocator::Allocator;
use crate::answer::Outcome;
use crate::objects::{AllocationMode, AllocationResult, DeviceClass, DeviceId, Node, PoolId, ResourceClaim};
use crate::profile::CounterSlices;
use crate::verify::Question;
use crate::verify::claim::asks;
use crate::verify::reach::{self, Unusable};

use candidates::Context;
pub use refusal::{Amounts, Holder, Refusal, SelectorSource};

/// Why a question has no solution on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Full name of the claim that cannot be satisfied.
    pub claim: String,
    /// Its request that cannot be satisfied together with all before it.
    pub request: String,
    /// What was tried: the request, or each of its alternatives.
    pub attempts: Vec<Attempt>,
    /// Pools of the node that nothing can be taken from.
    pub pools: Vec<UnusablePool>,
}

/// One request, or one alternative, that cannot be satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// `request` or `request/alternative`.
    pub request: String,
    /// How many devices it needs.
    pub needed: Needed,
    /// The most devices it can have.
    pub usable: Vec<DeviceId>,
    /// Every other device of the node, in search order, and why it cannot be one more.
    pub refused: Vec<Refused>,
}

/// How many devices a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// This many.
    Count(usize),
    /// `allocationMode: All`: every matching device, of which there are this many; at least one.
    All {
        /// Devices that match.
        matching: usize,
    },
}

/// A device that cannot serve the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The device.
    pub device: DeviceId,
    /// The first reason, static ones before those that depend on what is in use.
    pub refusal: Refusal,
}

/// A pool of the node that nothing can be taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusablePool {
    /// The pool.
    pub pool: PoolId,
    /// Why.
    pub state: UnusablePoolState,
}

/// Why nothing can be taken from a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnusablePoolState {
    /// Its slices of the current generation are not as many as announced.
    Incomplete {
        /// How many slices there are.
        found: usize,
        /// How many the driver announced.
        announced: i64,
    },
    /// Its slices contradict each other.
    Invalid {
        /// Upstream's words for it.
        reason: String,
    },
}

impl Attempt {
    /// How many devices were refused for each kind of reason, most frequent first; kinds as in
    /// [`Refusal::group`].
    pub fn counts(&self) -> Vec<(String, usize)> {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for refused in &self.refused {
            let group = refused.refusal.group();
            match counts.iter_mut().find(|(known, _)| *known == group) {
                Some((_, count)) => *count += 1,
                None => counts.push((group, 1)),
            }
        }
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// The device that came furthest before it was refused.
    pub fn nearest_miss(&self) -> Option<&Refused> {
        // The first of the furthest.
        self.refused.iter().rev().max_by_key(|refused| refused.refusal.stage())
    }
}

impl Diagnosis {
    /// The device that came furthest before it was refused, over all alternatives, and for which of them.
    pub fn nearest_miss(&self) -> Option<(&Attempt, &Refused)> {
        let misses = self.attempts.iter().filter_map(|attempt| Some((attempt, attempt.nearest_miss()?)));
        misses.rev().max_by_key(|(_, refused)| refused.refusal.stage())
    }
}

/// Explains why the claims cannot be allocated on the node.
///
/// Meant for a question that [`Allocator::allocate`] found unsatisfiable. It asks the allocator several more
/// questions, one for each request and a few for the failing one, with `budget` steps for all of them together.
/// `None` where no failing request is found: the question has a solution or an error, or the budget ran out.
pub fn diagnose(
    allocator: &mut Allocator,
    state: &AllocatedState,
    node: &Node,
    claims: &[&ResourceClaim],
    budget: u64,
) -> Option<Diagnosis> {
    let mut solver = Solver { allocator, state, node, left: budget };
    let (claim_index, request_index) = failing_request(&mut solver, claims)?;
    let claim = *claims.get(claim_index)?;
    let request = claim.requests.get(request_index)?;
    let before: Vec<&ResourceClaim> = claims.get(..claim_index)?.to_vec();

    let profile = solver.allocator.profile();
    let inventory = solver.allocator.inventory().clone();
    let counters_everywhere = profile.counter_slices == CounterSlices::Everywhere;
    let slices = inventory.slices_that_matter(&node.name, counters_everywhere);
    let classes = classes_of(solver.allocator, claims);
    let question = |profile| Question {
        profile,
        features: solver.allocator.features(),
        node,
        slices: &slices,
        classes: &classes,
        state,
        claims,
    };
    let question = question(&profile);
    let pools = reach::pools(&question)?;
    let reached = reach::reached_devices(&pools);
    // Diagnoses come in series, one for each node; compiling is most of the work.
    let mut programs = mem::take(&mut solver.allocator.diagnosed);
    programs.add(&question);

    let mut attempts = Vec::new();
    for (place, ask) in asks(claim, request_index).into_iter().enumerate() {
        let most = match ask.mode {
            AllocationMode::ExactCount => {
                let needed = usize::try_from(ask.count).unwrap_or(0);
                let with = |count: usize| beginning(claim, request_index, Some((place, count)));
                most_devices(&mut solver, &before, needed.min(reached.len() + 1), with)
            }
            // The devices of a request for all follow from what came before it.
            _ => solver.solve(&before, &beginning(claim, request_index, None)).solution(),
        };
        let context = Context::new(&question, &pools, &reached, &programs, claim_index, most.as_deref());
        attempts.push(context.attempt(&ask));
    }
    solver.allocator.diagnosed = programs;
    let pools = pools.iter().filter_map(|pool| {
        let state = match pool.unusable.clone()? {
            Unusable::Incomplete { found, announced } => UnusablePoolState::Incomplete { found, announced },
            Unusable::Invalid { reason } => UnusablePoolState::Invalid { reason },
        };
        Some(UnusablePool { pool: pool.id.clone(), state })
    });
    let pools = pools.collect();
    Some(Diagnosis { claim: claim.full_name(), request: request.name.clone(), attempts, pools })
}

/// Asks for parts of the question.
struct Solver<'q> {
    allocator: &'q mut Allocator,
    state: &'q AllocatedState,
    node: &'q Node,
    left: u64,
}

enum Solved {
    Yes(Vec<AllocationResult>),
    No,
    /// An error, or not decided.
    Unknown,
}

impl Solved {
    fn solution(self) -> Option<Vec<AllocationResult>> {
        match self {
            Self::Yes(results) => Some(results),
            Self::No | Self::Unknown => None,
        }
    }
}

impl Solver<'_> {
    fn solve(&mut self, before: &[&ResourceClaim], last: &ResourceClaim) -> Solved {
        let claims: Vec<&ResourceClaim> = before.iter().copied().chain([last]).collect();
        let answer = self.allocator.allocate(self.state, self.node, &claims, &mut String::new, self.left);
        self.left = self.left.saturating_sub(answer.steps);
        match answer.outcome {
            Outcome::Allocated(results) => Solved::Yes(Arc::unwrap_or_clone(results)),
            Outcome::Unsatisfiable { .. } => Solved::No,
            Outcome::Error(_) | Outcome::Undecided => Solved::Unknown,
        }
    }
}

/// The last request of the shortest unsatisfiable beginning: claim and request.
fn failing_request(solver: &mut Solver<'_>, claims: &[&ResourceClaim]) -> Option<(usize, usize)> {
    for (claim_index, claim) in claims.iter().enumerate() {
        let before = claims.get(..claim_index)?;
        for request_index in 0..claim.requests.len() {
            match solver.solve(before, &beginning(claim, request_index + 1, None)) {
                Solved::Yes(_) => {}
                Solved::No => return Some((claim_index, request_index)),
                Solved::Unknown => return None,
            }
        }
    }
    None
}

/// The claim with its first requests only, and, where given, with one alternative and another count for the
/// request after them.
fn beginning(claim: &ResourceClaim, requests: usize, last: Option<(usize, usize)>) -> ResourceClaim {
    let mut claim = claim.clone();
    claim.requests.truncate(requests + usize::from(last.is_some()));
    if let (Some((alternative, count)), Some(request)) = (last, claim.requests.get_mut(requests)) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if let Some(exact) = &mut request.exactly {
            exact.count = count;
        }
        request.first_available = request.first_available.get(alternative).cloned().into_iter().collect();
        for only in &mut request.first_available {
            only.count = count;
        }
    }
    claim
}

/// A solution with the most devices for the last request, below `needed`, which is known to be too many.
fn most_devices(
    solver: &mut Solver<'_>,
    before: &[&ResourceClaim],
    needed: usize,
    with: impl Fn(usize) -> ResourceClaim,
) -> Option<Vec<AllocationResult>> {
    let mut best = solver.solve(before, &with(0)).solution();
    let (mut possible, mut impossible) = (0, needed);
    while possible + 1 < impossible {
        let middle = usize::midpoint(possible, impossible);
        match solver.solve(before, &with(middle)) {
            Solved::Yes(results) => (best, possible) = (Some(results), middle),
            Solved::No | Solved::Unknown => impossible = middle,
        }
    }
    best
}

pub(crate) fn classes_of(allocator: &Allocator, claims: &[&ResourceClaim]) -> Vec<DeviceClass> {
    let mut classes: Vec<DeviceClass> = Vec::new();
    for claim in claims {
        for ask in (0..claim.requests.len()).flat_map(|index| asks(claim, index)) {
            if classes.iter().all(|known| known.name != ask.class) {
                classes.extend(allocator.class(ask.class).cloned());
            }
        }
    }
    classes
}
