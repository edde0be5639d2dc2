//! NVIDIA GPUs as their management library (NVML) tells of them, each whole or, in MIG mode, as the MIG devices that it
//! is divided into now, or that are made for claims.
//!
//! The library is loaded at run time, and a node without it has an empty pool. It may block for as long as the kernel's
//! driver likes, so it is only called by two threads of its own: one looks at the GPUs again and again, and makes and removes
//! MIG devices, the other waits for critical errors (XIDs). Whatever else is asked is answered from what they saw last. A claim
//! is prepared without a call of the library, unless a MIG device has to be made for it.
//!
//! A device is named after its PCI address, which a reboot does not change; numbers of device nodes do. Attributes and
//! capacities have the names of NVIDIA's own driver, without its domain.

mod describe;
mod edits;
mod events;
mod held;
mod inventory;
mod layout;
mod look;
mod make;
mod work;
mod xid;

pub use edits::VisibleDevices;
pub use xid::OF_PROGRAMS;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt, io,
    path::PathBuf,
    sync::{Arc, MutexGuard},
    thread,
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::{DeviceSource, Observation, Pool, SourceError, missing};
use crate::{
    cdi::ContainerEdits,
    claims::{AllocatedDevice, ClaimRecord, Devices, HeldDevice},
    kubelet::{ClaimReference, Failure},
};
use held::{Held, Part, offers};
use inventory::{Card, Inventory, Partition};
use layout::{Possible, Wanted};
use look::{Shared, State};
use work::Task;

/// What the library is called on a machine that has it.
pub const LIBRARY: &str = "libnvidia-ml.so.1";

/// How GPUs are found and given to containers.
#[derive(Clone, Debug)]
pub struct NvmlOptions {
    /// Name or path of the library, usually [`LIBRARY`].
    pub library: OsString,
    /// XIDs that say nothing of the device, usually [`OF_PROGRAMS`].
    pub ignored_xids: BTreeSet<u64>,
    /// What the variable of NVIDIA's container runtime is set to.
    pub visible_devices: VisibleDevices,
    /// Folder on the node with the libraries of NVIDIA's driver, for containers; none where something else brings them.
    pub libraries: Option<PathBuf>,
    /// Which MIG devices are offered.
    pub mig_devices: MigDevices,
    /// How long a claim waits for a MIG device that is made or removed before it is told that it has to wait.
    pub patience: Duration,
    /// Where this process sees the node's `/sys`, `/proc` and `/dev`.
    pub roots: Roots,
    /// Between two looks at the GPUs.
    pub interval: Duration,
}

impl Default for NvmlOptions {
    fn default() -> Self {
        Self {
            library: LIBRARY.into(),
            ignored_xids: OF_PROGRAMS.into(),
            visible_devices: VisibleDevices::default(),
            libraries: None,
            mig_devices: MigDevices::default(),
            patience: Duration::from_secs(10),
            roots: Roots::default(),
            interval: Duration::from_secs(2),
        }
    }
}

/// Which MIG devices a card in MIG mode offers. The mode itself is never switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MigDevices {
    /// Those that it is divided into now.
    #[default]
    Existing,
    /// All that it could be divided into. The one that a claim gets is made for it and removed after it.
    Dynamic,
}

/// Where this process sees folders of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// The node's `/sys`.
    pub sys: PathBuf,
    /// The node's `/proc`.
    pub proc: PathBuf,
    /// The node's `/dev`.
    pub dev: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { sys: "/sys".into(), proc: "/proc".into(), dev: "/dev".into() }
    }
}

/// The GPUs of a node, in a pool that is named after it.
pub struct NvmlDevices {
    node: String,
    shared: Arc<Shared>,
}

impl fmt::Debug for NvmlDevices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NvmlDevices").field("node", &self.node).finish_non_exhaustive()
    }
}

