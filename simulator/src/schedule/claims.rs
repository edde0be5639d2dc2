//! The claims of the cluster and what becomes of them: who uses them, and what they hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use drayage_allocator::explanation::Holder;
use drayage_allocator::objects::{AllocationResult, DeviceConstraint, DeviceRequest, ResourceClaim};
use drayage_allocator::persistent::{List, Map};
use drayage_cluster::objects::{Claim, Pod};
use rustc_hash::FxHashSet;

use super::interner::Interner;

/// The API server's limit on `status.reservedFor`.
pub(crate) const MOST_CONSUMERS: usize = 256;

/// Marks a claim that stands for the extended resources of a pod (KEP-5004).
pub(crate) const EXTENDED_RESOURCE_ANNOTATION: &str = "resource.kubernetes.io/extended-resource-claim";

/// A claim by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimId(u32);

/// What the allocator looks at of a claim besides its name: claims that agree in it have devices on the same
/// nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Demand {
    requests: Vec<DeviceRequest>,
    constraints: Vec<DeviceConstraint>,
    /// Whether it keeps failing once it fails, as long as devices are only taken.
    lasting: bool,
}

/// One claim.
#[derive(Clone, Debug)]
pub(crate) struct ClaimEntry {
    pub(crate) spec: Arc<ResourceClaim>,
    /// Number of what it demands: equal for claims that demand the same.
    pub(crate) demand: usize,
    /// What it holds.
    pub(crate) allocation: Option<Arc<AllocationResult>>,
    /// Whether it was made for one pod.
    pub(crate) generated: bool,
    /// UID of the controlling pod, for a generated claim.
    owner: Option<Arc<str>>,
    being_deleted: bool,
    /// UIDs of `status.reservedFor`.
    pub(crate) consumers: Arc<BTreeSet<String>>,
    /// Whether it is gone.
    removed: bool,
}

impl ClaimEntry {
    /// Whether a pod may be added to the consumers.
    pub(crate) fn can_be_used_by(&self, uid: &str) -> bool {
        self.consumers.len() < MOST_CONSUMERS || self.consumers.contains(uid)
    }
}

/// All claims. Copies share what does not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimBook {
    entries: List<ClaimEntry>,
    by_name: Map<Arc<str>, ClaimId>,
    demands: Interner<Demand>,
}

/// A pod's claim and the entry of `spec.resourceClaims` that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodClaim {
    pub(crate) name: String,
    pub(crate) claim: ClaimId,
}

impl ClaimBook {
    /// Takes over the claims of a snapshot. As the claim controller does, claims whose every consumer has ended
    /// lose their allocation, and so do generated claims of such pods; returned are remarks on those.
    pub(crate) fn new(claims: &[Claim], pods: &[Arc<Pod>]) -> (Self, Vec<String>) {
        let ended: FxHashSet<&str> =
            pods.iter().filter(|pod| pod.has_ended()).map(|pod| pod.metadata.uid.as_str()).collect();
        let pending: FxHashSet<&str> = pods
            .iter()
            .filter(|pod| pod.spec.node_name.is_none())
            .map(|pod| pod.metadata.uid.as_str())
            .collect();
        let mut book = Self::default();
        let mut remarks = Vec::new();
        for claim in claims {
            let owner = claim.metadata.controller().filter(|owner| owner.kind == "Pod");
            let mut consumers: BTreeSet<String> =
                claim.reserved_for.iter().map(|consumer| consumer.uid.clone()).collect();
            let before = consumers.len();
            consumers.retain(|uid| !ended.contains(uid.as_str()));
            let abandoned = before > 0 && consumers.is_empty();
            let orphaned = owner.is_some_and(|owner| ended.contains(owner.uid.as_str()));
            let mut allocation = claim.allocation.clone();
            if allocation.is_some() && (abandoned || orphaned) {
                remarks.push(format!(
                    "claim `{}` is allocated for pods that have ended, its devices count as free",
                    claim.metadata.full_name()
                ));
                allocation = None;
            }
            let extended = claim.metadata.annotations.get(EXTENDED_RESOURCE_ANNOTATION);
            if allocation.is_some()
                && extended.is_some_and(|value| value == "true")
                && owner.is_some_and(|owner| pending.contains(owner.uid.as_str()))
            {
                // Left over from an attempt that failed: upstream deletes it before it tries the pod again.
                remarks.push(format!(
                    "claim `{}` is left over and counts as deleted",
                    claim.metadata.full_name()
                ));
                allocation = None;
            }
            let id = book.add(claim);
            if let Some(entry) = book.entries.get_mut(id.0) {
                entry.allocation = allocation.map(Arc::new);
                entry.consumers = Arc::new(consumers);
            }
        }
        (book, remarks)
    }

