//! The Kubernetes that is meant: release, feature gates and the scheduler's configuration.

use std::path::Path;

use drayage_cel::{Environment, ExpressionStage, Release};
use drayage_cluster::scheduler_configuration::SchedulerConfiguration;
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::schedule::Options;

use super::arguments::{Kubernetes, Scheduler};
use super::failure::{Complaint, Failure};
use super::source;

/// The release's gates with the user's overrides.
pub(crate) fn gates(typed: &Kubernetes) -> Result<FeatureGates, Failure> {
    FeatureGates::parse_for(typed.profile, &typed.feature_gates.join(","))
        .map_err(|error| Failure::input(Complaint::new(error.to_string())))
}

/// Takes over the scheduler's configuration, if one is given, as the release of the options reads it.
pub(crate) fn configure(options: &mut Options, typed: &Scheduler) -> Result<(), Failure> {
    match &typed.scheduler_config {
        Some(path) => configure_from(options, path, &[]),
        None => Ok(()),
    }
}

/// Takes over a scheduler's configuration that these other releases must be able to read too.
pub(crate) fn configure_from(options: &mut Options, path: &Path, also: &[Release]) -> Result<(), Failure> {
    let name = source::name(path);
    let text = source::text(path)?;
    let own = options.gates.release();
    let read = |release| {
        SchedulerConfiguration::read_for(&name, &text, release).map_err(|errors| {
            let complain = |fault| {
                let complaint = Complaint::from(fault);
                let message = format!("{} (Kubernetes {release})", complaint.message);
                if also.is_empty() { complaint } else { Complaint { message, ..complaint } }
            };
            let complaints = errors.faults.into_iter().map(complain).collect();
            Failure::Input { complaints, omitted: errors.omitted }
        })
    };
    for &release in also {
        read(release)?;
    }
    options.configure(&read(own)?).map_err(|error| Failure::input(Complaint::new(format!("{name}: {error}"))))
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
