//! Device-selector CEL as the Kubernetes API server and kube-scheduler have it (KEP-4381).

mod attribute;
mod quantity;
mod release;

pub use attribute::AttributeValue;
pub use quantity::{Quantity, QuantityError};
pub use release::{Release, ReleaseError};
