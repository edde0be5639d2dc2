//! Optional values that cel-go 0.26 wraps anew.

use std::any::Any;
use std::fmt;

use crate::error::EvaluationError;
use crate::types::names;
use crate::value::{Object, Value};

/// What an optional value becomes up to cel-go 0.26 where it is read from a variable or leaves a conditional: it is
/// unwrapped to Go's own value and wrapped again, which not every type survives.
pub(crate) fn rewrapped(value: Value) -> Value {
    match value {
        Value::Optional(None) => Value::Null,
        Value::Optional(Some(held)) => rewrapped(held.as_ref().clone()),
        Value::Type(_) => Value::string(value.to_string()),
        Value::Quantity(_) | Value::QuantitySum(_) | Value::Semver(_) => {
            Value::object(Unconvertible(value.type_name()))
        }
        Value::Object(ref object) if object.type_name() != names::FORMAT => {
            Value::object(Unconvertible(object.type_name()))
        }
        other => other,
    }
}

/// An error in place of the value of an optional, where upstream could not convert the value. Using it is the error.
#[derive(Debug)]
struct Unconvertible(&'static str);

impl Unconvertible {
    fn error(&self) -> EvaluationError {
        EvaluationError::other(format!("unsupported conversion to ref.Val: ({})", self.0))
    }
}

impl fmt::Display for Unconvertible {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl Object for Unconvertible {
    fn type_name(&self) -> &'static str {
        "error"
    }

    fn equals(&self, _: &Value) -> Result<bool, EvaluationError> {
        Err(self.error())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The value, unless it is an error.
pub(crate) fn usable(value: Value) -> Result<Value, EvaluationError> {
    match error_of(&value) {
        Some(error) => Err(error),
        None => Ok(value),
    }
}

/// The error that a value is.
pub(crate) fn error_of(value: &Value) -> Option<EvaluationError> {
    match value {
        Value::Object(object) => object.as_any().downcast_ref::<Unconvertible>().map(Unconvertible::error),
        _ => None,
    }
}
