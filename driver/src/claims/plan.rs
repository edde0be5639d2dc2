//! What a claim gets: computed from its allocation, and from its devices once they are started.

use std::collections::BTreeMap;

use serde_json::Map;

use super::{
    devices::{AllocatedDevice, Devices},
    metadata::{MetadataFiles, base, describe, is_label},
    record::HeldDevice,
};
use crate::{
    cdi::{self, CdiDirectory, Spec},
    kubelet::{ClaimReference, Failure, PreparedDevice, service::is_uid},
};

/// The name of a claim's CDI device: its UID, the number of the device in the claim, the name of the device.
pub fn claim_device_name(uid: &str, number: usize, device: &str) -> String {
    format!("{uid}-{number}-{device}")
}

/// What a claim holds with this allocation. Whatever can be refused before anything is done for the claim is refused here.
pub(super) fn checked(
    devices: &impl Devices,
    claim: &ClaimReference,
    allocation: &[AllocatedDevice],
) -> Result<Vec<HeldDevice>, Failure> {
    let name = || format!("claim `{}/{}`", claim.namespace, claim.name);
    if !is_uid(&claim.uid) {
        return Err(Failure::Permanent(format!("{} has a malformed UID", name())));
    }
    for device in allocation {
        devices.check(claim, device)?;
        let request = base(&device.request);
        if !is_label(request) && devices.attributes(device).is_some() {
            return Err(Failure::Permanent(format!("request `{request}` of {} is no label", name())));
        }
    }
    Ok(allocation.iter().map(HeldDevice::of).collect())
}

/// What a claim gets.
pub(super) struct Plan {
    /// The answer to the kubelet.
    pub(super) answer: Vec<PreparedDevice>,
    /// Content of its CDI file, empty if it needs none.
    pub(super) cdi: String,
    /// Content of its metadata files by request.
    pub(super) metadata: BTreeMap<String, String>,
}

impl Plan {
    /// A function of its arguments, of [`Devices::edits`] and of [`Devices::attributes`].
    pub(super) fn new(
        devices: &impl Devices,
        directory: &CdiDirectory,
        files: &MetadataFiles,
        claim: &ClaimReference,
        allocation: &[AllocatedDevice],
    ) -> Result<Self, Failure> {
        let (kind, driver) = (directory.kind(), directory.driver());
        let mut plan = Self { answer: Vec::new(), cdi: String::new(), metadata: BTreeMap::new() };
        let mut cdi_devices = Vec::new();
        for (number, device) in allocation.iter().enumerate() {
            let mut edits = devices.edits(claim, device)?;
            let request = base(&device.request);
            let attributes = |device: &AllocatedDevice| devices.attributes(device);
            if let Some(content) = describe(driver, claim, allocation, request, attributes)
                && plan.metadata.insert(request.to_owned(), content).is_none()
            {
                edits.mounts.push(files.mount(driver, claim, device));
            }
            let mut cdi_device_ids = Vec::new();
            if !edits.is_empty() {
                let name = claim_device_name(&claim.uid, number, &device.device);
                cdi_device_ids.push(format!("{kind}={name}"));
                cdi_devices.push(cdi::Device { name, container_edits: edits });
            }
            plan.answer.push(PreparedDevice {
                request_names: vec![request.to_owned()],
                pool_name: device.pool.clone(),
                device_name: device.device.clone(),
                cdi_device_ids,
                share_id: device.share_id.clone(),
                other: Map::new(),
            });
        }
        if !cdi_devices.is_empty() {
            let spec = Spec::new(kind, cdi_devices).map_err(|error| Failure::Permanent(error.to_string()))?;
            plan.cdi = spec.to_json();
        }
        Ok(plan)
    }

    /// Whether its CDI file has the devices that the kubelet was told of, and no others.
    pub(super) fn has_names_of(&self, answer: &[PreparedDevice]) -> bool {
        let names = |answer: &[PreparedDevice]| {
            answer.iter().map(|device| device.cdi_device_ids.clone()).collect::<Vec<_>>()
        };
        names(&self.answer) == names(answer)
    }
}
