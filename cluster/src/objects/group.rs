//! Groups of pods that are scheduled together.

use super::{Metadata, Origin};

/// `scheduling.k8s.io` `PodGroup` (KEP-4671), or the one of the scheduler plugin Coscheduling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodGroup {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.schedulingPolicy.gang.minCount`, or `spec.minMember`: how many pods start together or not at all; `None`
    /// where each starts for itself.
    pub min_count: Option<i64>,
}
