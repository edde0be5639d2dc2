//! Reads and writes the Kubernetes objects that Drayage needs.

pub mod controllers;
mod decode;
mod fault;
mod fields;
mod json;
mod load;
pub mod matching;
pub mod objects;
mod path;
pub mod problems;
mod snapshot;
mod source;
mod tree;
mod validate;
pub mod write;
mod yaml;

pub use fault::{Fault, LoadErrors};
pub use load::{Input, LoadOptions, load};
pub use path::{FieldPath, Segment};
pub use snapshot::{Ignored, IgnoredReason, Snapshot};
pub use source::{Origin, Place, Source, Sources};
