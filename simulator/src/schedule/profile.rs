//! What a scheduler's configuration chooses: which plugins have a say, and how much.

use drayage_cluster::objects::{NodeAffinity, TopologySpreadConstraint};

/// A profile of a scheduler, as `KubeSchedulerConfiguration` describes it. The default is the one of kube-scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerProfile {
    /// `schedulerName`
    pub name: String,
    /// Weights of the plugins that score nodes.
    pub weights: ScoreWeights,
    /// How plugin NodeResourcesFit scores.
    pub strategy: ScoringStrategy,
    /// Resources and weights of plugin NodeResourcesFit's score.
    pub fit_resources: Vec<(String, i64)>,
    /// Resources of plugin NodeResourcesBalancedAllocation.
    pub balanced_resources: Vec<String>,
    /// `percentageOfNodesToScore`; 0 means that it depends on the number of nodes.
    pub percentage_of_nodes_to_score: u32,
    /// `hardPodAffinityWeight` of plugin InterPodAffinity: what a required affinity of a pod that runs is worth.
    pub hard_pod_affinity_weight: i64,
    /// `ignorePreferredTermsOfExistingPods` of plugin InterPodAffinity: whether a pod without preferred terms is not
    /// scored by those of others.
    pub ignore_preferred_of_existing: bool,
    /// `ignoredResources` of plugin NodeResourcesFit: extended resources that its filter does not look at.
    pub ignored_resources: Vec<String>,
    /// `ignoredResourceGroups` of plugin NodeResourcesFit: what stands before the `/` of such resources.
    pub ignored_resource_groups: Vec<String>,
    /// Filters that are turned off.
    pub filters_off: Vec<FilterPlugin>,
    /// `addedAffinity` of plugin NodeAffinity, which every pod of the profile has besides its own.
    pub added_affinity: Option<NodeAffinity>,
    /// `defaultConstraints` of plugin PodTopologySpread with `defaultingType: List`; `None` for the system's.
    pub default_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// `minCandidateNodesPercentage` and `minCandidateNodesAbsolute` of plugin DefaultPreemption; `None` where it is
    /// turned off.
    pub preemption: Option<(u32, u32)>,
}

/// The filters that a configuration can turn off, in the order of the default profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilterPlugin {
    /// NodeUnschedulable
    NodeUnschedulable,
    /// NodeName, which no pending pod can fail.
    NodeName,
    /// TaintToleration
    TaintToleration,
    /// NodeAffinity
    NodeAffinity,
    /// NodePorts
    NodePorts,
    /// NodeResourcesFit
    NodeResourcesFit,
    /// VolumeRestrictions
    VolumeRestrictions,
    /// NodeVolumeLimits
    NodeVolumeLimits,
    /// VolumeBinding
    VolumeBinding,
    /// VolumeZone
    VolumeZone,
    /// PodTopologySpread
    PodTopologySpread,
    /// InterPodAffinity
    InterPodAffinity,
    /// DynamicResources
    DynamicResources,
}

impl FilterPlugin {
    /// All, in the order of the default profile.
    pub const ALL: [Self; 13] = [
        Self::NodeUnschedulable,
        Self::NodeName,
        Self::TaintToleration,
        Self::NodeAffinity,
        Self::NodePorts,
        Self::NodeResourcesFit,
        Self::VolumeRestrictions,
        Self::NodeVolumeLimits,
        Self::VolumeBinding,
        Self::VolumeZone,
        Self::PodTopologySpread,
        Self::InterPodAffinity,
        Self::DynamicResources,
    ];

    /// The plugin's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeUnschedulable => "NodeUnschedulable",
            Self::NodeName => "NodeName",
            Self::TaintToleration => "TaintToleration",
            Self::NodeAffinity => "NodeAffinity",
            Self::NodePorts => "NodePorts",
            Self::NodeResourcesFit => "NodeResourcesFit",
            Self::VolumeRestrictions => "VolumeRestrictions",
            Self::NodeVolumeLimits => "NodeVolumeLimits",
            Self::VolumeBinding => "VolumeBinding",
            Self::VolumeZone => "VolumeZone",
            Self::PodTopologySpread => "PodTopologySpread",
            Self::InterPodAffinity => "InterPodAffinity",
            Self::DynamicResources => "DynamicResources",
        }
    }
}

