//! Kubernetes releases.

use std::fmt;
use std::str::FromStr;

/// A minor release of Kubernetes whose behaviour Drayage knows.
///
/// The library environment of CEL, the defaults of feature gates and known behaviour of the allocator depend
/// on it. Each stands for its newest patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Release {
    /// 1.34, the first with `resource.k8s.io/v1`.
    V1_34,
    /// 1.35
    V1_35,
    /// 1.36
    V1_36,
    /// 1.37
    V1_37,
}

impl Release {
    /// Every known release, oldest first.
    pub const ALL: [Self; 4] = [Self::V1_34, Self::V1_35, Self::V1_36, Self::V1_37];

    /// The minor version number: 36 for 1.36.
    pub fn minor(self) -> u32 {
        match self {
            Self::V1_34 => 34,
            Self::V1_35 => 35,
            Self::V1_36 => 36,
            Self::V1_37 => 37,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor())
    }
}

/// The text names no release that Drayage knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown Kubernetes release `{text}`, expected one of 1.34, 1.35, 1.36, 1.37")]
pub struct ReleaseError {
    /// What was given.
    pub text: String,
}

impl FromStr for Release {
    type Err = ReleaseError;

    /// Accepts `1.36`, `v1.36` and, because people paste them, patch versions such as `1.36.3`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ReleaseError { text: text.to_owned() };
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        if parts.next() != Some("1") {
            return Err(unknown());
        }
        let minor = parts.next().ok_or_else(unknown)?;
        Self::ALL.into_iter().find(|release| release.minor().to_string() == minor).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_round_trip_through_their_text() {
        for release in Release::ALL {
            assert_eq!(release.to_string().parse(), Ok(release));
            assert_eq!(format!("v{release}.3").parse(), Ok(release));
        }
    }

    #[test]
    fn unknown_releases_are_refused() {
        for text in ["", "1", "2.36", "1.33", "1.036", "latest", "1.36x"] {
            assert!(text.parse::<Release>().is_err(), "{text}");
        }
    }
}
