//! What one claim asks for, and whether its devices are that.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{
    AllocationMode, AllocationResult, AttributeValue, Device, DeviceConstraint, DeviceDerivedAttribute,
    DeviceId, DeviceRequestAllocationResult, DeviceSelector, DeviceToleration, Quantity, ResourceClaim,
};

use crate::profile::{
    AllInAlternatives, AllSelection, CapacityOff, DistinctMemory, DistinctValues, Enumeration, NewFields,
};

use super::programs::Programs;
use super::reach::{Pool, Reached, device_selects_node};
use super::{Question, Rule, Violation, books};

/// Most devices a claim may hold (`AllocationResultsMaxSize`).
const RESULTS_LIMIT: usize = 32;

/// One claim under check.
pub(crate) struct Claim<'c, 'a> {
    pub(crate) question: &'c Question<'a>,
    pub(crate) pools: &'c [Pool<'a>],
    pub(crate) reached: &'c BTreeMap<DeviceId, Reached<'a>>,
    pub(crate) object: &'a ResourceClaim,
    pub(crate) programs: &'c Programs,
    pub(crate) result: &'c AllocationResult,
}

/// A request, or one alternative of a request.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// Place of the request in the claim.
    pub(crate) request: usize,
    pub(crate) base_name: &'a str,
    pub(crate) alternative: Option<&'a str>,
    pub(crate) class: &'a str,
    pub(crate) selectors: &'a [DeviceSelector],
    pub(crate) mode: &'a AllocationMode,
    pub(crate) count: i64,
    pub(crate) admin_access: Option<bool>,
    pub(crate) tolerations: &'a [DeviceToleration],
    pub(crate) capacity: Option<&'a BTreeMap<String, Quantity>>,
    pub(crate) derived_attributes: &'a [DeviceDerivedAttribute],
}

impl Ask<'_> {
    pub(crate) fn result_name(&self) -> String {
        match self.alternative {
            Some(alternative) => format!("{}/{alternative}", self.base_name),
            None => self.base_name.to_owned(),
        }
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.admin_access == Some(true)
    }
}

/// A device of the answer whose request and place are known.
#[derive(Clone, Copy)]
pub(crate) struct Pick<'c, 'a> {
    pub(crate) ask: Ask<'a>,
    pub(crate) reached: Reached<'a>,
    pub(crate) result: &'c DeviceRequestAllocationResult,
}

/// The forms of the request at `index`: itself, or its alternatives.
pub(crate) fn asks(claim: &ResourceClaim, index: usize) -> Vec<Ask<'_>> {
    let Some(request) = claim.requests.get(index) else { return Vec::new() };
    let base_name = request.name.as_str();
    if let (Some(exact), []) = (&request.exactly, request.first_available.as_slice()) {
        return vec![Ask {
            request: index,
            base_name,
            alternative: None,
            class: &exact.device_class_name,
            selectors: &exact.selectors,
            mode: &exact.allocation_mode,
            count: exact.count,
            admin_access: exact.admin_access,
            tolerations: &exact.tolerations,
            capacity: exact.capacity.as_ref(),
            derived_attributes: &exact.derived_attributes,
        }];
    }
    let alternatives = request.first_available.iter().map(|sub| Ask {
        request: index,
        base_name,
        alternative: Some(&sub.name),
        class: &sub.device_class_name,
        selectors: &sub.selectors,
        mode: &sub.allocation_mode,
        count: sub.count,
        admin_access: None,
        tolerations: &sub.tolerations,
        capacity: sub.capacity.as_ref(),
        derived_attributes: &sub.derived_attributes,
    });
    alternatives.collect()
}

