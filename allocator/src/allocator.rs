//! The allocator: one question after the other against one inventory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::allocated::AllocatedState;
use crate::answer::{Answer, Outcome};
use crate::compatibility::GroupLayout;
use crate::counters::CounterLayout;
use crate::error::AllocationError;
use crate::features::Features;
use crate::inventory::{Inventory, NodeView, Touched, ViewRules};
use crate::objects::{DeviceClass, Node, ResourceClaim, ResourceSlice};
use crate::persistent::Map;
use crate::problem::{Problem, Setting};
use crate::profile::Profile;
use crate::result;
use crate::search::{self, Chosen, Ending};
use crate::selectors::Selectors;
use crate::verify::programs::Programs;

/// What a node declares whose kubelet can skip operations for devices.
const SKIPS_OPERATIONS: &str = "DRAOptionalNodeOperations";

/// Answers allocation questions against one inventory and one set of classes.
///
/// It remembers what does not depend on the question (selector results, the pools of each node), so keep it for
/// all pods and nodes of a cluster. Equal questions get equal answers, whatever was asked before.
///
/// Cloning is cheap, whatever the size of the cluster: clones share what is remembered, and each sees only its own
/// later changes. So there can be one for each thread that looks at nodes, or one for each what-if.
#[derive(Clone, Debug)]
pub struct Allocator {
    inventory: Arc<Inventory>,
    classes: Arc<BTreeMap<String, DeviceClass>>,
    profile: Profile,
    features: Features,
    selectors: Selectors,
    rules: ViewRules,
    nodes: Map<String, Arc<KnownNode>>,
    /// For diagnoses, which share no code with the search.
    pub(crate) diagnosed: Programs,
}

/// A node that was asked about, and what it sees.
#[derive(Debug)]
struct KnownNode {
    labels: BTreeMap<String, String>,
    view: Result<Arc<KnownView>, AllocationError>,
}

/// A view and what follows from it for any question.
#[derive(Debug)]
pub(crate) struct KnownView {
    pub(crate) view: NodeView,
    pub(crate) counters: CounterLayout,
    pub(crate) groups: GroupLayout,
}

impl Allocator {
    /// An allocator for a cluster's slices and classes. If two classes have one name, the last counts.
    ///
    /// The profile's implementation is the one that upstream takes for the features, and features that the
    /// profile's release does not know are off.
    pub fn new(
        inventory: Arc<Inventory>,
        classes: impl IntoIterator<Item = DeviceClass>,
        profile: Profile,
        features: Features,
    ) -> Self {
        let features = profile.name.known(features);
        let profile = profile.for_features(features);
        let rules = ViewRules::new(&inventory, features, profile);
        Self {
            classes: Arc::new(classes.into_iter().map(|class| (class.name.clone(), class)).collect()),
            selectors: Selectors::new(features, profile),
            nodes: Map::with_capacity(inventory.node_count()),
            diagnosed: Programs::default(),
            inventory,
            profile,
            features,
            rules,
        }
    }

    /// An allocator for another inventory with the same classes, profile and features. It has the expressions that
    /// this one compiled, and remembers nothing else.
    #[must_use]
    pub fn for_inventory(&self, inventory: Arc<Inventory>) -> Self {
        Self {
            classes: self.classes.clone(),
            selectors: self.selectors.without_results(),
            nodes: Map::with_capacity(inventory.node_count()),
            diagnosed: self.diagnosed.clone(),
            rules: ViewRules::new(&inventory, self.features, self.profile),
            inventory,
            ..*self
        }
    }

    /// The inventory it allocates from.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Adds a slice behind all others, or puts it in the place of the one of its name. What is remembered of nodes
    /// that cannot see it stays.
    pub fn publish(&mut self, slice: impl Into<Arc<ResourceSlice>>) {
        let touched = Arc::make_mut(&mut self.inventory).put(slice.into());
        self.forget(&touched);
    }

