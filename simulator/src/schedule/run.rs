//! From a snapshot to a report.

use std::sync::atomic::AtomicBool;

use drayage_cluster::Snapshot;
use drayage_cluster::objects::Pod;
use rustc_hash::FxHashMap;

use super::cycle::{Objects, Simulation};
use super::expand;
use super::options::{Observer, Options, SimulateError};
use super::queue::QUEUE_RULE;
use super::report;
use crate::report::{API_VERSION, Assumptions, SimulationReport};

/// Schedules the pending pods of a snapshot, one after the other, and says what became of each.
///
/// The report depends on the objects alone, not on their order. `cancel` may be set from elsewhere, for instance
/// a signal handler; then the answer is [`SimulateError::Cancelled`].
pub fn simulate(
    snapshot: &Snapshot,
    options: &Options,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<SimulationReport, SimulateError> {
    let comparison = options.gates.enabled("TaintTolerationComparisonOperators");
    let expanded = expand::expand(&snapshot.workloads, &snapshot.pods, &snapshot.nodes, comparison)?;
    let origins: FxHashMap<String, &str> =
        expanded.iter().map(|expanded| (expanded.pod.metadata.full_name(), expanded.from.as_str())).collect();
    let pods: Vec<&Pod> = snapshot.pods.iter().chain(expanded.iter().map(|expanded| &expanded.pod)).collect();
    let objects = Objects {
        nodes: &snapshot.nodes,
        pods,
        claims: snapshot.claims.iter().collect(),
        classes: &snapshot.classes,
        slices: &snapshot.slices,
        taint_rules: &snapshot.taint_rules,
    };
    let mut simulation = Simulation::new(&objects, options);
    let mut pods = simulation.run(observer, cancel)?;
    for pod in &mut pods {
        let origin = origins.get(&format!("{}/{}", pod.namespace, pod.name));
        pod.expanded_from = origin.map(|&from| from.to_owned());
    }
    let summary = report::summary(&simulation, &pods);
    Ok(SimulationReport {
        api_version: API_VERSION,
        kind: "SimulationReport",
        assumptions: assumptions(snapshot, options, &simulation),
        summary,
        pods,
    })
}

/// Where every simulation of this version differs from a scheduler.
const APPROXIMATIONS: [&str; 8] = [
    "every pending pod is tried once; a scheduler tries again when something changes",
    "the first node by name that no filter refuses is chosen; scoring is not done yet",
    "filters of this version: NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodePorts, \
     NodeResourcesFit, DynamicResources; not volumes, topology spread, affinity between pods or preemption",
    "with more than 100 nodes, those behind the chosen one are not looked at, so an error there goes unseen",
    "binding conditions of devices are taken to succeed",
    "the search for devices is limited by steps, not by 10 s of wall time",
    "requests of running pods are those of their spec, not those of an in-place resize",
    "share IDs are counted up, where a scheduler draws random ones",
];

pub(crate) fn assumptions(
    snapshot: &Snapshot,
    options: &Options,
    simulation: &Simulation<'_>,
) -> Assumptions {
    let gates = &options.gates;
    let owned = |values: &std::collections::BTreeMap<&'static str, bool>| {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    let mut warnings = simulation.warnings.clone();
    warnings.extend(
        gates
            .overridden_without_effect()
            .into_iter()
            .map(|name| format!("feature gate `{name}` has no effect on a simulation")),
    );
    Assumptions {
        release: gates.release().to_string(),
        feature_gates: owned(gates.values()),
        feature_gate_overrides: owned(gates.overridden()),
        tie_rule: format!("{QUEUE_RULE}; of several feasible nodes the first by name"),
        approximations: APPROXIMATIONS.iter().map(|&text| text.to_owned()).collect(),
        ignored: snapshot.ignored.iter().map(ToString::to_string).collect(),
        warnings,
    }
}
