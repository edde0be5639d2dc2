//! Pods that are put on trial and never stay.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drayage_allocator::objects::{AllocationResult, DeviceConstraint, DeviceRequest, ResourceClaim};
use drayage_cluster::objects::{Claim, Metadata, Pod, PodResourceClaim, PodStatus};

use super::demand::Demand;
use crate::report::PodOutcome;
use crate::schedule::{ClaimId, ClusterState, PodId, SimulateError};

/// What of a demand is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Without {
    pub(super) cpu: bool,
    pub(super) memory: bool,
    pub(super) constraints: bool,
}

/// A pod on trial, with its claims.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pod: PodId,
    claims: Vec<ClaimId>,
}

impl Probe {
    /// Adds a pod with this demand to the state, waiting. `name` must be new.
    pub(super) fn new(state: &mut ClusterState, demand: &Demand, without: Without, name: &str) -> Self {
        let mut pod = demand.pod.as_ref().clone();
        for resource in
            [("cpu", without.cpu), ("memory", without.memory)].iter().filter(|(_, left_out)| *left_out)
        {
            let spec = &mut pod.spec;
            for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
                container.resources.requests.remove(resource.0);
            }
            spec.overhead.remove(resource.0);
            if let Some(resources) = &mut spec.resources {
                resources.requests.remove(resource.0);
            }
        }
        Self::add(state, pod, &demand.claims, without.constraints, name)
    }

    /// Adds a pod that wants nothing but these devices.
    pub(super) fn of_requests(state: &mut ClusterState, requests: Vec<DeviceRequest>, name: &str) -> Self {
        let mut pod = Pod::default();
        "default-scheduler".clone_into(&mut pod.spec.scheduler_name);
        Self::add(state, pod, &[(requests, Vec::new())], false, name)
    }

    fn add(
        state: &mut ClusterState,
        mut pod: Pod,
        claims: &[(Vec<DeviceRequest>, Vec<DeviceConstraint>)],
        unconstrained: bool,
        name: &str,
    ) -> Self {
        let namespace = "drayage-probe";
        let metadata = |kind: &str, name: &str| Metadata {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            uid: format!("{namespace}:{kind}:{name}"),
            ..Metadata::default()
        };
        pod.metadata = Metadata { labels: pod.metadata.labels, ..metadata("Pod", name) };
        pod.status = PodStatus::default();
        pod.spec.node_name = None;
        pod.spec.scheduling_gates.clear();
        pod.spec.resource_claims.clear();
        let mut numbers = Vec::new();
        for (at, (requests, constraints)) in claims.iter().enumerate() {
            let claim = format!("{name}-{at}");
            pod.spec.resource_claims.push(PodResourceClaim {
                name: format!("claim-{at}"),
                resource_claim_name: Some(claim.clone()),
                resource_claim_template_name: None,
            });
            numbers.push(state.add_claim(&Claim {
                metadata: metadata("ResourceClaim", &claim),
                spec: ResourceClaim {
                    namespace: namespace.to_owned(),
                    name: claim,
                    requests: requests.clone(),
                    constraints: if unconstrained { Vec::new() } else { constraints.clone() },
                    ..ResourceClaim::default()
                },
                ..Claim::default()
            }));
        }
        Self { pod: state.add_pod(Arc::new(pod)), claims: numbers }
    }

    /// Whether a node takes the pod; if so it stays there.
    pub(super) fn fits(&self, state: &mut ClusterState, node: usize) -> Result<bool, SimulateError> {
        let attempt = state.attempt_on(&[node], self.pod, &AtomicBool::new(false))?;
        Ok(attempt.outcome == PodOutcome::Scheduled)
    }

    /// Takes the pod away again, to wait.
    pub(super) fn leave(&self, state: &mut ClusterState) {
        state.evict(self.pod);
    }

    /// What its claims hold.
    pub(super) fn holds(&self, state: &ClusterState) -> Vec<AllocationResult> {
        let claims = self.claims.iter().filter_map(|&claim| state.claim(claim));
        claims.filter_map(|claim| claim.allocation.cloned()).collect()
    }
}
