//! One question, checked and resolved: what upstream does before it searches.

mod all_devices;

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_cel::Quantity;
use smallvec::SmallVec;

use all_devices::{all_devices, has_capacity, unusable};

use crate::allocated::AllocatedState;
use crate::constraints::{Constraint, applies_to, compared_attribute};
use crate::error::{AllocationError, ErrorKind};
use crate::features::Features;
use crate::few::Few;
use crate::inventory::{Inventory, NodeMatch, NodeView};
use crate::objects::{
    AllocationMode, DeviceClass, DeviceDerivedAttribute, DeviceRequest, DeviceSelector, DeviceSubRequest,
    DeviceToleration, ExactDeviceRequest, ResourceClaim,
};
use crate::profile::{AllSelection, CapacityOff, ClaimLimit, DistinctValues, NewFields, Profile};
use crate::selectors::{Derivation, SelectorError, Selectors, Verdict, Verdicts};

/// The most devices one claim's allocation result can hold.
pub(crate) const RESULTS_MAX: i64 = 32;

/// What upstream adds to an error about a missing key.
const KEY_HINT: &str = ". consider using CEL optional chaining (.? followed by orValue()) or guarding the check \
                        with has() for optional fields";

/// Claims to be allocated together on a node, in order.
#[derive(Debug, Default)]
pub(crate) struct Problem<'a> {
    pub(crate) claims: Few<ClaimProblem<'a>>,
    /// The choices of all requests of all claims, in order: for a request with alternatives one for each
    /// alternative, else one.
    pub(crate) choices: Few<Choice<'a>>,
}

/// One claim of a problem.
#[derive(Debug)]
pub(crate) struct ClaimProblem<'a> {
    pub(crate) claim: &'a ResourceClaim,
    pub(crate) requests: Few<RequestProblem<'a>>,
    pub(crate) constraints: Few<Constraint<'a>>,
}

/// One request of a claim.
#[derive(Debug)]
pub(crate) struct RequestProblem<'a> {
    pub(crate) request: &'a DeviceRequest,
    /// Its choices in [`Problem::choices`].
    pub(crate) choices: std::ops::Range<u32>,
    /// Whether the choices are alternatives.
    pub(crate) has_alternatives: bool,
}

/// A request, or one alternative of it.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) claim: u32,
    pub(crate) request: u32,
    /// Name of the request; for an alternative the name of the alternative, see `parent`.
    pub(crate) name: &'a str,
    /// Name of the request that an alternative belongs to.
    pub(crate) parent: Option<&'a str>,
    pub(crate) class: &'a DeviceClass,
    pub(crate) selectors: Few<SelectorUse<'a>>,
    /// How many devices are needed; nothing to do where not positive.
    pub(crate) count: i64,
    /// The fixed devices of a request for all devices, by position.
    pub(crate) all_devices: Option<Vec<u32>>,
    pub(crate) admin_access: bool,
    pub(crate) tolerations: &'a [DeviceToleration],
    pub(crate) capacity: Option<&'a BTreeMap<String, Quantity>>,
    /// The attributes that the request derives from devices.
    pub(crate) derived: BTreeMap<&'a str, Arc<Derivation>>,
    /// The constraints of the claim that are for this choice, in order.
    pub(crate) constraints: SmallVec<[u32; 2]>,
    /// For each of these, which of its [values](Constraint::class) counts.
    pub(crate) derivations: SmallVec<[u32; 2]>,
}

/// A selector of a class or request.
#[derive(Clone, Debug)]
pub(crate) struct SelectorUse<'a> {
    pub(crate) source: SelectorSource,
    /// Index in the list it is from.
    pub(crate) index: u32,
    /// `None` for a selector of a class that is not CEL.
    pub(crate) verdicts: Option<Verdicts<'a>>,
}

/// Where a selector is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SelectorSource {
    Class,
    Request,
}

