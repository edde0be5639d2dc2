//! Reads and writes the Kubernetes objects that Drayage needs.

#![expect(dead_code, reason = "the loader, which uses the rest, follows")]

mod decode;
mod fields;
mod json;
mod path;
pub mod problems;
mod tree;
pub mod write;

pub use path::{FieldPath, Segment};
