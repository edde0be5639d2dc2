//! Container Device Interface: one file for each prepared claim tells the container runtime what to put into
//! containers.
//!
//! The directory is usually a tmpfs, so that the files vanish at a reboot while the claims stay prepared. Every prepare
//! therefore verifies its file.

mod directory;
mod spec;

pub use directory::CdiDirectory;
pub use spec::{CdiError, ContainerEdits, Device, DeviceNode, Hook, Mount, Spec};