    /// Removes the slice of this name; false if there is none.
    pub fn withdraw(&mut self, name: &str) -> bool {
        let touched = Arc::make_mut(&mut self.inventory).take(name);
        if let Some(touched) = &touched {
            self.forget(touched);
        }
        touched.is_some()
    }

    fn forget(&mut self, touched: &Touched) {
        if self.rules.update(&self.inventory, touched) {
            self.nodes = Map::with_capacity(self.inventory.node_count());
        } else {
            for node in &touched.nodes {
                self.nodes.remove(node.as_str());
            }
        }
    }

    /// The class of this name.
    pub fn class(&self, name: &str) -> Option<&DeviceClass> {
        self.classes.get(name)
    }

    /// The release profile it follows.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The features that are on.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Allocates claims together on a node: the first solution in upstream's order, or why there is none.
    ///
    /// `state` is what other claims hold. `share_ids` makes the identity of each new share of a device, called
    /// once for each such result, in the order of the results. `budget` is the number of search nodes after
    /// which to give up with [`Outcome::Undecided`]. No claims are a solution with no results.
    pub fn allocate(
        &mut self,
        state: &AllocatedState,
        node: &Node,
        claims: &[&ResourceClaim],
        share_ids: &mut dyn FnMut() -> String,
        budget: u64,
    ) -> Answer {
        let mut steps = 0;
        let outcome = match self.search(state, node, claims, share_ids, &mut steps, budget) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Error(error),
        };
        Answer { outcome, steps }
    }

    fn search(
        &mut self,
        state: &AllocatedState,
        node: &Node,
        claims: &[&ResourceClaim],
        share_ids: &mut dyn FnMut() -> String,
        steps: &mut u64,
        budget: u64,
    ) -> Result<Outcome, AllocationError> {
        let known = self.view(node)?;
        let setting = Setting {
            inventory: &self.inventory,
            view: &known.view,
            state,
            classes: &self.classes,
            profile: self.profile,
            features: self.features,
            skips_operations: node.declared_features.contains(SKIPS_OPERATIONS),
        };
        let problem = Problem::new(&setting, &mut self.selectors, claims)?;
        let mut chosen = Chosen::new(&setting, &problem, &known);
        match search::run(&setting, &problem, &mut chosen, steps, budget) {
            Ending::Solved(alternatives) => {
                let devices = chosen.devices();
                result::assemble(&setting, &problem, node, devices, &alternatives, share_ids)
                    .map(Outcome::Allocated)
            }
            Ending::Failed => Ok(Outcome::Unsatisfiable { invalid_pools: setting.view.has_invalid_pools() }),
            Ending::Error(error) => Err(error),
            Ending::OutOfSteps | Ending::NeedsGuide => Ok(Outcome::Undecided),
        }
    }

    /// What the node sees, remembered from earlier questions unless its labels changed and have a say.
    pub(crate) fn view(&mut self, node: &Node) -> Result<Arc<KnownView>, AllocationError> {
        if let Some(known) = self.nodes.get(node.name.as_str()) {
            match &known.view {
                Ok(view) if !view.view.uses_labels || known.labels == node.labels => return Ok(view.clone()),
                Err(error) if known.labels == node.labels => return Err(error.clone()),
                _ => {}
            }
        }
        let view = self.rules.view(&self.inventory, node).map(|view| {
            let counters = if self.features.partitionable_devices {
                CounterLayout::new(&self.inventory, &view, self.profile)
            } else {
                CounterLayout::default()
            };
            let groups = if self.features.compatibility_groups {
                GroupLayout::new(&self.inventory, &view)
            } else {
                GroupLayout::default()
            };
            Arc::new(KnownView { view, counters, groups })
        });
        let known = KnownNode { labels: node.labels.clone(), view: view.clone() };
        self.nodes.insert(node.name.clone(), Arc::new(known));
        view
    }
}
