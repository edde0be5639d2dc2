//! Reads and writes the Kubernetes objects that Drayage needs.

#![expect(dead_code, reason = "the loader, which uses the rest, follows")]

mod decode;
mod fields;
mod json;
pub mod objects;
mod path;
pub mod problems;
mod source;
mod tree;
pub mod write;
mod yaml;

pub use path::{FieldPath, Segment};
pub use source::{Origin, Place, Source, Sources};
