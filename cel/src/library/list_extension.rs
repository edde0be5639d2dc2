//! cel-go's `ext.Lists` in version 3, from 1.34. The macro `sortBy` is the front end's; it calls
//! `@sortByAssociatedKeys`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::arguments::{int, list};
use super::costs::{actual_size, scale_down, size};
use super::lists::{COMPARABLE, compare, is_comparable};
use crate::declarations::{
    CallCost, CallEstimate, CostEstimate, Evaluate, Function, Operand, Overload, STRING_TRAVERSAL,
    SizeEstimate, Window,
};
use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::{List, MAX_WEIGHT, Value};

type Answer = Result<Value, EvaluationError>;

/// Cost of making a list, on top of that of the call.
const NEW_LIST: u64 = 10;

pub(super) fn functions() -> Vec<Function> {
    let function = |name, overloads| Function::new(name, Window::since(34), overloads);
    let element = || Type::Parameter("T");
    let items = || Type::list(element());
    vec![
        function(
            "slice",
            vec![
                Overload::member("list_slice", vec![items(), Type::Int, Type::Int], items(), slice)
                    .costing(estimate_slice, cost_of_result),
            ],
        ),
        // The first one that exists counts.
        Function::new("flatten", Window::since_0_29(), flattening(cost_of_flatten)),
        function("flatten", flattening(wrapping_cost_of_flatten)),
        function("sort", sorting("sort")),
        function("@sortByAssociatedKeys", sorting("sortByAssociatedKeys")),
        // The first one that exists counts.
        Function::new("lists.range", Window::since_0_29(), ranges(range_of_size)),
        Function::new("lists.range", Window::since(34), ranges(range)),
        function(
            "reverse",
            vec![
                Overload::member("list_reverse", vec![items()], items(), reverse)
                    .costing(estimate_reverse, cost_of_result),
            ],
        ),
        function(
            "distinct",
            vec![
                Overload::member("list_distinct", vec![items()], items(), distinct)
                    .costing(estimate_distinct, cost_of_first)
                    .whose_cost_takes(first_is_list),
            ],
        ),
    ]
}

fn ranges(evaluate: Evaluate) -> Vec<Overload> {
    let overload = Overload::global("lists_range", vec![Type::Int], Type::list(Type::Int), evaluate);
    vec![overload.costing(estimate_range, cost_of_result)]
}

fn flattening(cost: CallCost) -> Vec<Overload> {
    let items = || Type::list(Type::Parameter("T"));
    let dynamic = || Type::list(Type::Dyn);
    [
        Overload::member("list_flatten", vec![Type::list(items())], items(), flatten),
        Overload::member("list_flatten_int", vec![dynamic(), Type::Int], dynamic(), flatten)
            .whose_cost_takes(second_is_int),
    ]
    .map(|overload| overload.costing(estimate_flatten, cost).unguarded())
    .to_vec()
}

/// The overloads of `sort` or `@sortByAssociatedKeys`, one for each type that has an order.
fn sorting(name: &'static str) -> Vec<Overload> {
    const SORT: [&str; 8] = [
        "list_int_sort",
        "list_uint_sort",
        "list_double_sort",
        "list_bool_sort",
        "list_google.protobuf.Duration_sort",
        "list_google.protobuf.Timestamp_sort",
        "list_string_sort",
        "list_bytes_sort",
    ];
    const SORT_BY: [&str; 8] = [
        "list_int_sortByAssociatedKeys",
        "list_uint_sortByAssociatedKeys",
        "list_double_sortByAssociatedKeys",
        "list_bool_sortByAssociatedKeys",
        "list_google.protobuf.Duration_sortByAssociatedKeys",
        "list_google.protobuf.Timestamp_sortByAssociatedKeys",
        "list_string_sortByAssociatedKeys",
        "list_bytes_sortByAssociatedKeys",
    ];
    let by_keys = name != "sort";
    let items = || Type::list(Type::Parameter("T"));
    let ids = if by_keys { SORT_BY } else { SORT };
    let overload = |(id, key): (&'static str, Type)| {
        let text = matches!(key, Type::String | Type::Bytes);
        let keys = Type::list(key);
        let overload = if by_keys {
            Overload::member(id, vec![items(), keys], items(), sort_by_keys)
        } else {
            Overload::member(id, vec![keys.clone()], keys, sort)
        };
        // One implementation for all of them, which looks at the elements itself.
        let overload = overload.unguarded();
        let overload = overload.whose_cost_takes(if by_keys { second_is_list } else { first_is_list });
        match (by_keys, text) {
            (false, false) => overload.costing(estimate_sort, cost_of_first),
            (false, true) => overload.costing(estimate_sort_texts, cost_of_first),
            (true, false) => overload.costing(estimate_sort_by, cost_of_second),
            (true, true) => overload.costing(estimate_sort_by_texts, cost_of_second),
        }
    };
    ids.into_iter().zip(COMPARABLE).map(overload).collect()
}

