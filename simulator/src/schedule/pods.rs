//! The pods of a cluster by number, and where each is, in a form whose copies share what does not change.

use std::sync::Arc;

use drayage_allocator::persistent::{List, Map};
use drayage_cluster::objects::Pod;

use super::claims::ClaimId;

/// A pod by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodId(u32);

/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PodPlace {
    /// It waits for a node.
    Pending,
    /// On the node of this number.
    Node(usize),
    /// On a node that is not in the input.
    Elsewhere,
    /// It is gone.
    Removed,
}

/// A pod and its place.
#[derive(Clone, Debug)]
pub(crate) struct PodEntry {
    pub(crate) pod: Arc<Pod>,
    pub(crate) place: PodPlace,
    /// The claim that was made for its extended resources.
    pub(crate) extended: Option<ClaimId>,
    /// What matters of it to its neighbours, by number, where it is on a node.
    pub(crate) kind: Option<u32>,
}

/// All pods that have not ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pods {
    entries: List<PodEntry>,
    by_name: Map<Arc<str>, PodId>,
    by_uid: Map<Arc<str>, PodId>,
}

impl Pods {
    /// Adds a pod.
    pub(crate) fn add(&mut self, pod: Arc<Pod>, place: PodPlace) -> PodId {
        let (name, uid) = (Arc::from(pod.metadata.full_name()), Arc::from(pod.metadata.uid.as_str()));
        let id = PodId(self.entries.push(PodEntry { pod, place, extended: None, kind: None }));
        self.by_name.insert(name, id);
        self.by_uid.insert(uid, id);
        id
    }

    /// A pod by number.
    pub(crate) fn get(&self, id: PodId) -> Option<&PodEntry> {
        self.entries.get(id.0)
    }

    /// A pod by number, to be changed.
    pub(crate) fn get_mut(&mut self, id: PodId) -> Option<&mut PodEntry> {
        self.entries.get_mut(id.0)
    }

    /// Removes a pod.
    pub(crate) fn remove(&mut self, id: PodId) {
        let Some(entry) = self.entries.get_mut(id.0) else { return };
        entry.place = PodPlace::Removed;
        let (name, uid) = (entry.pod.metadata.full_name(), entry.pod.metadata.uid.clone());
        if self.find(&name) == Some(id) {
            self.by_name.remove(name.as_str());
        }
        if self.find_uid(&uid) == Some(id) {
            self.by_uid.remove(uid.as_str());
        }
    }

    /// A pod by `namespace/name`.
    pub(crate) fn find(&self, full_name: &str) -> Option<PodId> {
        self.by_name.get(full_name).copied()
    }

    /// A pod by its UID, as claims name their consumers.
    pub(crate) fn find_uid(&self, uid: &str) -> Option<PodId> {
        self.by_uid.get(uid).copied()
    }

    /// The pods that are not gone: those that ran in the beginning by name, then those that waited in queue order,
    /// then those that were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PodId, &PodEntry)> {
        let numbered = (0..).zip(self.entries.iter()).map(|(number, entry)| (PodId(number), entry));
        numbered.filter(|(_, entry)| entry.place != PodPlace::Removed)
    }
}
