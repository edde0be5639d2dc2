//! The search for the first solution in upstream's order.

mod candidate;
mod walk;

#[allow(unused_imports, reason = "for the diagnosis")]
pub(crate) use candidate::Refusal;
pub(crate) use candidate::{Chosen, ChosenDevice};
pub(crate) use walk::{Ending, SelectedAlternative, Walk};

use crate::problem::{Problem, Setting};
use crate::selectors::Selectors;

/// Searches until there is an answer or the budget of steps is used up.
pub(crate) fn run<'s>(
    setting: &'s Setting<'s>,
    problem: &'s Problem<'s>,
    selectors: &mut Selectors,
    chosen: &mut Chosen<'s>,
    steps: &mut u64,
    budget: u64,
) -> Ending {
    Walk::new(setting, problem, selectors, chosen, steps, budget).run()
}
