//! What of a device an expression can read.

use std::collections::BTreeSet;

use super::steps::{Attribute, Base, By, Qualifier, Steps};
use crate::value::Value;

/// What of a device the result of an expression can depend on. Two devices that agree in all of it (and in
/// whether they can be presented to CEL at all) give the same result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum References {
    /// Possibly everything: the expression uses the device in a way that cannot be followed.
    Everything,
    /// Only these.
    Only(Box<Reads>),
}

/// The parts of a device that an expression reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// `device.driver`
    pub driver: bool,
    /// `device.allowMultipleAllocations`
    pub allow_multiple_allocations: bool,
    /// Attributes as pairs of domain and identifier.
    pub attributes: BTreeSet<(String, String)>,
    /// Domains of which all attributes matter.
    pub attribute_domains: BTreeSet<String>,
    /// Capacities as pairs of domain and identifier.
    pub capacity: BTreeSet<(String, String)>,
    /// Domains of which all capacities matter.
    pub capacity_domains: BTreeSet<String>,
}

/// Follows every attribute of a program back to the device. A domain held in a variable of `cel.bind` counts as
/// read whole.
pub(crate) fn references(steps: &Steps) -> References {
    let mut reads = Reads::default();
    for attribute in &steps.attributes {
        if matches!(attribute.base, Base::Device) && !read(attribute, &mut reads) {
            return References::Everything;
        }
    }
    References::Only(Box::new(reads))
}

/// Notes what one attribute on the device reads; false where that is too much to say.
fn read(attribute: &Attribute, reads: &mut Reads) -> bool {
    let mut path = attribute.qualifiers.iter();
    let Some(field) = path.next().and_then(constant) else { return false };
    match field {
        "driver" => reads.driver = true,
        "allowMultipleAllocations" => reads.allow_multiple_allocations = true,
        "attributes" | "capacity" => {
            let Some(domain) = path.next().and_then(constant) else { return false };
            let id = path.next().and_then(constant);
            let (single, whole) = if field == "attributes" {
                (&mut reads.attributes, &mut reads.attribute_domains)
            } else {
                (&mut reads.capacity, &mut reads.capacity_domains)
            };
            match id {
                Some(id) => single.insert((domain.to_owned(), id.to_owned())),
                None => whole.insert(domain.to_owned()),
            };
        }
        _ => return false,
    }
    true
}

fn constant(qualifier: &Qualifier) -> Option<&str> {
    match &qualifier.by {
        By::Constant(Value::String(text)) => Some(text),
        _ => None,
    }
}
