//! Writes what a simulation decided into the snapshot, so that the next question starts from there.

use std::sync::atomic::AtomicBool;

use super::cluster_state::ClusterState;
use super::options::{Observer, Options, SimulateError};
use super::prepare::Prepared;
use super::run::report_of;
use crate::report::SimulationReport;

/// As [`simulate`](super::simulate), and the snapshot gets the outcome: nodes of pods, allocations and consumers
/// of claims, claims for extended resources. On an error it stays as it was.
pub fn simulate_and_apply(
    prepared: &mut Prepared,
    options: &Options,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<SimulationReport, SimulateError> {
    let mut simulation = ClusterState::new(prepared, options);
    let report = report_of(&mut simulation, prepared, options, observer, cancel)?;
    prepared.snapshot = simulation.to_snapshot(&prepared.snapshot);
    Ok(report)
}
