//! Cost rules that several functions share.
//!
//! The numbers are those of `k8s.io/apiserver/pkg/cel/library/cost.go`. Rules there go by the name of the
//! function, so they apply even where operands of type `dyn` leave several overloads possible.

use crate::declarations::{CallEstimate, CostEstimate, Operand, STRING_TRAVERSAL, SizeEstimate, scale};
use crate::types::Type;
use crate::value::Value;

/// What is known of the size of an operand.
pub(super) fn size(operands: &[Operand<'_>], position: usize) -> SizeEstimate {
    operands.get(position).map_or(SizeEstimate::UNKNOWN, Operand::size)
}

/// The size of a value at run time.
pub(super) fn actual_size(values: &[Value], position: usize) -> u64 {
    values.get(position).map_or(1, Value::cost_size)
}

/// Looking once at every character of the first operand.
pub(super) fn traverse_text(values: &[Value], _: &Value) -> u64 {
    scale(actual_size(values, 0), STRING_TRAVERSAL)
}

/// Looking once at every character of the first operand, and making a text as long.
pub(super) fn traverse_text_twice(values: &[Value], _: &Value) -> u64 {
    scale(actual_size(values, 0), 2.0 * STRING_TRAVERSAL)
}

/// The estimate for [`traverse_text`].
pub(super) fn estimate_text(operands: &[Operand<'_>]) -> CallEstimate {
    CallEstimate::of(size(operands, 0).scaled(STRING_TRAVERSAL))
}

/// The estimate for [`traverse_text`] where the result may be as long as the first operand.
pub(super) fn estimate_text_result(operands: &[Operand<'_>]) -> CallEstimate {
    let size = size(operands, 0);
    CallEstimate::sized(size.scaled(STRING_TRAVERSAL), size)
}

/// The estimate for [`traverse_text_twice`].
pub(super) fn estimate_text_twice(operands: &[Operand<'_>]) -> CallEstimate {
    CallEstimate::of(size(operands, 0).scaled(2.0 * STRING_TRAVERSAL))
}

/// Looking at everything in the first operand: one for each simple value, a tenth for each byte of a text.
pub(super) fn traverse_value(values: &[Value], _: &Value) -> u64 {
    values.first().map_or(0, traversal)
}

fn traversal(value: &Value) -> u64 {
    // Rounded down, unlike everywhere else.
    let text = |length: usize| length as u64 / 10;
    match value {
        Value::String(string) => text(string.len()),
        Value::Bytes(bytes) => text(bytes.len()),
        Value::List(list) => list.iter().map(traversal).fold(0, u64::saturating_add),
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| traversal(&key.to_value()).saturating_add(traversal(value)))
            .fold(0, u64::saturating_add),
        _ => 1,
    }
}

/// The estimate for [`traverse_value`]: one for each element, and a tenth for each character of texts in it.
pub(super) fn estimate_value(operands: &[Operand<'_>]) -> CallEstimate {
    let target = size(operands, 0);
    let Some((element, element_size)) = operands.first().and_then(|operand| operand.element) else {
        return CallEstimate::of(target.scaled(STRING_TRAVERSAL));
    };
    let mut each = CostEstimate::fixed(1);
    if matches!(element, Type::String | Type::Bytes) {
        each = each.plus(element_size.unwrap_or(SizeEstimate::UNKNOWN).scaled(STRING_TRAVERSAL));
    }
    CallEstimate::of(target.times(each))
}

/// A multiplication that cel-go rounds down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "costs are computed in doubles upstream; `as` saturates at both ends"
)]
pub(super) fn scale_down(value: u64, factor: f64) -> u64 {
    (value as f64 * factor) as u64
}
