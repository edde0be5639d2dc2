//! Who holds what: exclusive use, counters and capacities, over all claims of the answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{
    AllocationMode, CapacityRequestPolicyRange, CounterSet, Device, DeviceCapacity, DeviceId, PoolId,
    Quantity, ResourceClaim, ResourceSlice,
};
use crate::profile::{
    CounterBooks, NewFields, SecondCapacityCheck, ShareEntries, SteppedAmounts, TaintEffects,
};

use super::claim::{Ask, Pick};
use super::groups::Groups;
use super::reach::{Pool, Reached};
use super::{Question, Rule, Violation};

/// Amounts by counter set and counter.
type CounterTotals<'a> = BTreeMap<(&'a str, &'a str), Quantity>;
type Amounts = BTreeMap<String, Quantity>;

/// The books of one verification.
pub(crate) struct Books<'c, 'a> {
    question: &'c Question<'a>,
    pools: &'c [Pool<'a>],
    /// Which claims, by place, hold a device that is not shareable.
    marks: BTreeMap<DeviceId, BTreeSet<usize>>,
    shared: BTreeMap<DeviceId, Amounts>,
    share_ids: BTreeSet<&'c str>,
    /// Consumption by pool, and by slice where each slice has its own counters.
    counters: BTreeMap<(PoolId, Option<&'a str>), CounterTotals<'a>>,
    groups: Groups<'a>,
    claims: usize,
}

