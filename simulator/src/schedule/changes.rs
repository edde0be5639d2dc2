//! Changes of a cluster for what-ifs: nodes, slices and pods come and go, outside of any scheduling cycle.

use std::sync::Arc;

use drayage_allocator::objects::{AllocationResult, DeviceId, DeviceTaint, ResourceSlice};
use drayage_cluster::controllers;
use drayage_cluster::objects::{Claim, Node, Pod, TaintRule};

use super::claims::ClaimId;
use super::cluster_state::ClusterState;
use super::node::NodeState;
use super::pods::{PodId, PodPlace};

impl ClusterState {
    /// Adds a node with its slices; returns its number. A node of the same name must have been removed before, else
    /// it is now, with its pods left behind.
    pub fn add_node(&mut self, node: Node, slices: impl IntoIterator<Item = ResourceSlice>) -> usize {
        if let Some(before) = self.nodes.find(&node.metadata.name) {
            self.remove_node(before);
        }
        let state = NodeState::new(Arc::new(node), &mut self.names);
        self.devices.add_node(state.name());
        self.images.add(&state.node);
        self.counts.topologies.add_node(&state);
        let at = self.nodes.add(state);
        self.placements.node_changed(at);
        self.device_counts.forget();
        for slice in slices {
            self.devices.publish(slice);
        }
        at
    }

    /// Removes a node, with the slices that are bound to it by its name. Its pods are evicted and wait for another
    /// node; returned are their numbers, in the order they came.
    pub fn remove_node(&mut self, at: usize) -> Vec<PodId> {
        let Some(state) = self.nodes.get(at) else { return Vec::new() };
        let (name, pods) = (state.name().to_owned(), state.pods.clone());
        for &pod in &pods {
            self.evict(pod);
        }
        let slices: Vec<String> =
            self.devices.slices_of_node(&name).map(|slice| slice.name.clone()).collect();
        for slice in slices {
            self.devices.withdraw(&slice);
        }
        if let Some(state) = self.nodes.get(at) {
            self.images.remove(&state.node);
        }
        self.nodes.remove(at);
        pods
    }

    /// Sets `spec.unschedulable` of a node.
    pub fn cordon(&mut self, at: usize) {
        self.change_node(at, |node| node.unschedulable = true);
    }

    /// Changes a node's taints or `spec.unschedulable`. Labels and resources must stay.
    pub fn change_node(&mut self, at: usize, change: impl FnOnce(&mut Node)) {
        let Some(state) = self.nodes.get_mut(at) else { return };
        change(Arc::make_mut(&mut state.node));
        self.placements.node_changed(at);
        self.device_counts.forget();
    }

    /// Adds a slice, or puts it in the place of the one of its name.
    pub fn publish(&mut self, slice: ResourceSlice) {
        self.devices.publish(slice);
    }

    /// Removes the slice of this name; false if there is none.
    pub fn withdraw(&mut self, name: &str) -> bool {
        self.devices.withdraw(name)
    }

    /// Adds a taint to a device; false if no slice has it. Whoever holds the device keeps it.
    pub fn taint_device(&mut self, device: &DeviceId, taint: &DeviceTaint) -> bool {
        let has = |slice: &&ResourceSlice| slice.devices.iter().any(|other| other.name == device.device);
        let of_pool = self.devices.slices_of_pool(&device.pool);
        let slices: Vec<ResourceSlice> = of_pool.filter(has).cloned().collect();
        let found = !slices.is_empty();
        for mut slice in slices {
            for other in slice.devices.iter_mut().filter(|other| other.name == device.device) {
                other.taints.push(taint.clone());
            }
            self.devices.publish(slice);
        }
        found
    }

