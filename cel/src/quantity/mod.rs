//! Kubernetes quantities: exact decimal numbers with a unit suffix.
//!
//! The behaviour is that of `resource.Quantity` in `k8s.io/apimachinery`, the differences between its two
//! representations included, because device selectors can see them: `isInteger()` is false for every quantity
//! that upstream holds in arbitrary precision, even for `128Ti`.

mod decimal;
mod parse;
#[cfg(test)]
mod tests;
mod text;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use decimal::{Decimal, Digits};

/// How a quantity writes itself, upstream's `resource.Format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuantityFormat {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`, 12 times 2 to the power of 20
    BinarySI,
    /// `12M`, 12 times 10 to the power of 6
    DecimalSI,
}

/// A Kubernetes quantity: an exact number and the format it writes itself in.
///
/// Comparison, equality and hash are those of the number: `1Ki`, `1024` and `1.024k` are equal.
/// [`Quantity::same_representation`] tells them apart.
#[derive(Clone)]
pub struct Quantity {
    amount: Amount,
    format: QuantityFormat,
    /// The text the quantity was read from, where upstream keeps it as the text to write. Lost by arithmetic.
    text: Option<Box<str>>,
}

/// The number, in one of upstream's two representations.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Amount {
    /// `value` times 10 to the power of `exponent`.
    Integer { value: i64, exponent: i32 },
    /// Arbitrary precision.
    Exact(Decimal),
}

impl Amount {
    fn to_decimal(&self) -> Decimal {
        match self {
            Self::Integer { value, exponent } => {
                Decimal::new(Digits::Short(i128::from(*value)), i64::from(*exponent))
            }
            Self::Exact(decimal) => decimal.clone(),
        }
    }
}

/// A text that is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a quantity: {reason}")]
pub struct QuantityError {
    /// What was given, cut after 64 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: QuantityErrorReason,
}

/// What is wrong with the text of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityErrorReason {
    /// Something before, between or after number and suffix.
    #[error("expected a number followed by an optional suffix such as `Gi`, without spaces")]
    Format,
    /// No digit where there has to be one.
    #[error("the number has no digits")]
    Number,
    /// The letters after the number are no suffix.
    #[error(
        "unknown suffix, expected one of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent"
    )]
    Suffix,
    /// Longer than any number of use; upstream has no such limit.
    #[error("longer than {} characters", parse::MAX_LENGTH)]
    TooLong,
}

impl Quantity {
    /// Zero in the format DecimalSI.
    pub const ZERO: Self = Self::from_integer(0, QuantityFormat::DecimalSI);

    /// A whole number, upstream's `resource.NewQuantity`.
    pub const fn from_integer(value: i64, format: QuantityFormat) -> Self {
        Self { amount: Amount::Integer { value, exponent: 0 }, format, text: None }
    }

    /// A number of thousandths, upstream's `resource.NewMilliQuantity`.
    pub const fn from_milli(value: i64, format: QuantityFormat) -> Self {
        Self { amount: Amount::Integer { value, exponent: -3 }, format, text: None }
    }

    /// The format this quantity writes itself in.
    pub fn format(&self) -> QuantityFormat {
        self.format
    }

    /// Whether this is zero, whatever the format.
    pub fn is_zero(&self) -> bool {
        self.sign() == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match &self.amount {
            Amount::Integer { value, .. } => i32::from(value.signum() == 1) - i32::from(*value < 0),
            Amount::Exact(decimal) => decimal.sign(),
        }
    }

