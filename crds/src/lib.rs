//! The API types of Drayage itself, `drayage.dev/v1alpha1`, as plain data.
//!
//! - [`DeviceConfig`]: opaque configuration of claims and classes, for the driver
//! - [`DeviceFault`]: faults that the driver makes on purpose
//! - [`DeviceInventory`]: devices on paper, for the driver's fake source
//! - [`NodeGroup`]: nodes that could be added: a template, a price, limits
//! - [`Scenario`]: a list of changes to a cluster, and what is expected of it after them
//!
//! Types know how to be read and written ([`read`]), and have a schema; what they mean to a cluster is the simulator's
//! business.
//! [`schema`] makes JSON Schemas and CustomResourceDefinitions of them, which lie in `crds/generated`.

mod device_config;
mod device_fault;
mod device_inventory;
mod metadata;
mod node_group;
pub mod read;
mod scenario;
pub mod schema;
mod steps;

pub use device_config::{DeviceConfig, Interval, Sharing, SpacePartitions, TimeSlices};
pub use device_fault::{DeviceFault, DeviceFaultSpec, Fault};
pub use device_inventory::{
    DeviceInventory, DeviceInventorySpec, InventoryDevice, InventoryDeviceNode, InventoryEdits, InventoryPool,
};
pub use metadata::ObjectMeta;
pub use node_group::{AttributeBinding, NodeGroup, NodeGroupSpec, NodeTemplate};
pub use scenario::{CountBound, Expectation, Scenario, ScenarioInput, ScenarioSpec};
pub use steps::{
    AddNodes, Apply, CapacityPod, CapacityStep, DeletePods, FailStep, NodesStep, ScaleDownStep, ScaleUpStep,
    Schedule, Step, UpgradeStep,
};

/// `apiVersion` of all types.
pub const API_VERSION: &str = "drayage.dev/v1alpha1";
