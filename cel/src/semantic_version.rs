//! Semantic versions, as the API and CEL know them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A semantic version 2.0.0, as `github.com/blang/semver/v4` reads it.
///
/// `==` on this type compares everything; [`SemanticVersion::precedence`], which CEL uses, ignores build
/// metadata. Constraints of claims compare the text of versions instead.
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
    /// Reads a version as `semver(text, true)` does: one leading `v` is dropped, missing minor and patch numbers
    /// are zero, and leading zeros of the three numbers are dropped. A version with fewer than three numbers
    /// cannot have a pre-release or build metadata.
    pub fn parse_normalized(text: &str) -> Result<Self, SemanticVersionError> {
        let without_v = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = without_v.splitn(3, '.').map(without_leading_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err(SemanticVersionError {
                    text: text.to_owned(),
                    reason:
                        "a version of fewer than three numbers cannot have a pre-release or build metadata"
                            .to_owned(),
                });
            }
            parts.resize(3, "0".to_owned());
        }
        parts.join(".").parse().map_err(|error| SemanticVersionError { text: text.to_owned(), ..error })
    }

    /// The order of semantic versions, which ignores build metadata.
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }

    /// The first number.
    pub fn major(&self) -> u64 {
        self.0.major
    }

    /// The second number.
    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    /// The third number.
    pub fn patch(&self) -> u64 {
        self.0.patch
    }
}

/// One part of a version, with leading zeros removed as long as a digit follows.
fn without_leading_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let stripped = part.trim_start_matches('0');
    if stripped.starts_with(|first: char| first.is_ascii_digit()) {
        stripped.to_owned()
    } else {
        format!("0{stripped}")
    }
}

impl FromStr for SemanticVersion {
    type Err = SemanticVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason: String| SemanticVersionError { text: text.to_owned(), reason };
        let version = semver::Version::parse(text).map_err(|reason| error(reason.to_string()))?;
        let too_large = |identifier: &str| {
            identifier.bytes().all(|byte| byte.is_ascii_digit())
                && !identifier.is_empty()
                && identifier.parse::<u64>().is_err()
        };
        // The specification sets no limit, upstream keeps such identifiers in 64 bits.
        if version.pre.split('.').any(too_large) {
            return Err(error("a number of the pre-release does not fit 64 bits".to_owned()));
        }
        Ok(Self(version))
    }
}

impl fmt::Display for SemanticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> SemanticVersion {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn order_of_the_specification() {
        let ordered = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.10.0",
        ];
        for (position, left) in ordered.iter().enumerate() {
            for (other, right) in ordered.iter().enumerate() {
                assert_eq!(version(left).precedence(&version(right)), position.cmp(&other), "{left} {right}");
            }
        }
        assert!(version("1.0.0+a").precedence(&version("1.0.0+b")).is_eq());
    }

    #[test]
    fn strict_versions_only() {
        for text in [
            "",
            "1",
            "1.2",
            "v1.2.3",
            "1.2.3.4",
            "01.2.3",
            "1.2.3-01",
            "1.2.3-",
            "1.2.3+",
            "1.2.3-a..b",
            " 1.2.3",
        ] {
            assert!(text.parse::<SemanticVersion>().is_err(), "{text}");
        }
        assert!("1.2.3-18446744073709551616".parse::<SemanticVersion>().is_err());
        assert!("18446744073709551616.0.0".parse::<SemanticVersion>().is_err());
        assert_eq!(version("1.2.3-18446744073709551615+01").to_string(), "1.2.3-18446744073709551615+01");
    }

    #[test]
    fn normalized_versions() {
        for (text, normalized) in [
            ("v01.02", "1.2.0"),
            ("1", "1.0.0"),
            ("v000.00.0003-rc.1+b", "0.0.3-rc.1+b"),
            ("1.0.00", "1.0.0"),
            ("1.2.0-a", "1.2.0-a"),
        ] {
            let parsed = SemanticVersion::parse_normalized(text).map(|version| version.to_string());
            assert_eq!(parsed.as_deref(), Ok(normalized), "{text}");
        }
        for text in ["", "v", "vv1", "1.2.3.4", "1-a", "1.2+b", "1..2", "1.2.", ".1.2", "a.b.c", "1.2.03-01"]
        {
            assert!(SemanticVersion::parse_normalized(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_reads_back(text in "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(-[0-9a-z.-]{1,8})?(\\+[0-9a-z.-]{1,8})?") {
            if let Ok(version) = text.parse::<SemanticVersion>() {
                prop_assert_eq!(version.to_string(), text.clone());
                prop_assert_eq!(SemanticVersion::parse_normalized(&text), Ok(version));
            }
        }
    }
}
