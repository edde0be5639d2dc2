//! Values of node labels by number, for what is counted by rack, zone or node.

use std::sync::Arc;

use drayage_allocator::persistent::{List, Map};

use super::node::NodeState;
use super::nodes::Nodes;

/// A label of nodes by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TopologyKey(usize);

/// The labels that matter, and the nodes' values of them. Copies share what does not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topologies {
    keys: Vec<Topology>,
}

#[derive(Clone, Debug)]
struct Topology {
    key: Arc<str>,
    values: Map<Arc<str>, u32>,
    of_node: List<Option<u32>>,
}

impl Topology {
    fn add_node(&mut self, state: &NodeState) {
        let label = state.node.metadata.labels.get(self.key.as_ref());
        let value = label.map(|label| {
            if let Some(&known) = self.values.get(label.as_str()) {
                return known;
            }
            let value = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
            self.values.insert(Arc::from(label.as_str()), value);
            value
        });
        self.of_node.push(value);
    }
}

impl Topologies {
    /// The number of a label.
    pub(crate) fn key(&mut self, key: &str, nodes: &Nodes) -> TopologyKey {
        if let Some(known) = self.keys.iter().position(|topology| topology.key.as_ref() == key) {
            return TopologyKey(known);
        }
        let mut topology = Topology { key: Arc::from(key), values: Map::default(), of_node: List::default() };
        for state in nodes.all() {
            topology.add_node(state);
        }
        self.keys.push(topology);
        TopologyKey(self.keys.len() - 1)
    }

    /// Takes note of a node, whose number is one more than that of the node before.
    pub(crate) fn add_node(&mut self, state: &NodeState) {
        for topology in &mut self.keys {
            topology.add_node(state);
        }
    }

    /// Whether the number is that of a label.
    pub(crate) fn is(&self, key: TopologyKey, label: &str) -> bool {
        self.keys.get(key.0).is_some_and(|topology| topology.key.as_ref() == label)
    }

    /// A node's value, if it has the label.
    pub(crate) fn value(&self, key: TopologyKey, at: usize) -> Option<u32> {
        self.keys.get(key.0)?.of_node.get(u32::try_from(at).ok()?).copied().flatten()
    }

    /// How many values there are.
    pub(crate) fn values(&self, key: TopologyKey) -> usize {
        self.keys.get(key.0).map_or(0, |topology| topology.values.len())
    }
}
