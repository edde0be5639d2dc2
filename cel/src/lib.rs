//! Device-selector CEL as the Kubernetes API server and kube-scheduler have it (KEP-4381).
#![allow(dead_code, unused_imports, reason = "the checker and the evaluator that use the table follow")]

mod attribute;
mod declarations;
mod error;
mod go_regex;
mod library;
mod number;
mod quantity;
mod release;
mod semantic_version;
mod types;
mod value;

pub use attribute::AttributeValue;
pub use declarations::CostEstimate;
pub use error::EvaluationError;
pub use quantity::{Quantity, QuantityError, QuantityErrorReason, QuantityFormat};
pub use release::{Release, ReleaseError};
pub use semantic_version::{SemanticVersion, SemanticVersionError};
pub use types::Type;
pub use value::{Key, KeyRef, List, Map, Object, Value};
