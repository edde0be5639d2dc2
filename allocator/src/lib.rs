//! Solves device claims against ResourceSlice pools, with kube-scheduler's own answer.
//!
//! [`Inventory`] indexes the slices of a cluster once; an [`Allocator`] answers for one node at a time which
//! devices a pod's claims get, given an [`AllocatedState`] of what other claims hold. The answer is the one of
//! the release that the [`Profile`] names: the same devices in the same order, the same configuration, an error
//! where upstream reports one.
//!
//! No I/O, no clock, no randomness, no global state: equal input gives equal output.

mod allocated;
mod allocator;
mod amount;
mod answer;
mod capacity;
mod compatibility;
mod constraints;
mod counters;
pub mod diagnosis;
mod error;
pub mod explanation;
mod features;
mod few;
mod held;
mod inventory;
mod node_selection;
pub mod objects;
pub mod persistent;
mod problem;
pub mod profile;
mod recent;
mod remembered;
mod result;
mod search;
mod selectors;
pub mod taints;
pub mod verify;

pub use allocated::AllocatedState;
pub use allocator::Allocator;
pub use answer::{Answer, Outcome};
pub use diagnosis::{Diagnosis, diagnose};
pub use error::{AllocationError, ErrorKind};
pub use features::Features;
pub use inventory::Inventory;
pub use node_selection::{SelectorFault, ValidSelector};
pub use profile::{Implementation, Profile, ProfileName};
