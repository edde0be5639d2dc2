//! Consumable capacity (KEP-5075): what a request takes of a device, and whether there is enough left.

use std::collections::BTreeMap;

use drayage_cel::{Quantity, QuantityFormat};

use crate::amount;
use crate::objects::{CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity};

/// Amounts by capacity name.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// Why a request cannot consume anything of a device, however much is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CapacityMismatch<'a> {
    /// The request names a capacity that the device does not have.
    Unknown { capacity: &'a str },
    /// The amount, after rounding, breaks the device's request policy.
    Policy { capacity: &'a str },
}

/// A capacity of which not enough is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapacityShortage<'a> {
    pub(crate) capacity: &'a str,
    /// The amount after rounding.
    pub(crate) needed: &'a Quantity,
    /// What is left; may be negative.
    pub(crate) available: Quantity,
}

/// What a request consumes of every capacity of a device, rounded as the device's policies say.
pub(crate) fn consumption<'a>(
    requested: Option<&'a Amounts>,
    capacities: &'a BTreeMap<String, DeviceCapacity>,
) -> Result<Amounts, CapacityMismatch<'a>> {
    let mut names = requested.into_iter().flat_map(BTreeMap::keys);
    if let Some(capacity) = names.find(|name| !capacities.contains_key(*name)) {
        return Err(CapacityMismatch::Unknown { capacity });
    }
    let mut amounts = Amounts::new();
    for (name, capacity) in capacities {
        let amount = consumed_amount(requested.and_then(|amounts| amounts.get(name)), capacity);
        if capacity.request_policy.as_ref().is_some_and(|policy| violates(&amount, policy)) {
            return Err(CapacityMismatch::Policy { capacity: name });
        }
        amounts.insert(name.clone(), amount);
    }
    Ok(amounts)
}

/// The first capacity of which less is left, after other claims and the current search, than the amounts need.
pub(crate) fn shortage<'a>(
    amounts: &'a Amounts,
    capacities: &BTreeMap<String, DeviceCapacity>,
    allocated: Option<&Amounts>,
    running: Option<&Amounts>,
) -> Option<CapacityShortage<'a>> {
    amounts.iter().find_map(|(name, needed)| {
        let mut available = capacities.get(name)?.value.clone();
        for consumed in [allocated, running].into_iter().flatten().filter_map(|books| books.get(name)) {
            amount::subtract(&mut available, consumed);
        }
        (*needed > available).then_some(CapacityShortage { capacity: name, needed, available })
    })
}

fn consumed_amount(requested: Option<&Quantity>, capacity: &DeviceCapacity) -> Quantity {
    let policy = capacity.request_policy.as_deref();
    let Some(requested) = requested else {
        return policy.and_then(|policy| policy.default.as_ref()).unwrap_or(&capacity.value).clone();
    };
    let Some(policy) = policy else { return requested.clone() };
    if let Some(range @ CapacityRequestPolicyRange { min: Some(min), .. }) = &policy.valid_range {
        return round_up_to_range(requested, min, range.step.as_ref());
    }
    let larger = policy.valid_values.iter().flatten().find(|value| requested <= value);
    larger.unwrap_or(requested).clone()
}

/// The smallest amount of the range that is not below the request. Steps work on whole numbers, rounded up.
fn round_up_to_range(requested: &Quantity, min: &Quantity, step: Option<&Quantity>) -> Quantity {
    if requested < min {
        return min.clone();
    }
    // A step that rounds to zero, which validation forbids, would divide by zero upstream.
    let Some(step) = step.map(Quantity::value).filter(|step| *step != 0) else { return requested.clone() };
    let min = min.value();
    let above = requested.value().wrapping_sub(min);
    let mut steps = above.wrapping_div(step);
    if above.wrapping_rem(step) != 0 {
        steps = steps.wrapping_add(1);
    }
    Quantity::from_integer(min.wrapping_add(step.wrapping_mul(steps)), QuantityFormat::BinarySI)
}

