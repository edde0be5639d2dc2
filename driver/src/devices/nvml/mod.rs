//! NVIDIA GPUs as their management library (NVML) tells of them, each whole or, in MIG mode, as the MIG devices that it
//! is divided into now.
//!
//! The library is loaded at run time, and a node without it has an empty pool. It may block for as long as the kernel's
//! driver likes, so it is only called by two threads of its own: one looks at the GPUs again and again, the other waits
//! for critical errors (XIDs). Whatever else is asked is answered from what they saw last, and a claim is prepared
//! without a call of the library.
//!
//! A device is named after its PCI address, which a reboot does not change; numbers of device nodes do. Attributes and
//! capacities have the names of NVIDIA's own driver, without its domain.

mod describe;
mod edits;
mod events;
mod inventory;
mod look;
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
    claims::{AllocatedDevice, Devices, HeldDevice},
    kubelet::{ClaimReference, Failure},
};
use inventory::{Card, Inventory, Partition};
use look::{Shared, State};

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
            roots: Roots::default(),
            interval: Duration::from_secs(2),
        }
    }
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

    /// A device by its name.
    fn find<T>(
        &self,
        device: &AllocatedDevice,
        work: impl FnOnce(&Inventory, &Card, Option<&Partition>) -> T,
    ) -> Option<T> {
        let state = self.state();
        let inventory = state.inventory.as_ref()?;
        if device.pool != self.node {
            return None;
        }
        let mut devices = inventory.devices();
        let (card, partition) =
            devices.find(|(card, partition)| describe::name(card, *partition) == device.device)?;
        Some(work(inventory, card, partition))
    }
}

impl Drop for NvmlDevices {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Devices for NvmlDevices {
    fn edits(&self, _: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let found = self.find(device, |_, card, partition| (card.clone(), partition.cloned()));
        let (card, partition) = found.ok_or_else(|| missing(&device.pool, &device.device))?;
        edits::edits(&self.shared.options, &card, partition.as_ref())
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        self.find(device, describe::attributes)
    }

    fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }
}

impl DeviceSource for NvmlDevices {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        let state = self.state();
        let mut pool = Pool { name: self.node.clone(), ..Pool::default() };
        // What was seen before stays; that nobody knows how it does is told by `observe`.
        if let Some(inventory) = &state.inventory {
            let device = |(card, partition)| describe::device(inventory, card, partition);
            pool.devices = inventory.devices().map(device).collect();
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
        let observation = |(card, partition): (&Card, Option<&Partition>)| Observation {
            pool: self.node.clone(),
            device: describe::name(card, partition),
            condition: state.condition(card, partition),
        };
        Ok(inventory.devices().map(observation).collect())
    }

    fn changed(&self) -> Option<watch::Receiver<u64>> {
        Some(self.shared.news())
    }

    fn notes(&self) -> Vec<String> {
        let state = self.state();
        let own = state.inventory.iter().flat_map(|inventory| inventory.notes.clone());
        own.chain(state.no_driver.clone())
            .chain(state.trouble.clone())
            .chain(state.listening_trouble())
            .collect()
    }
}
