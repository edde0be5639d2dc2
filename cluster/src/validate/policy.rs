//! Request policies of capacities (KEP-5075): which amounts a claim may ask for.

use drayage_allocator::objects::{CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity};
use drayage_cel::Quantity;

use super::Issues;
use crate::path::FieldPath;

/// A capacity of a device; `shared` tells whether the device allows several allocations.
pub(super) fn capacity(
    issues: &mut Issues,
    capacity: &DeviceCapacity,
    shared: bool,
    field: impl Fn() -> FieldPath,
) {
    let Some(policy) = &capacity.request_policy else { return };
    let at = || field().field("requestPolicy");
    if !shared {
        return issues.error_with_hint(
            at(),
            "a request policy needs a device that allows multiple allocations",
            "set `allowMultipleAllocations: true` on the device, or leave out the policy",
        );
    }
    let values = policy.valid_values.as_deref().unwrap_or_default();
    issues.limit(values.len(), 10, "valid values", || at().field("validValues"));
    if !values.is_empty() && policy.valid_range.is_some() {
        issues.error(at(), "a request policy has one of `validValues` and `validRange`");
    } else if let Some(default) = &policy.default {
        amounts(issues, policy, default, &capacity.value, at);
    } else if !values.is_empty() || policy.valid_range.is_some() {
        issues.error(at().field("default"), "a request policy with valid amounts needs a default");
    }
    if policy.valid_range.as_ref().is_some_and(|range| range.min.is_none()) {
        issues.error(at().field("validRange").field("min"), "a range needs its smallest amount");
    }
}

/// Amounts that make sense beside each other, which the API server asks for and the allocator does not.
fn amounts(
    issues: &mut Issues,
    policy: &CapacityRequestPolicy,
    default: &Quantity,
    whole: &Quantity,
    at: impl Fn() -> FieldPath,
) {
    let values = policy.valid_values.as_deref().unwrap_or_default();
    let list = || at().field("validValues");
    for (index, value) in values.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| values.get(before));
        if before.is_some_and(|before| before >= value) {
            let hint = "sort the values, smallest first, each once";
            issues.refused(list().index(index), "the values are not in ascending order".to_owned(), hint);
        }
        if value > whole {
            exceeds(issues, list().index(index), value, whole);
        }
    }
    if !values.is_empty() && !values.contains(default) {
        let message = format!("the default `{default}` is not among the values");
        issues.refused(list(), message, "add it, or choose another default");
    }
    if let Some(range) = &policy.valid_range {
        in_range(issues, range, default, whole, || at().field("validRange"));
    }
}

fn in_range(
    issues: &mut Issues,
    range: &CapacityRequestPolicyRange,
    default: &Quantity,
    whole: &Quantity,
    at: impl Fn() -> FieldPath,
) {
    let Some(least) = &range.min else { return };
    for (name, bound) in [("min", Some(least)), ("max", range.max.as_ref())] {
        if let Some(bound) = bound.filter(|bound| *bound > whole) {
            exceeds(issues, at().field(name), bound, whole);
        }
    }
    if range.max.as_ref().is_some_and(|most| least > most) {
        issues.refused(
            at().field("max"),
            format!("the range begins with `{least}`, after its end"),
            "swap them",
        );
    }
    if default < least || range.max.as_ref().is_some_and(|most| default > most) {
        let message = format!("the default `{default}` is not within the range");
        issues.refused(at(), message, "choose a default within the range");
    }
    let Some(step) = &range.step else { return };
    if let Some(second) = least.checked_add(step).filter(|second| second > whole) {
        exceeds(issues, at().field("step"), &second, whole);
    }
    // Amounts that are not whole numbers are rounded upstream before they are compared, in 1.37 to thousandths.
    let whole_step = step.as_integer().filter(|step| *step > 0);
    let (Some(step), Some(least)) = (whole_step, least.as_integer()) else { return };
    for amount in [Some(default), range.max.as_ref()].into_iter().flatten() {
        let Some(difference) = amount.as_integer().and_then(|amount| amount.checked_sub(least)) else {
            continue;
        };
        if difference % step != 0 {
            let message = format!("`{amount}` is not reached from `{least}` in steps of `{step}`");
            issues.refused(
                at().field("step"),
                message,
                "choose a step that leads to the default and to the end",
            );
        }
    }
}

fn exceeds(issues: &mut Issues, field: FieldPath, amount: &Quantity, whole: &Quantity) {
    let message = format!("`{amount}` is more than the capacity, `{whole}`");
    issues.refused(field, message, "no claim could ever have it");
}
