//! The allocator: one question after the other against one inventory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::allocated::AllocatedState;
use crate::answer::{Answer, Outcome};
use crate::compatibility::GroupLayout;
use crate::counters::CounterLayout;
use crate::error::AllocationError;
use crate::features::Features;
use crate::held::HeldDevices;
use crate::inventory::{Inventory, NodeView, Touched, ViewRules};
use crate::objects::{DeviceClass, Node, ResourceClaim, ResourceSlice};
use crate::persistent::Map;
use crate::problem::{Problem, Setting};
use crate::profile::Profile;
use crate::recent::{Circumstances, LastAnswer, Question};
use crate::result;
use crate::search::{self, Chosen, ChosenDevice, Ending};
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
    nodes: Map<String, KnownNode>,
    /// What was asked last about a node that was known already.
    last: Option<Arc<Question>>,
    /// For diagnoses, which share no code with the search.
    pub(crate) diagnosed: Programs,
}

/// A node that was asked about, and what it sees.
#[derive(Clone, Debug)]
enum KnownNode {
    View(Arc<KnownView>),
    Error(Arc<(BTreeMap<String, String>, AllocationError)>),
}

/// A view and what follows from it for any question.
#[derive(Debug, Default)]
pub(crate) struct KnownView {
    pub(crate) view: NodeView,
    pub(crate) counters: CounterLayout,
    pub(crate) groups: GroupLayout,
    /// The node's labels then, where they have a say.
    labels: BTreeMap<String, String>,
    last: LastAnswer,
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
            last: None,
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
            last: None,
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
        self.answer(state, node, claims, share_ids, budget)
            .unwrap_or_else(|error| Answer { outcome: Outcome::Error(error), steps: 0 })
    }

    fn answer(
        &mut self,
        state: &AllocatedState,
        node: &Node,
        claims: &[&ResourceClaim],
        share_ids: &mut dyn FnMut() -> String,
        budget: u64,
    ) -> Result<Answer, AllocationError> {
        let (known, is_new) = self.known_view(node)?;
        let held = known.view.held.find(&self.inventory, &known.view, state);
        let skips_operations = node.declared_features.contains(SKIPS_OPERATIONS);
        // Whoever asks about a node for the first time need not be the one who asks again.
        let circumstances = (!is_new).then(|| Circumstances {
            question: self.question(claims),
            held: held.clone(),
            skips_operations,
        });
        if let Some(circumstances) = &circumstances
            && let Some(answer) = known.last.find(circumstances, budget)
        {
            return Ok(answer);
        }
        let setting = Setting {
            inventory: &self.inventory,
            view: &known.view,
            state,
            classes: &self.classes,
            profile: self.profile,
            features: self.features,
            skips_operations,
            is_new_view: is_new,
        };
        let mut problem = Problem::default();
        problem.add_claims(&setting, &mut self.selectors, claims)?;
        let mut steps = 0;
        let outcome = search(&setting, &mut problem, &known, held, node, share_ids, &mut steps, budget);
        let answer = Answer { outcome, steps };
        if let Some(circumstances) = circumstances {
            known.last.keep(circumstances, &answer);
        }
        Ok(answer)
    }

    /// The question of these claims, the last one if that is the same.
    fn question(&mut self, claims: &[&ResourceClaim]) -> Arc<Question> {
        match &self.last {
            Some(last) if last.is_same(claims) => last.clone(),
            _ => self.last.insert(Arc::new(Question::new(claims))).clone(),
        }
    }

    /// What the node sees, remembered from earlier questions unless its labels changed and have a say, and whether
    /// it was not known before.
    fn known_view(&mut self, node: &Node) -> Result<(Arc<KnownView>, bool), AllocationError> {
        match self.nodes.get(node.name.as_str()) {
            Some(KnownNode::View(view)) if !view.view.uses_labels || view.labels == node.labels => {
                return Ok((view.clone(), false));
            }
            Some(KnownNode::Error(error)) if error.0 == node.labels => return Err(error.1.clone()),
            _ => {}
        }
        // Filled where it stays, since it is large.
        let mut view = Arc::<KnownView>::default();
        let found = match Arc::get_mut(&mut view) {
            Some(known) => self.find(node, known),
            None => Ok(()),
        };
        let known = match &found {
            Ok(()) => KnownNode::View(view.clone()),
            Err(error) => KnownNode::Error(Arc::new((node.labels.clone(), error.clone()))),
        };
        self.nodes.insert(node.name.clone(), known);
        found.map(|()| (view, true))
    }

    fn find(&self, node: &Node, known: &mut KnownView) -> Result<(), AllocationError> {
        let KnownView { view, counters, groups, labels, last: _ } = known;
        self.rules.gather(&self.inventory, node, view)?;
        if self.features.partitionable_devices {
            *counters = CounterLayout::new(&self.inventory, view, self.profile);
        }
        if self.features.compatibility_groups {
            *groups = GroupLayout::new(&self.inventory, view);
        }
        if view.uses_labels {
            labels.clone_from(&node.labels);
        }
        Ok(())
    }
}

#[expect(clippy::too_many_arguments, reason = "the second half of one function")]
fn search<'s>(
    setting: &Setting<'s>,
    problem: &mut Problem<'s>,
    known: &KnownView,
    held: Option<Arc<HeldDevices>>,
    node: &Node,
    share_ids: &mut dyn FnMut() -> String,
    steps: &mut u64,
    budget: u64,
) -> Outcome {
    let mut assemble =
        |problem: &Problem<'_>, devices: &[ChosenDevice], alternatives: &[_]| match result::assemble(
            setting,
            problem,
            node,
            devices,
            alternatives,
            share_ids,
        ) {
            Ok(results) => Outcome::Allocated(Arc::new(results)),
            Err(error) => Outcome::Error(error),
        };
    if let Some((devices, taken)) = search::first_fit(setting, problem, held.as_deref())
        && taken <= budget
    {
        *steps = taken;
        return assemble(problem, &devices, &[]);
    }
    problem.prepare(setting);
    let mut chosen = Chosen::new(setting, problem, known, held);
    match search::run(setting, problem, &mut chosen, steps, budget) {
        Ending::Solved(alternatives) => assemble(problem, chosen.devices(), &alternatives),
        Ending::Failed => Outcome::Unsatisfiable { invalid_pools: setting.view.has_invalid_pools() },
        Ending::Error(error) => Outcome::Error(error),
        Ending::OutOfSteps | Ending::NeedsGuide => Outcome::Undecided,
    }
}
