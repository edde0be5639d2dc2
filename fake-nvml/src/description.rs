//! What the library tells, as data.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::profiles::{self, Profile};

/// Answers of NVML, by their numbers in its header.
pub mod codes {
    /// An argument is none that it takes.
    pub const INVALID_ARGUMENT: u32 = 2;
    /// The device cannot do that.
    pub const NOT_SUPPORTED: u32 = 3;
    /// The process may not do that.
    pub const NO_PERMISSION: u32 = 4;
    /// There is no such thing.
    pub const NOT_FOUND: u32 = 6;
    /// There is no room for the answer.
    pub const INSUFFICIENT_SIZE: u32 = 7;
    /// The kernel's driver is not loaded.
    pub const DRIVER_NOT_LOADED: u32 = 9;
    /// The device does not answer.
    pub const GPU_IS_LOST: u32 = 15;
    /// Library and kernel driver do not fit.
    pub const VERSION_MISMATCH: u32 = 18;
    /// Somebody uses it.
    pub const IN_USE: u32 = 19;
    /// Not enough is left.
    pub const INSUFFICIENT_RESOURCES: u32 = 23;
    /// Anything.
    pub const UNKNOWN: u32 = 999;
}

/// A machine with GPUs, or without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Machine {
    /// Version of the kernel's driver.
    pub driver_version: String,
    /// Newest CUDA that it knows: major by 1000 and minor by 10.
    pub cuda_version: i32,
    /// The GPUs in the order of their indices.
    pub cards: Vec<Card>,
    /// Answers of functions, by their names in the header: one of [`codes`] or any other number.
    pub errors: BTreeMap<String, u32>,
    /// Milliseconds that functions take, by their names.
    pub milliseconds: BTreeMap<String, u64>,
    /// Folder in which GPU instances and compute instances have their files below `proc` and `dev`, if any.
    pub root: Option<PathBuf>,
    /// Events in the order in which they happen. A program hears of each once, if it listens to its kind on its card;
    /// more may be added at the end.
    pub events: Vec<FakeEvent>,
}

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Card {
    /// `GPU-…`
    pub uuid: String,
    /// Name of the product.
    pub name: String,
    /// Number of the product line.
    pub brand: u32,
    /// Number of the architecture.
    pub architecture: u32,
    /// CUDA compute capability, major and minor.
    pub compute_capability: [i32; 2],
    /// Installed memory in octets.
    pub memory: u64,
    /// Number of the device node.
    pub minor: u32,
    /// PCI address with eight digits of the domain.
    pub bus_id: String,
    /// Whether it is in MIG mode; absent where it has none.
    pub mig_mode: Option<bool>,
    /// MIG devices by their indices, which nobody can remove.
    pub mig_devices: Vec<Option<MigDevice>>,
    /// How GPU instances can be made of it in MIG mode.
    pub profiles: Vec<Profile>,
    /// Kinds of events that it tells of, as bits.
    pub event_types: u64,
    /// Answers of functions about this card and its MIG devices.
    pub errors: BTreeMap<String, u32>,
    /// Whether every function that asks for it answers [`codes::GPU_IS_LOST`].
    pub lost: bool,
}

/// A MIG device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MigDevice {
    /// `MIG-…`
    pub uuid: String,
    /// Name of the product with the profile.
    pub name: String,
    /// Number of the GPU instance.
    pub gpu_instance: u32,
    /// Number of the compute instance.
    pub compute_instance: u32,
    /// Compute slices of the GPU instance.
    pub gpu_instance_slices: u32,
    /// Compute slices of the compute instance.
    pub compute_instance_slices: u32,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Copy engines.
    pub copy_engines: u32,
    /// Decoders.
    pub decoders: u32,
    /// Memory in MiB.
    pub memory_mebibytes: u64,
}

/// Something that happens to a card.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FakeEvent {
    /// Index of the card.
    pub card: usize,
    /// Kind: 8 is an XID, 2 a memory error of two bits.
    pub event_type: u64,
    /// The XID.
    pub data: u64,
    /// GPU and compute instance, if it concerns one of MIG.
    pub instance: Option<[u32; 2]>,
}

impl Machine {
    /// A machine with so many GPUs of one kind, each at an address of its own, in no MIG mode.
    pub fn with_cards(count: u32) -> Self {
        Self {
            driver_version: "580.105.08".to_owned(),
            cuda_version: 13000,
            cards: (0..count).map(Card::hopper).collect(),
            ..Self::default()
        }
    }
}

impl Card {
    /// A GPU of 80 GB whose UUID, address and device node follow from its number.
    pub fn hopper(number: u32) -> Self {
        Self {
            uuid: format!("GPU-5ad1c2e0-0000-4000-8000-{number:012x}"),
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            brand: 14,
            architecture: 9,
            compute_capability: [9, 0],
            memory: 81559 << 20,
            minor: number,
            bus_id: format!("00000000:{:02X}:00.0", 0x1a + number),
            mig_mode: Some(false),
            event_types: 0x2 | 0x8,
            ..Self::default()
        }
    }

    /// A GPU of 40 GB of the generation before.
    pub fn ampere(number: u32) -> Self {
        Self {
            name: "NVIDIA A100-SXM4-40GB".to_owned(),
            architecture: 7,
            compute_capability: [8, 0],
            memory: 40536 << 20,
            ..Self::hopper(number)
        }
    }

    /// Switches MIG mode on, with the profiles of its kind and no instances.
    #[must_use]
    pub fn partitionable(mut self) -> Self {
        self.mig_mode = Some(true);
        self.profiles = if self.architecture == 7 { profiles::ampere() } else { profiles::hopper() };
        self
    }

    /// Switches MIG mode on, with a MIG device for each of these profiles.
    #[must_use]
    pub fn divided(mut self, profiles: &[&str]) -> Self {
        self.mig_mode = Some(true);
        self.mig_devices = profiles
            .iter()
            .zip(1..)
            .map(|(profile, instance)| Some(MigDevice::of_profile(&self, profile, instance)))
            .collect();
        self
    }
}

impl MigDevice {
    /// A MIG device of a profile such as `1g.10gb`, alone in its GPU instance.
    fn of_profile(card: &Card, profile: &str, instance: u32) -> Self {
        let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse();
        let slices: u32 = number(profile).unwrap_or(1);
        let memory: u64 = profile.split('.').nth(1).and_then(|text| number(text).ok()).map_or(0, u64::from);
        Self {
            uuid: format!("MIG-{}-{instance}", card.uuid),
            name: format!("{} MIG {profile}", card.name),
            gpu_instance: instance,
            compute_instance: 0,
            gpu_instance_slices: slices,
            compute_instance_slices: slices,
            multiprocessors: 16 * slices,
            copy_engines: slices,
            decoders: slices,
            memory_mebibytes: (memory * 1000).saturating_sub(128),
        }
    }
}
