//! Who holds which device.

use std::collections::BTreeMap;

use crate::objects::{AllocationResult, DeviceId};

/// An allocated claim and what it holds. Part of it must be in the allocated state, else it is not believed.
#[derive(Clone, Debug)]
pub struct Holder<'a> {
    /// Full name of the claim.
    pub claim: String,
    /// Its allocation.
    pub result: &'a AllocationResult,
}

/// Holders by device.
#[derive(Debug, Default)]
pub(crate) struct Holders<'h> {
    by_device: BTreeMap<DeviceId, Vec<&'h Holder<'h>>>,
}

impl<'h> Holders<'h> {
    pub(crate) fn new(holders: &'h [Holder<'h>]) -> Self {
        let mut by_device: BTreeMap<DeviceId, Vec<&'h Holder<'h>>> = BTreeMap::new();
        for holder in holders {
            for result in holder.result.results.iter().filter(|result| result.admin_access != Some(true)) {
                let known = by_device.entry(result.device_id()).or_default();
                if known.last().is_none_or(|last| last.claim != holder.claim) {
                    known.push(holder);
                }
            }
        }
        Self { by_device }
    }

    /// The claims that hold a device.
    pub(crate) fn holders(&self, device: &DeviceId) -> &[&'h Holder<'h>] {
        self.by_device.get(device).map_or(&[], Vec::as_slice)
    }

    /// Their names.
    pub(crate) fn of(&self, device: &DeviceId) -> Vec<String> {
        self.holders(device).iter().map(|holder| holder.claim.clone()).collect()
    }
}
