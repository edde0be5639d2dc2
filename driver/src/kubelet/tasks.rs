//! The work on claims: one task for each claim that runs to its end, whatever becomes of the call that started it.
//!
//! tonic drops the future of a call when its deadline passes or the kubelet cancels it. Work that is dropped halfway
//! would be lost, and a failed prepare costs the pod 60 to 90 seconds. So a call only waits for a task; a second call
//! for the claim joins the task that runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use super::plugin::{ClaimReference, Failure, NodePlugin, PreparedDevice};

/// First pause after a transient failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of the work on a claim. Unprepare has no devices.
type Outcome = Result<Vec<PreparedDevice>, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Prepare,
    Unprepare,
}

/// A task that runs.
struct Running {
    operation: Operation,
    outcome: watch::Receiver<Option<Outcome>>,
    /// Until when transient failures are tried again; a call that joins may move it on.
    give_up: Arc<watch::Sender<Instant>>,
}

type Table = Arc<Mutex<BTreeMap<String, Running>>>;

/// The tasks of one plugin, by UID of the claim.
pub(super) struct ClaimTasks<P> {
    plugin: Arc<P>,
    running: Table,
}

impl<P> Clone for ClaimTasks<P> {
    fn clone(&self) -> Self {
        Self { plugin: Arc::clone(&self.plugin), running: Arc::clone(&self.running) }
    }
}

/// Every change of the table is one call that cannot fail halfway, so that a panic elsewhere does not spoil it.
fn lock(table: &Table) -> MutexGuard<'_, BTreeMap<String, Running>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the task out of the table when it ends, also by a panic of the plugin.
struct Entry {
    table: Table,
    uid: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.uid);
    }
}

impl<P: NodePlugin> ClaimTasks<P> {
    pub(super) fn new(plugin: Arc<P>) -> Self {
        Self { plugin, running: Table::default() }
    }

    /// Number of claims that are being worked on.
    pub(super) fn running(&self) -> usize {
        lock(&self.running).len()
    }

    /// Runs `operation` on a claim, or joins it, and waits for its outcome until `deadline`.
    pub(super) async fn run(
        &self,
        operation: Operation,
        claim: &ClaimReference,
        deadline: Instant,
    ) -> Outcome {
        loop {
            let (mut outcome, joined) = self.start_or_join(operation, claim, deadline);
            match timeout_at(deadline, outcome.wait_for(Option::is_some)).await {
                // The other operation ended: now it is our turn.
                Ok(_) if !joined => {}
                Ok(Ok(value)) => return value.clone().unwrap_or_else(|| Err(stopped(claim))),
                // The plugin panicked. The entry is gone, the next call starts anew.
                Ok(Err(_)) => return Err(stopped(claim)),
                Err(_) => {
                    return Err(format!(
                        "claim `{}/{}` is still being worked on; the next call will join",
                        claim.namespace, claim.name
                    ));
                }
            }
        }
    }

    /// The task of the claim, and whether it does what is wanted.
    fn start_or_join(
        &self,
        operation: Operation,
        claim: &ClaimReference,
        deadline: Instant,
    ) -> (watch::Receiver<Option<Outcome>>, bool) {
        let mut running = lock(&self.running);
        if let Some(task) = running.get(&claim.uid) {
            let joined = task.operation == operation;
            task.give_up.send_modify(|give_up| {
                // The kubelet changed its mind: the other operation shall not go on trying.
                *give_up = if joined { deadline.max(*give_up) } else { Instant::now() };
            });
            return (task.outcome.clone(), joined);
        }
        let (sender, outcome) = watch::channel(None);
        let give_up = Arc::new(watch::Sender::new(deadline));
        running.insert(
            claim.uid.clone(),
            Running { operation, outcome: outcome.clone(), give_up: Arc::clone(&give_up) },
        );
        let entry = Entry { table: Arc::clone(&self.running), uid: claim.uid.clone() };
        let (plugin, claim) = (Arc::clone(&self.plugin), claim.clone());
        tokio::spawn(async move {
            let outcome = work(&*plugin, operation, &claim, &mut give_up.subscribe()).await;
            drop(entry);
            sender.send_replace(Some(outcome));
        });
        (outcome, true)
    }
}

fn stopped(claim: &ClaimReference) -> String {
    format!("work on claim `{}/{}` stopped unexpectedly", claim.namespace, claim.name)
}

/// Tries until it succeeds, fails for good, or the time to give up would pass during the next pause.
async fn work<P: NodePlugin>(
    plugin: &P,
    operation: Operation,
    claim: &ClaimReference,
    give_up: &mut watch::Receiver<Instant>,
) -> Outcome {
    let mut pause = FIRST_PAUSE;
    loop {
        let result = match operation {
            Operation::Prepare => plugin.prepare(claim).await,
            Operation::Unprepare => plugin.unprepare(claim).await.map(|()| Vec::new()),
        };
        let message = match result {
            Ok(devices) => return Ok(devices),
            Err(Failure::Permanent(message)) => return Err(message),
            Err(Failure::Transient(message)) => message,
        };
        let next = Instant::now() + pause;
        loop {
            if *give_up.borrow_and_update() <= next {
                return Err(message);
            }
            tokio::select! {
                () = sleep(next - Instant::now()) => break,
                _ = give_up.changed() => {}
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
