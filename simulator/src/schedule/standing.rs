//! What is known of nodes for pods that are alike, so that only what changed is looked at again.
//!
//! Pods are alike when everything that filters look at, and scores of a node for itself, is equal: then a node that
//! nothing happened to is for the one what it was for the other, and a pod that finds no node finds none for as long as
//! nothing at all happens. A filter that looks at anything else of a pod has to become part of [`Standing::likeness`],
//! one that looks at anything else of the cluster part of [`Moment`].

use std::sync::{Arc, OnceLock};

use drayage_allocator::persistent::{List, Map};

use super::devices::ShapeId;
use super::explain::Merged;
use super::interner::Interner;
use super::node::PodNeeds;
use super::tally::Tally;

/// Pods that are alike, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Likeness(u32);

/// What is known of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    #[default]
    Nothing,
    /// The filters before those that look at other nodes accept it.
    Begun,
    /// The filters accept it, those aside that look at other nodes; with what the chosen alternatives are worth.
    Fits { alternatives: u16 },
    /// As before, but there are no devices.
    NoDevices { invalid_pools: bool },
}

/// How often a node changed, with the pods on it, and how often the devices that it sees did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeChanges {
    pub(crate) node: u32,
    pub(crate) devices: u32,
}

/// What is known of a node, and the count of its changes for which that is true.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    changes: NodeChanges,
    known: Known,
    score: i64,
}

/// What is known of all nodes for pods that are alike.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownNodes(List<Entry>);

impl KnownNodes {
    /// What is known of a node that changed so often, and its own score. Filters before that for devices do not look at
    /// devices; `scores_devices` says whether the node's own score does.
    pub(crate) fn get(&self, at: usize, changes: NodeChanges, scores_devices: bool) -> (Known, i64) {
        let entry = u32::try_from(at).ok().and_then(|at| self.0.get(at));
        match entry.filter(|entry| entry.changes.node == changes.node && entry.known != Known::Nothing) {
            Some(entry) if entry.changes == changes => (entry.known, entry.score),
            Some(entry) if !scores_devices => (Known::Begun, entry.score),
            _ => (Known::Nothing, 0),
        }
    }

    /// Takes note of a node that changed so often.
    pub(crate) fn set(&mut self, at: usize, changes: NodeChanges, known: Known, score: i64) {
        let Ok(at) = u32::try_from(at) else { return };
        while self.0.len() <= at {
            self.0.push(Entry::default());
        }
        if let Some(entry) = self.0.get_mut(at) {
            *entry = Entry { changes, known, score };
        }
    }
}

/// A moment of a cluster: as long as it is equal, nothing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Changes of nodes, with the pods on them.
    pub(crate) nodes: u64,
    /// Changes of devices and of who holds them.
    pub(crate) devices: u64,
    /// Changes of what nodes say of themselves.
    pub(crate) placements: usize,
    /// Where in the order of all nodes the search began.
    pub(crate) start: usize,
}

/// Why a pod found no node.
#[derive(Debug)]
pub(crate) struct Failure {
    moment: Moment,
    pub(crate) tally: Tally,
    pub(crate) looked_at: usize,
    /// The priority with which such a pod found nobody to preempt, if it looked for anybody.
    pub(crate) preempts_nobody: Option<i32>,
    /// What stands in the way of devices, once somebody asked.
    pub(crate) merged: OnceLock<Merged>,
}

impl Failure {
    /// One that nobody asks for again.
    pub(crate) fn once(tally: Tally) -> Self {
        Self {
            moment: Moment::default(),
            tally,
            looked_at: 0,
            preempts_nobody: None,
            merged: OnceLock::new(),
        }
    }
}

/// Everything that is known. Copies share what does not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    needs: Interner<PodNeeds>,
    likenesses: Map<(usize, usize, Option<ShapeId>), Likeness>,
    nodes: List<KnownNodes>,
    /// By likeness and by what matters of the pod to its neighbours.
    failures: Map<(Likeness, u32), Arc<Failure>>,
}

/// What is known is dropped beyond this many entries for nodes, and beyond this many failures.
const MOST_ENTRIES: usize = 4 << 20;
const MOST_FAILURES: usize = 256;

impl Standing {
    /// The number of what filters, and scores of nodes for themselves, look at: `wish` is that of the filters that depend
    /// on nothing that changes, `demands` that of the devices.
    pub(crate) fn likeness(
        &mut self,
        wish: usize,
        needs: &PodNeeds,
        demands: Option<ShapeId>,
        nodes: usize,
    ) -> Likeness {
        let key = (wish, self.needs.intern(needs.clone()), demands);
        if let Some(&known) = self.likenesses.get(&key) {
            return known;
        }
        if (self.nodes.len() as usize).saturating_mul(nodes) > MOST_ENTRIES {
            *self = Self::default();
            return self.likeness(wish, needs, demands, 0);
        }
        let likeness = Likeness(self.nodes.push(KnownNodes::default()));
        self.likenesses.insert(key, likeness);
        likeness
    }

    /// What is known of nodes, to be put back after use.
    pub(crate) fn take(&mut self, likeness: Likeness) -> KnownNodes {
        self.nodes.get_mut(likeness.0).map(std::mem::take).unwrap_or_default()
    }

    /// Puts back what was taken.
    pub(crate) fn put_back(&mut self, likeness: Likeness, nodes: KnownNodes) {
        if let Some(place) = self.nodes.get_mut(likeness.0) {
            *place = nodes;
        }
    }

    /// Why a pod of this kind that is alike found no node, if that still holds.
    pub(crate) fn failure(&self, likeness: Likeness, kind: u32, moment: Moment) -> Option<Arc<Failure>> {
        self.failures.get(&(likeness, kind)).filter(|failure| failure.moment == moment).cloned()
    }

    /// Takes note that a pod found no node.
    pub(crate) fn failed(
        &mut self,
        likeness: Likeness,
        kind: u32,
        moment: Moment,
        tally: Tally,
        looked_at: usize,
        preempts_nobody: Option<i32>,
    ) -> Arc<Failure> {
        if self.failures.len() >= MOST_FAILURES {
            self.failures = Map::default();
        }
        let failure =
            Arc::new(Failure { moment, tally, looked_at, preempts_nobody, merged: OnceLock::new() });
        self.failures.insert((likeness, kind), Arc::clone(&failure));
        failure
    }
}
