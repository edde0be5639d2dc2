//! Doubles from text.

/// As Go's `strconv.ParseFloat`: underscores between digits, hexadecimal notation with a binary exponent; a number
/// too large for a double is refused.
pub(super) fn parse(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = without_underscores(unsigned)?;
    let hexadecimal = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X"));
    let number = if let Some(digits) = hexadecimal {
        parse_hexadecimal(digits)?
    } else {
        let number: f64 = plain.parse().ok()?;
        let says_infinite = plain.to_ascii_lowercase().contains("inf");
        // Not a number has no sign.
        if number.is_nan() && unsigned.len() != text.len() || number.is_infinite() && !says_infinite {
            return None;
        }
        number
    };
    Some(if text.starts_with('-') { -number } else { number })
}

/// The text without underscores; none where one does not stand between two digits or after `0x`.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let hexadecimal = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let digit = |at: usize| {
        bytes.get(at).is_some_and(|byte| byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit())
            || hexadecimal && at == 1
    };
    for (at, _) in text.match_indices('_') {
        if at == 0 || !digit(at - 1) || !digit(at + 1) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// Mantissa, `p` and a decimal exponent of two, rounded to the nearest double, to even where two are as near.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let mut exponent = clamped(exponent)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits: u64 = 0;
    let places = whole.chars().map(|c| (c, 0)).chain(fraction.chars().map(|c| (c, 4)));
    for (digit, behind_the_point) in places {
        let digit = u64::from(digit.to_digit(16)?);
        exponent -= behind_the_point;
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
        } else {
            // What no longer fits only matters for rounding.
            bits |= u64::from(digit != 0);
            exponent += 4;
        }
    }
    if bits == 0 {
        return Some(0.0);
    }
    let shift = bits.leading_zeros();
    let bits = bits << shift;
    let exponent = exponent + 63 - i64::from(shift);
    if exponent > 1023 {
        return None;
    }
    // Bits of the result: fewer below the smallest normal number.
    let kept = (53 + (exponent + 1022).min(0)).max(-1);
    let dropped = u32::try_from(64 - kept).ok()?;
    let (result, rest, half) = match dropped {
        ..64 => (bits >> dropped, bits & ((1 << dropped) - 1), 1 << (dropped - 1)),
        64 => (0, bits, 1 << 63),
        _ => (0, 0, 1),
    };
    let result = result + u64::from(rest > half || rest == half && result & 1 == 1);
    let biased = u64::try_from((exponent + 1022).max(0)).ok()?;
    let number = f64::from_bits((biased << 52) + result);
    number.is_finite().then_some(number)
}

/// A decimal number; what is beyond any double is cut off.
fn clamped(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(100_000);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn hexadecimal_numbers_and_underscores_are_those_of_go() {
        for (text, expected) in [
            ("0x1p-2", 0.25),
            ("0x_1p-2", 0.25),
            ("1_000", 1000.0),
            ("0X1.8P+3", 12.0),
            ("-0x1_0p0", -16.0),
            ("0x1p1_0", 1024.0),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000001p0", 1.000_000_000_000_000_2),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in
            ["0x1", "0x.p1", "0x1p", "0x_p0", "0x1__0p0", "_1", "1_", "+nan", "0x1p1024", "1e400", ".", ""]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
