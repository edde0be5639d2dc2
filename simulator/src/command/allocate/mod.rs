//! `dray allocate`: devices for some claims on one node.

mod problems;

use drayage_simulator::schedule::DEFAULT_STEP_BUDGET;

use super::arguments::Allocate;
use super::exit::Exit;
use super::failure::Failure;
use super::terminal::Terminal;

/// Runs one of the two forms.
pub(crate) fn run(typed: &Allocate, terminal: &Terminal) -> Result<Exit, Failure> {
    let budget = typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET);
    if let Some(path) = &typed.problems {
        return problems::run(path, typed.kubernetes.release, budget, terminal);
    }
    Ok(Exit::No)
}
