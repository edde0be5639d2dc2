//! What the state machine of claims asks of the devices themselves.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::record::{ClaimRecord, HeldDevice};
use crate::{
    cdi::ContainerEdits,
    kubelet::{ClaimReference, Failure},
};

/// One device of the claim's allocation, of this driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocatedDevice {
    /// Request as the allocation names it, with the alternative after a slash.
    pub request: String,
    /// What the pod calls the claim, if it was made for the pod from a template.
    pub pod_claim: Option<String>,
    /// Pool of the device.
    pub pool: String,
    /// Name of the device.
    pub device: String,
    /// Share, for a device that allows several allocations.
    pub share_id: Option<String>,
    /// Admin access takes nothing away from others.
    pub admin_access: bool,
    /// What the share takes of the device's capacities, as quantities (KEP-5075).
    pub consumed_capacity: BTreeMap<String, String>,
    /// Opaque parameters for this device: those of the class first, later ones win.
    pub configuration: Vec<Value>,
}

/// What the node has to do for devices besides remembering who holds them. Every function may be called again for the
/// same claim, also after it was interrupted.
pub trait Devices: Send + Sync {
    /// Whether the device exists and can be used as the claim wants. Asked before anything is done for the claim, so that
    /// nothing is held for a claim that cannot be prepared. Where containers need something that only [`Devices::start`]
    /// makes, this has to be answered in another way than by [`Devices::edits`].
    ///
    /// # Errors
    ///
    /// The device does not exist or cannot be used as the claim wants.
    fn check(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        self.edits(claim, device).map(drop)
    }

    /// Changes that containers with this device need; none means that it needs no CDI device. Asked after
    /// [`Devices::start`]. Until the machine starts anew the same device of the same claim has to get the same edits;
    /// then, started again, it may get others, but none only if it got none before.
    ///
    /// # Errors
    ///
    /// The device does not exist or cannot be used as the claim wants.
    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure>;

    /// Attributes of a device, as in its slice, for containers to read (KEP-5304); none where they get no file with them.
    /// Asked after [`Devices::start`], but a device has some or none before as well. What is returned for the first prepare
    /// of a claim since the machine started is what its containers see.
    fn attributes(&self, _: &AllocatedDevice) -> Option<Map<String, Value>> {
        None
    }

    /// Tells with which records the driver starts, before anything else is asked about a claim; devices that were configured in
    /// another boot than `boot_id` are configured anew before they are used. Nothing has to be done.
    fn opened(&self, _records: &[ClaimRecord], _boot_id: &str) {}

    /// Configures the devices for the claim.
    ///
    /// # Errors
    ///
    /// The devices are not ready.
    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure>;

    /// Undoes [`Devices::start`]; succeeds where nothing was done. Nobody else gets the devices before it succeeds.
    /// Without devices: what the claim holds is not known, if anything, and a device that knows it by itself should be
    /// given up.
    ///
    /// # Errors
    ///
    /// The devices cannot be given to others.
    fn stop(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure>;
}
