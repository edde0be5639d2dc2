//! How large the parts of `device` can be, by the limits of the API.

use crate::declarations::SizeEstimate;

/// Attributes and capacities of one device, each.
const MAX_ATTRIBUTES: u64 = 32;
/// Characters of an attribute value; elements of a list value are fewer.
const MAX_VALUE: u64 = 64;
/// Characters of a domain, and of the driver's name.
const MAX_DOMAIN: u64 = 63;
/// Characters of an identifier.
const MAX_ID: u64 = 32;

/// A way from a variable to a part of it.
pub(super) type Path = Vec<Step>;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Items,
    Values,
    Keys,
    Indices,
}

/// The declared type at some point of a path.
#[derive(Clone, Copy)]
enum Declared {
    Device,
    Attributes,
    AttributesOfDomain,
    AttributeValue,
    Capacity,
    CapacityOfDomain,
    /// Anything without parts, with its largest size.
    Leaf(u64),
}

/// The size of what a path leads to; none for paths that lead nowhere known.
pub(super) fn size_of_path(path: &Path) -> Option<SizeEstimate> {
    let (first, rest) = path.split_first()?;
    if *first != Step::Name("device".to_owned()) {
        return None;
    }
    let mut at = Declared::Device;
    for step in rest {
        at = descend(at, step)?;
    }
    let max = match at {
        Declared::Device => 0,
        Declared::Attributes
        | Declared::AttributesOfDomain
        | Declared::Capacity
        | Declared::CapacityOfDomain => MAX_ATTRIBUTES,
        Declared::AttributeValue => MAX_VALUE,
        Declared::Leaf(max) => max,
    };
    Some(SizeEstimate { min: 0, max })
}

fn descend(at: Declared, step: &Step) -> Option<Declared> {
    Some(match (at, step) {
        (Declared::Device, Step::Name(name)) => match name.as_str() {
            "driver" => Declared::Leaf(MAX_DOMAIN),
            "attributes" => Declared::Attributes,
            "capacity" => Declared::Capacity,
            "allowMultipleAllocations" => Declared::Leaf(1),
            _ => return None,
        },
        (Declared::Attributes, Step::Items | Step::Values) => Declared::AttributesOfDomain,
        (Declared::Capacity, Step::Items | Step::Values) => Declared::CapacityOfDomain,
        (Declared::Attributes | Declared::Capacity, Step::Keys) => Declared::Leaf(MAX_DOMAIN),
        // An attribute may also be selected by name; a capacity by name is not followed upstream.
        (Declared::AttributesOfDomain, Step::Items | Step::Values | Step::Name(_) | Step::Indices) => {
            Declared::AttributeValue
        }
        (Declared::CapacityOfDomain, Step::Items | Step::Values) => Declared::Leaf(0),
        (Declared::AttributesOfDomain | Declared::CapacityOfDomain, Step::Keys) => Declared::Leaf(MAX_ID),
        _ => return None,
    })
}
