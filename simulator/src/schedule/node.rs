//! Nodes as the simulation keeps them.

use std::sync::Arc;

use drayage_cel::{Quantity, QuantityFormat};
use drayage_cluster::objects::{Container, ContainerPort, Node, Pod};

use super::pods::PodId;
use super::ports;
use super::resources::{
    Amounts, Assumed, ContainerRequests, NodeResources, ResourceList, ResourceNames, pod_requests,
};

/// A node and what its pods take.
#[derive(Clone, Debug)]
pub(crate) struct NodeState {
    pub(crate) node: Arc<Node>,
    pub(crate) for_allocator: Arc<drayage_allocator::objects::Node>,
    pub(crate) resources: NodeResources,
    /// Region and zone; empty where the node has neither.
    pub(crate) zone: Arc<str>,
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
            zone: zone(&node),
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
        self.resources.take(&needs.amounts, needs.assumed);
        self.ports.extend(needs.ports.iter().cloned());
        self.pods.push(pod);
    }

    /// Gives back what [`take`](Self::take) took for the same pod.
    pub(crate) fn release(&mut self, pod: PodId, needs: &PodNeeds) {
        self.resources.release(&needs.amounts, needs.assumed);
        // The scheduler keeps a set: of two pods that have the same port, against the rules, the first to leave frees it.
        self.ports.retain(|taken| !needs.ports.contains(taken));
        self.pods.retain(|&other| other != pod);
    }
}

/// Region and zone as the scheduler takes them together. The old labels count before the new ones.
fn zone(node: &Node) -> Arc<str> {
    let label = |old: &str, new: &str| {
        let labels = &node.metadata.labels;
        labels.get(old).or_else(|| labels.get(new)).map_or("", String::as_str)
    };
    let zone = label("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    let region = label("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region");
    if zone.is_empty() && region.is_empty() {
        Arc::from("")
    } else {
        Arc::from(format!("{region}:\0:{zone}"))
    }
}

/// What a pod needs of its node besides devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodNeeds {
    pub(crate) amounts: Amounts,
    pub(crate) ports: Vec<ContainerPort>,
    /// CPU and memory as the books of nodes count them for scores.
    pub(crate) assumed: Assumed,
    /// CPU and memory as they count for the pod that is scored.
    pub(crate) scored: Assumed,
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
        let requests = requests(pod, pod_level);
        let amounts = names.amounts(&requests);
        let scored = assumed(pod, pod_level, true, true);
        let of_pod = spec.resources.as_ref().filter(|_| pod_level).map(|resources| &resources.requests);
        let is_set = of_pod.is_some_and(|list| {
            list.keys().any(|name| name == "cpu" || name == "memory" || name.starts_with("hugepages-"))
        });
        let assumed = if is_set {
            assumed(pod, pod_level, !requests.contains_key("cpu"), !requests.contains_key("memory"))
        } else {
            scored
        };
        Self { amounts, ports, assumed, scored }
    }
}

/// CPU and memory where containers that request none are taken to need a tenth of a CPU and 200 MiB.
fn assumed(pod: &Pod, pod_level: bool, cpu: bool, memory: bool) -> Assumed {
    let lacks = |container: &Container| {
        let requests = &container.resources.requests;
        (cpu && !requests.contains_key("cpu")) || (memory && !requests.contains_key("memory"))
    };
    let mut filled = None;
    if pod.spec.init_containers.iter().chain(&pod.spec.containers).any(lacks) {
        let pod = filled.insert(pod.clone());
        let containers = pod.spec.init_containers.iter_mut().chain(&mut pod.spec.containers);
        for requests in containers.map(|container| &mut container.resources.requests) {
            if cpu {
                requests
                    .entry("cpu".to_owned())
                    .or_insert_with(|| Quantity::from_milli(100, QuantityFormat::DecimalSI));
            }
            if memory {
                requests
                    .entry("memory".to_owned())
                    .or_insert_with(|| Quantity::from_integer(200 << 20, QuantityFormat::BinarySI));
            }
        }
    }
    let requests = requests(filled.as_ref().unwrap_or(pod), pod_level);
    Assumed {
        milli_cpu: requests.get("cpu").map_or(0, Quantity::milli_value),
        memory: requests.get("memory").map_or(0, Quantity::value),
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
