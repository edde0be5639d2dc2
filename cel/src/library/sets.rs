//! cel-go's `ext.Sets`, from 1.29: lists compared as sets, by pairwise equality.

use super::arguments::list;
use super::costs::{actual_size, scale_down, size};
use crate::declarations::{CallEstimate, CostEstimate, Function, Operand, Overload, Window};
use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::{List, Value};

pub(super) fn functions() -> Vec<Function> {
    let lists = || vec![Type::list(Type::Parameter("T")), Type::list(Type::Parameter("T"))];
    let function = |name, overload| Function::new(name, Window::since(29), vec![overload]);
    vec![
        function(
            "sets.contains",
            Overload::global("list_sets_contains_list", lists(), Type::Bool, contains)
                .costing(estimate_once, actual_once),
        ),
        function(
            "sets.equivalent",
            Overload::global("list_sets_equivalent_list", lists(), Type::Bool, equivalent)
                .costing(estimate_twice, actual_twice),
        ),
        function(
            "sets.intersects",
            Overload::global("list_sets_intersects_list", lists(), Type::Bool, intersects)
                .costing(estimate_once, actual_once),
        ),
    ]
}

fn estimate(operands: &[Operand<'_>], factor: f64) -> CallEstimate {
    let pairs = size(operands, 0).times(size(operands, 1));
    CallEstimate::of(pairs.scaled(factor).plus(CostEstimate::fixed(1)))
}

fn estimate_once(operands: &[Operand<'_>]) -> CallEstimate {
    estimate(operands, 1.0)
}

fn estimate_twice(operands: &[Operand<'_>]) -> CallEstimate {
    estimate(operands, 2.0)
}

fn actual(values: &[Value], factor: f64) -> u64 {
    let pairs = actual_size(values, 0).saturating_mul(actual_size(values, 1));
    scale_down(pairs, factor).saturating_add(1)
}

fn actual_once(values: &[Value], _: &Value) -> u64 {
    actual(values, 1.0)
}

fn actual_twice(values: &[Value], _: &Value) -> u64 {
    actual(values, 2.0)
}

/// Two lists whose pairs can all be compared within the cost limit. Beyond it the evaluation fails anyway, only
/// later.
fn pair(values: &[Value]) -> Result<(&List, &List), EvaluationError> {
    let (left, right) = (list(values, 0)?, list(values, 1)?);
    if left.len().saturating_mul(right.len()) > 1_000_000 {
        return Err(EvaluationError::CostLimitExceeded);
    }
    Ok((left, right))
}

fn has(list: &List, item: &Value) -> bool {
    list.iter().any(|other| item == other)
}

fn contains(values: &[Value]) -> Result<Value, EvaluationError> {
    let (set, subset) = pair(values)?;
    Ok(Value::Bool(subset.iter().all(|item| has(set, item))))
}

fn equivalent(values: &[Value]) -> Result<Value, EvaluationError> {
    let (left, right) = pair(values)?;
    Ok(Value::Bool(right.iter().all(|item| has(left, item)) && left.iter().all(|item| has(right, item))))
}

fn intersects(values: &[Value]) -> Result<Value, EvaluationError> {
    let (left, right) = pair(values)?;
    Ok(Value::Bool(left.iter().any(|item| has(right, item))))
}
