//! What pods of a kind want of their neighbours, with counters for each wish.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_cluster::Snapshot;
use drayage_cluster::objects::{LabelSelector, TopologySpreadConstraint, WorkloadKind};

use super::counts::{Count, CounterId, Kind, Place, PodCounts, Subject, Term, merge};
use crate::schedule::nodes::Nodes;
use crate::schedule::pods::Pods;
use crate::schedule::profile::SchedulerProfile;
use crate::schedule::topology::TopologyKey;

/// What pods of a kind want.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    /// Required affinity: by term, pods that all terms select.
    pub(super) near: Vec<(CounterId, TopologyKey)>,
    /// Whether all terms of the required affinity select the pod itself.
    pub(super) near_itself: bool,
    /// Required anti-affinity, by term.
    pub(super) far: Vec<(CounterId, TopologyKey)>,
    /// Preferred terms with their weights, which are negative for anti-affinity.
    pub(super) preferred: Vec<(CounterId, TopologyKey, i64)>,
    pub(super) hard: Vec<Spread>,
    pub(super) soft: Vec<Spread>,
    /// Whether the soft constraints are the pod's own, so that nodes without their labels are not scored.
    pub(super) own_soft: bool,
}

/// A constraint of topology spread.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    pub(super) key: TopologyKey,
    /// Whether the label is that of the node's own name.
    pub(super) by_host: bool,
    /// Counts by node; `None` where no pod is selected.
    pub(super) counter: Option<CounterId>,
    pub(super) max_skew: i64,
    pub(super) counts_itself: bool,
    pub(super) min_domains: usize,
    pub(super) honors_affinity: bool,
    pub(super) honors_taints: bool,
}

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What pods belong together by default: those of a Service, ReplicaSet or StatefulSet.
#[derive(Clone, Debug, Default)]
pub(crate) struct DefaultSelectors {
    /// Namespace and selector of each Service.
    services: Vec<(String, BTreeMap<String, String>)>,
    /// By kind, namespace and name.
    workloads: BTreeMap<(WorkloadKind, String, String), LabelSelector>,
    /// The constraints of each profile that has its own in place of the system's.
    constraints: Vec<Option<Vec<TopologySpreadConstraint>>>,
}

impl DefaultSelectors {
    pub(crate) fn new(objects: &Snapshot, profiles: &[SchedulerProfile]) -> Self {
        let selecting = objects
            .services
            .iter()
            .filter_map(|service| Some((service.metadata.namespace.clone(), service.selector.clone()?)));
        let workloads = objects.workloads.iter().filter_map(|workload| {
            let metadata = &workload.metadata;
            let key = (workload.kind, metadata.namespace.clone(), metadata.name.clone());
            Some((key, workload.selector.clone()?))
        });
        let constraints = profiles.iter().map(|profile| profile.default_constraints.clone()).collect();
        Self { services: selecting.collect(), workloads: workloads.collect(), constraints }
    }

    /// The selector for a pod; `None` where it belongs to nothing.
    fn of(&self, kind: &Kind) -> Option<LabelSelector> {
        let mut selector = LabelSelector::default();
        for (namespace, wanted) in &self.services {
            let matches = wanted.iter().all(|(key, value)| kind.labels.get(key) == Some(value));
            if *namespace == kind.namespace && matches {
                selector.match_labels.extend(wanted.clone());
            }
        }
        if let Some((owner, name)) = &kind.owner {
            let of = |workload, name: &str| {
                self.workloads.get(&(workload, kind.namespace.clone(), name.to_owned()))
            };
            let found = match owner.as_str() {
                "StatefulSet" => of(WorkloadKind::StatefulSet, name).cloned(),
                "ReplicaSet" => of(WorkloadKind::ReplicaSet, name).cloned().or_else(|| {
                    // The ReplicaSet of a Deployment need not be in the input.
                    let hash = kind.labels.get("pod-template-hash")?;
                    let deployment = name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
                    let mut selector = of(WorkloadKind::Deployment, deployment)?.clone();
                    selector.match_labels.insert("pod-template-hash".to_owned(), hash.clone());
                    Some(selector)
                }),
                _ => None,
            };
            if let Some(found) = found {
                selector.match_labels.extend(found.match_labels);
                selector.match_expressions.extend(found.match_expressions);
            }
        }
        let is_empty = selector.match_labels.is_empty() && selector.match_expressions.is_empty();
        (!is_empty).then_some(selector)
    }
}

