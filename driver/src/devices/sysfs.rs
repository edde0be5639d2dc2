//! PCI functions as the kernel shows them in sysfs.
//!
//! A device is named after its PCI address, which a reboot does not change; numbers of device nodes do.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{Condition, DeviceSource, Observation, Pool, PoolDevice, SourceError, missing};
use crate::{
    cdi::{ContainerEdits, DeviceNode},
    claims::{AllocatedDevice, Devices, HeldDevice},
    kubelet::{ClaimReference, Failure},
};

/// Which PCI functions are devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SysfsFilter {
    /// Classes as hexadecimal digits from the left: `03` is every display controller, `0302` every 3D controller.
    /// Empty means every class.
    pub classes: Vec<String>,
    /// Vendors as four hexadecimal digits. Empty means every vendor.
    pub vendors: Vec<String>,
}

/// PCI functions below a folder that looks like `/sys`.
#[derive(Debug)]
pub struct SysfsDevices {
    root: PathBuf,
    pool: String,
    filter: SysfsFilter,
}

/// One PCI function.
#[derive(Clone, Debug)]
struct Function {
    address: String,
    folder: PathBuf,
}

impl SysfsDevices {
    /// The functions that `filter` accepts, in a pool named after the node. `root` is `/sys`, or a folder like it.
    pub fn new(root: &Path, node: &str, filter: SysfsFilter) -> Self {
        Self { root: root.to_owned(), pool: node.to_owned(), filter }
    }

    fn functions(&self) -> Result<Vec<Function>, SourceError> {
        let path = self.root.join("bus/pci/devices");
        let failed = |error| SourceError::Io { path: path.clone(), error };
        let mut functions = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let Ok(address) = entry.map_err(failed)?.file_name().into_string() else { continue };
            let function = Function { folder: path.join(&address), address };
            if is_address(&function.address) && self.accepts(&function) {
                functions.push(function);
            }
        }
        functions.sort_by(|one, other| one.address.cmp(&other.address));
        Ok(functions)
    }

    fn accepts(&self, function: &Function) -> bool {
        let fits = |wanted: &[String], found: Option<String>| {
            let found = found.unwrap_or_default();
            wanted.is_empty() || wanted.iter().any(|wanted| found.starts_with(&wanted.to_ascii_lowercase()))
        };
        fits(&self.filter.classes, function.hex("class"))
            && fits(&self.filter.vendors, function.hex("vendor"))
    }

    fn function(&self, device: &AllocatedDevice) -> Option<Function> {
        if device.pool != self.pool {
            return None;
        }
        self.functions().ok()?.into_iter().find(|function| function.name() == device.device)
    }
}

/// `DDDD:BB:DD.F` in hexadecimal.
fn is_address(text: &str) -> bool {
    let pattern = "dddd:dd:dd.d";
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(found, wanted)| match wanted {
            b'd' => found.is_ascii_hexdigit() && !found.is_ascii_uppercase(),
            other => found == other,
        })
}

/// The root complex that the function of a folder is below, `pciDDDD:BB`.
pub(super) fn pcie_root(folder: &Path) -> Option<String> {
    let target = fs::read_link(folder).ok()?;
    // The domain has more digits behind some bridges, such as Intel's for volumes.
    let is_root = |part: &&str| {
        let numbers = part.strip_prefix("pci").and_then(|rest| rest.split_once(':'));
        numbers.is_some_and(|(domain, bus)| domain.len() >= 4 && bus.len() == 2)
    };
    target.iter().filter_map(|part| part.to_str()).find(is_root).map(str::to_owned)
}

/// The NUMA node of the function of a folder. -1 is a machine without NUMA.
pub(super) fn numa_node(folder: &Path) -> Option<i64> {
    let text = fs::read_to_string(folder.join("numa_node")).ok()?;
    text.trim().parse().ok().filter(|node| *node >= 0)
}

impl Function {
    /// Name of the device: a DNS label.
    fn name(&self) -> String {
        format!("pci-{}", self.address.replace([':', '.'], "-"))
    }

