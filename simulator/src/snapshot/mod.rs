//! Objects made fit to be shown to others: small, with one finding kept.

mod finding;
mod shrink;

pub use finding::{Finding, FindingError, Kept};
pub use shrink::{Shrunk, shrink};
