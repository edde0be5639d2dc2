//! Resource slices: what drivers publish.

use std::collections::BTreeMap;
use std::fmt;

use drayage_cel::{AttributeValue, Quantity};

use super::node::NodeSelector;

/// `resource.k8s.io/v1` `ResourceSlice`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSlice {
    /// `metadata.name`, unique in the cluster; slices of a pool are searched in the order of their names.
    pub name: String,
    /// `spec.driver`
    pub driver: String,
    /// `spec.pool`
    pub pool: ResourcePool,
    /// `spec.nodeName`. Present but empty differs from absent in the node selector of results.
    pub node_name: Option<String>,
    /// `spec.nodeSelector`
    pub node_selector: Option<NodeSelector>,
    /// `spec.allNodes`
    pub all_nodes: bool,
    /// `spec.perDeviceNodeSelection`. Present but false differs from absent while partitionable devices are off.
    pub per_device_node_selection: Option<bool>,
    /// `spec.devices`, in the driver's order.
    pub devices: Vec<Device>,
    /// `spec.sharedCounters` (KEP-4815)
    pub shared_counters: Vec<CounterSet>,
    /// `spec.partitionTypeAttribute`: the attribute that tells the kinds of partitions apart. No influence on
    /// allocation.
    pub partition_type_attribute: Option<String>,
    /// `spec.skipNodeOperations`: what the kubelet need not do for the devices (`NodePrepareResources`,
    /// `NodeUnprepareResources` or `*`). Such devices need a node that declares the feature.
    pub skip_node_operations: Vec<String>,
}

impl ResourceSlice {
    /// The pool this slice belongs to.
    pub fn pool_id(&self) -> PoolId {
        PoolId { driver: self.driver.clone(), pool: self.pool.name.clone() }
    }
}

/// A pool of devices: driver and pool name. Prints as `driver/pool`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId {
    /// Driver name.
    pub driver: String,
    /// Pool name.
    pub pool: String,
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.driver, self.pool)
    }
}

/// `spec.pool` of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePool {
    /// Name, unique for the driver.
    pub name: String,
    /// Generation; only the highest of a pool counts.
    pub generation: i64,
    /// How many slices of this generation the driver publishes; fewer or more make the pool incomplete.
    pub resource_slice_count: i64,
}

/// One device of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Name, unique in the pool.
    pub name: String,
    /// Attributes by qualified name, `domain/id` or `id`.
    pub attributes: BTreeMap<String, AttributeValue>,
    /// Capacities by qualified name.
    pub capacity: BTreeMap<String, DeviceCapacity>,
    /// Counters it takes from its pool (KEP-4815).
    pub consumes_counters: Vec<DeviceCounterConsumption>,
    /// Node of this device, with `perDeviceNodeSelection`.
    pub node_name: Option<String>,
    /// Nodes of this device, with `perDeviceNodeSelection`.
    pub node_selector: Option<NodeSelector>,
    /// Whether every node has access, with `perDeviceNodeSelection`.
    pub all_nodes: bool,
    /// Taints (KEP-5055), those of DeviceTaintRules included.
    pub taints: Vec<DeviceTaint>,
    /// Whether using the device pins the claim to the node it was allocated for (KEP-5007).
    pub binds_to_node: bool,
    /// Conditions to wait for before binding (KEP-5007). Loaders turn an empty list into `None`, as protobuf does.
    pub binding_conditions: Option<Vec<String>>,
    /// Conditions that make binding fail (KEP-5007).
    pub binding_failure_conditions: Option<Vec<String>>,
    /// Whether several requests may share the device (KEP-5075).
    pub allow_multiple_allocations: Option<bool>,
}

/// One capacity of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCapacity {
    /// The full amount.
    pub value: Quantity,
    /// How requests for a share are rounded and limited (KEP-5075).
    /// In a box, since most capacities have none and it is large.
    pub request_policy: Option<Box<CapacityRequestPolicy>>,
}

/// `CapacityRequestPolicy` (KEP-5075).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapacityRequestPolicy {
    /// Amount taken when a request names none; the full value where absent.
    pub default: Option<Quantity>,
    /// The amounts that can be taken, ascending. Present but empty differs from absent in rounding.
    pub valid_values: Option<Vec<Quantity>>,
    /// A range of amounts that can be taken.
    pub valid_range: Option<CapacityRequestPolicyRange>,
}

/// `CapacityRequestPolicyRange` (KEP-5075).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapacityRequestPolicyRange {
    /// Smallest amount; requests below are rounded up to it.
    pub min: Option<Quantity>,
    /// Largest amount.
    pub max: Option<Quantity>,
    /// Amounts are `min` plus a multiple of this.
    pub step: Option<Quantity>,
}

/// A named set of counters of a pool (KEP-4815).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterSet {
    /// Name, unique in the pool.
    pub name: String,
    /// Amount by counter name.
    pub counters: BTreeMap<String, Quantity>,
}

/// What one device takes from one counter set (KEP-4815).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounterConsumption {
    /// Name of the counter set.
    pub counter_set: String,
    /// Amount by counter name.
    pub counters: BTreeMap<String, Quantity>,
    /// `compatibilityGroups` (KEP-5963): devices that draw on one counter set at the same time must all have one
    /// of these in common; devices without any go with each other only.
    pub compatibility_groups: Vec<String>,
}

/// `DeviceTaint` (KEP-5055).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceTaint {
    /// Key.
    pub key: String,
    /// Value; may be empty.
    pub value: String,
    /// `None`, `NoSchedule` or `NoExecute`; others are ignored.
    pub effect: String,
}
