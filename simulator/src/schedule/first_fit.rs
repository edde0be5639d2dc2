//! The first node of several that every filter lets pass, as cluster-autoscaler searches.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::attempt::Attempt;
use super::beginning::{Beginning, End};
use super::cluster_state::ClusterState;
use super::filter::Asked;
use super::neighbours::{Filtering, Neighbours, wants};
use super::options::SimulateError;
use super::pods::{PodId, PodPlace};
use super::profile::FilterPlugin;
use super::standing::Failure;
use crate::report::PodOutcome;

impl ClusterState {
    /// Puts a waiting pod on the first node of `tried` that every filter lets pass. `cluster` are the nodes that count
    /// for topology spread, `tried` among them.
    ///
    /// Unlike an attempt of the scheduler it compares no scores, and gives up no allocation where no node fits. Gates
    /// are not looked at. The reasons of a refusal are those of the last node that was tried.
    pub(crate) fn first_fit(
        &mut self,
        cluster: &[usize],
        tried: impl IntoIterator<Item = usize>,
        id: PodId,
        cancel: &AtomicBool,
    ) -> Result<Attempt, SimulateError> {
        let pod = match self.pods.get(id) {
            Some(entry) if entry.place == PodPlace::Pending => Arc::clone(&entry.pod),
            _ => return Ok(Attempt::failed("not-pending", "the pod waits for no node".to_owned(), None)),
        };
        let pod = pod.as_ref();
        let pod_claims = match self.claims.of_pod(pod) {
            Ok(claims) => claims,
            Err(message) => return Ok(Attempt::gated(message)),
        };
        let needs = self.needs(pod);
        self.note_delegated(&needs);
        let options = Arc::clone(&self.options);
        let number = options.profile_of(&pod.spec.scheduler_name).unwrap_or_default();
        let profile = options.numbered_profile(number);
        let begun = self.begin_attempt(pod, &pod_claims, &needs, (number, profile));
        let Beginning { verdicts, volumes, mut plan } = match begun {
            Ok(begun) => begun,
            // No node is looked at.
            Err(End::Refused { plugin, reason }) => {
                return Ok(Attempt::refused(plugin, reason.clone(), 1, reason));
            }
            Err(End::Failed(attempt)) => return Ok(*attempt),
        };
        let kind = self.counts.kind(pod, number);
        let wants = wants(&mut self.counts, kind, &self.nodes, &self.pods, &self.default_selectors);
        let filtering = Filtering {
            spread: profile.filters_by(FilterPlugin::PodTopologySpread),
            affinity: profile.filters_by(FilterPlugin::InterPodAffinity),
        };
        let neighbours = Neighbours::new(&mut self.counts, kind, wants, cluster, None, &verdicts, filtering);
        let room = self.room(&needs, profile);
        let mut was_tried = false;
        for at in tried {
            was_tried = true;
            let asked = Asked {
                nodes: &[at],
                all_nodes: cluster,
                pod,
                needs: &needs,
                room: &room,
                volumes: &volumes,
                profile: (number, profile),
                verdicts: &verdicts,
                neighbours: &neighbours,
                likeness: None,
            };
            let mut candidates = match self.candidates(&asked, &mut plan, cancel)? {
                Ok(candidates) => candidates,
                Err(attempt) => return Ok(*attempt),
            };
            if let Some(found) = candidates.pop() {
                let attempt = self.commit(id, pod, &needs, &mut plan, found.at, found.results);
                self.bind_volumes(&volumes, &attempt);
                return Ok(Attempt { best: vec![found.at], ..attempt });
            }
        }
        if was_tried {
            let failure = Failure::once(self.tally.clone());
            Ok(self.refused(1, pod, &mut plan, &failure))
        } else {
            Ok(Attempt::new(PodOutcome::Unschedulable))
        }
    }
}
