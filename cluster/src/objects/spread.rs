//! How pods want to be spread, and near which other pods they want to be.

use super::LabelSelector;

/// `core/v1` `TopologySpreadConstraint`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologySpreadConstraint {
    /// `maxSkew`
    pub max_skew: i32,
    /// `topologyKey`
    pub topology_key: String,
    /// Whether `whenUnsatisfiable` is `DoNotSchedule`; else it is `ScheduleAnyway`.
    pub required: bool,
    /// `labelSelector`; `None` selects no pod.
    pub selector: Option<LabelSelector>,
    /// `minDomains`: 1 where absent.
    pub min_domains: i32,
    /// `nodeAffinityPolicy`: whether only nodes that the pod's node affinity accepts count; true where absent.
    pub honors_affinity: bool,
    /// `nodeTaintsPolicy`: whether only nodes whose taints the pod tolerates count; false where absent.
    pub honors_taints: bool,
    /// `matchLabelKeys`
    pub match_label_keys: Vec<String>,
}

/// `podAffinity` or `podAntiAffinity` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodAffinity {
    /// `requiredDuringSchedulingIgnoredDuringExecution`
    pub required: Vec<PodAffinityTerm>,
    /// `preferredDuringSchedulingIgnoredDuringExecution`: weights, 1 to 100, and terms.
    pub preferred: Vec<(i64, PodAffinityTerm)>,
}

/// `core/v1` `PodAffinityTerm`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodAffinityTerm {
    /// `labelSelector`; `None` selects no pod.
    pub selector: Option<LabelSelector>,
    /// `namespaces`
    pub namespaces: Vec<String>,
    /// `namespaceSelector`; without it and without namespaces the pod's own namespace counts.
    pub namespace_selector: Option<LabelSelector>,
    /// `topologyKey`
    pub topology_key: String,
    /// `matchLabelKeys`
    pub match_label_keys: Vec<String>,
    /// `mismatchLabelKeys`
    pub mismatch_label_keys: Vec<String>,
}
