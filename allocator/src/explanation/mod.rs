//! Explanations: every "no" as facts, reduced to a core that is enough for it.
//!
//! # What a core is
//!
//! A question has facts ([`Fact`]): its demands, and everything that keeps devices from them. Each fact can be
//! *lifted*, and each kind says what that means. A question that respects only some facts is the question with
//! all others lifted; the fewer it respects, the more solutions it has. A *core* is a set of facts such that the
//! question that respects only them has no solution, and such that it has one as soon as any of them is lifted
//! too. A question without a solution has a core, and may have several; this one prefers facts that are looked
//! at first, so that a device of another kind is never called tainted.
//!
//! A solution here is what [`verify`](mod@crate::verify) accepts: an alternative for each request, and as many
//! devices as it needs, in search order. What an order of choice leaves behind in upstream's search has no part
//! in it. Where only that is the reason for a "no", the core is one fact, [`Fact::NotFound`].
//!
//! [`check()`] accepts a core or says what is wrong with it. It shares no code with the search of the
//! allocator, nor with the search for cores.

mod change;
mod check;
mod core;
mod describe;
mod dot;
mod error;
mod fact;
mod holders;
mod key;
mod model;
mod relaxed;
mod suggest;
mod terms;
mod text;
mod tree;

use std::mem;
use std::sync::Arc;

pub use change::Change;
pub use check::{CheckError, Checked, check};
pub use error::{ErrorExplanation, MoreSteps, UndecidedExplanation};
pub use fact::{
    CapacityLeft, ConstraintFact, CounterFact, Demand, Fact, Form, Given, GroupsFact, HeldDevice, Needed,
    Read, ReadValue, ReadWhat, RequestName, SelectorCase, SelectorFact,
};
pub use holders::Holder;
pub use suggest::Suggestion;
pub use tree::{ClaimNode, Closest, FormNode, Missing, NearestMiss, RefusedDevices, RequestNode, TreeFact};

use self::core::Reduced;
use self::describe::Describer;
use self::holders::Holders;
use self::model::Model;
use crate::AllocatedState;
use crate::allocator::Allocator;
use crate::answer::Outcome;
use crate::diagnosis::classes_of;
use crate::objects::{AllocationResult, Node, ResourceClaim, ResourceSlice};
use crate::verify::Question;
use crate::verify::reach;

/// What is asked, and how much work the answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What other claims hold.
    pub state: &'a AllocatedState,
    /// The node.
    pub node: &'a Node,
    /// The claims allocated together, in order.
    pub claims: &'a [&'a ResourceClaim],
    /// The claims that hold something, as far as they are known. They give names to what is held.
    pub holders: &'a [Holder<'a>],
    /// Steps of one search, as for [`Allocator::allocate`].
    pub budget: u64,
    /// How hard to try.
    pub effort: Effort,
}

/// How much work an explanation may be. Less work gives a core that may not be minimal, and fewer suggestions;
/// nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Steps for one decision about some of the facts.
    pub decision: u64,
    /// Steps for all of them.
    pub total: u64,
    /// The most suggestions that are tried.
    pub suggestions: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { decision: 50_000, total: 2_000_000, suggestions: 32 }
    }
}

/// Why an answer is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The node.
    pub node: String,
    /// Full names of the claims, in order.
    pub claims: Vec<String>,
    /// Steps of the search that gave the answer.
    pub steps: u64,
    /// The answer, explained.
    pub outcome: Explained,
}

/// An answer, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explained {
    /// There are devices: one result for each claim.
    Allocated(Vec<AllocationResult>),
    /// There are none.
    Unsatisfiable(Box<NoSolution>),
    /// The allocation ends with an error.
    Error(ErrorExplanation),
    /// The budget ran out. This is not a "no".
    Undecided(UndecidedExplanation),
}

/// Why there is no solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSolution {
    /// The facts that are enough for it.
    pub core: Core,
    /// All facts that the tree names.
    pub facts: Vec<TreeFact>,
    /// Claims, their requests, the alternatives, and what became of the devices.
    pub claims: Vec<ClaimNode>,
    /// How many devices the node sees.
    pub devices: usize,
    /// The best that can be had.
    pub nearest: NearestMiss,
    /// Changes with which there are devices, the cheapest first. Each was tried.
    pub suggestions: Vec<Suggestion>,
}

