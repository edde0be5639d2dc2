//! What-ifs: questions about a cluster that is changed in thought.

pub mod drain;
pub mod node_groups;
pub mod random;
pub mod scale_up;
pub mod utilisation;
