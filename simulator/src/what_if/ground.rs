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
    /// Those that were preempted for others, as `namespace/name`; they are gone.
    pub(crate) preempted: Vec<String>,
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

    /// Schedules what waits, except the pods that `skip` names, as a simulation would: groups together, and with
    /// preemption.
    pub(crate) fn place_waiting(
        &self,
        state: &mut ClusterState,
        skip: &[PodId],
        observer: &mut dyn Observer,
    ) -> Result<Waiting, SimulateError> {
        let queue = queue(state, skip);
        let mut preempted: Vec<PodId> = Vec::new();
        state.place_in_turn(&queue, observer, self.cancel, &mut |_, _, attempt| {
            preempted.extend(victims(&attempt));
        })?;
        let name = |id: PodId| state.pod(id).map(|(pod, _)| pod.metadata.full_name());
        // Somebody who was placed may have been preempted later.
        let (left, others): (Vec<PodId>, Vec<PodId>) =
            queue.into_iter().partition(|&id| state.is_pending(id));
        let placed = others.iter().filter(|id| !preempted.contains(id)).count();
        Ok(Waiting { placed, left, preempted: preempted.into_iter().filter_map(name).collect() })
    }

    /// Schedules what waits one by one, without preemption and whatever groups there are, as cluster-autoscaler sees it.
    pub(crate) fn place_waiting_alone(
        &self,
        state: &mut ClusterState,
        observer: &mut dyn Observer,
    ) -> Result<Waiting, SimulateError> {
        let queue = queue(state, &[]);
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
}

/// The pods that were preempted for an attempt.
pub(crate) fn victims(attempt: &Attempt) -> impl Iterator<Item = PodId> + '_ {
    attempt.preemptions.iter().flat_map(|preemption| &preemption.victims).map(|victim| victim.pod)
}

/// The pods that wait, but for those that `skip` names, in the order of the scheduler's queue.
fn queue(state: &ClusterState, skip: &[PodId]) -> Vec<PodId> {
    let waiting = waiting(state).into_iter().filter(|id| !skip.contains(id)).collect();
    state.in_queue_order(waiting)
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