    /// Adds a claim with its owner, but without what it holds and who uses it.
    pub(crate) fn add(&mut self, claim: &Claim) -> ClaimId {
        let owner = claim.metadata.controller().filter(|owner| owner.kind == "Pod");
        let mut spec = claim.spec.clone();
        spec.namespace.clone_from(&claim.metadata.namespace);
        spec.name.clone_from(&claim.metadata.name);
        let id = self.push(spec, owner.is_some());
        if let Some(entry) = self.entries.get_mut(id.0) {
            entry.owner = owner.map(|owner| Arc::from(owner.uid.as_str()));
            entry.being_deleted = claim.metadata.deletion_timestamp.is_some();
        }
        id
    }

    fn push(&mut self, spec: ResourceClaim, generated: bool) -> ClaimId {
        let demand = self.demand(&spec);
        let name = Arc::from(spec.full_name());
        let id = ClaimId(self.entries.push(ClaimEntry {
            spec: Arc::new(spec),
            demand,
            allocation: None,
            generated,
            owner: None,
            being_deleted: false,
            consumers: Arc::default(),
            removed: false,
        }));
        self.by_name.insert(name, id);
        id
    }

    /// Removes a claim; returns what it held.
    pub(crate) fn remove(&mut self, id: ClaimId) -> Option<Arc<AllocationResult>> {
        let entry = self.entries.get_mut(id.0)?;
        if entry.removed {
            return None;
        }
        entry.removed = true;
        entry.consumers = Arc::default();
        let held = entry.allocation.take();
        let name = entry.spec.full_name();
        if self.find(&name) == Some(id) {
            self.by_name.remove(name.as_str());
        }
        held
    }

    /// Adds a claim that the scheduler makes for the extended resources of a pod.
    pub(crate) fn push_extended(&mut self, spec: ResourceClaim) -> ClaimId {
        self.push(spec, true)
    }

    /// The number of what a claim demands.
    pub(crate) fn demand(&mut self, spec: &ResourceClaim) -> usize {
        self.demands.intern(Demand {
            requests: spec.requests.clone(),
            constraints: spec.constraints.clone(),
            lasting: fails_for_good(spec),
        })
    }

    /// Whether a demand that found no devices finds none either when more are taken, whatever the release.
    pub(crate) fn fails_for_good(&self, demand: usize) -> bool {
        self.demands.get(demand).is_some_and(|demand| demand.lasting)
    }

    /// A claim by number.
    pub(crate) fn get(&self, id: ClaimId) -> Option<&ClaimEntry> {
        self.entries.get(id.0)
    }