impl<'c, 'a> Books<'c, 'a> {
    pub(crate) fn new(question: &'c Question<'a>, pools: &'c [Pool<'a>]) -> Self {
        Self {
            question,
            pools,
            marks: BTreeMap::new(),
            shared: BTreeMap::new(),
            share_ids: BTreeSet::new(),
            counters: BTreeMap::new(),
            groups: Groups::new(question, pools),
            claims: 0,
        }
    }

    /// Books the devices of the next claim, in order.
    pub(crate) fn add(&mut self, claim: &ResourceClaim, picks: &[Pick<'c, 'a>], found: &mut Vec<Violation>) {
        let claim_index = self.claims;
        self.claims += 1;
        for pick in picks {
            for rule in self.add_device(claim_index, pick) {
                found.push(Violation {
                    claim: claim.full_name(),
                    request: Some(pick.result.request.clone()),
                    device: Some(pick.result.device_id()),
                    rule,
                });
            }
        }
    }

    fn add_device(&mut self, claim: usize, pick: &Pick<'c, 'a>) -> Vec<Rule> {
        let features = &self.question.features;
        let device = pick.reached.device;
        let id = pick.result.device_id();
        let shareable = features.consumable_capacity && device.allow_multiple_allocations == Some(true);
        let mut broken = Vec::new();

        let marks = self.marks.entry(id.clone()).or_default();
        let blocked = if pick.ask.is_admin() {
            marks.contains(&claim)
        } else {
            !marks.is_empty() || self.question.state.holds_device(&id)
        };
        if blocked {
            broken.push(Rule::InUse);
        }
        if !shareable {
            marks.insert(claim);
        }
        if features.device_taints {
            let tolerated = |index: &usize| {
                let Some(taint) = device.taints.get(*index) else { return true };
                let any = self.question.profile.taint_effects == TaintEffects::Any;
                (!any && !["NoSchedule", "NoExecute"].contains(&taint.effect.as_str()))
                    || pick.ask.tolerations.iter().any(|toleration| {
                        let key = toleration.key.is_empty() || toleration.key == taint.key;
                        let effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
                        let value = match toleration.operator.as_str() {
                            "" | "Equal" => toleration.value == taint.value,
                            operator => operator == "Exists",
                        };
                        key && effect && value
                    })
            };
            broken.extend(
                (0..device.taints.len()).find(|index| !tolerated(index)).map(|index| Rule::Taint { index }),
            );
        }
        // Until when a device counts as shared, and what of its counters stays charged, the answer does not tell.
        let by_amounts = self.question.profile.share_entries == ShareEntries::UntilEmpty;
        let ignored = self.question.profile.share_entries == ShareEntries::Ignored;
        let charged = shareable
            && !ignored
            && (by_amounts || counters_are_paid(self.question, &id) || self.shared.contains_key(&id));
        if !device.consumes_counters.is_empty() && !charged {
            if features.partitionable_devices {
                let by_slice = self.question.profile.counter_books == CounterBooks::Slice;
                let slice = by_slice.then_some(pick.reached.slice.name.as_str());
                if features.compatibility_groups
                    && let Some(set) = self.groups.draw(&id.pool, device)
                {
                    broken.push(Rule::Groups { counter_set: set.to_owned() });
                }
                self.take_counters(&id.pool, slice, device);
            } else {
                broken.push(Rule::FeatureOff);
            }
        }
        if !skips_operations(self.question, &pick.reached) {
            broken.push(Rule::NodeOperations);
        }
        // A request for all devices may be given what is not there, as another device is looked at.
        let unchecked = self.question.profile.second_capacity_check == SecondCapacityCheck::DeviceAtOrdinal
            && *pick.ask.mode == AllocationMode::All;
        if features.consumable_capacity && !unchecked {
            let held = self.question.state.consumed_capacity(&id);
            if let Some(capacity) =
                short_capacity(self.question, &pick.ask, device, held, self.shared.get(&id))
            {
                broken.push(Rule::Capacity { capacity });
            }
        }
        broken.extend(self.add_share(shareable, id, pick));
        broken
    }

    fn add_share(&mut self, shareable: bool, id: DeviceId, pick: &Pick<'c, 'a>) -> Vec<Rule> {
        let mut broken = Vec::new();
        let mut expected = Amounts::new();
        if shareable {
            for (name, capacity) in &pick.reached.device.capacity {
                expected.insert(name.clone(), taken(self.question, &pick.ask, name, capacity));
            }
            let booked = self.shared.entry(id).or_default();
            for (name, amount) in &expected {
                let sum =
                    booked.get(name).map_or_else(|| Some(amount.clone()), |sum| sum.checked_add(amount));
                broken.extend(sum.is_none().then(|| Rule::Capacity { capacity: name.clone() }));
                booked.extend(sum.map(|sum| (name.clone(), sum)));
            }
        }
        let share_id = pick.result.share_id.as_deref();
        let fresh = share_id.is_none_or(|share_id| self.share_ids.insert(share_id));
        if share_id.is_some() != shareable || !fresh {
            broken.push(Rule::ShareId);
        }
        if pick.result.consumed_capacity != expected {
            broken.push(Rule::ConsumedCapacity);
        }
        broken
    }

    fn take_counters(&mut self, pool: &PoolId, slice: Option<&'a str>, device: &'a Device) {
        let totals = self.counters.entry((pool.clone(), slice)).or_default();
        for taken in &device.consumes_counters {
            for (counter, amount) in &taken.counters {
                let total = totals.entry((&taken.counter_set, counter)).or_default();
                if let Some(sum) = total.checked_add(amount) {
                    *total = sum;
                }
            }
        }
    }

    /// Checks the counters of every pool from which the answer takes some: all of them, whether or not a
    /// device of the answer consumes just that counter.
    pub(crate) fn close(self, found: &mut Vec<Violation>) {
        for ((id, slice), totals) in &self.counters {
            let by_name = self.question.profile.counter_books == CounterBooks::PoolName;
            if by_name && self.pools.iter().any(|pool| pool.id.pool == id.pool && pool.id != *id) {
                // The walk decides whose counters count; the answer does not tell.
                continue;
            }
            let Some(pool) = self.pools.iter().find(|pool| pool.id == *id) else { continue };
            let of_slice = pool.reachable.iter().find(|reachable| Some(reachable.name.as_str()) == *slice);
            let counter_sets: BTreeMap<&str, &CounterSet> = match of_slice {
                Some(slice) => slice.shared_counters.iter().map(|set| (set.name.as_str(), set)).collect(),
                None => pool.counter_sets.clone(),
            };
            for (set_name, set) in &counter_sets {
                for (counter, full) in &set.counters {
                    let mut sum = totals.get(&(*set_name, counter.as_str())).cloned().unwrap_or_default();
                    for amount in self.held_amounts(pool, *slice, set_name, counter) {
                        sum = sum.checked_add(amount).unwrap_or(sum);
                    }
                    if sum > *full {
                        let (counter_set, counter) = ((*set_name).to_owned(), counter.clone());
                        found.push(Violation {
                            claim: String::new(),
                            request: None,
                            device: None,
                            rule: Rule::Counter { counter_set, counter },
                        });
                    }
                }
            }
        }
    }

    /// What devices held by other claims take from one counter.
    fn held_amounts<'p>(
        &self,
        pool: &'p Pool<'a>,
        slice: Option<&str>,
        set: &str,
        counter: &str,
    ) -> Vec<&'p Quantity> {
        let mut amounts = Vec::new();
        let slices: Vec<&&'a ResourceSlice> = pool.reachable.iter().chain(&pool.elsewhere).collect();
        for device in slices
            .into_iter()
            .filter(|other| match slice {
                Some(name) => other.name == name,
                None => other.shared_counters.is_empty(),
            })
            .flat_map(|slice| &slice.devices)
        {
            let id = DeviceId { pool: pool.id.clone(), device: device.name.clone() };
            let state = self.question.state;
            let held = if self.question.profile.held_shares_take_counters {
                state.is_allocated(&id)
            } else {
                state.holds_device(&id)
            };
            if held {
                let of_set = device.consumes_counters.iter().filter(|taken| taken.counter_set == set);
                amounts.extend(of_set.filter_map(|taken| taken.counters.get(counter)));
            }
        }
        amounts
    }
}

/// Whether the kubelet may skip for a device what its slice says: node and features allow it, or it says nothing.
pub(crate) fn skips_operations(question: &Question<'_>, reached: &Reached<'_>) -> bool {
    let allowed = question.features.optional_node_operations
        && question.node.declared_features.contains("DRAOptionalNodeOperations");
    allowed || reached.slice.skip_node_operations.is_empty() || question.profile.new_fields != NewFields::All
}

