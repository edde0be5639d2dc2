//! `k8s.io/apiserver/pkg/cel/library/regex.go`: `find` and `findAll`.

use super::arguments::{int, string};
use super::costs::{actual_size, size};
use crate::declarations::{
    CallEstimate, Function, Operand, Overload, REGEX_LENGTH, STRING_TRAVERSAL, SizeEstimate, Window, scale,
};
use crate::error::EvaluationError;
use crate::go_regex::GoRegex;
use crate::types::Type;
use crate::value::Value;

pub(super) fn functions() -> Vec<Function> {
    let cost = |overload: Overload| overload.costing_by_name(estimate, actual);
    let strings = || Type::list(Type::String);
    vec![
        Function::new(
            "find",
            Window::ALWAYS,
            vec![cost(Overload::member(
                "string_find_string",
                vec![Type::String, Type::String],
                Type::String,
                find,
            ))],
        ),
        Function::new(
            "findAll",
            Window::ALWAYS,
            vec![
                cost(Overload::member(
                    "string_find_all_string",
                    vec![Type::String, Type::String],
                    strings(),
                    find_all,
                )),
                cost(Overload::member(
                    "string_find_all_string_int",
                    vec![Type::String, Type::String, Type::Int],
                    strings(),
                    find_all,
                )),
            ],
        ),
    ]
}

/// Text length times pattern length; one is added to the text so that an empty one costs something.
fn actual(values: &[Value], _: &Value) -> u64 {
    let text = scale(actual_size(values, 0).saturating_add(1), STRING_TRAVERSAL);
    text.saturating_mul(scale(actual_size(values, 1), REGEX_LENGTH))
}

fn estimate(operands: &[Operand<'_>]) -> CallEstimate {
    let text = size(operands, 0);
    let cost = text.plus(SizeEstimate::fixed(1)).scaled(STRING_TRAVERSAL);
    let cost = cost.times(size(operands, 1).scaled(REGEX_LENGTH));
    CallEstimate::sized(cost, SizeEstimate { min: 0, max: text.max })
}

fn compile(pattern: &str) -> Result<GoRegex, EvaluationError> {
    GoRegex::new(pattern).map_err(|error| EvaluationError::other(format!("Illegal regex: {error}")))
}

fn find(values: &[Value]) -> Result<Value, EvaluationError> {
    search("find", values, &compile(string(values, 1)?)?)
}

fn find_all(values: &[Value]) -> Result<Value, EvaluationError> {
    search("findAll", values, &compile(string(values, 1)?)?)
}

/// What `find` or `findAll` gives with an expression that is compiled already.
pub(crate) fn search(function: &str, values: &[Value], regex: &GoRegex) -> Result<Value, EvaluationError> {
    let text = string(values, 0)?;
    if function == "find" {
        return Ok(Value::string(regex.find(text).unwrap_or_default()));
    }
    let limit = if values.len() > 2 { int(values, 2)? } else { -1 };
    // A negative limit is none.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Value::strings(regex.find_all(text).take(limit))
}
