//! What a plain word means: YAML 1.1 as Kubernetes' library has it.

use std::borrow::Cow;

use crate::tree::Value;

/// The value of an unquoted scalar.
pub(super) fn resolve(text: Cow<'_, str>) -> Value<'_> {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Value::Text(text);
    }
    if is_plain_integer(&text) {
        return Value::Number(text);
    }
    match number(&text) {
        Some(number) => Value::Number(Cow::Owned(number)),
        None => Value::Text(text),
    }
}

/// Decimal digits that JSON would write the same way and that fit 64 bits without a look.
fn is_plain_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=18).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'))
        && text != "-0"
}

/// The number in JSON's notation, if it is one.
fn number(text: &str) -> Option<String> {
    let plain: Cow<'_, str> =
        if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
    integer(&plain).map(|value| value.to_string()).or_else(|| float(&plain))
}

/// As Go's `ParseInt` with base 0: `0x`, `0o`, `0b`, and a leading `0` for octal.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = if let Some(body) = lower.strip_prefix("0x") {
        (16, body)
    } else if let Some(body) = lower.strip_prefix("0o") {
        (8, body)
    } else if let Some(body) = lower.strip_prefix("0b") {
        (2, body)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?)
    } else {
        (10, lower.as_str())
    };
    if !body.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(body, radix).ok()?);
    let value = if negative { -magnitude } else { magnitude };
    (value >= i128::from(i64::MIN)).then_some(value)
}

/// A decimal fraction or exponent, written as Go's JSON writes a float.
fn float(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(position) => (unsigned.get(..position)?, unsigned.get(position + 1..)),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    } && exponent
        .is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    if !well_formed {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        Some(if magnitude < 1.0 { text } else { text.replace('e', "e+") })
    } else {
        Some(format!("{value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked of the Go library: text, and the JSON it becomes.
    #[test]
    fn plain_words_mean_what_kubernetes_takes_them_for() {
        let cases = [
            ("on", "true"),
            ("Off", "false"),
            ("y", "true"),
            ("oN", "\"oN\""),
            ("~", "null"),
            ("80", "80"),
            ("0755", "493"),
            ("0o17", "15"),
            ("0x1F", "31"),
            ("-0b11", "-3"),
            ("1_000", "1000"),
            ("08", "8"),
            ("1.0", "1"),
            ("0.10", "0.1"),
            (".5", "0.5"),
            ("1e3", "1000"),
            ("1e21", "1e+21"),
            ("80Gi", "\"80Gi\""),
            ("1.2.3", "\"1.2.3\""),
            ("2026-01-02", "\"2026-01-02\""),
            ("-", "\"-\""),
            ("18446744073709551615", "18446744073709551615"),
            ("+12", "12"),
            ("-.5", "-0.5"),
            ("1e-7", "1e-7"),
            ("0x", "\"0x\""),
            ("1_", "1"),
            ("00", "0"),
            ("-0", "0"),
            ("+0x1F", "31"),
            ("1.", "1"),
            ("0.1e400", "\"0.1e400\""),
            ("...", "\"...\""),
            ("190:20:30", "\"190:20:30\""),
        ];
        for (text, json) in cases {
            let mut written = String::new();
            resolve(Cow::Borrowed(text)).write_json(&mut written);
            assert_eq!(written, json, "{text}");
        }
    }
}
