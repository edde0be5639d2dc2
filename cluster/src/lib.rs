//! Reads and writes the Kubernetes objects that Drayage needs.
//!
//! [`load()`] turns files, folders and standard input into a [`Snapshot`]: YAML and JSON, any number of documents,
//! lists of all forms, and `resource.k8s.io` in the versions v1, v1beta2, v1beta1 and v1alpha3, brought into one
//! shape. Every object remembers its [`Origin`], from which [`Sources::place`] finds the line of any field when a
//! [`Fault`] is to be shown. What has no effect on answers is listed in [`Snapshot::ignored`], not hidden.
//!
//! ```text
//! input -> texts -> documents with places (json, yaml -> tree) -> objects (decode) -> checks (validate) -> Snapshot
//! ```
//!
//! [`controllers`] does to a snapshot what a cluster's controllers do before the scheduler looks at it: pods for
//! workloads, claims for pods. [`write`](mod@write) turns objects back into the form of the API, and [`problems`] reads
//! recorded problems for the allocator. [`anonymise`](mod@anonymise) puts pseudonyms in the place of names.

pub mod anonymise;
mod apply;
pub mod controllers;
mod decode;
mod fault;
mod fields;
mod json;
pub mod lint;
#[cfg(feature = "live")]
pub mod live;
mod load;
mod locate;
pub mod matching;
pub mod objects;
mod path;
pub mod problems;
mod raw;
pub mod scheduler_configuration;
mod snapshot;
mod source;
mod tree;
mod validate;
pub mod write;
mod yaml;

pub use fault::{Fault, LoadErrors};
pub use load::{Input, LoadOptions, load, load_with_faults};
pub use locate::locate;
pub use path::{FieldPath, Segment};
pub use raw::RawObject;
pub use snapshot::{Ignored, IgnoredReason, ScaleFromZero, Snapshot};
pub use source::{Origin, Place, Source, Sources};
