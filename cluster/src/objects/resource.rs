//! Objects of `resource.k8s.io`.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::{
    AllocationResult, DeviceClass, DeviceTaint, ResourceClaim, ResourceSlice, SharedDeviceId,
};

use super::{Metadata, Origin};

/// `ResourceClaim`: specification and status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read; for a claim made from a template, the template's `spec`.
    pub origin: Origin,
    /// `spec`, with namespace and name for the allocator.
    pub spec: ResourceClaim,
    /// `status.allocation`
    pub allocation: Option<AllocationResult>,
    /// `status.allocation.allocationTimestamp` as written
    pub allocation_timestamp: Option<String>,
    /// `status.reservedFor`
    pub reserved_for: Vec<ConsumerReference>,
    /// `status.devices`
    pub devices: Vec<AllocatedDeviceStatus>,
}

/// One of `status.reservedFor`: who uses the claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerReference {
    /// `apiGroup`; empty for pods.
    pub api_group: String,
    /// `resource`, in the plural: `pods`.
    pub resource: String,
    /// `name`
    pub name: String,
    /// `uid`
    pub uid: String,
}

/// One of `status.devices`: what a driver says of an allocated device (KEP-4817).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocatedDeviceStatus {
    /// `driver`, `pool`, `device` and `shareID`, which is empty for a device that is not shared.
    pub device: SharedDeviceId,
    /// `conditions`
    pub conditions: Vec<Condition>,
}

/// `meta/v1` `Condition`, without its texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// `type`
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

/// `ResourceClaimTemplate`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimTemplate {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.metadata.labels`, for the claims.
    pub claim_labels: BTreeMap<String, String>,
    /// `spec.metadata.annotations`, for the claims.
    pub claim_annotations: BTreeMap<String, String>,
    /// `spec.spec`, without a name.
    pub spec: ResourceClaim,
}

/// `DeviceClass`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec`, with the name.
    pub spec: DeviceClass,
}

/// `ResourceSlice`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec`, with the name. Whoever looks at a cluster shares it.
    pub spec: Arc<ResourceSlice>,
    /// `timeAdded` of the taints of devices, in their order, by the name of the device; for devices that have any.
    pub taint_times: BTreeMap<String, Vec<Option<String>>>,
}

/// `DeviceTaintRule` (KEP-5055): taints all devices that it selects. What is `None` selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaintRule {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.deviceSelector.driver`
    pub driver: Option<String>,
    /// `spec.deviceSelector.pool`
    pub pool: Option<String>,
    /// `spec.deviceSelector.device`
    pub device: Option<String>,
    /// `spec.taint`
    pub taint: DeviceTaint,
    /// `spec.taint.timeAdded`
    pub time_added: Option<String>,
}
