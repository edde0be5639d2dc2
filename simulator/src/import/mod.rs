//! Public traces turned into Kubernetes objects.

pub mod openb;
mod write;

pub use write::{Format, ObjectWriter};
