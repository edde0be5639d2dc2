//! Where devices come from: what a node offers, and what a container with one of them gets.
//!
//! - [`FakeDevices`]: an inventory in a file ([`drayage_crds::DeviceInventory`]), for nodes without hardware.
//! - [`SysfsDevices`]: PCI functions as the kernel shows them.
//! - `nvml` (a feature): NVIDIA GPUs as their management library tells of them.
//! - [`ConfiguredDevices`]: any of them, with opaque configuration ([`drayage_crds::DeviceConfig`]).
//! - [`Undescribed`]: any of them, without metadata files for containers.
//! - [`FaultyDevices`]: any of them, with faults on purpose ([`drayage_crds::DeviceFault`]).

mod configured;
mod fake;
mod faulty;
pub(crate) mod fields;
#[cfg(feature = "nvml")]
pub mod nvml;
mod pool;
mod sysfs;
mod undescribed;

pub use configured::{ConfiguredDevices, configuration};
pub use fake::FakeDevices;
pub use faulty::{Change, Changes, FaultyDevices, read_fault};
pub use fields::Fields;
pub use pool::{Pool, PoolDevice};
pub use sysfs::{SysfsDevices, SysfsFilter};
pub use undescribed::Undescribed;

use std::{io, path::PathBuf, sync::Arc};

use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::{
    cdi::ContainerEdits,
    claims::{AllocatedDevice, ClaimRecord, Devices, HeldDevice},
    kubelet::{ClaimReference, Failure},
};

/// What a source sees of a device when it looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It works.
    Works,
    /// It does not work, for a reason that users may read. The text should not change while the reason does not.
    Faulty(String),
    /// It is not there any more, although it was published.
    Vanished,
    /// Nobody can tell whether it works, for a reason that users may read. A device that was not looked at at all becomes
    /// unknown too, after a while and without a reason.
    Unknown(String),
}

/// What a source sees of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Pool of the device.
    pub pool: String,
    /// Name of the device.
    pub device: String,
    /// What is seen.
    pub condition: Condition,
}

/// Devices of a node. All functions may block.
pub trait DeviceSource: Devices + 'static {
    /// The pools as they are now, whole. A device that is broken is still in its pool.
    ///
    /// # Errors
    ///
    /// Nobody can tell at the moment; what was published before stays.
    fn pools(&self) -> Result<Vec<Pool>, SourceError>;

    /// Looks at every device that [`DeviceSource::pools`] gave last.
    ///
    /// # Errors
    ///
    /// Nobody can tell at the moment: all devices become unknown.
    fn observe(&self) -> Result<Vec<Observation>, SourceError>;

    /// Tells when it is worth to look before the usual time; none from a source that hears of nothing by itself. The number
    /// means nothing.
    fn changed(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// What a person should know who wonders about the devices and what is no error, a sentence each: for example that
    /// there are none because the library that knows them is not there. Logged whenever they change.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A source that cannot tell what it has.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or folder cannot be read.
    #[error("cannot read `{}`: {error}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}`: {message}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A library does not answer as it should.
    #[error("{0}")]
    Library(String),
}

impl<S: Devices + ?Sized> Devices for Box<S> {
    fn check(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        (**self).check(claim, device)
    }

    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        (**self).edits(claim, device)
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        (**self).attributes(device)
    }

    fn opened(&self, records: &[ClaimRecord], boot_id: &str) {
        (**self).opened(records, boot_id);
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        (**self).start(claim, devices)
    }

    fn stop(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        (**self).stop(claim, devices)
    }
}

impl<S: DeviceSource + ?Sized> DeviceSource for Box<S> {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        (**self).pools()
    }

    fn observe(&self) -> Result<Vec<Observation>, SourceError> {
        (**self).observe()
    }

    fn changed(&self) -> Option<watch::Receiver<u64>> {
        (**self).changed()
    }

    fn notes(&self) -> Vec<String> {
        (**self).notes()
    }
}

impl<S: Devices + ?Sized> Devices for Arc<S> {
    fn check(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        (**self).check(claim, device)
    }

    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        (**self).edits(claim, device)
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        (**self).attributes(device)
    }

    fn opened(&self, records: &[ClaimRecord], boot_id: &str) {
        (**self).opened(records, boot_id);
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        (**self).start(claim, devices)
    }

    fn stop(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        (**self).stop(claim, devices)
    }
}

/// Refuses a device that is not there. It may come back, for instance after a driver of the kernel was loaded.
pub(crate) fn missing(pool: &str, device: &str) -> Failure {
    Failure::Transient(format!("device `{device}` of pool `{pool}` does not exist on this node"))
}
