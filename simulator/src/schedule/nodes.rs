//! The nodes of a cluster by number, in a form whose copies share what does not change.

use std::cmp::Ordering;
use std::sync::Arc;

use drayage_allocator::persistent::{List, Map};
use rustc_hash::FxHashMap;

use super::node::NodeState;

/// The nodes. A node keeps its number for as long as the cluster exists, and a removed node leaves a gap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    entries: List<Arc<NodeState>>,
    by_name: Map<Arc<str>, usize>,
    /// Numbers of the nodes that exist, by name.
    order: Arc<Vec<usize>>,
    /// The same in the order in which the scheduler looks at them, twice, so that a search may begin anywhere.
    search_order: Arc<Vec<usize>>,
    /// How many nodes came first, in the order of their names.
    in_order: usize,
    /// How often each node changed.
    changes: List<u32>,
    /// How often any node changed, came or went.
    all_changes: u64,
    /// How often a node came or went.
    memberships: u64,
}

impl Nodes {
    /// Takes nodes over, which come in the order of their names.
    pub(crate) fn new(states: impl IntoIterator<Item = NodeState>) -> Self {
        let mut nodes = Self::default();
        let mut order = Vec::new();
        for state in states {
            order.push(nodes.push(state));
        }
        nodes.in_order = order.len();
        nodes.order = Arc::new(order);
        nodes.interleave();
        nodes
    }

    fn push(&mut self, state: NodeState) -> usize {
        let name: Arc<str> = Arc::from(state.name());
        let at = self.entries.push(Arc::new(state)) as usize;
        self.changes.push(0);
        self.all_changes += 1;
        self.memberships += 1;
        self.by_name.insert(name, at);
        at
    }

    /// Adds a node. If there is one of its name already, that one is removed.
    pub(crate) fn add(&mut self, state: NodeState) -> usize {
        if let Some(before) = self.find(state.name()) {
            self.remove(before);
        }
        let place =
            self.order.partition_point(|&at| self.get(at).is_some_and(|other| other.name() < state.name()));
        let at = self.push(state);
        Arc::make_mut(&mut self.order).insert(place, at);
        self.interleave();
        at
    }

    /// As the scheduler does, takes one node of each zone in turn; zones in the order of their first nodes.
    fn interleave(&mut self) {
        let mut zones: Vec<Vec<usize>> = Vec::new();
        let mut numbers: FxHashMap<&str, usize> = FxHashMap::default();
        for &at in self.order.iter() {
            let Some(state) = self.get(at) else { continue };
            let zone = *numbers.entry(&state.zone).or_insert(zones.len());
            if zone == zones.len() {
                zones.push(Vec::new());
            }
            if let Some(nodes) = zones.get_mut(zone) {
                nodes.push(at);
            }
        }
        let rounds = zones.iter().map(Vec::len).max().unwrap_or(0);
        let round = |round: usize| zones.iter().filter_map(move |nodes| nodes.get(round).copied());
        let once = || (0..rounds).flat_map(round);
        self.search_order = Arc::new(once().chain(once()).collect());
    }

    /// Removes a node. Its state can still be looked at.
    pub(crate) fn remove(&mut self, at: usize) {
        let Some(name) = self.get(at).map(|state| state.name().to_owned()) else { return };
        if self.find(&name) == Some(at) {
            self.by_name.remove(name.as_str());
        }
        Arc::make_mut(&mut self.order).retain(|&other| other != at);
        self.all_changes += 1;
        self.memberships += 1;
        self.interleave();
    }

    /// Numbers of the nodes that exist, by name.
    pub(crate) fn order(&self) -> Arc<Vec<usize>> {
        Arc::clone(&self.order)
    }

    /// Numbers of the nodes that exist, in the order in which the scheduler looks at them, twice: a search that begins
    /// with any node of the first half finds all others behind it.
    pub(crate) fn search_order_twice(&self) -> Arc<Vec<usize>> {
        Arc::clone(&self.search_order)
    }

    /// Compares nodes by their names.
    pub(crate) fn by_name(&self, left: usize, right: usize) -> Ordering {
        if left.max(right) < self.in_order {
            return left.cmp(&right);
        }
        self.get(left).map(NodeState::name).cmp(&self.get(right).map(NodeState::name))
    }

    /// How often a node changed.
    pub(crate) fn changes(&self, at: usize) -> u32 {
        u32::try_from(at).ok().and_then(|at| self.changes.get(at).copied()).unwrap_or_default()
    }

    /// How often a node came or went.
    pub(crate) fn memberships(&self) -> u64 {
        self.memberships
    }

    /// How often any node changed, came or went.
    pub(crate) fn all_changes(&self) -> u64 {
        self.all_changes
    }

    /// How many nodes exist.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// How many nodes exist or did.
    pub(crate) fn all_len(&self) -> usize {
        self.entries.len() as usize
    }

    /// A node by number.
    pub(crate) fn get(&self, at: usize) -> Option<&NodeState> {
        self.entries.get(u32::try_from(at).ok()?).map(Arc::as_ref)
    }

    /// A node by number, to be changed.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut NodeState> {
        let number = u32::try_from(at).ok()?;
        let changes = self.changes.get_mut(number)?;
        *changes = changes.wrapping_add(1);
        self.all_changes += 1;
        self.entries.get_mut(number).map(Arc::make_mut)
    }

    /// The number of a node that exists.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The nodes that exist or did, by number.
    pub(crate) fn all(&self) -> impl Iterator<Item = &NodeState> {
        self.entries.iter().map(Arc::as_ref)
    }
}
