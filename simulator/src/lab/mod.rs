//! The policy lab: how well node-scoring policies fill a cluster of shared GPUs.
//!
//! It repeats the experiment of "Beware of Fragmentation" (Weng et al., USENIX ATC 2023): pods of a trace in
//! random order, and more of them until they demand 130 % of all GPUs, placed one by one by one score alone. The
//! rules are those of the study's fork of kube-scheduler, the order of its random numbers included, so that a
//! run with one of the study's seeds places the study's pods in the study's order.
//!
//! - [`Trace`]: nodes and pods of a workload, from the tables of the openb trace
//! - [`Typical`]: the popular shapes of pods, against which a node's [fragment](Typical::fragment) is measured
//! - [`Policy`]: the six scores
//! - [`run`]: one seed; [`Outcome`] is its curves
//! - [`compare`]: many runs beside published figures

mod fragment;
mod go_random;
mod policy;
mod published;
mod run;
mod study;
#[cfg(test)]
mod tests;
mod trace;

pub use fragment::{Room, Typical};
pub use go_random::{GoRandom, GoRandomTable};
pub use policy::{Policy, UnknownPolicy};
pub use published::{Published, PublishedError};
pub use run::{Curve, Outcome, Ties, run};
pub use study::{Cell, Comparison, Plan, compare};
pub use trace::{Shape, Trace, TraceNode, TracePod};
