//! Kubernetes quantities: exact decimals with a suffix.

use std::fmt;
use std::str::FromStr;

/// A Kubernetes quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    text: String,
}

/// The text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a quantity")]
pub struct QuantityError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            Err(QuantityError { text: text.to_owned() })
        } else {
            Ok(Self { text: text.to_owned() })
        }
    }
}
