//! A cluster under simulation, and what is known of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::{ResourceClaim, ResourceSlice};
use drayage_cluster::controllers;
use drayage_cluster::objects::{Namespace, Pod};
use rustc_hash::FxHashSet;

use super::budgets::Budgets;
use super::claims::ClaimBook;
use super::devices::Devices;
use super::eviction::TaintTimes;
use super::extended::ResourceClasses;
use super::gangs::Gangs;
use super::neighbours::{DefaultSelectors, Namespaces, PodCounts};
use super::node::{NodeState, PodNeeds};
use super::nodes::Nodes;
use super::nominations::Nominations;
use super::options::Options;
use super::placement::Placements;
use super::plan::DevicePlan;
use super::pods::{PodId, PodPlace, Pods};
use super::preemption::priority;
use super::prepare::Prepared;
use super::queue;
use super::resources::{ResourceId, ResourceNames};
use super::score::{DeviceCounts, Images, Scorers};
use super::standing::Standing;
use super::tally::Tally;
use super::ties::Ties;
use super::volumes::Volumes;
use crate::random::Random;

/// A cluster under simulation: nodes, pods and claims with what they hold, and all that was found out about them.
///
/// A clone is a fork: it costs a few reference counts, whatever the size of the cluster, and neither of the two sees
/// what happens to the other afterwards. What was found out before is shared, such as which nodes a pod may run on.
///
/// Nodes and pods keep their numbers for as long as the state and its forks exist.
#[derive(Clone, Debug)]
pub struct ClusterState {
    pub(super) options: Arc<Options>,
    pub(crate) nodes: Nodes,
    pub(crate) pods: Pods,
    pub(crate) names: ResourceNames,
    pub(crate) claims: ClaimBook,
    pub(crate) devices: Devices,
    pub(super) placements: Placements,
    pub(super) standing: Standing,
    /// Given where gate DRAExtendedResource is on.
    pub(super) classes: Option<Arc<ResourceClasses>>,
    /// Resources that devices may stand in for.
    pub(super) delegated: FxHashSet<ResourceId>,
    pub(super) tally: Tally,
    /// By profile.
    pub(super) scorers: Arc<Vec<Scorers>>,
    pub(super) device_counts: DeviceCounts,
    pub(super) volumes: Volumes,
    pub(crate) gangs: Arc<Gangs>,
    pub(super) images: Images,
    pub(super) counts: PodCounts,
    pub(super) default_selectors: Arc<DefaultSelectors>,
    pub(super) ties: Ties,
    /// Nodes that pods get where they are among several best ones.
    pub(super) wanted: Arc<BTreeMap<PodId, usize>>,
    pub(super) budgets: Budgets,
    pub(super) nominations: Nominations,
    pub(super) taint_times: Arc<TaintTimes>,
    pub(super) may_preempt: bool,
    /// Whether pods that are preempted wait for another node, as the copies that controllers make for them, instead of
    /// being gone.
    pub(super) victims_wait: bool,
    /// No pod that was ever placed has a lower priority.
    pub(super) lowest_priority: i32,
    /// Where in the order of nodes the next attempt begins.
    pub(super) next_start: usize,
    /// How many nodes the current attempt looked at.
    pub(super) looked_at: usize,
    pub(crate) warnings: Arc<Vec<String>>,
    finished: usize,
}

