//! Checks a core without knowing how it was found.
//!
//! Nothing here is shared with the search for solutions or for cores: each fact is held against the objects, and
//! whether some facts leave a solution is found out by trying devices one after the other.

mod assignments;
mod details;
mod truth;
mod world;

use crate::objects::AllocationResult;
use crate::objects::DeviceRequestAllocationResult;
use crate::verify::{self, Question, Rule, Violation};

use self::assignments::{OutOfSteps, feasible};
use self::truth::restrict;
use self::world::{Restriction, World};
use super::fact::{Fact, Given};
use super::{Core, Shortage};

/// What was found out about a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether each fact was shown to be necessary. It is not tried where the core does not claim it.
    pub minimal: bool,
    /// Whether the core says that all rules hold and the release's search is at fault. That the rules hold was
    /// checked; what the search does was not.
    pub fault_of_search: bool,
}

/// Why a core is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A fact is not true of the question.
    #[error("fact {fact} is not true: {what}")]
    False {
        /// Its place in the core.
        fact: usize,
        /// What is wrong.
        what: String,
    },
    /// The facts leave a solution.
    #[error("the facts leave a solution of {} devices", .solution.len())]
    NotEnough {
        /// The solution.
        solution: Vec<Given>,
    },
    /// The rest of the facts is enough without this one.
    #[error("fact {fact} is superfluous")]
    Superfluous {
        /// Its place in the core.
        fact: usize,
    },
    /// The number of devices that can be had is not the one stated.
    #[error("the stated shortage is wrong")]
    Shortage,
    /// The steps did not suffice.
    #[error("not decided within the steps")]
    OutOfSteps,
    /// A node selector on the way to the devices is broken, so that the question has no "no" to explain.
    #[error("a node selector is broken")]
    NodeSelectorBroken,
}

impl From<OutOfSteps> for CheckError {
    fn from(_: OutOfSteps) -> Self {
        Self::OutOfSteps
    }
}

/// Checks that each fact of a core is true of the question, that the question has no solution if it respects
/// them, and, where the core says so, that each of them is necessary.
///
/// `steps` bounds the work of each decision.
pub fn check(question: &Question<'_>, core: &Core, steps: u64) -> Result<Checked, CheckError> {
    let features = question.profile.name.known(question.features);
    let profile = question.profile.for_features(features);
    let question = &Question { profile: &profile, features, ..*question };
    let pools = verify::reach::pools(question).ok_or(CheckError::NodeSelectorBroken)?;
    let mut world = World::new(question, &pools);
    if let [Fact::NotFound { devices }] = core.facts.as_slice() {
        return match broken_rule(question, &world, devices) {
            None => Ok(Checked { minimal: true, fault_of_search: true }),
            Some(what) => Err(CheckError::False { fact: 0, what }),
        };
    }
    let whole = restrict(&mut world, core.facts.iter().enumerate())?;
    for (fact, stated) in core.facts.iter().enumerate() {
        details::check(&world, &whole, stated).map_err(|what| CheckError::False { fact, what })?;
    }
    if let Some(solution) = feasible(&world, &whole, None, steps)? {
        return Err(CheckError::NotEnough { solution: world.given(&solution) });
    }
    if let Some(shortage) = &core.shortage {
        check_shortage(&world, &whole, shortage, steps)?;
    }
    if core.minimal {
        for fact in 0..core.facts.len() {
            let rest = core.facts.iter().enumerate().filter(|(place, _)| *place != fact);
            let rest = restrict(&mut world, rest)?;
            if feasible(&world, &rest, None, steps)?.is_none() {
                return Err(CheckError::Superfluous { fact });
            }
        }
    }
    Ok(Checked { minimal: core.minimal, fault_of_search: false })
}

fn check_shortage(
    world: &World<'_, '_>,
    whole: &Restriction,
    shortage: &Shortage,
    steps: u64,
) -> Result<(), CheckError> {
    let ask = world.ask(&shortage.request).ok_or(CheckError::Shortage)?;
    let possible = |count| feasible(world, whole, Some((ask, count)), steps);
    let right = world.count(ask) == Some(shortage.needed)
        && shortage.possible < shortage.needed
        && possible(shortage.possible)?.is_some()
        && possible(shortage.possible + 1)?.is_none();
    if right { Ok(()) } else { Err(CheckError::Shortage) }
}

/// A rule that devices break, with everything respected.
fn broken_rule(question: &Question<'_>, world: &World<'_, '_>, devices: &[Given]) -> Option<String> {
    let mut results = Vec::new();
    for claim in question.claims {
        let own = devices.iter().filter(|given| given.request.claim == claim.full_name());
        let result = |given: &Given| DeviceRequestAllocationResult {
            request: given.request.request.clone(),
            driver: given.device.pool.driver.clone(),
            pool: given.device.pool.pool.clone(),
            device: given.device.device.clone(),
            ..DeviceRequestAllocationResult::default()
        };
        results.push(AllocationResult { results: own.map(result).collect(), ..AllocationResult::default() });
    }
    let named: usize = results.iter().map(|result| result.results.len()).sum();
    if named != devices.len() {
        return Some("a device is for an unknown claim".to_owned());
    }
    let mut found = Vec::new();
    let mut books = verify::books::Books::new(question, world.pools);
    for (claim, result) in question.claims.iter().zip(&results) {
        let (pools, reached, programs) = (world.pools, &world.reached, &world.programs);
        let checked = verify::claim::Claim { question, pools, reached, object: claim, programs, result };
        let picks = checked.check(&mut found);
        books.add(claim, &picks, &mut found);
    }
    books.close(&mut found);
    // What a share is called and what is written about it is not decided yet.
    let counts = |violation: &&Violation| !matches!(violation.rule, Rule::ShareId | Rule::ConsumedCapacity);
    found.iter().find(counts).map(ToString::to_string)
}
