//! The scheduling cycle: queue, filters in kube-scheduler's order, choice of a node, allocation of claims.

mod options;

pub use options::{DEFAULT_STEP_BUDGET, Observer, Options, SimulateError};
