//! Devices that an expression cannot tell apart.

use std::hash::{Hash, Hasher};

use drayage_cel::{Reads, References};
use rustc_hash::FxHasher;

use super::{DeviceRef, Inventory};
use crate::objects::{AttributeValue, Device, ResourceSlice};

/// What an expression reads of a device: devices that agree in it give one result.
///
/// Only *plain* devices are compared: those with nothing that CEL could refuse, whatever the expression.
#[derive(Clone, Debug)]
pub(crate) struct Agreement {
    sharing: bool,
    attributes: Vec<Name>,
    /// Domains of which all attributes matter.
    attribute_domains: Vec<String>,
    capacity: Vec<Name>,
    /// Domains of which all capacities matter.
    capacity_domains: Vec<String>,
}

/// A name as slices may write it.
#[derive(Clone, Debug)]
struct Name {
    domain: String,
    id: String,
    /// `domain/id`
    full: String,
}

/// More entries than any slice that the API server accepts; CEL refuses maps that are far larger.
const MOST_ENTRIES: usize = 4_096;

/// Whether nothing of the device can be refused by CEL.
pub(super) fn is_plain(device: &Device) -> bool {
    let plain = |value: &AttributeValue| match value {
        AttributeValue::Int(_) | AttributeValue::Bool(_) | AttributeValue::String(_) => true,
        AttributeValue::Version(text) => text.parse::<drayage_cel::SemanticVersion>().is_ok(),
        _ => false,
    };
    device.attributes.len() + device.capacity.len() < MOST_ENTRIES && device.attributes.values().all(plain)
}

impl Agreement {
    /// `None` if the expression may read everything.
    pub(crate) fn new(references: &References) -> Option<Self> {
        let References::Only(reads) = references else { return None };
        let Reads {
            driver: _,
            allow_multiple_allocations,
            attributes,
            attribute_domains,
            capacity,
            capacity_domains,
        } = reads.as_ref();
        let names = |names: &std::collections::BTreeSet<(String, String)>| {
            let names = names.iter().map(|(domain, id)| Name {
                domain: domain.clone(),
                id: id.clone(),
                full: format!("{domain}/{id}"),
            });
            names.collect()
        };
        Some(Self {
            sharing: *allow_multiple_allocations,
            attributes: names(attributes),
            attribute_domains: attribute_domains.iter().cloned().collect(),
            capacity: names(capacity),
            capacity_domains: capacity_domains.iter().cloned().collect(),
        })
    }

    /// A number that is equal for devices that agree; `None` for a device that is not compared.
    pub(crate) fn fingerprint(&self, inventory: &Inventory, device: DeviceRef) -> Option<u64> {
        if !inventory.is_plain(device) {
            return None;
        }
        let slice = inventory.slice_of(device);
        let device = inventory.device(device);
        let mut hasher = FxHasher::default();
        slice.driver.hash(&mut hasher);
        if self.sharing {
            device.allow_multiple_allocations.unwrap_or(false).hash(&mut hasher);
        }
        for name in &self.attributes {
            name.of(slice, |key| device.attributes.get(key)).hash(&mut hasher);
        }
        for domain in &self.attribute_domains {
            let of_domain = device.attributes.iter().filter(|(name, _)| is_in(name, domain, &slice.driver));
            of_domain.for_each(|entry| entry.hash(&mut hasher));
        }
        for name in &self.capacity {
            name.of(slice, |key| device.capacity.get(key).map(|capacity| &capacity.value)).hash(&mut hasher);
        }
        for domain in &self.capacity_domains {
            let of_domain = device.capacity.iter().filter(|(name, _)| is_in(name, domain, &slice.driver));
            of_domain.for_each(|(name, capacity)| (name, &capacity.value).hash(&mut hasher));
        }
        Some(hasher.finish())
    }

    /// Whether two devices of equal fingerprints agree. The first is given with its slice.
    pub(crate) fn holds(
        &self,
        (slice, index): (&ResourceSlice, u32),
        inventory: &Inventory,
        device: DeviceRef,
    ) -> bool {
        let (other_slice, other) = (inventory.slice_of(device), inventory.device(device));
        let Some(one) = slice.devices.get(index as usize) else { return false };
        let sharing = |device: &Device| device.allow_multiple_allocations.unwrap_or(false);
        slice.driver == other_slice.driver
            && (!self.sharing || sharing(one) == sharing(other))
            && self.attributes.iter().all(|name| {
                let value = |device: &'_ Device| name.of(slice, |key| device.attributes.get(key).cloned());
                value(one) == value(other)
            })
            && self.attribute_domains.iter().all(|domain| {
                let of = |name: &String| is_in(name, domain, &slice.driver);
                let one = one.attributes.iter().filter(|(name, _)| of(name));
                one.eq(other.attributes.iter().filter(|(name, _)| of(name)))
            })
            && self.capacity.iter().all(|name| {
                let one = name.of(slice, |key| one.capacity.get(key));
                let other = name.of(slice, |key| other.capacity.get(key));
                one.iter().zip(&other).all(|pair| match pair {
                    (Some(one), Some(other)) => one.value.same_representation(&other.value),
                    (None, None) => true,
                    _ => false,
                })
            })
            && self.capacity_domains.iter().all(|domain| {
                let of = |name: &String| is_in(name, domain, &slice.driver);
                let mut one = one.capacity.iter().filter(|(name, _)| of(name));
                let mut other = other.capacity.iter().filter(|(name, _)| of(name));
                loop {
                    match (one.next(), other.next()) {
                        (Some(one), Some(other))
                            if one.0 == other.0 && one.1.value.same_representation(&other.1.value) => {}
                        (None, None) => return true,
                        _ => return false,
                    }
                }
            })
    }
}

impl Name {
    /// What stands under the name with its domain, and under the name without where the domain is the driver's.
    fn of<T>(&self, slice: &ResourceSlice, get: impl Fn(&str) -> Option<T>) -> [Option<T>; 2] {
        [get(&self.full), if self.domain == slice.driver { get(&self.id) } else { None }]
    }
}

/// Whether a name belongs to a domain; one without a domain belongs to that of the driver.
fn is_in(name: &str, domain: &str, driver: &str) -> bool {
    name.split_once('/').map_or(driver, |(domain, _)| domain) == domain
}
