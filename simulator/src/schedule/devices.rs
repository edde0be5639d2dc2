//! Devices on one node after the other: the allocator, what is held, and remembered verdicts.

use std::sync::Arc;

use drayage_allocator::explanation::{self, Asked, Effort, Explanation, Holder};
use drayage_allocator::objects::{
    AllocationResult, DeviceClass, DeviceId, Node, PoolId, ResourceClaim, ResourceSlice,
};
use drayage_allocator::persistent::{List, Map};
use drayage_allocator::{AllocatedState, Allocator, Answer, Features, Inventory, Outcome, Profile, diagnose};
use drayage_cel::Release;

use super::explain::{self, NodeFailure};
use super::verdicts::{Cell, Changes, Sight, Verdicts};
use super::workers::Workers;

/// A verdict on some demands on one node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// There are devices. The results are there if they were computed just now; the number is what the chosen
    /// alternatives are worth (KEP-4816).
    Fits(Option<Vec<AllocationResult>>, u16),
    /// There are none.
    Unsatisfiable {
        /// Upstream says so in another text.
        invalid_pools: bool,
    },
    /// The allocator refuses with an error.
    Failed(drayage_allocator::AllocationError),
    /// The step budget ran out.
    Undecided,
}

/// Demands that are to be met together, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ShapeId(pub(super) u32);

/// The allocator with what is held, and the verdicts so far. Copies share what does not change.
///
/// While devices are only taken, a failure stands for good where the demands allow that conclusion; other verdicts
/// stand until something changes that the node can see.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    allocator: Allocator,
    state: AllocatedState,
    budget: u64,
    /// How many shares were held so far; new ones are numbered from there.
    shares: u64,
    taken_shares: Map<String, ()>,
    /// Nodes that see the pools of a name; `None` for pools that more than one node may see.
    reach: Map<String, Option<Arc<str>>>,
    node_numbers: Map<Arc<str>, usize>,
    node_changes: List<Changes>,
    common_changes: Changes,
    /// How often slices came or went.
    slice_changes: u32,
    /// How often anything changed that some node can see.
    all_changes: u64,
    /// Whether failures may stand for good at all in this cluster and with these features.
    lasting: bool,
    shapes: Map<Box<[usize]>, ShapeId>,
    remembered: Verdicts,
    /// Failures found, by shape and node.
    explained: Map<(ShapeId, usize), Explained>,
    /// The pod whose full explanation stands for a shape and node, and the count of changes it is true for.
    explained_in_full: Map<(ShapeId, usize), (u32, Arc<str>)>,
    /// `None` for a single thread.
    workers: Option<Workers>,
    /// Ask anew each time, to compare.
    #[cfg(test)]
    pub(crate) forgetful: bool,
}

/// A question that is asked ahead of its turn.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) shape: ShapeId,
    /// As for [`Devices::verdict`].
    pub(crate) lasting: bool,
    pub(crate) at: usize,
    pub(crate) node: &'a Node,
    pub(crate) claims: Vec<&'a ResourceClaim>,
}

/// Failures, and the count of changes they are true for.
type Explained = (u32, Arc<[NodeFailure]>);

/// Remembered verdicts are dropped beyond this many.
const MOST_CELLS: usize = 8 << 20;

impl Devices {
    /// Slices must carry the taints of DeviceTaintRules already.
    pub(crate) fn new(
        mut slices: Vec<Arc<ResourceSlice>>,
        classes: impl IntoIterator<Item = DeviceClass>,
        profile: Profile,
        features: Features,
        budget: u64,
        threads: usize,
    ) -> Self {
        // The order of the input must not matter.
        slices.sort_by(|left, right| left.name.cmp(&right.name));
        let mut reach = Map::default();
        for slice in &slices {
            note_reach(&mut reach, slice);
        }
        // Books of counters may be shared by pools of one name in some releases, and the first to need them
        // fills them: then nothing is certain to stay.
        let counters = slices.iter().any(|slice| !slice.shared_counters.is_empty());
        Self {
            allocator: Allocator::new(Arc::new(Inventory::from_shared(slices)), classes, profile, features),
            state: AllocatedState::new(),
            budget,
            shares: 0,
            taken_shares: Map::default(),
            reach,
            node_numbers: Map::default(),
            node_changes: List::default(),
            common_changes: Changes::default(),
            slice_changes: 0,
            all_changes: 0,
            lasting: !counters && !features.list_type_attributes,
            shapes: Map::default(),
            remembered: Verdicts::default(),
            explained: Map::default(),
            explained_in_full: Map::default(),
            workers: Workers::new(threads),
            #[cfg(test)]
            forgetful: false,
        }
    }