/// Facts that are enough for a "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// The facts.
    pub facts: Vec<Fact>,
    /// Whether each fact is known to be necessary.
    pub minimal: bool,
    /// Whether it was found out, within the effort, that the facts are enough. If not, they are all the facts
    /// there are, and it is the search that found no solution.
    pub confirmed: bool,
    /// The most devices that its last request for a number can have under these facts.
    pub shortage: Option<Shortage>,
}

/// A request that can have some devices, and needs more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The request.
    pub request: RequestName,
    /// How many it needs.
    pub needed: usize,
    /// The most it can have, beside the other requests of the core.
    pub possible: usize,
}

/// Asks the allocator, and explains its answer.
///
/// Asks several more questions for that: one for each suggestion that is tried.
pub fn explain(allocator: &mut Allocator, asked: &Asked<'_>) -> Explanation {
    let mut shares = 0_u64;
    let mut share_ids = || {
        shares += 1;
        format!("share-{shares}")
    };
    let answer = allocator.allocate(asked.state, asked.node, asked.claims, &mut share_ids, asked.budget);
    let outcome = match answer.outcome {
        Outcome::Allocated(results) => Explained::Allocated(Arc::unwrap_or_clone(results)),
        Outcome::Unsatisfiable { .. } => match no_solution(allocator, asked) {
            Some(found) => Explained::Unsatisfiable(Box::new(found)),
            // Unreachable for an allocator that keeps to `verify`: the node selectors were read before.
            None => Explained::Undecided(error::undecided(allocator, asked, answer.steps)),
        },
        Outcome::Error(found) => Explained::Error(error::explain_error(allocator, asked, &found)),
        Outcome::Undecided => Explained::Undecided(error::undecided(allocator, asked, answer.steps)),
    };
    let claims = asked.claims.iter().map(|claim| claim.full_name()).collect();
    Explanation { node: asked.node.name.clone(), claims, steps: answer.steps, outcome }
}

fn no_solution(allocator: &mut Allocator, asked: &Asked<'_>) -> Option<NoSolution> {
    let profile = allocator.profile();
    let inventory = allocator.inventory().clone();
    let slices: Vec<&ResourceSlice> = inventory.slices().collect();
    let classes = classes_of(allocator, asked.claims);
    let question = Question {
        profile: &profile,
        features: allocator.features(),
        node: asked.node,
        slices: &slices,
        classes: &classes,
        state: asked.state,
        claims: asked.claims,
    };
    let pools = reach::pools(&question)?;
    let mut programs = mem::take(&mut allocator.diagnosed);
    programs.add(&question);
    let model = Model::new(&question, &pools, &mut programs);
    let holders = Holders::new(asked.holders);
    let mut left = asked.effort.total;
    let each = asked.effort.decision;

    let mut respected = fixedbitset::FixedBitSet::with_capacity(model.facts.len());
    let core = match self::core::reduce(&model, each, &mut left) {
        Reduced::Core(reduction) => {
            let shortage = self::core::shortage(&model, &reduction, each, &mut left);
            respected.clone_from(&reduction.facts);
            let describer =
                Describer { model: &model, programs: &programs, holders: &holders, facts: &respected };
            let shortage = shortage.and_then(|(demand, needed, possible)| {
                let ask = model.demands.get(demand)?.asks.start;
                let request = describer.name(ask)?;
                Some(Shortage { request, needed, possible })
            });
            let facts = describer.all().into_iter().map(|(_, fact)| fact).collect();
            Core { facts, minimal: reduction.minimal, confirmed: reduction.confirmed, shortage }
        }
        Reduced::Feasible(solution) => {
            let describer =
                Describer { model: &model, programs: &programs, holders: &holders, facts: &respected };
            let fact = Fact::NotFound { devices: describer.given(&solution) };
            Core { facts: vec![fact], minimal: true, confirmed: true, shortage: None }
        }
    };
    let mut found = tree::build(&model, &programs, &holders, core, &respected, (each, &mut left));
    drop(model);
    allocator.diagnosed = programs;
    found.suggestions = suggest::suggestions(allocator, asked, &holders, &found);
    Some(found)
}
