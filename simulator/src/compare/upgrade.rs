//! What an upgrade changes for pods, and which difference of the two releases is behind it.
//!
//! A difference is a feature gate, a switch of the allocator's profile, or the functions that CEL has. To find the
//! cause, the new release is simulated with one difference taken back; where that gives a pod its old fate, the
//! difference is a cause. Where no single one does, all are taken back, and then put back one after the other as long as
//! the pod keeps its old fate: what remains is needed together.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use drayage_allocator::Profile;
use drayage_allocator::profile::{SWITCHES, Switch};
use serde::Serialize;

use super::fate::{ChangeKind, Fates, PodChange, compare, fates};
use crate::gates::FeatureGates;
use crate::report::{API_VERSION, Assumptions, PodOutcome};
use crate::schedule::{Options, Prepared, SimulateError, simulate};

/// In what two releases differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What it is.
    pub kind: DifferenceKind,
    /// Name of the gate or switch; `CEL` for the functions of selectors.
    pub name: String,
    /// What it is about; absent for gates, whose names are those of Kubernetes.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub about: &'static str,
    /// Its value in the first release.
    pub from: String,
    /// Its value in the second release.
    pub to: String,
}

/// Kinds of [`Difference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// A feature gate of Kubernetes.
    FeatureGate,
    /// A switch of the profile, as `dray profiles` lists them: behaviour that no gate controls.
    Behaviour,
    /// The functions that selectors can use.
    Cel,
}

/// What explains a change: differences that must be taken back together to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Names of the differences; one, mostly.
    pub differences: Vec<String>,
}

/// The answer of `dray upgrade-diff`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeReport {
    /// [`API_VERSION`]
    pub api_version: &'static str,
    /// `UpgradeReport`
    pub kind: &'static str,
    /// The first release.
    pub from: String,
    /// The second release, and what its simulation rests on.
    pub to: Assumptions,
    /// All differences that can change an answer.
    pub differences: Vec<Difference>,
    /// Counts.
    pub summary: UpgradeSummary,
    /// Pods whose fate differs, by namespace and name.
    pub pods: Vec<UpgradeChange>,
}

/// How many pods differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeSummary {
    /// All pods.
    pub pods: usize,
    /// Pods with another node, other devices, or another verdict.
    pub changed: usize,
    /// Pods by the kind of change.
    pub by_change: BTreeMap<&'static str, usize>,
    /// Pods about which a simulation was undecided.
    pub undecided: usize,
}

/// A pod whose fate differs, with what is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeChange {
    /// The pod and its two fates.
    #[serde(flatten)]
    pub change: PodChange,
    /// Each of these alone undoes the change; empty where nothing that was tried does.
    pub causes: Vec<Cause>,
}

/// Something to take back.
#[derive(Clone, Copy)]
enum Step {
    Gate(&'static str),
    Switch(&'static Switch),
    Cel,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Gate(name) => name,
            Self::Switch(switch) => switch.name,
            Self::Cel => "CEL",
        }
    }
}

fn effective(gates: &FeatureGates) -> Profile {
    gates.allocator().for_features(gates.profile().known(gates.features()))
}

fn steps(from: &FeatureGates, to: &FeatureGates) -> Vec<Step> {
    let (old, new) = (effective(from), effective(to));
    let gates = from.differences(to).into_iter().map(Step::Gate);
    let switches = SWITCHES.iter().filter(|switch| switch.value(&old) != switch.value(&new));
    let cel = (from.release() != to.release()).then_some(Step::Cel);
    gates.chain(switches.map(Step::Switch)).chain(cel).collect()
}

/// The differences of two releases with their gates.
pub fn differences(from: &FeatureGates, to: &FeatureGates) -> Vec<Difference> {
    let (old, new) = (effective(from), effective(to));
    let state = |gates: &FeatureGates, name: &str| if gates.enabled(name) { "on" } else { "off" }.to_owned();
    let one = |step: &Step| match step {
        Step::Gate(name) => Difference {
            kind: DifferenceKind::FeatureGate,
            name: (*name).to_owned(),
            about: "",
            from: state(from, name),
            to: state(to, name),
        },
        Step::Switch(switch) => Difference {
            kind: DifferenceKind::Behaviour,
            name: switch.name.to_owned(),
            about: switch.about.trim(),
            from: switch.value(&old).to_owned(),
            to: switch.value(&new).to_owned(),
        },
        Step::Cel => Difference {
            kind: DifferenceKind::Cel,
            name: "CEL".to_owned(),
            about: "The functions that selectors can use.",
            from: from.release().to_string(),
            to: to.release().to_string(),
        },
    };
    steps(from, to).iter().map(one).collect()
}

/// The second release with some differences taken back.
fn taken_back(from: &FeatureGates, to: &FeatureGates, steps: &[Step]) -> FeatureGates {
    let mut gates = to.clone();
    for step in steps {
        if let Step::Gate(name) = step {
            gates = gates.with_gate_of(name, from);
        }
    }
    let old = effective(from);
    let mut profile = effective(&gates);
    let mut own = false;
    for step in steps {
        match step {
            Step::Gate(_) => {}
            Step::Switch(switch) => (profile, own) = (switch.transplanted(profile, &old), true),
            Step::Cel => (profile.release, own) = (old.release, true),
        }
    }
    if own { gates.with_allocator(profile.pinned()) } else { gates }
}

