//! Reading the arguments of a call. The evaluator has compared them with the declared types before; where
//! elements of type `dyn` slip through, the answer is cel-go's "no such overload".

use std::sync::Arc;

use crate::error::EvaluationError;
use crate::quantity::Quantity;
use crate::semantic_version::SemanticVersion;
use crate::value::{List, MAX_WEIGHT, Object, Value};

/// No implementation takes these values.
pub(super) fn mismatch() -> EvaluationError {
    EvaluationError::no_such_overload("")
}

/// The longest text a function may make, in bytes.
pub(super) const MAX_TEXT: u64 = MAX_WEIGHT * 16;

/// The result of a function that makes a text. Functions that multiply their input check the length before.
pub(super) fn text_result(text: impl AsRef<str>) -> Result<Value, EvaluationError> {
    if text.as_ref().len() as u64 > MAX_TEXT {
        return Err(EvaluationError::TooLarge);
    }
    Ok(Value::string(text))
}

pub(super) fn string(values: &[Value], position: usize) -> Result<&str, EvaluationError> {
    match values.get(position) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(mismatch()),
    }
}

pub(super) fn int(values: &[Value], position: usize) -> Result<i64, EvaluationError> {
    match values.get(position) {
        Some(Value::Int(int)) => Ok(*int),
        _ => Err(mismatch()),
    }
}

pub(super) fn boolean(values: &[Value], position: usize) -> Result<bool, EvaluationError> {
    match values.get(position) {
        Some(Value::Bool(boolean)) => Ok(*boolean),
        _ => Err(mismatch()),
    }
}

pub(super) fn list(values: &[Value], position: usize) -> Result<&Arc<List>, EvaluationError> {
    match values.get(position) {
        Some(Value::List(list)) => Ok(list),
        _ => Err(mismatch()),
    }
}

pub(super) fn any(values: &[Value], position: usize) -> Result<&Value, EvaluationError> {
    values.get(position).ok_or_else(mismatch)
}

pub(super) fn quantity(values: &[Value], position: usize) -> Result<&Quantity, EvaluationError> {
    match values.get(position) {
        Some(Value::Quantity(quantity) | Value::QuantitySum(quantity)) => Ok(quantity),
        _ => Err(mismatch()),
    }
}

pub(super) fn version(values: &[Value], position: usize) -> Result<&SemanticVersion, EvaluationError> {
    match values.get(position) {
        Some(Value::Semver(version)) => Ok(version),
        _ => Err(mismatch()),
    }
}

/// A value of one of the types that the libraries define.
pub(super) fn object<T: Object>(values: &[Value], position: usize) -> Result<&T, EvaluationError> {
    match values.get(position) {
        Some(Value::Object(object)) => object.as_any().downcast_ref().ok_or_else(mismatch),
        _ => Err(mismatch()),
    }
}

/// -1, 0 or 1.
pub(super) fn ordering(ordering: std::cmp::Ordering) -> Value {
    Value::Int(ordering as i64)
}
