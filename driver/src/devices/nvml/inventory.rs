//! The GPUs as the library tells of them, as data.

use drayage_nvml::{Code, Device, Error, Library, MigAttributes};

use super::{Roots, layout::Layout};
use crate::devices::sysfs;

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Card {
    /// The library's number of it.
    pub(super) index: u32,
    /// PCI address as the kernel writes it, `0000:65:00.0`.
    pub(super) address: String,
    /// `GPU-…`
    pub(super) uuid: String,
    /// Name of the product.
    pub(super) product: Option<String>,
    /// The library's number of the product line.
    pub(super) brand: Option<u32>,
    /// The library's number of the architecture.
    pub(super) architecture: Option<u32>,
    /// CUDA compute capability, major and minor.
    pub(super) compute_capability: Option<(u32, u32)>,
    /// Installed memory, in octets.
    pub(super) memory: Option<u64>,
    /// Number of its device node, `/dev/nvidiaN`.
    pub(super) minor: Option<u32>,
    /// NUMA node.
    pub(super) numa_node: Option<i64>,
    /// The root complex that it is below, `pciDDDD:BB`.
    pub(super) pcie_root: Option<String>,
    /// What it is divided into, in MIG mode.
    pub(super) partitions: Option<Vec<Partition>>,
    /// How it could be divided, in MIG mode, if that was asked and can be told.
    pub(super) layout: Option<Layout>,
    /// Why it does not answer; what is known of it is from before then.
    pub(super) lost: Option<String>,
}

/// A MIG device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partition {
    /// `MIG-…`
    pub(super) uuid: String,
    /// Its profile as NVIDIA writes it, such as `1g.10gb`.
    pub(super) profile: String,
    /// GPU instance and compute instance.
    pub(super) instance: (u32, u32),
    /// What it has.
    pub(super) attributes: Option<MigAttributes>,
}

/// The GPUs of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// Version of the kernel's driver.
    pub(super) driver_version: Option<String>,
    /// Newest CUDA that it knows, major and minor.
    pub(super) cuda_version: Option<(u32, u32)>,
    /// The GPUs in the order of their addresses.
    pub(super) cards: Vec<Card>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

impl Card {
    /// Name of the card as a device, and the beginning of the names of its MIG devices.
    pub(super) fn name(&self) -> String {
        format!("gpu-{}", self.address.replace([':', '.'], "-"))
    }
}

impl Inventory {
    /// Whether a card has a GPU instance; none if its instances were not looked at.
    pub(super) fn has_instance(&self, address: &str, instance: u32) -> Option<bool> {
        let card = self.cards.iter().find(|card| card.address == address)?;
        Some(card.layout.as_ref()?.instances.iter().any(|there| there.id == instance))
    }

    /// Looks at the GPUs, and with `layouts` also at how those in MIG mode could be divided. `before` is what was seen last: a
    /// card that does not answer any more is known from there.
    ///
    /// # Errors
    ///
    /// The library does not answer at all.
    pub(super) fn read(
        library: &Library,
        before: Option<&Self>,
        roots: &Roots,
        layouts: bool,
    ) -> Result<Self, Error> {
        let mut inventory = Self {
            driver_version: optional(library.driver_version())?,
            cuda_version: optional(library.cuda_version())?,
            ..Self::default()
        };
        // Another release of the library may tell otherwise.
        let same = before.filter(|before| before.driver_version == inventory.driver_version);
        let known = layouts.then(|| same.map_or(&[][..], |before| &before.cards));
        let mut silent = Vec::new();
        for index in 0..library.count()? {
            let read = library
                .device(index)
                .and_then(|device| card(index, device, roots, known, &mut inventory.notes));
            match read {
                Ok(card) => inventory.cards.push(card),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => silent.push((index, error)),
            }
        }
        inventory.keep_lost(before, &silent);
        inventory.cards.sort_by(|one, other| one.address.cmp(&other.address));
        if inventory.cards.is_empty() {
            inventory.notes.push("NVML finds no GPU that it may use on this node".to_owned());
        }
        Ok(inventory)
    }

    /// Cards that were there and of which nothing is heard. Without an index that does not answer they were taken away.
    fn keep_lost(&mut self, before: Option<&Self>, silent: &[(u32, Error)]) {
        let gone: Vec<Card> = before
            .iter()
            .flat_map(|before| &before.cards)
            .filter(|card| !self.cards.iter().any(|there| there.address == card.address))
            .cloned()
            .collect();
        for (index, error) in silent {
            if !gone.iter().any(|card| card.index == *index) {
                self.notes.push(format!("GPU {index} cannot be used: {error}"));
            }
        }
        let Some((_, any)) = silent.first() else { return };
        for mut card in gone {
            let of_it = silent.iter().find(|(index, _)| *index == card.index).map_or(any, |(_, error)| error);
            card.lost = Some(of_it.text.clone());
            self.cards.push(card);
        }
    }
}

/// Whether the whole library has to be loaded anew.
fn is_fatal(error: &Error) -> bool {
    matches!(error.code, Code::Uninitialized | Code::DriverNotLoaded | Code::VersionMismatch)
}

/// What older libraries, small cards and virtual ones do not tell is left out. A card that does not answer is another
/// matter.
fn optional<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_fatal(&error) => Err(error),
        Err(error) if matches!(error.code, Code::GpuIsLost | Code::ResetRequired) => Err(error),
        Err(_) => Ok(None),
    }
}

