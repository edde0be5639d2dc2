//! Conversions between types.

use std::sync::Arc;

use super::{A, costs, duration, float, text};
use crate::declarations::{Evaluate, Function, Overload, Window};
use crate::error::EvaluationError;
use crate::timestamp as moment;
use crate::types::Type::{self, Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
use crate::value::Value;

type Evaluated = Result<Value, EvaluationError>;

pub(super) fn functions() -> Vec<Function> {
    let function = |name, overloads| Function::new(name, Window::ALWAYS, overloads);
    vec![
        function("type", vec![Overload::global("type", vec![A], Type::type_of(A), type_of).unguarded()]),
        function(
            "bool",
            vec![from("bool_to_bool", Bool, Bool, to_bool), from("string_to_bool", String, Bool, to_bool)],
        ),
        function(
            "bytes",
            vec![
                from("bytes_to_bytes", Bytes, Bytes, to_bytes),
                from("string_to_bytes", String, Bytes, to_bytes)
                    .costing(costs::estimate_string_to_bytes, costs::first_traversed),
            ],
        ),
        function(
            "double",
            vec![
                from("double_to_double", Double, Double, to_double),
                from("int64_to_double", Int, Double, to_double),
                from("string_to_double", String, Double, to_double),
                from("uint64_to_double", Uint, Double, to_double),
            ],
        ),
        Function::new(
            "duration",
            Window::before_0_29(),
            vec![
                from("duration_to_duration", Duration, Duration, to_duration),
                from("int64_to_duration", Int, Duration, to_duration),
                from("string_to_duration", String, Duration, to_duration),
            ],
        ),
        Function::new(
            "duration",
            Window::since_0_29(),
            vec![
                from("duration_to_duration", Duration, Duration, to_duration),
                from("string_to_duration", String, Duration, to_duration),
            ],
        ),
        function("dyn", vec![Overload::global("to_dyn", vec![A], Type::Dyn, identity).unguarded()]),
        function(
            "int",
            vec![
                from("int64_to_int64", Int, Int, to_int),
                from("double_to_int64", Double, Int, to_int),
                from("duration_to_int64", Duration, Int, to_int),
                from("string_to_int64", String, Int, to_int),
                from("timestamp_to_int64", Timestamp, Int, to_int),
                from("uint64_to_int64", Uint, Int, to_int),
            ],
        ),
        function(
            "string",
            vec![
                from("string_to_string", String, String, to_string),
                from("bool_to_string", Bool, String, to_string),
                from("bytes_to_string", Bytes, String, to_string)
                    .costing(costs::estimate_bytes_to_string, costs::first_traversed),
                from("double_to_string", Double, String, to_string),
                from("duration_to_string", Duration, String, to_string),
                from("int64_to_string", Int, String, to_string),
                from("timestamp_to_string", Timestamp, String, to_string),
                from("uint64_to_string", Uint, String, to_string),
            ],
        ),
        function(
            "timestamp",
            vec![
                from("timestamp_to_timestamp", Timestamp, Timestamp, to_timestamp),
                from("int64_to_timestamp", Int, Timestamp, to_timestamp),
                from("string_to_timestamp", String, Timestamp, to_timestamp),
            ],
        ),
        function(
            "uint",
            vec![
                from("uint64_to_uint64", Uint, Uint, to_uint),
                from("double_to_uint64", Double, Uint, to_uint),
                from("int64_to_uint64", Int, Uint, to_uint),
                from("string_to_uint64", String, Uint, to_uint),
            ],
        ),
    ]
}

/// The functions that upstream evaluates while it builds a program where their argument is constant: they then
/// cost nothing, and a failure is a compile error.
pub(crate) fn is_conversion(function: &str) -> bool {
    matches!(
        function,
        "bool" | "bytes" | "double" | "duration" | "dyn" | "int" | "string" | "timestamp" | "type" | "uint"
    )
}

fn from(id: &'static str, parameter: Type, result: Type, evaluate: Evaluate) -> Overload {
    Overload::global(id, vec![parameter], result, evaluate)
}

fn one(values: &[Value]) -> Result<&Value, EvaluationError> {
    values.first().ok_or_else(|| EvaluationError::no_such_overload(""))
}

fn impossible(value: &Value, to: &str) -> EvaluationError {
    EvaluationError::other(format!("type conversion error from '{}' to '{to}'", value.type_name()))
}

fn int_overflow() -> EvaluationError {
    EvaluationError::other("integer overflow")
}

fn uint_overflow() -> EvaluationError {
    EvaluationError::other("unsigned integer overflow")
}

fn identity(values: &[Value]) -> Evaluated {
    one(values).cloned()
}

fn type_of(values: &[Value]) -> Evaluated {
    Ok(Value::Type(Arc::new(one(values)?.runtime_type())))
}

fn to_bool(values: &[Value]) -> Evaluated {
    let value = one(values)?;
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) => match text.as_ref() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => Err(impossible(value, "bool")),
        },
        _ => Err(impossible(value, "bool")),
    }
}

