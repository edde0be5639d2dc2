//! Nodes that cluster-autoscaler would remove.

use std::collections::BTreeMap;

use drayage_allocator::objects::ResourceSlice;

use crate::report::{API_VERSION, NodeRemoval, NodeUtilisation, PoolShare, RemovalReport};
use crate::schedule::{ClusterState, Observer, SimulateError};

use super::drain::{DrainOptions, Removals, TO_BE_DELETED, assumed, is_daemon_set_pod, is_mirror_pod};
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

const APPROXIMATIONS: [&str; 3] = [
    "nodes without pods to move come first, then by name; cluster-autoscaler prefers those it found unneeded before",
    "how long a node was unneeded, recent additions, limits of the cluster and of parallel removals are not looked at",
    "GPUs of device plugins count as no reason of their own: such nodes go by CPU and memory",
];

const DISABLED: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

/// Looks at every node.
pub fn scale_down(
    ground: &Ground<'_>,
    question: &ScaleDownQuestion,
    observer: &mut dyn Observer,
) -> Result<RemovalReport, SimulateError> {
    let mut state = ground.state();
    let mut removals = Removals::new(ground, &state, question.drain.clone());
    let mut local: BTreeMap<String, Vec<ResourceSlice>> = BTreeMap::new();
    for slice in state.slices() {
        if let Some(name) = slice.node_name.clone().filter(|name| !name.is_empty()) {
            local.entry(name).or_default().push(slice.clone());
        }
    }
    let mut sizes: Vec<usize> = question.groups.iter().map(|group| group.current_size).collect();
    let mut candidates = Vec::new();
    let mut nodes = Vec::new();
    for &at in state.node_numbers().iter() {
        let name = state.node(at).map(|node| node.metadata.name.clone()).unwrap_or_default();
        let slices = local.get(&name).map_or(&[][..], Vec::as_slice);
        let (mut removal, eligible) = eligibility(&state, at, slices, question);
        let group = group_of(&state, at, &question.groups);
        removal.group = group.and_then(|at| question.groups.get(at)).map(|group| group.name.clone());
        if eligible {
            candidates.push((has_movers(&state, at), name, at, group, removal));
        } else {
            nodes.push(removal);
        }
    }
    candidates.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
    let mut saved = Some(0.0);
    let total = candidates.len();
    let mut looked_at = Vec::new();
    for (done, (_, _, at, group, mut removal)) in candidates.into_iter().enumerate() {
        observer.progress(done, total);
        let of_group = group.and_then(|at| Some((question.groups.get(at)?, sizes.get_mut(at)?)));
        if let Some((group, size)) = &of_group
            && **size <= group.min_size
        {
            removal.reason = Some("NodeGroupMinSizeReached");
            looked_at.push(removal);
            continue;
        }
        let found = removals.remove(&mut state, at, |_| true)?;
        if found.removable {
            let price = of_group.as_ref().and_then(|(group, _)| group.price);
            saved = saved.and_then(|saved| Some(saved + price?));
            if let Some((_, size)) = of_group {
                *size -= 1;
            }
        }
        looked_at.push(NodeRemoval { group: removal.group, utilisation: removal.utilisation, ..found });
    }
    looked_at.extend(nodes);
    let assumptions: Vec<&str> = APPROXIMATIONS.into_iter().chain(assumed(&question.drain)).collect();
    let removable = looked_at.iter().filter(|node| node.removable).count();
    Ok(RemovalReport {
        api_version: API_VERSION,
        kind: "ScaleDownReport",
        assumptions: ground.assumptions(&state, &assumptions),
        removable,
        nodes: looked_at,
        saved_per_hour: saved.filter(|_| removable > 0),
    })
}

fn group_of(state: &ClusterState, at: usize, groups: &[Group]) -> Option<usize> {
    let node = state.node(at)?;
    groups.iter().position(|group| group.has_member(node))
}

fn has_movers(state: &ClusterState, at: usize) -> bool {
    state
        .pods_on(at)
        .iter()
        .any(|&id| state.pod(id).is_some_and(|(pod, _)| !is_daemon_set_pod(pod) && !is_mirror_pod(pod)))
}

/// Whether a node is looked at, in the order of cluster-autoscaler's checks.
fn eligibility(
    state: &ClusterState,
    at: usize,
    slices: &[ResourceSlice],
    question: &ScaleDownQuestion,
) -> (NodeRemoval, bool) {
    let Some(node) = state.node(at) else { return (NodeRemoval::default(), false) };
    let mut removal = NodeRemoval { node: node.metadata.name.clone(), ..NodeRemoval::default() };
    let mut refuse = |reason: &'static str, message: Option<String>| {
        removal.reason = Some(reason);
        removal.message = message;
    };
    if node.taints.iter().any(|taint| taint.key == TO_BE_DELETED) {
        refuse("CurrentlyBeingDeleted", None);
        return (removal, false);
    }
    if node.metadata.annotations.get(DISABLED).is_some_and(|value| value == "true") {
        refuse("ScaleDownDisabledAnnotation", None);
        return (removal, false);
    }
    if !question.groups.is_empty() && group_of(state, at, &question.groups).is_none() {
        refuse("NotAutoscaled", None);
        return (removal, false);
    }
    match of_node(state, at, slices) {
        Err(message) => {
            refuse("UnexpectedError", Some(message));
            (removal, false)
        }
        Ok(found) => {
            let fits = found.share <= question.threshold;
            if !fits {
                let message = format!("{} is used to {:.1} %", found.resource, found.share * 100.0);
                refuse("NotUnderutilized", Some(message));
            }
            removal.utilisation = Some(found);
            (removal, fits)
        }
    }
}

/// How full a node is: its fullest pool if it has any, else the fuller of CPU and memory.
pub fn of_node(
    state: &ClusterState,
    at: usize,
    local_slices: &[ResourceSlice],
) -> Result<NodeUtilisation, String> {
    #[expect(clippy::cast_precision_loss, reason = "upstream computes in floats as well")]
    let share = |(part, whole): (i64, i64)| if whole == 0 { None } else { Some(part as f64 / whole as f64) };
    let usage = state.node_use(at).unwrap_or_default();
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
    let held: Vec<_> = claims.filter_map(|claim| state.claim(claim)?.allocation.cloned()).collect();
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
