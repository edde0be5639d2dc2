//! Which MIG devices were made for which claims, and what is offered beside them.

use std::collections::{BTreeMap, BTreeSet};

use drayage_nvml::GpuInstanceInfo;

use super::{
    MigDevices,
    inventory::{Card, Inventory, Partition},
    layout::{Possible, Wanted, overlap},
};
use crate::claims::{ClaimRecord, State};

/// MIG devices that claims hold, by their names.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Whether the records of claims are known. Before that nobody can tell what belongs to nobody.
    is_known: bool,
    devices: BTreeMap<String, HeldDevice>,
}

#[derive(Debug, Default)]
struct HeldDevice {
    /// UIDs of claims: one, but for records that were rebuilt and do not tell admin access.
    claims: BTreeSet<String>,
    /// An instance that is there was made for them.
    is_ours: bool,
    /// It was made since the machine started, so it should be there.
    is_made: bool,
}

impl Held {
    /// Takes in the records with which the driver starts.
    pub(super) fn know(&mut self, records: &[ClaimRecord], boot_id: &str) {
        self.is_known = true;
        for record in records {
            let made = record.state == State::Prepared && record.boot_id == boot_id;
            for held in record.holds.iter().filter(|held| !held.admin_access) {
                if Wanted::of_name(&held.device).is_some() {
                    let device = self.devices.entry(held.device.clone()).or_default();
                    device.claims.insert(record.claim.uid.clone());
                    // The record is written before anything is made.
                    device.is_ours = true;
                    device.is_made |= made;
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.devices.contains_key(name)
    }

    /// A claim holds a device from now on.
    pub(super) fn take(&mut self, name: &str, uid: &str) {
        self.devices.entry(name.to_owned()).or_default().claims.insert(uid.to_owned());
    }

    /// The devices that a claim holds.
    pub(super) fn of_claim(&self, uid: &str) -> Vec<String> {
        let holds = self.devices.iter().filter(|(_, device)| device.claims.contains(uid));
        holds.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a claim is the only one that holds a device.
    pub(super) fn is_alone(&self, name: &str, uid: &str) -> bool {
        let claims = self.devices.get(name).map(|device| &device.claims);
        claims.is_none_or(|claims| claims.iter().all(|claim| claim == uid))
    }

    /// A claim has given a device up.
    pub(super) fn give_up(&mut self, name: &str, uid: &str) {
        let Some(device) = self.devices.get_mut(name) else { return };
        device.claims.remove(uid);
        if device.claims.is_empty() {
            self.devices.remove(name);
        }
    }

    pub(super) fn is_ours(&self, name: &str) -> bool {
        self.devices.get(name).is_some_and(|device| device.is_ours)
    }

    pub(super) fn set_ours(&mut self, name: &str, is_ours: bool) {
        if let Some(device) = self.devices.get_mut(name) {
            device.is_ours = is_ours;
        }
    }

    pub(super) fn set_made(&mut self, name: &str) {
        if let Some(device) = self.devices.get_mut(name) {
            device.is_made = true;
        }
    }

    /// Whether the instance of a device should be there.
    pub(super) fn is_made(&self, name: &str) -> bool {
        self.devices.get(name).is_some_and(|device| device.is_made)
    }

    /// Instances of a card that no claim holds: another program or a person made them, or the record of their claim is lost.
    pub(super) fn foreign(&self, card: &Card) -> Vec<GpuInstanceInfo> {
        let instances = card.layout.iter().flat_map(|layout| &layout.instances);
        let is_held = |name: Option<String>| {
            name.is_some_and(|name| self.devices.get(&name).is_some_and(|it| it.is_ours))
        };
        let foreign =
            |instance: &&GpuInstanceInfo| self.is_known && !is_held(card.name_of_instance(instance));
        instances.filter(foreign).copied().collect()
    }

    /// Whether a MIG device that is there was made for a claim, which has it under the name of its place.
    fn was_made(&self, card: &Card, partition: &Partition) -> bool {
        let prefix = format!("{}-mig-", card.name());
        if !self.devices.keys().any(|name| name.starts_with(&prefix)) {
            return false;
        }
        // Until it is known which one it is, none is offered.
        let Some(layout) = &card.layout else { return true };
        let instance = layout.instances.iter().find(|instance| instance.id == partition.instance.0);
        instance
            .and_then(|instance| card.name_of_instance(instance))
            .is_none_or(|name| self.devices.contains_key(&name))
    }
}

/// What a device is of its card.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'card> {
    /// All of it.
    Whole,
    /// A MIG device that is there.
    Existing(&'card Partition),
    /// A MIG device that is made for a claim.
    Possible(&'card Possible),
}

/// Everything that can be given out: cards that are whole, and MIG devices with their cards.
pub(super) fn offers<'card>(
    inventory: &'card Inventory,
    held: &Held,
    mode: MigDevices,
) -> Vec<(&'card Card, Part<'card>)> {
    let mut offers = Vec::new();
    for card in &inventory.cards {
        let Some(partitions) = &card.partitions else {
            offers.push((card, Part::Whole));
            continue;
        };
        match mode {
            MigDevices::Existing => {
                let free = partitions.iter().filter(|partition| !held.was_made(card, partition));
                offers.extend(free.map(|partition| (card, Part::Existing(partition))));
            }
            MigDevices::Dynamic => {
                let foreign = held.foreign(card);
                let name = card.name();
                let free = |possible: &&Possible| {
                    held.has(&possible.name(&name))
                        || !foreign.iter().any(|there| overlap(there.placement, possible.placement))
                };
                let possible = card.layout.iter().flat_map(|layout| &layout.possible);
                offers.extend(possible.filter(free).map(|possible| (card, Part::Possible(possible))));
            }
        }
    }
    offers
}

/// What a person should know of instances that are in the way.
pub(super) fn notes(inventory: &Inventory, held: &Held, mode: MigDevices) -> Vec<String> {
    let mut notes = Vec::new();
    for card in inventory.cards.iter().filter(|_| mode == MigDevices::Dynamic) {
        for instance in held.foreign(card) {
            let what = card.layout.as_ref().and_then(|layout| layout.device_of(&instance));
            let what = what.map_or(String::new(), |device| format!(" ({})", device.profile));
            notes.push(format!(
                "GPU instance {}{what} of GPU `{}` at memory slice {} was made by somebody else, or the record of its claim is \
                 lost; MIG devices that overlap it are not offered until somebody removes it",
                instance.id, card.address, instance.placement.start
            ));
        }
    }
    notes
}