fn to_bytes(values: &[Value]) -> Evaluated {
    let value = one(values)?;
    match value {
        Value::Bytes(_) => Ok(value.clone()),
        Value::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(impossible(value, "bytes")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
fn to_double(values: &[Value]) -> Evaluated {
    let value = one(values)?;
    match value {
        Value::Double(_) => Ok(value.clone()),
        Value::Int(number) => Ok(Value::Double(*number as f64)),
        Value::Uint(number) => Ok(Value::Double(*number as f64)),
        Value::String(text) => {
            float::parse(text).map(Value::Double).ok_or_else(|| impossible(value, "double"))
        }
        _ => Err(impossible(value, "double")),
    }
}

fn to_duration(values: &[Value]) -> Evaluated {
    let value = one(values)?;
    match value {
        Value::Duration(_) => Ok(value.clone()),
        // There is an overload for int, but cel-go's int does not convert.
        Value::String(text) => duration::parse(text)
            .map(Value::Duration)
            .ok_or_else(|| impossible(value, "google.protobuf.Duration")),
        _ => Err(impossible(value, "google.protobuf.Duration")),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the range is checked first"
)]
fn to_int(values: &[Value]) -> Evaluated {
    let value = one(values)?;
    match value {
        Value::Int(_) => Ok(value.clone()),
        Value::Uint(number) => i64::try_from(*number).map(Value::Int).map_err(|_| int_overflow()),
        Value::Double(number) => {
            if number.is_finite() && *number > i64::MIN as f64 && *number < i64::MAX as f64 {
                Ok(Value::Int(*number as i64))
            } else {
                Err(int_overflow())
            }
        }
        Value::Duration(nanoseconds) => Ok(Value::Int(*nanoseconds)),
        Value::Timestamp(moment) => Ok(Value::Int(moment.seconds())),
        Value::String(text) => text.parse().map(Value::Int).map_err(|_| impossible(value, "int")),
        _ => Err(impossible(value, "int")),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the range is checked first"
)]
fn to_uint(values: &[Value]) -> Evaluated {
    let value = one(values)?;
    match value {
        Value::Uint(_) => Ok(value.clone()),
        Value::Int(number) => u64::try_from(*number).map(Value::Uint).map_err(|_| uint_overflow()),
        Value::Double(number) => {
            if number.is_finite() && *number >= 0.0 && *number < u64::MAX as f64 {
                Ok(Value::Uint(*number as u64))
            } else {
                Err(uint_overflow())
            }
        }
        // Unlike Rust, Go takes no sign here.
        Value::String(text) if !text.starts_with('+') => {
            text.parse().map(Value::Uint).map_err(|_| impossible(value, "uint"))
        }
        _ => Err(impossible(value, "uint")),
    }
}

/// CEL's `string(x)`.
pub(crate) fn to_string(values: &[Value]) -> Evaluated {
    let value = one(values)?;
    match value {
        Value::String(_) => Ok(value.clone()),
        Value::Bool(flag) => Ok(Value::string(flag.to_string())),
        Value::Bytes(bytes) => std::str::from_utf8(bytes)
            .map(Value::string)
            .map_err(|_| EvaluationError::other("invalid UTF-8 in bytes, cannot convert to string")),
        Value::Double(number) => Ok(Value::string(text::double(*number))),
        Value::Duration(nanoseconds) => Ok(Value::string(duration::to_text(*nanoseconds))),
        Value::Int(number) => Ok(Value::string(number.to_string())),
        Value::Timestamp(moment) => Ok(Value::string(moment.to_string())),
        Value::Uint(number) => Ok(Value::string(number.to_string())),
        _ => Err(impossible(value, "string")),
    }
}

pub(crate) fn to_timestamp(values: &[Value]) -> Evaluated {
    let value = one(values)?;
    let overflow = || EvaluationError::other("timestamp overflow");
    match value {
        Value::Timestamp(_) => Ok(value.clone()),
        Value::Int(seconds) => {
            moment::Timestamp::from_seconds(*seconds).map(Value::Timestamp).ok_or_else(overflow)
        }
        Value::String(text) => match moment::Timestamp::parse(text) {
            Some(Ok(moment)) => Ok(Value::Timestamp(moment)),
            Some(Err(error)) => Err(EvaluationError::other(error.to_string())),
            None => Err(impossible(value, "google.protobuf.Timestamp")),
        },
        _ => Err(impossible(value, "google.protobuf.Timestamp")),
    }
}
