//! Ranges of sizes and costs, as estimates use them.

/// A range of sizes or costs, both ends included. All arithmetic stops at the largest `u64` instead of
/// overflowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CostEstimate {
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

/// What `size` gives for a value: characters, bytes, elements, entries.
pub(crate) type SizeEstimate = CostEstimate;

/// Cost of looking at one character or byte of a string.
pub(crate) const STRING_TRAVERSAL: f64 = 0.1;
/// Cost of one character of a regular expression.
pub(crate) const REGEX_LENGTH: f64 = 0.25;

impl CostEstimate {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    /// Exactly this much.
    pub(crate) const fn fixed(value: u64) -> Self {
        Self { min: value, max: value }
    }

    /// The sum of both ends.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    /// The product of both ends.
    pub(crate) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Both ends times a factor, rounded up.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    /// The smallest range that contains both.
    pub(crate) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// `value * factor`, rounded up, and at most the largest `u64`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "costs are computed in doubles upstream; `as` saturates at both ends"
)]
pub(crate) fn scale(value: u64, factor: f64) -> u64 {
    (value as f64 * factor).ceil() as u64
}
