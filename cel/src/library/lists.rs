//! `k8s.io/apiserver/pkg/cel/library/lists.go`: sums, extremes and positions, and from 1.37 `includes`.

use std::cmp::Ordering;

use super::arguments::{any, list, mismatch};
use super::costs::{estimate_value, size, traverse_value};
use crate::declarations::{CallEstimate, Evaluate, Function, Operand, Overload, Window};
use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::Value;

type Answer = Result<Value, EvaluationError>;

/// The overloads of one function for lists of each of the types that can be compared.
struct Templated {
    name: &'static str,
    ids: [&'static str; 8],
}

const SORTED: Templated = Templated {
    name: "isSorted",
    ids: [
        "list_int_is_sorted_bool",
        "list_uint_is_sorted_bool",
        "list_double_is_sorted_bool",
        "list_bool_is_sorted_bool",
        "list_duration_is_sorted_bool",
        "list_timestamp_is_sorted_bool",
        "list_string_is_sorted_bool",
        "list_bytes_is_sorted_bool",
    ],
};

const MAX: Templated = Templated {
    name: "max",
    ids: [
        "list_int_max_int",
        "list_uint_max_uint",
        "list_double_max_double",
        "list_bool_max_bool",
        "list_duration_max_duration",
        "list_timestamp_max_timestamp",
        "list_string_max_string",
        "list_bytes_max_bytes",
    ],
};

const MIN: Templated = Templated {
    name: "min",
    ids: [
        "list_int_min_int",
        "list_uint_min_uint",
        "list_double_min_double",
        "list_bool_min_bool",
        "list_duration_min_duration",
        "list_timestamp_min_timestamp",
        "list_string_min_string",
        "list_bytes_min_bytes",
    ],
};

/// The types that can be compared, in the order of the overloads.
pub(super) const COMPARABLE: [Type; 8] = [
    Type::Int,
    Type::Uint,
    Type::Double,
    Type::Bool,
    Type::Duration,
    Type::Timestamp,
    Type::String,
    Type::Bytes,
];

impl Templated {
    fn function(self, result: Option<&Type>, evaluate: Evaluate) -> Function {
        let overloads = self.ids.into_iter().zip(COMPARABLE).map(|(id, element)| {
            let result = result.unwrap_or(&element).clone();
            Overload::member(id, vec![Type::list(element)], result, evaluate)
                .costing_by_name(estimate_value, traverse_value)
        });
        Function::new(self.name, Window::ALWAYS, overloads.collect())
    }
}

pub(super) fn functions() -> Vec<Function> {
    let element = || Type::Parameter("A");
    let cost = |overload: Overload| overload.costing_by_name(estimate_value, traverse_value);
    let sum = |id, element: Type, evaluate| {
        cost(Overload::member(id, vec![Type::list(element.clone())], element, evaluate))
    };
    let position = |id, evaluate| {
        vec![cost(Overload::member(id, vec![Type::list(element()), element()], Type::Int, evaluate))]
    };
    vec![
        SORTED.function(Some(&Type::Bool), is_sorted),
        Function::new(
            "sum",
            Window::ALWAYS,
            vec![
                sum("list_int_sum_int", Type::Int, sum_ints),
                sum("list_uint_sum_uint", Type::Uint, sum_uints),
                sum("list_double_sum_double", Type::Double, sum_doubles),
                sum("list_duration_sum_duration", Type::Duration, sum_durations),
            ],
        ),
        MAX.function(None, maximum),
        MIN.function(None, minimum),
        Function::new("indexOf", Window::ALWAYS, position("list_a_index_of_int", index_of)),
        Function::new("lastIndexOf", Window::ALWAYS, position("list_a_last_index_of_int", last_index_of)),
    ]
}

/// `includes`, which replaces that of the device selectors in 1.37.
pub(crate) fn includes_overload() -> Overload {
    Overload::member("list_includes_dyn_dyn", vec![Type::Dyn, Type::Dyn], Type::Bool, includes)
        .costing_by_name(estimate_includes, traverse_value)
}

/// A target of unknown type may be a list.
fn estimate_includes(operands: &[Operand<'_>]) -> CallEstimate {
    match operands.first() {
        Some(operand) if operand.element.is_some() => estimate_value(operands),
        _ => CallEstimate::of(size(operands, 0)),
    }
}

/// Whether a list has an equal element, or anything else is equal itself.
fn includes(values: &[Value]) -> Answer {
    let (target, item) = (any(values, 0)?, any(values, 1)?);
    Ok(Value::Bool(match target {
        Value::List(list) => list.iter().any(|element| element == item),
        other => other == item,
    }))
}

/// Whether values of this type have an order.
pub(super) fn is_comparable(value: &Value) -> bool {
    matches!(
        value,
        Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::Bool(_)
            | Value::Duration(_)
            | Value::Timestamp(_)
            | Value::String(_)
            | Value::Bytes(_)
    )
}

/// The order of two values; none if they have none, as NaN or values of different types.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        (Value::Timestamp(left), Value::Timestamp(right)) => Some(left.cmp(right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        _ => crate::number::compare(left, right),
    }
}

