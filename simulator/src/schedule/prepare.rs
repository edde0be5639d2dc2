//! What the controllers of a cluster would have done before the scheduler looks.

use std::collections::{BTreeMap, BTreeSet};

use drayage_cluster::objects::Workload;
use drayage_cluster::{Fault, Snapshot, controllers};

/// A snapshot ready to be scheduled: workloads have their pods, pods their claims.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The objects.
    pub snapshot: Snapshot,
    /// References that lead nowhere, with their places: templates, claims and classes that do not exist. In a
    /// cluster what has them waits; in files they are nearly always slips.
    pub faults: Vec<Fault>,
    /// The workload behind each pod that was made, by `namespace/name`.
    made_from: BTreeMap<String, String>,
}

impl Prepared {
    /// Plays the controllers: makes the pods that workloads lack and the claims that templates stand for.
    pub fn new(mut snapshot: Snapshot) -> Self {
        let before: BTreeSet<String> = snapshot.pods.iter().map(|pod| pod.metadata.full_name()).collect();
        controllers::expand_workloads(&mut snapshot);
        let made_from = snapshot
            .pods
            .iter()
            .filter(|pod| !before.contains(&pod.metadata.full_name()))
            .filter_map(|pod| {
                let owner = pod.metadata.controller()?;
                Some((pod.metadata.full_name(), format!("{}/{}", owner.kind, owner.name)))
            })
            .collect();
        let mut faults = controllers::create_claims(&mut snapshot);
        faults.extend(controllers::check_references(&snapshot));
        Self { snapshot, faults, made_from }
    }

    /// The same with other objects, some of which changed while they were simulated. Controllers make the pods that
    /// `workloads` lack, and no others: a pod that was deleted on purpose stays away. Returned is also what the
    /// controllers did.
    pub(crate) fn continued(
        &self,
        mut snapshot: Snapshot,
        workloads: Vec<Workload>,
    ) -> (Self, Vec<controllers::Expansion>) {
        let before: BTreeSet<String> = snapshot.pods.iter().map(|pod| pod.metadata.full_name()).collect();
        let all = std::mem::replace(&mut snapshot.workloads, workloads);
        let expansions = controllers::expand_workloads(&mut snapshot);
        snapshot.workloads = all;
        let mut made_from = self.made_from.clone();
        for pod in &snapshot.pods {
            let name = pod.metadata.full_name();
            if let Some(owner) = pod.metadata.controller().filter(|_| !before.contains(&name)) {
                made_from.insert(name, format!("{}/{}", owner.kind, owner.name));
            }
        }
        let mut faults = controllers::create_claims(&mut snapshot);
        faults.extend(controllers::check_references(&snapshot));
        (Self { snapshot, faults, made_from }, expansions)
    }

    /// The workload from which a pod was made, such as `Deployment/trainer`.
    pub fn made_from(&self, namespace: &str, name: &str) -> Option<&str> {
        self.made_from.get(&format!("{namespace}/{name}")).map(String::as_str)
    }
}