    /// The whole number rounded away from zero, upstream's `Value()`.
    ///
    /// Upstream's results for numbers that do not fit are kept: 0 or the low 64 bits.
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// A thousand times the number, rounded away from zero; upstream's `MilliValue()`. Numbers that do not fit
    /// give what [`Quantity::value`] says.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    fn scaled_value(&self, scale: i64) -> i64 {
        match &self.amount {
            Amount::Integer { value, exponent } => {
                let places = i64::from(*exponent) - scale;
                match decimal::scale_integer(*value, places) {
                    Some((scaled, _)) => scaled,
                    // Upstream multiplies by these powers at once, and by all others step by step.
                    None if *value != i64::MIN && [1, 2, 3, 6, 9].contains(&places) => {
                        value.wrapping_mul(10_i64.pow(u32::try_from(places).unwrap_or(0)))
                    }
                    None => 0,
                }
            }
            Amount::Exact(decimal) => decimal.scaled_value(scale),
        }
    }

    /// The number as an integer where upstream's `AsInt64` gives one: never for the arbitrary-precision
    /// representation nor for a negative exponent, even if the number is whole (`128Ti`, `1000m`).
    pub fn as_integer(&self) -> Option<i64> {
        match &self.amount {
            Amount::Integer { value, exponent } if *exponent >= 0 => {
                decimal::scale_integer(*value, i64::from(*exponent)).map(|(value, _)| value)
            }
            _ => None,
        }
    }

    /// The number in units of 10⁻⁹, exactly; `None` where that is no whole number of 128 bits. Quantities that were
    /// read from text never have smaller units.
    pub fn nano_units(&self) -> Option<i128> {
        let (digits, exponent) = self.amount.to_decimal().reduced();
        let Digits::Short(digits) = digits else { return None };
        if digits == 0 {
            return Some(0);
        }
        let places = u32::try_from(exponent.checked_add(9)?).ok()?;
        digits.checked_mul(10_i128.checked_pow(places)?)
    }

    /// The nearest floating-point numbers upstream finds, `AsApproximateFloat64`. Not for computing with.
    pub fn as_approximate_float(&self) -> f64 {
        match &self.amount {
            #[expect(clippy::cast_precision_loss, reason = "approximate by contract")]
            Amount::Integer { value, exponent } => decimal::scale_float(*value as f64, i64::from(*exponent)),
            Amount::Exact(decimal) => decimal.to_float(),
        }
    }

    /// The exact sum. Zero takes the format of `other`, else the format stays.
    ///
    /// `None` where the two are so far apart (more than 1,000 decimal places) that the exact sum would be
    /// absurdly long; upstream does not come back from such an addition.
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        let format = if self.is_zero() { other.format } else { self.format };
        let amount = match (&self.amount, &other.amount) {
            (
                Amount::Integer { value, exponent },
                Amount::Integer { value: other_value, exponent: other_exponent },
            ) => add_integers((*value, *exponent), (*other_value, *other_exponent)),
            _ => None,
        };
        let amount = match amount {
            Some(amount) => amount,
            None => Amount::Exact(self.amount.to_decimal().checked_add(&other.amount.to_decimal())?),
        };
        Some(Self { amount, format, text: None })
    }

    /// The difference; format and `None` as for [`Quantity::checked_add`]. Exact but for upstream's fault with -2^63,
    /// which has no positive counterpart and is added instead where the sum fits.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        if let Amount::Integer { value: i64::MIN, exponent } = other.amount
            && let Amount::Integer { value, exponent: own } = self.amount
            && add_integers((value, own), (i64::MIN, exponent)).is_some()
        {
            return self.checked_add(other);
        }
        self.checked_add(&other.negated())
    }

    /// The number with its sign turned.
    #[must_use]
    pub fn negated(&self) -> Self {
        let amount = match &self.amount {
            Amount::Integer { value, exponent } => match value.checked_neg() {
                Some(value) => Amount::Integer { value, exponent: *exponent },
                None => Amount::Exact(self.amount.to_decimal().negated()),
            },
            Amount::Exact(decimal) => Amount::Exact(decimal.negated()),
        };
        Self { amount, format: self.format, text: None }
    }

    /// Whether both have the same representation, format and text, not just the same number. A quantity that was
    /// computed has no text, so it differs from one that was read, even where both print the same.
    pub fn same_representation(&self, other: &Self) -> bool {
        self.amount == other.amount && self.format == other.format && self.text == other.text
    }

    /// Whether Go's `==` holds between the two. In arbitrary precision it never does, because there it compares
    /// where the numbers are stored.
    pub fn is_equal_in_go(&self, other: &Self) -> bool {
        matches!(self.amount, Amount::Integer { .. }) && self.same_representation(other)
    }

    /// Whether upstream holds this in arbitrary precision, as it does `1.5Gi`.
    pub fn is_arbitrary_precision(&self) -> bool {
        matches!(self.amount, Amount::Exact(_))
    }

    /// The same number, format and text in arbitrary precision. Upstream's `Cmp` turns its receiver into this when
    /// it compares it with a quantity that is held so.
    #[must_use]
    pub fn into_arbitrary_precision(self) -> Self {
        Self { amount: Amount::Exact(self.amount.to_decimal()), ..self }
    }
}

/// Adds in the integer representation if upstream stays in it.
fn add_integers(left: (i64, i32), right: (i64, i32)) -> Option<Amount> {
    let amount = |value, exponent| Amount::Integer { value, exponent };
    if right.0 == 0 {
        return Some(amount(left.0, left.1));
    }
    if left.0 == 0 {
        return Some(amount(right.0, right.1));
    }
    let (high, low) = if left.1 >= right.1 { (left, right) } else { (right, left) };
    let (scaled, _) = decimal::scale_integer(high.0, i64::from(high.1) - i64::from(low.1))?;
    scaled.checked_add(low.0).map(|sum| amount(sum, low.1))
}

impl Default for Quantity {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({self})")
    }
}

impl fmt::Display for Quantity {
    /// The canonical text, as upstream writes it into JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.pad(text),
            None => f.pad(&text::canonical(&self.amount, self.format)),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.amount, &other.amount) {
            (
                Amount::Integer { value, exponent },
                Amount::Integer { value: other_value, exponent: other_exponent },
            ) if exponent == other_exponent => value.cmp(other_value),
            _ => self.amount.to_decimal().compare(&other.amount.to_decimal()),
        }
    }
}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (digits, exponent) = self.amount.to_decimal().reduced();
        digits.hash(state);
        exponent.hash(state);
    }
}