fn is_sorted(values: &[Value]) -> Answer {
    let mut previous: Option<&Value> = None;
    for item in list(values, 0)?.iter() {
        if !is_comparable(item) {
            return Err(mismatch());
        }
        if previous.is_some_and(|previous| compare(previous, item) == Some(Ordering::Greater)) {
            return Ok(Value::Bool(false));
        }
        previous = Some(item);
    }
    Ok(Value::Bool(true))
}

/// The first of the elements that no later one is `better` than.
fn extreme(values: &[Value], name: &str, better: Ordering) -> Answer {
    let mut best: Option<&Value> = None;
    for item in list(values, 0)?.iter() {
        if !is_comparable(item) {
            return Err(mismatch());
        }
        if best.is_none_or(|best| compare(item, best) == Some(better)) {
            best = Some(item);
        }
    }
    best.cloned().ok_or_else(|| EvaluationError::other(format!("{name} called on empty list")))
}

fn maximum(values: &[Value]) -> Answer {
    extreme(values, "max", Ordering::Greater)
}

fn minimum(values: &[Value]) -> Answer {
    extreme(values, "min", Ordering::Less)
}

fn sum_ints(values: &[Value]) -> Answer {
    let mut sum = 0_i64;
    for item in list(values, 0)?.iter() {
        let Value::Int(item) = item else { return Err(mismatch()) };
        sum = sum.checked_add(*item).ok_or_else(|| EvaluationError::other("integer overflow"))?;
    }
    Ok(Value::Int(sum))
}

fn sum_uints(values: &[Value]) -> Answer {
    let mut sum = 0_u64;
    for item in list(values, 0)?.iter() {
        let Value::Uint(item) = item else { return Err(mismatch()) };
        sum = sum.checked_add(*item).ok_or_else(|| EvaluationError::other("unsigned integer overflow"))?;
    }
    Ok(Value::Uint(sum))
}

fn sum_doubles(values: &[Value]) -> Answer {
    let mut sum = 0.0;
    for item in list(values, 0)?.iter() {
        let Value::Double(item) = item else { return Err(mismatch()) };
        sum += *item;
    }
    Ok(Value::Double(sum))
}

fn sum_durations(values: &[Value]) -> Answer {
    let mut sum = 0_i64;
    for item in list(values, 0)?.iter() {
        let Value::Duration(item) = item else { return Err(mismatch()) };
        sum = sum.checked_add(*item).ok_or_else(|| EvaluationError::other("integer overflow"))?;
    }
    Ok(Value::Duration(sum))
}

fn index_of(values: &[Value]) -> Answer {
    let item = any(values, 1)?;
    let found = list(values, 0)?.iter().position(|other| other == item);
    Ok(position(found))
}

fn last_index_of(values: &[Value]) -> Answer {
    let item = any(values, 1)?;
    let found = list(values, 0)?.iter().rposition(|other| other == item);
    Ok(position(found))
}

fn position(found: Option<usize>) -> Value {
    Value::Int(found.and_then(|found| i64::try_from(found).ok()).unwrap_or(-1))
}
