//! Values as text.

use std::fmt::{self, Write};

use crate::value::Value;

/// A double as Go's `%g` prints it, which is what CEL's `string` gives.
pub(crate) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // Rust prints the shortest digits that read back the same, as Go does; only the layout differs.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The threshold of `%g` without a precision.
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// In the syntax of CEL, so that most values can be pasted back into an expression.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => write!(f, "{value}u"),
            Self::Double(value) => {
                let text = double(*value);
                f.write_str(&text)?;
                if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') { f.write_str(".0") } else { Ok(()) }
            }
            Self::String(text) => quoted(f, text),
            Self::Bytes(bytes) => {
                f.write_str("b\"")?;
                for byte in bytes.iter() {
                    match byte {
                        b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                        0x20..=0x7e => f.write_char(char::from(*byte))?,
                        other => write!(f, "\\x{other:02x}")?,
                    }
                }
                f.write_char('"')
            }
            Self::Duration(value) => write!(f, "duration(\"{}\")", super::duration::to_text(*value)),
            Self::Timestamp(moment) => write!(f, "timestamp(\"{moment}\")"),
            Self::List(list) => {
                f.write_char('[')?;
                for (at, item) in list.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    item.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Map(map) => {
                f.write_char('{')?;
                for (at, (key, value)) in map.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{}: {value}", key.to_value())?;
                }
                f.write_char('}')
            }
            Self::Type(of) => f.write_str(of.runtime_name().unwrap_or("dyn")),
            Self::Optional(None) => f.write_str("optional.none()"),
            Self::Optional(Some(value)) => write!(f, "optional.of({value})"),
            Self::Quantity(quantity) | Self::QuantitySum(quantity) => write!(f, "quantity(\"{quantity}\")"),
            Self::Semver(version) => write!(f, "semver(\"{version}\")"),
            Self::Object(object) => object.fmt(f),
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// A map key or list index as cel-go names it in its errors.
pub(crate) fn key(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => double(*number),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::double;

    #[test]
    fn doubles_print_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (1e20, "1e+20"),
            (1.5e300, "1.5e+300"),
            (1e-100, "1e-100"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(double(value), text);
        }
    }
}
