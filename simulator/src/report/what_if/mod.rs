//! Answers of what-ifs.

mod capacity;
mod defrag;
mod failure;
mod plan;
mod removal;
mod scale_up;

pub use capacity::{CapacityItem, CapacityReport, CopiedGang, Copies, Stop};
pub use defrag::{AdmittedPod, DefragMove, DefragReport, DefragVerdict};
pub use failure::{
    EvictedPod, FailureReport, FailureSummary, Fate, FatePlace, KindSummary, Shard, UnitReport,
};
pub use plan::{DeviceLayout, HeldPartition, PartitionMove, PartitionPlanReport, ProfileCount};
pub use removal::{ClaimMove, NodeRemoval, NodeUtilisation, PodMove, PoolShare, RemovalReport};
pub use scale_up::{LeftPod, ScaleUpOption, ScaleUpPlan, ScaleUpReport, ScaleUpRound, Waste};
