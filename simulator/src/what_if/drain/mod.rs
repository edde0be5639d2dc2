//! Emptying nodes.

mod removal;
mod rules;

pub use rules::{BlockingReason, DrainOptions, Drainability, drainability, is_daemon_set_pod, is_mirror_pod};

pub(crate) use removal::{Removals, RoundRobin, TO_BE_DELETED, claims_before};
pub(crate) use rules::is_long_terminating;

use crate::report::{API_VERSION, RemovalReport};
use crate::schedule::{ClusterState, SimulateError};

use super::ground::Ground;

const APPROXIMATIONS: [&str; 5] = [
    "nodes are emptied one after the other; every pod goes to the first node that all filters let pass, searched round robin \
     in the order of names, as cluster-autoscaler simulates it; the scheduler may choose otherwise",
    "cluster-autoscaler's hints from earlier rounds are not there",
    "budgets without a status count pods with a node as healthy, and the pods there are as those there should be",
    "a controller that is not in the input is taken to exist; ReplicationControllers are not read",
    "nobody is preempted and gangs are no gangs, as cluster-autoscaler has it: their pods are placed one by one",
];

/// Empties nodes as cluster-autoscaler would, one after the other, in `state`. All of them are cordoned first.
pub fn drain_in(
    ground: &Ground<'_>,
    state: &mut ClusterState,
    names: &[String],
    options: &DrainOptions,
) -> Result<RemovalReport, SimulateError> {
    let missing = |name: &String| SimulateError::NodeMissing { name: name.clone() };
    let numbers = names.iter().map(|name| state.find_node(name).ok_or_else(|| missing(name)));
    let numbers: Vec<usize> = numbers.collect::<Result<_, _>>()?;
    for &at in &numbers {
        state.cordon(at);
    }
    let mut removals = Removals::new(ground, state, options.clone());
    let mut nodes = Vec::new();
    for &at in &numbers {
        nodes.push(removals.remove(state, at, |_| true)?);
    }
    Ok(RemovalReport {
        api_version: API_VERSION,
        kind: "DrainReport",
        assumptions: ground.assumptions(state, &assumed(options)),
        removable: nodes.iter().filter(|node| node.removable).count(),
        nodes,
        saved_per_hour: None,
    })
}

/// Empties nodes, from the state that the objects describe.
pub fn drain(
    ground: &Ground<'_>,
    names: &[String],
    options: &DrainOptions,
) -> Result<RemovalReport, SimulateError> {
    drain_in(ground, &mut ground.state(), names, options)
}

/// What removals rest on.
pub(crate) fn assumed(options: &DrainOptions) -> Vec<&'static str> {
    let mut assumed = APPROXIMATIONS.to_vec();
    if options.now.is_none() {
        assumed.push(
            "without `--now`, no pod counts as long terminating, and no system pod as old enough to move",
        );
    }
    assumed
}