fn card(
    index: u32,
    device: Device<'_>,
    roots: &Roots,
    layouts: Option<&[Card]>,
    notes: &mut Vec<String>,
) -> Result<Card, Error> {
    let address = kernel_address(&device.bus_id()?);
    let folder = roots.sys.join("bus/pci/devices").join(&address);
    let in_parts = match device.mig_mode() {
        Ok(mode) => mode,
        // Cards and libraries without MIG. Any other error must not make a divided card look whole.
        Err(error) if matches!(error.code, Code::Lacking | Code::NotSupported) => false,
        Err(error) => return Err(error),
    };
    let partitions = if in_parts { Some(partitions(device)?) } else { None };
    let memory = optional(device.memory())?;
    let uuid = device.uuid()?;
    let layout = match layouts.filter(|_| in_parts) {
        None => None,
        Some(before) => {
            let same = before.iter().find(|card| card.uuid == uuid).and_then(|card| card.layout.as_ref());
            layout(device, &address, memory, same, notes)?
        }
    };
    if partitions.as_ref().is_some_and(Vec::is_empty) && layouts.is_none() {
        notes.push(format!("GPU `{address}` is in MIG mode and is not divided, so it offers nothing"));
    }
    Ok(Card {
        index,
        uuid,
        product: optional(device.name())?,
        brand: optional(device.brand())?,
        architecture: optional(device.architecture())?,
        compute_capability: optional(device.compute_capability())?,
        memory,
        minor: optional(device.minor())?,
        numa_node: sysfs::numa_node(&folder),
        pcie_root: sysfs::pcie_root(&folder),
        partitions,
        layout,
        lost: None,
        address,
    })
}

/// How a card in MIG mode could be divided.
fn layout(
    device: Device<'_>,
    address: &str,
    memory: Option<u64>,
    before: Option<&Layout>,
    notes: &mut Vec<String>,
) -> Result<Option<Layout>, Error> {
    match Layout::read(device, memory, before) {
        Ok(mut layout) => {
            if !layout.fits() {
                layout.possible.clear();
                notes.push(format!(
                    "GPU `{address}` has more to count than the API takes for its MIG devices"
                ));
            }
            if layout.possible.is_empty() {
                notes.push(format!(
                    "GPU `{address}` is in MIG mode and has no profiles, so it offers nothing"
                ));
            }
            Ok(Some(layout))
        }
        Err(error) if is_fatal(&error) => Err(error),
        Err(error) if matches!(error.code, Code::GpuIsLost | Code::ResetRequired) => Err(error),
        Err(error) => {
            let hint = match error.code {
                Code::NoPermission => "; it takes root with `CAP_SYS_ADMIN`, or the capability `mig/config`",
                _ => "",
            };
            notes.push(format!("GPU `{address}` is in MIG mode and offers nothing: {error}{hint}"));
            Ok(None)
        }
    }
}

/// The MIG devices of a card in MIG mode.
fn partitions(device: Device<'_>) -> Result<Vec<Partition>, Error> {
    let mut partitions = Vec::new();
    for index in 0..device.most_mig_devices()? {
        match device.mig_device(index) {
            Ok(found) => partitions.push(partition(found)?),
            Err(error) if error.code == Code::NotFound => {}
            Err(error) if error.code == Code::InvalidArgument => break,
            Err(error) => return Err(error),
        }
    }
    partitions.sort_by_key(|partition| partition.instance);
    Ok(partitions)
}

fn partition(device: Device<'_>) -> Result<Partition, Error> {
    let attributes = optional(device.mig_attributes())?;
    let name = optional(device.name())?;
    Ok(Partition {
        uuid: device.uuid()?,
        profile: profile(name.as_deref().unwrap_or_default(), attributes.as_ref()),
        instance: (device.gpu_instance()?, device.compute_instance()?),
        attributes,
    })
}

/// The profile, which NVIDIA's name of the device ends with; otherwise what it would be by the sizes.
fn profile(name: &str, attributes: Option<&MigAttributes>) -> String {
    if let Some((_, profile)) = name.rsplit_once(" MIG ").filter(|(_, profile)| !profile.is_empty()) {
        return profile.to_owned();
    }
    let Some(attributes) = attributes else { return "unknown".to_owned() };
    let (of_card, own) = (attributes.gpu_instance_slices, attributes.compute_instance_slices);
    let part = if own == of_card { String::new() } else { format!("{own}c.") };
    format!("{part}{of_card}g.{}gb", attributes.memory_mebibytes.div_ceil(1024))
}

/// `00000000:65:00.0`, as NVML writes it, as the kernel does: `0000:65:00.0`.
pub(super) fn kernel_address(bus_id: &str) -> String {
    let lower = bus_id.to_ascii_lowercase();
    let Some((domain, rest)) = lower.split_once(':') else { return lower };
    format!("{:0>4}:{rest}", domain.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_kernel() {
        for (nvml, kernel) in [
            ("00000000:65:00.0", "0000:65:00.0"),
            ("00000001:0A:1F.0", "0001:0a:1f.0"),
            ("00010000:0A:00.0", "10000:0a:00.0"),
            ("0000:65:00.0", "0000:65:00.0"),
        ] {
            assert_eq!(kernel_address(nvml), kernel);
        }
    }

    #[test]
    fn a_profile_is_the_end_of_the_name_or_what_the_sizes_say() {
        let sizes = |of_card, own, memory| MigAttributes {
            gpu_instance_slices: of_card,
            compute_instance_slices: own,
            memory_mebibytes: memory,
            ..MigAttributes::default()
        };
        assert_eq!(profile("NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", None), "1g.10gb+me");
        assert_eq!(profile("NVIDIA A100", Some(&sizes(1, 1, 4864))), "1g.5gb");
        assert_eq!(profile("", Some(&sizes(3, 1, 40192))), "1c.3g.40gb");
        assert_eq!(profile("", None), "unknown");
    }
}
