//! `k8s.io/apiserver/pkg/cel/library/semverlib.go`, from 1.33.

use super::arguments::{boolean, ordering, string, version};
use super::costs::{estimate_text, traverse_text};
use crate::declarations::{CallEstimate, Function, Overload, Window, cost_one};
use crate::error::EvaluationError;
use crate::semantic_version::{SemanticVersion, SemanticVersionError};
use crate::types::Type;
use crate::value::Value;

type Answer = Result<Value, EvaluationError>;

pub(super) fn functions() -> Vec<Function> {
    let one = |overload: Overload| overload.costing_by_name(CallEstimate::one, cost_one);
    let text = |overload: Overload| overload.costing_by_name(estimate_text, traverse_text);
    let function = |name, overloads| Function::new(name, Window::since(33), overloads);
    let unary = || vec![Type::SEMVER];
    let binary = || vec![Type::SEMVER, Type::SEMVER];
    let normalizing = || vec![Type::String, Type::Bool];
    vec![
        function(
            "semver",
            vec![
                text(Overload::global("string_to_semver", vec![Type::String], Type::SEMVER, parse)),
                text(Overload::global("string_bool_to_semver", normalizing(), Type::SEMVER, parse)),
            ],
        ),
        function(
            "isSemver",
            vec![
                text(Overload::global("is_semver_string", vec![Type::String], Type::Bool, is_semver)),
                text(Overload::global("is_semver_string_bool", normalizing(), Type::Bool, is_semver)),
            ],
        ),
        function(
            "isGreaterThan",
            vec![one(Overload::member("semver_is_greater_than", binary(), Type::Bool, is_greater))],
        ),
        function(
            "isLessThan",
            vec![one(Overload::member("semver_is_less_than", binary(), Type::Bool, is_less))],
        ),
        function("compareTo", vec![one(Overload::member("semver_compare_to", binary(), Type::Int, compare))]),
        function("major", vec![one(Overload::member("semver_major", unary(), Type::Int, major))]),
        function("minor", vec![one(Overload::member("semver_minor", unary(), Type::Int, minor))]),
        function("patch", vec![one(Overload::member("semver_patch", unary(), Type::Int, patch))]),
    ]
}

fn read(values: &[Value]) -> Result<Result<SemanticVersion, SemanticVersionError>, EvaluationError> {
    let text = string(values, 0)?;
    let normalize = values.len() > 1 && boolean(values, 1)?;
    Ok(if normalize { SemanticVersion::parse_normalized(text) } else { text.parse() })
}

fn parse(values: &[Value]) -> Answer {
    read(values)?.map(Value::semver).map_err(|error| EvaluationError::other(error.to_string()))
}

fn is_semver(values: &[Value]) -> Answer {
    Ok(Value::Bool(read(values)?.is_ok()))
}

fn is_greater(values: &[Value]) -> Answer {
    Ok(Value::Bool(version(values, 0)?.precedence(version(values, 1)?).is_gt()))
}

fn is_less(values: &[Value]) -> Answer {
    Ok(Value::Bool(version(values, 0)?.precedence(version(values, 1)?).is_lt()))
}

fn compare(values: &[Value]) -> Answer {
    Ok(ordering(version(values, 0)?.precedence(version(values, 1)?)))
}

/// Upstream converts to `int64` without looking at the range.
fn number(number: u64) -> Value {
    Value::Int(number.cast_signed())
}

fn major(values: &[Value]) -> Answer {
    Ok(number(version(values, 0)?.major()))
}

fn minor(values: &[Value]) -> Answer {
    Ok(number(version(values, 0)?.minor()))
}

fn patch(values: &[Value]) -> Answer {
    Ok(number(version(values, 0)?.patch()))
}
