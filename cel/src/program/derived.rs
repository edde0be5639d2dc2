//! The result of an expression as the value of a device attribute (KEP-6080).

use super::Program;
use crate::attribute::AttributeValue;
use crate::device::Device;
use crate::error::EvaluationError;
use crate::value::Value;

impl Program {
    /// The attribute that the expression derives from a device. An empty list is a list of texts.
    ///
    /// Like a selector's, any error aborts the allocation upstream.
    pub fn attribute(&self, device: &Device) -> Result<AttributeValue, EvaluationError> {
        let value = self.evaluate(device).value?;
        if let Some(scalar) = scalar(&value) {
            return Ok(scalar);
        }
        let Value::List(items) = &value else {
            let message = format!("unsupported CEL return type: {}", value.type_name());
            return Err(EvaluationError::other(message));
        };
        let Some(first) = items.first() else { return Ok(AttributeValue::Strings(Vec::new())) };
        match scalar(first) {
            Some(AttributeValue::Bool(_)) => list(items, "bool", |value| match value {
                AttributeValue::Bool(value) => Some(value),
                _ => None,
            })
            .map(AttributeValue::Bools),
            Some(AttributeValue::Int(_)) => list(items, "int", |value| match value {
                AttributeValue::Int(value) => Some(value),
                _ => None,
            })
            .map(AttributeValue::Ints),
            Some(AttributeValue::String(_)) => list(items, "string", |value| match value {
                AttributeValue::String(value) => Some(value),
                _ => None,
            })
            .map(AttributeValue::Strings),
            Some(AttributeValue::Version(_)) => list(items, "semver", |value| match value {
                AttributeValue::Version(value) => Some(value),
                _ => None,
            })
            .map(AttributeValue::Versions),
            _ => {
                let message = format!("unsupported list element type: {}", first.type_name());
                Err(EvaluationError::other(message))
            }
        }
    }
}

/// A value as Go's own type for it tells: that of a type is its name, that of an optional value the value.
fn scalar(value: &Value) -> Option<AttributeValue> {
    match value {
        Value::Bool(value) => Some(AttributeValue::Bool(*value)),
        Value::Int(value) => Some(AttributeValue::Int(*value)),
        Value::String(text) => Some(AttributeValue::String(text.to_string())),
        Value::Semver(version) => Some(AttributeValue::Version(version.to_string())),
        Value::Type(_) => Some(AttributeValue::String(value.to_string())),
        Value::Optional(Some(value)) => scalar(value),
        _ => None,
    }
}

fn list<T>(
    items: &[Value],
    wanted: &str,
    take: impl Fn(AttributeValue) -> Option<T>,
) -> Result<Vec<T>, EvaluationError> {
    let elements = items.iter().enumerate().map(|(index, item)| {
        scalar(item).and_then(&take).ok_or_else(|| {
            let found = item.type_name();
            EvaluationError::other(format!(
                "expected list element at index {index} to be {wanted}, got {found}"
            ))
        })
    });
    elements.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Compiler, Environment, ExpressionStage, Release};

    fn attribute(expression: &str) -> Result<AttributeValue, String> {
        let environment =
            Environment { release: Release::V1_37, stage: ExpressionStage::Stored, ..Environment::default() };
        let attributes = BTreeMap::from([
            ("numa".to_owned(), AttributeValue::Int(1)),
            ("driver".to_owned(), AttributeValue::Version("1.2.3-rc.1+a".to_owned())),
        ]);
        let device = Device::new("gpu.example.com", &attributes, std::iter::empty(), false);
        let program = Compiler::new(environment)
            .compile_attribute(expression)
            .map_err(|error| format!("compile: {error}"))?;
        program.attribute(&device).map_err(|error| error.to_string())
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn scalars_and_lists_of_one_kind_are_attributes() {
        for (expression, expected) in [
            ("device.attributes['gpu.example.com'].numa", AttributeValue::Int(1)),
            (
                "device.attributes['gpu.example.com'].driver",
                AttributeValue::Version("1.2.3-rc.1+a".to_owned()),
            ),
            ("device.driver + '!'", AttributeValue::String("gpu.example.com!".to_owned())),
            ("true", AttributeValue::Bool(true)),
            ("[1, 2]", AttributeValue::Ints(vec![1, 2])),
            ("[true]", AttributeValue::Bools(vec![true])),
            ("'a.b'.split('.')", AttributeValue::Strings(texts(&["a", "b"]))),
            ("[semver('1.0.0')]", AttributeValue::Versions(texts(&["1.0.0"]))),
            ("dyn([])", AttributeValue::Strings(Vec::new())),
            ("dyn(optional.of(7))", AttributeValue::Int(7)),
        ] {
            assert_eq!(attribute(expression).as_ref(), Ok(&expected), "{expression}");
        }
    }

    #[test]
    fn everything_else_is_an_error() {
        for (expression, expected) in [
            ("dyn(1.5)", "unsupported CEL return type: double"),
            ("dyn({})", "unsupported CEL return type: map"),
            ("dyn([dyn(1), dyn('a')])", "expected list element at index 1 to be int, got string"),
            ("dyn([[1]])", "unsupported list element type: list"),
            ("device.attributes['gpu.example.com'].none", "no such key: none"),
        ] {
            assert_eq!(attribute(expression), Err(expected.to_owned()), "{expression}");
        }
        for expression in ["1.5", "{'a': 1}", "[[1]]", "device"] {
            let error = attribute(expression).expect_err(expression);
            assert!(error.starts_with("compile: "), "{expression}: {error}");
        }
    }
}
