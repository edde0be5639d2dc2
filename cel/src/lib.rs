//! Device-selector CEL as the Kubernetes API server and kube-scheduler have it (KEP-4381).
#![allow(dead_code, unused_imports, reason = "the checker and the evaluator that use the table follow")]

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
pub use program::{Evaluation, MAX_COST, Program, References};
pub use quantity::{Quantity, QuantityError, QuantityErrorReason, QuantityFormat};
pub use release::{Release, ReleaseError};
pub use semantic_version::{SemanticVersion, SemanticVersionError};
pub use timestamp::{OutOfRange, Timestamp};
pub use types::Type;
pub use value::{Key, KeyRef, List, Map, Object, Value};