    fn text(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.join(file)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A hexadecimal number without its `0x`.
    fn hex(&self, file: &str) -> Option<String> {
        self.text(file)?.strip_prefix("0x").map(str::to_ascii_lowercase)
    }

    /// Last part of where a link leads to.
    fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.folder.join(name)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    fn attributes(&self) -> Map<String, Value> {
        let mut attributes = Map::new();
        let mut string = |name: &str, value: Option<String>| {
            // The API takes at most 64 bytes.
            if let Some(value) = value.filter(|value| value.len() <= 64) {
                attributes.insert(name.to_owned(), json!({ "string": value }));
            }
        };
        string("resource.kubernetes.io/pciBusID", Some(self.address.clone()));
        string("resource.kubernetes.io/pcieRoot", pcie_root(&self.folder));
        string("vendor", self.hex("vendor"));
        string("device", self.hex("device"));
        string("class", self.hex("class"));
        string("subsystemVendor", self.hex("subsystem_vendor"));
        string("subsystemDevice", self.hex("subsystem_device"));
        string("driver", self.link("driver"));
        string("iommuGroup", self.link("iommu_group"));
        string("linkSpeed", self.text("current_link_speed"));
        string("physicalFunction", self.link("physfn"));
        if let Some(numa) = numa_node(&self.folder) {
            attributes.insert("resource.kubernetes.io/numaNode".to_owned(), json!({ "int": numa }));
        }
        attributes
    }

    /// Device nodes that the kernel's driver made for it.
    fn device_nodes(&self) -> Vec<String> {
        let children = |folder: &str| {
            let entries = fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten();
            let mut names: Vec<String> =
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
            names.sort();
            names
        };
        let mut nodes = Vec::new();
        for (folder, prefix) in [("drm", "/dev/dri/"), ("accel", "/dev/accel/"), ("misc", "/dev/")] {
            for name in children(folder) {
                // Only what has numbers is a device node; connectors of displays are there as well.
                if self.folder.join(folder).join(&name).join("dev").exists() {
                    nodes.push(format!("{prefix}{name}"));
                }
            }
        }
        if self.link("driver").as_deref() == Some("vfio-pci")
            && let Some(group) = self.link("iommu_group")
        {
            nodes.push("/dev/vfio/vfio".to_owned());
            nodes.push(format!("/dev/vfio/{group}"));
        }
        nodes
    }

    fn condition(&self) -> Condition {
        let Ok(config) = fs::read(self.folder.join("config")) else {
            return if self.folder.exists() {
                Condition::Faulty("its configuration space cannot be read".to_owned())
            } else {
                Condition::Vanished
            };
        };
        // What a function reads as that does not answer any more.
        if config.len() >= 4 && config[..4].iter().all(|octet| *octet == 0xff) {
            return Condition::Faulty("it has fallen off the bus".to_owned());
        }
        Condition::Works
    }
}

impl Devices for SysfsDevices {
    fn edits(&self, _: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let function = self.function(device).ok_or_else(|| missing(&device.pool, &device.device))?;
        let variable = function.address.to_ascii_uppercase().replace([':', '.'], "_");
        Ok(ContainerEdits {
            env: vec![format!("PCI_DEVICE_{variable}={}", function.address)],
            device_nodes: function
                .device_nodes()
                .into_iter()
                .map(|path| DeviceNode { path, ..DeviceNode::default() })
                .collect(),
            ..ContainerEdits::default()
        })
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        self.function(device).map(|function| function.attributes())
    }

    fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }
}

impl DeviceSource for SysfsDevices {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        let device = |function: Function| {
            let attributes = Value::Object(function.attributes());
            PoolDevice {
                name: function.name(),
                fields: Map::from_iter([("attributes".to_owned(), attributes)]).into(),
            }
        };
        let devices = self.functions()?.into_iter().map(device).collect();
        Ok(vec![Pool { name: self.pool.clone(), devices, shared_counters: Vec::new() }])
    }

    fn observe(&self) -> Result<Vec<Observation>, SourceError> {
        let by_name: BTreeMap<String, Function> =
            self.functions()?.into_iter().map(|function| (function.name(), function)).collect();
        let observation = |(device, function): (String, Function)| Observation {
            pool: self.pool.clone(),
            device,
            condition: function.condition(),
        };
        Ok(by_name.into_iter().map(observation).collect())
    }
}
