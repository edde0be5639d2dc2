//! The search where nothing ever has to be undone: each device that can be chosen is kept.
//!
//! Most questions are answered like this, and then none of the books of a search are needed. As soon as a choice fails,
//! or the question or a device has anything that needs books (counters, shares, alternatives, values that must
//! differ, errors), this gives up, and the search begins anew.

use smallvec::SmallVec;

use super::candidate::ChosenDevice;
use crate::constraints::{ConstraintKind, lookup};
use crate::held::HeldDevices;
use crate::objects::AttributeValue;
use crate::problem::{Choice, ClaimProblem, Problem, RESULTS_MAX, Setting};
use crate::profile::{NewFields, SecondCapacityCheck};
use crate::taints;

/// The devices, and how many steps a search would have taken for them. They are those of the search: it tries the same
/// devices in the same order, and a device refused before the first failure is refused for good.
pub(crate) fn first_fit(
    setting: &Setting<'_>,
    problem: &Problem<'_>,
    held: Option<&HeldDevices>,
) -> Option<(SmallVec<[ChosenDevice; 8]>, u64)> {
    let at_ordinal = setting.profile.second_capacity_check == SecondCapacityCheck::DeviceAtOrdinal;
    if setting.view.barrier.is_some() || at_ordinal && setting.features.consumable_capacity {
        return None;
    }
    let mut chosen: SmallVec<[ChosenDevice; 8]> = SmallVec::new();
    let mut used: SmallVec<[u64; 4]> = SmallVec::from_elem(0, setting.view.positions.len().div_ceil(64));
    let mut steps = 1;
    for claim in &problem.claims {
        let mut matches = matches(setting, claim)?;
        let mut wanted = 0_i64;
        for request in &claim.requests {
            let number = request.choices.start;
            let choice = problem.choice(number);
            let plain = !request.has_alternatives
                && choice.all_devices.is_none()
                && !choice.admin_access
                && choice.capacity.is_none()
                && choice.derived.is_empty();
            wanted = wanted.checked_add(choice.count)?;
            if !plain || choice.count <= 0 || wanted > RESULTS_MAX {
                return None;
            }
            let mut missing = choice.count;
            for position in 0..setting.view.len() {
                let (word, bit) = (position as usize / u64::BITS as usize, 1 << (position % u64::BITS));
                if used[word] & bit != 0 || held.is_some_and(|held| held.is_exclusive(position)) {
                    continue;
                }
                if !is_suitable(setting, claim, choice, held, position)?
                    || !agree(setting, choice, &mut matches, position)?
                {
                    continue;
                }
                used[word] |= bit;
                chosen.push(ChosenDevice { choice: number, position, share: None, takes_counters: false });
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
            if missing > 0 {
                return None;
            }
        }
        // One for each device, one behind each request, one behind the claim.
        steps += u64::try_from(wanted).ok()? + u64::try_from(claim.requests.len()).ok()? + 1;
    }
    Some((chosen, steps))
}

/// A `matchAttribute` constraint and the value of the devices so far.
type Match<'a> = (&'a str, Option<&'a AttributeValue>);

/// By constraint. `None` where there is another kind.
fn matches<'a>(setting: &Setting<'a>, claim: &ClaimProblem<'a>) -> Option<SmallVec<[Match<'a>; 2]>> {
    let constraints = claim.constraints.iter().zip(&claim.claim.constraints);
    constraints
        .map(|(constraint, written)| {
            let attribute = written.match_attribute.as_deref()?;
            let compared = constraint.kind == ConstraintKind::Match && !setting.features.list_type_attributes;
            compared.then_some((attribute, None))
        })
        .collect()
}

/// Whether the choice selects a device and tolerates it. `None` where that takes more to tell.
fn is_suitable(
    setting: &Setting<'_>,
    claim: &ClaimProblem<'_>,
    choice: &Choice<'_>,
    held: Option<&HeldDevices>,
    position: u32,
) -> Option<bool> {
    if !choice.selects(setting, claim.claim, position).ok()? {
        return Some(false);
    }
    let index = setting.view.device(position);
    let slice = setting.inventory.slice_of(index);
    let device = slice.devices.get(index.index as usize)?;
    let plain_slice = setting.profile.new_fields != NewFields::All || slice.skip_node_operations.is_empty();
    if !plain_slice || !device.consumes_counters.is_empty() {
        return None;
    }
    if setting.features.consumable_capacity {
        // A device that is used as a whole has what it has, unless a policy or a share has a say.
        let plain = device
            .capacity
            .values()
            .all(|capacity| capacity.request_policy.is_none() && capacity.value.sign() >= 0);
        let shared = held.and_then(|held| held.get(position)).is_some_and(|books| books.capacity.is_some());
        if device.allow_multiple_allocations == Some(true) || !plain || shared {
            return None;
        }
    }
    let effects = setting.profile.taint_effects;
    let tainted = setting.features.device_taints
        && taints::untolerated(&device.taints, choice.tolerations, effects).is_some();
    Some(!tainted)
}

/// Whether a device has the values of those before it; from then on it counts among them. `None` where values are
/// not just equal or not.
fn agree<'a>(
    setting: &Setting<'a>,
    choice: &Choice<'_>,
    matches: &mut [Match<'a>],
    position: u32,
) -> Option<bool> {
    let index = setting.view.device(position);
    let mut values: SmallVec<[(u32, &AttributeValue); 2]> = SmallVec::new();
    for (constraint, _) in choice.constraints() {
        let (attribute, first) = matches.get(constraint as usize)?;
        let slice = setting.inventory.slice_of(index);
        let Some(value) = lookup(setting.inventory.device(index), &slice.driver, attribute) else {
            return Some(false);
        };
        if value.is_list() || *value == AttributeValue::Unset {
            return None;
        }
        if first.is_some_and(|first| first != value) {
            return Some(false);
        }
        values.push((constraint, value));
    }
    for (constraint, value) in values {
        matches.get_mut(constraint as usize)?.1 = Some(value);
    }
    Some(true)
}
