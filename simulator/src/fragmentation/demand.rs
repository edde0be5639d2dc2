//! What the pods of a cluster typically demand.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::{DeviceConstraint, DeviceRequest};
use drayage_cel::Quantity;
use drayage_cluster::objects::Pod;

use crate::schedule::ClusterState;

/// Pods that demand the same.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// One of them, the first by name.
    pub(super) pod: Arc<Pod>,
    /// Requests and constraints of each of its claims.
    pub(super) claims: Vec<(Vec<DeviceRequest>, Vec<DeviceConstraint>)>,
    /// How many there are.
    pub(super) pods: usize,
}

/// Demands are left out once those with more pods cover this part of the pods, in percent.
const COVERED_PERCENT: usize = 95;

/// The typical demands for devices, most pods first. Pods without claims of their own are left out, and so are
/// claims that several pods share, since one more such pod would demand no device.
pub(super) fn typical(state: &ClusterState) -> Vec<Demand> {
    let mut demands: BTreeMap<String, Demand> = BTreeMap::new();
    for (id, pod, _) in state.pods() {
        let mut claims = Vec::new();
        for claim in state.claims_of(id).into_iter().filter_map(|claim| state.claim(claim)) {
            if claim.consumers.len() <= 1 {
                claims.push((claim.spec.requests.clone(), claim.spec.constraints.clone()));
            }
        }
        if claims.is_empty() {
            continue;
        }
        let key = format!("{:?} {:?} {claims:?}", requested(pod, "cpu"), requested(pod, "memory"));
        let demand = demands.entry(key).or_insert_with(|| Demand { pod: Arc::clone(pod), claims, pods: 0 });
        demand.pods += 1;
        if pod.metadata.full_name() < demand.pod.metadata.full_name() {
            demand.pod = Arc::clone(pod);
        }
    }
    let mut demands: Vec<Demand> = demands.into_values().collect();
    demands.sort_by_key(|demand| std::cmp::Reverse(demand.pods));
    let wanted = demands.iter().map(|demand| demand.pods).sum::<usize>() * COVERED_PERCENT;
    let mut covered = 0;
    demands.retain(|demand| {
        let is_typical = covered * 100 < wanted;
        covered += demand.pods;
        is_typical
    });
    demands
}

/// What the containers request.
pub(super) fn requested(pod: &Pod, resource: &str) -> Vec<Option<Quantity>> {
    let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
    containers.map(|container| container.resources.requests.get(resource).cloned()).collect()
}

impl Demand {
    /// How much of a resource its containers request in all.
    pub(super) fn requested(&self, resource: &str) -> String {
        let containers = self.pod.spec.containers.iter();
        let amounts = containers.filter_map(|container| container.resources.requests.get(resource).cloned());
        amounts
            .reduce(|sum, amount| sum.checked_add(&amount).unwrap_or(sum))
            .map_or_else(|| "-".to_owned(), |sum| sum.to_string())
    }

    /// In short, such as `2 × gpu + 1 × nic`.
    pub(super) fn describe(&self) -> String {
        let requests = self.claims.iter().flat_map(|(requests, _)| requests);
        let parts: Vec<String> = requests.map(describe).collect();
        parts.join(" + ")
    }
}

fn describe(request: &DeviceRequest) -> String {
    use drayage_allocator::objects::AllocationMode;
    let number = |mode: &AllocationMode, count: i64| match mode {
        AllocationMode::All => "all".to_owned(),
        _ => count.to_string(),
    };
    if let Some(exactly) = &request.exactly {
        let share = exactly.capacity.iter().flatten().map(|(name, amount)| format!("{amount} {name} of "));
        let count = number(&exactly.allocation_mode, exactly.count);
        return format!("{count} × {}{}", share.collect::<String>(), exactly.device_class_name);
    }
    let first = request.first_available.iter().map(|alternative| {
        let count = number(&alternative.allocation_mode, alternative.count);
        format!("{count} × {}", alternative.device_class_name)
    });
    format!("({})", first.collect::<Vec<_>>().join(" or "))
}
