//! The depth-first search, in upstream's order.

use fixedbitset::FixedBitSet;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::error::{AllocationError, ErrorKind};
use crate::inventory::PoolState;
use crate::problem::{Problem, RESULTS_MAX, Setting};
use crate::profile::{AllInAlternatives, ClaimLimit, OverLimit};

use super::candidate::{Chosen, Refusal};
use super::guide::Guide;
use super::leaps::{self, Leaps};
use super::memory::{self, Remainder};
use super::relaxation::Relaxation;
use super::selections::Selections;

/// How many failed remainders are kept, a bound for memory.
const MAX_REMEMBERED: usize = 200_000;

/// How a search ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// All claims are satisfied by the devices chosen, with these alternatives.
    Solved(Vec<SelectedAlternative>),
    Failed,
    Error(AllocationError),
    OutOfSteps,
    /// Choices failed more often than a walk without a guide should go on for.
    NeedsGuide,
}

/// The alternative that a solution uses for a request that has alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SelectedAlternative {
    pub(crate) claim: u32,
    pub(crate) request: u32,
    /// In [`Problem::choices`].
    pub(crate) choice: u32,
}

/// The place of one search node: a device that is to be found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) claim: u32,
    pub(crate) request: u32,
    /// The choice being worked on; `None` at the entry of a request.
    pub(crate) choice: Option<u32>,
    /// How many devices of the choice are chosen.
    pub(crate) ordinal: i64,
    /// The first position that may be chosen. Devices of one request are chosen in rising positions, so that each
    /// set is tried once.
    pub(crate) start: u32,
}

/// What is still to be tried when what comes after fails.
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// The remaining alternatives of a request.
    Alternatives { claim: u32, request: u32, next: u32, end: u32, all_over_limit: bool },
    /// A claim is complete; what follows belongs to the next.
    ClaimDone,
    /// A device was chosen out of those a request may choose from.
    Device(Place),
    /// A device was chosen because its request wants all.
    FixedDevice,
    /// If what comes after fails, the remainder written down last fails.
    Remember,
}

/// How a subtree ended without a solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    NoSolution,
    /// Every way would give the claim more devices than a result holds; trying other devices is useless.
    OverLimit,
}

enum Next {
    Enter(Place),
    Fail(Failure),
    End(Ending),
}

/// One walk over the search tree. It keeps its own stack, so the depth is not limited by the thread's.
pub(crate) struct Walk<'w, 's> {
    setting: &'s Setting<'s>,
    problem: &'s Problem<'s>,
    chosen: &'w mut Chosen<'s>,
    frames: SmallVec<[Frame; 8]>,
    leaps: Leaps,
    /// Devices before this position are of no use for the first choice.
    floor: &'w mut u32,
    steps: &'w mut u64,
    budget: u64,
    selections: Selections,
    /// How many choices may still fail before the walk asks for a guide.
    patience: Option<u32>,
    guide: Option<Guide>,
    /// Remainders that failed, and how.
    failed: FxHashMap<Remainder, Failure>,
    /// The remainders of the [`Frame::Remember`]s.
    pending: Vec<Remainder>,
}

impl<'w, 's> Walk<'w, 's> {
    pub(crate) fn new(
        setting: &'s Setting<'s>,
        problem: &'s Problem<'s>,
        chosen: &'w mut Chosen<'s>,
        floor: &'w mut u32,
        steps: &'w mut u64,
        budget: u64,
    ) -> Self {
        let selections = Selections::new(setting, problem, chosen);
        let leaps = Leaps::new(setting, problem, chosen, selections);
        Self {
            setting,
            problem,
            chosen,
            frames: SmallVec::new(),
            leaps,
            floor,
            steps,
            budget,
            selections,
            patience: None,
            guide: None,
            failed: FxHashMap::default(),
            pending: Vec::new(),
        }
    }

    /// Walks like upstream, but gives up with [`Ending::NeedsGuide`] after so many failed choices.
    pub(crate) fn try_without_guide(&mut self, patience: u32) -> Ending {
        // Where the walk leaves traces it cannot start again.
        self.patience = self.may_have_guide().then_some(patience);
        self.run()
    }

    fn may_have_guide(&self) -> bool {
        self.selections == Selections::Combinations && self.setting.view.barrier.is_none()
    }