    /// Applies a DeviceTaintRule to all slices that are there now. Whoever holds a device keeps it. Returns how many
    /// slices it touches.
    pub fn apply_taint_rule(&mut self, rule: &TaintRule) -> usize {
        let mut changed = Vec::new();
        for slice in self.devices.slices() {
            let mut tainted = [slice.clone()];
            controllers::apply_taint_rules(&mut tainted, std::slice::from_ref(rule));
            changed.extend(tainted.into_iter().filter(|tainted| tainted != slice));
        }
        let touched = changed.len();
        for slice in changed {
            self.devices.publish(slice);
        }
        touched
    }

    /// Adds a pod that waits for a node. Its claims must be there.
    pub fn add_pod(&mut self, pod: impl Into<Arc<Pod>>) -> PodId {
        self.pods.add(pod.into(), PodPlace::Pending)
    }

    /// Adds a claim, with what it holds and who uses it.
    pub fn add_claim(&mut self, claim: &Claim) -> ClaimId {
        let id = self.claims.add(claim);
        for consumer in &claim.reserved_for {
            self.claims.reserve(id, &consumer.uid);
        }
        if let Some(allocation) = &claim.allocation {
            self.devices.hold(allocation);
            self.claims.allocate(id, allocation.clone());
        }
        id
    }

    /// Takes a pod from its node: it waits for another one, as the copy that a controller makes for it would. It
    /// leaves what it holds: claims made for it are as new, and a shared claim loses its devices with its last
    /// consumer.
    pub fn evict(&mut self, id: PodId) {
        let Some(entry) = self.pods.get_mut(id) else { return };
        let place = entry.place;
        if !matches!(place, PodPlace::Node(_) | PodPlace::Elsewhere) {
            return;
        }
        entry.place = PodPlace::Pending;
        let (pod, extended) = (Arc::clone(&entry.pod), entry.extended.take());
        let needs = self.needs(&pod);
        if let PodPlace::Node(at) = place {
            self.unsettle(id, at, &needs);
        }
        if let Some(held) = extended.and_then(|claim| self.claims.remove(claim)) {
            self.devices.release(&held);
        }
        for pod_claim in self.claims.of_pod(&pod).unwrap_or_default() {
            let generated = self.claims.get(pod_claim.claim).is_some_and(|entry| entry.generated);
            let freed = if generated {
                self.claims.deallocate_unused(pod_claim.claim, &pod.metadata.uid)
            } else {
                self.claims.unreserve(pod_claim.claim, &pod.metadata.uid)
            };
            if let Some(held) = freed {
                self.devices.release(&held);
            }
        }
    }

    /// Removes a pod, with the claims that were made for it.
    pub fn delete(&mut self, id: PodId) {
        self.evict(id);
        let Some(pod) = self.pods.get(id).map(|entry| Arc::clone(&entry.pod)) else { return };
        for pod_claim in self.claims.of_pod(&pod).unwrap_or_default() {
            if self.claims.get(pod_claim.claim).is_some_and(|entry| entry.generated)
                && let Some(held) = self.claims.remove(pod_claim.claim)
            {
                self.devices.release(&held);
            }
        }
        self.pods.remove(id);
    }

    /// Puts a waiting pod on a node without asking any filter. Its claims that hold nothing yet get these
    /// allocations.
    pub fn bind(
        &mut self,
        id: PodId,
        at: usize,
        allocations: impl IntoIterator<Item = (ClaimId, AllocationResult)>,
    ) {
        let Some(entry) = self.pods.get_mut(id) else { return };
        if entry.place != PodPlace::Pending {
            return;
        }
        entry.place = PodPlace::Node(at);
        let pod = Arc::clone(&entry.pod);
        for (claim, result) in allocations {
            if self.claims.get(claim).is_some_and(|entry| entry.allocation.is_none()) {
                self.devices.hold(&result);
                self.claims.allocate(claim, result);
            }
        }
        for pod_claim in self.claims.of_pod(&pod).unwrap_or_default() {
            self.claims.reserve(pod_claim.claim, &pod.metadata.uid);
        }
        let needs = self.needs(&pod);
        self.settle(id, at, &needs);
    }
}
