//! `string.format` of cel-go's `ext.Strings` in version 2, with numbers as people in the USA write them.

use std::fmt::Write;
use std::sync::LazyLock;

use super::arguments::{MAX_TEXT, list, mismatch, string, text_result};
use super::costs::{actual_size, size};
use crate::declarations::{CallEstimate, Function, Operand, Overload, STRING_TRAVERSAL, Window, scale};
use crate::error::EvaluationError;
use crate::standard;
use crate::types::Type;
use crate::value::{List, Map, Value};

/// Digits behind the point if a clause does not say.
const DEFAULT_PRECISION: usize = 6;
/// No double has more digits behind the point.
const MAX_FRACTION: usize = 1_100;

/// What a clause makes of its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clause {
    /// `%s`
    String,
    /// `%d`
    Decimal,
    /// `%f`, with digits behind the point
    Fixed(Option<usize>),
    /// `%e`, with what upstream takes for the number of digits but uses as the width
    Scientific(Option<usize>),
    /// `%b`
    Binary,
    /// `%x` and `%X`
    Hexadecimal {
        /// With capital letters.
        upper: bool,
    },
    /// `%o`
    Octal,
}

impl Clause {
    /// The message for a value of a type this clause does not take.
    pub(crate) fn refusal(self, type_name: &str) -> String {
        let what = match self {
            Self::String => {
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, \
                 durations, and timestamps"
            }
            Self::Decimal => "decimal clause can only be used on integers",
            Self::Fixed(_) => "fixed-point clause can only be used on doubles",
            Self::Scientific(_) => "scientific clause can only be used on doubles",
            Self::Binary => "only integers and bools can be formatted as binary",
            Self::Hexadecimal { .. } => "only integers, byte buffers, and strings can be formatted as hex",
            Self::Octal => "octal clause can only be used on integers",
        };
        format!("error during formatting: {what}, was given {type_name}")
    }

    /// Whether a value of this static type may be taken, as far as is known.
    pub(crate) fn takes(self, type_: &Type) -> bool {
        let integer = matches!(type_, Type::Int | Type::Uint);
        match (self, type_) {
            (_, Type::Dyn)
            | (Self::Binary, Type::Bool)
            | (Self::Hexadecimal { .. }, Type::String | Type::Bytes) => true,
            (Self::String, _) => matches!(
                type_,
                Type::List(_)
                    | Type::Map(..)
                    | Type::Int
                    | Type::Uint
                    | Type::Double
                    | Type::Bool
                    | Type::String
                    | Type::Timestamp
                    | Type::Bytes
                    | Type::Duration
                    | Type::Type(_)
                    | Type::Null
            ),
            (Self::Fixed(_) | Self::Scientific(_), _) => matches!(type_, Type::Double | Type::String),
            (Self::Decimal | Self::Binary | Self::Hexadecimal { .. } | Self::Octal, _) => integer,
        }
    }

    fn format(self, value: &Value) -> Result<String, EvaluationError> {
        let refused = || EvaluationError::other(self.refusal(value.type_name()));
        match (self, value) {
            (Self::String, _) => as_string(value)?.ok_or_else(refused),
            (Self::Decimal, Value::Int(number)) => Ok(number.to_string()),
            (Self::Decimal, Value::Uint(number)) => Ok(number.to_string()),
            (Self::Fixed(precision), _) => {
                Ok(fixed(number(value).ok_or_else(refused)?, precision.unwrap_or(DEFAULT_PRECISION)))
            }
            (Self::Scientific(width), _) => {
                let width = width.unwrap_or(DEFAULT_PRECISION);
                if width as u64 > MAX_TEXT {
                    return Err(EvaluationError::TooLarge);
                }
                let text = scientific(number(value).ok_or_else(refused)?);
                // `format!` pads to 65,535 characters only.
                let missing = width.saturating_sub(text.chars().count());
                Ok(format!("{}{text}", " ".repeat(missing)))
            }
            (Self::Binary, Value::Bool(flag)) => Ok(u8::from(*flag).to_string()),
            (Self::Binary, _) => in_base(value, |number| format!("{number:b}")).ok_or_else(refused),
            (Self::Octal, _) => in_base(value, |number| format!("{number:o}")).ok_or_else(refused),
            (Self::Hexadecimal { upper }, _) => {
                let lower = match value {
                    Value::String(text) => bytes_as_hexadecimal(text.as_bytes()),
                    Value::Bytes(bytes) => bytes_as_hexadecimal(bytes),
                    _ => in_base(value, |number| format!("{number:x}")).ok_or_else(refused)?,
                };
                Ok(if upper { lower.to_ascii_uppercase() } else { lower })
            }
            (Self::Decimal, _) => Err(refused()),
        }
    }
}