impl<'c, 'a> Claim<'c, 'a> {
    /// Checks the claim's own rules; returns the devices that exist.
    pub(crate) fn check(&self, found: &mut Vec<Violation>) -> Vec<Pick<'c, 'a>> {
        let mut picks: Vec<Pick<'c, 'a>> = Vec::new();
        for result in &self.result.results {
            let mut forms = (0..self.object.requests.len()).flat_map(|index| asks(self.object, index));
            let Some(ask) = forms.find(|ask| ask.result_name() == result.request) else {
                found.push(self.violation(
                    Some(&result.request),
                    Some(result.device_id()),
                    Rule::UnknownRequest,
                ));
                continue;
            };
            let Some(reached) = self.reached.get(&result.device_id()).copied() else {
                found.push(self.violation(
                    Some(&result.request),
                    Some(result.device_id()),
                    Rule::UnknownDevice,
                ));
                continue;
            };
            picks.push(Pick { ask, reached, result });
        }
        if self.result.results.len() > RESULTS_LIMIT {
            found.push(self.violation(None, None, Rule::Limit { found: self.result.results.len() }));
        }
        for pair in picks.windows(2) {
            let [before, after] = pair else { continue };
            let place = |pick: &Pick<'_, '_>| (pick.ask.request, pick.reached.position);
            let same_request = before.ask.request == after.ask.request;
            if same_request
                && before.ask.alternative != after.ask.alternative
                && !self.changes_alternative(before.ask.request)
            {
                found.push(self.of_pick(after, Rule::MixedAlternatives));
            }
            // Where permutations are tried, any order may be the first that works.
            let any_order = same_request && self.question.profile.enumeration == Enumeration::Permutations;
            if place(before) >= place(after) && !any_order {
                found.push(self.of_pick(after, Rule::Order));
            }
        }
        for index in 0..self.object.requests.len() {
            self.check_request(index, &picks, found);
        }
        for pick in &picks {
            if let Err(rule) = self.selectable(&self.selecting(&pick.ask), &pick.reached) {
                found.push(self.of_pick(pick, rule));
            }
        }
        for (index, constraint) in self.object.constraints.iter().enumerate() {
            self.check_constraint(index, constraint, &picks, found);
        }
        picks
    }

    fn check_request(&self, index: usize, picks: &[Pick<'c, 'a>], found: &mut Vec<Violation>) {
        let own: Vec<_> = picks.iter().filter(|pick| pick.ask.request == index).collect();
        let forms = asks(self.object, index);
        if let Some(what) = forms.iter().find_map(|ask| self.fault(ask)) {
            found.push(self.violation(None, None, Rule::ClaimInvalid { what }));
            return;
        }
        if self.changes_alternative(index) {
            return;
        }
        // Without a device any alternative that wants none may have been chosen.
        let chosen: Vec<_> = match own.first() {
            Some(pick) => vec![pick.ask],
            None => forms,
        };
        let mut worst =
            Some(Rule::ClaimInvalid { what: "a request has neither `exactly` nor `firstAvailable`" });
        for ask in chosen {
            worst = if *ask.mode == AllocationMode::All {
                self.all_left_out(&ask, &own, found)
            } else {
                let wanted = usize::try_from(ask.count).unwrap_or(0);
                (wanted != own.len()).then_some(Rule::Count { wanted, found: own.len() })
            };
            if worst.is_none() {
                return;
            }
        }
        if let (Some(rule), Some(request)) = (worst, self.object.requests.get(index)) {
            found.push(self.violation(Some(&request.name), None, rule));
        }
    }

    /// Whether the devices of a request may belong to several alternatives, because after the first device of an
    /// alternative for all devices the profile goes on with the first alternative.
    fn changes_alternative(&self, request: usize) -> bool {
        let later = asks(self.object, request).into_iter().skip(1);
        self.question.profile.all_in_alternatives == AllInAlternatives::FirstAlternative
            && later.into_iter().any(|ask| *ask.mode == AllocationMode::All)
    }

