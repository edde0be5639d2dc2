//! Reading quantities from text.

use std::str::FromStr;

use num_bigint::BigInt;

use super::decimal::{Decimal, Digits};
use super::{Amount, Quantity, QuantityError, QuantityErrorReason, QuantityFormat};

/// Longer texts are refused. A whole CEL expression has at most 10 KiB.
pub(super) const MAX_LENGTH: usize = 20_000;
/// The smallest unit is the nano.
const NANO: i32 = -9;
/// As many decimal digits always fit the integer representation.
const INTEGER_DIGITS: i32 = 18;

/// The parts of a quantity's text.
struct Parts<'a> {
    negative: bool,
    /// Sign, leading zeros, digits and point as written.
    number: &'a str,
    /// Digits before the point without leading zeros, `0` if there are none.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
    suffix: &'a str,
}

struct Suffix {
    /// The power of ten, or for [`QuantityFormat::BinarySI`] of two.
    exponent: i32,
    format: QuantityFormat,
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| QuantityError { text: text.chars().take(64).collect(), reason })
    }
}

fn parse(text: &str) -> Result<Quantity, QuantityErrorReason> {
    if text.is_empty() {
        return Err(QuantityErrorReason::Format);
    }
    if text.len() > MAX_LENGTH {
        return Err(QuantityErrorReason::TooLong);
    }
    if text == "0" {
        return Ok(Quantity { text: Some(text.into()), ..Quantity::ZERO });
    }
    let parts = split(text)?;
    let suffix = read_suffix(parts.suffix).ok_or(QuantityErrorReason::Suffix)?;
    match read_integer(text, &parts, &suffix) {
        Some(quantity) => Ok(quantity),
        None => read_exact(&parts, &suffix),
    }
}

/// The longest prefix of `text` made of bytes that `accept` takes, and the rest.
fn take(text: &str, accept: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !accept(byte)).unwrap_or(text.len());
    // Only ASCII is accepted, hence `end` is a character boundary.
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn split(text: &str) -> Result<Parts<'_>, QuantityErrorReason> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (_, rest) = take(unsigned, |byte| byte == b'0');
    let (whole, mut rest) = take(rest, |byte| byte.is_ascii_digit());
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = take(after, |byte| byte.is_ascii_digit());
    }
    let suffix = rest;
    let number = text.strip_suffix(suffix).unwrap_or(text);
    let (_, rest) = take(suffix, |byte| b"eEinumkKMGTP".contains(&byte));
    let rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    if !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QuantityErrorReason::Format);
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    Ok(Parts { negative: text.starts_with('-'), number, whole, fraction, suffix })
}

fn read_suffix(suffix: &str) -> Option<Suffix> {
    let decimal = |exponent| Some(Suffix { exponent, format: QuantityFormat::DecimalSI });
    let binary = |exponent| Some(Suffix { exponent, format: QuantityFormat::BinarySI });
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            // Upstream keeps the low 32 bits.
            #[expect(clippy::cast_possible_truncation, reason = "as upstream")]
            let exponent = exponent as i32;
            Some(Suffix { exponent, format: QuantityFormat::DecimalExponent })
        }
    }
}

/// The integer representation, if upstream chooses it.
fn read_integer(text: &str, parts: &Parts<'_>, suffix: &Suffix) -> Option<Quantity> {
    let length = |digits: &str| i32::try_from(digits.len()).unwrap_or(i32::MAX / 2);
    let binary = suffix.format == QuantityFormat::BinarySI;
    let (precision, unit, exponent) = if binary {
        // About three decimal digits for each step of 1024.
        let precision = if parts.fraction.is_empty() {
            15 - length(parts.whole) - suffix.exponent * 3 / 10 - 1
        } else {
            -1
        };
        (precision, 1_i64.checked_shl(suffix.exponent.unsigned_abs())?, 0)
    } else {
        (INTEGER_DIGITS - length(parts.whole) - length(parts.fraction), 1, suffix.exponent)
    };
    if precision < 0 {
        return None;
    }
    // Wraps for absurd exponents, as upstream.
    let exponent = exponent.wrapping_sub(length(parts.fraction));
    if exponent < NANO {
        return None;
    }
    let digits = format!("{}{}", parts.whole, parts.fraction);
    let magnitude: i64 = digits.parse().ok()?;
    let value = magnitude.checked_mul(unit)?;
    let keeps_text = if binary {
        magnitude % 8 != 0
    } else {
        exponent % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0')
    };
    Some(Quantity {
        amount: Amount::Integer { value: if parts.negative { -value } else { value }, exponent },
        format: suffix.format,
        text: keeps_text.then(|| text.into()),
    })
}

/// The arbitrary-precision representation.
fn read_exact(parts: &Parts<'_>, suffix: &Suffix) -> Result<Quantity, QuantityErrorReason> {
    let digits: String = parts.number.chars().filter(char::is_ascii_digit).collect();
    let digits: BigInt = digits.parse().map_err(|_| QuantityErrorReason::Number)?;
    let digits = Digits::from(digits);
    let places = i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX);
    let mut format = suffix.format;
    let mut magnitude = if format == QuantityFormat::BinarySI {
        Decimal::new(digits.shifted_left(suffix.exponent.unsigned_abs()), -i64::from(places))
    } else {
        // Upstream's scale counts the other way round, and wraps for absurd exponents.
        let scale = places.wrapping_add(suffix.exponent.wrapping_neg());
        Decimal::new(digits, -i64::from(scale))
    };
    // Whoever wants some of a resource gets some, so amounts below the nano are rounded up.
    if magnitude.sign() != 0 {
        magnitude = magnitude.rounded(i64::from(NANO)).0;
    }
    if format == QuantityFormat::BinarySI {
        let limit = Decimal::new(Digits::Short(i128::from(i64::MAX)), 0);
        let one = Decimal::new(Digits::Short(1), 0);
        if magnitude.compare(&limit).is_gt() {
            magnitude = limit;
        }
        if magnitude.sign() > 0 && magnitude.compare(&one).is_lt() {
            format = QuantityFormat::DecimalSI;
        }
    }
    let amount = Amount::Exact(if parts.negative { magnitude.negated() } else { magnitude });
    Ok(Quantity { amount, format, text: None })
}
