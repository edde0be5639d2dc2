//! Arithmetic, concatenation included.

use std::sync::Arc;

use super::{A, costs};
use crate::declarations::{Evaluate, Function, Overload, Window};
use crate::error::EvaluationError;
use crate::types::Type::{self, Bytes, Double, Duration, Int, String, Timestamp, Uint};
use crate::value::{MAX_WEIGHT, Value};

type Evaluated = Result<Value, EvaluationError>;

pub(super) fn functions() -> Vec<Function> {
    let function = |name, overloads| Function::new(name, Window::ALWAYS, overloads);
    vec![
        function(
            "_+_",
            vec![
                binary("add_bytes", [Bytes, Bytes, Bytes], add)
                    .costing(costs::estimate_concatenation, costs::concatenation),
                binary("add_double", [Double, Double, Double], add),
                binary("add_duration_duration", [Duration, Duration, Duration], add),
                binary("add_duration_timestamp", [Duration, Timestamp, Timestamp], add),
                binary("add_timestamp_duration", [Timestamp, Duration, Timestamp], add),
                binary("add_int64", [Int, Int, Int], add),
                binary("add_list", [Type::list(A), Type::list(A), Type::list(A)], add)
                    .costing(costs::estimate_list_concatenation, crate::declarations::cost_one),
                binary("add_string", [String, String, String], add)
                    .costing(costs::estimate_concatenation, costs::concatenation),
                binary("add_uint64", [Uint, Uint, Uint], add),
            ],
        ),
        function(
            "_/_",
            vec![
                binary("divide_double", [Double, Double, Double], divide),
                binary("divide_int64", [Int, Int, Int], divide),
                binary("divide_uint64", [Uint, Uint, Uint], divide),
            ],
        ),
        function(
            "_%_",
            vec![
                binary("modulo_int64", [Int, Int, Int], modulo),
                binary("modulo_uint64", [Uint, Uint, Uint], modulo),
            ],
        ),
        function(
            "_*_",
            vec![
                binary("multiply_double", [Double, Double, Double], multiply),
                binary("multiply_int64", [Int, Int, Int], multiply),
                binary("multiply_uint64", [Uint, Uint, Uint], multiply),
            ],
        ),
        function(
            "-_",
            vec![
                Overload::global("negate_double", vec![Double], Double, negate).unguarded(),
                Overload::global("negate_int64", vec![Int], Int, negate).unguarded(),
            ],
        ),
        function(
            "_-_",
            vec![
                binary("subtract_double", [Double, Double, Double], subtract),
                binary("subtract_duration_duration", [Duration, Duration, Duration], subtract),
                binary("subtract_int64", [Int, Int, Int], subtract),
                binary("subtract_timestamp_duration", [Timestamp, Duration, Timestamp], subtract),
                binary("subtract_timestamp_timestamp", [Timestamp, Timestamp, Duration], subtract),
                binary("subtract_uint64", [Uint, Uint, Uint], subtract),
            ],
        ),
    ]
}

fn binary(id: &'static str, [left, right, result]: [Type; 3], evaluate: Evaluate) -> Overload {
    Overload::global(id, vec![left, right], result, evaluate).unguarded()
}

fn no_overload() -> EvaluationError {
    EvaluationError::no_such_overload("")
}

fn int(value: Option<i64>) -> Evaluated {
    value.map(Value::Int).ok_or_else(|| EvaluationError::other("integer overflow"))
}

fn uint(value: Option<u64>) -> Evaluated {
    value.map(Value::Uint).ok_or_else(|| EvaluationError::other("unsigned integer overflow"))
}

fn duration(value: Option<i64>) -> Evaluated {
    value.map(Value::Duration).ok_or_else(|| EvaluationError::other("duration overflow"))
}

/// A moment and a distance from it; years 1 to 9999 only.
fn moment(start: crate::timestamp::Timestamp, nanoseconds: Option<i64>) -> Evaluated {
    nanoseconds
        .and_then(|nanoseconds| start.checked_add(nanoseconds))
        .map(Value::Timestamp)
        .ok_or_else(|| EvaluationError::other("timestamp overflow"))
}

fn add(values: &[Value]) -> Evaluated {
    match values {
        [Value::Int(a), Value::Int(b)] => int(a.checked_add(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_add(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
        [Value::String(a), Value::String(b)] => {
            let mut text = std::string::String::with_capacity(a.len() + b.len());
            text.push_str(a);
            text.push_str(b);
            Ok(Value::String(text.into()))
        }
        [Value::Bytes(a), Value::Bytes(b)] => Ok(Value::Bytes([&a[..], &b[..]].concat().into())),
        [Value::List(a), Value::List(b)] => {
            // Refused before it is built: concatenation costs 1 whatever the size.
            if values.iter().fold(0_u64, |sum, list| sum.saturating_add(list.weight())) > MAX_WEIGHT {
                return Err(EvaluationError::TooLarge);
            }
            if a.is_empty() {
                return Ok(Value::List(Arc::clone(b)));
            }
            Value::list(a.iter().chain(b.iter()).cloned().collect())
        }
        [Value::Duration(a), Value::Duration(b)] => duration(a.checked_add(*b)),
        [Value::Timestamp(t), Value::Duration(d)] | [Value::Duration(d), Value::Timestamp(t)] => {
            moment(*t, Some(*d))
        }
        _ => Err(no_overload()),
    }
}

fn subtract(values: &[Value]) -> Evaluated {
    match values {
        [Value::Int(a), Value::Int(b)] => int(a.checked_sub(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_sub(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        [Value::Duration(a), Value::Duration(b)] => duration(a.checked_sub(*b)),
        [Value::Timestamp(t), Value::Duration(d)] => moment(*t, d.checked_neg()),
        [Value::Timestamp(a), Value::Timestamp(b)] => duration(a.checked_since(*b)),
        _ => Err(no_overload()),
    }
}

fn multiply(values: &[Value]) -> Evaluated {
    match values {
        [Value::Int(a), Value::Int(b)] => int(a.checked_mul(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_mul(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => Err(no_overload()),
    }
}

fn divide(values: &[Value]) -> Evaluated {
    match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            Err(EvaluationError::other("division by zero"))
        }
        [Value::Int(a), Value::Int(b)] => int(a.checked_div(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_div(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => Err(no_overload()),
    }
}

fn modulo(values: &[Value]) -> Evaluated {
    match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            Err(EvaluationError::other("modulus by zero"))
        }
        [Value::Int(a), Value::Int(b)] => int(a.checked_rem(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_rem(*b)),
        _ => Err(no_overload()),
    }
}

fn negate(values: &[Value]) -> Evaluated {
    match values {
        [Value::Int(a)] => int(a.checked_neg()),
        [Value::Double(a)] => Ok(Value::Double(-a)),
        [Value::Duration(a)] => duration(a.checked_neg()),
        _ => Err(no_overload()),
    }
}
