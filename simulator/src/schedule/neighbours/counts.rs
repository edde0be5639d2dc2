//! How many pods there are where, of those that a selector selects or that have a wish about other pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::NodeSelectorRequirement;
use drayage_allocator::persistent::List;
use drayage_cluster::objects::{LabelSelector, Pod, PodAffinity, PodAffinityTerm, TopologySpreadConstraint};
use rustc_hash::FxHashMap;

use super::sums::SpreadSums;
use super::wants::Wants;
use crate::schedule::interner::Interner;
use crate::schedule::pods::{PodPlace, Pods};
use crate::schedule::topology::{Topologies, TopologyKey};

/// What matters of a pod to its neighbours: pods that agree in it are counted alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Whether it is being deleted.
    deleting: bool,
    pub(crate) affinity: PodAffinity,
    pub(crate) anti_affinity: PodAffinity,
    pub(crate) spread: Vec<TopologySpreadConstraint>,
    /// Kind and name of its controller.
    pub(crate) owner: Option<(String, String)>,
    /// The profile that schedules such pods; it may have default constraints of its own.
    pub(crate) profile: usize,
}

impl Kind {
    fn new(pod: &Pod, profile: usize) -> Self {
        Self {
            profile,
            namespace: pod.metadata.namespace.clone(),
            labels: pod.metadata.labels.clone(),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            affinity: pod.spec.pod_affinity.clone(),
            anti_affinity: pod.spec.pod_anti_affinity.clone(),
            spread: pod.spec.topology_spread.clone(),
            owner: pod.metadata.controller().map(|owner| (owner.kind.clone(), owner.name.clone())),
        }
    }

    /// Its terms, what each is about, and the label by which it counts.
    fn terms(&self) -> impl Iterator<Item = (Term, Role, &str)> {
        let (near, far) = (&self.affinity, &self.anti_affinity);
        let required = near.required.iter().map(|term| (term, Role::Near));
        let required_far = far.required.iter().map(|term| (term, Role::Far));
        let preferred = near.preferred.iter().map(|(weight, term)| (term, Role::Preferred(*weight)));
        let preferred_far = far.preferred.iter().map(|(weight, term)| (term, Role::Preferred(-weight)));
        required
            .chain(required_far)
            .chain(preferred)
            .chain(preferred_far)
            .map(|(term, role)| (Term::new(term, self), role, term.topology_key.as_str()))
    }
}

/// A term of an affinity, with the namespaces that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    namespaces: Vec<String>,
    namespace_selector: Option<LabelSelector>,
    selector: Option<LabelSelector>,
}

impl Term {
    pub(crate) fn new(term: &PodAffinityTerm, of: &Kind) -> Self {
        let mut namespaces = term.namespaces.clone();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(of.namespace.clone());
        }
        namespaces.sort();
        let mut selector = term.selector.clone();
        if let Some(selector) = &mut selector {
            merge(selector, &term.match_label_keys, "In", &of.labels);
            merge(selector, &term.mismatch_label_keys, "NotIn", &of.labels);
        }
        Self { namespaces, namespace_selector: term.namespace_selector.clone(), selector }
    }

    /// Pods of one namespace.
    pub(crate) fn in_namespace(namespace: &str, selector: LabelSelector) -> Self {
        Self { namespaces: vec![namespace.to_owned()], namespace_selector: None, selector: Some(selector) }
    }

    /// Whether it means pods of a kind.
    pub(crate) fn selects(&self, kind: &Kind, namespaces: &Namespaces) -> bool {
        let in_namespace = self.namespaces.contains(&kind.namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| namespaces.matches(selector, kind));
        in_namespace && self.selector.as_ref().is_some_and(|selector| selector.matches(&kind.labels))
    }
}

/// Adds the pod's own values of labels to a selector, as the API server does.
pub(crate) fn merge(
    selector: &mut LabelSelector,
    keys: &[String],
    operator: &str,
    labels: &BTreeMap<String, String>,
) {
    for key in keys {
        let Some(value) = labels.get(key) else { continue };
        let requirement = NodeSelectorRequirement {
            key: key.clone(),
            operator: operator.to_owned(),
            values: vec![value.clone()],
        };
        if !selector.match_expressions.contains(&requirement) {
            selector.match_expressions.push(requirement);
        }
    }
}

/// Labels of namespaces. One that is not in the input has only the label that every namespace has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces(pub(crate) BTreeMap<String, BTreeMap<String, String>>);

impl Namespaces {
    fn matches(&self, selector: &LabelSelector, kind: &Kind) -> bool {
        let mut labels = self.0.get(&kind.namespace).cloned().unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), kind.namespace.clone());
        selector.matches(&labels)
    }
}

/// What a pod's term is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Required affinity.
    Near,
    /// Required anti-affinity.
    Far,
    /// Preferred, with its weight; negative for anti-affinity.
    Preferred(i64),
}