/// Whether the counters of a device that can be shared were charged by the shares that other claims hold.
pub(crate) fn counters_are_paid(question: &Question<'_>, id: &DeviceId) -> bool {
    let state = question.state;
    let by_any_share = question.profile.share_entries == ShareEntries::UntilLastOfAnyone;
    state.consumed_capacity(id).is_some()
        || (by_any_share && state.is_allocated(id) && !state.holds_device(id))
}

/// The first capacity that refuses the request: absent, against its policy, or without enough left.
pub(crate) fn short_capacity(
    question: &Question<'_>,
    ask: &Ask<'_>,
    device: &Device,
    held: Option<&Amounts>,
    shared: Option<&Amounts>,
) -> Option<String> {
    let absent =
        ask.capacity.into_iter().flat_map(BTreeMap::keys).find(|name| !device.capacity.contains_key(*name));
    let refused = || {
        device.capacity.iter().find(|(name, capacity)| {
            let amount = taken(question, ask, name, capacity);
            let mut sum = Some(amount.clone());
            for booked in [held, shared].into_iter().flatten().filter_map(|books| books.get(*name)) {
                sum = sum.and_then(|sum| sum.checked_add(booked));
            }
            !allowed(question, &amount, capacity) || sum.is_none_or(|sum| sum > capacity.value)
        })
    };
    absent.or_else(|| refused().map(|(name, _)| name)).cloned()
}

/// What a request takes of one capacity.
pub(crate) fn taken(
    question: &Question<'_>,
    ask: &Ask<'_>,
    name: &str,
    capacity: &DeviceCapacity,
) -> Quantity {
    let policy = capacity.request_policy.as_ref();
    let Some(requested) = ask.capacity.and_then(|capacity| capacity.get(name)) else {
        return policy.and_then(|policy| policy.default.clone()).unwrap_or_else(|| capacity.value.clone());
    };
    let Some(policy) = policy else { return requested.clone() };
    match (&policy.valid_range, &policy.valid_values) {
        (Some(range), _) if range.min.is_some() => {
            let min = range.min.clone().unwrap_or_default();
            match &range.step {
                _ if *requested < min => min,
                None => requested.clone(),
                Some(step) => {
                    let format = match question.profile.stepped_amounts {
                        SteppedAmounts::BinarySi => drayage_cel::QuantityFormat::BinarySI,
                        SteppedAmounts::OfStep => step.format(),
                    };
                    if in_thousandths(question, range) {
                        let milli = |amount: &Quantity| amount.milli_value();
                        let amount = stepped(milli(requested), milli(&min), milli(step));
                        match amount % 1000 {
                            0 => Quantity::from_integer(amount / 1000, format),
                            _ => Quantity::from_milli(amount, format),
                        }
                    } else {
                        let amount = stepped(requested.value(), min.value(), step.value());
                        Quantity::from_integer(amount, format)
                    }
                }
            }
        }
        (_, Some(values)) => values.iter().find(|value| *requested <= **value).unwrap_or(requested).clone(),
        _ => requested.clone(),
    }
}

/// The smallest `min` plus a multiple of `step` that is not below `requested`.
fn stepped(requested: i64, min: i64, step: i64) -> i64 {
    let (wide_min, wide_step) = (i128::from(min), i128::from(step.max(1)));
    let steps = (i128::from(requested) - wide_min + wide_step - 1).div_euclid(wide_step);
    i64::try_from(wide_min + steps * wide_step).unwrap_or(i64::MAX)
}

/// Whether a range is computed in thousandths: the feature is on, and all its bounds are whole numbers of them.
fn in_thousandths(question: &Question<'_>, range: &CapacityRequestPolicyRange) -> bool {
    let mut bounds = [&range.min, &range.max, &range.step].into_iter().flatten();
    question.features.fractional_capacity_range
        && bounds.all(|bound| Quantity::from_milli(bound.milli_value(), bound.format()) == *bound)
        && range.step.as_ref().is_none_or(|step| step.milli_value() > 0)
}

/// Whether a policy lets this amount be taken.
pub(crate) fn allowed(question: &Question<'_>, amount: &Quantity, capacity: &DeviceCapacity) -> bool {
    let Some(policy) = &capacity.request_policy else { return true };
    if policy.default.as_ref().is_some_and(|default| default.is_equal_in_go(amount)) {
        return true;
    }
    if let Some(range) = &policy.valid_range {
        let on_step = range.step.as_ref().is_none_or(|step| {
            if in_thousandths(question, range) {
                let min = range.min.as_ref().map_or(0, Quantity::milli_value);
                let above = i128::from(amount.milli_value()) - i128::from(min);
                return Quantity::from_milli(amount.milli_value(), amount.format()) == *amount
                    && above.checked_rem(i128::from(step.milli_value())) == Some(0);
            }
            let min = range.min.as_ref().map_or(0, Quantity::value);
            (i128::from(amount.value()) - i128::from(min)).checked_rem(i128::from(step.value())) == Some(0)
        });
        return on_step && range.max.as_ref().is_none_or(|max| amount <= max);
    }
    match policy.valid_values.as_deref() {
        None | Some([]) => true,
        Some(values) => values.contains(amount),
    }
}
