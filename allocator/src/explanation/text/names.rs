//! Words that all texts need: names of devices, numbers, lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::explanation::fact::{Fact, Given, RequestName};
use crate::explanation::{Explained, Explanation, Needed};
use crate::objects::{AttributeValue, DeviceId, DeviceRequestAllocationResult, DeviceTaint};

/// Names of devices: as much of the end of `driver/pool/device` as tells them apart.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<DeviceId, String>);

impl Names {
    /// For all devices that an explanation names.
    pub(super) fn new(explanation: &Explanation) -> Self {
        let mut devices: BTreeSet<&DeviceId> = BTreeSet::new();
        if let Explained::Unsatisfiable(no) = &explanation.outcome {
            let given = |given: &[Given]| given.iter().map(|one| one.device.clone()).collect::<Vec<_>>();
            let suggested: Vec<DeviceId> =
                no.suggestions.iter().flat_map(|suggestion| given(&suggestion.devices)).collect();
            let nearest = given(&no.nearest.given);
            for fact in no.core.facts.iter().chain(no.facts.iter().map(|fact| &fact.fact)) {
                devices.extend(fact.devices());
                if let Fact::Counter(counter) = fact {
                    devices.extend(counter.holders.iter().map(|holder| &holder.device));
                }
                if let Fact::Groups(groups) = fact {
                    devices.extend(groups.holders.iter().map(|holder| &holder.device));
                }
                if let Fact::Demand(demand) = fact {
                    for form in &demand.forms {
                        if let Needed::All { matching } = &form.needed {
                            devices.extend(matching);
                        }
                    }
                }
                if let Fact::Constraint(constraint) = fact {
                    devices.extend(constraint.examples.values());
                }
            }
            devices.extend(no.nearest.closest.iter().map(|closest| &closest.device));
            devices.extend(nearest.iter().chain(&suggested));
            return Self::of(&devices);
        }
        if let Explained::Allocated(results) = &explanation.outcome {
            let results = results.iter().flat_map(|result| &result.results);
            let given: Vec<DeviceId> = results.map(DeviceRequestAllocationResult::device_id).collect();
            return Self::of(&given.iter().collect());
        }
        Self::default()
    }

    fn of(devices: &BTreeSet<&DeviceId>) -> Self {
        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_pool: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for device in devices {
            *by_name.entry(&device.device).or_default() += 1;
            *by_pool.entry((&device.pool.pool, &device.device)).or_default() += 1;
        }
        let name = |device: &&DeviceId| {
            let (pool, name) = (device.pool.pool.as_str(), device.device.as_str());
            let text = if by_name.get(name) == Some(&1) {
                name.to_owned()
            } else if by_pool.get(&(pool, name)) == Some(&1) {
                format!("{pool}/{name}")
            } else {
                device.to_string()
            };
            ((*device).clone(), text)
        };
        Self(devices.iter().map(name).collect())
    }

    pub(super) fn device(&self, device: &DeviceId) -> String {
        let name = self.0.get(device).cloned().unwrap_or_else(|| device.to_string());
        format!("`{name}`")
    }

    /// The first of some devices, and how many more there are.
    pub(super) fn devices<'n>(&self, devices: impl IntoIterator<Item = &'n DeviceId>) -> String {
        let names: Vec<String> = devices.into_iter().map(|device| self.device(device)).collect();
        some(&names, 3)
    }
}

/// `1 device`, `2 devices`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `one`, `one and two`, `one, two and 3 more`.
pub(super) fn some(names: &[String], shown: usize) -> String {
    if names.len() > shown + 1 {
        let first = names.get(..shown).unwrap_or_default().join(", ");
        return format!("{first} and {} more", names.len() - shown);
    }
    match names.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// A request with its claim.
pub(super) fn request(name: &RequestName) -> String {
    format!("request `{}` of claim `{}`", name.request, name.claim)
}

/// Several requests.
pub(super) fn requests(names: &[RequestName]) -> String {
    match names {
        [only] => request(only),
        names => {
            let names: Vec<String> = names.iter().map(|name| format!("`{}`", name.request)).collect();
            format!("requests {}", some(&names, 3))
        }
    }
}

/// A taint as `kubectl` writes it.
pub(super) fn taint(taint: &DeviceTaint) -> String {
    let DeviceTaint { key, value, effect } = taint;
    if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") }
}

/// An attribute's value as a user would write it.
pub(super) struct Value<'v>(pub(super) &'v AttributeValue);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AttributeValue::Int(int) => write!(f, "{int}"),
            AttributeValue::Bool(bool) => write!(f, "{bool}"),
            AttributeValue::String(text) | AttributeValue::Version(text) => write!(f, "{text:?}"),
            AttributeValue::Ints(list) => write!(f, "{list:?}"),
            AttributeValue::Bools(list) => write!(f, "{list:?}"),
            AttributeValue::Strings(list) | AttributeValue::Versions(list) => write!(f, "{list:?}"),
            AttributeValue::Unset => f.write_str("no value"),
        }
    }
}
