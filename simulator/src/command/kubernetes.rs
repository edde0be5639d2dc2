//! The Kubernetes that is meant: release and feature gates.

use drayage_cel::{Environment, ExpressionStage};
use drayage_simulator::gates::FeatureGates;

use super::arguments::Kubernetes;
use super::failure::{Complaint, Failure};

/// The release's gates with the user's overrides.
pub(crate) fn gates(typed: &Kubernetes) -> Result<FeatureGates, Failure> {
    FeatureGates::parse_for(typed.profile, &typed.feature_gates.join(","))
        .map_err(|error| Failure::input(Complaint::new(error.to_string())))
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