impl NvmlDevices {
    /// Begins to look, on a thread of its own that ends soon after this is dropped.
    ///
    /// # Errors
    ///
    /// No thread can be had.
    pub fn start(options: NvmlOptions, node: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(options));
        let looking = Arc::clone(&shared);
        thread::Builder::new().name("nvml-look".to_owned()).spawn(move || look::look_on(&looking))?;
        Ok(Self { node: node.to_owned(), shared })
    }

    /// The state, after the first look if that ends soon.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.when(State::has_looked)
    }

    /// A device by its name, offered or not.
    fn find<T>(
        &self,
        device: &AllocatedDevice,
        work: impl FnOnce(&Inventory, &Card, Part<'_>) -> T,
    ) -> Option<T> {
        let state = self.state();
        let inventory = state.inventory.as_ref()?;
        if device.pool != self.node {
            return None;
        }
        if let Some(wanted) = Wanted::of_name(&device.device) {
            let card = inventory.cards.iter().find(|card| card.address == wanted.address)?;
            let possible = card.layout.as_ref()?.find(&wanted)?;
            return Some(work(inventory, card, Part::Possible(possible)));
        }
        // What is there can be used by who has it, whatever is offered.
        let mut devices = offers(inventory, &Held::default(), MigDevices::Existing).into_iter();
        let (card, part) = devices.find(|(card, part)| describe::name(card, *part) == device.device)?;
        Some(work(inventory, card, part))
    }

    /// Whether a mode would offer a device, beside what claims hold now.
    fn is_offered(&self, device: &AllocatedDevice, mode: MigDevices) -> bool {
        let state = self.state();
        let mut offers = state.inventory.iter().flat_map(|all| offers(all, &state.held, mode));
        offers.any(|(card, part)| describe::name(card, part) == device.device)
    }

    /// The MIG devices of a claim that are made for claims.
    fn made_for_claims<'d>(&self, devices: &'d [HeldDevice]) -> impl Iterator<Item = Wanted> + 'd {
        let node = self.node.clone();
        let of_node = move |held: &&HeldDevice| held.pool.as_ref().is_none_or(|pool| *pool == node);
        // Admin access takes nothing, and makes nothing.
        let own = devices.iter().filter(|held| !held.admin_access).filter(of_node);
        own.filter_map(|held| Wanted::of_name(&held.device))
    }
}

/// The MIG device that was made in the place of one that could be, if it is there.
fn made<'card>(card: &'card Card, possible: &Possible) -> Option<&'card Partition> {
    let instance = card.layout.as_ref()?.instance_of(possible)?;
    card.partitions.iter().flatten().find(|partition| partition.instance.0 == instance.id)
}

impl Drop for NvmlDevices {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Devices for NvmlDevices {
    fn check(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        if Wanted::of_name(&device.device).is_none() {
            let is_free = self.is_offered(device, MigDevices::Existing);
            self.edits(claim, device)?;
            // A number that an instance had may be that of another one now.
            let text = "its instance was made for another claim";
            let taken = || Failure::Transient(format!("device `{}`: {text}", device.device));
            return if is_free { Ok(()) } else { Err(taken()) };
        }
        let found = self.find(device, |_, card, part| match part {
            Part::Possible(possible) => (card.clone(), made(card, possible).is_some()),
            Part::Whole | Part::Existing(_) => (card.clone(), true),
        });
        let (card, is_made) = found.ok_or_else(|| missing(&device.pool, &device.device))?;
        let is_offered = self.is_offered(device, MigDevices::Dynamic);
        let what = format!("device `{}`", device.device);
        if device.admin_access && !is_made {
            let text = "admin access makes no MIG device, and no claim has this one now";
            return Err(Failure::Transient(format!("{what}: {text}")));
        }
        if !is_offered {
            let text = "a GPU instance that no claim holds is in the way";
            return Err(Failure::Transient(format!("{what}: {text}")));
        }
        edits::edits(&self.shared.options, &card, None).map(drop)
    }

