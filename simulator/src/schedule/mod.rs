//! The scheduling cycle: queue, filters in kube-scheduler's order, choice of a node, allocation of claims.
//!
//! A pod is looked at once, in the order of the queue. Every node is refused by the first filter that refuses
//! it, in the order NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodePorts, NodeResourcesFit,
//! VolumeRestrictions, NodeVolumeLimits, VolumeBinding, VolumeZone, PodTopologySpread, InterPodAffinity, DynamicResources. Of the nodes that fit, the one with the best score gets the pod; of several, the first by name.

mod apply;
mod attempt;
mod beginning;
mod budgets;
mod changes;
mod claims;
mod cluster_state;
mod configuration;
mod cycle;
mod devices;
mod eviction;
mod explain;
mod extended;
mod filter;
mod first_fit;
mod freeze;
mod gang_placements;
mod gangs;
mod held_devices;
mod interner;
mod neighbours;
mod node;
mod nodes;
mod nominations;
mod options;
mod placement;
mod plan;
mod pods;
mod ports;
mod preemption;
mod prepare;
mod problem;
mod profile;
mod queue;
mod report;
mod resources;
mod run;
mod score;
mod selector;
mod single;
mod standing;
mod taints;
mod tally;
#[cfg(test)]
mod tests;
mod ties;
mod topology;
mod turns;
mod verdicts;
mod view;
mod volumes;
mod workers;
mod worlds;

pub use apply::simulate_and_apply;
pub use attempt::{Attempt, AttemptClaim};
pub use claims::ClaimId;
pub use cluster_state::ClusterState;
pub use configuration::ConfigurationError;
pub(crate) use eviction::{Borne, bears_device_taint};
pub use held_devices::DevicesInTheWay;
pub use options::{DEFAULT_STEP_BUDGET, Observer, Options, SimulateError};
pub use pods::{PodId, PodPlace};
pub use preemption::{Preemption, Victim};
pub use prepare::Prepared;
pub use problem::run_problem;
pub use profile::{FilterPlugin, SchedulerProfile, ScoreWeights, ScoringStrategy};
pub(crate) use report::attempted as pod_report;
pub(crate) use run::assumptions;
pub use run::simulate;
pub use single::{ClaimSelection, allocate_on_node, explain_on_node};
pub use view::{ClaimView, NodeUse, PoolUse};
pub use worlds::worlds;
