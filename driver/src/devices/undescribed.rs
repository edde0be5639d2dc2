//! A source whose containers get no metadata files.

use tokio::sync::watch;

use super::{DeviceSource, Observation, Pool, SourceError};
use crate::{
    cdi::ContainerEdits,
    claims::{AllocatedDevice, ClaimRecord, Devices, HeldDevice},
    kubelet::{ClaimReference, Failure},
};

/// Any source, without metadata files (KEP-5304) for containers.
#[derive(Debug)]
pub struct Undescribed<S>(pub S);

// [`Devices::attributes`] is left as it is: nothing to tell.
impl<S: Devices> Devices for Undescribed<S> {
    fn check(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        self.0.check(claim, device)
    }

    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        self.0.edits(claim, device)
    }

    fn opened(&self, records: &[ClaimRecord], boot_id: &str) {
        self.0.opened(records, boot_id);
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        self.0.start(claim, devices)
    }

    fn stop(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        self.0.stop(claim, devices)
    }
}

impl<S: DeviceSource> DeviceSource for Undescribed<S> {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        self.0.pools()
    }

    fn observe(&self) -> Result<Vec<Observation>, SourceError> {
        self.0.observe()
    }

    fn changed(&self) -> Option<watch::Receiver<u64>> {
        self.0.changed()
    }

    fn notes(&self) -> Vec<String> {
        self.0.notes()
    }
}