    /// Walks with what can be known of the problem, if anything can.
    pub(crate) fn run_with_guide(&mut self) -> Ending {
        while !self.chosen.devices().is_empty() {
            self.chosen.undo();
        }
        self.frames.clear();
        self.patience = None;
        let (setting, problem) = (self.setting, self.problem);
        if !self.may_have_guide() {
            return self.run();
        }
        self.guide = Guide::new(problem, self.chosen, setting.profile, |number, position| {
            let choice = problem.choice(number);
            let claim = problem.claims[choice.claim as usize].claim;
            choice.selects(setting, claim, position).ok()
        });
        self.run()
    }

    /// Walks until there is a solution or nothing is left to try. The devices of a solution stay chosen.
    fn run(&mut self) -> Ending {
        let mut next = Next::Enter(Place { claim: 0, request: 0, choice: None, ordinal: 0, start: 0 });
        loop {
            next = match next {
                Next::Enter(place) => {
                    if *self.steps >= self.budget {
                        return Ending::OutOfSteps;
                    }
                    *self.steps += 1;
                    self.enter(place)
                }
                Next::Fail(failure) => match self.frames.pop() {
                    Some(frame) => self.resume(frame, failure),
                    None => Next::End(match failure {
                        Failure::NoSolution => Ending::Failed,
                        // Only counts below zero, which validation forbids, let this reach the top.
                        Failure::OverLimit => Ending::Error(AllocationError::new(
                            ErrorKind::TooManyDevices,
                            "allocation max size exceeded",
                        )),
                    }),
                },
                Next::End(ending) => return ending,
            };
        }
    }

    fn enter(&mut self, place: Place) -> Next {
        let Some(claim) = self.problem.claims.get(place.claim as usize) else {
            return Next::End(Ending::Solved(self.selected_alternatives()));
        };
        let Some(request) = claim.requests.get(place.request as usize) else {
            self.frames.push(Frame::ClaimDone);
            return Next::Enter(Place {
                claim: place.claim + 1,
                request: 0,
                choice: None,
                ordinal: 0,
                start: 0,
            });
        };
        if place.choice.is_none()
            && let Some(next) = self.consult(&place)
        {
            return next;
        }
        let number = match place.choice {
            Some(choice) => choice,
            None if request.has_alternatives => {
                let choices = request.choices.clone();
                return self.next_alternative(place.claim, place.request, choices.start, choices.end, true);
            }
            None => request.choices.start,
        };
        let choice = self.problem.choice(number);
        if choice.all_devices.as_ref().is_some_and(Vec::is_empty) {
            return Next::Fail(Failure::NoSolution);
        }
        if place.ordinal >= choice.count {
            return Next::Enter(Place {
                claim: place.claim,
                request: place.request + 1,
                choice: None,
                ordinal: 0,
                start: 0,
            });
        }
        if self.over_limit(&place, choice.count) {
            return Next::Fail(match self.setting.profile.over_limit {
                OverLimit::CutsBack => Failure::OverLimit,
                OverLimit::Failure => Failure::NoSolution,
            });
        }
        if place.choice.is_some()
            && let Some(next) = self.consult(&place)
        {
            return next;
        }
        let place = Place { choice: Some(number), ..place };
        match &choice.all_devices {
            Some(devices) => self.fixed_device(place, number, devices),
            None => self.scan(place, number),
        }
    }

    fn over_limit(&self, place: &Place, count: i64) -> bool {
        let results = self.chosen.results(place.claim);
        match self.setting.profile.claim_limit {
            ClaimLimit::WholeClaim => results.wrapping_add(count).wrapping_sub(place.ordinal) > RESULTS_MAX,
            ClaimLimit::EachRequest => count - place.ordinal > RESULTS_MAX - results,
        }
    }

    /// Goes on after everything behind a choice failed.
    fn resume(&mut self, frame: Frame, failure: Failure) -> Next {
        match frame {
            Frame::ClaimDone => Next::Fail(Failure::NoSolution),
            Frame::Alternatives { claim, request, next, end, all_over_limit } => {
                let all_over_limit = all_over_limit && failure == Failure::OverLimit;
                self.next_alternative(claim, request, next, end, all_over_limit)
            }
            Frame::FixedDevice => {
                self.chosen.undo();
                Next::Fail(failure)
            }
            Frame::Remember => {
                if let Some(remainder) = self.pending.pop()
                    && self.failed.len() < MAX_REMEMBERED
                {
                    self.failed.insert(remainder, failure);
                }
                Next::Fail(failure)
            }
            Frame::Device(place) => {
                self.chosen.undo();
                match &mut self.patience {
                    Some(0) => return Next::End(Ending::NeedsGuide),
                    Some(patience) => *patience -= 1,
                    None => {}
                }
                match (failure, place.choice) {
                    (Failure::NoSolution, Some(number)) => self.scan(place, number),
                    _ => Next::Fail(failure),
                }
            }
        }
    }

