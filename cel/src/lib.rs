//! Device-selector CEL as the Kubernetes API server and kube-scheduler have it (KEP-4381).
//!
//! An expression is parsed, checked against the one table of functions of its environment (a release, new or
//! stored, two gates), its cost estimated, and compiled to steps. Evaluation gives a value or an error and the
//! run-time cost that cel-go would have counted. Verdicts, values, estimates and costs of random expressions are
//! compared with the real packages of Kubernetes 1.34, 1.35, 1.36 and 1.37 (`conformance/`).
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use drayage_cel::{AttributeValue, Compiler, Device, Environment};
//!
//! let compiler = Compiler::new(Environment::default());
//! let selector = compiler.compile_selector(r#"device.attributes["gpu.example.com"].memory >= 40"#)?;
//!
//! let attributes = BTreeMap::from([("memory".to_owned(), AttributeValue::Int(80))]);
//! let device = Device::new("gpu.example.com", &attributes, std::iter::empty(), false);
//! assert_eq!(selector.matches(&device), Ok(true));
//! assert_eq!(selector.evaluate(&device).cost, 5);
//! # Ok::<(), drayage_cel::CompileError>(())
//! ```
//!
//! Nothing here panics on input. What is longer, deeper or larger than the limits is an error, on a stack of any
//! size. Deliberate differences from upstream:
//!
//! - A value is limited to about 4 MiB or 260,000 elements ([`EvaluationError::TooLarge`]), where upstream uses
//!   memory until the cost limit or the kernel ends it.
//! - Maps iterate in the order of their keys, where upstream has a random order.
//! - Messages of protocol buffers cannot be built.
//! - Where upstream panics at run time, as for versions as keys of maps, there is [`EvaluationError::Internal`], which
//!   ends the evaluation as there. Where it panics in compiling there is a compile error. Looking up such a key in a map
//!   of others, at which it panics too, finds nothing.
//! - Up to 1.36, `add` and `sub` on a quantity beyond 64 bits change the quantity itself upstream, that of the device
//!   too; here values do not change.

mod attribute;
mod check;
mod compile_error;
mod compiler;
mod declarations;
mod device;
mod environment;
mod error;
mod estimate;
mod frontend;
mod go_regex;
mod library;
mod number;
mod program;
mod quantity;
mod registry;
mod release;
mod rewrapped;
mod semantic_version;
mod standard;
mod syntax;
mod timestamp;
mod types;
mod value;

pub use attribute::AttributeValue;
pub use compile_error::{CompileError, Place, Problem};
pub use compiler::Compiler;
pub use declarations::CostEstimate;
pub use device::Device;
pub use environment::{Environment, ExpressionStage};
pub use error::EvaluationError;
pub use program::{Evaluation, MAX_COST, Program, Reads, References};
pub use quantity::{Quantity, QuantityError, QuantityErrorReason, QuantityFormat};
pub use registry::Signature;
pub use release::{Release, ReleaseError};
pub use semantic_version::{SemanticVersion, SemanticVersionError};
pub use standard::duration::parse as parse_duration;
pub use timestamp::{OutOfRange, Timestamp};
pub use types::Type;
pub use value::{Key, KeyRef, List, Map, Object, Value};
