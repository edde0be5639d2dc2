//! The canonical text of quantities.

use super::decimal::{Decimal, Digits};
use super::{Amount, QuantityFormat};

/// The canonical text: the largest suffix that leaves a whole number.
///
/// Like upstream it leaves the suffix out where there is none for the size (`1000E`, which is 10 to the power
/// of 21, is written as `1`).
pub(super) fn canonical(amount: &Amount, format: QuantityFormat) -> String {
    let decimal = amount.to_decimal();
    if decimal.sign() == 0 {
        return "0".to_owned();
    }
    if format == QuantityFormat::BinarySI
        && let Some(whole) = binary_digits(&decimal)
    {
        // Upstream finds no factors in the one number that has no positive counterpart.
        if matches!(amount, Amount::Integer { value: i64::MIN, exponent: 0 }) {
            return digits_text(&whole);
        }
        let (digits, steps) = whole.without_factors(1024);
        let suffix = usize::try_from(steps).ok().and_then(|steps| BINARY_SUFFIXES.get(steps));
        return digits_text(&digits) + suffix.copied().unwrap_or_default();
    }
    let (digits, exponent) = decimal.reduced();
    let remainder = exponent.rem_euclid(3);
    let exponent = exponent - remainder;
    let digits = digits_text(&digits.scaled_up(u32::try_from(remainder).unwrap_or(0)));
    match format {
        QuantityFormat::DecimalExponent if exponent == 0 => digits,
        QuantityFormat::DecimalExponent => format!("{digits}e{exponent}"),
        QuantityFormat::BinarySI | QuantityFormat::DecimalSI => {
            let place = usize::try_from((exponent + 9) / 3).ok().filter(|_| exponent >= -9);
            let suffix = place.and_then(|place| DECIMAL_SUFFIXES.get(place));
            digits + suffix.copied().unwrap_or_default()
        }
    }
}

const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL_SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// The number as a whole if it can be written in powers of 1024 without loss: it is whole and not between
/// -1024 and 1024.
fn binary_digits(decimal: &Decimal) -> Option<Digits> {
    let bound = |value| Decimal::new(Digits::Short(value), 0);
    if decimal.compare(&bound(-1024)).is_gt() && decimal.compare(&bound(1024)).is_lt() {
        return None;
    }
    let (rounded, exact) = decimal.rounded(0);
    if !exact || rounded.exponent() != 0 {
        return None;
    }
    Some(rounded.digits().clone())
}

fn digits_text(digits: &Digits) -> String {
    match digits {
        Digits::Short(short) => short.to_string(),
        Digits::Long(long) => long.to_string(),
    }
}
