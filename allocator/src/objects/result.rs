//! The answer's objects: what the scheduler writes into `status.allocation` of a claim.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use drayage_cel::Quantity;

use super::claim::{DeviceToleration, OpaqueDeviceConfiguration};
use super::node::NodeSelector;
use super::slice::PoolId;

/// `resource.k8s.io/v1` `AllocationResult`, one for each claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocationResult {
    /// `devices.results`, in the order of allocation.
    pub results: Vec<DeviceRequestAllocationResult>,
    /// `devices.config`: entries of classes, then entries of the claim; for a driver later entries win.
    pub config: Vec<DeviceAllocationConfiguration>,
    /// Nodes on which the allocated devices can be used; `None` means all.
    pub node_selector: Option<Arc<NodeSelector>>,
}

/// One allocated device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRequestAllocationResult {
    /// Name of the request, or `request/alternative`.
    pub request: String,
    /// Driver name.
    pub driver: String,
    /// Pool name.
    pub pool: String,
    /// Device name.
    pub device: String,
    /// `Some(true)` for admin access, else `None`.
    pub admin_access: Option<bool>,
    /// Tolerations of the request, copied.
    pub tolerations: Vec<DeviceToleration>,
    /// Binding conditions of the device, copied (KEP-5007).
    pub binding_conditions: Option<Vec<String>>,
    /// Binding failure conditions of the device, copied (KEP-5007).
    pub binding_failure_conditions: Option<Vec<String>>,
    /// Identity of one share of a device that allows multiple allocations (KEP-5075).
    pub share_id: Option<String>,
    /// What the share consumes, for every capacity of the device; empty where it has none.
    pub consumed_capacity: BTreeMap<String, Quantity>,
    /// What the kubelet need not do for the device, copied from its slice.
    pub skip_node_operations: Vec<String>,
}

impl DeviceRequestAllocationResult {
    /// The allocated device.
    pub fn device_id(&self) -> DeviceId {
        DeviceId {
            pool: PoolId { driver: self.driver.clone(), pool: self.pool.clone() },
            device: self.device.clone(),
        }
    }
}

/// Where a configuration entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigurationSource {
    /// `FromClass`
    Class,
    /// `FromClaim`
    Claim,
}

/// `DeviceAllocationConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAllocationConfiguration {
    /// Class or claim.
    pub source: ConfigurationSource,
    /// Requests the entry is for; empty means all.
    pub requests: Vec<String>,
    /// The parameters.
    pub opaque: Option<OpaqueDeviceConfiguration>,
}

/// A device: pool and device name. Prints as `driver/pool/device`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId {
    /// Its pool.
    pub pool: PoolId,
    /// Its name.
    pub device: String,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.device)
    }
}

/// One share of a device. Prints as `driver/pool/device/share`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SharedDeviceId {
    /// The device.
    pub device: DeviceId,
    /// `shareID`
    pub share_id: String,
}

impl fmt::Display for SharedDeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.share_id)
    }
}