/// Simulates the pods with both releases and says whose fate differs, and why.
pub fn upgrade_diff(
    prepared: &Prepared,
    from: &FeatureGates,
    to: &FeatureGates,
    options: &Options,
    progress: &mut dyn FnMut(usize, usize),
    cancel: &AtomicBool,
) -> Result<UpgradeReport, SimulateError> {
    let run = |gates: &FeatureGates| {
        let options =
            Options { gates: gates.clone(), explain: false, explain_in_full: false, ..options.clone() };
        simulate(prepared, &options, &mut (), cancel)
    };
    let before = run(from)?;
    let after = run(to)?;
    let (old, new) = (fates(&before), fates(&after));
    let changed = compare(&old, &new);

    let steps = steps(from, to);
    let mut tracer = Tracer {
        from,
        to,
        steps: &steps,
        old: &old,
        run: &mut |gates: &FeatureGates| Ok(fates(&run(gates)?)),
    };
    let causes = tracer.causes(&changed, progress)?;
    let mut summary = UpgradeSummary { pods: new.len(), ..UpgradeSummary::default() };
    for change in &changed {
        *summary.by_change.entry(change.change.as_str()).or_default() += 1;
        summary.changed += usize::from(change.change != ChangeKind::Reason);
    }
    let undecided =
        |fates: &Fates| fates.values().filter(|fate| fate.outcome == PodOutcome::Undecided).count();
    summary.undecided = undecided(&old).max(undecided(&new));
    Ok(UpgradeReport {
        api_version: API_VERSION,
        kind: "UpgradeReport",
        from: from.release().to_string(),
        to: after.assumptions,
        differences: differences(from, to),
        summary,
        pods: changed
            .into_iter()
            .zip(causes)
            .map(|(change, causes)| UpgradeChange { change, causes })
            .collect(),
    })
}

/// Finds causes by simulating what no release is.
struct Tracer<'a> {
    from: &'a FeatureGates,
    to: &'a FeatureGates,
    steps: &'a [Step],
    /// The fates with the first release.
    old: &'a Fates,
    run: &'a mut dyn FnMut(&FeatureGates) -> Result<Fates, SimulateError>,
}

impl Tracer<'_> {
    fn fates(&mut self, steps: &[Step]) -> Result<Fates, SimulateError> {
        (self.run)(&taken_back(self.from, self.to, steps))
    }

    /// Whether a pod has its old fate again.
    fn is_undone(&self, change: &PodChange, fates: &Fates) -> bool {
        let key = (change.namespace.clone(), change.name.clone());
        match (self.old.get(&key), fates.get(&key)) {
            (Some(old), Some(now)) => ChangeKind::between(old, now).is_none(),
            (old, now) => old.is_none() && now.is_none(),
        }
    }

    fn causes(
        &mut self,
        changed: &[PodChange],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Vec<Cause>>, SimulateError> {
        let mut causes: Vec<Vec<Cause>> = vec![Vec::new(); changed.len()];
        if changed.is_empty() {
            return Ok(causes);
        }
        let steps = self.steps;
        let total = steps.len() * 2;
        for (done, step) in steps.iter().enumerate() {
            progress(done, total);
            let fates = self.fates(&[*step])?;
            for (change, causes) in changed.iter().zip(&mut causes) {
                if self.is_undone(change, &fates) {
                    causes.push(Cause { differences: vec![step.name().to_owned()] });
                }
            }
        }
        // The first unexplained pod shows what is needed together; others may share the cause.
        let mut rest: Vec<usize> =
            (0..changed.len()).filter(|index| causes.get(*index).is_some_and(Vec::is_empty)).collect();
        let mut rounds = 0;
        while let Some(&index) = rest.first()
            && rounds < MOST_COMBINATIONS
        {
            rounds += 1;
            let Some(change) = changed.get(index) else { break };
            if let Some((together, fates)) = self.together(change, progress)? {
                let cause =
                    Cause { differences: together.iter().map(|step| step.name().to_owned()).collect() };
                for &other in &rest {
                    if let (Some(change), Some(causes)) = (changed.get(other), causes.get_mut(other))
                        && self.is_undone(change, &fates)
                    {
                        causes.push(cause.clone());
                    }
                }
            }
            rest.retain(|other| *other != index && causes.get(*other).is_some_and(Vec::is_empty));
        }
        Ok(causes)
    }

    /// A smallest set of differences that must be taken back together for a pod, and the fates with that.
    fn together(
        &mut self,
        change: &PodChange,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<(Vec<Step>, Fates)>, SimulateError> {
        let mut needed: Vec<Step> = self.steps.to_vec();
        let mut fates = self.fates(&needed)?;
        if !self.is_undone(change, &fates) {
            return Ok(None);
        }
        let mut at = 0;
        let total = self.steps.len() * 2;
        while at < needed.len() {
            progress(self.steps.len() + at, total);
            let mut fewer = needed.clone();
            fewer.remove(at);
            let now = self.fates(&fewer)?;
            if self.is_undone(change, &now) {
                (needed, fates) = (fewer, now);
            } else {
                at += 1;
            }
        }
        Ok(Some((needed, fates)))
    }
}

/// For how many pods a combination of differences is looked for.
const MOST_COMBINATIONS: usize = 8;