    /// What the guide says of a place: how it fails, or nothing, in which case its failure will be remembered.
    fn consult(&mut self, place: &Place) -> Option<Next> {
        let guide = self.guide.as_ref().filter(|guide| guide.may_cut(place))?;
        let remainder = guide
            .may_remember(place)
            .then(|| memory::remainder(guide, self.problem, self.chosen, place))
            .flatten();
        if let Some(failure) = remainder.as_ref().and_then(|remainder| self.failed.get(remainder)) {
            return Some(Next::Fail(*failure));
        }
        if !Relaxation::new(guide, self.problem, self.chosen, place).is_possible(self.chosen, place) {
            return Some(Next::Fail(Failure::NoSolution));
        }
        if let Some(remainder) = remainder {
            self.pending.push(remainder);
            self.frames.push(Frame::Remember);
        }
        None
    }

    fn selected_alternatives(&self) -> Vec<SelectedAlternative> {
        let selected = self.frames.iter().filter_map(|frame| match *frame {
            Frame::Alternatives { claim, request, next, .. } => {
                Some(SelectedAlternative { claim, request, choice: next - 1 })
            }
            _ => None,
        });
        selected.collect()
    }

    fn next_alternative(&mut self, claim: u32, request: u32, next: u32, end: u32, over_limit: bool) -> Next {
        if next >= end {
            let failure = if over_limit { Failure::OverLimit } else { Failure::NoSolution };
            return Next::Fail(failure);
        }
        self.frames.push(Frame::Alternatives {
            claim,
            request,
            next: next + 1,
            end,
            all_over_limit: over_limit,
        });
        Next::Enter(Place { claim, request, choice: Some(next), ordinal: 0, start: 0 })
    }

    /// The next device of a request for all devices; there is no other to try.
    fn fixed_device(&mut self, place: Place, number: u32, devices: &[u32]) -> Next {
        let ordinal = usize::try_from(place.ordinal).unwrap_or_default();
        let Some(&position) = devices.get(ordinal) else { return Next::Fail(Failure::NoSolution) };
        match self.chosen.choose(number, place.ordinal, position) {
            Ok(()) => {
                self.frames.push(Frame::FixedDevice);
                let next = self.after_fixed_device(number);
                Next::Enter(Place { ordinal: place.ordinal + 1, choice: Some(next), ..place })
            }
            Err(Refusal::Constraint(_)) => Next::End(Ending::Error(self.constraint_error(number, position))),
            Err(refusal) => match self.fatal(number, refusal) {
                Some(error) => Next::End(Ending::Error(error)),
                None => Next::Fail(Failure::NoSolution),
            },
        }
    }

