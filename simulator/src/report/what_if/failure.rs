//! What happens when nodes or devices fail.

use serde::{Deserialize, Serialize};

use crate::report::{Assumptions, DeviceReport};

/// The answer of `dray fail`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
    /// [`crate::report::API_VERSION`]
    pub api_version: &'static str,
    /// `FailureReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// The part of a sweep that this is; absent for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Counts over the units.
    pub summary: FailureSummary,
    /// What failed, worst first: most pods without a place, then most that nobody makes anew, then most evicted, then
    /// in the order of the units.
    pub units: Vec<UnitReport>,
}

/// A part of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Which part, from 1.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

/// Counts over units, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureSummary {
    /// Units that were looked at.
    pub units: usize,
    /// Units whose failure leaves no pod without a place.
    pub safe: usize,
    /// Units for which the search for devices ended at its budget somewhere.
    pub undecided: usize,
    /// The same for units of one kind.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty", default)]
    pub by_kind: std::collections::BTreeMap<String, KindSummary>,
}

/// Counts over the units of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindSummary {
    /// Units that were looked at.
    pub units: usize,
    /// Units whose failure leaves no pod without a place.
    pub safe: usize,
}

impl FailureSummary {
    /// Counts.
    pub fn of(units: &[UnitReport]) -> Self {
        let mut summary = Self::default();
        for unit in units {
            let kind = summary.by_kind.entry(unit.kind.clone()).or_default();
            kind.units += 1;
            summary.units += 1;
            if unit.undecided > 0 {
                summary.undecided += 1;
            }
            if unit.is_safe() {
                kind.safe += 1;
                summary.safe += 1;
            }
        }
        summary
    }
}

/// The consequences of one failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitReport {
    /// Position among all units, from 0.
    pub number: usize,
    /// `node`, `device`, `domain`, `taint-rule` or `combination`.
    pub kind: String,
    /// What failed: a node's name, `driver/pool/device`, `key=value`, the name of a rule, or several with `+`.
    pub name: String,
    /// How many nodes fail.
    pub nodes: usize,
    /// How many devices fail or are tainted, those of failed nodes included.
    pub devices: usize,
    /// Pods that lose their place, by the failure or to those that it evicts.
    pub evicted: usize,
    /// Evicted pods that find a new place, were they made anew.
    pub moved: usize,
    /// Evicted pods that find none.
    pub stuck: usize,
    /// Evicted pods for which that was not decided within the budget.
    pub undecided: usize,
    /// Evicted pods that have no controller, so that nobody makes them anew; they are counted above as well.
    pub unowned: usize,
    /// Evicted pods that were preempted by others that were evicted; they are counted above as well.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub preempted: usize,
    /// Gangs, as `namespace/name`, of which enough pods were on nodes before the failure and too few are after it. Pods
    /// that are left keep running.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub broken_gangs: Vec<String>,
    /// Pods of DaemonSets and static pods that go with their nodes and look for no other place.
    pub gone_with_node: usize,
    /// Every evicted pod, in the order of the queue; those that were preempted follow the others.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub pods: Vec<EvictedPod>,
}

impl UnitReport {
    /// Whether every evicted pod surely finds a place.
    pub fn is_safe(&self) -> bool {
        self.stuck == 0 && self.undecided == 0
    }

    /// Less is worse.
    pub fn rank(&self) -> impl Ord + use<> {
        use std::cmp::Reverse;
        (
            Reverse(self.stuck),
            Reverse(self.undecided),
            Reverse(self.unowned),
            Reverse(self.evicted),
            self.number,
        )
    }
}

/// What becomes of an evicted pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvictedPod {
    /// `namespace/name`
    pub pod: String,
    /// The node it was on.
    pub from: String,
    /// What becomes of it.
    pub fate: Fate,
    /// Its new place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<FatePlace>,
    /// Why it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// Whether nobody makes it anew.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub unowned: bool,
    /// Seconds that it tolerates the taint; it is evicted after them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after_seconds: Option<i64>,
    /// The pod that preempted it, as `namespace/name`, where it lost its place to one that was evicted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub preempted_by: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What becomes of an evicted pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It finds a place.
    Moved,
    /// It finds none.
    Stuck,
    /// Not known within the budget.
    Undecided,
}

/// A new place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FatePlace {
    /// The node.
    pub node: String,
    /// Its devices there.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub devices: Vec<DeviceReport>,
}
