//! Which node groups grow for pending pods: as cluster-autoscaler decides, and at best.

pub mod equivalence;
pub mod expander;
mod limits;

pub use limits::NodeLimits;
