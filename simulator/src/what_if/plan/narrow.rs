//! On which nodes pods can be at all, for other reasons than their devices.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drayage_cluster::objects::Pod;
use rustc_hash::FxHashMap;

use crate::report::{PodOutcome, Reason};
use crate::schedule::{ClusterState, PodId, SimulateError};

/// More groups of pods are not told apart: of further ones every node is taken for possible.
const MOST_GROUPS: usize = 64;

/// Plugins whose refusals may end when other pods get their places.
const MAY_CHANGE: [&str; 3] = ["DynamicResources", "InterPodAffinity", "PodTopologySpread"];

/// Namespace and labels.
type Labelled<'p> = (&'p str, &'p BTreeMap<String, String>);

/// For each pod the nodes that do not refuse it even without all pods that may move; `None` is all of these nodes. What
/// refuses a pod here refuses it in every layout.
pub(super) fn nodes(
    state: &ClusterState,
    pods: &[PodId],
    movable: &[PodId],
    nodes: &BTreeSet<usize>,
    cancel: &AtomicBool,
) -> Result<Vec<Option<Rc<BTreeSet<usize>>>>, SimulateError> {
    let mut empty = state.clone();
    for &id in movable {
        empty.evict(id);
    }
    let mut groups: FxHashMap<Labelled<'_>, Vec<(Pod, usize)>> = FxHashMap::default();
    let mut found: Vec<Option<Rc<BTreeSet<usize>>>> = Vec::new();
    let mut of_pods = Vec::new();
    for &id in pods {
        let Some((pod, _)) = state.pod(id) else {
            of_pods.push(None);
            continue;
        };
        let bare = without_claims(pod);
        let known = groups.entry((pod.metadata.namespace.as_str(), &pod.metadata.labels)).or_default();
        if let Some((_, group)) = known.iter().find(|(other, _)| other.spec == bare.spec) {
            of_pods.push(found.get(*group).cloned().flatten());
            continue;
        }
        let reachable =
            if found.len() < MOST_GROUPS { reachable(&empty, bare.clone(), nodes, cancel)? } else { None };
        known.push((bare, found.len()));
        found.push(reachable.clone());
        of_pods.push(reachable);
    }
    Ok(of_pods)
}

/// A pod as others than the plugin for devices see it.
fn without_claims(pod: &Pod) -> Pod {
    let mut bare = pod.clone();
    bare.spec.node_name = None;
    bare.spec.resource_claims.clear();
    bare
}

fn reachable(
    empty: &ClusterState,
    mut bare: Pod,
    nodes: &BTreeSet<usize>,
    cancel: &AtomicBool,
) -> Result<Option<Rc<BTreeSet<usize>>>, SimulateError> {
    // A pod of its own, in the place of the one that is meant.
    bare.metadata.name = format!("{}-of-the-plan", bare.metadata.name);
    bare.metadata.uid = format!("{}-of-the-plan", bare.metadata.uid);
    let mut fork = empty.clone();
    let copy = fork.add_pod(Arc::new(bare));
    let mut reachable = BTreeSet::new();
    for &at in nodes {
        let attempt = fork.clone().attempt_on(&[at], copy, cancel)?;
        let lasting = |reason: &Reason| !MAY_CHANGE.contains(&reason.plugin.as_str());
        if attempt.outcome != PodOutcome::Unschedulable || !attempt.reasons.iter().any(lasting) {
            reachable.insert(at);
        }
    }
    Ok((reachable.len() < nodes.len()).then(|| Rc::new(reachable)))
}
