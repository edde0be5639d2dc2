//! Errors and undecided answers, explained. Neither is a "no".

use crate::allocator::Allocator;
use crate::answer::Outcome;
use crate::error::{AllocationError, ErrorKind};
use crate::objects::{AllocationMode, DeviceSelector};
use crate::verify::claim::{Ask, asks};

use super::Asked;

/// Why an allocation ends with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorExplanation {
    /// The error.
    pub error: AllocationError,
    /// Full name of the claim that has the fault, if one has it.
    pub claim: Option<String>,
    /// Its request or `request/alternative`, if one has the fault.
    pub request: Option<String>,
    /// The field of the claim or class that is to blame, if one is.
    pub field: Option<String>,
    /// What can be done.
    pub hint: &'static str,
}

/// What was tried before the budget ran out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndecidedExplanation {
    /// Steps that were taken.
    pub steps: u64,
    /// Requests that are to be served together.
    pub requests: usize,
    /// The alternatives there are, over all requests; a request without them counts as one.
    pub alternatives: usize,
    /// The constraints there are, over all claims.
    pub constraints: usize,
    /// What more steps give, if they give anything.
    pub more: Option<MoreSteps>,
}

/// A larger budget that decides the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoreSteps {
    /// The budget.
    pub budget: u64,
    /// Whether there are devices then.
    pub allocated: bool,
}

/// How many times as many steps are tried.
const MORE: u64 = 4;

pub(super) fn undecided(allocator: &mut Allocator, asked: &Asked<'_>, steps: u64) -> UndecidedExplanation {
    let budget = asked.budget.saturating_mul(MORE);
    let more = if asked.effort.suggestions == 0 {
        None
    } else {
        let answer = allocator.allocate(asked.state, asked.node, asked.claims, &mut String::new, budget);
        match answer.outcome {
            Outcome::Allocated(_) => Some(MoreSteps { budget, allocated: true }),
            Outcome::Unsatisfiable { .. } => Some(MoreSteps { budget, allocated: false }),
            Outcome::Error(_) | Outcome::Undecided => None,
        }
    };
    let requests = asked.claims.iter().flat_map(|claim| &claim.requests);
    UndecidedExplanation {
        steps,
        requests: requests.clone().count(),
        alternatives: requests.map(|request| request.first_available.len().max(1)).sum(),
        constraints: asked.claims.iter().map(|claim| claim.constraints.len()).sum(),
        more,
    }
}

/// Where a fault is: claim, request, field.
struct Blame {
    claim: usize,
    request: Option<(usize, String)>,
    field: String,
}

pub(super) fn explain_error(
    allocator: &Allocator,
    asked: &Asked<'_>,
    error: &AllocationError,
) -> ErrorExplanation {
    let blame = blame(allocator, asked, error);
    let claim = blame.as_ref().and_then(|blame| asked.claims.get(blame.claim));
    ErrorExplanation {
        error: error.clone(),
        claim: claim.map(|claim| claim.full_name()),
        request: blame.as_ref().and_then(|blame| Some(blame.request.as_ref()?.1.clone())),
        field: blame.map(|blame| match blame.request {
            Some((at, _)) => format!("spec.devices.requests[{at}].{}", blame.field),
            None => format!("spec.devices.{}", blame.field),
        }),
        hint: hint(error.kind()),
    }
}

/// The first place that has the fault which the kind names.
fn blame(allocator: &Allocator, asked: &Asked<'_>, error: &AllocationError) -> Option<Blame> {
    for (claim, object) in asked.claims.iter().enumerate() {
        for (at, request) in object.requests.iter().enumerate() {
            let empty = request.exactly.is_none() && request.first_available.is_empty();
            if error.kind() == ErrorKind::EmptyRequest && empty {
                let request = Some((at, request.name.clone()));
                return Some(Blame { claim, request, field: "exactly".to_owned() });
            }
            for (place, ask) in asks(object, at).iter().enumerate() {
                if let Some(field) = faulty_field(allocator, ask, error) {
                    let form = match ask.alternative {
                        Some(_) => format!("firstAvailable[{place}]"),
                        None => "exactly".to_owned(),
                    };
                    let field = if field.is_empty() { form } else { format!("{form}.{field}") };
                    return Some(Blame { claim, request: Some((at, ask.result_name())), field });
                }
            }
        }
        for (index, constraint) in object.constraints.iter().enumerate() {
            let empty = constraint.match_attribute.is_none() && constraint.distinct_attribute.is_none();
            let refusing = error.kind() == ErrorKind::AllDevicesConstraint;
            if (error.kind() == ErrorKind::UnknownConstraint && empty) || (refusing && !empty) {
                return Some(Blame { claim, request: None, field: format!("constraints[{index}]") });
            }
        }
        if error.kind() == ErrorKind::TooManyDevices && error.to_string().contains(&object.full_name()) {
            return Some(Blame { claim, request: None, field: "requests".to_owned() });
        }
    }
    None
}

