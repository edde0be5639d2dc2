//! The search for the first solution in upstream's order.

mod candidate;
mod counter_sums;
mod first_fit;
mod flow;
mod guide;
mod leaps;
mod marks;
mod memory;
mod relaxation;
mod selections;
mod share_sums;
mod shares;
mod walk;

pub(crate) use candidate::{Chosen, ChosenDevice};
pub(crate) use first_fit::first_fit;
pub(crate) use walk::{Ending, SelectedAlternative};

use crate::problem::{Problem, Setting};
use walk::Walk;

/// How many choices may fail before the search studies the problem. Most questions are answered before.
const PATIENCE: u32 = 8;

/// Searches until there is an answer or the budget of steps is used up. `floor` is the first position that is of use for
/// the first choice, as far as is known, before and after.
pub(crate) fn run<'s>(
    setting: &'s Setting<'s>,
    problem: &'s Problem<'s>,
    chosen: &mut Chosen<'s>,
    floor: &mut u32,
    steps: &mut u64,
    budget: u64,
) -> Ending {
    let mut walk = Walk::new(setting, problem, chosen, floor, steps, budget);
    match walk.try_without_guide(PATIENCE) {
        Ending::NeedsGuide => walk.run_with_guide(),
        ending => ending,
    }
}