    /// The form of a request whose selectors decide for another.
    fn selecting(&self, ask: &Ask<'a>) -> Ask<'a> {
        let forms = asks(self.object, ask.request);
        match forms.as_slice() {
            [first, second, ..]
                if self.question.profile.all_selection == AllSelection::OfFirst
                    && *first.mode == AllocationMode::All
                    && *ask.mode == AllocationMode::All
                    && second.alternative == ask.alternative =>
            {
                *first
            }
            _ => *ask,
        }
    }

    /// Why upstream would refuse to look for devices at all.
    fn fault(&self, ask: &Ask<'_>) -> Option<&'static str> {
        let features = &self.question.features;
        if ask.alternative.is_some() && !features.prioritized_list {
            Some("alternatives while prioritized lists are off")
        } else if ask.capacity.is_some()
            && !features.consumable_capacity
            && self.question.profile.capacity_off != CapacityOff::Ignored
        {
            Some("a capacity request while consumable capacity is off")
        } else if ask.admin_access.is_some() && !features.admin_access {
            Some("admin access while the feature is off")
        } else if !ask.derived_attributes.is_empty()
            && !features.derived_attributes
            && self.question.profile.new_fields != NewFields::Unknown
        {
            Some("derived attributes while the feature is off")
        } else if ask.selectors.iter().any(|selector| selector.cel.is_none()) {
            Some("a selector that is not CEL")
        } else if !self.question.classes.iter().any(|class| class.name == ask.class) {
            Some("a missing device class")
        } else if matches!(ask.mode, AllocationMode::Other(_)) {
            Some("an unknown allocation mode")
        } else {
            None
        }
    }

    /// With `All`: a device that is missing, or nothing to take, or a pool that must not be there.
    fn all_left_out(&self, ask: &Ask<'a>, own: &[&Pick<'c, 'a>], found: &mut Vec<Violation>) -> Option<Rule> {
        if self.pools.iter().any(|pool| pool.unusable.is_some() || pool.lacks_slices) {
            return Some(Rule::AllWithUnusablePool);
        }
        if own.is_empty() {
            return Some(Rule::Count { wanted: 1, found: 0 });
        }
        let taken: BTreeSet<usize> = own.iter().map(|pick| pick.reached.position).collect();
        for (id, reached) in self.reached {
            // Newer releases leave out what has not enough capacity at all.
            let leaves_out_full = self.question.profile.all_leaves_out_full_devices;
            let held = self.question.state.consumed_capacity(id).filter(|_| leaves_out_full);
            let may_be_left_out = self.question.features.consumable_capacity
                && books::short_capacity(self.question, ask, reached.device, held, None).is_some();
            if !may_be_left_out
                && !taken.contains(&reached.position)
                && self.selectable(&self.selecting(ask), reached).is_ok()
            {
                found.push(self.violation(Some(&ask.result_name()), Some(id.clone()), Rule::AllLeftOut));
            }
        }
        None
    }

    /// Whether the device may serve the request, other devices aside.
    fn selectable(&self, ask: &Ask<'_>, reached: &Reached<'_>) -> Result<(), Rule> {
        let device = reached.device;
        let binding = device.binding_conditions.as_ref().is_some_and(|conditions| !conditions.is_empty());
        if binding && !self.question.features.device_binding_and_status {
            return Err(Rule::FeatureOff);
        }
        let class = self.question.classes.iter().find(|class| class.name == ask.class);
        let of_class = class.map(|class| class.selectors.as_slice()).unwrap_or_default();
        for (of_class, selectors) in [(true, of_class), (false, ask.selectors)] {
            for (index, selector) in selectors.iter().enumerate() {
                if self.programs.matches(selector, reached) != Some(true) {
                    return Err(Rule::Selector { of_class, index });
                }
            }
        }
        match device_selects_node(reached, self.question.node) {
            Some(true) => Ok(()),
            _ => Err(Rule::NodeSelection),
        }
    }

    fn check_constraint(
        &self,
        index: usize,
        constraint: &DeviceConstraint,
        picks: &[Pick<'c, 'a>],
        found: &mut Vec<Violation>,
    ) {
        let lists = self.question.features.list_type_attributes;
        let (attribute, is_match) = match (&constraint.match_attribute, &constraint.distinct_attribute) {
            (Some(attribute), _) => (attribute, true),
            (None, Some(attribute))
                if self.question.profile.distinct_values != DistinctValues::Unsupported =>
            {
                (attribute, false)
            }
            (None, _) => {
                found.push(self.violation(None, None, Rule::ClaimInvalid { what: "an empty constraint" }));
                return;
            }
        };
        let rule = || {
            if is_match { Rule::Match { constraint: index } } else { Rule::Distinct { constraint: index } }
        };
        let requests = &constraint.requests;
        let mut covered = Vec::new();
        for pick in picks {
            let is_covered =
                requests.iter().any(|name| name == pick.ask.base_name || *name == pick.ask.result_name());
            if requests.is_empty() || is_covered {
                match compared_attribute(self.question, self.programs, &pick.ask, &pick.reached, attribute) {
                    Some(value) => covered.push((pick, value)),
                    None => found.push(self.of_pick(pick, rule())),
                }
            }
        }
        if is_match {
            let mut common: Option<BTreeSet<AttributeValue>> = None;
            for (place, (pick, value)) in covered.iter().enumerate() {
                let own = values(value.as_ref(), lists);
                let narrowed = match &common {
                    Some(common) => common.intersection(&own).cloned().collect(),
                    None => own,
                };
                // Without list attributes the first device is taken whatever its type.
                if narrowed.is_empty() && (place > 0 || lists) {
                    found.push(self.of_pick(pick, rule()));
                }
                common = Some(narrowed);
            }
        } else {
            for (place, (pick, value)) in covered.iter().enumerate() {
                let earlier = covered.get(..place).unwrap_or_default();
                let conflict = earlier.iter().enumerate().any(|(at, (other, seen))| {
                    let last_of_request =
                        covered.get(at + 1).is_none_or(|(next, _)| next.ask.request != other.ask.request);
                    let compared = self.question.profile.distinct_memory == DistinctMemory::EveryDevice
                        || (last_of_request && other.ask.request != pick.ask.request);
                    let equal = match self.question.profile.distinct_values {
                        DistinctValues::Places => pick.reached.position == other.reached.position,
                        _ => !values(value.as_ref(), lists).is_disjoint(&values(seen.as_ref(), lists)),
                    };
                    compared && equal
                });
                // Releases that remember every device take no value for a set that is none.
                let every = self.question.profile.distinct_memory == DistinctMemory::EveryDevice;
                let unusable = lists && every && values(value.as_ref(), lists).is_empty();
                if conflict || unusable {
                    found.push(self.of_pick(pick, rule()));
                }
            }
        }
    }

    fn violation(&self, request: Option<&str>, device: Option<DeviceId>, rule: Rule) -> Violation {
        Violation { claim: self.object.full_name(), request: request.map(str::to_owned), device, rule }
    }

    fn of_pick(&self, pick: &Pick<'_, '_>, rule: Rule) -> Violation {
        self.violation(Some(&pick.result.request), Some(pick.result.device_id()), rule)
    }
}

/// The attribute that constraints compare: derived by the request, of several under one name by the last, or else
/// published.
pub(crate) fn compared_attribute<'a>(
    question: &Question<'_>,
    programs: &Programs,
    ask: &Ask<'_>,
    reached: &Reached<'a>,
    name: &str,
) -> Option<Cow<'a, AttributeValue>> {
    let mut derived = ask.derived_attributes.iter().rev().filter(|_| question.features.derived_attributes);
    match derived.find(|derived| derived.name == name) {
        Some(derived) => programs.derived(&derived.expression, reached).map(Cow::Owned),
        None => attribute_of(reached, name).map(Cow::Borrowed),
    }
}

/// The attribute by its exact name, else by its short name where the domain is the driver's.
pub(crate) fn attribute_of<'a>(reached: &Reached<'a>, name: &str) -> Option<&'a AttributeValue> {
    let Device { attributes, .. } = reached.device;
    attributes.get(name).or_else(|| {
        let (domain, id) = name.split_once('/')?;
        if domain == reached.slice.driver { attributes.get(id) } else { None }
    })
}

/// The scalar values of an attribute; nothing for lists unless they are on.
pub(crate) fn values(value: &AttributeValue, lists: bool) -> BTreeSet<AttributeValue> {
    match value {
        AttributeValue::Unset => BTreeSet::new(),
        AttributeValue::Ints(list) if lists => list.iter().copied().map(AttributeValue::Int).collect(),
        AttributeValue::Bools(list) if lists => list.iter().copied().map(AttributeValue::Bool).collect(),
        AttributeValue::Strings(list) if lists => list.iter().cloned().map(AttributeValue::String).collect(),
        AttributeValue::Versions(list) if lists => {
            list.iter().cloned().map(AttributeValue::Version).collect()
        }
        list if list.is_list() => BTreeSet::new(),
        scalar => BTreeSet::from([scalar.clone()]),
    }
}
