//! Copies of pods, with claims of their own.

use std::sync::Arc;

use drayage_cluster::objects::{Claim, ClaimTemplate, Pod, PodStatus, WorkloadSize};
use drayage_cluster::{Snapshot, controllers};

use crate::schedule::{ClusterState, PodId, Prepared, SimulateError};

/// A pod that copies are made of.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// What the caller named.
    pub(crate) name: String,
    pod: Pod,
    templates: Vec<ClaimTemplate>,
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
        let namespace = &pod.metadata.namespace;
        let named =
            |template: &&ClaimTemplate| {
                template.metadata.namespace == *namespace
                    && pod.spec.resource_claims.iter().any(|claim| {
                        claim.resource_claim_template_name.as_ref() == Some(&template.metadata.name)
                    })
            };
        let templates = snapshot.claim_templates.iter().filter(named).cloned().collect();
        Ok(Self { name: name.to_owned(), pod, templates })
    }

    /// Claims that the pod names itself, which all copies therefore share.
    pub(crate) fn shared_claims(&self) -> Vec<String> {
        self.pod.spec.resource_claims.iter().filter_map(|claim| claim.resource_claim_name.clone()).collect()
    }

    /// Adds copy number `number` to a cluster, where it waits for a node.
    pub(crate) fn add_to(&self, state: &mut ClusterState, number: usize) -> PodId {
        let (pod, claims) = self.copy(number);
        for claim in &claims {
            state.add_claim(claim);
        }
        state.add_pod(pod)
    }

    /// The pod with this number, and the claims that are made for it.
    fn copy(&self, number: usize) -> (Pod, Vec<Claim>) {
        let mut pod = self.pod.clone();
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
