//! Why the allocator finds no devices: diagnoses of single nodes, merged over all nodes that fail alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::Diagnosis;
use drayage_allocator::diagnosis::{Attempt, Needed, Refusal, UnusablePool, UnusablePoolState};
use drayage_allocator::objects::ResourceClaim;

use crate::report::{DeviceFailure, NodeExplanation, RefusalCount};

/// Full explanations for a pod, or the pod whose explanations hold for it too.
#[derive(Debug, Default)]
pub(crate) struct ExplainedInFull {
    pub(crate) explanations: Vec<NodeExplanation>,
    pub(crate) like: Option<String>,
}

/// How many groups of nodes that fail alike are explained in full.
pub(crate) const NODES_EXPLAINED: usize = 3;

/// What failed on one node. Claims are placeholders, so that it holds for every pod with the same demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeFailure {
    key: Key,
    usable: usize,
    refusals: Vec<RefusalCount>,
}

/// What makes failures of two nodes alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    claim: String,
    request: String,
    needed: Option<usize>,
    kinds: Vec<(String, String)>,
}

/// The claims under names that only say which of them it is.
pub(crate) fn anonymous(claims: &[&ResourceClaim]) -> Vec<ResourceClaim> {
    let anonymous = |(index, claim): (usize, &&ResourceClaim)| ResourceClaim {
        namespace: String::new(),
        name: placeholder(index),
        ..(*claim).clone()
    };
    claims.iter().enumerate().map(anonymous).collect()
}

fn placeholder(index: usize) -> String {
    // No object's name and no expression that compiles has a control character.
    format!("\u{1}{index}\u{1}")
}

/// One failure for the request of a diagnosis, or one for each of its alternatives.
pub(crate) fn failures(
    diagnosis: &Diagnosis,
    devices_of: impl Fn(&UnusablePool) -> usize,
) -> Arc<[NodeFailure]> {
    let pools: Vec<(String, RefusalCount)> = diagnosis
        .pools
        .iter()
        .map(|pool| {
            let kind = match pool.state {
                UnusablePoolState::Incomplete { .. } => "pool-incomplete",
                UnusablePoolState::Invalid { .. } => "pool-invalid",
            };
            let count =
                RefusalCount { kind: kind.to_owned(), message: pool.to_string(), devices: devices_of(pool) };
            // The pool's name is the node's, mostly, and should not keep nodes apart.
            (String::new(), count)
        })
        .collect();
    let failure = |attempt: &Attempt| {
        let mut counted = refusals(attempt);
        counted.extend(pools.iter().cloned());
        if counted.is_empty() && attempt.usable.is_empty() {
            let message = "the node has no devices".to_owned();
            counted
                .push((message.clone(), RefusalCount { kind: "no-devices".to_owned(), message, devices: 0 }));
        }
        let mut kinds: Vec<(String, String)> =
            counted.iter().map(|(group, count)| (count.kind.clone(), group.clone())).collect();
        kinds.sort();
        kinds.dedup();
        NodeFailure {
            key: Key {
                claim: diagnosis.claim.clone(),
                request: attempt.request.clone(),
                needed: match attempt.needed {
                    Needed::Count(count) => Some(count),
                    Needed::All { .. } => None,
                },
                kinds,
            },
            usable: attempt.usable.len(),
            refusals: counted.into_iter().map(|(_, count)| count).collect(),
        }
    };
    diagnosis.attempts.iter().map(failure).collect()
}

/// Refusals by group, most devices first. Where only one device lacks something, it is said how much.
fn refusals(attempt: &Attempt) -> Vec<(String, RefusalCount)> {
    let first_of = |group: &str| attempt.refused.iter().find(|refused| refused.refusal.group() == *group);
    attempt
        .counts()
        .into_iter()
        .filter_map(|(group, devices)| {
            let refused = first_of(&group)?;
            let has_values = matches!(
                refused.refusal,
                Refusal::Capacity { .. }
                    | Refusal::Groups { .. }
                    | Refusal::Counters { .. }
                    | Refusal::Constraint { .. }
            );
            let message = if devices == 1 && has_values {
                format!("{}, {}", refused.device.device, refused.refusal)
            } else {
                group.clone()
            };
            let count = RefusalCount { kind: kind(&refused.refusal).to_owned(), message, devices };
            Some((group, count))
        })
        .collect()
}

fn kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::GateOff { .. } => "gate-off",
        Refusal::Selector { failed: false, .. } => "selector",
        Refusal::Selector { failed: true, .. } => "selector-error",
        Refusal::NodeSelection => "node-selection",
        Refusal::InUse { .. } => "in-use",
        Refusal::CapacityMissing { .. } | Refusal::CapacityPolicy { .. } | Refusal::Capacity { .. } => {
            "capacity"
        }
        Refusal::Counters { .. } => "counters",
        Refusal::Groups { .. } => "compatibility-groups",
        Refusal::NodeOperations => "node-operations",
        Refusal::Taint { .. } => "taint",
        Refusal::Constraint { .. } => "constraint",
        Refusal::Limit => "limit",
        Refusal::Combination => "combination",
    }
}

/// Failures of many nodes, merged where they are alike.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    /// Number of nodes, the nearest node, and its failure.
    by_key: BTreeMap<Key, (usize, usize, NodeFailure)>,
}

impl Merged {
    /// Adds what failed on a node. Nodes come in their order.
    pub(crate) fn add(&mut self, node: usize, failures: &[NodeFailure]) {
        for failure in failures {
            match self.by_key.get_mut(&failure.key) {
                Some((nodes, nearest, best)) => {
                    *nodes += 1;
                    if failure.usable > best.usable {
                        (*nearest, *best) = (node, failure.clone());
                    }
                }
                None => {
                    self.by_key.insert(failure.key.clone(), (1, node, failure.clone()));
                }
            }
        }
    }

    /// The failures, most nodes first, with the claims' real names.
    pub(crate) fn into_failures(
        self,
        claims: &[&ResourceClaim],
        node_name: impl Fn(usize) -> String,
    ) -> Vec<DeviceFailure> {
        let named = |text: &str| {
            let mut text = text.to_owned();
            if text.contains('\u{1}') {
                for (index, claim) in claims.iter().enumerate() {
                    text = text.replace(&placeholder(index), &claim.full_name());
                }
            }
            text
        };
        let mut failures: Vec<DeviceFailure> = self
            .by_key
            .into_values()
            .map(|(nodes, nearest, failure)| DeviceFailure {
                nodes,
                claim: named(&failure.key.claim),
                request: failure.key.request,
                needed: failure.key.needed,
                usable: failure.usable,
                refusals: failure
                    .refusals
                    .into_iter()
                    .map(|refusal| RefusalCount { message: named(&refusal.message), ..refusal })
                    .collect(),
                nearest_node: node_name(nearest),
            })
            .collect();
        // Equal counts stay in the order of their keys.
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.nodes));
        failures
    }
}
