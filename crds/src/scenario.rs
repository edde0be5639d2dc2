//! Scenarios: changes to a cluster, one after the other, and what is expected of the outcome.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metadata::ObjectMeta;
use crate::steps::Step;

/// A what-if in several steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// `drayage.dev/v1alpha1`
    pub api_version: String,
    /// `Scenario`
    pub kind: String,
    /// The name is that of the test suite in JUnit.
    pub metadata: ObjectMeta,
    /// What happens.
    pub spec: ScenarioSpec,
}

/// What happens in a [`Scenario`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioSpec {
    /// The release, as `--k8s` takes it. The option wins over this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<String>,
    /// Feature gates that differ from the release's defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
    /// A file with the scheduler's KubeSchedulerConfiguration, or a ConfigMap that holds one, relative to the scenario's
    /// file. The option `--scheduler-config` wins over this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_config: Option<String>,
    /// The cluster to begin with. Files on the command line take the place of `input.files`.
    #[serde(default)]
    pub input: ScenarioInput,
    /// The steps, in order. Each starts from where the one before ended.
    pub steps: Vec<Step>,
    /// What must hold after the last step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
}

/// The cluster to begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioInput {
    /// Files and folders with Kubernetes objects, relative to the scenario's file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Files with NodeGroups, relative to the scenario's file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_groups: Vec<String>,
    /// Whether pending pods are scheduled before the first step; they are by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_first: Option<bool>,
}

/// Something that must hold. All fields that are given must.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// What reports call it; made from the rest where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A pod, as `namespace/name`, that `running`, `node`, `reason` and `devices` are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Whether the pod has a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<bool>,
    /// The node that the pod is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The pod has no node, and this text is among the reasons: a plugin such as `NodeResourcesFit`, or words of the
    /// scheduler such as `cannot allocate all claims`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The pod's claims hold these devices among others, as `driver/pool/device` or as much of the end of that as one
    /// likes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Narrows `pendingPods` and `runningPods` down to pods of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Narrows `pendingPods` and `runningPods` down to pods, and `nodes` to nodes, with these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Number of pods that have no node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_pods: Option<CountBound>,
    /// Number of pods that have a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_pods: Option<CountBound>,
    /// Number of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<CountBound>,
    /// Number of devices that no claim holds; `driver` narrows it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_devices: Option<CountBound>,
    /// The driver of `freeDevices`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Number of pods that the step before evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evicted_pods: Option<CountBound>,
    /// Number of nodes that the step before added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_nodes: Option<CountBound>,
    /// Number of nodes that the step before removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_nodes: Option<CountBound>,
    /// Number of sets that the step `capacity` counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits: Option<CountBound>,
}

/// Bounds of a count, both inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountBound {
    /// At least this many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// At most this many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

impl CountBound {
    /// Whether a count is within the bounds.
    pub fn holds(self, count: u64) -> bool {
        self.min.is_none_or(|min| count >= min) && self.max.is_none_or(|max| count <= max)
    }
}
