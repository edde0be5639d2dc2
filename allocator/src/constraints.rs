//! Constraints over the devices of a claim: `matchAttribute` and `distinctAttribute`.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use crate::error::{AllocationError, ErrorKind};
use crate::inventory::{DeviceRef, Inventory, NodeView};
use crate::objects::{AttributeValue, Device, DeviceConstraint};
use crate::profile::{DistinctMemory, DistinctValues, Profile};
use crate::selectors::{Derivation, SelectorError};

/// A constraint, and the value of its attribute for each device of a node.
#[derive(Debug)]
pub(crate) struct Constraint<'a> {
    pub(crate) kind: ConstraintKind,
    attribute: &'a str,
    /// The different ways in which requests derive the attribute.
    derivations: Vec<Arc<Derivation>>,
    column: Option<&'a AttributeColumn>,
}

/// The value of one attribute for each device of a view.
#[derive(Debug)]
pub(crate) struct AttributeColumn {
    kind: ConstraintKind,
    attribute: String,
    /// The expressions by which requests derive the attribute (KEP-6080).
    derivations: Vec<Arc<str>>,
    positions: usize,
    /// By position; after the values that devices publish, those of each derivation.
    values: Vec<AttributeClass>,
    /// With gate DRAListTypeAttributes a value is a set. By value: the numbers of its elements, sorted.
    sets: Option<Vec<Vec<u32>>>,
    /// Whether some value is a set of several elements.
    has_larger_sets: bool,
    /// Why a derivation gives no value on a device.
    faults: Vec<AllocationError>,
    /// The positions of each value that is published, rising; once somebody asks.
    places: OnceLock<FxHashMap<u32, Vec<u32>>>,
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
    /// The request derives the attribute, and its expression fails on the device.
    Fault(u32),
}

/// The name of the attribute that a constraint compares, `None` for a constraint of unknown kind.
pub(crate) fn compared_attribute(constraint: &DeviceConstraint) -> Option<&str> {
    constraint.match_attribute.as_deref().or(constraint.distinct_attribute.as_deref())
}

/// Whether a constraint with this list of requests is for a request, or for one alternative of it.
pub(crate) fn applies_to(requests: &[String], request: &str, alternative: Option<&str>) -> bool {
    requests.is_empty()
        || requests.iter().any(|name| {
            name == request
                || alternative.is_some_and(|alternative| {
                    let child = name.strip_prefix(request).and_then(|rest| rest.strip_prefix('/'));
                    child == Some(alternative)
                })
        })
}

impl<'a> Constraint<'a> {
    /// `None` for a constraint of unknown kind. If both attributes are set, `matchAttribute` counts.
    /// `derivations` are the different ways in which requests derive the attribute.
    pub(crate) fn new(constraint: &'a DeviceConstraint, derivations: Vec<Arc<Derivation>>) -> Option<Self> {
        let (kind, attribute) = match (&constraint.match_attribute, &constraint.distinct_attribute) {
            (Some(attribute), _) => (ConstraintKind::Match, attribute.as_str()),
            (None, Some(attribute)) => (ConstraintKind::Distinct, attribute.as_str()),
            (None, None) => return None,
        };
        Some(Self { kind, attribute, derivations, column: None })
    }

    /// Finds out the values of all devices, which everything else here needs.
    pub(crate) fn compare_devices(
        &mut self,
        inventory: &Inventory,
        view: &'a NodeView,
        list_type_attributes: bool,
        distinct_values: DistinctValues,
    ) {
        let Self { kind, attribute, derivations, .. } = self;
        let column = view.attributes.get(
            |column| {
                let texts = derivations.iter().map(|derivation| &derivation.text);
                column.kind == *kind && column.attribute == *attribute && column.derivations.iter().eq(texts)
            },
            || {
                let compared = (list_type_attributes, distinct_values);
                AttributeColumn::new(*kind, attribute, derivations, inventory, view, compared)
            },
        );
        self.column = Some(column);
    }

