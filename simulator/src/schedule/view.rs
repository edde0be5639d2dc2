//! What can be seen of a cluster under simulation.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::{AllocationResult, DeviceId, PoolId, ResourceClaim, ResourceSlice};
use drayage_cluster::objects::{Node, Pod};

use super::claims::{ClaimEntry, ClaimId};
use super::cluster_state::ClusterState;
use super::pods::{PodId, PodPlace};

/// How much of a pool is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUse {
    /// Devices of the newest generation.
    pub devices: usize,
    /// Those of them of which something is held.
    pub held: usize,
}

/// What the pods of a node have taken of it, beside devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeUse {
    /// Thousandths of a CPU: requested by the pods, allocatable.
    pub milli_cpu: (i64, i64),
    /// Bytes of memory: requested by the pods, allocatable.
    pub memory: (i64, i64),
    /// Pods: there are, allowed.
    pub pods: (i64, i64),
}

/// A claim, what it holds and who uses it.
#[derive(Clone, Debug)]
pub struct ClaimView<'a> {
    /// Its number.
    pub id: ClaimId,
    /// What it asks for, with its namespace and name.
    pub spec: &'a ResourceClaim,
    /// Whether it was made for one pod and goes with it.
    pub generated: bool,
    /// What it holds.
    pub allocation: Option<&'a AllocationResult>,
    /// The pods that have reserved it and are known.
    pub consumers: Vec<PodId>,
}

impl ClusterState {
    /// Name of the volume that a claim for one has, by namespace and name; `None` where it has none.
    pub fn volume_of(&self, namespace: &str, claim: &str) -> Option<&str> {
        self.volumes.volume_of(namespace, claim)
    }

    /// Numbers of the nodes, by name.
    pub fn node_numbers(&self) -> Arc<Vec<usize>> {
        self.nodes.order()
    }

    /// A node by number, also one that was removed.
    pub fn node(&self, at: usize) -> Option<&Node> {
        self.nodes.get(at).map(|state| state.node.as_ref())
    }

    /// The number of a node.
    pub fn find_node(&self, name: &str) -> Option<usize> {
        self.nodes.find(name)
    }

    /// What the pods of a node have taken of it.
    pub fn node_use(&self, at: usize) -> Option<NodeUse> {
        let resources = &self.nodes.get(at)?.resources;
        let (requested, allocatable) = (resources.requested(), &resources.allocatable);
        Some(NodeUse {
            milli_cpu: (requested.milli_cpu, allocatable.milli_cpu),
            memory: (requested.memory, allocatable.memory),
            pods: (resources.pods(), resources.allowed_pods),
        })
    }

    /// The pods on a node, in the order they came.
    pub fn pods_on(&self, at: usize) -> &[PodId] {
        self.nodes.get(at).map_or(&[], |state| &state.pods)
    }

    /// All pods that have not ended, with their places: those that ran in the beginning by name, then those that
    /// waited in queue order, then those that were added.
    pub fn pods(&self) -> impl Iterator<Item = (PodId, &Arc<Pod>, PodPlace)> {
        self.pods.iter().map(|(id, entry)| (id, &entry.pod, entry.place))
    }

    /// A pod by number, and its place.
    pub fn pod(&self, id: PodId) -> Option<(&Arc<Pod>, PodPlace)> {
        self.pods.get(id).map(|entry| (&entry.pod, entry.place))
    }

    /// The number of a pod, by `namespace/name`.
    pub fn find_pod(&self, full_name: &str) -> Option<PodId> {
        self.pods.find(full_name)
    }

    /// The name of a pod, as `namespace/name`.
    pub(crate) fn pod_name(&self, id: PodId) -> Option<String> {
        self.pods.get(id).map(|entry| entry.pod.metadata.full_name())
    }

    /// All claims, in the order they came.
    pub fn claims(&self) -> impl Iterator<Item = ClaimView<'_>> {
        self.claims.iter().map(|(id, entry)| self.view(id, entry))
    }

    /// A claim by number.
    pub fn claim(&self, id: ClaimId) -> Option<ClaimView<'_>> {
        self.claims.get(id).map(|entry| self.view(id, entry))
    }

    /// The claims of a pod in the order of its specification, then the one for its extended resources; nothing
    /// where they do not all exist.
    pub fn claims_of(&self, id: PodId) -> Vec<ClaimId> {
        let Some(entry) = self.pods.get(id) else { return Vec::new() };
        let of_pod = self.claims.of_pod(&entry.pod).unwrap_or_default();
        of_pod.into_iter().map(|pod_claim| pod_claim.claim).chain(entry.extended).collect()
    }

    fn view<'a>(&self, id: ClaimId, entry: &'a ClaimEntry) -> ClaimView<'a> {
        ClaimView {
            id,
            spec: &entry.spec,
            generated: entry.generated,
            allocation: entry.allocation.as_deref(),
            consumers: entry.consumers.iter().filter_map(|uid| self.pods.find_uid(uid)).collect(),
        }
    }

    /// The slices, with the taints of DeviceTaintRules.
    pub fn slices(&self) -> impl Iterator<Item = &ResourceSlice> {
        self.devices.slices()
    }

    /// The slices of a pool, of every generation.
    pub fn slices_of_pool(&self, pool: &PoolId) -> impl Iterator<Item = &ResourceSlice> {
        self.devices.slices_of_pool(pool)
    }

    /// The slices that are bound to a node by its name.
    pub fn slices_of_node(&self, node: &str) -> impl Iterator<Item = &ResourceSlice> {
        self.devices.slices_of_node(node)
    }

    /// How much of each pool is held, by the newest generation of its slices. Admin access holds nothing.
    pub fn pool_use(&self) -> BTreeMap<PoolId, PoolUse> {
        let mut generations: BTreeMap<PoolId, i64> = BTreeMap::new();
        for slice in self.devices.slices() {
            let newest = generations.entry(slice.pool_id()).or_insert(slice.pool.generation);
            *newest = (*newest).max(slice.pool.generation);
        }
        let mut pools: BTreeMap<PoolId, PoolUse> = BTreeMap::new();
        for slice in self.devices.slices() {
            let pool = slice.pool_id();
            if generations.get(&pool) != Some(&slice.pool.generation) {
                continue;
            }
            let held = |name: &str| {
                let device = DeviceId { pool: pool.clone(), device: name.to_owned() };
                self.devices.held().is_allocated(&device)
            };
            let held = slice.devices.iter().filter(|device| held(&device.name)).count();
            let of_pool = pools.entry(pool.clone()).or_default();
            of_pool.devices += slice.devices.len();
            of_pool.held += held;
        }
        pools
    }
}
