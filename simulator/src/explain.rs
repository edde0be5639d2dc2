//! Why one pod is where it is, or waits: every node's first refusing plugin, and the facts about devices.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::report::{API_VERSION, Assumptions, DeviceFailure, PodOutcome, PodReport};
use crate::schedule::{ClusterState, Options, PodId, Prepared, SimulateError};

/// The answer of `dray explain`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodExplanation {
    /// [`API_VERSION`]
    pub api_version: &'static str,
    /// `PodExplanation`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// What became of the pod.
    pub pod: PodReport,
    /// How many pending pods were placed or tried before it, since they come first in the queue.
    pub pods_before: usize,
    /// Every node, by name, with what it says to the pod alone, before anybody is preempted for it; empty for a pod that
    /// runs already.
    pub nodes: Vec<NodeVerdict>,
    /// The group that it belongs to, if it waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gang: Option<GangReport>,
}

/// What a node says to a pod, all pods before it being placed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeVerdict {
    /// The node.
    pub node: String,
    /// Whether the pod fits.
    pub fits: bool,
    /// The first plugin that refuses the pod; absent where it fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The plugin's reasons in the scheduler's words, with amounts where something is short; or the error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What stands in the way of devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceFailure>,
}

/// The group that a pod starts with, or not at all.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GangReport {
    /// Its name, as `namespace/name`; in 1.35 `namespace/workload/name/replica`.
    pub name: String,
    /// How many of its pods start together or not at all; absent where each starts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_count: Option<usize>,
    /// How many of its pods had nodes before its turn.
    pub placed_before: usize,
    /// Its pods that waited, in the order in which they were tried.
    pub members: Vec<MemberReport>,
}

/// A pod of a group, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberReport {
    /// `namespace/name`
    pub pod: String,
    /// What became of it.
    pub outcome: PodOutcome,
    /// Its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The scheduler's line about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Schedules all pods, as [`simulate`](crate::schedule::simulate) does, and asks every node about one of them just before it
/// is its turn.
///
/// What becomes of the pod is what `dray simulate` says, with preemption and gangs. The full explanations of the report
/// are those of `dray simulate --explain`.
pub fn explain_pod(
    prepared: &Prepared,
    namespace: &str,
    name: &str,
    options: &Options,
    cancel: &AtomicBool,
) -> Result<PodExplanation, SimulateError> {
    let full_name = format!("{namespace}/{name}");
    let mut state = ClusterState::new(prepared, options);
    let missing = || SimulateError::PodMissing { name: full_name.clone() };
    let id = state.find_pod(&full_name).ok_or_else(missing)?;
    let assumptions = crate::schedule::assumptions(prepared, options, &state);
    state.set_explanations(false, false);
    let (mut pods_before, mut nodes, mut together) = (0, Vec::new(), None);
    let mut done = false;
    let reports = state.run_watched(&mut (), cancel, &mut |state, due| {
        if !due.contains(&id) {
            if !done {
                pods_before += due.len();
            }
            state.set_explanations(false, false);
            return Ok(());
        }
        done = true;
        state.set_explanations(true, false);
        nodes = verdicts(state, id, cancel)?;
        together = state.group_of(id).map(|group| {
            let members: Vec<String> = due.iter().filter_map(|&id| state.pod_name(id)).collect();
            (state.placed_of(&group), state.gang_size(&group), group, members)
        });
        state.set_explanations(true, true);
        Ok(())
    })?;
    let report_of = |name: &str| {
        reports.iter().find(|report| name.split_once('/') == Some((&*report.namespace, &*report.name)))
    };
    let gang = together.map(|(placed_before, min_count, name, members)| {
        let member = |pod: String| {
            let report = report_of(&pod)?;
            let (node, message) = (report.node.clone(), report.message.clone());
            Some(MemberReport { outcome: report.outcome, node, message, pod })
        };
        GangReport {
            name,
            min_count,
            placed_before,
            members: members.into_iter().filter_map(member).collect(),
        }
    });
    let mut pod = report_of(&full_name).cloned().ok_or_else(missing)?;
    if done {
        pod.expanded_from = prepared.made_from(namespace, name).map(str::to_owned);
    }
    let kind = "PodExplanation";
    Ok(PodExplanation { api_version: API_VERSION, kind, assumptions, pod, pods_before, nodes, gang })
}

fn verdicts(state: &ClusterState, id: PodId, cancel: &AtomicBool) -> Result<Vec<NodeVerdict>, SimulateError> {
    let mut verdicts = Vec::new();
    for &at in state.node_numbers().iter() {
        let Some(node) = state.node(at) else { continue };
        let mut fork = state.clone();
        fork.allow_preemption(false);
        let attempt = fork.attempt_on(&[at], id, cancel)?;
        let mut verdict = NodeVerdict {
            node: node.metadata.name.clone(),
            fits: attempt.outcome == PodOutcome::Scheduled,
            plugin: None,
            reasons: Vec::new(),
            devices: Vec::new(),
        };
        if let Some(error) = &attempt.error {
            verdict.plugin = Some("DynamicResources".to_owned());
            verdict.reasons.push(format!("{}: {}", error.kind, error.message));
        } else if !verdict.fits && attempt.reasons.is_empty() {
            verdict.reasons.extend(attempt.message.clone());
        }
        for reason in attempt.reasons {
            verdict.plugin.get_or_insert_with(|| reason.plugin.clone());
            verdict.reasons.push(match reason.nearest {
                Some(nearest) => format!("{}: {}", reason.reason, nearest.message),
                None => reason.reason,
            });
            verdict.devices.extend(reason.devices);
        }
        verdicts.push(verdict);
    }
    Ok(verdicts)
}