/// A list of values that are already in memory once.
fn new_list(items: Vec<Value>) -> Answer {
    Ok(Value::List(Arc::new(List::new(items)?)))
}

fn slice(values: &[Value]) -> Answer {
    let (items, start, end) = (list(values, 0)?, int(values, 1)?, int(values, 2)?);
    let error = |what: String| Err(EvaluationError::other(format!("cannot slice({start}, {end}), {what}")));
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return error("negative indexes not supported".to_owned());
    };
    if from > to {
        return error("start index must be less than or equal to end index".to_owned());
    }
    match items.get(from..to) {
        Some(part) => new_list(part.to_vec()),
        None => error(format!("list is length {}", items.len())),
    }
}

fn flatten(values: &[Value]) -> Answer {
    let items = list(values, 0)?;
    let depth = if values.len() > 1 { int(values, 1)? } else { 1 };
    if depth < 0 {
        return Err(EvaluationError::other("level must be non-negative"));
    }
    let mut flat = vec![];
    // The lists being walked, outermost first; the walk never goes deeper than the lists nest.
    let mut open = vec![items.iter()];
    while let Some(innermost) = open.last_mut() {
        match innermost.next() {
            None => {
                open.pop();
            }
            Some(Value::List(nested)) if (open.len() as u64) <= depth.unsigned_abs() => {
                open.push(nested.iter());
            }
            Some(item) => flat.push(item.clone()),
        }
    }
    new_list(flat)
}

fn sort(values: &[Value]) -> Answer {
    sorted(list(values, 0)?, list(values, 0)?)
}

fn sort_by_keys(values: &[Value]) -> Answer {
    sorted(list(values, 0)?, list(values, 1)?)
}

/// Sorts stably. Upstream's sort is not stable for more than twelve elements, so that there elements with equal
/// keys may come in another order.
fn sorted(items: &List, keys: &List) -> Answer {
    if items.len() != keys.len() {
        return Err(EvaluationError::other(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} \
             and {} elements respectively",
            items.len(),
            keys.len()
        )));
    }
    let Some(first) = keys.first() else { return new_list(vec![]) };
    if !is_comparable(first) {
        return Err(EvaluationError::other("list elements must be comparable"));
    }
    if keys.iter().any(|key| key.type_name() != first.type_name()) {
        return Err(EvaluationError::other("list elements must have the same type"));
    }
    let mut order: Vec<(&Value, &Value)> = keys.iter().zip(items.iter()).collect();
    if order.iter().any(|(key, _)| matches!(key, Value::Double(number) if number.is_nan())) {
        insertion_sort(&mut order);
    } else {
        order.sort_by(|(left, _), (right, _)| compare(left, right).unwrap_or(Ordering::Equal));
    }
    new_list(order.into_iter().map(|(_, item)| item.clone()).collect())
}

/// With NaN there is no order; what upstream does for short lists is defined all the same.
fn insertion_sort(order: &mut [(&Value, &Value)]) {
    for end in 1..order.len() {
        for position in (1..=end).rev() {
            if compare(order[position].0, order[position - 1].0) != Some(Ordering::Less) {
                break;
            }
            order.swap(position, position - 1);
        }
    }
}

fn range(values: &[Value]) -> Answer {
    let end = int(values, 0)?;
    if end > MAX_WEIGHT.cast_signed() {
        return Err(EvaluationError::TooLarge);
    }
    new_list((0..end).map(Value::Int).collect())
}

/// From 1.37 on, with cel-go 0.29, a negative size is an error.
fn range_of_size(values: &[Value]) -> Answer {
    match int(values, 0)? {
        size if size < 0 => {
            Err(EvaluationError::other(format!("lists.range: size must be non-negative, got {size}")))
        }
        _ => range(values),
    }
}

fn reverse(values: &[Value]) -> Answer {
    new_list(list(values, 0)?.iter().rev().cloned().collect())
}

fn distinct(values: &[Value]) -> Answer {
    let items = list(values, 0)?;
    // Beyond this the cost of the call alone is above the limit.
    if items.len().saturating_mul(items.len()) > 1_000_000 {
        return Err(EvaluationError::CostLimitExceeded);
    }
    let mut seen: Vec<Value> = vec![];
    for item in items.iter() {
        if !seen.iter().any(|other| item.equals(other) == Ok(true)) {
            seen.push(item.clone());
        }
    }
    new_list(seen)
}