/// Finds out what pods of a kind want, once.
pub(crate) fn wants(
    counts: &mut PodCounts,
    kind: u32,
    nodes: &Nodes,
    pods: &Pods,
    defaults: &DefaultSelectors,
) -> Arc<Wants> {
    if let Some(known) = counts.known_wants(kind) {
        return known;
    }
    let Some(of_kind) = counts.of_kind(kind).cloned() else { return Arc::default() };
    let mut wants = Wants::default();
    let terms = |list: &[drayage_cluster::objects::PodAffinityTerm]| -> Vec<Term> {
        list.iter().map(|term| Term::new(term, &of_kind)).collect()
    };
    let selected = |counts: &mut PodCounts, terms: Vec<Term>, key: &str| {
        let key = counts.topologies.key(key, nodes);
        let subject = Subject::Selected { terms, with_deleting: true };
        (counts.counter(Count { subject, place: Place::Topology(key) }, pods), key)
    };
    let near = terms(&of_kind.affinity.required);
    wants.near_itself =
        !near.is_empty() && near.iter().all(|term| term.selects(&of_kind, &counts.namespaces));
    for term in &of_kind.affinity.required {
        wants.near.push(selected(counts, near.clone(), &term.topology_key));
    }
    for term in &of_kind.anti_affinity.required {
        wants.far.push(selected(counts, vec![Term::new(term, &of_kind)], &term.topology_key));
    }
    let near = of_kind.affinity.preferred.iter().map(|(weight, term)| (*weight, term));
    let far = of_kind.anti_affinity.preferred.iter().map(|(weight, term)| (-weight, term));
    for (weight, term) in near.chain(far) {
        let (counter, key) = selected(counts, vec![Term::new(term, &of_kind)], &term.topology_key);
        wants.preferred.push((counter, key, weight));
    }
    for constraint in &of_kind.spread {
        let spread = own_spread(counts, constraint, &of_kind, nodes, pods);
        if constraint.required { wants.hard.push(spread) } else { wants.soft.push(spread) }
    }
    let configured = defaults.constraints.get(of_kind.profile).and_then(Option::as_ref);
    wants.own_soft = !of_kind.spread.is_empty() || configured.is_some();
    if of_kind.spread.is_empty()
        && let Some(selector) = defaults.of(&of_kind)
    {
        if let Some(configured) = configured {
            for constraint in configured {
                let constraint = TopologySpreadConstraint {
                    selector: Some(selector.clone()),
                    match_label_keys: Vec::new(),
                    ..constraint.clone()
                };
                let spread = own_spread(counts, &constraint, &of_kind, nodes, pods);
                if constraint.required { wants.hard.push(spread) } else { wants.soft.push(spread) }
            }
            let wants = Arc::new(wants);
            counts.remember_wants(kind, &wants);
            return wants;
        }
        for (key, max_skew) in [(HOST, 3), (ZONE, 5)] {
            let constraint = TopologySpreadConstraint {
                max_skew,
                topology_key: key.to_owned(),
                required: false,
                selector: Some(selector.clone()),
                min_domains: 1,
                honors_affinity: true,
                honors_taints: false,
                match_label_keys: Vec::new(),
            };
            wants.soft.push(own_spread(counts, &constraint, &of_kind, nodes, pods));
        }
    }
    let wants = Arc::new(wants);
    counts.remember_wants(kind, &wants);
    wants
}

fn own_spread(
    counts: &mut PodCounts,
    constraint: &TopologySpreadConstraint,
    kind: &Kind,
    nodes: &Nodes,
    pods: &Pods,
) -> Spread {
    let mut selector = constraint.selector.clone();
    if let Some(selector) = &mut selector {
        merge(selector, &constraint.match_label_keys, "In", &kind.labels);
    }
    let counts_itself = selector.as_ref().is_some_and(|selector| selector.matches(&kind.labels));
    // A selector that selects everything counts nothing: so upstream has it.
    let counting = selector
        .filter(|selector| !selector.match_labels.is_empty() || !selector.match_expressions.is_empty());
    let counter = counting.map(|selector| {
        let terms = vec![Term::in_namespace(&kind.namespace, selector)];
        let subject = Subject::Selected { terms, with_deleting: false };
        counts.counter(Count { subject, place: Place::Node }, pods)
    });
    Spread {
        key: counts.topologies.key(&constraint.topology_key, nodes),
        by_host: constraint.topology_key == HOST,
        counter,
        max_skew: i64::from(constraint.max_skew),
        counts_itself,
        min_domains: usize::try_from(constraint.min_domains).unwrap_or(0),
        honors_affinity: constraint.honors_affinity,
        honors_taints: constraint.honors_taints,
    }
}
