//! The fewest pods that must move so that a pod, or a gang, gets a place.
//!
//! A plan is a set of pods that are evicted together. Then the scheduler places the pods that are to be admitted, in the
//! order in which they are named, and after them those that were evicted, in the order of its queue. A set is a plan if
//! every one of them finds a place; that is tried on a fork each time, so nothing is assumed about devices. Where the
//! scheduler's own choice of nodes fails, the first pod is also tried bound to each node that an evicted pod leaves.

mod movable;
mod search;
mod trial;

use crate::report::{API_VERSION, DefragReport, DefragVerdict};
use crate::schedule::{ClusterState, Observer, PodId, SimulateError};

use super::drain::DrainOptions;
use super::ground::Ground;
pub(super) use movable::Movable;
use search::{Found, Search};

/// What is asked.
#[derive(Clone, Debug)]
pub struct DefragQuestion {
    /// The pods that are to be admitted together, as `namespace/name`, in the order in which they are placed.
    pub pods: Vec<String>,
    /// At most this many pods may move.
    pub most_moves: usize,
    /// Looking ends after this many sets of moves were simulated.
    pub most_tries: usize,
    /// Which pods may not move.
    pub drain: DrainOptions,
    /// Whether other pods that wait are placed first.
    pub place_waiting: bool,
}

const APPROXIMATIONS: [&str; 6] = [
    "the pods that move are evicted together, and those that are to be admitted are placed before them, as if they came first \
     in the scheduler's queue",
    "a pod that moves is made anew by its controller with the same specification; its claims of its own with it",
    "which pods may move is what cluster-autoscaler's rules for drains say, with the budgets that are left after each",
    "fewest means fewest pods that move, whatever their size",
    "a plan preempts nobody: every pod that is admitted or moves finds a place without",
    "of a gang all pods that wait are admitted, not only as many as must start together",
];

/// Looks for the fewest moves.
pub fn defrag(
    ground: &Ground<'_>,
    question: &DefragQuestion,
    observer: &mut dyn Observer,
) -> Result<DefragReport, SimulateError> {
    let mut state = ground.state();
    let mut targets: Vec<PodId> = Vec::new();
    for name in &question.pods {
        let id = state.find_pod(name).ok_or_else(|| SimulateError::PodMissing { name: name.clone() })?;
        if !targets.contains(&id) {
            targets.push(id);
        }
    }
    // A gang is admitted as a whole.
    let targets = state.with_waiting_members(targets);
    if question.place_waiting {
        ground.place_waiting(&mut state, &targets, observer)?;
    }
    defrag_in(ground, &state, &targets, question, observer)
}

fn defrag_in(
    ground: &Ground<'_>,
    state: &ClusterState,
    targets: &[PodId],
    question: &DefragQuestion,
    observer: &mut dyn Observer,
) -> Result<DefragReport, SimulateError> {
    let movable = Movable::new(ground, state, &question.drain);
    let mut report = DefragReport {
        api_version: API_VERSION,
        kind: "DefragReport",
        assumptions: ground.assumptions(state, &APPROXIMATIONS),
        verdict: DefragVerdict::Undecided,
        message: None,
        admitted: Vec::new(),
        moves: Vec::new(),
        lower_bound: 0,
        certainty: None,
        movable_pods: movable.pods.len(),
        fixed_pods: movable.fixed.clone(),
        tried: 0,
        budgets_left: std::collections::BTreeMap::new(),
    };
    let mut search = Search::new(ground, state, targets, &movable, question);
    let found = search.run(observer)?;
    report.tried = search.tried();
    report.lower_bound = search.lower_bound();
    match found {
        Found::Plan(trial) => {
            report.verdict =
                if trial.moves.is_empty() { DefragVerdict::FitsAlready } else { DefragVerdict::Plan };
            report.certainty = Some(if trial.moves.len() <= report.lower_bound { "proven" } else { "found" });
            report.budgets_left = movable.budgets_after(&trial.evicted);
            report.admitted = trial.admitted;
            report.moves = trial.moves;
        }
        Found::Impossible(message) => {
            report.verdict = DefragVerdict::Impossible;
            report.message = Some(message);
        }
        Found::NotWithinMoves => {
            report.verdict = DefragVerdict::NotWithinMoves;
            report.message = Some(format!("every set of at most {} moves was tried", question.most_moves));
        }
        Found::Undecided(message) => report.message = Some(message),
    }
    Ok(report)
}
