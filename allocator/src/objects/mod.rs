//! The allocator's input and output: the parts of `resource.k8s.io/v1` and `core/v1` it looks at, as plain data.
//!
//! These types know no serialisation and no API version; `drayage-cluster` converts every served version into
//! them and back. Field names and meaning are those of `resource.k8s.io/v1`. They hold what a user may really
//! have written, bad values included, because upstream reports many faults only when the search reaches them.

mod claim;
mod class;
mod node;
mod result;
mod slice;

pub use claim::{
    AllocationMode, ConfigurationForRequests, DeviceConstraint, DeviceDerivedAttribute, DeviceRequest,
    DeviceSelector, DeviceSubRequest, DeviceToleration, ExactDeviceRequest, OpaqueDeviceConfiguration,
    ResourceClaim,
};
pub use class::DeviceClass;
pub use drayage_cel::{AttributeValue, Quantity};
pub use node::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
pub use result::{
    AllocationResult, ConfigurationSource, DeviceAllocationConfiguration, DeviceId,
    DeviceRequestAllocationResult, SharedDeviceId,
};
pub use slice::{
    CapacityRequestPolicy, CapacityRequestPolicyRange, CounterSet, Device, DeviceCapacity,
    DeviceCounterConsumption, DeviceTaint, PoolId, ResourcePool, ResourceSlice,
};
