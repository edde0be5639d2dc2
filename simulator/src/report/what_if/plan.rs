//! Layouts of devices that are divided into partitions.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::Assumptions;

/// The answer of `dray plan partitions`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionPlanReport {
    /// [`crate::report::API_VERSION`]
    pub api_version: &'static str,
    /// `PartitionPlanReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// Pods that wait for partitions.
    pub demanded: usize,
    /// Those of them that the layouts serve.
    pub served: usize,
    /// No layouts serve more.
    pub most_served: usize,
    /// No layouts serve more that change no more devices than the question allows.
    pub most_served_within_changes: usize,
    /// Those that the scheduler places without any plan, where drivers offer all partitions.
    pub served_without_plan: usize,
    /// How many devices with partitions in use change.
    pub repartitioned: usize,
    /// No layouts that serve as many change fewer; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_repartitioned: Option<usize>,
    /// `proven` where both bounds are met, else `found`.
    pub certainty: &'static str,
    /// Whether the allocator and all filters accept the layouts, with every pod on its partitions.
    pub verified: bool,
    /// The devices, by node and pool.
    pub devices: Vec<DeviceLayout>,
    /// Pods that run and get other partitions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<PartitionMove>,
    /// Pods that are not served, as `namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_served: Vec<String>,
    /// Pods that wait, but for no partitions alone, as `namespace/name`; they have no part in the plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Partitions over all layouts by kind, before and after.
    pub profiles: BTreeMap<String, ProfileCount>,
}

/// How many partitions of a kind are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileCount {
    /// Before.
    pub before: usize,
    /// After.
    pub after: usize,
}

/// The layout of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceLayout {
    /// The node.
    pub node: String,
    /// `driver/pool`
    pub pool: String,
    /// Its counter sets.
    pub counter_sets: Vec<String>,
    /// Whether partitions in use go.
    pub repartitioned: bool,
    /// Partitions that are held now.
    pub before: Vec<HeldPartition>,
    /// Partitions to hold.
    pub after: Vec<HeldPartition>,
}

/// A partition and who has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldPartition {
    /// The device's name.
    pub device: String,
    /// What kind of partition it is.
    pub profile: String,
    /// Who has it, as `namespace/name`; absent where no pod is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// A pod that runs and gets other partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionMove {
    /// `namespace/name`
    pub pod: String,
    /// Its partitions now, as `driver/pool/device`.
    pub from: Vec<String>,
    /// Its partitions in the plan.
    pub to: Vec<String>,
}
