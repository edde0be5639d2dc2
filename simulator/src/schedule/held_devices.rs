//! What preemption does not see: pods of lower priority whose devices stand in the way of a pod.

use std::cmp::Reverse;
use std::sync::atomic::AtomicBool;

use super::cluster_state::ClusterState;
use super::options::SimulateError;
use super::pods::PodId;
use super::preemption::priority;
use crate::report::PodOutcome;

/// Pods that would have to leave a node, with their devices, so that another one fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicesInTheWay {
    /// Number of the node.
    pub node: usize,
    /// The pods, the most important first.
    pub pods: Vec<PodId>,
}

/// So many nodes are tried.
const NODES_TRIED: usize = 8;

impl ClusterState {
    /// For a pod that no node took, even after preemption: whether one of the nodes would take it if pods of lower
    /// priority left with what they hold. Tried on forks.
    pub(super) fn devices_in_the_way(
        &self,
        id: PodId,
        cancel: &AtomicBool,
    ) -> Result<Option<DevicesInTheWay>, SimulateError> {
        let Some(of) = self.pods.get(id).map(|entry| priority(&entry.pod)) else { return Ok(None) };
        let is_lower = |other: &PodId| self.pods.get(*other).is_some_and(|entry| priority(&entry.pod) < of);
        let holds = |other: &PodId| {
            self.claims_of(*other)
                .into_iter()
                .any(|claim| self.claims.get(claim).is_some_and(|entry| entry.allocation.is_some()))
        };
        let refused = self.tally.nodes_without_devices().iter().chain(self.tally.resolvable());
        let tried = refused.filter_map(|&at| {
            let lower: Vec<PodId> = self.pods_on(at).iter().copied().filter(is_lower).collect();
            lower.iter().any(holds).then_some((at, lower))
        });
        for (at, mut lower) in tried.take(NODES_TRIED) {
            let mut base = self.clone();
            base.set_explanations(false, false);
            base.may_preempt = false;
            let fits_without = |gone: &[PodId]| -> Result<bool, SimulateError> {
                let mut fork = base.clone();
                for &pod in gone {
                    fork.delete(pod);
                }
                Ok(fork.attempt_on(&[at], id, cancel)?.outcome == PodOutcome::Scheduled)
            };
            if !fits_without(&lower)? {
                continue;
            }
            lower.sort_by_key(|&pod| Reverse(self.pods.get(pod).map(|entry| priority(&entry.pod))));
            // The important ones may stay, if the pod still fits.
            let mut going = lower.clone();
            for pod in lower {
                let others: Vec<PodId> = going.iter().copied().filter(|&other| other != pod).collect();
                if fits_without(&others)? {
                    going = others;
                }
            }
            return Ok(Some(DevicesInTheWay { node: at, pods: going }));
        }
        Ok(None)
    }
}
