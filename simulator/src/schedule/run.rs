//! From a snapshot to a report.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;

use super::cluster_state::ClusterState;
use super::options::{Observer, Options, SimulateError};
use super::prepare::Prepared;
use super::queue::QUEUE_RULE;
use super::report;
use super::ties::TIE_RULE;
use crate::report::{API_VERSION, Assumptions, SimulationReport};

/// Schedules the pending pods of a snapshot, one after the other, and says what became of each.
///
/// The report depends on the objects alone, not on their order. `cancel` may be set from elsewhere, for instance
/// a signal handler; then the answer is [`SimulateError::Cancelled`].
pub fn simulate(
    prepared: &Prepared,
    options: &Options,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<SimulationReport, SimulateError> {
    let mut simulation = ClusterState::new(prepared, options);
    report_of(&mut simulation, prepared, options, observer, cancel)
}

/// Runs a simulation and reports on it.
pub(crate) fn report_of(
    simulation: &mut ClusterState,
    prepared: &Prepared,
    options: &Options,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<SimulationReport, SimulateError> {
    let mut pods = simulation.run(observer, cancel)?;
    for pod in &mut pods {
        pod.expanded_from = prepared.made_from(&pod.namespace, &pod.name).map(str::to_owned);
    }
    let summary = report::summary(simulation, &pods);
    Ok(SimulationReport {
        api_version: API_VERSION,
        kind: "SimulationReport",
        assumptions: assumptions(prepared, options, simulation),
        summary,
        pods,
    })
}

/// Where every simulation of this version differs from a scheduler.
const APPROXIMATIONS: [&str; 10] = [
    "every pending pod is tried once; a scheduler tries again when something changes",
    "filters and scores of this version: those of the default profile, in its order whatever a configuration says; whom \
     it preempts is gone at once and nothing takes its place, gangs preempt nobody, and devices are no reason",
    "gangs are placed pod by pod, as the scheduler does; in another order more pods of them might find nodes",
    "volumes: controllers bind no claims, so those of an immediate class wait; of equal volumes the first by name is \
     taken; a volume that is made is reachable where the labels agree by which its driver tells places apart (CSINode)",
    "with 100 nodes or more only some are looked at, beginning behind those of the pod before; nodes are in the order of \
     their names, one of each zone in turn, where a scheduler has them in the order in which they came",
    "images that nodes do not report are taken to be absent",
    "binding conditions of devices are taken to succeed",
    "the search for devices is limited by steps, not by 10 s of wall time",
    "requests of running pods are those of their spec, not those of an in-place resize",
    "share IDs are counted up, where a scheduler draws random ones",
];

/// The same for gangs of 1.35.
const HELD_ROOM: &str = "pods of a gang that wait for others hold their room for five minutes in 1.35, and may preempt; \
                         here gangs start at once or not at all";

/// The same for gangs where a scheduler preempts for them, with gates that are off by default in every release.
const GANGS_PREEMPT: &str = "with gate `GenericWorkload` of 1.37, or `WorkloadAwarePreemption` of 1.36, a gang that finds no \
                             nodes may preempt, and running gangs may go as one, with the priority of their group; here gangs \
                             preempt nobody, and each of their pods is preempted for itself";

pub(crate) fn assumptions(prepared: &Prepared, options: &Options, simulation: &ClusterState) -> Assumptions {
    let gates = &options.gates;
    let owned = |values: &BTreeMap<&'static str, bool>| {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    let snapshot = &prepared.snapshot;
    let mut warnings: Vec<String> =
        snapshot.notices.iter().chain(&prepared.faults).map(ToString::to_string).collect();
    if snapshot.omitted_notices > 0 {
        warnings.push(format!("{} more warnings about the input", snapshot.omitted_notices));
    }
    warnings.extend(simulation.warnings.iter().cloned());
    let without_effect = options.configured_without_effect.iter();
    warnings.extend(without_effect.map(|text| format!("scheduler configuration without effect: {text}")));
    let rules = snapshot.taint_rules.len();
    if rules > 0 && !gates.enabled("DRADeviceTaintRules") {
        warnings.push(format!(
            "feature gate `DRADeviceTaintRules` is off, so {rules} DeviceTaintRule{} no effect",
            if rules == 1 { " has" } else { "s have" }
        ));
    }
    warnings.extend(
        gates
            .overridden_without_effect()
            .into_iter()
            .map(|name| format!("feature gate `{name}` has no effect on a simulation")),
    );
    let mut approximations: Vec<String> = APPROXIMATIONS.iter().map(|&text| text.to_owned()).collect();
    if gates.release() < Release::V1_36 && !snapshot.gang_workloads.is_empty() {
        approximations.push(HELD_ROOM.to_owned());
    }
    let gangs_preempt = gates.release() >= Release::V1_37 || gates.enabled("WorkloadAwarePreemption");
    if gangs_preempt && simulation.has_groups() {
        approximations.push(GANGS_PREEMPT.to_owned());
    }
    Assumptions {
        release: gates.release().to_string(),
        feature_gates: owned(gates.values()),
        feature_gate_overrides: owned(gates.overridden()),
        tie_rule: format!("{QUEUE_RULE}; {TIE_RULE}"),
        approximations,
        ignored: snapshot.ignored.iter().map(ToString::to_string).collect(),
        warnings,
    }
}