/// Weights of the plugins that score nodes; 0 turns one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreWeights {
    /// TaintToleration
    pub taint_toleration: i64,
    /// NodeAffinity
    pub node_affinity: i64,
    /// NodeResourcesFit
    pub node_resources_fit: i64,
    /// NodeResourcesBalancedAllocation
    pub balanced_allocation: i64,
    /// PodTopologySpread
    pub pod_topology_spread: i64,
    /// InterPodAffinity
    pub inter_pod_affinity: i64,
    /// DynamicResources
    pub dynamic_resources: i64,
    /// ImageLocality
    pub image_locality: i64,
}

/// `scoringStrategy` of plugin NodeResourcesFit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScoringStrategy {
    /// Nodes with more left are better.
    LeastAllocated,
    /// Nodes with less left are better.
    MostAllocated,
    /// A function of the share in use, linear between points of utilization (0 to 100) and score (0 to 10).
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

impl Default for SchedulerProfile {
    fn default() -> Self {
        Self {
            name: "default-scheduler".to_owned(),
            weights: ScoreWeights::default(),
            strategy: ScoringStrategy::LeastAllocated,
            fit_resources: vec![("cpu".to_owned(), 1), ("memory".to_owned(), 1)],
            balanced_resources: vec!["cpu".to_owned(), "memory".to_owned()],
            percentage_of_nodes_to_score: 0,
            hard_pod_affinity_weight: 1,
            ignore_preferred_of_existing: false,
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
            filters_off: Vec::new(),
            added_affinity: None,
            default_constraints: None,
            preemption: Some((10, 100)),
        }
    }
}

impl Default for ScoreWeights {
    fn default() -> Self {
        Self {
            taint_toleration: 3,
            node_affinity: 2,
            node_resources_fit: 1,
            balanced_allocation: 1,
            pod_topology_spread: 2,
            inter_pod_affinity: 2,
            dynamic_resources: 2,
            image_locality: 1,
        }
    }
}

impl ScoreWeights {
    /// No plugin has a say.
    pub const NONE: Self = Self {
        taint_toleration: 0,
        node_affinity: 0,
        node_resources_fit: 0,
        balanced_allocation: 0,
        pod_topology_spread: 0,
        inter_pod_affinity: 0,
        dynamic_resources: 0,
        image_locality: 0,
    };

    /// The weight of a plugin by its name; `None` for one that does not score.
    pub fn get_mut(&mut self, plugin: &str) -> Option<&mut i64> {
        Some(match plugin {
            "TaintToleration" => &mut self.taint_toleration,
            "NodeAffinity" => &mut self.node_affinity,
            "NodeResourcesFit" => &mut self.node_resources_fit,
            "NodeResourcesBalancedAllocation" => &mut self.balanced_allocation,
            "PodTopologySpread" => &mut self.pod_topology_spread,
            "InterPodAffinity" => &mut self.inter_pod_affinity,
            "DynamicResources" => &mut self.dynamic_resources,
            "ImageLocality" => &mut self.image_locality,
            _ => return None,
        })
    }
}

impl SchedulerProfile {
    /// Whether a filter has a say.
    pub(crate) fn filters_by(&self, plugin: FilterPlugin) -> bool {
        !self.filters_off.contains(&plugin)
    }

    /// Whether the filter of plugin NodeResourcesFit does not look at an extended resource.
    pub(crate) fn ignores(&self, resource: &str) -> bool {
        let group = resource.split('/').next().unwrap_or_default();
        self.ignored_resources.iter().any(|ignored| ignored == resource)
            || self.ignored_resource_groups.iter().any(|ignored| ignored == group)
    }

    /// How many feasible nodes are looked for among `nodes`: without scores the first is as good as any.
    pub(crate) fn nodes_to_find(&self, nodes: usize) -> usize {
        const LEAST: usize = 100;
        if self.weights == ScoreWeights::NONE {
            return nodes.min(1);
        }
        if nodes < LEAST {
            return nodes;
        }
        let percentage = match usize::try_from(self.percentage_of_nodes_to_score).unwrap_or(100) {
            0 => 50_usize.saturating_sub(nodes / 125).max(5),
            percentage => percentage,
        };
        (nodes.saturating_mul(percentage) / 100).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_nodes_to_find_falls_with_the_size_of_the_cluster() {
        let profile = SchedulerProfile::default();
        let found = [1, 99, 100, 200, 1_000, 5_000, 6_000].map(|nodes| profile.nodes_to_find(nodes));
        assert_eq!(found, [1, 99, 100, 100, 420, 500, 300]);
        let all = SchedulerProfile { percentage_of_nodes_to_score: 100, ..profile };
        assert_eq!(all.nodes_to_find(5_000), 5_000);
    }
}