/// Which pods a counter counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Those that all terms select.
    Selected { terms: Vec<Term>, with_deleting: bool },
    /// Those that have a term.
    Having(Term, Role),
}

/// By what a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Node,
    Topology(TopologyKey),
}

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) subject: Subject,
    pub(crate) place: Place,
}

/// A counter by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CounterId(u32);

/// What was found out about a kind of pods.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// How many counters were looked at.
    seen: usize,
    /// Counters that count such pods, and how often.
    counted_by: Arc<Vec<(CounterId, i64)>>,
    /// How many counters of terms were looked at.
    terms_seen: usize,
    /// Counters of terms that select such pods.
    wanted_by: Arc<Vec<CounterId>>,
    /// Whether counters for its own terms exist.
    registered: bool,
    wants: Option<Arc<Wants>>,
}

/// Counters of pods. Copies share what does not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodCounts {
    pub(crate) topologies: Topologies,
    pub(super) namespaces: Arc<Namespaces>,
    counters: Interner<Count>,
    counts: List<List<i64>>,
    /// By counter, for those by node: what was counted, one after the other, as node and number.
    journals: List<List<(u32, i64)>>,
    /// Sums for constraints of topology spread.
    pub(super) sums: SpreadSums,
    /// Counters of pods that have a term.
    of_terms: Arc<Vec<CounterId>>,
    kinds: Interner<Kind>,
    facts: List<Facts>,
}

impl PodCounts {
    pub(crate) fn new(namespaces: Namespaces) -> Self {
        Self { namespaces: Arc::new(namespaces), ..Self::default() }
    }

    /// The number of what matters of a pod that the numbered profile schedules.
    pub(crate) fn kind(&mut self, pod: &Pod, profile: usize) -> u32 {
        let number = u32::try_from(self.kinds.intern(Kind::new(pod, profile))).unwrap_or(u32::MAX);
        if self.facts.len() == number {
            self.facts.push(Facts::default());
        }
        number
    }

    pub(super) fn of_kind(&self, kind: u32) -> Option<&Arc<Kind>> {
        self.kinds.get(kind as usize)
    }

    pub(super) fn known_wants(&self, kind: u32) -> Option<Arc<Wants>> {
        self.facts.get(kind)?.wants.clone()
    }

    pub(super) fn remember_wants(&mut self, kind: u32, wants: &Arc<Wants>) {
        if let Some(facts) = self.facts.get_mut(kind) {
            facts.wants = Some(Arc::clone(wants));
        }
    }

    /// The counter of some pods. A new one counts those that are there.
    pub(super) fn counter(&mut self, count: Count, pods: &Pods) -> CounterId {
        let id = self.number(count);
        if self.counts.len() > id.0 {
            return id;
        }
        self.start_counting();
        let mut times_of: FxHashMap<u32, i64> = FxHashMap::default();
        for (_, entry) in pods.iter() {
            let (PodPlace::Node(at), Some(kind)) = (entry.place, entry.kind) else { continue };
            let times = *times_of.entry(kind).or_insert_with(|| self.times(id, kind));
            if times != 0 {
                self.add(id, at, times);
            }
        }
        id
    }

    fn start_counting(&mut self) {
        self.counts.push(List::default());
        self.journals.push(List::default());
    }

    fn number(&mut self, count: Count) -> CounterId {
        CounterId(u32::try_from(self.counters.intern(count)).unwrap_or(u32::MAX))
    }

    /// How often a counter counts a pod of a kind.
    fn times(&self, id: CounterId, kind: u32) -> i64 {
        let (Some(count), Some(kind)) = (self.counters.get(id.0 as usize), self.of_kind(kind)) else {
            return 0;
        };
        match &count.subject {
            Subject::Selected { terms, with_deleting } => {
                let counts = (*with_deleting || !kind.deleting)
                    && !terms.is_empty()
                    && terms.iter().all(|term| term.selects(kind, &self.namespaces));
                i64::from(counts)
            }
            Subject::Having(term, role) => {
                let has = |(other, other_role, key): &(Term, Role, &str)| {
                    other == term
                        && other_role == role
                        && matches!(count.place, Place::Topology(at) if self.topologies.is(at, key))
                };
                i64::try_from(kind.terms().filter(has).count()).unwrap_or(i64::MAX)
            }
        }
    }

    fn add(&mut self, id: CounterId, at: usize, times: i64) {
        let Some(place) = self.counters.get(id.0 as usize).map(|count| count.place) else { return };
        let value = match place {
            Place::Node => u32::try_from(at).ok(),
            Place::Topology(key) => self.topologies.value(key, at),
        };
        if let (Place::Node, Some(node), Some(journal)) = (place, value, self.journals.get_mut(id.0)) {
            journal.push((node, times));
        }
        let (Some(value), Some(counts)) = (value, self.counts.get_mut(id.0)) else { return };
        while counts.len() <= value {
            counts.push(0);
        }
        if let Some(count) = counts.get_mut(value) {
            *count += times;
        }
    }

