//! Random CEL expressions, answered by [`drayage_cel`] and by the real `cel` package of a Kubernetes release.
//!
//! - [`grammar`] makes an [`Expression`](tree::Expression) from a seed and the table of functions of an environment.
//! - [`case`] is an expression with a device, an environment and a mode; [`answer`] answers it.
//! - [`peer`] asks the process of a release; [`compare`] says whether two answers agree.
//! - [`shrink`] makes a difference small; [`run`] does it all and counts what was covered.

pub mod answer;
pub mod case;
pub mod compare;
pub mod device;
pub mod grammar;
mod literals;
mod macros;
pub mod peer;
mod pools;
pub mod run;
pub mod shrink;
pub mod tree;
