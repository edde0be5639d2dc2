//! What-ifs: questions about a cluster that is changed in thought.

pub mod capacity;
mod copies;
pub mod defrag;
pub mod drain;
pub mod fail;
mod ground;

pub mod node_groups;
pub mod plan;
pub mod scale_down;
pub mod scale_up;
pub mod utilisation;

pub use ground::Ground;

pub use crate::random;
