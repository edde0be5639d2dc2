//! The string functions of the standard library.

use super::costs;
use crate::declarations::{Function, Overload, Window};
use crate::error::EvaluationError;
use crate::go_regex::GoRegex;
use crate::types::Type;
use crate::value::Value;

type Evaluated = Result<Value, EvaluationError>;

pub(super) fn functions() -> Vec<Function> {
    let two = || vec![Type::String, Type::String];
    let function = |name, overloads| Function::new(name, Window::ALWAYS, overloads);
    vec![
        function(
            "contains",
            vec![
                Overload::member("contains_string", two(), Type::Bool, contains)
                    .costing(costs::estimate_contains, costs::contains),
            ],
        ),
        function(
            "endsWith",
            vec![
                Overload::member("ends_with_string", two(), Type::Bool, ends_with)
                    .costing(costs::estimate_affix, costs::first_traversed),
            ],
        ),
        function(
            "startsWith",
            vec![
                Overload::member("starts_with_string", two(), Type::Bool, starts_with)
                    .costing(costs::estimate_affix, costs::first_traversed),
            ],
        ),
        function(
            "matches",
            vec![
                Overload::global("matches", two(), Type::Bool, matches),
                Overload::member("matches_string", two(), Type::Bool, matches)
                    .costing(costs::estimate_matches, costs::matches),
            ],
        ),
    ]
}

fn two(values: &[Value]) -> Result<(&str, &str), EvaluationError> {
    match values {
        [Value::String(text), Value::String(argument)] => Ok((text, argument)),
        _ => Err(EvaluationError::no_such_overload("")),
    }
}

fn contains(values: &[Value]) -> Evaluated {
    two(values).map(|(text, part)| Value::Bool(text.contains(part)))
}

fn starts_with(values: &[Value]) -> Evaluated {
    two(values).map(|(text, part)| Value::Bool(text.starts_with(part)))
}

fn ends_with(values: &[Value]) -> Evaluated {
    two(values).map(|(text, part)| Value::Bool(text.ends_with(part)))
}

/// Constant expressions are compiled once, by the evaluator; this is for the computed ones.
fn matches(values: &[Value]) -> Evaluated {
    let (text, expression) = two(values)?;
    let pattern = compile_pattern(expression).map_err(EvaluationError::other)?;
    Ok(Value::Bool(pattern.is_match(text)))
}

/// Compiles a regular expression in Go's dialect.
pub(crate) fn compile_pattern(text: &str) -> Result<GoRegex, String> {
    GoRegex::new(text).map_err(|error| error.to_string())
}
