//! Groups of equal nodes that an autoscaler can add.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metadata::ObjectMeta;
use crate::schema;

/// Nodes of one kind that could be added to a cluster, as cluster-autoscaler's node groups are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// `drayage.dev/v1alpha1`
    pub api_version: String,
    /// `NodeGroup`
    pub kind: String,
    /// The group's name is what expanders and reports call it.
    pub metadata: ObjectMeta,
    /// What the group is.
    pub spec: NodeGroupSpec,
}

/// What a [`NodeGroup`] is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroupSpec {
    /// The group never has fewer nodes.
    #[serde(default)]
    pub min_size: u32,
    /// The group never has more nodes.
    pub max_size: u32,
    /// How many nodes it has. Absent, the nodes of the cluster that `members` selects are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_size: Option<u32>,
    /// Labels of the cluster's nodes that belong to the group. Empty selects none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, String>,
    /// Price of one node for one hour, in any currency that all groups share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// All nodes up to `maxSize` come together or none does, as with cluster-autoscaler's ZeroOrMaxNodeScaling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero_or_max: bool,
    /// What a new node is.
    pub template: NodeTemplate,
    /// Values of device attributes that nobody knows before the node exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attribute_bindings: Vec<AttributeBinding>,
}

/// A new node with what its drivers will publish.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeTemplate {
    /// A `v1` Node: labels, taints, capacity, allocatable. Its name is replaced.
    #[schemars(schema_with = "schema::any_object")]
    pub node: Value,
    /// ResourceSlices of `resource.k8s.io` in any served version. Names of nodes and of pools are replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::any_objects")]
    pub resource_slices: Vec<Value>,
    /// Pods that every new node starts with, static pods for instance. Pods of the cluster's DaemonSets are added by
    /// themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::any_objects")]
    pub pods: Vec<Value>,
}

/// A string attribute that gets its value when the node is there, such as a PCI address or an NVLink clique.
///
/// Without a binding every new node would have the template's value, and devices of two nodes would match where a
/// constraint asks for equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttributeBinding {
    /// Devices of this driver; absent, of every driver of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The attribute, with its domain or without, as the slices have it.
    pub attribute: String,
    /// The value. `{node}` stands for the node's name, `{index}` for its number in the group from 0, `{domain}` for
    /// the number of its domain, `{value}` for the value in the template.
    pub value: String,
    /// How many nodes share a domain: `{domain}` is `{index}` divided by it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub nodes_per_domain: u32,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_one(number: &u32) -> bool {
    *number == 1
}
