//! The claim controller: makes claims from templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fault::{Fault, LoadErrors};
use crate::objects::{Claim, ClaimTemplate, Metadata, ObjectReference, Origin, Pod, PodResourceClaimStatus};
use crate::path::FieldPath;
use crate::snapshot::Snapshot;

use super::names::{TakenNames, free_name};

/// Says for which entry of a pod's `spec.resourceClaims` a claim was made.
const POD_CLAIM_ANNOTATION: &str = "resource.kubernetes.io/pod-claim-name";

/// The longest base of a generated claim name.
const MAX_BASE: usize = 57;

/// Makes the claims that pending pods need from their templates, and notes their names in the pods' status.
///
/// A claim that exists already for the pod, named in its status or annotated for the entry, is used. An entry
/// whose template does not exist is left without a claim and reported.
pub fn create_claims(snapshot: &mut Snapshot) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut told: Vec<(&Origin, usize)> = Vec::new();
    let mut created: Vec<Claim> = Vec::new();
    let mut names: TakenNames = snapshot
        .claims
        .iter()
        .map(|claim| (claim.metadata.namespace.clone(), claim.metadata.name.clone()))
        .collect();
    let owned = claims_by_owner(&snapshot.claims);
    let mut statuses: Vec<(usize, Vec<PodResourceClaimStatus>)> = Vec::new();
    for (position, pod) in snapshot.pods.iter().enumerate().filter(|(_, pod)| pod.is_pending()) {
        let mut status = pod.status.resource_claim_statuses.clone();
        for (index, entry) in pod.spec.resource_claims.iter().enumerate() {
            let Some(template_name) = &entry.resource_claim_template_name else { continue };
            if entry.resource_claim_name.is_some() || has_claim(snapshot, pod, &entry.name) {
                continue;
            }
            let existing = owned.get(&(pod.metadata.uid.as_str(), entry.name.as_str()));
            let template = snapshot.claim_template(&pod.metadata.namespace, template_name);
            let name = match (existing, template) {
                (Some(name), _) => (*name).to_owned(),
                (None, Some(template)) => {
                    let claim = claim_from_template(pod, &entry.name, template, &mut names);
                    let name = claim.metadata.name.clone();
                    created.push(claim);
                    name
                }
                (None, None) => {
                    // pods of one workload have their faults at one place
                    let is_told =
                        told.iter().any(|(origin, other)| **origin == pod.origin && *other == index);
                    if !is_told {
                        let in_detail = faults.len() < LoadErrors::SHOWN;
                        if in_detail && pod.origin.is_known() {
                            told.push((&pod.origin, index));
                        }
                        faults.push(missing_template(snapshot, pod, index, template_name, in_detail));
                    }
                    continue;
                }
            };
            status.retain(|other| other.name != entry.name);
            status.push(PodResourceClaimStatus { name: entry.name.clone(), resource_claim_name: Some(name) });
        }
        if status != pod.status.resource_claim_statuses {
            statuses.push((position, status));
        }
    }
    for (position, status) in statuses {
        if let Some(pod) = snapshot.pods.get_mut(position) {
            Arc::make_mut(pod).status.resource_claim_statuses = status;
        }
    }
    snapshot.claims.extend(created);
    snapshot.sort();
    faults
}

/// Claims that a pod controls, by the pod's UID and the name of the entry they are for.
fn claims_by_owner(claims: &[Claim]) -> BTreeMap<(&str, &str), &str> {
    let owned = claims.iter().filter_map(|claim| {
        let entry = claim.metadata.annotations.get(POD_CLAIM_ANNOTATION)?;
        let owner = claim.metadata.controller().filter(|owner| owner.kind == "Pod")?;
        Some(((owner.uid.as_str(), entry.as_str()), claim.metadata.name.as_str()))
    });
    owned.collect()
}

/// Whether the status names a claim that exists and is the pod's own, or says that none is needed.
fn has_claim(snapshot: &Snapshot, pod: &Pod, entry: &str) -> bool {
    let Some(status) = pod.status.resource_claim_statuses.iter().find(|status| status.name == entry) else {
        return false;
    };
    let Some(name) = &status.resource_claim_name else { return true };
    snapshot
        .claim(&pod.metadata.namespace, name)
        .and_then(|claim| claim.metadata.controller())
        .is_some_and(|owner| owner.uid == pod.metadata.uid)
}

fn claim_from_template(pod: &Pod, entry: &str, template: &ClaimTemplate, names: &mut TakenNames) -> Claim {
    let namespace = &pod.metadata.namespace;
    let base = base_name(&pod.metadata.name, entry);
    let seed = format!("claim/{namespace}/{}/{entry}", pod.metadata.name);
    let name = free_name(&base, &seed, 0, namespace, names);
    let mut annotations = template.claim_annotations.clone();
    annotations.insert(POD_CLAIM_ANNOTATION.to_owned(), entry.to_owned());
    let mut spec = template.spec.clone();
    spec.namespace.clone_from(namespace);
    spec.name.clone_from(&name);
    Claim {
        metadata: Metadata {
            uid: format!("ResourceClaim:{namespace}/{name}"),
            name,
            namespace: namespace.clone(),
            labels: template.claim_labels.clone(),
            annotations,
            owner_references: vec![pod.as_controller()],
            creation_timestamp: pod.metadata.creation_timestamp.clone(),
            ..Metadata::default()
        },
        origin: template.origin.within(&FieldPath::fields("spec")),
        spec,
        ..Claim::default()
    }
}

/// `<pod>-<entry>-`; where that is too long, both parts are cut in proportion and no hyphen follows.
fn base_name(pod: &str, entry: &str) -> String {
    let whole = format!("{pod}-{entry}-");
    if whole.len() <= MAX_BASE {
        return whole;
    }
    let cut =
        |part: &str| -> String { part.get(..part.len() * MAX_BASE / whole.len()).unwrap_or(part).to_owned() };
    format!("{}-{}", cut(pod), cut(entry))
}

/// With place and hint only `in_detail`: both take time that grows with the input.
fn missing_template(snapshot: &Snapshot, pod: &Pod, index: usize, template: &str, in_detail: bool) -> Fault {
    let namespace = &pod.metadata.namespace;
    let field = FieldPath::fields("spec.resourceClaims").index(index).field("resourceClaimTemplateName");
    let object = ObjectReference {
        kind: "Pod".to_owned(),
        namespace: namespace.clone(),
        name: pod.metadata.name.clone(),
    };
    let message = format!("namespace `{namespace}` has no ResourceClaimTemplate `{template}`");
    if !in_detail {
        return Fault { object: Some(object), field, message, ..Fault::default() };
    }
    let others = snapshot.claim_templates.iter().filter(|other| other.metadata.namespace == *namespace);
    let hint = super::references::choices(
        "ResourceClaimTemplates of the namespace",
        others.map(|other| other.metadata.name.as_str()),
    );
    Fault::of_field(&snapshot.sources, object, &pod.origin, field, message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_in_proportion() {
        assert_eq!(base_name("web-0", "gpu"), "web-0-gpu-");
        let base = base_name(&"p".repeat(60), &"c".repeat(20));
        assert_eq!(base, format!("{}-{}", "p".repeat(60 * 57 / 82), "c".repeat(20 * 57 / 82)));
    }
}