    /// The first device from the place's start on that can be chosen.
    fn scan(&mut self, place: Place, number: u32) -> Next {
        let choice = self.problem.choice(number);
        let mut tried = self.tried_classes(&place);
        let reach = self.setting.view.reach();
        let mut next = if number == 0 { place.start.max(*self.floor) } else { place.start };
        let mut rises = number == 0
            && next == *self.floor
            && self.leaps.steady
            && self.guide.is_none()
            && !choice.admin_access
            && self.chosen.devices().is_empty();
        while next < reach {
            if rises {
                // Those before this one were all refused.
                *self.floor = next;
                rises = !self.chosen.is_shareable(self.chosen.device(next));
            }
            if self.guide.is_none() {
                match self.leaps.next(self.setting, self.problem, self.chosen, number, next) {
                    Some(leapt) => next = leapt,
                    None => break,
                }
            }
            let position = next;
            next += 1;
            if let (Some(tried), Some(guide)) = (&mut tried, &self.guide)
                && !is_worth_trying(guide, self.chosen, tried, number, position)
            {
                continue;
            }
            if self.chosen.in_use(choice, position) {
                continue;
            }
            match self.selects(number, position) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => return Next::End(Ending::Error(error)),
            }
            if !self.chosen.has_capacity(number, position) {
                match self.chosen.capacity_fault(number, position) {
                    None => continue,
                    Some(fault) => {
                        return Next::End(Ending::Error(self.capacity_error(number, position, fault)));
                    }
                }
            }
            match self.chosen.choose(number, place.ordinal, position) {
                Ok(()) => {}
                Err(refusal) => {
                    if let Some(error) = self.fatal(number, refusal) {
                        return Next::End(Ending::Error(error));
                    }
                    rises = rises && leaps::stands(refusal);
                    continue;
                }
            }
            let device = self.chosen.device(position);
            let start = match self.selections {
                Selections::Permutations => 0,
                Selections::Multisets if self.chosen.is_shareable(device) => position,
                Selections::Combinations | Selections::Multisets => position + 1,
            };
            self.frames.push(Frame::Device(Place { start: position + 1, ..place }));
            return Next::Enter(Place { ordinal: place.ordinal + 1, start, ..place });
        }
        match self.setting.view.barrier {
            Some(pool) => Next::End(Ending::Error(self.invalid_pool(pool))),
            None => Next::Fail(Failure::NoSolution),
        }
    }

    /// Where devices may be skipped: the classes of untouched devices before the place's start. Each of them was
    /// tried for this request with less chosen than now, or could not be used even then.
    fn tried_classes(&self, place: &Place) -> Option<FixedBitSet> {
        let guide = self.guide.as_ref().filter(|guide| guide.may_skip(place))?;
        let mut tried = FixedBitSet::with_capacity(guide.classes.len());
        for position in 0..place.start {
            if let Some(class) = guide.class_of[position as usize]
                && self.chosen.is_untouched(position)
            {
                tried.insert(class as usize);
            }
        }
        Some(tried)
    }

    fn selects(&self, number: u32, position: u32) -> Result<bool, AllocationError> {
        let choice = self.problem.choice(number);
        let claim = self.problem.claims[choice.claim as usize].claim;
        choice.selects(self.setting, claim, position)
    }

    /// The choice that the next device of a request for all devices is for.
    fn after_fixed_device(&self, number: u32) -> u32 {
        let choice = self.problem.choice(number);
        match self.setting.profile.all_in_alternatives {
            AllInAlternatives::FirstAlternative => {
                let claim = &self.problem.claims[choice.claim as usize];
                claim.requests[choice.request as usize].choices.start
            }
            AllInAlternatives::SameAlternative => number,
        }
    }

    fn invalid_pool(&self, pool: u32) -> AllocationError {
        let Setting { inventory, view, .. } = self.setting;
        let pool = &view.pools[pool as usize];
        let reason = match &pool.state {
            PoolState::Invalid(why) => why.reason.as_str(),
            PoolState::Usable(_) | PoolState::Incomplete => "",
        };
        let message = format!("pool {} is invalid: {reason}", inventory.pool(pool.pool).id.pool);
        AllocationError::new(ErrorKind::PoolInvalid, message)
    }

    /// The error that a refusal is, if it is one.
    fn fatal(&self, number: u32, refusal: Refusal) -> Option<AllocationError> {
        match refusal {
            Refusal::Panic { index, devices } => Some(panic(index, devices)),
            Refusal::Derivation { constraint, class } => {
                let claim = &self.problem.claims[self.problem.choice(number).claim as usize];
                claim.constraints.get(constraint as usize)?.fault(class).cloned()
            }
            _ => None,
        }
    }

    fn capacity_error(&self, number: u32, position: u32, fault: &str) -> AllocationError {
        let (request, device) = self.named(number, position);
        let message = format!("{request}: checking capacity for device {device}: {fault}");
        AllocationError::new(ErrorKind::Capacity, message)
    }

    fn constraint_error(&self, number: u32, position: u32) -> AllocationError {
        let (request, device) = self.named(number, position);
        let message = format!(
            "{request}: cannot add device {device} because a claim constraint would not be satisfied"
        );
        AllocationError::new(ErrorKind::AllDevicesConstraint, message)
    }

    /// A choice's claim and request, and a device with its pool, as upstream's texts name them.
    fn named(&self, number: u32, position: u32) -> (String, String) {
        let choice = self.problem.choice(number);
        let inventory = self.setting.inventory;
        let device = self.setting.view.device(position);
        let claim = self.problem.claims[choice.claim as usize].claim.full_name();
        let pool = &inventory.pool(inventory.pool_of_device(device)).id;
        (
            format!("claim {claim}, request {}", choice.name),
            format!("{pool}/{}", inventory.device(device).name),
        )
    }
}

fn panic(index: i64, devices: u32) -> AllocationError {
    let message = format!("upstream panics: index out of range [{index}] with length {devices}");
    AllocationError::new(ErrorKind::Panic, message)
}

/// Whether a device can be used at all, and is not interchangeable with one that was tried. Notes it as tried.
fn is_worth_trying(
    guide: &Guide,
    chosen: &Chosen<'_>,
    tried: &mut FixedBitSet,
    number: u32,
    position: u32,
) -> bool {
    let Some(class) = guide.class_of[position as usize] else { return false };
    guide.candidates[number as usize].devices.contains(position as usize)
        && !(chosen.is_untouched(position) && tried.put(class as usize))
}
