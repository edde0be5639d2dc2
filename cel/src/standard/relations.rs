//! Logic, equality and order.

use std::cmp::Ordering;

use super::{A, costs};
use crate::declarations::{Function, Overload, Window};
use crate::error::EvaluationError;
use crate::number;
use crate::types::Type;
use crate::value::Value;

pub(super) fn functions() -> Vec<Function> {
    let function = |name, overloads| Function::new(name, Window::ALWAYS, overloads);
    vec![
        // The evaluator has these four built in: they do not evaluate all of their operands.
        function("_?_:_", vec![Overload::global("conditional", vec![Type::Bool, A, A], A, built_in)]),
        function(
            "_&&_",
            vec![Overload::global("logical_and", vec![Type::Bool, Type::Bool], Type::Bool, built_in)],
        ),
        function(
            "_||_",
            vec![Overload::global("logical_or", vec![Type::Bool, Type::Bool], Type::Bool, built_in)],
        ),
        function(
            "@not_strictly_false",
            vec![Overload::global("not_strictly_false", vec![Type::Bool], Type::Bool, built_in)],
        ),
        function("!_", vec![Overload::global("logical_not", vec![Type::Bool], Type::Bool, not).unguarded()]),
        function(
            "_==_",
            vec![
                Overload::global("equals", vec![A, A], Type::Bool, equal)
                    .costing_by_name(costs::estimate_equality, costs::equality),
            ],
        ),
        function(
            "_!=_",
            vec![
                Overload::global("not_equals", vec![A, A], Type::Bool, not_equal)
                    .costing(costs::estimate_comparison, costs::comparison),
            ],
        ),
        function("_<_", order(&LESS, less)),
        function("_<=_", order(&LESS_EQUALS, less_or_equal)),
        function("_>_", order(&GREATER, greater)),
        function("_>=_", order(&GREATER_EQUALS, greater_or_equal)),
    ]
}

/// Operand types of the order relations, in the order of the identifiers below.
const ORDERED: [(Type, Type); 14] = [
    (Type::Bool, Type::Bool),
    (Type::Int, Type::Int),
    (Type::Int, Type::Double),
    (Type::Int, Type::Uint),
    (Type::Uint, Type::Uint),
    (Type::Uint, Type::Double),
    (Type::Uint, Type::Int),
    (Type::Double, Type::Double),
    (Type::Double, Type::Int),
    (Type::Double, Type::Uint),
    (Type::String, Type::String),
    (Type::Bytes, Type::Bytes),
    (Type::Timestamp, Type::Timestamp),
    (Type::Duration, Type::Duration),
];

macro_rules! order_ids {
    ($prefix:literal) => {
        [
            concat!($prefix, "_bool"),
            concat!($prefix, "_int64"),
            concat!($prefix, "_int64_double"),
            concat!($prefix, "_int64_uint64"),
            concat!($prefix, "_uint64"),
            concat!($prefix, "_uint64_double"),
            concat!($prefix, "_uint64_int64"),
            concat!($prefix, "_double"),
            concat!($prefix, "_double_int64"),
            concat!($prefix, "_double_uint64"),
            concat!($prefix, "_string"),
            concat!($prefix, "_bytes"),
            concat!($prefix, "_timestamp"),
            concat!($prefix, "_duration"),
        ]
    };
}

const LESS: [&str; 14] = order_ids!("less");
const LESS_EQUALS: [&str; 14] = order_ids!("less_equals");
const GREATER: [&str; 14] = order_ids!("greater");
const GREATER_EQUALS: [&str; 14] = order_ids!("greater_equals");

fn order(ids: &[&'static str; 14], evaluate: crate::declarations::Evaluate) -> Vec<Overload> {
    ids.iter()
        .zip(ORDERED)
        .map(|(id, (left, right))| {
            let sized = matches!(left, Type::String | Type::Bytes);
            let overload = Overload::global(id, vec![left, right], Type::Bool, evaluate).unguarded();
            if sized { overload.costing(costs::estimate_comparison, costs::comparison) } else { overload }
        })
        .collect()
}

fn no_overload() -> EvaluationError {
    EvaluationError::no_such_overload("")
}

/// Never called: the evaluator has these functions built in.
fn built_in(_: &[Value]) -> Result<Value, EvaluationError> {
    Err(no_overload())
}

fn not(values: &[Value]) -> Result<Value, EvaluationError> {
    match values {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(no_overload()),
    }
}

fn equal(values: &[Value]) -> Result<Value, EvaluationError> {
    match values {
        [left, right] => left.equals(right).map(Value::Bool),
        _ => Err(no_overload()),
    }
}

/// Values that cannot be compared are not equal: cel-go negates everything but a clear "yes".
fn not_equal(values: &[Value]) -> Result<Value, EvaluationError> {
    match values {
        [left, right] => Ok(Value::Bool(left.equals(right) != Ok(true))),
        _ => Err(no_overload()),
    }
}

/// The order of two values, as `<` and the like see it.
pub(crate) fn compare(left: &Value, right: &Value) -> Result<Ordering, EvaluationError> {
    match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Ok(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Ok(a.cmp(b)),
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => {
            number::compare(left, right).ok_or_else(|| EvaluationError::other("NaN values cannot be ordered"))
        }
        (Value::Double(number), _) if number.is_nan() => {
            Err(EvaluationError::other("NaN values cannot be ordered"))
        }
        _ => Err(no_overload()),
    }
}

fn ordered(values: &[Value], accept: fn(Ordering) -> bool) -> Result<Value, EvaluationError> {
    match values {
        [left, right] => compare(left, right).map(|order| Value::Bool(accept(order))),
        _ => Err(no_overload()),
    }
}

fn less(values: &[Value]) -> Result<Value, EvaluationError> {
    ordered(values, Ordering::is_lt)
}

fn less_or_equal(values: &[Value]) -> Result<Value, EvaluationError> {
    ordered(values, Ordering::is_le)
}

fn greater(values: &[Value]) -> Result<Value, EvaluationError> {
    ordered(values, Ordering::is_gt)
}

fn greater_or_equal(values: &[Value]) -> Result<Value, EvaluationError> {
    ordered(values, Ordering::is_ge)
}