/// A piece of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'f> {
    /// Copied as it is.
    Text(&'f str),
    /// Replaced by an argument.
    Clause(Clause),
}

/// The next piece of a format and what follows. The format is not empty.
pub(crate) fn next_piece(format: &str) -> Result<(Piece<'_>, &str), String> {
    let Some(clause) = format.strip_prefix('%') else {
        let (text, rest) = format.split_at(format.find('%').unwrap_or(format.len()));
        return Ok((Piece::Text(text), rest));
    };
    if let Some(rest) = clause.strip_prefix('%') {
        return Ok((Piece::Text("%"), rest));
    }
    if clause.is_empty() {
        return Err("unexpected end of string".to_owned());
    }
    let precision_error =
        |what: &str| format!("could not parse formatting clause: error while parsing precision: {what}");
    let mut rest = clause;
    let mut precision = None;
    if let Some(after) = clause.strip_prefix('.') {
        let end = after
            .find(|character: char| !character.is_ascii_digit())
            .ok_or_else(|| precision_error("could not find end of precision specifier"))?;
        let (digits, after) = after.split_at(end);
        let number = digits.parse().ok().filter(|number| i64::try_from(*number).is_ok());
        let number: usize = number.ok_or_else(|| {
            precision_error(&format!("error while converting precision to integer: {digits:?}"))
        })?;
        precision = Some(number);
        rest = after;
    }
    let mut characters = rest.chars();
    let clause = match characters.next() {
        Some('s') => Clause::String,
        Some('d') => Clause::Decimal,
        Some('f') => Clause::Fixed(precision),
        Some('e') => Clause::Scientific(precision),
        Some('b') => Clause::Binary,
        Some('x') => Clause::Hexadecimal { upper: false },
        Some('X') => Clause::Hexadecimal { upper: true },
        Some('o') => Clause::Octal,
        other => {
            return Err(format!(
                "could not parse formatting clause: unrecognized formatting clause {:?}",
                other.map(String::from).unwrap_or_default()
            ));
        }
    };
    Ok((Piece::Clause(clause), characters.as_str()))
}

/// The message for a clause without an argument.
pub(crate) fn missing_argument(index: usize) -> String {
    format!("index {index} out of range")
}

pub(super) fn functions() -> Vec<Function> {
    let parameters = vec![Type::String, Type::list(Type::Dyn)];
    let overload =
        Overload::member("string_format", parameters, Type::String, format).costing(estimate, cost);
    vec![Function::new("format", Window::since(29), vec![overload])]
}

fn estimate(operands: &[Operand<'_>]) -> CallEstimate {
    CallEstimate::of(size(operands, 0).scaled(STRING_TRAVERSAL))
}

fn cost(values: &[Value], _: &Value) -> u64 {
    scale(actual_size(values, 0), STRING_TRAVERSAL)
}

fn format(values: &[Value]) -> Result<Value, EvaluationError> {
    let (mut rest, arguments) = (string(values, 0)?, list(values, 1)?);
    let mut formatted = String::new();
    let mut used = 0;
    while !rest.is_empty() {
        // A missing argument is found before the clause is looked at.
        if rest.starts_with('%') && !rest.starts_with("%%") && used >= arguments.len() {
            return Err(EvaluationError::other(missing_argument(used)));
        }
        let (piece, after) = next_piece(rest).map_err(EvaluationError::other)?;
        rest = after;
        match piece {
            Piece::Text(text) => formatted.push_str(text),
            Piece::Clause(clause) => {
                formatted.push_str(&clause.format(arguments.get(used).ok_or_else(mismatch)?)?);
                used += 1;
            }
        }
        if formatted.len() as u64 > MAX_TEXT {
            return Err(EvaluationError::TooLarge);
        }
    }
    text_result(formatted)
}

/// The number of a double, or of a string that names one that has no digits.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::String(text) => match text.as_ref() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// What numbers without digits are called; none for the others.
fn special(number: f64) -> Option<&'static str> {
    match number {
        number if number.is_nan() => Some("NaN"),
        f64::INFINITY => Some("∞"),
        f64::NEG_INFINITY => Some("-∞"),
        _ => None,
    }
}

/// With commas between groups of three digits. As many digits behind the point as asked for, except that
/// upstream counts the zeros at the end in eight bits.
fn fixed(number: f64, precision: usize) -> String {
    if let Some(name) = special(number) {
        return name.to_owned();
    }
    let digits = format!("{:.*}", precision.min(MAX_FRACTION), number.abs());
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let mut text = String::from(if number < 0.0 { "-" } else { "" });
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let significant = fraction.trim_end_matches('0');
    let width = significant.len().max(precision % 256);
    if width > 0 {
        let _ = write!(text, ".{significant:0<width$}");
    }
    text
}