/// What a problem is posed against.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) view: &'a NodeView,
    pub(crate) state: &'a AllocatedState,
    pub(crate) classes: &'a BTreeMap<String, DeviceClass>,
    pub(crate) profile: Profile,
    pub(crate) features: Features,
    /// Whether the node can use devices whose slices let the kubelet skip operations.
    pub(crate) skips_operations: bool,
    /// Whether this is the first question about the view.
    pub(crate) is_new_view: bool,
}

/// The fields that exact requests and alternatives have in common.
struct Wanted<'a> {
    name: &'a str,
    parent: Option<&'a str>,
    class: &'a str,
    selectors: &'a [DeviceSelector],
    mode: &'a AllocationMode,
    count: i64,
    admin_access: Option<bool>,
    tolerations: &'a [DeviceToleration],
    capacity: Option<&'a BTreeMap<String, Quantity>>,
    derived_attributes: &'a [DeviceDerivedAttribute],
}

impl<'a> Wanted<'a> {
    fn exact(request: &'a DeviceRequest, exact: &'a ExactDeviceRequest) -> Self {
        Self {
            name: &request.name,
            parent: None,
            class: &exact.device_class_name,
            selectors: &exact.selectors,
            mode: &exact.allocation_mode,
            count: exact.count,
            admin_access: exact.admin_access,
            tolerations: &exact.tolerations,
            capacity: exact.capacity.as_ref(),
            derived_attributes: &exact.derived_attributes,
        }
    }

    fn alternative(request: &'a DeviceRequest, alternative: &'a DeviceSubRequest) -> Self {
        Self {
            name: &alternative.name,
            parent: Some(&request.name),
            class: &alternative.device_class_name,
            selectors: &alternative.selectors,
            mode: &alternative.allocation_mode,
            count: alternative.count,
            admin_access: None,
            tolerations: &alternative.tolerations,
            capacity: alternative.capacity.as_ref(),
            derived_attributes: &alternative.derived_attributes,
        }
    }
}

