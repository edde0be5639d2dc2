//! Constraints over the devices of a claim: `matchAttribute` and `distinctAttribute`.

use rustc_hash::FxHashMap;

use crate::inventory::{Inventory, NodeView};
use crate::objects::{AttributeValue, Device, DeviceConstraint};
use crate::profile::DistinctMemory;

/// A constraint, and the value of its attribute for each device of a node.
#[derive(Debug)]
pub(crate) struct Constraint<'a> {
    pub(crate) kind: ConstraintKind,
    /// Name of the attribute.
    #[allow(dead_code, reason = "for the diagnosis")]
    pub(crate) attribute: &'a str,
    /// The requests it is for; empty means all.
    requests: &'a [String],
    /// By position.
    values: Vec<AttributeClass>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConstraintKind {
    Match,
    Distinct,
}

/// The value of an attribute, as far as constraints tell values apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AttributeClass {
    /// The device does not have the attribute.
    Missing,
    /// A value that cannot be compared: a list, or none at all.
    Incomparable,
    /// One of the values; equal numbers are equal values of equal type.
    Value(u32),
}

impl<'a> Constraint<'a> {
    /// `None` for a constraint of unknown kind. If both attributes are set, `matchAttribute` counts.
    pub(crate) fn new(
        constraint: &'a DeviceConstraint,
        inventory: &Inventory,
        view: &NodeView,
    ) -> Option<Self> {
        let (kind, attribute) = match (&constraint.match_attribute, &constraint.distinct_attribute) {
            (Some(attribute), _) => (ConstraintKind::Match, attribute.as_str()),
            (None, Some(attribute)) => (ConstraintKind::Distinct, attribute.as_str()),
            (None, None) => return None,
        };
        let mut numbers: FxHashMap<&AttributeValue, u32> = FxHashMap::default();
        let values = view
            .positions
            .iter()
            .map(|position| {
                let driver = &inventory.slice_of(position.device).driver;
                match lookup(inventory.device(position.device), driver, attribute) {
                    None => AttributeClass::Missing,
                    Some(value) if value.is_list() || *value == AttributeValue::Unset => {
                        AttributeClass::Incomparable
                    }
                    Some(value) => {
                        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                        AttributeClass::Value(*numbers.entry(value).or_insert(next))
                    }
                }
            })
            .collect();
        Some(Self { kind, attribute, requests: &constraint.requests, values })
    }

    /// Whether the constraint is for a request, or for one alternative of it.
    pub(crate) fn applies_to(&self, request: &str, alternative: Option<&str>) -> bool {
        self.requests.is_empty()
            || self.requests.iter().any(|name| {
                name == request
                    || alternative.is_some_and(|alternative| {
                        let child = name.strip_prefix(request).and_then(|rest| rest.strip_prefix('/'));
                        child == Some(alternative)
                    })
            })
    }

    pub(crate) fn class(&self, position: u32) -> AttributeClass {
        self.values[position as usize]
    }
}

/// The attribute of a device under a name that may be qualified with the driver's own domain.
pub(crate) fn lookup<'a>(device: &'a Device, driver: &str, attribute: &str) -> Option<&'a AttributeValue> {
    device.attributes.get(attribute).or_else(|| {
        let (domain, id) = attribute.split_once('/')?;
        if domain == driver { device.attributes.get(id) } else { None }
    })
}

/// What a constraint remembers of the devices chosen so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConstraintState {
    /// `matchAttribute`: the first device's value and the number of devices. The value outlives the last
    /// device but means nothing then.
    Match { first: AttributeClass, devices: u32 },
    /// `distinctAttribute` with [`DistinctMemory::LatestOfRequest`]: one value by request, sorted by request.
    LatestOfRequest { values: Vec<(u32, AttributeClass)>, devices: u32 },
    /// `distinctAttribute` with [`DistinctMemory::EveryDevice`]: the values in order of choice.
    EveryDevice { values: Vec<AttributeClass> },
}

impl ConstraintState {
    pub(crate) fn new(kind: ConstraintKind, memory: DistinctMemory) -> Self {
        match (kind, memory) {
            (ConstraintKind::Match, _) => Self::Match { first: AttributeClass::Missing, devices: 0 },
            (ConstraintKind::Distinct, DistinctMemory::LatestOfRequest) => {
                Self::LatestOfRequest { values: Vec::new(), devices: 0 }
            }
            (ConstraintKind::Distinct, DistinctMemory::EveryDevice) => {
                Self::EveryDevice { values: Vec::new() }
            }
        }
    }

    /// Adds a device of a request if the constraint allows it.
    pub(crate) fn add(&mut self, request: u32, class: AttributeClass) -> bool {
        if class == AttributeClass::Missing {
            return false;
        }
        match self {
            Self::Match { first, devices } => {
                if *devices == 0 {
                    *first = class;
                } else if class == AttributeClass::Incomparable || class != *first {
                    return false;
                }
                *devices += 1;
            }
            Self::LatestOfRequest { values, devices } => {
                if *devices > 0 && values.iter().any(|(_, value)| clashes(class, *value)) {
                    return false;
                }
                match values.binary_search_by_key(&request, |(request, _)| *request) {
                    Ok(index) => values[index].1 = class,
                    Err(index) => values.insert(index, (request, class)),
                }
                *devices += 1;
            }
            Self::EveryDevice { values } => {
                if values.iter().any(|value| clashes(class, *value)) {
                    return false;
                }
                values.push(class);
            }
        }
        true
    }

    /// Takes back the latest successful [`add`](Self::add), which was for this request.
    pub(crate) fn remove(&mut self, request: u32) {
        match self {
            Self::Match { devices, .. } => *devices -= 1,
            Self::LatestOfRequest { values, devices } => {
                values.retain(|(other, _)| *other != request);
                *devices -= 1;
            }
            Self::EveryDevice { values } => {
                values.pop();
            }
        }
    }
}

/// Whether a new value and a remembered one may not go together in a `distinctAttribute` constraint.
fn clashes(new: AttributeClass, remembered: AttributeClass) -> bool {
    new == AttributeClass::Incomparable || new == remembered
}
