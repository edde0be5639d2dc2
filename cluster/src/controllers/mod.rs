//! What controllers of a live cluster would have done with the objects by the time the scheduler sees them.
//!
//! The order is that of a cluster: [`expand_workloads`], then [`create_claims`]; [`check_references`] tells what
//! would wait forever. Names that a cluster draws at random are made from a hash here, so that equal input gives
//! equal output.

mod claims;
mod names;
mod pods;
mod references;
mod taints;
mod volume_claims;

pub use claims::create_claims;
pub use names::generated_name;
pub use pods::{Expansion, expand_workloads};
pub use references::check_references;
pub use taints::apply_taint_rules;
