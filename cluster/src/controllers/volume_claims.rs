//! The PersistentVolumeClaims of pods that StatefulSets make.

use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{
    Metadata, PersistentVolumeClaim, Pod, PodVolume, PodVolumeClaim, Workload, WorkloadKind,
};
use crate::path::FieldPath;
use crate::snapshot::Snapshot;

/// Claims that are there, and those that were made.
pub(super) struct VolumeClaims {
    /// Namespaces and names.
    taken: BTreeSet<(String, String)>,
    /// Whether the input says anything of storage. Where it does not, a claim would only wait for what is not told.
    known: bool,
    pub(super) created: Vec<PersistentVolumeClaim>,
}

impl VolumeClaims {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let there = &snapshot.persistent_volume_claims;
        let known = !(there.is_empty()
            && snapshot.persistent_volumes.is_empty()
            && snapshot.storage_classes.is_empty());
        let name =
            |claim: &PersistentVolumeClaim| (claim.metadata.namespace.clone(), claim.metadata.name.clone());
        Self { taken: there.iter().map(name).collect(), known, created: Vec::new() }
    }

    /// Gives a new pod a volume for each template of its StatefulSet. The claim is named after the template and the pod
    /// and has the labels of the template and of the set's selector, as from the controller.
    pub(super) fn give(&mut self, set: &Workload, pod: &mut Pod) {
        if set.kind != WorkloadKind::StatefulSet {
            return;
        }
        for (number, template) in set.volume_claim_templates.iter().enumerate() {
            let (namespace, name) =
                (pod.metadata.namespace.clone(), format!("{}-{}", template.metadata.name, pod.metadata.name));
            pod.spec.volumes.push(PodVolume { claim: PodVolumeClaim::Named(name.clone()) });
            if !self.known || !self.taken.insert((namespace.clone(), name.clone())) {
                continue;
            }
            let mut labels: BTreeMap<String, String> = template.metadata.labels.clone();
            labels.extend(set.selector.iter().flat_map(|selector| selector.match_labels.clone()));
            let field = FieldPath::fields("spec.volumeClaimTemplates").index(number);
            self.created.push(PersistentVolumeClaim {
                metadata: Metadata {
                    uid: format!("PersistentVolumeClaim:{namespace}/{name}"),
                    name,
                    namespace,
                    labels,
                    annotations: template.metadata.annotations.clone(),
                    creation_timestamp: set.metadata.creation_timestamp.clone(),
                    ..Metadata::default()
                },
                origin: set.origin.within(&field),
                spec: template.spec.clone(),
                phase: "Pending".to_owned(),
            });
        }
    }
}
