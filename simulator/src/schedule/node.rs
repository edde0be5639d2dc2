//! Nodes as the simulation keeps them.

use std::sync::Arc;

use drayage_cluster::objects::{ContainerPort, Node, Pod};

use super::pods::PodId;
use super::ports;
use super::resources::{
    Amounts, ContainerRequests, NodeResources, ResourceList, ResourceNames, pod_requests,
};

/// A node and what its pods take.
#[derive(Clone, Debug)]
pub(crate) struct NodeState {
    pub(crate) node: Arc<Node>,
    pub(crate) for_allocator: Arc<drayage_allocator::objects::Node>,
    pub(crate) resources: NodeResources,
    /// The pods that are here, in the order they came.
    pub(crate) pods: Vec<PodId>,
    ports: Vec<ContainerPort>,
}

impl NodeState {
    pub(crate) fn new(node: Arc<Node>, names: &mut ResourceNames) -> Self {
        let allowed_pods = node.allocatable.get("pods").map_or(0, drayage_cel::Quantity::value);
        Self {
            for_allocator: Arc::new(node.for_allocator()),
            resources: NodeResources::new(names.amounts(&node.allocatable), allowed_pods),
            pods: Vec::new(),
            ports: Vec::new(),
            node,
        }
    }

    /// `metadata.name`
    pub(crate) fn name(&self) -> &str {
        &self.for_allocator.name
    }

    /// Whether the ports are free.
    pub(crate) fn has_free(&self, wanted: &[ContainerPort]) -> bool {
        !wanted.iter().any(|wanted| self.ports.iter().any(|taken| ports::conflict(wanted, taken)))
    }

    /// Takes in a pod and what it needs.
    pub(crate) fn take(&mut self, pod: PodId, needs: &PodNeeds) {
        self.resources.take(&needs.amounts);
        self.ports.extend(needs.ports.iter().cloned());
        self.pods.push(pod);
    }

    /// Gives back what [`take`](Self::take) took for the same pod.
    pub(crate) fn release(&mut self, pod: PodId, needs: &PodNeeds) {
        self.resources.release(&needs.amounts);
        for port in &needs.ports {
            if let Some(at) = self.ports.iter().position(|taken| taken == port) {
                self.ports.remove(at);
            }
        }
        self.pods.retain(|&other| other != pod);
    }
}

/// What a pod needs of its node besides devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodNeeds {
    pub(crate) amounts: Amounts,
    pub(crate) ports: Vec<ContainerPort>,
}

impl PodNeeds {
    /// `pod_level` is gate PodLevelResources.
    pub(crate) fn new(pod: &Pod, pod_level: bool, names: &mut ResourceNames) -> Self {
        let spec = &pod.spec;
        // Ports of an init container count only if it keeps running.
        let ports = spec
            .init_containers
            .iter()
            .filter(|container| container.restarts_always)
            .chain(&spec.containers)
            .flat_map(|container| &container.ports)
            .filter(|port| port.host_port > 0)
            .cloned()
            .collect();
        Self { amounts: names.amounts(&requests(pod, pod_level)), ports }
    }
}

/// What a pod requests in all.
pub(crate) fn requests(pod: &Pod, pod_level: bool) -> ResourceList {
    let spec = &pod.spec;
    pod_requests(
        spec.init_containers.iter().map(|container| ContainerRequests {
            requests: &container.resources.requests,
            sidecar: container.restarts_always,
        }),
        spec.containers
            .iter()
            .map(|container| ContainerRequests { requests: &container.resources.requests, sidecar: false }),
        spec.resources.as_ref().filter(|_| pod_level).map(|resources| &resources.requests),
        &spec.overhead,
    )
}