impl ClusterState {
    /// The state that the objects describe: running pods on their nodes with what they hold, the others waiting.
    pub fn new(prepared: &Prepared, options: &Options) -> Self {
        let objects = &prepared.snapshot;
        let gates = &options.gates;
        let mut names = ResourceNames::default();
        let mut by_name: Vec<_> = objects.nodes.iter().collect();
        by_name.sort_by(|left, right| left.metadata.name.cmp(&right.metadata.name));
        let nodes =
            Nodes::new(by_name.into_iter().map(|node| NodeState::new(Arc::new(node.clone()), &mut names)));

        let (claims, mut warnings) = ClaimBook::new(&objects.claims, &objects.pods);
        let features = gates.features();
        let mut slices: Vec<Arc<ResourceSlice>> =
            objects.slices.iter().map(|slice| Arc::clone(&slice.spec)).collect();
        if features.device_taints && gates.enabled("DRADeviceTaintRules") && !objects.taint_rules.is_empty() {
            for slice in &mut slices {
                controllers::apply_taint_rules(
                    std::slice::from_mut(Arc::make_mut(slice)),
                    &objects.taint_rules,
                );
            }
        }
        let mut devices = Devices::new(
            slices,
            objects.classes.iter().map(|class| class.spec.clone()),
            gates.allocator(),
            features,
            options.step_budget,
            options.threads,
        );
        for state in nodes.all() {
            devices.add_node(state.name());
        }
        let labels_of =
            |namespace: &Namespace| (namespace.metadata.name.clone(), namespace.metadata.labels.clone());
        let namespaces = objects.namespaces.iter().map(labels_of).collect();
        let profiles = options.all_profiles();
        let scorers =
            profiles.iter().map(|profile| Scorers::new(profile, gates.release(), &mut names)).collect();
        let mut images = Images::default();
        for state in nodes.all() {
            images.add(&state.node);
        }
        for allocation in claims.allocations() {
            devices.hold(allocation);
        }

        let mut running = Vec::new();
        let mut pending = Vec::new();
        let mut finished = 0;
        for pod in &objects.pods {
            if pod.has_ended() {
                finished += 1;
            } else if pod.spec.node_name.is_some() {
                running.push(pod);
            } else {
                pending.push(pod);
            }
        }
        let full_name = |pod: &Pod| (pod.metadata.namespace.clone(), pod.metadata.name.clone());
        running.sort_by_cached_key(|pod| full_name(pod));
        pending.sort_by(|left, right| queue::order(left, right));
        if options.profiles.is_empty() {
            warn_of_other_schedulers(&pending, &mut warnings);
        }
        let mut state = Self {
            options: Arc::new(options.clone()),
            nodes,
            pods: Pods::default(),
            names,
            claims,
            devices,
            placements: Placements::new(gates.enabled("TaintTolerationComparisonOperators")),
            standing: Standing::default(),
            classes: gates
                .enabled("DRAExtendedResource")
                .then(|| Arc::new(ResourceClasses::new(&objects.classes))),
            delegated: FxHashSet::default(),
            tally: Tally::default(),
            scorers: Arc::new(scorers),
            device_counts: DeviceCounts::default(),
            volumes: Volumes::new(objects),
            gangs: Arc::new(Gangs::new(objects, gates)),
            images,
            counts: PodCounts::new(Namespaces(namespaces)),
            default_selectors: Arc::new(DefaultSelectors::new(objects, profiles)),
            ties: Ties::default(),
            wanted: Arc::default(),
            budgets: Budgets::default(),
            nominations: Nominations::default(),
            taint_times: Arc::new(TaintTimes::new(objects, gates.enabled("DRADeviceTaintRules"))),
            may_preempt: false,
            victims_wait: false,
            lowest_priority: i32::MAX,
            next_start: 0,
            looked_at: 0,
            warnings: Arc::default(),
            finished,
        };
        for pod in running {
            state.place_running(pod, &mut warnings);
        }
        for pod in pending {
            let id = state.pods.add(Arc::clone(pod), PodPlace::Pending);
            let promised = pod.status.nominated_node_name.as_deref();
            if let Some(at) = promised.and_then(|node| state.nodes.find(node)) {
                state.nominations.set(id, at);
            }
        }
        state.budgets = Budgets::new(&objects.disruption_budgets, &state.pods);
        state.warn_of_nodes_without_room(&mut warnings);
        if state.gangs.are_ignored() {
            let text = "feature gates `GenericWorkload` and `GangScheduling` are not both on, so PodGroups have no effect";
            warnings.push(text.to_owned());
        }
        if state.gangs.topology_is_ignored() {
            let text = "feature gate `TopologyAwareWorkloadScheduling` is off, so the topology keys of PodGroups have no effect";
            warnings.push(text.to_owned());
        }
        if state.volumes.are_unknown(&objects.pods) {
            let text = "pods have volumes and the input has no PersistentVolumeClaim; volumes are taken to be there everywhere";
            warnings.push(text.to_owned());
        }
        state.warnings = Arc::new(warnings);
        state
    }

    /// A running pod takes what it needs, whether or not it is there.
    fn place_running(&mut self, pod: &Arc<Pod>, warnings: &mut Vec<String>) {
        let id = self.pods.add(Arc::clone(pod), PodPlace::Elsewhere);
        let status = pod.status.extended_resource_claim_status.as_ref();
        let extended = status.and_then(|status| {
            self.claims.find(&format!("{}/{}", pod.metadata.namespace, status.resource_claim_name))
        });
        let node = pod.spec.node_name.as_deref().unwrap_or_default();
        let at = self.nodes.find(node);
        if let Some(entry) = self.pods.get_mut(id) {
            entry.place = at.map_or(PodPlace::Elsewhere, PodPlace::Node);
            entry.extended = extended;
        }
        let Some(at) = at else {
            warnings.push(format!(
                "pod `{}` runs on node `{node}`, which is not in the input",
                pod.metadata.full_name()
            ));
            return;
        };
        let needs = self.needs(pod);
        self.settle(id, at, &needs);
    }

    /// A pod takes what it needs of a node.
    pub(super) fn settle(&mut self, id: PodId, at: usize, needs: &PodNeeds) {
        if let Some(state) = self.nodes.get_mut(at) {
            state.take(id, needs);
        }
        let Some(entry) = self.pods.get_mut(id) else { return };
        self.volumes.note_pod(&entry.pod, 1);
        self.lowest_priority = self.lowest_priority.min(priority(&entry.pod));
        let profile = self.options.profile_of(&entry.pod.spec.scheduler_name).unwrap_or_default();
        let kind = self.counts.kind(&entry.pod, profile);
        entry.kind = Some(kind);
        let nodes = &self.nodes;
        self.counts.place(kind, at, 1, |topologies, key| topologies.key(key, nodes));
    }

