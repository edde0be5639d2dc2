//! Nodes that cluster-autoscaler would remove.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::ResourceSlice;
use drayage_cluster::objects::Pod;

use crate::report::{API_VERSION, NodeRemoval, NodeUtilisation, PoolShare, RemovalReport};
use crate::schedule::{ClusterState, Observer, SimulateError};

use super::drain::{
    DrainOptions, Drainability, Removals, TO_BE_DELETED, assumed, drainability, is_long_terminating,
};
use super::ground::Ground;
use super::node_groups::Group;
use super::utilisation;

/// What is asked.
#[derive(Clone, Debug)]
pub struct ScaleDownQuestion {
    /// `scale-down-utilization-threshold`: nodes that are fuller stay.
    pub threshold: f64,
    /// Flags about drains.
    pub drain: DrainOptions,
    /// Node groups; without any, every node may go.
    pub groups: Vec<Group>,
}

const APPROXIMATIONS: [&str; 4] = [
    "where a group would fall below its least size, the nodes looked at first go; cluster-autoscaler's choice is random",
    "nodes without pods to move come first, then by name; cluster-autoscaler prefers those it found unneeded before",
    "how long a node was unneeded, recent additions, limits of the cluster and of parallel removals are not looked at",
    "GPUs of device plugins count as no reason of their own: such nodes go by CPU and memory",
];

const DISABLED: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

/// A node that cluster-autoscaler looks at.
struct Candidate {
    /// Empty nodes come first, those whose last pods end on their own behind the others.
    rank: (bool, bool),
    at: usize,
    group: Option<usize>,
    removal: NodeRemoval,
}

/// Looks at every node.
pub fn scale_down(
    ground: &Ground<'_>,
    question: &ScaleDownQuestion,
    observer: &mut dyn Observer,
) -> Result<RemovalReport, SimulateError> {
    scale_down_in(ground, &mut ground.state(), question, observer)
}

/// As [`scale_down`], from a state, from which the nodes that can go are gone afterwards.
pub(crate) fn scale_down_in(
    ground: &Ground<'_>,
    state: &mut ClusterState,
    question: &ScaleDownQuestion,
    observer: &mut dyn Observer,
) -> Result<RemovalReport, SimulateError> {
    let mut removals = Removals::new(ground, state, question.drain.clone());
    let mut local: BTreeMap<String, Vec<ResourceSlice>> = BTreeMap::new();
    for slice in state.slices() {
        if let Some(name) = slice.node_name.clone().filter(|name| !name.is_empty()) {
            local.entry(name).or_default().push(slice.clone());
        }
    }
    let mut sizes: Vec<usize> = question.groups.iter().map(|group| group.current_size).collect();
    let (mut candidates, others) = candidates(state, question);
    let mut looked_at = Vec::new();
    candidates.retain_mut(|candidate| {
        let slices = local.get(&candidate.removal.node).map_or(&[][..], Vec::as_slice);
        let eligible = eligibility(state, candidate.at, slices, question, &mut candidate.removal);
        if !eligible {
            looked_at.push(candidate.removal.clone());
        }
        eligible
    });
    let mut saved = Some(0.0);
    let total = candidates.len();
    let mut found = Vec::new();
    for (done, Candidate { at, group, removal, .. }) in candidates.into_iter().enumerate() {
        observer.progress(done, total);
        let mut removed = removals.remove(state, at, |_| true)?;
        let of_group = group.and_then(|at| Some((question.groups.get(at)?, sizes.get_mut(at)?)));
        if removed.removable {
            match of_group {
                // Found unneeded all the same: later nodes are looked at as if it were gone.
                Some((group, size)) if *size <= group.min_size => {
                    removed.removable = false;
                    removed.reason = Some("NodeGroupMinSizeReached");
                }
                of_group => {
                    let price = of_group.as_ref().and_then(|(group, _)| group.price);
                    saved = saved.and_then(|saved| Some(saved + price?));
                    if let Some((_, size)) = of_group {
                        *size -= 1;
                    }
                }
            }
        }
        found.push(NodeRemoval { group: removal.group, utilisation: removal.utilisation, ..removed });
    }
    found.extend(looked_at.into_iter().chain(others));
    let assumptions: Vec<&str> = APPROXIMATIONS.into_iter().chain(assumed(&question.drain)).collect();
    let removable = found.iter().filter(|node| node.removable).count();
    Ok(RemovalReport {
        api_version: API_VERSION,
        kind: "ScaleDownReport",
        assumptions: ground.assumptions(state, &assumptions),
        removable,
        nodes: found,
        saved_per_hour: saved.filter(|_| removable > 0),
    })
}

/// The nodes of groups that may shrink, in the order in which they are looked at, and the others.
fn candidates(state: &ClusterState, question: &ScaleDownQuestion) -> (Vec<Candidate>, Vec<NodeRemoval>) {
    let (mut candidates, mut others) = (Vec::new(), Vec::new());
    for &at in state.node_numbers().iter() {
        let name = state.node(at).map(|node| node.metadata.name.clone()).unwrap_or_default();
        let group = group_of(state, at, &question.groups);
        let of_group = group.and_then(|at| question.groups.get(at));
        let mut removal = NodeRemoval {
            node: name,
            group: of_group.map(|group| group.name.clone()),
            ..NodeRemoval::default()
        };
        removal.reason = match of_group {
            None if !question.groups.is_empty() => Some("NotAutoscaled"),
            Some(group) if group.current_size <= group.min_size => Some("NodeGroupMinSizeReached"),
            _ => None,
        };
        if removal.reason.is_some() {
            others.push(removal);
        } else {
            candidates.push(Candidate { rank: emptiness(state, at, question), at, group, removal });
        }
    }
    candidates.sort_by_key(|candidate| candidate.rank);
    (candidates, others)
}

