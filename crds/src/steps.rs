//! The steps of a scenario.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::Expectation;

/// One step. Exactly one of the fields besides `name` and `expect` is given, as in unions of the Kubernetes API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// What reports call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Objects are added: pods, workloads, claims, nodes, slices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<Apply>,
    /// Pods go, with the claims that were generated for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_pods: Option<DeletePods>,
    /// Devices or nodes fail; their pods are evicted and look for a new place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<FailStep>,
    /// Nodes take no new pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordon: Option<NodesStep>,
    /// Nodes take pods again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncordon: Option<NodesStep>,
    /// Nodes are cordoned and emptied as cluster-autoscaler would, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<NodesStep>,
    /// Nodes of a group are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_nodes: Option<AddNodes>,
    /// Nodes go, with their slices; their pods are evicted and look for a new place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove_nodes: Option<NodesStep>,
    /// Node groups grow as cluster-autoscaler would have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScaleUpStep>,
    /// Nodes go that cluster-autoscaler would remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScaleDownStep>,
    /// Copies of pods are counted that fit; the cluster stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityStep>,
    /// From here on another release, or other feature gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeStep>,
    /// Pending pods are scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What must hold after the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
}

impl Step {
    /// The fields besides `name` and `expect` that are given, as they are written.
    pub fn actions(&self) -> Vec<&'static str> {
        let given = [
            ("apply", self.apply.is_some()),
            ("deletePods", self.delete_pods.is_some()),
            ("fail", self.fail.is_some()),
            ("cordon", self.cordon.is_some()),
            ("uncordon", self.uncordon.is_some()),
            ("drain", self.drain.is_some()),
            ("addNodes", self.add_nodes.is_some()),
            ("removeNodes", self.remove_nodes.is_some()),
            ("scaleUp", self.scale_up.is_some()),
            ("scaleDown", self.scale_down.is_some()),
            ("capacity", self.capacity.is_some()),
            ("upgrade", self.upgrade.is_some()),
            ("schedule", self.schedule.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// Scheduling of what is pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {}

/// Objects to add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Apply {
    /// Files and folders, relative to the scenario's file.
    pub files: Vec<String>,
}

/// Pods to delete. What is given must all agree; nothing at all selects nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeletePods {
    /// Pods, as `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
    /// Pods of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pods with these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Nodes, by name and by label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodesStep {
    /// Names of nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Nodes with these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What fails. The entries add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailStep {
    /// Names of nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Nodes with these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Devices, as `driver/pool/device`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Devices whose attribute has this value, as `domain/name: value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Files with DeviceTaintRules, relative to the scenario's file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taint_rules: Vec<String>,
}

/// New nodes of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddNodes {
    /// The group's name.
    pub group: String,
    /// How many.
    pub count: u32,
}

/// How node groups grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScaleUpStep {
    /// Expanders in order, such as `priority,least-waste`; `least-waste` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expander: Option<String>,
    /// At most this many rounds, each of which grows one group; until no pod is helped where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
}

/// How node groups shrink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScaleDownStep {
    /// Nodes that are fuller than this share stay; 0.5 where absent (scale-down-utilization-threshold).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// Of which pods copies are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapacityStep {
    /// The pods of one set: a set fits if all of them do.
    pub pods: Vec<CapacityPod>,
    /// Counting ends at this many sets; 1000 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u32>,
}

/// A pod of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapacityPod {
    /// `namespace/name` of a pod, or `namespace/kind/name` of a workload.
    pub pod: String,
    /// How many of it are in one set; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// What the cluster becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpgradeStep {
    /// The release, as `--k8s` takes it; the one before where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<String>,
    /// Feature gates that differ from the release's defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
}
