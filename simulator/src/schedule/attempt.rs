//! What an attempt to place a pod comes to.

use super::claims::{ClaimId, PodClaim};
use super::explain::ExplainedInFull;
use super::held_devices::DevicesInTheWay;
use super::preemption::Preemption;
use crate::report::{ErrorReport, PodOutcome, Reason};

/// What an attempt to place a pod came to.
#[derive(Debug)]
pub struct Attempt {
    /// What became of the pod.
    pub outcome: PodOutcome,
    /// Number of the node that the pod got.
    pub node: Option<usize>,
    /// Numbers of the nodes that had the best score, among them the one that the pod got.
    pub best: Vec<usize>,
    /// Its claims after the attempt.
    pub claims: Vec<AttemptClaim>,
    /// The line that the scheduler writes into the pod's condition, or what ended the attempt.
    pub message: Option<String>,
    /// Why nodes refused the pod, most nodes first.
    pub reasons: Vec<Reason>,
    /// The error that ended the attempt.
    pub error: Option<ErrorReport>,
    /// Who was preempted to make room, round after round; the last round comes before the final attempt.
    pub preemptions: Vec<Preemption>,
    /// What preemption does not see: pods of lower priority that hold devices in the pod's way.
    pub devices_in_the_way: Option<DevicesInTheWay>,
    /// Remarks.
    pub notes: Vec<String>,
    pub(crate) explained: ExplainedInFull,
}

/// A claim of a pod after the attempt.
#[derive(Debug)]
pub struct AttemptClaim {
    /// The entry of `spec.resourceClaims`; `None` for extended resources.
    pub pod_claim: Option<String>,
    /// Its number.
    pub claim: ClaimId,
    /// Whether it had devices before.
    pub allocated_before: bool,
}

impl AttemptClaim {
    /// A claim that the attempt did not change.
    pub(super) fn before(claim: &PodClaim) -> Self {
        Self { pod_claim: Some(claim.name.clone()), claim: claim.claim, allocated_before: true }
    }
}

impl Attempt {
    pub(super) fn new(outcome: PodOutcome) -> Self {
        Self {
            outcome,
            node: None,
            best: Vec::new(),
            claims: Vec::new(),
            message: None,
            reasons: Vec::new(),
            error: None,
            preemptions: Vec::new(),
            devices_in_the_way: None,
            notes: Vec::new(),
            explained: ExplainedInFull::default(),
        }
    }

    pub(super) fn gated(message: String) -> Self {
        Self { message: Some(message), ..Self::new(PodOutcome::Gated) }
    }

    /// A plugin refuses so many nodes for one reason, before it looks at any of them.
    pub(super) fn refused(plugin: &str, reason: String, nodes: usize, message: String) -> Self {
        let reasons =
            vec![Reason { plugin: plugin.to_owned(), reason, nodes, nearest: None, devices: Vec::new() }];
        Self { message: Some(message), reasons, ..Self::new(PodOutcome::Unschedulable) }
    }

    pub(super) fn failed(kind: &str, message: String, node: Option<String>) -> Self {
        Self {
            message: Some(message.clone()),
            error: Some(ErrorReport { kind: kind.to_owned(), message, node }),
            ..Self::new(PodOutcome::Error)
        }
    }
}