fn group_of(state: &ClusterState, at: usize, groups: &[Group]) -> Option<usize> {
    let node = state.node(at)?;
    groups.iter().position(|group| group.has_member(node))
}

/// Whether pods keep the node from being empty, and whether pods that end on their own are all that is left. Neither
/// budgets nor missing controllers count here, as upstream.
fn emptiness(state: &ClusterState, at: usize, question: &ScaleDownQuestion) -> (bool, bool) {
    let options = DrainOptions { missing_controllers_block: false, ..question.drain.clone() };
    let mut waits = false;
    for &id in state.pods_on(at) {
        let Some((pod, _)) = state.pod(id) else { continue };
        match drainability(pod, &[], &[], |_| 0, &options) {
            Drainability::Moves | Drainability::Blocks(_) => return (true, false),
            Drainability::WaitsForCompletion => waits = true,
            Drainability::Skipped | Drainability::DaemonSet => {}
        }
    }
    (false, waits)
}

/// Whether a node is looked at, in the order of cluster-autoscaler's checks; if not, the reason is noted.
fn eligibility(
    state: &mut ClusterState,
    at: usize,
    slices: &[ResourceSlice],
    question: &ScaleDownQuestion,
    removal: &mut NodeRemoval,
) -> bool {
    let Some(node) = state.node(at) else { return false };
    if node.taints.iter().any(|taint| taint.key == TO_BE_DELETED) {
        removal.reason = Some("CurrentlyBeingDeleted");
        return false;
    }
    if node.metadata.annotations.get(DISABLED).is_some_and(|value| value == "true") {
        removal.reason = Some("ScaleDownDisabledAnnotation");
        return false;
    }
    match of_node(state, at, slices, &question.drain) {
        Err(message) => {
            removal.reason = Some("UnexpectedError");
            removal.message = Some(message);
            false
        }
        Ok(found) => {
            let fits = found.share <= question.threshold;
            if !fits {
                let message = format!("{} is used to {:.1} %", found.resource, found.share * 100.0);
                removal.reason = Some("NotUnderutilized");
                removal.message = Some(message);
            }
            removal.utilisation = Some(found);
            fits
        }
    }
}

/// How full a node is: its fullest pool if it has any, else the fuller of CPU and memory, without pods that have been
/// terminating for long.
fn of_node(
    state: &mut ClusterState,
    at: usize,
    local_slices: &[ResourceSlice],
    options: &DrainOptions,
) -> Result<NodeUtilisation, String> {
    #[expect(clippy::cast_precision_loss, reason = "upstream computes in floats as well")]
    let share = |(part, whole): (i64, i64)| if whole == 0 { None } else { Some(part as f64 / whole as f64) };
    let mut usage = state.node_use(at).unwrap_or_default();
    let pods = state.pods_on(at).iter().filter_map(|&id| Some(Arc::clone(state.pod(id)?.0)));
    let gone: Vec<Arc<Pod>> = pods.filter(|pod| is_long_terminating(pod, options)).collect();
    for pod in gone {
        let needs = state.needs(&pod).amounts;
        usage.milli_cpu.0 -= needs.milli_cpu;
        usage.memory.0 -= needs.memory;
    }
    let (cpu, memory) = (share(usage.milli_cpu), share(usage.memory));
    let mut found = NodeUtilisation {
        cpu: cpu.unwrap_or(0.0),
        memory: memory.unwrap_or(0.0),
        ..NodeUtilisation::default()
    };
    if local_slices.is_empty() {
        let (Some(cpu), Some(memory)) = (cpu, memory) else {
            return Err("the node has no allocatable cpu or memory".to_owned());
        };
        let (resource, highest) = if cpu > memory { ("cpu", cpu) } else { ("memory", memory) };
        (found.resource, found.share) = (resource.to_owned(), highest);
        return Ok(found);
    }
    let claims = state.pods_on(at).iter().flat_map(|&id| state.claims_of(id));
    let mut held = Vec::new();
    for claim in claims.filter_map(|claim| state.claim(claim)) {
        let Some(allocation) = claim.allocation else {
            return Err(format!("claim {} not allocated", claim.spec.full_name()));
        };
        held.push(allocation.clone());
    }
    let pools = utilisation::of_pools(local_slices, &held).map_err(|error| error.to_string())?;
    for pool in pools {
        if pool.share >= found.share {
            (found.resource, found.share) = (pool.pool.to_string(), pool.share);
        }
        found.pools.push(PoolShare {
            pool: pool.pool.to_string(),
            share: pool.share,
            held: pool.devices.0,
            devices: pool.devices.1,
            counter_sets: pool.counter_sets,
        });
    }
    Ok(found)
}
