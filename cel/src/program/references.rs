//! What of a device an expression can read.

use std::collections::BTreeSet;

use super::steps::{Attribute, AttributeId, Base, By, Qualifier, Step, Steps};
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

/// Follows every attribute of a program back to the device, through the variables of `cel.bind`.
pub(crate) fn references(steps: &Steps) -> References {
    let bound: BTreeSet<AttributeId> =
        (0..steps.slots.len()).filter_map(|slot| bound_to(steps, slot)).collect();
    let mut reads = Reads::default();
    for (at, attribute) in steps.attributes.iter().enumerate() {
        // What a variable is bound to counts where the variable is used.
        if bound.contains(&AttributeId::at(at)) {
            continue;
        }
        if let Some(path) = device_path(steps, attribute)
            && !read(&path, &mut reads)
        {
            return References::Everything;
        }
    }
    References::Only(Box::new(reads))
}

/// The attribute a variable stands for. Only `cel.bind` makes variables that start as an attribute; loops start
/// with constants.
fn bound_to(steps: &Steps, slot: usize) -> Option<AttributeId> {
    match steps.step((*steps.slots.get(slot)?)?) {
        Step::Attribute { attribute, presence: false } => Some(*attribute),
        _ => None,
    }
}

/// The qualifiers from the device to what an attribute means; none if it does not come from the device.
fn device_path<'s>(steps: &'s Steps, attribute: &'s Attribute) -> Option<Vec<&'s Qualifier>> {
    let mut path = match attribute.base {
        Base::Device => Vec::new(),
        Base::Variable(slot) => device_path(steps, steps.attribute(bound_to(steps, slot.index())?))?,
        Base::Step(_) | Base::Conditional { .. } => return None,
    };
    path.extend(&attribute.qualifiers);
    Some(path)
}

/// Notes what a path reads; false where that is too much to say.
fn read(path: &[&Qualifier], reads: &mut Reads) -> bool {
    let mut path = path.iter();
    let Some(field) = path.next().and_then(|qualifier| constant(qualifier)) else { return false };
    match field {
        "driver" => reads.driver = true,
        "allowMultipleAllocations" => reads.allow_multiple_allocations = true,
        "attributes" | "capacity" => {
            let Some(domain) = path.next().and_then(|qualifier| constant(qualifier)) else { return false };
            let id = path.next().and_then(|qualifier| constant(qualifier));
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
        By::Constant(Value::String(text), _) => Some(text),
        _ => None,
    }
}
