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
use crate::inventory::{Inventory, NodeView, Sights, Touched, ViewRules};
use crate::objects::{DeviceClass, Node, ResourceClaim, ResourceSlice};
use crate::persistent::Map;
use crate::problem::{Problem, Setting};
use crate::profile::Profile;
use crate::recent::{Circumstances, LastAnswer, LastFloor, Question};
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
    /// What tells nodes without slices of their own apart, once there is one.
    sights: Option<Arc<Sights>>,
    /// The views of such nodes.
    shared: Map<Box<[bool]>, Arc<KnownView>>,
    /// How many of them there ever were.
    shared_so_far: u32,
    /// What was asked last about a node that was known already.
    last: Option<Arc<Question>>,
    /// For diagnoses, which share no code with the search.
    pub(crate) diagnosed: Programs,
}

/// A node that was asked about, and what it sees.
#[derive(Clone, Debug)]
enum KnownNode {
    /// With the node's labels then, where they have a say.
    View(Arc<KnownView>, BTreeMap<String, String>),
    Error(Arc<(BTreeMap<String, String>, AllocationError)>),
}

/// A view and what follows from it for any question.
#[derive(Debug, Default)]
pub(crate) struct KnownView {
    pub(crate) view: NodeView,
    pub(crate) counters: CounterLayout,
    pub(crate) groups: GroupLayout,
    /// The number of a view that several nodes may have.
    shared: Option<u32>,
    last: LastAnswer,
    /// Devices that are of no use any more for what was asked.
    pub(crate) floor: LastFloor,
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
            sights: None,
            shared: Map::default(),
            shared_so_far: 0,
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
            sights: None,
            shared: Map::default(),
            shared_so_far: 0,
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
            self.sights = None;
            self.shared = Map::default();
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
            held: held.as_ref().map(Arc::downgrade),
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
        let question = circumstances.as_ref().map(|circumstances| &circumstances.question);
        let asked = Asked { known: &known, question, node, budget };
        let outcome = search(&setting, &mut problem, &asked, held, share_ids, &mut steps);
        let answer = Answer { outcome, steps };
        if let Some(circumstances) = circumstances {
            known.last.keep(circumstances, &answer);
        }
        Ok(answer)
    }

    /// A number that nodes have in common which see the same and have no slices of their own, until slices change: then
    /// equal questions about them, with the same held, have equal answers. `None` for other nodes.
    pub fn shared_view(&mut self, node: &Node) -> Option<u32> {
        // Mostly that is all there is to it.
        if self.inventory.has_local_slices(&node.name) {
            return None;
        }
        let number = self.known_view(node).ok()?.0.shared?;
        number.checked_mul(2)?.checked_add(u32::from(node.declared_features.contains(SKIPS_OPERATIONS)))
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
            Some(KnownNode::View(view, labels)) if !view.view.uses_labels || *labels == node.labels => {
                return Ok((view.clone(), false));
            }
            Some(KnownNode::Error(error)) if error.0 == node.labels => return Err(error.1.clone()),
            _ => {}
        }
        let sights = self.sights.get_or_insert_with(|| Arc::new(Sights::new(&self.inventory)));
        let sight = sights.of(&self.inventory, node);
        if let Some(view) = sight.as_ref().and_then(|sight| self.shared.get(sight)).cloned() {
            self.nodes.insert(node.name.clone(), KnownNode::view(view.clone(), node));
            return Ok((view, false));
        }
        // Filled where it stays, since it is large.
        let mut view = Arc::<KnownView>::default();
        let found = match Arc::get_mut(&mut view) {
            Some(known) => {
                known.shared = sight.as_ref().map(|_| self.shared_so_far);
                self.find(node, known)
            }
            None => Ok(()),
        };
        if let (Ok(()), Some(sight)) = (&found, sight) {
            self.shared.insert(sight, view.clone());
            self.shared_so_far = self.shared_so_far.wrapping_add(1);
        }
        let known = match &found {
            Ok(()) => KnownNode::view(view.clone(), node),
            Err(error) => KnownNode::Error(Arc::new((node.labels.clone(), error.clone()))),
        };
        self.nodes.insert(node.name.clone(), known);
        found.map(|()| (view, true))
    }

    fn find(&self, node: &Node, known: &mut KnownView) -> Result<(), AllocationError> {
        let KnownView { view, counters, groups, shared: _, last: _, floor: _ } = known;
        self.rules.gather(&self.inventory, node, view)?;
        if self.features.partitionable_devices {
            *counters = CounterLayout::new(&self.inventory, view, self.profile);
        }
        if self.features.compatibility_groups {
            *groups = GroupLayout::new(&self.inventory, view);
        }
        Ok(())
    }
}

impl KnownNode {
    fn view(view: Arc<KnownView>, node: &Node) -> Self {
        let labels = if view.view.uses_labels { node.labels.clone() } else { BTreeMap::new() };
        Self::View(view, labels)
    }
}

/// What is searched for, and where.
struct Asked<'a> {
    known: &'a KnownView,
    /// The question, if the next one who asks can have the answer.
    question: Option<&'a Arc<Question>>,
    node: &'a Node,
    budget: u64,
}

fn search<'s>(
    setting: &Setting<'s>,
    problem: &mut Problem<'s>,
    asked: &Asked<'_>,
    held: Option<Arc<HeldDevices>>,
    share_ids: &mut dyn FnMut() -> String,
    steps: &mut u64,
) -> Outcome {
    let &Asked { known, question, node, budget } = asked;
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
    let era = held.as_ref().and_then(|held| held.era().cloned());
    let floor = question.zip(era.as_ref()).map(|(question, era)| known.floor.find(question, era));
    let mut chosen = Chosen::new(setting, problem, known, held);
    let mut lowest = floor.unwrap_or_default();
    let ending = search::run(setting, problem, &mut chosen, &mut lowest, steps, budget);
    if let Some((question, era)) = question.zip(era) {
        known.floor.keep(question, era, lowest);
    }
    match ending {
        Ending::Solved(alternatives) => assemble(problem, chosen.devices(), &alternatives),
        Ending::Failed => Outcome::Unsatisfiable { invalid_pools: setting.view.has_invalid_pools() },
        Ending::Error(error) => Outcome::Error(error),
        Ending::OutOfSteps | Ending::NeedsGuide => Outcome::Undecided,
    }
}
