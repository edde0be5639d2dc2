//! Nodes and devices that fail: whose pods are evicted, which of them find a new place, which do not.

mod consequences;
mod homeless;
mod merge;
mod units;

use rayon::prelude::*;

pub use consequences::FAILED;
pub use merge::{MergeError, merge};
pub use units::{Target, TargetError, Unit, combined, every_device, every_node, of_target, sampled};

use consequences::{Users, consequences};

use crate::report::{API_VERSION, FailureReport, FailureSummary, Shard, UnitReport};
use crate::schedule::{ClusterState, Observer, SimulateError};

use super::ground::Ground;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct FailureQuestion {
    /// The units, each of which fails for itself, from the state before.
    pub units: Vec<Unit>,
    /// Only a part of them.
    pub shard: Option<Shard>,
    /// Whether to report on every evicted pod.
    pub detail: bool,
}

const APPROXIMATIONS: [&str; 6] = [
    "a failed node is gone with the slices of its own; its pods are made anew at once, however long a cluster would wait",
    "a failed device gets a taint `drayage.dev/failed:NoExecute`; without device taints it vanishes from its slice and its \
     users are evicted",
    "pods without a controller are placed as if somebody made them anew; they are counted as unowned",
    "pods that waited before the failure are not tried again, except members of gangs of which pods are evicted",
    "evicted pods preempt and start as gangs as in a simulation; whom they preempt looks for a new place after them, and \
     counts as evicted",
    "Kubernetes 1.36 and later do not evict pods whose devices stand behind extended resources; here they are evicted",
];

/// The state in which failures are looked at: waiting pods are placed first if `place_waiting`.
pub fn starting_state(
    ground: &Ground<'_>,
    place_waiting: bool,
    observer: &mut dyn Observer,
) -> Result<ClusterState, SimulateError> {
    let mut state = ground.state();
    if place_waiting {
        ground.place_waiting(&mut state, &[], observer)?;
    }
    Ok(state)
}

/// Lets every unit fail for itself.
pub fn fail(
    ground: &Ground<'_>,
    state: &ClusterState,
    question: &FailureQuestion,
    observer: &mut dyn Observer,
) -> Result<FailureReport, SimulateError> {
    let users = Users::new(state);
    // Why pods are stuck is only told in detail.
    let mut quiet = state.clone();
    if !question.detail {
        quiet.set_explanations(false, false);
    }
    let mine = |number: usize| question.shard.is_none_or(|shard| number % shard.of.max(1) + 1 == shard.index);
    let numbered: Vec<(usize, &Unit)> =
        question.units.iter().enumerate().filter(|(number, _)| mine(*number)).collect();
    let mut units = Vec::with_capacity(numbered.len());
    // In blocks, so that somebody can watch.
    for block in numbered.chunks(256) {
        observer.progress(units.len(), numbered.len());
        let reports: Result<Vec<UnitReport>, SimulateError> = block
            .par_iter()
            .map_with(quiet.clone(), |state, &(number, unit)| {
                Ok(consequences(ground, state, &users, unit, number, question.detail)?.0)
            })
            .collect();
        units.extend(reports?);
    }
    units.sort_by_key(UnitReport::rank);
    let mut assumptions = ground.assumptions(state, &APPROXIMATIONS);
    assumptions.warnings.extend(warnings(ground, question));
    Ok(FailureReport {
        api_version: API_VERSION,
        kind: "FailureReport",
        assumptions,
        shard: question.shard,
        summary: FailureSummary::of(&units),
        units,
    })
}

/// What should be looked at before a rule is applied.
fn warnings(ground: &Ground<'_>, question: &FailureQuestion) -> Vec<String> {
    let mut warnings = Vec::new();
    for rule in question.units.iter().flat_map(|unit| &unit.rules) {
        let name = &rule.metadata.name;
        if rule.driver.is_none() && rule.pool.is_none() && rule.device.is_none() {
            warnings.push(format!(
                "DeviceTaintRule `{name}` selects nothing in particular, which means every device"
            ));
        }
        if rule.taint.effect != "NoExecute" {
            warnings.push(format!(
                "DeviceTaintRule `{name}` has the effect `{}`, which evicts nobody",
                rule.taint.effect
            ));
        }
    }
    let rules = question.units.iter().any(|unit| !unit.rules.is_empty());
    if rules && !ground.options.gates.enabled("DRADeviceTaintRules") {
        let message = "feature gate `DRADeviceTaintRules` is off, so a cluster ignores the rules; the answer is as if it were on";
        warnings.push(message.to_owned());
    }
    if rules && !ground.options.gates.features().device_taints {
        warnings.push("feature gate `DRADeviceTaints` is off, so taints have no effect".to_owned());
    }
    warnings
}

/// Lets a unit fail and gives the state afterwards as well.
pub fn fail_for_good(
    ground: &Ground<'_>,
    state: &ClusterState,
    unit: &Unit,
) -> Result<(UnitReport, ClusterState), SimulateError> {
    consequences(ground, state, &Users::new(state), unit, 0, true)
}
