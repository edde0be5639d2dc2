//! The Kubernetes that is meant: release, feature gates and the scheduler's configuration.

use drayage_cel::{Environment, ExpressionStage};
use drayage_cluster::scheduler_configuration::SchedulerConfiguration;
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::schedule::Options;

use super::arguments::{Kubernetes, Scheduler};
use super::failure::{Complaint, Failure};

/// The release's gates with the user's overrides.
pub(crate) fn gates(typed: &Kubernetes) -> Result<FeatureGates, Failure> {
    FeatureGates::parse_for(typed.profile, &typed.feature_gates.join(","))
        .map_err(|error| Failure::input(Complaint::new(error.to_string())))
}

/// Takes over the scheduler's configuration, if one is given.
pub(crate) fn configure(options: &mut Options, typed: &Scheduler) -> Result<(), Failure> {
    let Some(path) = &typed.scheduler_config else { return Ok(()) };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(Complaint::new(format!("cannot read `{name}`: {error}"))))?;
    let configuration = SchedulerConfiguration::read(&name, &text).map_err(|errors| Failure::Input {
        complaints: errors.faults.into_iter().map(Complaint::from).collect(),
        omitted: errors.omitted,
    })?;
    options
        .configure(&configuration)
        .map_err(|error| Failure::input(Complaint::new(format!("{name}: {error}"))))
}

/// The environment in which selectors are compiled.
pub(crate) fn cel_environment(gates: &FeatureGates, stage: ExpressionStage) -> Environment {
    Environment {
        release: gates.release(),
        stage,
        consumable_capacity: gates.enabled("DRAConsumableCapacity"),
        list_type_attributes: gates.enabled("DRAListTypeAttributes"),
    }
}
