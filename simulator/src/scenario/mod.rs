//! Scenarios: what happens to a cluster, step after step, and what must hold afterwards.
//!
//! The steps of a [`Scenario`] are the what-ifs, each from where the one before ended. [`check`] finds what is wrong
//! with a scenario before any of it happens, [`run`] lets it happen.

mod actions;
mod check;
mod expect;
mod stage;

use std::sync::atomic::AtomicBool;

use drayage_cluster::objects::TaintRule;
use drayage_cluster::{FieldPath, Snapshot};
use drayage_crds::{NodeGroup, Scenario};

pub use check::{check, release_of};

use crate::gates::FeatureGates;
use crate::report::{ExpectationSummary, ScenarioReport, SimulationReport};
use crate::schedule::{Observer, Options, Prepared, SimulateError};
use stage::Stage;

/// What the files of a scenario hold.
#[derive(Clone, Debug, Default)]
pub struct StepFiles {
    /// Objects of the step `apply`.
    pub objects: Snapshot,
    /// Rules of the step `fail`.
    pub taint_rules: Vec<TaintRule>,
}

/// What a scenario begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The cluster.
    pub prepared: Prepared,
    /// The node groups.
    pub node_groups: Vec<NodeGroup>,
    /// The files of each step, in the order of the steps.
    pub files: Vec<StepFiles>,
}

/// Why a scenario cannot be run to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// A field says something that cannot be done.
    #[error("`{field}`: {message}")]
    Field {
        /// The field of the scenario.
        field: FieldPath,
        /// What is wrong with it.
        message: String,
        /// What may help.
        hint: Option<String>,
    },
    /// The simulation ended.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}

impl ScenarioError {
    fn field(field: FieldPath, message: impl Into<String>) -> Self {
        Self::Field { field, message: message.into(), hint: None }
    }

    fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Field { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }
}

const APPROXIMATIONS: [&str; 3] = [
    "pods that wait are tried again only by steps that say so: `schedule`, `scaleUp`, and evicted pods by the step that evicts them",
    "a pod whose search for devices ended at its budget counts as waiting for what comes after it",
    "an applied workload with fewer replicas than before loses no pods",
];

/// A cluster at one moment of a scenario, and what a scheduler would make of it then.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The objects.
    pub snapshot: Snapshot,
    /// Where pods are, and what becomes of those that wait.
    pub report: SimulationReport,
}

/// Runs a scenario. `options` have the release and the gates to begin with.
pub fn run(
    scenario: &Scenario,
    beginning: Beginning,
    options: &Options,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<ScenarioReport, ScenarioError> {
    run_watched(scenario, beginning, options, observer, cancel, &mut |_| Ok(()))
}

/// As [`run`], with the moments before the first step and after the last one.
pub fn run_between(
    scenario: &Scenario,
    beginning: Beginning,
    options: &Options,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<(ScenarioReport, [Moment; 2]), ScenarioError> {
    let mut moments = Vec::new();
    let mut watch = |stage: &Stage<'_>| {
        moments.push(stage.moment()?);
        Ok(())
    };
    let report = run_watched(scenario, beginning, options, observer, cancel, &mut watch)?;
    let moments = <[Moment; 2]>::try_from(moments).expect("a start and an end");
    Ok((report, moments))
}

/// Runs, and shows the stage before the first step and after the last one.
fn run_watched(
    scenario: &Scenario,
    beginning: Beginning,
    options: &Options,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
    watch: &mut dyn FnMut(&Stage<'_>) -> Result<(), ScenarioError>,
) -> Result<ScenarioReport, ScenarioError> {
    let mut stage = Stage::new(beginning, options, cancel)?;
    if scenario.spec.input.schedule_first.unwrap_or(true) {
        stage.schedule(observer)?;
    }
    let start = stage.summary();
    watch(&stage)?;
    let mut steps = Vec::new();
    for (index, step) in scenario.spec.steps.iter().enumerate() {
        observer.progress(index, scenario.spec.steps.len());
        let field = FieldPath::fields("spec.steps").index(index);
        let mut report = stage.take(step, index, &field, observer)?;
        report.expectations = expect::judge(&stage, &step.expect, Some(&report))?;
        steps.push(report);
    }
    watch(&stage)?;
    let last = steps.last().cloned();
    let expectations = expect::judge(&stage, &scenario.spec.expect, last.as_ref())?;
    let of_steps = steps.iter().flat_map(|step| &step.expectations);
    let summary = ExpectationSummary::of(of_steps.chain(&expectations));
    Ok(ScenarioReport {
        name: scenario.metadata.name.clone(),
        assumptions: stage.assumptions(&APPROXIMATIONS),
        start,
        steps,
        expectations,
        summary,
    })
}

/// The gates of a release with overrides; the field that is wrong is given back with what is wrong.
fn gates(
    kubernetes: Option<&str>,
    overrides: &std::collections::BTreeMap<String, bool>,
    default: &FeatureGates,
    field: &FieldPath,
) -> Result<FeatureGates, ScenarioError> {
    let mut gates = match kubernetes {
        None => default.clone(),
        Some(text) => {
            let profile = text.parse().map_err(|_| {
                ScenarioError::field(
                    field.clone().field("kubernetes"),
                    format!("no release `{text}` is known"),
                )
                .with_hint("write `1.34`, `1.35`, `1.36` or `1.37`, with quotes")
            })?;
            FeatureGates::for_profile(profile)
        }
    };
    for (name, value) in overrides {
        gates.set(name, *value).map_err(|error| {
            ScenarioError::field(field.clone().field("featureGates").key(name), error.to_string())
        })?;
    }
    Ok(gates)
}
