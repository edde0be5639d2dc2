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
    /// Every node, by name, with what it says to the pod alone; empty for a pod that runs already.
    pub nodes: Vec<NodeVerdict>,
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

/// Schedules the pods that come before a pod in the queue, then the pod, and asks every node about it.
///
/// The full explanations of the report are those of `dray simulate --explain`.
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
    let mut explanation = PodExplanation {
        api_version: API_VERSION,
        kind: "PodExplanation",
        assumptions: crate::schedule::assumptions(prepared, options, &state),
        pod: crate::schedule::report_running(&state, id).ok_or_else(missing)?,
        pods_before: 0,
        nodes: Vec::new(),
    };
    if !state.is_pending(id) {
        return Ok(explanation);
    }
    state.set_explanations(false, false);
    let waiting: Vec<PodId> = state.pods().map(|(id, _, _)| id).collect();
    let waiting = waiting.into_iter().filter(|&id| state.is_pending(id)).collect();
    for before in state.in_queue_order(waiting) {
        if before == id {
            break;
        }
        state.attempt(before, cancel)?;
        explanation.pods_before += 1;
    }
    state.set_explanations(true, false);
    explanation.nodes = verdicts(&state, id, cancel)?;
    state.set_explanations(true, true);
    let attempt = state.attempt(id, cancel)?;
    if let Some(mut report) = crate::schedule::report_attempt(&state, id, attempt) {
        report.expanded_from = prepared.made_from(namespace, name).map(str::to_owned);
        explanation.pod = report;
    }
    Ok(explanation)
}

fn verdicts(state: &ClusterState, id: PodId, cancel: &AtomicBool) -> Result<Vec<NodeVerdict>, SimulateError> {
    let mut verdicts = Vec::new();
    for &at in state.node_numbers().iter() {
        let Some(node) = state.node(at) else { continue };
        let mut fork = state.clone();
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