fn estimate(factor: f64, size: SizeEstimate) -> CallEstimate {
    CallEstimate::sized(size.scaled(factor).plus(CostEstimate::fixed(1 + NEW_LIST)), size)
}

/// A literal as a size: negative ones count as zero.
fn literal(operands: &[Operand<'_>], position: usize) -> Option<u64> {
    let literal = operands.get(position)?.int_literal?;
    Some(u64::try_from(literal).unwrap_or(0))
}

fn estimate_slice(operands: &[Operand<'_>]) -> CallEstimate {
    let start = literal(operands, 1).unwrap_or(0);
    let end = literal(operands, 2).unwrap_or(size(operands, 0).max);
    // Wraps upstream too.
    estimate(1.0, SizeEstimate::fixed(end.wrapping_sub(start)))
}

fn estimate_range(operands: &[Operand<'_>]) -> CallEstimate {
    estimate(1.0, SizeEstimate::fixed(literal(operands, 0).unwrap_or(u64::MAX)))
}

fn estimate_reverse(operands: &[Operand<'_>]) -> CallEstimate {
    estimate(1.0, size(operands, 0))
}

#[expect(clippy::cast_precision_loss, reason = "computed in doubles upstream")]
fn estimate_flatten(operands: &[Operand<'_>]) -> CallEstimate {
    let depth = if operands.len() > 1 { literal(operands, 1).unwrap_or(u64::MAX) } else { 1 };
    estimate(depth as f64, size(operands, 0))
}

fn squared(operands: &[Operand<'_>], position: usize, factor: f64) -> CallEstimate {
    let size = size(operands, position);
    estimate(factor, size.times(size))
}

fn estimate_distinct(operands: &[Operand<'_>]) -> CallEstimate {
    squared(operands, 0, 2.0)
}

fn estimate_sort(operands: &[Operand<'_>]) -> CallEstimate {
    squared(operands, 0, 2.0)
}

fn estimate_sort_texts(operands: &[Operand<'_>]) -> CallEstimate {
    squared(operands, 0, 2.0 + STRING_TRAVERSAL)
}

fn estimate_sort_by(operands: &[Operand<'_>]) -> CallEstimate {
    squared(operands, 1, 2.0)
}

fn estimate_sort_by_texts(operands: &[Operand<'_>]) -> CallEstimate {
    squared(operands, 1, 2.0 + STRING_TRAVERSAL)
}

fn cost(factor: f64, size: u64) -> u64 {
    scale_down(size, factor).saturating_add(1 + NEW_LIST)
}

fn cost_of_result(_: &[Value], result: &Value) -> u64 {
    cost(1.0, result.cost_size())
}

/// Up to cel-go 0.26 the cost of a call with a negative depth, which fails, wraps around.
fn wrapping_cost_of_flatten(values: &[Value], result: &Value) -> u64 {
    match values.get(1) {
        Some(Value::Int(depth)) if *depth < 0 => {
            let size = actual_size(values, 0);
            (1 + NEW_LIST).wrapping_sub(depth.unsigned_abs().wrapping_mul(size))
        }
        _ => cost_of_flatten(values, result),
    }
}

fn cost_of_flatten(values: &[Value], _: &Value) -> u64 {
    match values.get(1) {
        Some(Value::Int(depth)) if *depth < 0 => cost(1.0, actual_size(values, 0)),
        #[expect(clippy::cast_precision_loss, reason = "computed in doubles upstream")]
        Some(Value::Int(depth)) => cost(*depth as f64, actual_size(values, 0)),
        _ => cost(1.0, actual_size(values, 0)),
    }
}

/// Every element against every other. What is no list fails before it costs anything.
fn self_compare(values: &[Value], position: usize) -> u64 {
    let Some(Value::List(list)) = values.get(position) else { return 0 };
    let size = list.len() as u64;
    let texts = matches!(list.first(), Some(Value::String(_) | Value::Bytes(_)));
    cost(if texts { 2.0 + STRING_TRAVERSAL } else { 2.0 }, size.saturating_mul(size))
}

fn first_is_list(values: &[Value]) -> bool {
    matches!(values.first(), Some(Value::List(_)))
}

fn second_is_list(values: &[Value]) -> bool {
    matches!(values.get(1), Some(Value::List(_)))
}

fn second_is_int(values: &[Value]) -> bool {
    matches!(values.get(1), Some(Value::Int(_)))
}

fn cost_of_first(values: &[Value], _: &Value) -> u64 {
    self_compare(values, 0)
}

fn cost_of_second(values: &[Value], _: &Value) -> u64 {
    self_compare(values, 1)
}