    /// A pod gives back what it took of a node.
    pub(super) fn unsettle(&mut self, id: PodId, at: usize, needs: &PodNeeds) {
        if let Some(state) = self.nodes.get_mut(at) {
            state.release(id, needs);
        }
        if let Some(entry) = self.pods.get(id) {
            self.volumes.note_pod(&entry.pod, -1);
        }
        let nodes = &self.nodes;
        if let Some(kind) = self.pods.get_mut(id).and_then(|entry| entry.kind.take()) {
            self.counts.place(kind, at, -1, |topologies, key| topologies.key(key, nodes));
        }
    }

    /// A node without `pods` among its allocatable resources takes none, in a cluster as well as here; in a file
    /// written by hand that is seldom meant.
    fn warn_of_nodes_without_room(&self, warnings: &mut Vec<String>) {
        let mut without = self.nodes.all().filter(|state| state.resources.allowed_pods == 0);
        if let Some(first) = without.next() {
            warnings.push(format!(
                "{} nodes allow no pods, such as `{}`: `status.allocatable` has no `pods`",
                1 + without.count(),
                first.name(),
            ));
        }
    }

    /// Whether failures are explained from now on, as [`Options`] have it.
    pub(crate) fn set_explanations(&mut self, explain: bool, in_full: bool) {
        let options = Arc::make_mut(&mut self.options);
        (options.explain, options.explain_in_full) = (explain, in_full);
    }

    /// What a pod needs of its node.
    pub(crate) fn needs(&mut self, pod: &Pod) -> PodNeeds {
        PodNeeds::new(pod, self.options.gates.enabled("PodLevelResources"), &mut self.names)
    }

    /// Takes note of the resources among a pod's needs that devices may stand in for.
    pub(super) fn note_delegated(&mut self, needs: &PodNeeds) {
        let Some(classes) = &self.classes else { return };
        for &(id, _) in needs.amounts.scalars() {
            if classes.class(self.names.name(id)).is_some() {
                self.delegated.insert(id);
            }
        }
    }

    /// The device classes behind extended resources, where the gate is on.
    pub(crate) fn classes(&self) -> Option<&ResourceClasses> {
        self.classes.as_deref()
    }

    /// The claim for the extended resources of a pod that devices must provide on a node.
    pub(crate) fn extended_claim(
        &mut self,
        plan: &mut DevicePlan,
        pod: &Pod,
        at: usize,
    ) -> Option<ResourceClaim> {
        let state = self.nodes.get(at)?;
        plan.extended_claim(pod, state, &mut self.claims, &mut self.devices, &self.names)
    }

    /// From now on takes this node where it is among several best ones, to replay what a scheduler decided; with
    /// `None` always the first by name.
    pub fn prefer(&mut self, node: Option<usize>) {
        self.ties = node.map_or(Ties::ByName, Ties::Wanted);
    }

    /// From now on takes for each of these pods its node where that is among several best ones, and of several best parts
    /// of a topology one that has such a node, to replay what a scheduler decided about a group.
    pub fn prefer_each(&mut self, nodes: impl IntoIterator<Item = (PodId, usize)>) {
        self.wanted = Arc::new(nodes.into_iter().collect());
    }

    /// From now on decides by the numbers of a seed what a scheduler leaves to chance: which of several best nodes a pod
    /// gets, and with which nodes searches begin.
    pub fn leave_to_chance(&mut self, seed: u64) {
        self.ties = Ties::Random(Random::new(seed));
        self.next_start = self.ties.begin(self.nodes.len());
    }

    /// Number of pods that have ended.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// Whether a pod waits for a node.
    pub fn is_pending(&self, id: PodId) -> bool {
        self.pods.get(id).is_some_and(|entry| entry.place == PodPlace::Pending)
    }

    /// Pods in the order of the scheduler's queue.
    pub fn in_queue_order(&self, mut pods: Vec<PodId>) -> Vec<PodId> {
        pods.sort_by(|&left, &right| match (self.pods.get(left), self.pods.get(right)) {
            (Some(left), Some(right)) => queue::order(&left.pod, &right.pod),
            _ => left.cmp(&right),
        });
        pods
    }
}

/// Pods that another scheduler would place are treated like the rest, which should not go unsaid.
fn warn_of_other_schedulers(pending: &[&Arc<Pod>], warnings: &mut Vec<String>) {
    let is_other = |name: &str| !name.is_empty() && name != "default-scheduler";
    let mut others = pending.iter().filter(|pod| is_other(&pod.spec.scheduler_name));
    let Some(first) = others.next() else { return };
    warnings.push(format!(
        "{} pending pods name another scheduler, such as `{}` of pod `{}`; they are placed like the others",
        1 + others.count(),
        first.spec.scheduler_name,
        first.metadata.full_name(),
    ));
}
