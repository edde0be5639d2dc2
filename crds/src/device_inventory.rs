//! Devices that exist on paper only: what the driver's fake source offers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::metadata::ObjectMeta;
use crate::schema;

/// Devices that a driver publishes and prepares although there is no hardware behind them.
///
/// In every string `{node}` stands for the name of the node and, of a device with a `count`, `{index}` for its number
/// from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceInventory {
    /// `drayage.dev/v1alpha1`
    pub api_version: String,
    /// `DeviceInventory`
    pub kind: String,
    /// The name is for people.
    pub metadata: ObjectMeta,
    /// The devices.
    pub spec: DeviceInventorySpec,
}

/// What a [`DeviceInventory`] has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceInventorySpec {
    /// Nodes that have these devices, by name; `*` stands for any characters. Empty means every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Pools of each node.
    pub pools: Vec<InventoryPool>,
}

/// A pool of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryPool {
    /// Name of the pool, unique for the driver in the whole cluster: it should contain `{node}`.
    #[serde(default = "node")]
    pub name: String,
    /// Counter sets of `resource.k8s.io/v1`, from which partitions take (KEP-4815).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::any_objects")]
    pub shared_counters: Vec<Value>,
    /// The devices, in the order in which they are offered.
    pub devices: Vec<InventoryDevice>,
}

/// A device of an inventory, or several that differ in their number only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryDevice {
    /// Name in the pool; with a `count` it has to contain `{index}`.
    pub name: String,
    /// How many of them there are; absent, one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// What is published: a `Device` of `resource.k8s.io/v1` without its name. Fields that Drayage does not know are
    /// published as they are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub device: Map<String, Value>,
    /// What a container with the device gets.
    #[serde(default, skip_serializing_if = "InventoryEdits::is_empty")]
    pub container: InventoryEdits,
}

/// What a container with a fake device gets, as CDI does it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryEdits {
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Device nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_nodes: Vec<InventoryDeviceNode>,
}

impl InventoryEdits {
    /// Whether a container gets nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A device node that a container sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryDeviceNode {
    /// Path in the container, such as `/dev/fake-gpu0`.
    pub path: String,
    /// Node of the host that is behind it; `/dev/null` is one that every host has.
    #[serde(default = "null_device")]
    pub host_path: String,
    /// Letters of `rwm`; absent, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
}

fn node() -> String {
    "{node}".to_owned()
}

fn null_device() -> String {
    "/dev/null".to_owned()
}
