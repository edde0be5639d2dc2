//! Copies of pods, with claims of their own.

use std::collections::BTreeSet;
use std::sync::Arc;

use drayage_cluster::objects::{Claim, ClaimTemplate, Pod, PodStatus, WorkloadSize};
use drayage_cluster::{Snapshot, controllers};

use crate::report::CopiedGang;
use crate::schedule::{ClusterState, PodId, Prepared, SimulateError};

/// A pod, or a gang, that copies are made of.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// What the caller named.
    pub(crate) name: String,
    /// The pod that was named, then the others of its gang.
    pods: Vec<Pod>,
    /// The gang that it starts with.
    gang: Option<Gang>,
    templates: Vec<ClaimTemplate>,
}

/// Pods that start together or not at all.
#[derive(Clone, Debug)]
struct Gang {
    /// `namespace/name`
    group: String,
    least: usize,
}

impl Model {
    /// The pod of that name: `namespace/name` of a pod, or `namespace/kind/name` of a workload, whose template counts.
    pub(crate) fn find(prepared: &Prepared, name: &str) -> Result<Self, SimulateError> {
        let snapshot = &prepared.snapshot;
        let missing = || SimulateError::PodMissing { name: name.to_owned() };
        let parts: Vec<&str> = name.split('/').collect();
        let pod = match parts.as_slice() {
            [namespace, name] => snapshot.pod(namespace, name).cloned().ok_or_else(missing)?,
            [namespace, kind, name] => from_workload(snapshot, namespace, kind, name).ok_or_else(missing)?,
            _ => return Err(missing()),
        };
        Ok(Self {
            name: name.to_owned(),
            templates: templates(snapshot, &[&pod]),
            pods: vec![pod],
            gang: None,
        })
    }

    /// With the whole gang, where the pod starts with one: the pods that the input has of it, and as many more of the one
    /// that was named as are missing for the gang to start.
    pub(crate) fn with_gang(mut self, prepared: &Prepared, state: &ClusterState) -> Self {
        let named = self.pods.first();
        let gang = named.and_then(|pod| state.gangs.of(pod)).and_then(|group| {
            let least = state.gang_size(&group)?;
            Some(Gang { group, least })
        });
        let (Some(gang), Some(named)) = (gang, named.cloned()) else { return self };
        let snapshot = &prepared.snapshot;
        let is_member =
            |pod: &&Arc<Pod>| !pod.has_ended() && state.gangs.of(pod.as_ref()).as_ref() == Some(&gang.group);
        let members: Vec<&Arc<Pod>> = snapshot.pods.iter().filter(is_member).collect();
        let is_named = |pod: &&Arc<Pod>| pod.metadata.full_name() == named.metadata.full_name();
        // The pods of a workload are there already, its template is none of them.
        if !members.is_empty() && !members.iter().any(is_named) {
            self.pods.clear();
        }
        self.pods.extend(members.into_iter().filter(|pod| !is_named(pod)).map(|pod| pod.as_ref().clone()));
        for number in self.pods.len()..gang.least {
            let mut more = named.clone();
            more.metadata.name = format!("{}-{number}", more.metadata.name);
            self.pods.push(more);
        }
        self.templates = templates(snapshot, &self.pods.iter().collect::<Vec<_>>());
        self.gang = Some(gang);
        self
    }

    /// Claims that the pods name themselves, which all copies therefore share.
    pub(crate) fn shared_claims(&self) -> Vec<String> {
        let claims = self.pods.iter().flat_map(|pod| &pod.spec.resource_claims);
        let names: BTreeSet<String> = claims.filter_map(|claim| claim.resource_claim_name.clone()).collect();
        names.into_iter().collect()
    }

    /// What a copy is, where it is a gang.
    pub(crate) fn gang(&self) -> Option<CopiedGang> {
        let gang = self.gang.as_ref()?;
        Some(CopiedGang { group: gang.group.clone(), pods: self.pods.len(), min_count: gang.least })
    }

    /// Adds copy number `number` of the pod to a cluster, where it waits for a node.
    pub(crate) fn add_to(&self, state: &mut ClusterState, number: usize) -> PodId {
        self.add(state, self.pods.first().cloned().unwrap_or_default(), number)
    }

    /// Adds copy number `number` of the pod to a cluster, or of all pods of its gang, with a group of their own.
    pub(crate) fn add_all_to(&self, state: &mut ClusterState, number: usize) -> Vec<PodId> {
        let Some(gang) = &self.gang else { return vec![self.add_to(state, number)] };
        let group = state.copy_group(&gang.group, number);
        let gangs = Arc::clone(&state.gangs);
        let of_group = self.pods.iter().map(|pod| {
            let mut pod = pod.clone();
            gangs.move_to(&mut pod, &group);
            self.add(state, pod, number)
        });
        of_group.collect()
    }

    fn add(&self, state: &mut ClusterState, pod: Pod, number: usize) -> PodId {
        let (pod, claims) = self.copy(pod, number);
        for claim in &claims {
            state.add_claim(claim);
        }
        state.add_pod(pod)
    }

    /// The copy of a pod with this number, and the claims that are made for it.
    fn copy(&self, mut pod: Pod, number: usize) -> (Pod, Vec<Claim>) {
        pod.metadata.name = format!("{}-copy-{number}", pod.metadata.name);
        pod.metadata.uid = format!("Pod:{}", pod.metadata.full_name());
        pod.metadata.deletion_timestamp = None;
        pod.spec.node_name = None;
        pod.status = PodStatus { phase: "Pending".to_owned(), ..PodStatus::default() };
        let mut alone = Snapshot {
            pods: vec![Arc::new(pod)],
            claim_templates: self.templates.clone(),
            ..Snapshot::default()
        };
        // A template that is missing leaves the pod waiting for its claim, as in a cluster.
        controllers::create_claims(&mut alone);
        (alone.pods.pop().map(Arc::unwrap_or_clone).unwrap_or_default(), alone.claims)
    }
}

/// The templates of claims that pods name.
fn templates(snapshot: &Snapshot, pods: &[&Pod]) -> Vec<ClaimTemplate> {
    let named = |template: &&ClaimTemplate| {
        pods.iter().any(|pod| {
            let mut claims = pod.spec.resource_claims.iter();
            template.metadata.namespace == pod.metadata.namespace
                && claims
                    .any(|claim| claim.resource_claim_template_name.as_ref() == Some(&template.metadata.name))
        })
    };
    snapshot.claim_templates.iter().filter(named).cloned().collect()
}

fn from_workload(snapshot: &Snapshot, namespace: &str, kind: &str, name: &str) -> Option<Pod> {
    let workload = snapshot.workloads.iter().find(|workload| {
        workload.metadata.namespace == namespace
            && workload.metadata.name == name
            && workload.kind.as_str() == kind
    })?;
    let mut workload = workload.clone();
    workload.size = WorkloadSize::Replicas { count: 1, first: 0 };
    let mut alone = Snapshot { workloads: vec![workload], ..Snapshot::default() };
    controllers::expand_workloads(&mut alone);
    alone.pods.pop().map(Arc::unwrap_or_clone)
}