    fn column(&self) -> &'a AttributeColumn {
        self.column.expect("devices are compared before anything is asked about them")
    }

    /// What the constraint remembers before any device is chosen.
    pub(crate) fn initial_state(&self, profile: Profile) -> ConstraintState {
        match (self.kind, profile.distinct_memory) {
            (ConstraintKind::Match, _) if self.column().sets.is_some() => ConstraintState::Common {
                elements: Vec::new(),
                devices: 0,
                history: profile.common_values_restored.then(Vec::new),
            },
            (ConstraintKind::Match, _) => {
                ConstraintState::Match { first: AttributeClass::Missing, devices: 0 }
            }
            (ConstraintKind::Distinct, DistinctMemory::LatestOfRequest) => {
                ConstraintState::LatestOfRequest { values: Vec::new(), devices: 0 }
            }
            (ConstraintKind::Distinct, DistinctMemory::EveryDevice) => {
                ConstraintState::EveryDevice { values: Vec::new() }
            }
        }
    }

    /// Whether values are compared as sets.
    pub(crate) fn compares_sets(&self) -> bool {
        self.column().sets.is_some()
    }

    /// Whether some value is a set of several elements.
    pub(crate) fn has_larger_sets(&self) -> bool {
        self.column().has_larger_sets
    }

    fn elements(&self, class: AttributeClass) -> &[u32] {
        match (&self.column().sets, class) {
            (Some(sets), AttributeClass::Value(value)) => sets.get(value as usize).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    /// Whether a new value and a remembered one may not go together in a `distinctAttribute` constraint.
    fn clashes(&self, new: AttributeClass, remembered: AttributeClass) -> bool {
        if self.column().sets.is_some() {
            let others = self.elements(remembered);
            self.elements(new).iter().any(|element| others.contains(element))
        } else {
            new == AttributeClass::Incomparable || new == remembered
        }
    }

    /// The value for a device: 0 for the published attribute, else for this derivation.
    pub(crate) fn class(&self, derivation: u32, position: u32) -> AttributeClass {
        self.column().values[derivation as usize * self.column().positions + position as usize]
    }

    /// The first position from this one on that publishes this value.
    pub(crate) fn next_of(&self, value: u32, position: u32) -> Option<u32> {
        let places = self.column().places.get_or_init(|| self.column().places_of_values());
        let places = places.get(&value)?;
        places.get(places.partition_point(|place| *place < position)).copied()
    }

    /// How many values each device has: one, and one for each derivation.
    pub(crate) fn kinds_of_values(&self) -> u32 {
        u32::try_from(self.column().derivations.len()).map_or(u32::MAX, |derived| derived.saturating_add(1))
    }

    /// The error of a [fault](AttributeClass::Fault).
    pub(crate) fn fault(&self, class: AttributeClass) -> Option<&AllocationError> {
        match class {
            AttributeClass::Fault(fault) => self.column().faults.get(fault as usize),
            AttributeClass::Missing | AttributeClass::Incomparable | AttributeClass::Value(_) => None,
        }
    }
}

impl AttributeColumn {
    /// Whether lists can be compared is the same for all columns of a view.
    fn new(
        kind: ConstraintKind,
        attribute: &str,
        derivations: &[Arc<Derivation>],
        inventory: &Inventory,
        view: &NodeView,
        (list_type_attributes, distinct_values): (bool, DistinctValues),
    ) -> Self {
        let mut found: Vec<Found<'_>> = Vec::with_capacity(view.positions.len() * (1 + derivations.len()));
        found.extend(view.positions.iter().map(|position| {
            let driver = &inventory.slice_of(position.device).driver;
            match lookup(inventory.device(position.device), driver, attribute) {
                Some(value) => Found::Value(Cow::Borrowed(value)),
                None => Found::Missing,
            }
        }));
        let mut faults = Vec::new();
        for derivation in derivations {
            found.extend(view.positions.iter().map(|position| {
                match derivation.value(&inventory.cel_device(position.device, true)) {
                    Ok(value) => Found::Value(Cow::Owned(value)),
                    Err(fault) => {
                        faults.push(derivation_error(attribute, &fault, inventory, position.device));
                        Found::Fault(u32::try_from(faults.len() - 1).unwrap_or(u32::MAX))
                    }
                }
            }));
        }
        let (values, sets) = if list_type_attributes {
            let (values, sets) = classes_of_sets(&found, kind);
            (values, Some(sets))
        } else {
            (classes_of_values(&found), None)
        };
        let by_place = kind == ConstraintKind::Distinct && distinct_values == DistinctValues::Places;
        let values = if by_place { told_apart_by_place(values) } else { values };
        let has_larger_sets = sets.iter().flatten().any(|set| set.len() > 1);
        Self {
            kind,
            attribute: attribute.to_owned(),
            derivations: derivations.iter().map(|derivation| derivation.text.clone()).collect(),
            positions: view.positions.len(),
            values,
            sets,
            has_larger_sets,
            faults,
            places: OnceLock::new(),
        }
    }

    fn places_of_values(&self) -> FxHashMap<u32, Vec<u32>> {
        let mut places: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for (position, value) in (0_u32..).zip(self.values.iter().take(self.positions)) {
            if let AttributeClass::Value(value) = value {
                places.entry(*value).or_default().push(position);
            }
        }
        places
    }
}

/// What looking an attribute up gives.
enum Found<'v> {
    Missing,
    Value(Cow<'v, AttributeValue>),
    /// The number of the fault.
    Fault(u32),
}

fn derivation_error(
    attribute: &str,
    fault: &SelectorError,
    inventory: &Inventory,
    device: DeviceRef,
) -> AllocationError {
    match fault {
        SelectorError::Compile(cause) => AllocationError::new(
            ErrorKind::CelCompile,
            format!("compile derived attribute {attribute} failed: {cause}"),
        ),
        SelectorError::Runtime(cause) => {
            let id = &inventory.pool(inventory.pool_of_device(device)).id;
            let name = &inventory.device(device).name;
            let message =
                format!("evaluate derived attribute {attribute} on device {id}/{name} failed: {cause}");
            AllocationError::new(ErrorKind::CelRuntime, message)
        }
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
    /// `matchAttribute` over sets: the elements all devices have in common and the number of devices, and where
    /// undoing a device restores what was common before, that for each device.
    Common { elements: Vec<u32>, devices: u32, history: Option<Vec<Vec<u32>>> },
    /// `distinctAttribute` with [`DistinctMemory::LatestOfRequest`]: one value by request, sorted by request.
    LatestOfRequest { values: Vec<(u32, AttributeClass)>, devices: u32 },
    /// `distinctAttribute` with [`DistinctMemory::EveryDevice`]: the values in order of choice.
    EveryDevice { values: Vec<AttributeClass> },
}

impl ConstraintState {
    /// Adds a device of a request if the constraint allows it.
    pub(crate) fn add(&mut self, constraint: &Constraint<'_>, request: u32, class: AttributeClass) -> bool {
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
            Self::Common { elements, devices, history } => {
                let new = constraint.elements(class);
                let common: Vec<u32> = if *devices == 0 {
                    new.to_vec()
                } else {
                    elements.iter().copied().filter(|element| new.contains(element)).collect()
                };
                if common.is_empty() {
                    return false;
                }
                let before = std::mem::replace(elements, common);
                if let Some(history) = history {
                    history.push(before);
                }
                *devices += 1;
            }
            Self::LatestOfRequest { values, devices } => {
                let unusable = constraint.compares_sets() && class == AttributeClass::Incomparable;
                if *devices > 0
                    && (unusable || values.iter().any(|(_, value)| constraint.clashes(class, *value)))
                {
                    return false;
                }
                match values.binary_search_by_key(&request, |(request, _)| *request) {
                    Ok(index) => values[index].1 = class,
                    Err(index) => values.insert(index, (request, class)),
                }
                *devices += 1;
            }
            Self::EveryDevice { values } => {
                // Releases that remember every device do not take a value for a set that is none, even the first.
                let unusable = constraint.compares_sets() && class == AttributeClass::Incomparable;
                if unusable || values.iter().any(|value| constraint.clashes(class, *value)) {
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
            Self::Common { elements, devices, history } => {
                *devices -= 1;
                if let Some(before) = history.as_mut().and_then(Vec::pop) {
                    *elements = before;
                }
            }
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

/// Values told apart as they are; lists cannot be compared.
fn classes_of_values(found: &[Found<'_>]) -> Vec<AttributeClass> {
    let mut numbers: FxHashMap<&AttributeValue, u32> = FxHashMap::default();
    let mut classes = Vec::with_capacity(found.len());
    for found in found {
        classes.push(match found {
            Found::Missing => AttributeClass::Missing,
            Found::Fault(fault) => AttributeClass::Fault(*fault),
            Found::Value(value) if value.is_list() || **value == AttributeValue::Unset => {
                AttributeClass::Incomparable
            }
            Found::Value(value) => {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                AttributeClass::Value(*numbers.entry(value.as_ref()).or_insert(next))
            }
        });
    }
    classes
}

/// Each value equal to nothing but itself.
fn told_apart_by_place(values: Vec<AttributeClass>) -> Vec<AttributeClass> {
    let places = (0_u32..).zip(values).map(|(position, value)| match value {
        AttributeClass::Value(_) => AttributeClass::Value(position),
        other => other,
    });
    places.collect()
}

/// Values told apart as sets of elements; a scalar is a set of one. A device whose set is empty is refused by
/// `matchAttribute` like one without the attribute.
fn classes_of_sets(found: &[Found<'_>], kind: ConstraintKind) -> (Vec<AttributeClass>, Vec<Vec<u32>>) {
    let mut numbers: FxHashMap<AttributeValue, u32> = FxHashMap::default();
    let mut sets: Vec<Vec<u32>> = Vec::new();
    let mut class = |found: &Found<'_>| {
        let value = match found {
            Found::Missing => return AttributeClass::Missing,
            Found::Fault(fault) => return AttributeClass::Fault(*fault),
            Found::Value(value) => value,
        };
        let mut set: Vec<u32> = elements_of(value)
            .into_iter()
            .map(|element| {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                *numbers.entry(element).or_insert(next)
            })
            .collect();
        set.sort_unstable();
        set.dedup();
        match kind {
            ConstraintKind::Match if set.is_empty() => AttributeClass::Missing,
            ConstraintKind::Distinct if set.is_empty() => AttributeClass::Incomparable,
            _ => {
                let number = sets.iter().position(|other| *other == set).unwrap_or_else(|| {
                    sets.push(set);
                    sets.len() - 1
                });
                AttributeClass::Value(u32::try_from(number).unwrap_or(u32::MAX))
            }
        }
    };
    let values = found.iter().map(&mut class).collect();
    (values, sets)
}

fn elements_of(value: &AttributeValue) -> Vec<AttributeValue> {
    match value {
        AttributeValue::Ints(list) => list.iter().copied().map(AttributeValue::Int).collect(),
        AttributeValue::Bools(list) => list.iter().copied().map(AttributeValue::Bool).collect(),
        AttributeValue::Strings(list) => list.iter().cloned().map(AttributeValue::String).collect(),
        AttributeValue::Versions(list) => list.iter().cloned().map(AttributeValue::Version).collect(),
        AttributeValue::Unset => Vec::new(),
        scalar => vec![scalar.clone()],
    }
}
