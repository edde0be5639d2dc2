//! What every what-if starts from: the objects, the choices, and the state that they describe.

use std::sync::atomic::AtomicBool;

use crate::report::{Assumptions, PodOutcome, PodReport};
use crate::schedule::{
    Attempt, ClusterState, Observer, Options, PodId, PodPlace, Prepared, SimulateError, assumptions,
    pod_report,
};

/// Where a what-if starts.
pub struct Ground<'a> {
    /// The objects.
    pub prepared: &'a Prepared,
    /// Release, gates, budgets.
    pub options: &'a Options,
    /// May be set from elsewhere to stop.
    pub cancel: &'a AtomicBool,
}

/// What became of the pods that waited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    /// How many found a place.
    pub(crate) placed: usize,
    /// Those that wait on, in the order of the queue.
    pub(crate) left: Vec<PodId>,
}

impl Ground<'_> {
    /// The state that the objects describe.
    pub(crate) fn state(&self) -> ClusterState {
        ClusterState::new(self.prepared, self.options)
    }

    /// What an answer rests on, with what this kind of question adds.
    pub(crate) fn assumptions(&self, state: &ClusterState, more: &[&str]) -> Assumptions {
        let mut assumptions = assumptions(self.prepared, self.options, state);
        assumptions.approximations.extend(more.iter().map(|&text| text.to_owned()));
        assumptions
    }

    /// Schedules what waits, except the pods that `skip` names.
    pub(crate) fn place_waiting(
        &self,
        state: &mut ClusterState,
        skip: &[PodId],
        observer: &mut dyn Observer,
    ) -> Result<Waiting, SimulateError> {
        let waiting = waiting(state).into_iter().filter(|id| !skip.contains(id)).collect();
        let queue = state.in_queue_order(waiting);
        let mut outcome = Waiting::default();
        for (done, &id) in queue.iter().enumerate() {
            observer.progress(done, queue.len());
            match state.attempt(id, self.cancel)?.outcome {
                PodOutcome::Scheduled => outcome.placed += 1,
                _ => outcome.left.push(id),
            }
        }
        Ok(outcome)
    }

    /// Tries to place a pod, and reports on it.
    pub(crate) fn attempt(
        &self,
        state: &mut ClusterState,
        id: PodId,
    ) -> Result<(PodOutcome, Option<PodReport>), SimulateError> {
        let attempt = state.attempt(id, self.cancel)?;
        Ok((attempt.outcome, reported(state, id, attempt)))
    }
}

/// An attempt as it is reported.
pub(crate) fn reported(state: &ClusterState, id: PodId, attempt: Attempt) -> Option<PodReport> {
    pod_report(state, id, attempt)
}

/// The pods that wait for a node and are not being deleted.
pub(crate) fn waiting(state: &ClusterState) -> Vec<PodId> {
    let waits = state
        .pods()
        .filter(|(_, pod, place)| *place == PodPlace::Pending && pod.metadata.deletion_timestamp.is_none());
    waits.map(|(id, _, _)| id).collect()
}
