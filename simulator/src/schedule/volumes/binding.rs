//! Which volume a claim gets that waits for its consumer: upstream's choice of the smallest that suits.

use std::collections::BTreeSet;
use std::sync::Arc;

use drayage_allocator::objects::Node;
use drayage_cluster::objects::{PersistentVolume, PersistentVolumeClaim, StorageClass};

use super::Volumes;
use crate::schedule::selector;

/// Provisioners that make no volumes.
const MAKES_NONE: &str = "kubernetes.io/no-provisioner";

/// How claims of a pod get their volumes on a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    pub(super) found: Vec<(Arc<PersistentVolumeClaim>, Arc<PersistentVolume>)>,
    pub(super) made: Vec<Arc<PersistentVolumeClaim>>,
}

/// Why they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// No volume suits and none can be made there.
    Volume,
    /// There is no room to make one.
    Room,
}

pub(super) fn is_reachable(volume: &PersistentVolume, node: &Node) -> bool {
    volume.node_affinity.as_ref().is_none_or(|nodes| selector::accepts_strictly(nodes, node))
}

impl Volumes {
    /// Finds volumes for claims that wait for their consumer, smallest requests first.
    pub(super) fn bindings(
        &self,
        claims: &[Arc<PersistentVolumeClaim>],
        node: &Node,
    ) -> Result<Bindings, Lack> {
        let mut claims = claims.to_vec();
        claims.sort_by(|left, right| left.spec.request.cmp(&right.spec.request));
        let mut bindings = Bindings::default();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for claim in claims {
            match self.matching(&claim, node, &taken) {
                Some(volume) => {
                    taken.insert(volume.metadata.name.clone());
                    bindings.found.push((claim, volume));
                }
                None => bindings.made.push(claim),
            }
        }
        for claim in &bindings.made {
            self.can_make(claim, node)?;
        }
        Ok(bindings)
    }

    /// The volume that is meant for the claim, or the smallest that suits; of equal ones the first by name.
    fn matching(
        &self,
        claim: &PersistentVolumeClaim,
        node: &Node,
        taken: &BTreeSet<String>,
    ) -> Option<Arc<PersistentVolume>> {
        let class = claim.spec.storage_class_name.clone().unwrap_or_default();
        let names = self.by_class.get(&class)?;
        let mut smallest: Option<&Arc<PersistentVolume>> = None;
        for name in names.iter().filter(|name| !taken.contains(*name)) {
            let Some(volume) = self.by_name.get(name) else { continue };
            let is_meant = volume.claim.as_ref().map(|(namespace, name, uid)| {
                let metadata = &claim.metadata;
                *namespace == metadata.namespace
                    && *name == metadata.name
                    && (uid.is_empty() || *uid == metadata.uid)
            });
            let suits = is_meant != Some(false)
                && volume.capacity >= claim.spec.request
                && volume.volume_mode == claim.spec.volume_mode
                && volume.attributes_class_name == claim.spec.attributes_class_name
                && volume.metadata.deletion_timestamp.is_none();
            if !suits {
                continue;
            }
            let is_reachable = is_reachable(volume, node);
            if is_meant == Some(true) {
                return is_reachable.then(|| Arc::clone(volume));
            }
            let selected =
                claim.spec.selector.as_ref().is_none_or(|selector| selector.matches(&volume.metadata.labels));
            let has_modes = claim.spec.access_modes.iter().all(|mode| volume.access_modes.contains(mode));
            if volume.phase == "Available"
                && selected
                && is_reachable
                && has_modes
                && smallest.is_none_or(|smallest| smallest.capacity > volume.capacity)
            {
                smallest = Some(volume);
            }
        }
        smallest.cloned()
    }

    /// Whether a volume can be made for a claim on a node.
    fn can_make(&self, claim: &PersistentVolumeClaim, node: &Node) -> Result<(), Lack> {
        let name = claim.spec.storage_class_name.as_deref().unwrap_or_default();
        let class = self.storage.classes.get(name).ok_or(Lack::Volume)?;
        if class.provisioner.is_empty() || class.provisioner == MAKES_NONE || !allows(class, node) {
            return Err(Lack::Volume);
        }
        let Some(request) = &claim.spec.request else { return Ok(()) };
        if !self.storage.with_capacity.contains(&class.provisioner) {
            return Ok(());
        }
        let has_room = self.storage.capacities.iter().any(|capacity| {
            capacity.storage_class_name == name
                && capacity.limit.as_ref().is_some_and(|limit| limit.value() >= request.value())
                && capacity.node_topology.as_ref().is_some_and(|topology| {
                    topology.matches(
                        &node.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
                    )
                })
        });
        if has_room { Ok(()) } else { Err(Lack::Room) }
    }
}

fn allows(class: &StorageClass, node: &Node) -> bool {
    class.allowed_topologies.is_empty()
        || class.allowed_topologies.iter().any(|term| {
            !term.is_empty()
                && term
                    .iter()
                    .all(|(key, values)| node.labels.get(key).is_some_and(|value| values.contains(value)))
        })
}
