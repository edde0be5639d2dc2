//! Trouble with claims that a kubelet keeps to itself, for those who wait for a pod.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use crate::kubelet::{ClaimReference, Failure, NodePlugin, PreparedDevice};

/// Trouble that may heal by itself is told of after this long.
const HEALING: Duration = Duration::from_secs(10);
/// The same trouble is told of again after this long.
const AGAIN: Duration = Duration::from_mins(5);

/// What users should hear of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The claim.
    pub claim: ClaimReference,
    /// What failed, as one word: `FailedPrepare` or `FailedUnprepare`.
    pub reason: &'static str,
    /// Why.
    pub note: String,
}

/// A plugin that tells of what goes wrong in it. A kubelet tells nobody why a pod cannot be deleted, and why one does not
/// start only when a call is over.
#[derive(Debug)]
pub(super) struct Announced<P> {
    plugin: Arc<P>,
    announcements: Option<mpsc::Sender<Announcement>>,
    troubles: Mutex<BTreeMap<(String, &'static str), Trouble>>,
}

/// A claim that something goes wrong with.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    told: Option<Instant>,
}

impl<P> Announced<P> {
    /// `plugin`, telling `announcements`. While nobody takes them they are lost, since the trouble comes again.
    pub(super) fn new(plugin: Arc<P>, announcements: Option<mpsc::Sender<Announcement>>) -> Self {
        Self { plugin, announcements, troubles: Mutex::default() }
    }

    fn look(&self, claim: &ClaimReference, reason: &'static str, failure: Option<&Failure>) {
        let Some(announcements) = &self.announcements else { return };
        let key = (claim.uid.clone(), reason);
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(failure) = failure else {
            troubles.remove(&key);
            return;
        };
        let now = Instant::now();
        // A claim that nobody asks about any more is no trouble any more.
        troubles.retain(|_, trouble| now - trouble.told.unwrap_or(trouble.since) < 2 * AGAIN);
        let trouble = troubles.entry(key).or_insert(Trouble { since: now, told: None });
        let may_heal = matches!(failure, Failure::Transient(_)) && now - trouble.since < HEALING;
        if may_heal || trouble.told.is_some_and(|told| now - told < AGAIN) {
            return;
        }
        trouble.told = Some(now);
        let note = failure.to_string();
        let _ = announcements.try_send(Announcement { claim: claim.clone(), reason, note });
    }
}

impl<P: NodePlugin> NodePlugin for Announced<P> {
    async fn prepare(&self, claim: &ClaimReference) -> Result<Vec<PreparedDevice>, Failure> {
        let result = self.plugin.prepare(claim).await;
        self.look(claim, "FailedPrepare", result.as_ref().err());
        result
    }

    async fn unprepare(&self, claim: &ClaimReference) -> Result<(), Failure> {
        let result = self.plugin.unprepare(claim).await;
        self.look(claim, "FailedUnprepare", result.as_ref().err());
        result
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// Unprepares as the next letter says: `t`ransient, `p`ermanent, or well.
    struct Script(Mutex<Vec<u8>>);

    impl NodePlugin for Script {
        async fn prepare(&self, _: &ClaimReference) -> Result<Vec<PreparedDevice>, Failure> {
            Ok(Vec::new())
        }

        async fn unprepare(&self, _: &ClaimReference) -> Result<(), Failure> {
            match self.0.lock().unwrap().remove(0) {
                b't' => Err(Failure::Transient("not yet".to_owned())),
                b'p' => Err(Failure::Permanent("never".to_owned())),
                _ => Ok(()),
            }
        }
    }

    /// Which of the calls, a second apart, were told of.
    async fn told(script: &str) -> Vec<usize> {
        let (sender, mut announcements) = mpsc::channel(9);
        let plugin = Announced::new(Arc::new(Script(Mutex::new(script.bytes().collect()))), Some(sender));
        let claim = ClaimReference { namespace: "ml".to_owned(), name: "a".to_owned(), uid: "0a".to_owned() };
        let mut told = Vec::new();
        for call in 0..script.len() {
            let _ = plugin.unprepare(&claim).await;
            if let Ok(announcement) = announcements.try_recv() {
                assert_eq!((announcement.claim.name.as_str(), announcement.reason), ("a", "FailedUnprepare"));
                told.push(call);
            }
            advance(Duration::from_secs(1)).await;
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn what_heals_within_ten_seconds_is_not_told_of() {
        assert!(told(&("t".repeat(10) + ".")).await.is_empty());
        assert!(told(&("t".repeat(9) + "." + &"t".repeat(9))).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_is_told_of_every_five_minutes() {
        assert_eq!(told(&"t".repeat(700)).await, [10, 310, 610]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_heal_is_told_of_at_once() {
        assert_eq!(told("pppp.p").await, [0, 5]);
    }
}
