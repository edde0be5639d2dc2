//! How many nodes of one group cluster-autoscaler would add: its binpacking.

use crate::report::PodOutcome;
use crate::schedule::{Attempt, ClusterState, PodId, SimulateError};
use crate::what_if::drain::RoundRobin;
use crate::what_if::ground::Ground;
use crate::what_if::node_groups::Group;

const HOST: &str = "kubernetes.io/hostname";
/// The scheduler's reason for a node that a topology spread refuses.
const SPREAD_REFUSAL: &str = "node(s) didn't match pod topology spread constraints";

/// What an estimate came to.
#[derive(Debug)]
pub(super) struct Estimate {
    /// Pods with a place, in the order they got it.
    pub(super) pods: Vec<PodId>,
    /// Nodes that got at least one of them. One of the cluster may be among them.
    pub(super) nodes: Vec<usize>,
    /// The cluster with all nodes that were tried.
    pub(super) state: ClusterState,
    /// Whether the limit kept it from adding more.
    pub(super) limited: bool,
}

/// Packs groups of equivalent pods, in the order that they are given, onto new nodes.
///
/// Pods of a group are tried on the nodes added so far, round robin, until one does not fit; then each on the last node,
/// and where that fails on a fresh one. A pod that does not even fit a fresh node ends its group, as does a last node
/// that is still empty. A pod with a topology spread over host names that the last node does not suit is tried on all
/// other nodes first, those of the cluster among them; such a node then counts as if it were new, as it does upstream.
/// New nodes get numbers from `first_number` on.
pub(super) fn estimate(
    ground: &Ground<'_>,
    base: &ClusterState,
    group: &Group,
    pod_groups: &[Vec<PodId>],
    allowed: usize,
    robin: &mut RoundRobin,
    first_number: usize,
) -> Result<Estimate, SimulateError> {
    let mut packing = Packing {
        ground,
        group,
        first_number,
        nodes: base.node_numbers().as_ref().clone(),
        existing: base.node_numbers().len(),
        state: base.clone(),
        with_pods: Vec::new(),
        pods: Vec::new(),
        added: 0,
        allowed,
    };
    let mut may_add = true;
    for pods in pod_groups {
        let rest = packing.on_added_nodes(pods, robin)?;
        if may_add {
            may_add = packing.on_new_nodes(rest, robin)?;
        }
    }
    let Packing { state, with_pods, pods, .. } = packing;
    Ok(Estimate { pods, nodes: with_pods, state, limited: !may_add })
}

struct Packing<'g, 'a> {
    ground: &'g Ground<'a>,
    group: &'g Group,
    first_number: usize,
    /// Nodes of the cluster in order, those that were added behind.
    nodes: Vec<usize>,
    existing: usize,
    state: ClusterState,
    with_pods: Vec<usize>,
    pods: Vec<PodId>,
    added: usize,
    allowed: usize,
}

impl Packing<'_, '_> {
    fn placed(&mut self, id: PodId, at: usize) {
        self.pods.push(id);
        if !self.with_pods.contains(&at) {
            self.with_pods.push(at);
        }
    }

    /// Tries the nodes added so far; returned are the pods from the first that fits on none.
    fn on_added_nodes<'p>(
        &mut self,
        pods: &'p [PodId],
        robin: &mut RoundRobin,
    ) -> Result<&'p [PodId], SimulateError> {
        let added: Vec<usize> = self.nodes.iter().copied().skip(self.existing).collect();
        for (position, &id) in pods.iter().enumerate() {
            let accepts = |at: usize| added.contains(&at);
            match robin.find(self.ground, &mut self.state, id, &self.nodes, accepts)? {
                Some(at) => self.placed(id, at),
                None => return Ok(pods.get(position..).unwrap_or_default()),
            }
        }
        Ok(&[])
    }

    /// Tries the last node, then a fresh one. False if no more nodes may be added.
    fn on_new_nodes(&mut self, pods: &[PodId], robin: &mut RoundRobin) -> Result<bool, SimulateError> {
        for &id in pods {
            let last = self.nodes.get(self.existing..).and_then(<[usize]>::last).copied();
            if let Some(last) = last {
                let attempt = self.on_node(id, last)?;
                if attempt.outcome == PodOutcome::Scheduled {
                    self.placed(id, last);
                    continue;
                }
                let spread = attempt.reasons.iter().any(|reason| reason.reason == SPREAD_REFUSAL);
                if spread
                    && self.spreads_over_hosts(id)
                    && let Some(at) =
                        robin.find(self.ground, &mut self.state, id, &self.nodes, |at| at != last)?
                {
                    self.placed(id, at);
                    continue;
                }
            }
            if last.is_some_and(|last| !self.with_pods.contains(&last)) {
                return Ok(true);
            }
            if self.added >= self.allowed {
                return Ok(false);
            }
            let at = add_node(self.ground, &mut self.state, self.group, self.first_number + self.added);
            self.added += 1;
            self.nodes.push(at);
            if self.on_node(id, at)?.outcome != PodOutcome::Scheduled {
                break;
            }
            self.placed(id, at);
        }
        Ok(true)
    }

    fn on_node(&mut self, id: PodId, at: usize) -> Result<Attempt, SimulateError> {
        self.state.first_fit(&self.nodes, [at], id, self.ground.cancel)
    }

    /// Whether a constraint of the pod is about host names, a soft one too.
    fn spreads_over_hosts(&self, id: PodId) -> bool {
        let pod = self.state.pod(id).map(|(pod, _)| pod);
        pod.is_some_and(|pod| {
            pod.spec.topology_spread.iter().any(|constraint| constraint.topology_key == HOST)
        })
    }
}

/// Adds the new node of a number, with the pods that it starts with.
pub(crate) fn add_node(ground: &Ground<'_>, state: &mut ClusterState, group: &Group, number: usize) -> usize {
    let new = group.instance(number, &ground.prepared.snapshot);
    let at = state.add_node(new.node, new.slices);
    for pod in new.pods {
        let id = state.add_pod(pod);
        state.bind(id, at, []);
    }
    at
}
