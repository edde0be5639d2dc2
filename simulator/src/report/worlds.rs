//! Possible worlds: what chance has to do with the fate of pods.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Assumptions;

/// The answer of `dray simulate --worlds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldsReport {
    /// [`API_VERSION`](super::API_VERSION)
    pub api_version: &'static str,
    /// `WorldsReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// How many worlds were run.
    pub worlds: usize,
    /// The seed of their numbers.
    pub seed: u64,
    /// Counts of pods.
    pub summary: WorldsSummary,
    /// Every pod that waited, and every pod that was preempted in some world, by namespace and name.
    pub pods: Vec<WorldPod>,
}

/// Counts of pods over all worlds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldsSummary {
    /// All that are reported on.
    pub pods: usize,
    /// With a node in every world.
    pub always: usize,
    /// With a node in some worlds.
    pub sometimes: usize,
    /// With a node in no world that was run.
    pub never: usize,
    /// On more than one node, by world.
    pub on_several_nodes: usize,
}

/// What became of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldPod {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// The verdict over all worlds.
    pub fate: WorldFate,
    /// In how many worlds it has a node.
    pub placed: usize,
    /// Outcomes, such as `scheduled`, with the number of worlds.
    pub outcomes: BTreeMap<String, usize>,
    /// Its nodes, with the number of worlds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, usize>,
}

/// Whether a pod has a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorldFate {
    /// In every world that was run.
    Always,
    /// In some of them.
    Sometimes,
    /// In none of them.
    Never,
}

impl WorldFate {
    /// The text used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Sometimes => "sometimes",
            Self::Never => "never",
        }
    }
}
