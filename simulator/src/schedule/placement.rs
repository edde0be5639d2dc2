//! The filters that depend on nothing that changes: NodeUnschedulable, NodeName, TaintToleration, NodeAffinity.
//!
//! Pods that agree in what these filters look at share one list of verdicts over all nodes.

use std::collections::BTreeMap;
use std::rc::Rc;

use drayage_allocator::objects::NodeSelector;
use drayage_cluster::objects::{Node, Pod, Taint, Toleration};
use rustc_hash::FxHashMap;

use super::interner::Interner;
use super::node::NodeState;
use super::selector::{self, NamedNodes};
use super::taints;

/// Why one of these filters refuses a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PlacementRefusal {
    /// Required affinity names nodes, and this is none of them.
    NotNamed,
    /// `spec.unschedulable`
    Unschedulable,
    /// A taint, by number.
    Taint(u32),
    /// `nodeSelector` or required affinity.
    Affinity,
}

/// Verdicts over all nodes, in their order.
pub(crate) type PlacementVerdicts = Rc<[Option<PlacementRefusal>]>;

/// What the filters look at of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    tolerations: Vec<Toleration>,
    node_selector: BTreeMap<String, String>,
    required: Option<NodeSelector>,
}

/// Verdicts by pod, remembered by what the filters look at.
#[derive(Debug)]
pub(crate) struct Placements {
    comparison: bool,
    taints: Interner<Taint>,
    wishes: Interner<Wish>,
    verdicts: FxHashMap<usize, PlacementVerdicts>,
}

/// Remembered verdicts are dropped beyond this many, so that a cluster of unlike pods needs no memory for each.
const MOST_VERDICTS: usize = 16 << 20;

impl Placements {
    /// `comparison` is gate TaintTolerationComparisonOperators.
    pub(crate) fn new(comparison: bool) -> Self {
        Self {
            comparison,
            taints: Interner::default(),
            wishes: Interner::default(),
            verdicts: FxHashMap::default(),
        }
    }

    /// The verdicts on a pod, or the reason why no node is looked at.
    pub(crate) fn verdicts(
        &mut self,
        pod: &Pod,
        nodes: &[&Node],
        states: &[NodeState],
    ) -> Result<PlacementVerdicts, &'static str> {
        let required = pod.spec.node_affinity.as_ref().and_then(|affinity| affinity.required.clone());
        let wish = self.wishes.intern(Wish {
            tolerations: pod.spec.tolerations.clone(),
            node_selector: pod.spec.node_selector.clone(),
            required,
        });
        if let Some(verdicts) = self.verdicts.get(&wish) {
            return Ok(Rc::clone(verdicts));
        }
        let Some(found) = self.wishes.get(wish) else { return Ok(Rc::from([])) };
        let named = selector::named_nodes(found.required.as_ref());
        if named == NamedNodes::Contradiction {
            return Err("pod affinity terms conflict");
        }
        let tolerates_unschedulable = taints::tolerates_unschedulable(&found.tolerations, self.comparison);
        let verdicts: PlacementVerdicts = nodes
            .iter()
            .zip(states)
            .map(|(node, state)| {
                if let NamedNodes::Only(names) = &named
                    && !names.contains(node.metadata.name.as_str())
                {
                    return Some(PlacementRefusal::NotNamed);
                }
                if node.unschedulable && !tolerates_unschedulable {
                    return Some(PlacementRefusal::Unschedulable);
                }
                if let Some(taint) = taints::untolerated(&node.taints, &found.tolerations, self.comparison) {
                    let number = self.taints.intern(taint.clone());
                    return Some(PlacementRefusal::Taint(u32::try_from(number).unwrap_or(u32::MAX)));
                }
                let accepted =
                    selector::accepts(&found.node_selector, found.required.as_ref(), &state.for_allocator);
                (!accepted).then_some(PlacementRefusal::Affinity)
            })
            .collect();
        if self.verdicts.len().saturating_mul(nodes.len()) > MOST_VERDICTS {
            self.verdicts.clear();
        }
        self.verdicts.insert(wish, Rc::clone(&verdicts));
        Ok(verdicts)
    }

    /// A taint by its number.
    pub(crate) fn taint(&self, number: u32) -> Option<&Taint> {
        self.taints.get(number as usize)
    }
}