    /// Whether the devices of an allocation can be used on a node, as far as what the kubelet may skip for them goes.
    /// Schedulers know of that since 1.37, whatever their gates.
    pub(crate) fn operations_suit(&self, allocation: &AllocationResult, node: &Node) -> bool {
        self.allocator.profile().release < Release::V1_37
            || node.declared_features.contains("DRAOptionalNodeOperations")
            || allocation.results.iter().all(|device| device.skip_node_operations.is_empty())
    }

    /// The features that are on.
    pub(crate) fn features(&self) -> Features {
        self.allocator.features()
    }

    /// The slices.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &ResourceSlice> {
        self.allocator.inventory().slices()
    }

    /// The slices of a pool, of every generation.
    pub(crate) fn slices_of_pool(&self, pool: &PoolId) -> impl Iterator<Item = &ResourceSlice> {
        self.allocator.inventory().slices_of_pool(pool)
    }

    /// The slices that are bound to a node by its name.
    pub(crate) fn slices_of_node(&self, node: &str) -> impl Iterator<Item = &ResourceSlice> {
        self.allocator.inventory().slices_of_node(node)
    }

    /// How often slices came or went.
    pub(crate) fn slice_changes(&self) -> u32 {
        self.slice_changes
    }

    /// Whether anything of a device is held.
    pub(crate) fn is_held(&self, device: &DeviceId) -> bool {
        self.state.is_allocated(device)
    }

    /// The release that is followed.
    pub(crate) fn kubernetes(&self) -> Release {
        self.allocator.profile().release
    }

    /// A class by its name.
    pub(crate) fn class(&self, name: &str) -> Option<&DeviceClass> {
        self.allocator.class(name)
    }

    /// Whether the class exists.
    pub(crate) fn has_class(&self, name: &str) -> bool {
        self.allocator.class(name).is_some()
    }

    /// Takes note of a node and its number, which is one more than that of the node before.
    pub(crate) fn add_node(&mut self, name: &str) {
        let at = self.node_changes.push(Changes::default());
        self.node_numbers.insert(Arc::from(name), at as usize);
    }

    /// Adds a slice, or puts it in the place of the one of its name.
    pub(crate) fn publish(&mut self, slice: ResourceSlice) {
        if !slice.shared_counters.is_empty() {
            self.lasting = false;
        }
        let touched = note_reach(&mut self.reach, &slice);
        let before = self.allocator.inventory().slice_of_name(&slice.name);
        let before = before.map(|before| self.reach.get(&before.pool.name).cloned().flatten());
        self.allocator.publish(slice);
        self.note_slice(touched);
        if let Some(touched) = before {
            self.note_slice(touched);
        }
    }

    /// Removes the slice of this name; false if there is none.
    pub(crate) fn withdraw(&mut self, name: &str) -> bool {
        let Some(slice) = self.allocator.inventory().slice_of_name(name) else { return false };
        let touched = self.reach.get(&slice.pool.name).cloned().flatten();
        let found = self.allocator.withdraw(name);
        self.note_slice(touched);
        found
    }

    /// A slice that the pool's node sees, or all nodes, came or went.
    fn note_slice(&mut self, node: Option<Arc<str>>) {
        let at = node.and_then(|name| self.node_numbers.get(&name).copied());
        self.slice_changes = self.slice_changes.wrapping_add(1);
        self.remembered.forget_sights(at);
        self.note_change(at, true);
        if let Some(workers) = &mut self.workers {
            workers.forget();
        }
    }

    /// The number of some demands that are to be met together, in order.
    pub(crate) fn shape(&mut self, demands: &[usize]) -> ShapeId {
        if let Some(&shape) = self.shapes.get(demands) {
            return shape;
        }
        if self.shapes.len().saturating_mul(self.node_changes.len() as usize) > MOST_CELLS {
            self.shapes = Map::default();
            self.remembered.clear();
        }
        let shape = ShapeId(self.remembered.add_shape());
        self.shapes.insert(demands.into(), shape);
        shape
    }

    /// The verdict on claims of a shape on a node, if it is known. Free of allocations: it is asked for every pod
    /// on every node.
    pub(crate) fn known_verdict(&self, shape: ShapeId, at: usize) -> Option<Verdict> {
        #[cfg(test)]
        if self.forgetful {
            return None;
        }
        let (cell, changes) = match self.remembered.sight(at) {
            Sight::Unknown => return None,
            Sight::Shared(number) => (self.remembered.of_number(shape, number), self.common_changes),
            Sight::Own => (self.remembered.of_node(shape, at), self.changes_of(at)),
        };
        if !cell.holds(changes) {
            return None;
        }
        match cell {
            Cell::Unknown => None,
            Cell::Fits(_, alternatives) => Some(Verdict::Fits(None, alternatives)),
            Cell::Unsatisfiable(_, invalid_pools) | Cell::Hopeless(_, invalid_pools) => {
                Some(Verdict::Unsatisfiable { invalid_pools })
            }
        }
    }

    /// Whether a node sees the same devices as others that have no slices of their own either.
    pub(crate) fn sight(&mut self, at: usize, node: &Node) -> Sight {
        let mut sight = self.remembered.sight(at);
        if sight == Sight::Unknown {
            sight = self.allocator.shared_view(node).map_or(Sight::Own, Sight::Shared);
            self.remembered.set_sight(at, sight);
        }
        sight
    }

    /// Finds the verdict on claims of a shape on a node and remembers it. `lasting` says whether a failure of these
    /// claims stands for good.
    pub(crate) fn verdict(
        &mut self,
        shape: ShapeId,
        lasting: bool,
        at: usize,
        node: &Node,
        claims: &[&ResourceClaim],
    ) -> Verdict {
        // What the first of nodes that see the same was told is true for the others.
        if self.remembered.sight(at) == Sight::Unknown
            && self.sight(at, node) != Sight::Own
            && let Some(known) = self.known_verdict(shape, at)
        {
            return known;
        }
        let verdict = self.allocate(node, claims);
        self.remember(shape, lasting, at, &verdict);
        verdict
    }

    /// Whether [`look_ahead`](Self::look_ahead) does anything.
    pub(crate) fn looks_ahead(&self) -> bool {
        #[cfg(test)]
        if self.forgetful {
            return false;
        }
        self.workers.is_some()
    }

    /// Finds verdicts on several nodes at once and remembers them. What cannot be remembered is asked again when it
    /// is its turn, so this changes nothing but the time that takes.
    pub(crate) fn look_ahead(&mut self, questions: &[Question<'_>]) {
        let Some(mut workers) = self.workers.take() else { return };
        let (state, budget) = (&self.state, self.budget);
        let shares = Shares { last: self.shares, taken: &self.taken_shares };
        let verdicts = workers.ask(&self.allocator, questions, |allocator, question| {
            verdict_of(
                shares.ask(allocator, state, question.node, &question.claims, budget),
                &question.claims,
            )
        });
        for (question, verdict) in verdicts {
            self.remember(question.shape, question.lasting, question.at, &verdict);
        }
        self.workers = Some(workers);
    }

    fn remember(&mut self, shape: ShapeId, lasting: bool, at: usize, verdict: &Verdict) {
        let sight = self.remembered.sight(at);
        let changes = if sight == Sight::Own { self.changes_of(at) } else { self.common_changes };
        let cell = match verdict {
            Verdict::Fits(_, alternatives) => Cell::Fits(changes.all, *alternatives),
            Verdict::Unsatisfiable { invalid_pools } if lasting && self.lasting => {
                Cell::Hopeless(changes.relief, *invalid_pools)
            }
            Verdict::Unsatisfiable { invalid_pools } => Cell::Unsatisfiable(changes.all, *invalid_pools),
            // An error ends the pod's turn, so it is not met again and again.
            Verdict::Failed(_) | Verdict::Undecided => Cell::Unknown,
        };
        match sight {
            Sight::Unknown => {}
            Sight::Own => self.remembered.set_of_node(shape, at, cell),
            Sight::Shared(number) => self.remembered.set_of_number(shape, number, cell),
        }
    }

    /// Asks the allocator for a verdict.
    pub(crate) fn allocate(&mut self, node: &Node, claims: &[&ResourceClaim]) -> Verdict {
        verdict_of(self.ask(node, claims), claims)
    }

    /// Asks the allocator.
    pub(crate) fn ask(&mut self, node: &Node, claims: &[&ResourceClaim]) -> Answer {
        let shares = Shares { last: self.shares, taken: &self.taken_shares };
        shares.ask(&mut self.allocator, &self.state, node, claims, self.budget)
    }

    /// Why claims of a shape find no devices on a node; nothing where that is not found within the budget.
    pub(crate) fn failures(
        &mut self,
        shape: ShapeId,
        at: usize,
        node: &Node,
        claims: &[&ResourceClaim],
    ) -> Arc<[NodeFailure]> {
        let changes = self.changes(at);
        if let Some((when, known)) = self.explained.get(&(shape, at))
            && *when == changes
        {
            return Arc::clone(known);
        }
        let found = self.diagnose(node, claims);
        self.explained.insert((shape, at), (changes, Arc::clone(&found)));
        found
    }

    /// As [`failures`](Self::failures), without remembering.
    pub(crate) fn diagnose(&mut self, node: &Node, claims: &[&ResourceClaim]) -> Arc<[NodeFailure]> {
        let claims = explain::anonymous(claims);
        let claims: Vec<&ResourceClaim> = claims.iter().collect();
        match diagnose(&mut self.allocator, &self.state, node, &claims, self.budget) {
            Some(diagnosis) => explain::failures(&diagnosis, |unusable| {
                let of_pool = self.allocator.inventory().slices_of_pool(&unusable.pool);
                of_pool.map(|slice| slice.devices.len()).sum()
            }),
            None => Arc::from([]),
        }
    }

    /// The pod whose full explanation for a shape and node still holds. If there is none, this pod is from now on.
    pub(crate) fn explained_for(&mut self, shape: ShapeId, at: usize, pod: &str) -> Option<String> {
        let changes = self.changes(at);
        match self.explained_in_full.get(&(shape, at)) {
            Some((when, other)) if *when == changes => Some(other.to_string()),
            _ => {
                self.explained_in_full.insert((shape, at), (changes, Arc::from(pod)));
                None
            }
        }
    }

    /// Explains the answer for claims on a node. `holders` are the claims that hold something.
    pub(crate) fn explain(
        &mut self,
        node: &Node,
        claims: &[&ResourceClaim],
        holders: &[Holder<'_>],
    ) -> Explanation {
        let (budget, effort) = (self.budget, Effort::default());
        let asked = Asked { state: &self.state, node, claims, holders, budget, effort };
        explanation::explain(&mut self.allocator, &asked)
    }

    /// Records that a claim holds its devices.
    pub(crate) fn hold(&mut self, result: &AllocationResult) {
        for id in result.results.iter().filter_map(|device| device.share_id.clone()) {
            self.shares += 1;
            self.taken_shares.insert(id, ());
        }
        self.state.insert(result, self.allocator.features());
        self.note_devices(result, false);
    }

    /// Records that a claim holds its devices no more.
    pub(crate) fn release(&mut self, result: &AllocationResult) {
        self.state.remove(result, self.allocator.features());
        self.note_devices(result, true);
    }

    fn note_devices(&mut self, result: &AllocationResult, relief: bool) {
        // A claim's devices are of one node, mostly.
        let mut noted: Vec<Option<usize>> = Vec::with_capacity(1);
        for device in &result.results {
            let local = self.reach.get(&device.pool).and_then(Option::as_ref);
            let at = local.and_then(|name| self.node_numbers.get(name).copied());
            if !noted.contains(&at) {
                noted.push(at);
            }
        }
        for at in noted {
            self.note_change(at, relief);
        }
    }

    /// Counts a change that a node can see, or every node.
    fn note_change(&mut self, at: Option<usize>, relief: bool) {
        self.all_changes += 1;
        let changes = at.and_then(|at| self.node_changes.get_mut(u32::try_from(at).ok()?));
        changes.unwrap_or(&mut self.common_changes).note(relief);
    }

    /// Counts changes that a node can see.
    pub(crate) fn changes(&self, at: usize) -> u32 {
        self.changes_of(at).all
    }

    fn changes_of(&self, at: usize) -> Changes {
        let of_node = u32::try_from(at).ok().and_then(|at| self.node_changes.get(at).copied());
        self.common_changes.and(of_node.unwrap_or_default())
    }

    /// How often anything changed that some node can see.
    pub(crate) fn all_changes(&self) -> u64 {
        self.all_changes
    }

    /// What is held.
    pub(crate) fn held(&self) -> &AllocatedState {
        &self.state
    }
}

/// Takes note of which node sees the pools of a slice's name; returns what is known of them now.
fn note_reach(reach: &mut Map<String, Option<Arc<str>>>, slice: &ResourceSlice) -> Option<Arc<str>> {
    let local = slice.node_name.as_deref().filter(|name| !name.is_empty());
    match reach.get(&slice.pool.name) {
        Some(None) => None,
        Some(Some(seen)) if Some(seen.as_ref()) == local => Some(seen.clone()),
        Some(_) => {
            reach.insert(slice.pool.name.clone(), None);
            None
        }
        None => {
            let local = local.map(Arc::from);
            reach.insert(slice.pool.name.clone(), local.clone());
            local
        }
    }
}

/// What the alternatives that a result chooses are worth to the scheduler: more, the earlier they are listed.
pub(crate) fn alternatives(claim: &ResourceClaim, result: &AllocationResult) -> u16 {
    let chosen = |request: &str, alternative: &str| {
        result.results.iter().any(|device| {
            device.request.split_once('/').is_some_and(|(of, name)| of == request && name == alternative)
        })
    };
    let worth = claim.requests.iter().flat_map(|request| {
        let ranked = (0..MOST_ALTERNATIVES).rev().zip(&request.first_available);
        ranked.filter(|(_, alternative)| chosen(&request.name, &alternative.name)).map(|(worse, _)| worse + 1)
    });
    worth.sum()
}

/// The API's limit on alternatives of a request.
const MOST_ALTERNATIVES: u16 = 8;

fn verdict_of(answer: Answer, claims: &[&ResourceClaim]) -> Verdict {
    match answer.outcome {
        Outcome::Allocated(results) => {
            let worth =
                claims.iter().zip(results.iter()).map(|(claim, result)| alternatives(claim, result)).sum();
            Verdict::Fits(Some(Arc::unwrap_or_clone(results)), worth)
        }
        Outcome::Unsatisfiable { invalid_pools } => Verdict::Unsatisfiable { invalid_pools },
        Outcome::Error(error) => Verdict::Failed(error),
        Outcome::Undecided => Verdict::Undecided,
    }
}

/// The identities of shares that are given out already.
#[derive(Clone, Copy)]
struct Shares<'a> {
    last: u64,
    taken: &'a Map<String, ()>,
}

impl Shares<'_> {
    fn ask(
        self,
        allocator: &mut Allocator,
        state: &AllocatedState,
        node: &Node,
        claims: &[&ResourceClaim],
        budget: u64,
    ) -> Answer {
        let mut number = self.last;
        let mut next_share = || loop {
            number += 1;
            let id = share_id(number);
            if self.taken.get(&id).is_none() {
                return id;
            }
        };
        allocator.allocate(state, node, claims, &mut next_share, budget)
    }
}

/// Identity of a share: upstream draws a random UUID, here it is a count in the same form.
pub(crate) fn share_id(count: u64) -> String {
    format!("00000000-0000-4000-8000-{count:012x}")
}
