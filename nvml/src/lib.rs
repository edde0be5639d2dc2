//! NVIDIA's management library (NVML), loaded at run time.
//!
//! [`Library::open`] finds it or says why not; [`Library`], [`Device`] and [`EventSet`] are what a driver for Dynamic
//! Resource Allocation asks it for, [`GpuInstance`] and [`ComputeInstance`] what it makes and removes. Every function is looked up by itself: a library of an older release lacks some,
//! and only the call of one that is missing fails. All calls may block for as long as the kernel's driver likes.
//!
//! The bindings are those of `nvml-wrapper-sys`, which are generated from NVIDIA's header, so that no structure is laid
//! out by hand. Unsafe code is in the module `calls` and nowhere else.

mod calls;
mod error;

pub use calls::{ComputeInstance, Device, EventSet, GpuInstance, Library};
pub use error::{Code, Error, OpenError};

/// What a MIG device has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigAttributes {
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Copy engines.
    pub copy_engines: u32,
    /// Decoders.
    pub decoders: u32,
    /// Encoders.
    pub encoders: u32,
    /// JPEG engines.
    pub jpeg_engines: u32,
    /// Optical flow accelerators.
    pub ofa_engines: u32,
    /// Compute slices of the GPU instance.
    pub gpu_instance_slices: u32,
    /// Compute slices of the compute instance.
    pub compute_instance_slices: u32,
    /// Memory in MiB.
    pub memory_mebibytes: u64,
}

/// A way in which GPU instances of a card can be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuInstanceProfile {
    /// The library's number for this kind of card, which [`Device::create_gpu_instance`] takes.
    pub id: u32,
    /// Name, such as `MIG 1g.10gb`; a library of an older release tells none.
    pub name: Option<String>,
    /// How many instances of it a card can have.
    pub instances: u32,
    /// What an instance has. Both numbers of compute slices are those of the whole GPU instance.
    pub has: MigAttributes,
}

/// Where an instance is: memory slices of a card for a GPU instance, compute slices of a GPU instance for a compute
/// instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placement {
    /// The first slice.
    pub start: u32,
    /// How many slices.
    pub size: u32,
}

/// What the library tells of a GPU instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuInstanceInfo {
    /// Number, unique on its card as long as the instance is there.
    pub id: u32,
    /// [`GpuInstanceProfile::id`].
    pub profile: u32,
    /// Memory slices.
    pub placement: Placement,
}

/// A way in which compute instances of a GPU instance can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComputeInstanceProfile {
    /// The library's number, which [`GpuInstance::create_compute_instance`] takes.
    pub id: u32,
    /// Compute slices.
    pub slices: u32,
}

/// Kinds of events, as bits.
pub mod event_types {
    /// A memory error of two bits, which cannot be corrected.
    pub const DOUBLE_BIT_ECC_ERROR: u64 = 2;
    /// A critical error with a number, the XID.
    pub const XID_CRITICAL_ERROR: u64 = 8;
}

/// Something that happened to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'library> {
    /// The device: always a whole GPU.
    pub device: Device<'library>,
    /// What happened: one of [`event_types`].
    pub event_type: u64,
    /// The XID of a critical error.
    pub data: u64,
    /// GPU instance, if it concerns one of MIG.
    pub gpu_instance: Option<u32>,
    /// Compute instance, if it concerns one of MIG.
    pub compute_instance: Option<u32>,
}
