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
    let starts = |cost| {
        let overload = Overload::member("starts_with_string", two(), Type::Bool, starts_with);
        vec![overload.costing(costs::estimate_affix, cost)]
    };
    let ends = |cost| {
        let overload = Overload::member("ends_with_string", two(), Type::Bool, ends_with);
        vec![overload.costing(costs::estimate_affix, cost)]
    };
    let global = || Overload::global("matches", two(), Type::Bool, matches);
    let member = || {
        let overload = Overload::member("matches_string", two(), Type::Bool, matches);
        overload.costing(costs::estimate_matches, costs::matches)
    };
    vec![
        Function::new(
            "contains",
            Window::ALWAYS,
            vec![
                Overload::member("contains_string", two(), Type::Bool, contains)
                    .costing(costs::estimate_contains, costs::contains),
            ],
        ),
        Function::new("endsWith", Window::before_0_29(), ends(costs::first_traversed)),
        Function::new("endsWith", Window::since_0_29(), ends(costs::second_traversed)),
        Function::new("startsWith", Window::before_0_29(), starts(costs::first_traversed)),
        Function::new("startsWith", Window::since_0_29(), starts(costs::second_traversed)),
        // The global form was free of the cost of the expression up to cel-go 0.26.
        Function::new("matches", Window::before_0_29(), vec![global(), member()]),
        Function::new(
            "matches",
            Window::since_0_29(),
            vec![global().costing(costs::estimate_matches, costs::matches), member()],
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
