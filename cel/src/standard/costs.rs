//! Cost rules of the standard functions, as cel-go has them.

use crate::declarations::{
    CallEstimate, CostEstimate, Operand, REGEX_LENGTH, STRING_TRAVERSAL, SizeEstimate, scale,
};
use crate::types::{Type, names};
use crate::value::Value;

fn size(values: &[Value], at: usize) -> u64 {
    values.get(at).map_or(1, Value::cost_size)
}

fn known(operands: &[Operand<'_>], at: usize) -> SizeEstimate {
    operands.get(at).map_or(SizeEstimate::UNKNOWN, Operand::size)
}

/// Comparison of two values whose size matters: as far as the shorter goes.
pub(super) fn estimate_comparison(operands: &[Operand<'_>]) -> CallEstimate {
    let max = known(operands, 0).max.min(known(operands, 1).max);
    let range = CostEstimate { min: u64::from(max > 0), max };
    CallEstimate::of(range.scaled(STRING_TRAVERSAL))
}

pub(super) fn comparison(values: &[Value], _: &Value) -> u64 {
    scale(size(values, 0).min(size(values, 1)), STRING_TRAVERSAL)
}

/// Kubernetes gives the equality of its own types a price of its own.
pub(super) fn estimate_equality(operands: &[Operand<'_>]) -> CallEstimate {
    if let [left, right] = operands
        && left.type_ == right.type_
    {
        match left.type_ {
            Type::Opaque(names::IP | names::CIDR) | Type::Object(names::QUANTITY | names::SEMVER) => {
                return CallEstimate::of(CostEstimate::fixed(1));
            }
            Type::Object(names::FORMAT) => {
                return CallEstimate::of(CostEstimate { min: 1, max: 64 }.scaled(STRING_TRAVERSAL));
            }
            Type::Object(names::URL) => {
                let max = right.known_size.map_or(1, |size| size.max);
                return CallEstimate::of(CostEstimate { min: 1, max }.scaled(STRING_TRAVERSAL));
            }
            _ => {}
        }
    }
    estimate_comparison(operands)
}

pub(super) fn equality(values: &[Value], result: &Value) -> u64 {
    match values.first() {
        Some(Value::Quantity(_) | Value::QuantitySum(_) | Value::Semver(_) | Value::Object(_)) => 1,
        _ => comparison(values, result),
    }
}

/// `+` on strings and bytes copies both.
pub(super) fn estimate_concatenation(operands: &[Operand<'_>]) -> CallEstimate {
    let total = known(operands, 0).plus(known(operands, 1));
    CallEstimate::sized(total.scaled(STRING_TRAVERSAL), total)
}

pub(super) fn concatenation(values: &[Value], _: &Value) -> u64 {
    scale(size(values, 0).saturating_add(size(values, 1)), STRING_TRAVERSAL)
}

/// `+` on lists copies nothing upstream; only the size is tracked.
pub(super) fn estimate_list_concatenation(operands: &[Operand<'_>]) -> CallEstimate {
    CallEstimate::sized(CostEstimate::fixed(1), known(operands, 0).plus(known(operands, 1)))
}

/// `in` looks at every element.
pub(super) fn estimate_in_list(operands: &[Operand<'_>]) -> CallEstimate {
    CallEstimate::of(known(operands, 1).scaled(1.0))
}

pub(super) fn in_list(values: &[Value], _: &Value) -> u64 {
    size(values, 1)
}

/// A regular expression: length of the text, plus one, times length of the expression.
pub(super) fn estimate_matches(operands: &[Operand<'_>]) -> CallEstimate {
    let text = known(operands, 0).plus(CostEstimate::fixed(1)).scaled(STRING_TRAVERSAL);
    CallEstimate::of(text.times(known(operands, 1).scaled(REGEX_LENGTH)))
}

pub(super) fn matches(values: &[Value], _: &Value) -> u64 {
    let text = scale(size(values, 0).saturating_add(1), STRING_TRAVERSAL);
    text.saturating_mul(scale(size(values, 1), REGEX_LENGTH))
}

pub(super) fn estimate_contains(operands: &[Operand<'_>]) -> CallEstimate {
    let text = known(operands, 0).scaled(STRING_TRAVERSAL);
    CallEstimate::of(text.times(known(operands, 1).scaled(STRING_TRAVERSAL)))
}

pub(super) fn contains(values: &[Value], _: &Value) -> u64 {
    scale(size(values, 0), STRING_TRAVERSAL).saturating_mul(scale(size(values, 1), STRING_TRAVERSAL))
}

/// `startsWith` and `endsWith`. The estimate goes by the argument; the run-time cost by the receiver up to cel-go
/// 0.26, then by the argument too.
pub(super) fn estimate_affix(operands: &[Operand<'_>]) -> CallEstimate {
    CallEstimate::of(known(operands, 1).scaled(STRING_TRAVERSAL))
}

pub(super) fn first_traversed(values: &[Value], _: &Value) -> u64 {
    scale(size(values, 0), STRING_TRAVERSAL)
}

pub(super) fn second_traversed(values: &[Value], _: &Value) -> u64 {
    scale(size(values, 1), STRING_TRAVERSAL)
}

pub(super) fn estimate_string_to_bytes(operands: &[Operand<'_>]) -> CallEstimate {
    let text = known(operands, 0);
    // A character may take four bytes. cel-go multiplies without a guard against overflow.
    let bytes = SizeEstimate { min: text.min, max: text.max.wrapping_mul(4) };
    CallEstimate::sized(text.scaled(STRING_TRAVERSAL), bytes)
}

pub(super) fn estimate_bytes_to_string(operands: &[Operand<'_>]) -> CallEstimate {
    let bytes = known(operands, 0);
    let text = SizeEstimate { min: bytes.min / 4, max: bytes.max };
    CallEstimate::sized(bytes.scaled(STRING_TRAVERSAL), text)
}
