//! The filters that depend on nothing that changes: NodeUnschedulable, NodeName, TaintToleration, NodeAffinity.
//!
//! Pods that agree in what these filters look at share one list of verdicts over all nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::NodeSelector;
use drayage_allocator::persistent::{List, Map};
use drayage_cluster::objects::{NodeAffinity, Pod, PreferredNodeTerm, Taint, Toleration};

use super::interner::Interner;
use super::node::NodeState;
use super::nodes::Nodes;
use super::profile::{FilterPlugin, SchedulerProfile};
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
    /// The affinity that the scheduler's configuration adds.
    AddedAffinity,
}

/// What these filters, and the scores of their plugins, say of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) refusal: Option<PlacementRefusal>,
    /// How many of its soft taints the pod does not tolerate.
    pub(crate) soft_taints: u16,
    /// Whether `nodeSelector` and required affinity accept the node, whatever its taints.
    pub(crate) matches_affinity: bool,
    /// Whether all taints that keep pods away are tolerated.
    pub(crate) tolerates_taints: bool,
    /// Weights of the preferred node affinity that it satisfies, together.
    pub(crate) preference: i32,
}

/// Placements over all nodes, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlacementVerdicts {
    by_node: List<Placement>,
    /// Whether the pod names nodes, so that no others are looked at.
    pub(crate) names_nodes: bool,
    /// Number of what these filters look at of the pod: pods of one number get the same verdicts.
    pub(crate) wish: usize,
    /// Whether the scores of some node are not 0.
    pub(crate) has_scores: bool,
}

impl PlacementVerdicts {
    /// What is said of a node.
    pub(crate) fn get(&self, at: usize) -> Placement {
        u32::try_from(at).ok().and_then(|at| self.by_node.get(at).copied()).unwrap_or_default()
    }
}

/// What the filters look at of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    tolerations: Vec<Toleration>,
    node_selector: BTreeMap<String, String>,
    required: Option<NodeSelector>,
    preferred: Vec<PreferredNodeTerm>,
    /// What the profile adds and leaves out.
    rules: Rules,
}

/// What a profile says of these filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    /// Its number, so that pods are alike only within a profile.
    profile: usize,
    off: Vec<FilterPlugin>,
    added: Option<NodeAffinity>,
}

impl Rules {
    fn of(number: usize, profile: &SchedulerProfile) -> Self {
        Self { profile: number, off: profile.filters_off.clone(), added: profile.added_affinity.clone() }
    }

    fn applies(&self, plugin: FilterPlugin) -> bool {
        !self.off.contains(&plugin)
    }
}

/// Verdicts by pod, remembered by what the filters look at. Copies share them.
#[derive(Clone, Debug)]
pub(crate) struct Placements {
    comparison: bool,
    taints: Interner<Taint>,
    wishes: Interner<Wish>,
    verdicts: Map<usize, Remembered>,
    remembered: usize,
    /// Numbers of nodes that changed, one after the other.
    touched: Arc<Vec<usize>>,
}

