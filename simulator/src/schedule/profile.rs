//! What a scheduler's configuration chooses: which plugins have a say, and how much.

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

impl SchedulerProfile {
    /// How many feasible nodes are looked for among `nodes`.
    pub(crate) fn nodes_to_find(&self, nodes: usize) -> usize {
        const LEAST: usize = 100;
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
