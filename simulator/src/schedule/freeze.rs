//! A cluster under simulation as objects again, so that it can be read by other rules or with more objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drayage_allocator::objects::ResourceSlice;
use drayage_cluster::Snapshot;
use drayage_cluster::objects::{Claim, ConsumerReference, Metadata, OwnerReference, Pod, Slice};

use super::claims::EXTENDED_RESOURCE_ANNOTATION;
use super::cluster_state::ClusterState;
use super::pods::{PodEntry, PodPlace};

impl ClusterState {
    /// The objects as they are now. `before` are those that the state was made of: everything is taken from there
    /// that a simulation does not change, such as workloads and classes.
    ///
    /// A simulation of the result begins where this one is. Taints of rules that were applied are in the slices, and
    /// those rules are gone.
    pub(crate) fn to_snapshot(&self, before: &Snapshot) -> Snapshot {
        let mut snapshot = before.clone();
        let nodes = self.nodes.order();
        snapshot.nodes = nodes.iter().filter_map(|&at| self.node(at).cloned()).collect();
        let with_rules =
            self.options.gates.features().device_taints && self.options.gates.enabled("DRADeviceTaintRules");
        if with_rules {
            snapshot.taint_rules.clear();
        }
        let known: BTreeMap<&str, &Slice> =
            before.slices.iter().map(|slice| (slice.spec.name.as_str(), slice)).collect();
        let slice = |spec: &ResourceSlice| match known.get(spec.name.as_str()) {
            Some(slice) => Slice { spec: Arc::new(spec.clone()), ..(*slice).clone() },
            None => Slice {
                metadata: Metadata { name: spec.name.clone(), ..Metadata::default() },
                spec: Arc::new(spec.clone()),
                ..Slice::default()
            },
        };
        snapshot.slices = self.slices().map(slice).collect();
        snapshot.slices.sort_by(|left, right| left.metadata.name.cmp(&right.metadata.name));
        snapshot.pods.retain(|pod| pod.has_ended());
        snapshot.pods.extend(self.pods.iter().map(|(_, entry)| Arc::new(self.pod_object(entry))));
        snapshot.claims = self.claim_objects(before);
        let key = |metadata: &Metadata| (metadata.namespace.clone(), metadata.name.clone());
        snapshot.pods.sort_by_cached_key(|pod| key(&pod.metadata));
        snapshot.claims.sort_by_cached_key(|claim| key(&claim.metadata));
        snapshot
    }

    fn pod_object(&self, entry: &PodEntry) -> Pod {
        let mut pod = entry.pod.as_ref().clone();
        match entry.place {
            PodPlace::Node(at) => {
                pod.spec.node_name = self.node(at).map(|node| node.metadata.name.clone());
            }
            PodPlace::Elsewhere => {}
            PodPlace::Pending | PodPlace::Removed => pod.spec.node_name = None,
        }
        let extended = entry.extended.and_then(|claim| self.claims.get(claim));
        pod.status.extended_resource_claim_status =
            extended.map(|claim| drayage_cluster::objects::ExtendedResourceClaimStatus {
                resource_claim_name: claim.spec.name.clone(),
                request_mappings: Vec::new(),
            });
        pod
    }

    fn claim_objects(&self, before: &Snapshot) -> Vec<Claim> {
        let known: BTreeMap<String, &Claim> =
            before.claims.iter().map(|claim| (claim.metadata.full_name(), claim)).collect();
        let names: BTreeMap<&str, &str> = self
            .pods
            .iter()
            .map(|(_, entry)| (entry.pod.metadata.uid.as_str(), entry.pod.metadata.name.as_str()))
            .collect();
        let owners: BTreeMap<_, &Pod> =
            self.pods.iter().filter_map(|(_, entry)| Some((entry.extended?, entry.pod.as_ref()))).collect();
        let claims = self.claims.iter().map(|(id, entry)| {
            let mut claim = match known.get(&entry.spec.full_name()) {
                Some(claim) => (*claim).clone(),
                None => Claim {
                    metadata: made_metadata(
                        &entry.spec.namespace,
                        &entry.spec.name,
                        owners.get(&id).copied(),
                    ),
                    spec: entry.spec.as_ref().clone(),
                    ..Claim::default()
                },
            };
            claim.allocation = entry.allocation.as_deref().cloned();
            claim.reserved_for = consumers(&claim.reserved_for, &entry.consumers, &names);
            claim
        });
        claims.collect()
    }
}

/// The consumers with these UIDs: those that were there as they were, new ones behind.
fn consumers(
    before: &[ConsumerReference],
    uids: &BTreeSet<String>,
    names: &BTreeMap<&str, &str>,
) -> Vec<ConsumerReference> {
    let mut kept: Vec<ConsumerReference> =
        before.iter().filter(|consumer| uids.contains(&consumer.uid)).cloned().collect();
    for uid in uids {
        if kept.iter().all(|consumer| consumer.uid != *uid) {
            kept.push(ConsumerReference {
                api_group: String::new(),
                resource: "pods".to_owned(),
                name: names.get(uid.as_str()).copied().unwrap_or_default().to_owned(),
                uid: uid.clone(),
            });
        }
    }
    kept
}

/// What a claim made for the extended resources of a pod is called.
fn made_metadata(namespace: &str, name: &str, owner: Option<&Pod>) -> Metadata {
    let owner = owner.map(|pod| OwnerReference { block_owner_deletion: false, ..pod.as_controller() });
    Metadata {
        uid: format!("ResourceClaim:{namespace}/{name}"),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        annotations: BTreeMap::from([(EXTENDED_RESOURCE_ANNOTATION.to_owned(), "true".to_owned())]),
        owner_references: owner.into_iter().collect(),
        ..Metadata::default()
    }
}
