//! How much of a cluster's idle devices pods can use, and what keeps them from the rest.
//!
//! The measure is that of "Beware of Fragmentation" (Weng et al., USENIX ATC 2023), on DRA objects: for each typical
//! demand of the cluster's own pods, all idle devices of a node count as fragment where such a pod does not fit, and
//! where it fits, those that are left when the node is filled with such pods. The mean over the demands, weighted by
//! their numbers of pods, is the node's fragment. Whether a pod fits is asked of the scheduling cycle itself, so
//! selectors, constraints, counters, capacities, taints and affinity count as they do when it is scheduled.
//!
//! Where a pod does not fit, it is tried again with one obstacle taken away: without CPU requests, without memory
//! requests, without constraints between devices. What then fits was stranded by that.

mod demand;
mod idle;
mod measure;
mod probe;
mod profiles;
#[cfg(test)]
mod tests;

pub use measure::measure;