impl<'a> Problem<'a> {
    /// Checks claims in upstream's order; the first fault is the error. They make up the whole problem.
    pub(crate) fn add_claims(
        &mut self,
        setting: &Setting<'a>,
        selectors: &mut Selectors,
        claims: &[&'a ResourceClaim],
    ) -> Result<(), AllocationError> {
        claims.iter().try_for_each(|claim| self.add_claim(setting, selectors, claim))
    }

    fn add_claim(
        &mut self,
        setting: &Setting<'a>,
        selectors: &mut Selectors,
        claim: &'a ResourceClaim,
    ) -> Result<(), AllocationError> {
        let first_choice = self.choices.len();
        let mut requests = Few::None;
        let mut devices_at_least = 0_i64;
        for (index, request) in (0_u32..).zip(&claim.requests) {
            check_gates(setting, claim, request)?;
            let alternatives = request.first_available.iter();
            let alternatives = alternatives.map(|alternative| Wanted::alternative(request, alternative));
            let exact = request.exactly.as_ref().filter(|_| request.first_available.is_empty());
            if exact.is_none() && request.first_available.is_empty() {
                let detail = "neither exactly nor firstAvailable is set";
                return Err(request_error(ErrorKind::EmptyRequest, claim, &request.name, detail));
            }
            let wanted = alternatives.chain(exact.map(|exact| Wanted::exact(request, exact)));
            let start = number(self.choices.len());
            // What the first alternative selects, if it is for all devices.
            let mut of_first = None;
            for (alternative, wanted) in wanted.enumerate() {
                let claim_index = number(self.claims.len());
                let known = match setting.profile.all_selection {
                    AllSelection::OfFirst if alternative == 1 => of_first.take(),
                    AllSelection::OfFirst | AllSelection::Own => None,
                };
                let (choice, selected) =
                    choose(setting, selectors, claim, (claim_index, index), &wanted, known)?;
                if alternative == 0 {
                    of_first = selected;
                }
                self.choices.push(choice);
            }
            let choices = start..number(self.choices.len());
            let smallest = self.choices[start as usize..].iter().map(|choice| choice.count).min();
            let smallest = smallest.unwrap_or_default();
            if setting.profile.claim_limit == ClaimLimit::EachRequest
                && smallest > RESULTS_MAX.saturating_sub(devices_at_least)
            {
                let detail = format!(
                    "adding {smallest} devices exceeds the claim limit of {RESULTS_MAX}, with {devices_at_least} already accounted for"
                );
                return Err(request_error(ErrorKind::TooManyDevices, claim, &request.name, &detail));
            }
            // Wraps as upstream's sum does; counts that large come from objects no API server accepted.
            devices_at_least = devices_at_least.wrapping_add(smallest);
            let has_alternatives = !request.first_available.is_empty();
            requests.push(RequestProblem { request, choices, has_alternatives });
        }
        if setting.profile.claim_limit == ClaimLimit::WholeClaim && devices_at_least > RESULTS_MAX {
            let message = format!(
                "claim {}: number of requested devices {devices_at_least} exceeds the claim limit of {RESULTS_MAX}",
                claim.full_name()
            );
            return Err(AllocationError::new(ErrorKind::TooManyDevices, message));
        }

        let mut constraints = Few::None;
        for (index, constraint) in claim.constraints.iter().enumerate() {
            let mut derivations: Vec<Arc<Derivation>> = Vec::new();
            for choice in &mut self.choices[first_choice..] {
                let (request, alternative) = choice.names();
                if !applies_to(&constraint.requests, request, alternative) {
                    continue;
                }
                choice.constraints.push(number(index));
                let derived =
                    compared_attribute(constraint).and_then(|attribute| choice.derived.get(attribute));
                let known = derived.map(|derived| {
                    let known = derivations.iter().position(|other| other.text == derived.text);
                    known.unwrap_or_else(|| {
                        derivations.push(derived.clone());
                        derivations.len() - 1
                    })
                });
                choice.derivations.push(known.map_or(0, |known| number(known) + 1));
            }
            let unsupported = setting.profile.distinct_values == DistinctValues::Unsupported
                && constraint.match_attribute.is_none();
            let compared = Constraint::new(constraint, derivations);
            let Some(constraint) = compared.filter(|_| !unsupported) else {
                let message = format!(
                    "claim {}, constraint #{index}: empty constraint (unsupported constraint type?)",
                    claim.full_name()
                );
                return Err(AllocationError::new(ErrorKind::UnknownConstraint, message));
            };
            constraints.push(constraint);
        }
        self.claims.push(ClaimProblem { claim, requests, constraints });
        Ok(())
    }

    /// Finds out what the constraints compare, and where verdicts are remembered, before a search.
    pub(crate) fn prepare(&mut self, setting: &Setting<'a>) {
        for selector in self.choices.iter_mut().flat_map(|choice| choice.selectors.iter_mut()) {
            if let Some(Verdicts::Each(expression)) = &selector.verdicts {
                selector.verdicts = Some(Verdicts::Column(setting.view.verdicts_of(expression)));
            }
        }
        let lists = setting.features.list_type_attributes;
        for constraint in self.claims.iter_mut().flat_map(|claim| claim.constraints.iter_mut()) {
            constraint.compare_devices(
                setting.inventory,
                setting.view,
                lists,
                setting.profile.distinct_values,
            );
        }
    }

    pub(crate) fn choice(&self, choice: u32) -> &Choice<'a> {
        &self.choices[choice as usize]
    }
}

