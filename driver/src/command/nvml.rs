//! Arguments about NVIDIA GPUs.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use drayage_driver::devices::{DeviceSource, SourceError};

/// What NVIDIA's container runtime is told to do.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Visible {
    /// Nothing
    Void,
    /// Bring libraries and tools of the driver, and no GPU
    None,
}

/// What a card in MIG mode offers.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OfferedMigDevices {
    /// The MIG devices that it is divided into
    Existing,
    /// All MIG devices that it could be divided into; they are made for claims and removed after them
    Dynamic,
}

#[derive(Args, Debug)]
pub(super) struct NvmlArguments {
    /// Real devices: NVIDIA GPUs, by this library of their driver
    #[arg(
        long,
        env = "NVML",
        value_name = "LIBRARY",
        num_args = 0..=1,
        default_missing_value = "libnvidia-ml.so.1"
    )]
    pub(super) nvml: Option<OsString>,
    /// What a GPU in MIG mode offers; the mode is never switched
    #[arg(long, env = "MIG_DEVICES", value_enum, default_value = "existing")]
    mig_devices: OfferedMigDevices,
    /// Critical errors (XIDs) that programs cause and that say nothing of the GPU
    #[arg(
        long,
        env = "IGNORED_XIDS",
        value_name = "XID",
        value_delimiter = ',',
        num_args = 0..,
        default_value = "13,31,43,45,68,109"
    )]
    ignored_xids: Vec<u64>,
    /// What containers' NVIDIA_VISIBLE_DEVICES tells NVIDIA's container runtime to do
    #[arg(long, env = "NVIDIA_VISIBLE_DEVICES_OF_CONTAINERS", value_enum, default_value = "void")]
    nvidia_visible_devices: Visible,
    /// Folder on the node with the driver's libraries, which containers get as /usr/local/nvidia
    #[arg(long, env = "NVIDIA_LIBRARIES", value_name = "FOLDER")]
    nvidia_libraries: Option<PathBuf>,
    /// Where this program sees the node's /dev
    #[arg(long, env = "HOST_DEV", value_name = "FOLDER", default_value = "/dev")]
    host_dev: PathBuf,
    /// Where this program sees the node's /proc, in which NVIDIA's driver shows the instances of MIG
    #[arg(long, env = "HOST_PROC", value_name = "FOLDER", default_value = "/proc")]
    host_proc: PathBuf,
}

impl NvmlArguments {
    /// The GPUs of this machine.
    #[cfg(feature = "nvml")]
    pub(super) fn source(
        &self,
        node: &str,
        interval: Duration,
    ) -> Result<Box<dyn DeviceSource>, SourceError> {
        use drayage_driver::devices::nvml::{
            LIBRARY, MigDevices, NvmlDevices, NvmlOptions, Roots, VisibleDevices,
        };

        let options = NvmlOptions {
            library: self.nvml.clone().unwrap_or_else(|| LIBRARY.into()),
            ignored_xids: self.ignored_xids.iter().copied().collect(),
            visible_devices: match self.nvidia_visible_devices {
                Visible::Void => VisibleDevices::Void,
                Visible::None => VisibleDevices::None,
            },
            libraries: self.nvidia_libraries.clone(),
            mig_devices: match self.mig_devices {
                OfferedMigDevices::Existing => MigDevices::Existing,
                OfferedMigDevices::Dynamic => MigDevices::Dynamic,
            },
            roots: Roots { dev: self.host_dev.clone(), proc: self.host_proc.clone(), ..Roots::default() },
            interval,
            ..NvmlOptions::default()
        };
        let started = NvmlDevices::start(options, node);
        let devices =
            started.map_err(|error| SourceError::Library(format!("cannot start a thread: {error}")))?;
        Ok(Box::new(devices))
    }

    /// A build without the library has no GPUs.
    #[cfg(not(feature = "nvml"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn source(&self, _: &str, _: Duration) -> Result<Box<dyn DeviceSource>, SourceError> {
        let text = "this build of dray-driver is without the feature `nvml`; the static image is, the one for GPUs is not";
        Err(SourceError::Library(text.to_owned()))
    }
}