fn violates(amount: &Quantity, policy: &CapacityRequestPolicy) -> bool {
    if policy.default.as_ref().is_some_and(|default| amount.same_representation(default)) {
        return false;
    }
    if let Some(range) = &policy.valid_range {
        if range.max.as_ref().is_some_and(|max| amount > max) {
            return true;
        }
        // A step without a minimum, which validation forbids, counts from zero here.
        let min = range.min.as_ref().map_or(0, Quantity::value);
        return range
            .step
            .as_ref()
            .map(Quantity::value)
            .filter(|step| *step != 0)
            .is_some_and(|step| amount.value().wrapping_sub(min).wrapping_rem(step) != 0);
    }
    let values = policy.valid_values.as_deref().unwrap_or_default();
    !values.is_empty() && !values.contains(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().expect("a quantity")
    }

    fn range(min: &str, max: Option<&str>, step: Option<&str>) -> CapacityRequestPolicy {
        CapacityRequestPolicy {
            default: Some(quantity(min)),
            valid_values: None,
            valid_range: Some(CapacityRequestPolicyRange {
                min: Some(quantity(min)),
                max: max.map(quantity),
                step: step.map(quantity),
            }),
        }
    }

    fn values(values: &[&str]) -> CapacityRequestPolicy {
        CapacityRequestPolicy {
            default: values.first().map(|value| quantity(value)),
            valid_values: Some(values.iter().map(|value| quantity(value)).collect()),
            valid_range: None,
        }
    }

    fn take(requested: Option<&str>, value: &str, policy: Option<CapacityRequestPolicy>) -> Option<String> {
        let capacities = [(
            "memory".to_owned(),
            DeviceCapacity { value: quantity(value), request_policy: policy.map(Box::new) },
        )]
        .into();
        let requested = requested.map(|text| [("memory".to_owned(), quantity(text))].into());
        let amounts = consumption(requested.as_ref(), &capacities).ok()?;
        amounts.get("memory").map(Quantity::to_string)
    }

    #[test]
    fn amounts_are_rounded_as_policies_say() {
        for (requested, policy, expected) in [
            (None, None, Some("8Gi")),
            (Some("3Gi"), None, Some("3Gi")),
            (None, Some(range("1Gi", None, None)), Some("1Gi")),
            (Some("1Mi"), Some(range("1Gi", None, None)), Some("1Gi")),
            (Some("3Gi"), Some(range("1Gi", Some("2Gi"), None)), None),
            (Some("1500Mi"), Some(range("1Gi", None, Some("1Gi"))), Some("2Gi")),
            (Some("1500m"), Some(range("1", None, Some("1"))), Some("2")),
            (Some("3Gi"), Some(values(&["1Gi", "4Gi"])), Some("4Gi")),
            (Some("5Gi"), Some(values(&["1Gi", "4Gi"])), None),
        ] {
            let amount = take(requested, "8Gi", policy.clone());
            assert_eq!(amount.as_deref(), expected, "{requested:?} {policy:?}");
        }
    }

    #[test]
    fn a_step_of_zero_and_a_step_without_minimum_do_not_panic() {
        assert_eq!(take(Some("3"), "8", Some(range("1", None, Some("0")))).as_deref(), Some("3"));
        let mut policy = range("1", None, Some("2"));
        if let Some(range) = &mut policy.valid_range {
            range.min = None;
        }
        assert_eq!(take(Some("4"), "8", Some(policy.clone())).as_deref(), Some("4"));
        assert_eq!(take(Some("3"), "8", Some(policy)), None);
    }

    #[test]
    fn a_name_the_device_does_not_have_refuses_it() {
        let requested = [("other".to_owned(), quantity("1"))].into();
        let capacities = BTreeMap::new();
        let refusal = consumption(Some(&requested), &capacities);
        assert_eq!(refusal, Err(CapacityMismatch::Unknown { capacity: "other" }));
    }

    #[test]
    fn both_books_count() {
        let capacities: BTreeMap<_, _> =
            [("memory".to_owned(), DeviceCapacity { value: quantity("8"), request_policy: None })].into();
        let amounts = |text| -> Amounts { [("memory".to_owned(), quantity(text))].into() };
        let check = |amount, allocated: Option<&Amounts>, running: Option<&Amounts>| {
            shortage(&amounts(amount), &capacities, allocated, running).is_none()
        };
        assert!(check("8", None, None));
        assert!(!check("9", None, None));
        assert!(check("3", Some(&amounts("5")), None));
        assert!(!check("3", Some(&amounts("5")), Some(&amounts("1"))));
        assert!(check("2", Some(&amounts("5")), Some(&amounts("1"))));
    }
}