    fn edits(&self, _: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let found = self.find(device, |_, card, part| match part {
            Part::Whole => Some((card.clone(), None)),
            Part::Existing(partition) => Some((card.clone(), Some(partition.clone()))),
            Part::Possible(possible) => {
                made(card, possible).map(|partition| (card.clone(), Some(partition.clone())))
            }
        });
        let found = found.ok_or_else(|| missing(&device.pool, &device.device))?;
        let not_made = || Failure::Transient(format!("MIG device `{}` is not there", device.device));
        let (card, partition) = found.ok_or_else(not_made)?;
        edits::edits(&self.shared.options, &card, partition.as_ref())
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        self.find(device, |inventory, card, part| {
            let uuid = match part {
                Part::Possible(possible) => made(card, possible).map(|partition| partition.uuid.as_str()),
                Part::Whole | Part::Existing(_) => None,
            };
            describe::attributes(inventory, card, part, uuid)
        })
    }

    fn opened(&self, records: &[ClaimRecord], boot_id: &str) {
        self.shared.change(|state| {
            state.held.know(records, boot_id);
            true
        });
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        for wanted in self.made_for_claims(devices) {
            let name = wanted.name.clone();
            self.shared.state().held.take(&name, &claim.uid);
            self.shared.perform(Task::Make, wanted)?;
            self.shared.state().held.set_made(&name);
        }
        Ok(())
    }

    fn stop(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        let mut all: Vec<Wanted> = self.made_for_claims(devices).collect();
        if devices.is_empty() {
            let names = self.shared.state().held.of_claim(&claim.uid);
            all = names.iter().filter_map(|name| Wanted::of_name(name)).collect();
        }
        for wanted in all {
            let name = wanted.name.clone();
            let is_alone = self.shared.state().held.is_alone(&name, &claim.uid);
            if is_alone {
                self.shared.perform(Task::Remove, wanted)?;
            }
            self.shared.change(|state| {
                state.held.give_up(&name, &claim.uid);
                is_alone
            });
        }
        Ok(())
    }
}

impl DeviceSource for NvmlDevices {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        let state = self.state();
        let mut pool = Pool { name: self.node.clone(), ..Pool::default() };
        // What was seen before stays; that nobody knows how it does is told by `observe`.
        if let Some(inventory) = &state.inventory {
            let mode = self.shared.options.mig_devices;
            let offers = offers(inventory, &state.held, mode);
            let dynamic = inventory.cards.iter().filter(|_| mode == MigDevices::Dynamic);
            let sets = dynamic.filter_map(|card| {
                let layout = card.layout.as_ref()?;
                layout.counter_set(&card.name(), &state.held.foreign(card))
            });
            pool.shared_counters = sets.collect();
            let device = |(card, part)| describe::device(inventory, card, part);
            pool.devices = offers.into_iter().map(device).collect();
        } else if state.no_driver.is_none() {
            let trouble = state.trouble.clone();
            let trouble = trouble.unwrap_or_else(|| "NVML has not answered yet".to_owned());
            return Err(SourceError::Library(trouble));
        }
        Ok(vec![pool])
    }

    fn observe(&self) -> Result<Vec<Observation>, SourceError> {
        let state = self.shared.when(|state| state.has_looked() && state.has_listened());
        let Some(inventory) = &state.inventory else { return Ok(Vec::new()) };
        let observation = |(card, part): (&Card, Part<'_>)| Observation {
            pool: self.node.clone(),
            device: describe::name(card, part),
            condition: state.condition(card, part),
        };
        let offers = offers(inventory, &state.held, self.shared.options.mig_devices);
        Ok(offers.into_iter().map(observation).collect())
    }

    fn changed(&self) -> Option<watch::Receiver<u64>> {
        Some(self.shared.news())
    }

    fn notes(&self) -> Vec<String> {
        let state = self.state();
        let own = state.inventory.iter().flat_map(|inventory| inventory.notes.clone());
        let mode = self.shared.options.mig_devices;
        let foreign = state.inventory.iter().flat_map(|inventory| held::notes(inventory, &state.held, mode));
        own.chain(foreign)
            .chain(state.no_driver.clone())
            .chain(state.trouble.clone())
            .chain(state.listening_trouble())
            .collect()
    }
}
