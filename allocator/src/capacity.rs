//! Consumable capacity (KEP-5075): what a request takes of a device, and whether there is enough left.

use std::collections::BTreeMap;
use std::slice;

use drayage_cel::{Quantity, QuantityFormat};

use crate::amount;
use crate::features::Features;
use crate::objects::{CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity};
use crate::profile::{CapacityFaults, Profile, SteppedAmounts};

/// Amounts by capacity name.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// How amounts are computed: this changed with features and releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CapacityRules {
    /// Gate DRAFractionalCapacityRange: ranges are computed in thousandths where all their bounds allow it.
    pub(crate) fractional: bool,
    /// See [`Profile::capacity_faults`].
    pub(crate) faults: CapacityFaults,
    /// See [`Profile::stepped_amounts`].
    pub(crate) stepped: SteppedAmounts,
}

impl CapacityRules {
    pub(crate) fn new(features: Features, profile: Profile) -> Self {
        Self {
            fractional: features.fractional_capacity_range,
            faults: profile.capacity_faults,
            stepped: profile.stepped_amounts,
        }
    }
}

/// Why a request cannot consume anything of a device, however much is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CapacityMismatch<'a> {
    /// The request names a capacity that the device does not have.
    Unknown { capacity: &'a str },
    /// The amount, after rounding, breaks the device's request policy.
    Policy { capacity: &'a str },
    /// There is no amount, which ends the search. Upstream's text.
    Fault { message: String },
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
    rules: CapacityRules,
) -> Result<Amounts, CapacityMismatch<'a>> {
    let mut names = requested.into_iter().flat_map(BTreeMap::keys);
    if let Some(capacity) = names.find(|name| !capacities.contains_key(*name)) {
        return Err(CapacityMismatch::Unknown { capacity });
    }
    let mut amounts = Amounts::new();
    for (name, capacity) in capacities {
        let requested = requested.and_then(|amounts| amounts.get(name));
        let fault = |text: &str| CapacityMismatch::Fault { message: format!("capacity {name:?}: {text}") };
        let amount = consumed_amount(requested, capacity, rules).map_err(|text| fault(&text))?;
        if rules.faults == CapacityFaults::Fatal && amount.sign() < 0 {
            return Err(fault("capacity value is negative"));
        }
        amounts.insert(name.clone(), amount);
    }
    // A fault of any capacity comes before a policy that another breaks.
    let broken = capacities.iter().find(|(name, capacity)| {
        let policy = capacity.request_policy.as_deref();
        policy.zip(amounts.get(*name)).is_some_and(|(policy, amount)| violates(amount, policy, rules))
    });
    match broken {
        Some((capacity, _)) => Err(CapacityMismatch::Policy { capacity }),
        None => Ok(amounts),
    }
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

/// The error is upstream's text.
fn consumed_amount(
    requested: Option<&Quantity>,
    capacity: &DeviceCapacity,
    rules: CapacityRules,
) -> Result<Quantity, String> {
    let policy = capacity.request_policy.as_deref();
    let Some(requested) = requested else {
        return Ok(policy.and_then(|policy| policy.default.as_ref()).unwrap_or(&capacity.value).clone());
    };
    let Some(policy) = policy else { return Ok(requested.clone()) };
    if let Some(range @ CapacityRequestPolicyRange { min: Some(min), .. }) = &policy.valid_range {
        return round_up_to_range(requested, min, range, rules);
    }
    let values = policy.valid_values.as_deref().unwrap_or_default();
    Ok(match values.iter().find(|value| requested <= value) {
        Some(larger) => larger.clone(),
        None => compared(requested, values),
    })
}

/// The requested amount after upstream compared it with others. That can turn it into another representation, in
/// which it is no longer recognised as the policy's default.
fn compared(requested: &Quantity, with: &[Quantity]) -> Quantity {
    if with.iter().any(Quantity::is_arbitrary_precision) {
        return requested.clone().into_arbitrary_precision();
    }
    requested.clone()
}

/// The smallest amount of the range that is not below the request. Steps work on whole numbers, rounded up, or on
/// thousandths.
fn round_up_to_range(
    requested: &Quantity,
    min: &Quantity,
    range: &CapacityRequestPolicyRange,
    rules: CapacityRules,
) -> Result<Quantity, String> {
    if requested < min {
        return Ok(min.clone());
    }
    let Some(step) = &range.step else { return Ok(compared(requested, slice::from_ref(min))) };
    if rules.fractional && in_thousandths(range) {
        let Some(milli) = thousandths(requested) else {
            return Err(unrepresentable(&format!("request {requested} is not a representable milli value")));
        };
        let rounded = stepped(milli, min.milli_value(), step.milli_value(), true).ok_or_else(|| {
            unrepresentable(&format!(
                "rounding request {requested} up to the next step passes the milli-value range"
            ))
        })?;
        return Ok(match rounded % 1000 {
            0 => Quantity::from_integer(rounded / 1000, step.format()),
            _ => Quantity::from_milli(rounded, step.format()),
        });
    }
    let checked = rules.faults == CapacityFaults::Fatal;
    if checked && *requested > Quantity::from_integer(i64::MAX, QuantityFormat::DecimalSI) {
        return Err(unrepresentable(&format!("request {requested} exceeds MaxInt64")));
    }
    // A step that rounds to zero, which validation forbids, would divide by zero upstream.
    let Some(step_value) = Some(step.value()).filter(|step| *step != 0) else { return Ok(requested.clone()) };
    let rounded = stepped(requested.value(), min.value(), step_value, checked && min.value() >= 0)
        .ok_or_else(|| {
            unrepresentable(&format!("rounding request {requested} up to the next step passes MaxInt64"))
        })?;
    let format = match rules.stepped {
        SteppedAmounts::BinarySi => QuantityFormat::BinarySI,
        SteppedAmounts::OfStep => step.format(),
    };
    Ok(Quantity::from_integer(rounded, format))
}

/// The smallest `min` plus a multiple of `step` that is not below `requested`; `None` where it is `checked` for
/// 64 bits and passes them, else the low 64 bits.
fn stepped(requested: i64, min: i64, step: i64, checked: bool) -> Option<i64> {
    let above = requested.wrapping_sub(min);
    let mut steps = above.wrapping_div(step);
    if above.wrapping_rem(step) != 0 {
        steps = steps.wrapping_add(1);
    }
    if checked && steps > i64::MAX.wrapping_sub(min).wrapping_div(step) {
        return None;
    }
    Some(min.wrapping_add(step.wrapping_mul(steps)))
}

fn unrepresentable(why: &str) -> String {
    format!("capacity request cannot be represented in the device's range arithmetic: {why}")
}

/// Whether every bound of the range is a whole number of thousandths, and the step at least one.
fn in_thousandths(range: &CapacityRequestPolicyRange) -> bool {
    let bounds = [&range.min, &range.max, &range.step];
    bounds.into_iter().flatten().all(|bound| thousandths(bound).is_some())
        && range.step.as_ref().is_none_or(|step| step.milli_value() >= 1)
}

/// The number of thousandths, where that is exact.
fn thousandths(amount: &Quantity) -> Option<i64> {
    let milli = amount.milli_value();
    (Quantity::from_milli(milli, amount.format()) == *amount).then_some(milli)
}

fn violates(amount: &Quantity, policy: &CapacityRequestPolicy, rules: CapacityRules) -> bool {
    if policy.default.as_ref().is_some_and(|default| amount.is_equal_in_go(default)) {
        return false;
    }
    if let Some(range) = &policy.valid_range {
        if range.max.as_ref().is_some_and(|max| amount > max) {
            return true;
        }
        let Some(step) = &range.step else { return false };
        // A step without a minimum, which validation forbids, counts from zero here.
        let min = range.min.clone().unwrap_or(Quantity::ZERO);
        if rules.fractional && in_thousandths(range) {
            let above = thousandths(amount).map(|milli| milli.wrapping_sub(min.milli_value()));
            return above.is_none_or(|above| above.wrapping_rem(step.milli_value()) != 0);
        }
        let step = step.value();
        return step != 0 && amount.value().wrapping_sub(min.value()).wrapping_rem(step) != 0;
    }
    let values = policy.valid_values.as_deref().unwrap_or_default();
    !values.is_empty() && !values.contains(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: CapacityRules = CapacityRules {
        fractional: false,
        faults: CapacityFaults::Ignored,
        stepped: SteppedAmounts::BinarySi,
    };

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
        let amounts = consumption(requested.as_ref(), &capacities, RULES).ok()?;
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
        let refusal = consumption(Some(&requested), &capacities, RULES);
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
