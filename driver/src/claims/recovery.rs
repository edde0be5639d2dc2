//! Where else it is written what a claim holds, for claims whose record is lost or damaged.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Map;

use super::record::HeldDevice;
use crate::{
    cdi::{CdiDirectory, Spec},
    checksum::crc32,
    files::FileSystem,
    kubelet::{ClaimReference, PreparedDevice},
};

/// What a source says about a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredClaim {
    /// The claim; namespace and name are empty where the source does not know them.
    pub claim: ClaimReference,
    /// Devices that it holds, if they are known.
    pub holds: Option<Vec<HeldDevice>>,
    /// The answer that the kubelet remembers.
    pub answer: Option<Vec<PreparedDevice>>,
    /// Content of its CDI file, where that is what tells of it.
    pub cdi: Option<String>,
}

/// A place that remembers claims of this driver. Sources are asked at start, the better ones first.
pub trait RecoverySource {
    /// Everything that this source remembers. What cannot be read is left out: a lost source is no reason not to
    /// start.
    fn claims(&self) -> Vec<RecoveredClaim>;
}

/// The kubelet's own checkpoint of claims, `dra_manager_state` in its directory. It has the very answer that the
/// kubelet got. Its format is that of Kubernetes 1.34 to 1.37 (`checkpoint.dra.kubelet.k8s.io/v1`). A damaged one is worth
/// nothing: a flipped bit in the name of a field makes another answer that can still be read.
#[derive(Clone, Debug)]
pub struct KubeletCheckpoint<F> {
    files: F,
    path: PathBuf,
    driver: String,
}

impl<F: FileSystem> KubeletCheckpoint<F> {
    /// The checkpoint at `path`, as far as it is about `driver`.
    pub fn new(files: F, path: PathBuf, driver: &str) -> Self {
        Self { files, path, driver: driver.to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checkpoint {
    data: String,
    checksum: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CheckpointData {
    claim_info_state_list: Option<Vec<ClaimInfo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ClaimInfo {
    #[serde(rename = "ClaimUID")]
    uid: String,
    claim_name: String,
    namespace: String,
    driver_state: Option<std::collections::BTreeMap<String, DriverState>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DriverState {
    devices: Option<Vec<CheckpointDevice>>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct CheckpointDevice {
    pool_name: String,
    device_name: String,
    #[serde(rename = "ShareID")]
    share_id: Option<String>,
    request_names: Option<Vec<String>>,
    #[serde(rename = "CDIDeviceIDs")]
    cdi_device_ids: Option<Vec<String>>,
}

impl<F: FileSystem> RecoverySource for KubeletCheckpoint<F> {
    fn claims(&self) -> Vec<RecoveredClaim> {
        let Ok(content) = self.files.read(&self.path) else { return Vec::new() };
        let Ok(checkpoint) = serde_json::from_slice::<Checkpoint>(&content) else { return Vec::new() };
        if crc32(checkpoint.data.as_bytes()) != checkpoint.checksum {
            return Vec::new();
        }
        let Ok(data) = serde_json::from_str::<CheckpointData>(&checkpoint.data) else { return Vec::new() };
        let mut recovered = Vec::new();
        for info in data.claim_info_state_list.unwrap_or_default() {
            let state = info.driver_state.unwrap_or_default().remove(&self.driver);
            let devices = state.and_then(|state| state.devices).unwrap_or_default();
            // Up to 1.36 a restarted kubelet appends a second answer to the first, which is the same.
            let mut seen: Vec<CheckpointDevice> = Vec::new();
            for device in devices {
                if !seen.contains(&device) {
                    seen.push(device);
                }
            }
            // Without an answer nothing tells whether something is held; the record would say more.
            if seen.is_empty() {
                continue;
            }
            let holds = seen.iter().map(|device| HeldDevice {
                pool: Some(device.pool_name.clone()),
                device: device.device_name.clone(),
                share_id: device.share_id.clone(),
                ..HeldDevice::default()
            });
            recovered.push(RecoveredClaim {
                claim: ClaimReference { namespace: info.namespace, name: info.claim_name, uid: info.uid },
                holds: Some(holds.collect()),
                cdi: None,
                answer: Some(
                    seen.into_iter()
                        .map(|device| PreparedDevice {
                            request_names: device.request_names.unwrap_or_default(),
                            pool_name: device.pool_name,
                            device_name: device.device_name,
                            cdi_device_ids: device.cdi_device_ids.unwrap_or_default(),
                            share_id: device.share_id,
                            other: Map::new(),
                        })
                        .collect(),
                ),
            });
        }
        recovered
    }
}

/// Our own CDI files: the names of their devices contain the names of the claim's devices.
#[derive(Clone, Debug)]
pub struct CdiFiles<F> {
    files: F,
    directory: CdiDirectory,
}

impl<F: FileSystem> CdiFiles<F> {
    /// The files in `directory`.
    pub fn new(files: F, directory: CdiDirectory) -> Self {
        Self { files, directory }
    }

    /// What the file of a claim says that it holds, and the file.
    fn holds(&self, uid: &str) -> Option<(Vec<HeldDevice>, String)> {
        let content = self.directory.read(&self.files, uid).ok()?;
        let spec: Spec = serde_json::from_slice(&content).ok()?;
        let held = spec.devices().iter().map(|device| {
            let (_number, name) = device.name.strip_prefix(uid)?.strip_prefix('-')?.split_once('-')?;
            Some(HeldDevice { device: name.to_owned(), ..HeldDevice::default() })
        });
        let held: Option<Vec<HeldDevice>> = held.collect();
        Some((held?, String::from_utf8(content).ok()?))
    }
}

impl<F: FileSystem> RecoverySource for CdiFiles<F> {
    fn claims(&self) -> Vec<RecoveredClaim> {
        let uids = self.directory.claims(&self.files).unwrap_or_default();
        uids.into_iter()
            .map(|uid| {
                let (holds, cdi) = self.holds(&uid).unzip();
                let claim = ClaimReference::nameless(&uid);
                RecoveredClaim { holds, answer: None, cdi, claim }
            })
            .collect()
    }
}
