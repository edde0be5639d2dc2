//! Work on MIG devices: asked for by whoever prepares a claim, done by the thread that looks at the GPUs, which alone calls
//! the library. Who asks waits for a while; who asks again joins what has begun.

use std::sync::{Arc, OnceLock, PoisonError};

use drayage_nvml::Library;

use super::{
    layout::Wanted,
    look::{Shared, State},
    make,
};
use crate::kubelet::Failure;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Make,
    Remove,
}

/// Work that waits or is done just now.
#[derive(Clone, Debug)]
pub(super) struct Job {
    task: Task,
    wanted: Wanted,
    outcome: Arc<OnceLock<Result<(), Failure>>>,
}

impl Shared {
    /// Has a task done.
    ///
    /// # Errors
    ///
    /// It cannot be done, or is not done in time; then it may be done later.
    pub(super) fn perform(&self, task: Task, wanted: Wanted) -> Result<(), Failure> {
        let what = wanted.what();
        let outcome = {
            let mut state = self.state();
            let same = |job: &&Job| job.task == task && job.wanted.name == wanted.name;
            if let Some(job) = state.jobs.iter().find(same) {
                Arc::clone(&job.outcome)
            } else {
                let outcome = Arc::default();
                state.jobs.push_back(Job { task, wanted, outcome: Arc::clone(&outcome) });
                outcome
            }
        };
        self.changed.notify_all();
        let (patience, is_open) = (self.options.patience, |_: &mut State| outcome.get().is_none());
        let ended = self.changed.wait_timeout_while(self.state(), patience, is_open);
        let state = ended.unwrap_or_else(PoisonError::into_inner).0;
        outcome.get().cloned().unwrap_or_else(|| {
            let call = state.calling.unwrap_or("a look at the GPUs");
            let done = if task == Task::Make { "made" } else { "removed" };
            let seconds = patience.as_secs();
            Err(Failure::Transient(format!(
                "{what} is not {done} yet: NVML has not answered for {seconds} seconds ({call})"
            )))
        })
    }

    /// The work that comes next. It stays in the queue, so that others can join, until it is [`Shared::finish`]ed.
    fn next_job(&self) -> Option<Job> {
        self.state().jobs.front().cloned()
    }

    fn finish(&self, job: &Job, outcome: Result<(), Failure>) {
        {
            // Under the lock, so that nobody who has just looked begins to wait behind it.
            let mut state = self.state();
            state.jobs.retain(|other| !Arc::ptr_eq(&other.outcome, &job.outcome));
            // Nobody else ends it.
            let _ = job.outcome.set(outcome);
        }
        self.changed.notify_all();
    }

    /// Does what is to be done, and has `look` look after each.
    pub(super) fn work(&self, library: &Library, mut look: impl FnMut() -> bool) {
        while let Some(job) = self.next_job() {
            let outcome = match job.task {
                Task::Make => make::make(self, library, &job.wanted),
                Task::Remove => make::remove(self, library, &job.wanted),
            };
            // What was made is seen by everybody before anybody is told.
            let seen = look();
            let unseen = || Failure::Transient("NVML: nobody can look at what was made".to_owned());
            let outcome = outcome.and_then(|()| if seen { Ok(()) } else { Err(unseen()) });
            self.finish(&job, outcome);
            if !seen {
                break;
            }
        }
    }

    /// Refuses all work while there is no library. Without NVIDIA's driver there are no instances that could be removed.
    pub(super) fn refuse_work(&self) {
        while let Some(job) = self.next_job() {
            let (no_driver, trouble) = {
                let state = self.state();
                (state.no_driver.clone(), state.trouble.clone())
            };
            let outcome = match (job.task, no_driver) {
                (Task::Remove, Some(_)) => Ok(()),
                (_, reason) => {
                    let reason = reason.or(trouble).unwrap_or_else(|| "NVML is not loaded".to_owned());
                    Err(Failure::Transient(format!("{}: {reason}", job.wanted.what())))
                }
            };
            self.finish(&job, outcome);
        }
    }

    /// Calls the library, so that whoever waits can say which call does not end.
    pub(super) fn calling<T>(&self, call: &'static str, work: impl FnOnce() -> T) -> T {
        self.state().calling = Some(call);
        let answer = work();
        self.state().calling = None;
        answer
    }

    /// Whether an instance that is a device was made for a claim.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        self.state().held.is_ours(name)
    }

    pub(super) fn set_ours(&self, name: &str, is_ours: bool) {
        self.state().held.set_ours(name, is_ours);
    }
}
