//! A node with a library that a file describes.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use drayage_driver::{
    claims::AllocatedDevice,
    devices::{
        Condition, DeviceSource as _, Pool,
        nvml::{NvmlDevices, NvmlOptions, Roots},
    },
    kubelet::ClaimReference,
    publish::allocator_slices,
};
use drayage_fake_nvml::{FakeLibrary, Machine, install};
use tempfile::TempDir;

/// A node with a library and folders like those of the kernel.
pub(crate) struct Node {
    pub(crate) folder: TempDir,
    pub(crate) library: FakeLibrary,
}

impl Node {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self::lacking(machine, &[])
    }

    pub(crate) fn lacking(machine: &Machine, functions: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let library = install(folder.path(), machine, functions).expect("a library");
        Self { folder, library }
    }

    pub(crate) fn options(&self) -> NvmlOptions {
        let at = |name: &str| self.folder.path().join(name);
        NvmlOptions {
            library: self.library.path().into(),
            roots: Roots { sys: at("sys"), proc: at("proc"), dev: at("dev") },
            interval: Duration::from_millis(20),
            ..NvmlOptions::default()
        }
    }

    pub(crate) fn source(&self) -> NvmlDevices {
        NvmlDevices::start(self.options(), "node-1").expect("a thread")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

pub(crate) fn pool(source: &NvmlDevices) -> Pool {
    let mut pools = source.pools().expect("pools");
    assert_eq!(pools.len(), 1);
    let slices = allocator_slices("gpu.example.com", "node-1", &pools).expect("the API would take them");
    assert!(!slices.is_empty(), "a pool without devices is an empty slice");
    pools.remove(0)
}

pub(crate) fn names(source: &NvmlDevices) -> Vec<String> {
    pool(source).devices.into_iter().map(|device| device.name).collect()
}

pub(crate) fn conditions(source: &NvmlDevices) -> Vec<Condition> {
    source.observe().expect("a look").into_iter().map(|seen| seen.condition).collect()
}

/// Waits for what the threads will see soon.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(5));
    }
}

pub(crate) fn allocated(device: &str) -> AllocatedDevice {
    AllocatedDevice { pool: "node-1".to_owned(), device: device.to_owned(), ..AllocatedDevice::default() }
}

pub(crate) fn claim() -> ClaimReference {
    ClaimReference { namespace: "default".to_owned(), name: "a".to_owned(), uid: "0a".to_owned() }
}

pub(crate) fn unknown(condition: &Condition, text: &str) {
    assert!(matches!(condition, Condition::Unknown(reason) if reason.contains(text)), "{condition:?}");
}

/// How many random cases are tried: so many, or what `DRAYAGE_PROBLEMS` says.
pub(crate) fn cases(usual: u32) -> u32 {
    std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
