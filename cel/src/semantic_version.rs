//! Semantic versions, as the API and CEL know them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A semantic version 2.0.0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SemanticVersion(semver::Version);

/// The text is not a semantic version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a semantic version: {reason}")]
pub struct SemanticVersionError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl SemanticVersion {
    /// The order of semantic versions, which ignores build metadata.
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }
}

impl FromStr for SemanticVersion {
    type Err = SemanticVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        semver::Version::parse(text)
            .map(Self)
            .map_err(|error| SemanticVersionError { text: text.to_owned(), reason: error.to_string() })
    }
}

impl fmt::Display for SemanticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
