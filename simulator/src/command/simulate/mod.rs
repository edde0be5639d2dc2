//! `dray simulate`: which pending pod lands where.

pub(crate) mod reasons;
pub(crate) mod table;

use drayage_simulator::report::{PodOutcome, SimulationReport};

use super::exit::Exit;

/// Yes when every pod has a node; undecided when all that lack one are undecided.
fn verdict(report: &SimulationReport) -> Exit {
    let mut pending = report.pods.iter().filter(|pod| pod.outcome.is_pending()).peekable();
    if pending.peek().is_none() {
        Exit::Yes
    } else if pending.all(|pod| pod.outcome == PodOutcome::Undecided) {
        Exit::Undecided
    } else {
        Exit::No
    }
}