    /// All claims that exist, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClaimId, &ClaimEntry)> {
        let numbered = (0..).zip(self.entries.iter());
        numbered.filter(|(_, entry)| !entry.removed).map(|(number, entry)| (ClaimId(number), entry))
    }

    /// A claim by `namespace/name`.
    pub(crate) fn find(&self, full_name: &str) -> Option<ClaimId> {
        self.by_name.get(full_name).copied()
    }

    /// All allocations.
    pub(crate) fn allocations(&self) -> impl Iterator<Item = &AllocationResult> {
        self.entries.iter().filter_map(|entry| entry.allocation.as_deref())
    }

    /// All claims that hold devices, by name.
    pub(crate) fn holders(&self) -> Vec<Holder<'_>> {
        let holding = self.entries.iter().filter_map(|entry| Some((entry, entry.allocation.as_deref()?)));
        holding.map(|(entry, result)| Holder { claim: entry.spec.full_name(), result }).collect()
    }

    /// Sets what a claim holds.
    pub(crate) fn allocate(&mut self, id: ClaimId, result: AllocationResult) {
        if let Some(entry) = self.entries.get_mut(id.0) {
            entry.allocation = Some(Arc::new(result));
        }
    }

    /// Adds a pod to the consumers.
    pub(crate) fn reserve(&mut self, id: ClaimId, uid: &str) {
        if let Some(entry) = self.entries.get_mut(id.0)
            && !entry.consumers.contains(uid)
        {
            Arc::make_mut(&mut entry.consumers).insert(uid.to_owned());
        }
    }

    /// Removes a pod from the consumers. Where none is left the claim loses what it holds, as the claim controller
    /// does; that is returned.
    pub(crate) fn unreserve(&mut self, id: ClaimId, uid: &str) -> Option<Arc<AllocationResult>> {
        let entry = self.entries.get_mut(id.0)?;
        if !entry.consumers.contains(uid) {
            return None;
        }
        Arc::make_mut(&mut entry.consumers).remove(uid);
        if entry.consumers.is_empty() { entry.allocation.take() } else { None }
    }

    /// Takes the allocation of a claim that no pod uses, or only this one; `None` if others do.
    pub(crate) fn deallocate_unused(&mut self, id: ClaimId, uid: &str) -> Option<Arc<AllocationResult>> {
        let entry = self.entries.get_mut(id.0)?;
        if entry.consumers.iter().any(|consumer| consumer != uid) {
            return None;
        }
        entry.consumers = Arc::default();
        entry.allocation.take()
    }

    /// The claims of a pod, in the order of `spec.resourceClaims`, or why the pod has to wait.
    pub(crate) fn of_pod(&self, pod: &Pod) -> Result<Vec<PodClaim>, String> {
        let mut claims = Vec::with_capacity(pod.spec.resource_claims.len());
        for reference in &pod.spec.resource_claims {
            let (name, must_own) = match &reference.resource_claim_name {
                Some(name) => (Some(name.as_str()), false),
                None if reference.resource_claim_template_name.is_some() => {
                    let status = pod
                        .status
                        .resource_claim_statuses
                        .iter()
                        .find(|status| status.name == reference.name)
                        .ok_or_else(|| {
                            format!("pod claim `{}`: the resource claim is not created yet", reference.name)
                        })?;
                    (status.resource_claim_name.as_deref(), true)
                }
                None => {
                    return Err(format!(
                        "pod claim `{}` names neither a claim nor a template",
                        reference.name
                    ));
                }
            };
            // No claim was needed for this entry.
            let Some(name) = name else { continue };
            let full_name = format!("{}/{name}", pod.metadata.namespace);
            let id = self
                .find(&full_name)
                .ok_or_else(|| format!("resource claim `{full_name}` does not exist"))?;
            let Some(entry) = self.get(id) else { continue };
            if entry.being_deleted {
                return Err(format!("resource claim `{full_name}` is being deleted"));
            }
            if must_own && entry.owner.as_deref() != Some(pod.metadata.uid.as_str()) {
                return Err(format!("resource claim `{full_name}` was not created for this pod"));
            }
            claims.push(PodClaim { name: reference.name.clone(), claim: id });
        }
        Ok(claims)
    }
}

/// Requests for all devices may become satisfiable when devices are taken, because full devices are left out in
/// some releases; a `distinctAttribute` may, because its memory depends on the way of the search. Neither holds
/// for the rest.
fn fails_for_good(spec: &ResourceClaim) -> bool {
    use drayage_allocator::objects::AllocationMode::ExactCount;
    let counted = spec.requests.iter().all(|request| {
        request.exactly.iter().all(|exactly| exactly.allocation_mode == ExactCount)
            && request.first_available.iter().all(|alternative| alternative.allocation_mode == ExactCount)
    });
    counted && spec.constraints.iter().all(|constraint| constraint.distinct_attribute.is_none())
}