    /// A pod of a kind comes to a node, or leaves it (`times` is -1). `key` gives the number of a label.
    pub(crate) fn place(
        &mut self,
        kind: u32,
        at: usize,
        times: i64,
        mut key: impl FnMut(&mut Topologies, &str) -> TopologyKey,
    ) {
        if self.facts.get(kind).is_some_and(|facts| !facts.registered) {
            self.register(kind, &mut key);
        }
        for &(counter, each) in self.counted_by(kind).iter() {
            self.add(counter, at, times * each);
        }
    }

    /// Makes counters for the terms of a kind: so far no pod has them.
    fn register(&mut self, kind: u32, key: &mut impl FnMut(&mut Topologies, &str) -> TopologyKey) {
        let Some(of_kind) = self.of_kind(kind).cloned() else { return };
        for (term, role, label) in of_kind.terms() {
            let place = Place::Topology(key(&mut self.topologies, label));
            let id = self.number(Count { subject: Subject::Having(term, role), place });
            if self.counts.len() == id.0 {
                self.start_counting();
                Arc::make_mut(&mut self.of_terms).push(id);
            }
        }
        if let Some(facts) = self.facts.get_mut(kind) {
            facts.registered = true;
        }
    }

    fn counted_by(&mut self, kind: u32) -> Arc<Vec<(CounterId, i64)>> {
        let Some(facts) = self.facts.get(kind) else { return Arc::default() };
        let (seen, all) = (facts.seen, self.counts.len());
        if seen == all as usize {
            return Arc::clone(&facts.counted_by);
        }
        let unseen = u32::try_from(seen).unwrap_or(u32::MAX)..all;
        let new: Vec<(CounterId, i64)> = unseen
            .map(|number| (CounterId(number), self.times(CounterId(number), kind)))
            .filter(|&(_, times)| times != 0)
            .collect();
        let Some(facts) = self.facts.get_mut(kind) else { return Arc::default() };
        facts.seen = all as usize;
        if !new.is_empty() {
            Arc::make_mut(&mut facts.counted_by).extend(new);
        }
        Arc::clone(&facts.counted_by)
    }

    /// Counters of pods that have terms which select pods of a kind.
    pub(super) fn wanted_by(&mut self, kind: u32) -> Arc<Vec<CounterId>> {
        let (Some(facts), Some(of_kind)) = (self.facts.get(kind), self.of_kind(kind)) else {
            return Arc::default();
        };
        if facts.terms_seen == self.of_terms.len() {
            return Arc::clone(&facts.wanted_by);
        }
        let unseen = self.of_terms.iter().skip(facts.terms_seen).copied();
        let selects = |id: &CounterId| {
            matches!(
                self.counters.get(id.0 as usize).map(|count| &count.subject),
                Some(Subject::Having(term, _)) if term.selects(of_kind, &self.namespaces)
            )
        };
        let new: Vec<CounterId> = unseen.filter(selects).collect();
        let seen = self.of_terms.len();
        let Some(facts) = self.facts.get_mut(kind) else { return Arc::default() };
        facts.terms_seen = seen;
        if !new.is_empty() {
            Arc::make_mut(&mut facts.wanted_by).extend(new);
        }
        Arc::clone(&facts.wanted_by)
    }

    /// Role and label of a counter of terms.
    pub(super) fn term(&self, id: CounterId) -> Option<(Role, TopologyKey)> {
        match self.counters.get(id.0 as usize)?.as_ref() {
            Count { subject: Subject::Having(_, role), place: Place::Topology(key) } => Some((*role, *key)),
            _ => None,
        }
    }

    /// How many pods a counter has counted where the label has a value, or on the node of a number.
    pub(super) fn count(&self, id: CounterId, value: u32) -> i64 {
        self.counts.get(id.0).and_then(|counts| counts.get(value).copied()).unwrap_or(0)
    }

    /// What a counter by node has counted since its journal was so long, as node and number.
    pub(super) fn counted_since(&self, id: CounterId, length: u32) -> impl Iterator<Item = (u32, i64)> {
        let journal = self.journals.get(id.0);
        (length..self.journal_length(id)).filter_map(move |at| journal?.get(at).copied())
    }

    /// How long the journal of a counter is.
    pub(super) fn journal_length(&self, id: CounterId) -> u32 {
        self.journals.get(id.0).map_or(0, List::len)
    }

    /// Whether a counter has counted no pod.
    pub(super) fn counts_none(&self, id: CounterId) -> bool {
        self.counts.get(id.0).is_none_or(|counts| counts.iter().all(|&count| count == 0))
    }
}