impl Choice<'_> {
    /// The name that results carry: `request`, or `request/alternative`.
    pub(crate) fn result_name(&self) -> String {
        match self.parent {
            Some(parent) => format!("{parent}/{}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The names of the request and, where the choice is one, of the alternative.
    fn names(&self) -> (&str, Option<&str>) {
        match self.parent {
            Some(parent) => (parent, Some(self.name)),
            None => (self.name, None),
        }
    }

    /// The constraints for this choice, each with which of its values counts.
    pub(crate) fn constraints(&self) -> impl Iterator<Item = (u32, u32)> {
        self.constraints.iter().copied().zip(self.derivations.iter().copied())
    }

    /// Whether the selectors of class and request, and the device's own node selection, select a device. This
    /// does not depend on anything that is allocated.
    pub(crate) fn selects(
        &self,
        setting: &Setting<'_>,
        claim: &ResourceClaim,
        position: u32,
    ) -> Result<bool, AllocationError> {
        let Setting { inventory, view, features, .. } = setting;
        let device_index = view.device(position);
        let device = inventory.device(device_index);
        let has_binding_conditions = device.binding_conditions.as_ref().is_some_and(|list| !list.is_empty());
        if !features.device_binding_and_status && has_binding_conditions {
            return Ok(false);
        }
        for selector in &self.selectors {
            let place = || match selector.source {
                SelectorSource::Class => format!("class {}: selector #{}", self.class.name, selector.index),
                SelectorSource::Request => {
                    format!("claim {}: selector #{}", claim.full_name(), selector.index)
                }
            };
            let Some(verdicts) = &selector.verdicts else {
                let message = format!("{}: CEL expression empty (unsupported selector type?)", place());
                return Err(AllocationError::new(ErrorKind::UnknownSelector, message));
            };
            match verdicts.verdict(inventory, view, position) {
                Verdict::True => {}
                Verdict::False => return Ok(false),
                Verdict::Error => {
                    let on_device = || {
                        let id = &inventory.pool(inventory.pool_of_device(device_index)).id;
                        format!(" on device {id}/{}", device.name)
                    };
                    let named = setting.profile.selector_errors_name_device;
                    let (kind, message) = match verdicts.expression().error(inventory, view, position) {
                        SelectorError::Compile(cause) => {
                            (ErrorKind::CelCompile, format!("{}: CEL compile error: {cause}", place()))
                        }
                        SelectorError::Runtime(cause) => {
                            let device = if named { on_device() } else { String::new() };
                            let hint = if named && cause.contains("no such key:") { KEY_HINT } else { "" };
                            let message = format!("{}{device}: CEL runtime error: {cause}{hint}", place());
                            (ErrorKind::CelRuntime, message)
                        }
                    };
                    return Err(AllocationError::new(kind, message));
                }
            }
        }
        match view.positions[position as usize].node {
            NodeMatch::Yes => Ok(true),
            NodeMatch::No => Ok(false),
            NodeMatch::Faulty(fault) => Err(AllocationError::new(
                ErrorKind::NodeSelector,
                view.faults.get(fault as usize).cloned().unwrap_or_default(),
            )),
        }
    }
}

fn check_gates(
    setting: &Setting<'_>,
    claim: &ResourceClaim,
    request: &DeviceRequest,
) -> Result<(), AllocationError> {
    let Setting { features, profile, .. } = setting;
    if !features.prioritized_list && !request.first_available.is_empty() {
        let detail = "has subrequests, but the DRAPrioritizedList feature is disabled";
        return Err(request_error(ErrorKind::PrioritizedListDisabled, claim, &request.name, detail));
    }
    if features.consumable_capacity || profile.capacity_off == CapacityOff::Ignored {
        return Ok(());
    }
    let detail = "has capacity requests, but the DRAConsumableCapacity feature is disabled";
    if request.exactly.as_ref().is_some_and(|exact| exact.capacity.is_some()) {
        return Err(request_error(ErrorKind::ConsumableCapacityDisabled, claim, &request.name, detail));
    }
    match request.first_available.iter().find(|alternative| alternative.capacity.is_some()) {
        Some(_) if profile.capacity_off == CapacityOff::ErrorOfRequest => {
            Err(request_error(ErrorKind::ConsumableCapacityDisabled, claim, &request.name, detail))
        }
        Some(alternative) => {
            let message = format!("claim {}, subrequest {}: {detail}", claim.full_name(), alternative.name);
            Err(AllocationError::new(ErrorKind::ConsumableCapacityDisabled, message))
        }
        None => Ok(()),
    }
}

fn choose<'a>(
    setting: &Setting<'a>,
    selectors: &mut Selectors,
    claim: &'a ResourceClaim,
    (claim_index, request_index): (u32, u32),
    wanted: &Wanted<'a>,
    known: Option<Vec<u32>>,
) -> Result<(Choice<'a>, Option<Vec<u32>>), AllocationError> {
    let error = |kind, detail: &str| Err(request_error(kind, claim, wanted.name, detail));
    let derived = setting.profile.new_fields != NewFields::Unknown && !wanted.derived_attributes.is_empty();
    if derived && !setting.features.derived_attributes {
        let detail = "cannot handle request with derived attributes, the feature is disabled";
        return error(ErrorKind::DerivedAttributesDisabled, detail);
    }
    if let Some(index) = wanted.selectors.iter().position(|selector| selector.cel.is_none()) {
        let message = format!(
            "claim {}, request {}, selector #{index}: CEL expression empty (unsupported selector type?)",
            claim.full_name(),
            wanted.name
        );
        return Err(AllocationError::new(ErrorKind::UnknownSelector, message));
    }
    if !setting.features.admin_access && wanted.admin_access.is_some() {
        let detail = "admin access is requested, but the feature is disabled";
        return error(ErrorKind::AdminAccessDisabled, detail);
    }
    if wanted.class.is_empty() {
        let detail = "missing device class name (unsupported request type?)";
        return error(ErrorKind::MissingClassName, detail);
    }
    let Some(class) = setting.classes.get(wanted.class) else {
        let detail = format!(
            "could not retrieve device class {0}: deviceclass.resource.k8s.io \"{0}\" not found",
            wanted.class
        );
        return error(ErrorKind::ClassNotFound, &detail);
    };

    let mut uses = Few::None;
    for (source, list) in
        [(SelectorSource::Class, class.selectors.as_slice()), (SelectorSource::Request, wanted.selectors)]
    {
        for (index, selector) in (0_u32..).zip(list) {
            let verdicts = selectors.intern(selector).map(|expression| {
                // Results are not worth remembering for a node that may never be asked about again.
                if setting.is_new_view && expression.is_seen_at_a_glance() {
                    Verdicts::Each(expression.clone())
                } else {
                    Verdicts::Column(setting.view.verdicts_of(expression))
                }
            });
            uses.push(SelectorUse { source, index, verdicts });
        }
    }
    let mut choice = Choice {
        claim: claim_index,
        request: request_index,
        name: wanted.name,
        parent: wanted.parent,
        class,
        selectors: uses,
        count: wanted.count,
        all_devices: None,
        admin_access: wanted.admin_access == Some(true),
        tolerations: wanted.tolerations,
        capacity: wanted.capacity,
        derived: BTreeMap::new(),
        constraints: SmallVec::new(),
        derivations: SmallVec::new(),
    };
    if derived {
        let attributes = wanted.derived_attributes.iter();
        choice.derived = attributes
            .map(|derived| (derived.name.as_str(), selectors.intern_derivation(&derived.expression)))
            .collect();
    }
    let mut selected = None;
    match wanted.mode {
        AllocationMode::ExactCount => {}
        AllocationMode::All => {
            let own = setting.profile.all_selection == AllSelection::Own;
            let mut devices = match known {
                Some(devices) => devices,
                None => {
                    all_devices(setting, claim, &choice, own).or_else(|error| unusable(setting, error))?
                }
            };
            if !own {
                selected = Some(devices.clone());
                let mut with_capacity = Vec::with_capacity(devices.len());
                for position in devices {
                    if has_capacity(setting, claim, &choice, position)? {
                        with_capacity.push(position);
                    }
                }
                devices = with_capacity;
            }
            choice.count = i64::try_from(devices.len()).unwrap_or(i64::MAX);
            choice.all_devices = Some(devices);
        }
        AllocationMode::Other(mode) => {
            return error(ErrorKind::UnknownAllocationMode, &format!("unsupported count mode {mode}"));
        }
    }
    Ok((choice, selected))
}

fn request_error(kind: ErrorKind, claim: &ResourceClaim, request: &str, detail: &str) -> AllocationError {
    AllocationError::new(kind, format!("claim {}, request {request}: {detail}", claim.full_name()))
}

/// Choices and claims are counted with 32 bits; each takes far more than a byte of memory.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a problem has less than 2^32 requests")
}
