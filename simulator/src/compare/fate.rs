//! What becomes of a pod, and how that differs between two simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::report::{DeviceReport, PodOutcome, PodReport, SimulationReport};

/// What becomes of a pod, without explanations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fate {
    /// The verdict.
    pub outcome: PodOutcome,
    /// The node it runs on or was placed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Devices as `request=driver/pool/device`, by the pod's name for the claim, or the claim's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<String, Vec<String>>,
    /// Why it has no node: the scheduler's line, or the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Fate {
    /// What a report says of a pod.
    pub fn of(pod: &PodReport) -> Self {
        let devices = pod.claims.iter().filter(|_| !pod.outcome.is_pending()).map(|claim| {
            let name = claim.pod_claim.as_ref().unwrap_or(&claim.name).clone();
            (name, claim.devices.iter().map(device).collect())
        });
        let error = pod.error.as_ref().map(|error| format!("{}: {}", error.kind, error.message));
        Self {
            outcome: pod.outcome,
            node: pod.node.clone(),
            devices: devices.collect(),
            message: error.or_else(|| pod.message.clone()),
        }
    }

    /// What a reader wants to know in one line.
    pub fn text(&self) -> String {
        if self.outcome.is_pending() {
            let message = self.message.as_deref().and_then(|message| message.lines().next());
            return format!("{}: {}", self.outcome.as_str(), message.unwrap_or("-"));
        }
        let devices: Vec<&str> = self.devices.values().flatten().map(String::as_str).collect();
        let node = self.node.as_deref().unwrap_or("-");
        if devices.is_empty() {
            format!("on {node}")
        } else {
            format!("on {node} with {}", devices.join(", "))
        }
    }
}

fn device(device: &DeviceReport) -> String {
    let DeviceReport { request, driver, pool, device, consumed_capacity, admin_access } = device;
    let mut text = format!("{request}={driver}/{pool}/{device}");
    for (name, amount) in consumed_capacity {
        let _ = write!(text, "[{name}={amount}]");
    }
    if *admin_access {
        text.push_str("[admin]");
    }
    text
}

/// In what a pod's fate differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It had a node and has none.
    Lost,
    /// It had no node and has one.
    Gained,
    /// It has another node.
    Moved,
    /// It has other devices on the same node.
    Devices,
    /// It has no node either way, with another verdict: an error instead of no fitting node, for instance.
    Verdict,
    /// It has no node either way, with the same verdict for another reason.
    Reason,
    /// It is only in the second.
    Added,
    /// It is only in the first.
    Removed,
}

impl ChangeKind {
    /// The text used in reports, such as `lost`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Gained => "gained",
            Self::Moved => "moved",
            Self::Devices => "devices",
            Self::Verdict => "verdict",
            Self::Reason => "reason",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }

    /// Between two fates of one pod; `None` where they are the same.
    pub fn between(before: &Fate, after: &Fate) -> Option<Self> {
        match (before.outcome.is_pending(), after.outcome.is_pending()) {
            (true, false) => Some(Self::Gained),
            (false, true) => Some(Self::Lost),
            (false, false) if before.node != after.node => Some(Self::Moved),
            (false, false) => (before.devices != after.devices).then_some(Self::Devices),
            (true, true) if before.outcome != after.outcome => Some(Self::Verdict),
            (true, true) => (before.message != after.message).then_some(Self::Reason),
        }
    }
}

/// A pod whose fate differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodChange {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// In what.
    pub change: ChangeKind,
    /// The first fate; absent for a pod that is only in the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Fate>,
    /// The second fate; absent for a pod that is only in the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Fate>,
}

/// Fates by namespace and name.
pub(super) type Fates = BTreeMap<(String, String), Fate>;

pub(super) fn fates(report: &SimulationReport) -> Fates {
    let entry = |pod: &PodReport| ((pod.namespace.clone(), pod.name.clone()), Fate::of(pod));
    report.pods.iter().map(entry).collect()
}

/// Pods whose fate differs between two reports, by namespace and name.
pub fn changes(before: &SimulationReport, after: &SimulationReport) -> Vec<PodChange> {
    compare(&fates(before), &fates(after))
}

pub(super) fn compare(before: &Fates, after: &Fates) -> Vec<PodChange> {
    let names: BTreeSet<&(String, String)> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter_map(|key| {
            let (first, second) = (before.get(key), after.get(key));
            let change = match (first, second) {
                (Some(first), Some(second)) => ChangeKind::between(first, second)?,
                (None, Some(_)) => ChangeKind::Added,
                (Some(_), None) => ChangeKind::Removed,
                (None, None) => return None,
            };
            Some(PodChange {
                namespace: key.0.clone(),
                name: key.1.clone(),
                change,
                before: first.cloned(),
                after: second.cloned(),
            })
        })
        .collect()
}
