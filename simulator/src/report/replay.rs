//! What became of a cluster through time. Seconds count from the first arrival.

use serde::Serialize;

use super::{Assumptions, DeviceReport};

/// The answer of a replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// [`API_VERSION`](super::API_VERSION)
    pub api_version: &'static str,
    /// `ReplayReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// From the first arrival to the last event.
    pub seconds: u64,
    /// Pods that had a node at some time.
    pub placed: usize,
    /// Pods that never had one.
    pub never_placed: usize,
    /// How long placed pods waited, in seconds.
    pub wait: WaitSummary,
    /// Allocations of devices, as a mean over time.
    pub mean_device_allocations: f64,
    /// The most at one moment.
    pub most_device_allocations: usize,
    /// The most pods that waited at one moment.
    pub most_waiting: usize,
    /// The cluster at moments that are evenly spread.
    pub moments: Vec<Moment>,
    /// Every pod.
    pub pods: Vec<PodTimes>,
}

/// Seconds between arrival and node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitSummary {
    /// Mean.
    pub mean: u64,
    /// Half of the pods waited no longer.
    pub median: u64,
    /// 95 % of the pods waited no longer.
    pub percent95: u64,
    /// The longest.
    pub longest: u64,
}

/// A cluster at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// When.
    pub second: u64,
    /// Pods with a node.
    pub running: usize,
    /// Pods that wait for one.
    pub waiting: usize,
    /// Allocations of devices. Admin access does not count.
    pub device_allocations: usize,
}

/// When a pod came and went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTimes {
    /// `namespace/name`
    pub pod: String,
    /// Its arrival.
    pub arrived: u64,
    /// When it got its node; absent where it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed: Option<u64>,
    /// When it left; absent where it stayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its devices there, in the order of its claims.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceReport>,
}
