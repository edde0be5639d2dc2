//! Answers of what-ifs.

mod capacity;
mod failure;

pub use capacity::{CapacityItem, CapacityReport, Copies, Stop};
pub use failure::{
    EvictedPod, FailureReport, FailureSummary, Fate, FatePlace, KindSummary, Shard, UnitReport,
};
