//! Answers of what-ifs.

mod capacity;
mod failure;
mod removal;
mod scale_up;

pub use capacity::{CapacityItem, CapacityReport, Copies, Stop};
pub use failure::{
    EvictedPod, FailureReport, FailureSummary, Fate, FatePlace, KindSummary, Shard, UnitReport,
};
pub use removal::{ClaimMove, NodeRemoval, NodeUtilisation, PodMove, PoolShare, RemovalReport};
pub use scale_up::{LeftPod, ScaleUpOption, ScaleUpPlan, ScaleUpReport, ScaleUpRound, Waste};
