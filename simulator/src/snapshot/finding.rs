//! What must not change while objects are taken away.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use drayage_cluster::{Input, LoadErrors, LoadOptions, Snapshot, lint, load};
use serde_json::{Value, json};

use crate::report::PodOutcome;
use crate::schedule::{Options, Prepared, SimulateError, simulate};

/// Something about objects that can be seen again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A pod, as `namespace/name`, has no node, for the reasons that it has none for now.
    Pending(String),
    /// `dray lint` has a finding of this rule.
    Rule(String),
}

/// A finding with all that is to stay of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    finding: Finding,
    /// What became of the pod, and every plugin and reason.
    outcome: Option<PodOutcome>,
    reasons: Reasons,
}

/// Plugins and their reasons.
type Reasons = BTreeSet<(String, String)>;

/// Why there is nothing to keep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindingError {
    /// No such pod.
    #[error("pod `{name}` does not exist in the input")]
    PodMissing {
        /// `namespace/name`
        name: String,
    },
    /// The pod has a node.
    #[error("pod `{name}` does not wait for a node")]
    NotPending {
        /// `namespace/name`
        name: String,
    },
    /// It is not known whether the pod has a place.
    #[error("pod `{name}`: the search for devices ended at its budget, so that there is no sure reason")]
    Undecided {
        /// `namespace/name`
        name: String,
    },
    /// No such finding.
    #[error("lint has no finding of rule `{code}`")]
    NoFinding {
        /// The rule.
        code: String,
    },
    /// The simulation ended.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}

impl Kept {
    /// Takes note of a finding as it is in these objects.
    pub fn of(finding: &Finding, snapshot: &Snapshot, options: &Options) -> Result<Self, FindingError> {
        match finding {
            Finding::Pending(name) => {
                let (outcome, reasons) = pending(name, snapshot, options)?;
                match outcome {
                    Some(PodOutcome::Scheduled | PodOutcome::AlreadyRunning) => {
                        Err(FindingError::NotPending { name: name.clone() })
                    }
                    Some(PodOutcome::Undecided) => Err(FindingError::Undecided { name: name.clone() }),
                    None => Err(FindingError::PodMissing { name: name.clone() }),
                    outcome => Ok(Self { finding: finding.clone(), outcome, reasons }),
                }
            }
            Finding::Rule(code) => {
                let objects = objects_of_rule(code, snapshot, options);
                // Of several the first, so that the same one is kept.
                let first = objects
                    .into_iter()
                    .next()
                    .ok_or_else(|| FindingError::NoFinding { code: code.clone() })?;
                let reasons = BTreeSet::from([(code.clone(), first)]);
                Ok(Self { finding: finding.clone(), outcome: None, reasons })
            }
        }
    }

    /// What is kept, in words.
    pub fn describe(&self) -> String {
        match &self.finding {
            Finding::Pending(name) => {
                let reasons: Vec<String> =
                    self.reasons.iter().map(|(plugin, reason)| format!("{plugin}: {reason}")).collect();
                format!("pod `{name}` has no node ({})", reasons.join("; "))
            }
            Finding::Rule(code) => {
                let objects: Vec<&str> = self.reasons.iter().map(|(_, object)| object.as_str()).collect();
                format!("lint finds {code} of {}", objects.join(", "))
            }
        }
    }

    /// Whether other objects show the same.
    pub fn is_in(&self, objects: &[Value], options: &Options) -> bool {
        let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let input = Input::Bytes { name: "shrunk.json".to_owned(), bytes: text.into_bytes() };
        let Ok(snapshot) = load(&[input], LoadOptions::default()) else { return false };
        match &self.finding {
            Finding::Pending(_) => {
                Self::of(&self.finding, &snapshot, options).is_ok_and(|other| other == *self)
            }
            Finding::Rule(code) => {
                let objects = objects_of_rule(code, &snapshot, options);
                self.reasons.iter().all(|(_, object)| objects.contains(object))
            }
        }
    }
}

/// What becomes of a pod, and why, as `dray simulate` says it: with evictions before, and preemption in between.
fn pending(
    name: &str,
    snapshot: &Snapshot,
    options: &Options,
) -> Result<(Option<PodOutcome>, Reasons), FindingError> {
    let prepared = Prepared::new(snapshot.clone());
    let report = simulate(&prepared, options, &mut (), &AtomicBool::new(false))?;
    let found = report.pods.iter().find(|pod| {
        name.split_once('/').is_some_and(|(namespace, name)| pod.namespace == namespace && pod.name == name)
    });
    let Some(pod) = found else { return Ok((None, BTreeSet::new())) };
    let mut reasons: Reasons =
        pod.reasons.iter().map(|reason| (reason.plugin.clone(), reason.reason.clone())).collect();
    if reasons.is_empty() {
        // Gates and errors have a line of their own.
        reasons.insert((pod.outcome.as_str().to_owned(), pod.message.clone().unwrap_or_default()));
    }
    Ok((Some(pod.outcome), reasons))
}

/// The objects about which a rule has something to say, in order.
fn objects_of_rule(code: &str, snapshot: &Snapshot, options: &Options) -> Vec<String> {
    let gates = &options.gates;
    let options = lint::LintOptions {
        profile: gates.profile(),
        features: gates.features(),
        list_type_attributes: gates.enabled("DRAListTypeAttributes"),
        taint_rules: gates.enabled("DRADeviceTaints") && gates.enabled("DRADeviceTaintRules"),
        step_budget: options.step_budget,
    };
    let found = lint::lint(snapshot, &LoadErrors::default(), options);
    let of_rule =
        found.findings.iter().filter(|finding| finding.rule.code == code || finding.rule.name == code);
    let mut objects: Vec<String> = of_rule
        .map(|finding| finding.object.as_ref().map_or_else(|| "the input".to_owned(), ToString::to_string))
        .collect();
    objects.sort();
    objects.dedup();
    objects
}