#[derive(Clone, Debug)]
struct Remembered {
    verdicts: PlacementVerdicts,
    /// How many of the changes of nodes they take into account.
    changes: usize,
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
            verdicts: Map::default(),
            remembered: 0,
            touched: Arc::default(),
        }
    }

    /// How often a node was added or changed.
    pub(crate) fn changes(&self) -> usize {
        self.touched.len()
    }

    /// Takes note that a node was added or changed.
    pub(crate) fn node_changed(&mut self, at: usize) {
        Arc::make_mut(&mut self.touched).push(at);
    }

    /// The verdicts on a pod, or the reason why no node is looked at.
    pub(crate) fn verdicts(
        &mut self,
        pod: &Pod,
        nodes: &Nodes,
        (number, profile): (usize, &SchedulerProfile),
    ) -> Result<PlacementVerdicts, &'static str> {
        let affinity = pod.spec.node_affinity.as_ref();
        let required = affinity.and_then(|affinity| affinity.required.clone());
        let preferred = affinity.map(|affinity| affinity.preferred.clone()).unwrap_or_default();
        let wish_number = self.wishes.intern(Wish {
            tolerations: pod.spec.tolerations.clone(),
            node_selector: pod.spec.node_selector.clone(),
            required,
            preferred,
            rules: Rules::of(number, profile),
        });
        let changes = self.touched.len();
        let known = self.verdicts.get(&wish_number).cloned();
        if let Some(known) = &known
            && known.changes == changes
        {
            return Ok(known.verdicts.clone());
        }
        let Some(wish) = self.wishes.get(wish_number).cloned() else {
            return Ok(PlacementVerdicts::default());
        };
        let looked_at = wish.required.as_ref().filter(|_| wish.rules.applies(FilterPlugin::NodeAffinity));
        let named = selector::named_nodes(looked_at);
        if named == NamedNodes::Contradiction {
            return Err("pod affinity terms conflict");
        }
        let tolerates_unschedulable = taints::tolerates_unschedulable(&wish.tolerations, self.comparison);
        let mut judge = |state: &NodeState| self.judge(&wish, &named, tolerates_unschedulable, state);
        let verdicts = if let Some(known) = known {
            let mut verdicts = known.verdicts.by_node;
            let mut at = verdicts.len();
            while let Some(state) = nodes.get(at as usize) {
                at = verdicts.push(judge(state)) + 1;
            }
            let touched = Arc::clone(&self.touched);
            for &at in touched.iter().skip(known.changes) {
                if let (Some(state), Ok(number)) = (nodes.get(at), u32::try_from(at)) {
                    let verdict = self.judge(&wish, &named, tolerates_unschedulable, state);
                    if let Some(place) = verdicts.get_mut(number) {
                        *place = verdict;
                    }
                }
            }
            verdicts
        } else {
            let mut verdicts = List::default();
            for state in nodes.all() {
                verdicts.push(judge(state));
            }
            self.remembered += nodes.all_len();
            if self.remembered > MOST_VERDICTS {
                self.verdicts = Map::default();
                self.remembered = nodes.all_len();
            }
            verdicts
        };
        let names_nodes = named != NamedNodes::Any;
        let has_scores =
            verdicts.iter().any(|placement| placement.soft_taints != 0 || placement.preference != 0);
        let verdicts = PlacementVerdicts { by_node: verdicts, names_nodes, wish: wish_number, has_scores };
        self.verdicts.insert(wish_number, Remembered { verdicts: verdicts.clone(), changes });
        Ok(verdicts)
    }

    fn judge(
        &mut self,
        wish: &Wish,
        named: &NamedNodes<'_>,
        tolerates_unschedulable: bool,
        state: &NodeState,
    ) -> Placement {
        let refusal = self.refusal(wish, named, tolerates_unschedulable, state);
        let taints = &state.node.taints;
        let of_all = Placement {
            refusal,
            matches_affinity: selector::accepts(
                &wish.node_selector,
                wish.required.as_ref(),
                &state.for_allocator,
            ),
            tolerates_taints: taints::untolerated(taints, &wish.tolerations, self.comparison).is_none(),
            ..Placement::default()
        };
        if refusal.is_some() {
            return of_all;
        }
        let soft = taints::soft(taints, &wish.tolerations, self.comparison);
        let added = wish.rules.added.iter().flat_map(|added| &added.preferred);
        let matching = wish.preferred.iter().chain(added).filter(|preferred| {
            preferred.weight != 0 && selector::term_accepts(&preferred.preference, &state.for_allocator)
        });
        Placement {
            soft_taints: u16::try_from(soft).unwrap_or(u16::MAX),
            preference: matching
                .fold(0, |sum, term| sum.saturating_add(i32::try_from(term.weight).unwrap_or(i32::MAX))),
            ..of_all
        }
    }

    fn refusal(
        &mut self,
        wish: &Wish,
        named: &NamedNodes<'_>,
        tolerates_unschedulable: bool,
        state: &NodeState,
    ) -> Option<PlacementRefusal> {
        let node = &state.node;
        if let NamedNodes::Only(names) = named
            && !names.contains(node.metadata.name.as_str())
        {
            return Some(PlacementRefusal::NotNamed);
        }
        let applies = |plugin| wish.rules.applies(plugin);
        if node.unschedulable && !tolerates_unschedulable && applies(FilterPlugin::NodeUnschedulable) {
            return Some(PlacementRefusal::Unschedulable);
        }
        if applies(FilterPlugin::TaintToleration)
            && let Some(taint) = taints::untolerated(&node.taints, &wish.tolerations, self.comparison)
        {
            let number = self.taints.intern(taint.clone());
            return Some(PlacementRefusal::Taint(u32::try_from(number).unwrap_or(u32::MAX)));
        }
        if !applies(FilterPlugin::NodeAffinity) {
            return None;
        }
        let added = wish.rules.added.as_ref().and_then(|added| added.required.as_ref());
        if !selector::accepts(&BTreeMap::new(), added, &state.for_allocator) {
            return Some(PlacementRefusal::AddedAffinity);
        }
        let accepted = selector::accepts(&wish.node_selector, wish.required.as_ref(), &state.for_allocator);
        (!accepted).then_some(PlacementRefusal::Affinity)
    }

    /// A taint by its number.
    pub(crate) fn taint(&self, number: u32) -> Option<&Taint> {
        self.taints.get(number as usize).map(Arc::as_ref)
    }
}