/// With the exponent in small raised digits.
fn scientific(number: f64) -> String {
    if let Some(name) = special(number) {
        return name.to_owned();
    }
    let plain = format!("{:.*e}", DEFAULT_PRECISION, if number == 0.0 { 0.0 } else { number });
    let (mantissa, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(("", exponent), |digits| ("⁻", digits));
    let raised = |digit: char| match digit {
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        _ => '⁰',
    };
    let digits: String = format!("{digits:0>2}").chars().map(raised).collect();
    format!("{mantissa}×10{sign}{digits}")
}

/// An integer in another base, with its sign.
fn in_base(value: &Value, print: fn(u64) -> String) -> Option<String> {
    match value {
        Value::Int(number) if *number < 0 => Some(format!("-{}", print(number.unsigned_abs()))),
        Value::Int(number) => Some(print(number.unsigned_abs())),
        Value::Uint(number) => Some(print(*number)),
        _ => None,
    }
}

fn bytes_as_hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A value as `%s` writes it; none if it does not.
fn as_string(value: &Value) -> Result<Option<String>, EvaluationError> {
    Ok(match value {
        Value::Null => Some("null".to_owned()),
        Value::List(list) => Some(list_as_string(list)?),
        Value::Map(map) => Some(map_as_string(map)?),
        Value::Type(of) => Some(of.runtime_name().unwrap_or("dyn").to_owned()),
        Value::Optional(_)
        | Value::Quantity(_)
        | Value::QuantitySum(_)
        | Value::Semver(_)
        | Value::Object(_) => None,
        simple => match standard::to_string(std::slice::from_ref(simple)) {
            Ok(Value::String(text)) => Some(text.as_ref().to_owned()),
            Ok(_) => None,
            Err(error) => {
                let reason = format!("could not convert argument \"{error}\" to string");
                return Err(EvaluationError::other(format!("error during formatting: {reason}")));
            }
        },
    })
}

/// A value within a list or map: strings in quotes, times as CEL would write them.
fn nested(value: &Value) -> Result<String, EvaluationError> {
    let unknown = || {
        let name = value.type_name();
        EvaluationError::other(format!("error during formatting: no formatting function for {name}"))
    };
    let text = match value {
        Value::Double(number) => match number {
            number if number.is_nan() => "\"NaN\"".to_owned(),
            number if number.is_infinite() => if *number > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" }.to_owned(),
            number => format!("{number:.DEFAULT_PRECISION$}"),
        },
        _ => as_string(value)?.ok_or_else(unknown)?,
    };
    Ok(match value {
        Value::String(_) => quoted(&text),
        Value::Bytes(_) => format!("b{}", quoted(&text)),
        Value::Timestamp(_) => format!("timestamp({})", quoted(&text)),
        Value::Duration(_) => format!("duration({})", quoted(&text)),
        _ => text,
    })
}

fn list_as_string(list: &List) -> Result<String, EvaluationError> {
    let items = list.iter().map(nested).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("[{}]", items.join(", ")))
}

fn map_as_string(map: &Map) -> Result<String, EvaluationError> {
    let mut entries = vec![];
    for (key, value) in map.iter() {
        let key = key.to_value();
        if !matches!(key, Value::String(_) | Value::Bool(_) | Value::Int(_) | Value::Uint(_)) {
            let name = key.type_name();
            return Err(EvaluationError::other(format!(
                "error during formatting: no formatting function for map key of type {name}"
            )));
        }
        entries.push((nested(&key)?, nested(value)?));
    }
    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
    let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    Ok(format!("{{{}}}", entries.join(", ")))
}

/// What Go's `unicode.IsPrint` says: letters, marks, numbers, punctuation, symbols, and the ASCII space.
static PRINTABLE: LazyLock<Option<regex::Regex>> =
    LazyLock::new(|| regex::Regex::new(r"\A[\p{L}\p{M}\p{N}\p{P}\p{S} ]\z").ok());

/// In quotes, as Go's `%q`.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            ' '..='~' => quoted.push(character),
            '\u{7}' => quoted.push_str(r"\a"),
            '\u{8}' => quoted.push_str(r"\b"),
            '\u{C}' => quoted.push_str(r"\f"),
            '\n' => quoted.push_str(r"\n"),
            '\r' => quoted.push_str(r"\r"),
            '\t' => quoted.push_str(r"\t"),
            '\u{B}' => quoted.push_str(r"\v"),
            _ => {
                let mut buffer = [0; 4];
                let alone: &str = character.encode_utf8(&mut buffer);
                let code = u32::from(character);
                let _ = match code {
                    _ if PRINTABLE.as_ref().is_some_and(|printable| printable.is_match(alone)) => {
                        write!(quoted, "{character}")
                    }
                    0..0x80 => write!(quoted, "\\x{code:02x}"),
                    0x80..0x10000 => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}