fn faulty_field(allocator: &Allocator, ask: &Ask<'_>, error: &AllocationError) -> Option<String> {
    let class = allocator.class(ask.class);
    match error.kind() {
        ErrorKind::PrioritizedListDisabled => ask.alternative.map(|_| String::new()),
        ErrorKind::ConsumableCapacityDisabled => ask.capacity.map(|_| "capacity".to_owned()),
        ErrorKind::AdminAccessDisabled => ask.admin_access.map(|_| "adminAccess".to_owned()),
        ErrorKind::MissingClassName if ask.class.is_empty() => Some("deviceClassName".to_owned()),
        ErrorKind::ClassNotFound if class.is_none() => Some("deviceClassName".to_owned()),
        ErrorKind::UnknownAllocationMode if matches!(ask.mode, AllocationMode::Other(_)) => {
            Some("allocationMode".to_owned())
        }
        ErrorKind::PoolIncomplete | ErrorKind::PoolInvalid if *ask.mode == AllocationMode::All => {
            Some("allocationMode".to_owned())
        }
        ErrorKind::UnknownSelector => selector(ask.selectors, |selector| selector.cel.is_none()),
        ErrorKind::CelCompile | ErrorKind::CelRuntime => {
            // Upstream's texts end in what CEL says; the request's name is before it.
            let text = error.to_string();
            let named =
                text.contains(&format!("request {}", ask.base_name)) || text.contains(&ask.result_name());
            let index = text.split("selector #").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
            (named && !text.contains("class ")).then(|| format!("selectors[{index}].cel.expression"))
        }
        _ => None,
    }
}

fn selector(selectors: &[DeviceSelector], is_faulty: impl Fn(&DeviceSelector) -> bool) -> Option<String> {
    let index = selectors.iter().position(is_faulty)?;
    Some(format!("selectors[{index}]"))
}

fn hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PrioritizedListDisabled => "turn feature gate `DRAPrioritizedList` on, or use `exactly`",
        ErrorKind::ConsumableCapacityDisabled => {
            "turn feature gate `DRAConsumableCapacity` on, or drop the capacity requests"
        }
        ErrorKind::AdminAccessDisabled => "turn feature gate `DRAAdminAccess` on, or drop `adminAccess`",
        ErrorKind::EmptyRequest => "set `exactly` or `firstAvailable`",
        ErrorKind::UnknownSelector => "write the selector as `cel.expression`; there is no other kind",
        ErrorKind::MissingClassName => "name a device class",
        ErrorKind::ClassNotFound => "create the device class, or name one that exists",
        ErrorKind::UnknownAllocationMode => "use `ExactCount` or `All`",
        ErrorKind::PoolIncomplete => {
            "wait until the driver has published all slices of the pool, or ask for a number of devices"
        }
        ErrorKind::PoolInvalid => "the driver must repair the pool; asking for a number of devices avoids it",
        ErrorKind::TooManyDevices => "split the claim: one claim holds at most 32 devices",
        ErrorKind::UnknownConstraint => "set `matchAttribute` or `distinctAttribute`",
        ErrorKind::CelCompile => "`dray cel check` shows where the expression is wrong",
        ErrorKind::CelRuntime => {
            "test for an attribute before it is read, for example `\"model\" in device.attributes[\"domain\"]`"
        }
        ErrorKind::Capacity => "ask for an amount that is not negative and fits 64 bits after rounding",
        ErrorKind::DerivedAttributesDisabled => {
            "turn feature gate `DRADerivedAttributes` on, or drop `derivedAttributes`"
        }
        ErrorKind::AllDevicesConstraint => {
            "a request for all devices cannot leave one out: drop the constraint, or select fewer devices"
        }
        ErrorKind::NodeSelector | ErrorKind::NodeSelectorTerms => {
            "the driver must repair the node selector of its slices"
        }
        ErrorKind::InvalidPools => "the driver must repair the pool",
        ErrorKind::Panic => "upgrade Kubernetes: kube-scheduler itself stops at this input",
    }
}
