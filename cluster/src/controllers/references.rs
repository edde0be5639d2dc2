//! References to objects that the input does not have.

use drayage_allocator::objects::ResourceClaim;

use crate::fault::{Fault, LoadErrors};
use crate::objects::{Claim, ObjectReference, Origin, Pod};
use crate::path::FieldPath;
use crate::snapshot::Snapshot;

/// Device classes of claims without allocation, and claims of pending pods, that do not exist.
///
/// In a cluster such pods wait until somebody creates the missing object; in a file it is nearly always a slip.
/// Call it after [`super::create_claims`], so that claims from templates are checked as well.
///
/// Finding a place means reading its document again, so only the first [`LoadErrors::SHOWN`] faults have a place
/// and a hint. Claims made from one template have their faults at one place; these are told once.
pub fn check_references(snapshot: &Snapshot) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut told: Vec<(&Origin, FieldPath)> = Vec::new();
    for claim in snapshot.claims.iter().filter(|claim| claim.allocation.is_none()) {
        for (class, field) in class_names(&claim.spec) {
            let is_told = || told.iter().any(|(origin, other)| **origin == claim.origin && *other == field);
            if class.is_empty() || snapshot.class(class).is_some() || is_told() {
                continue;
            }
            if told.len() < LoadErrors::SHOWN && claim.origin.is_known() {
                told.push((&claim.origin, field.clone()));
            }
            faults.push(missing_class(snapshot, claim, class, field, faults.len() < LoadErrors::SHOWN));
        }
    }
    for pod in snapshot.pods.iter().filter(|pod| pod.is_pending()) {
        for (index, entry) in pod.spec.resource_claims.iter().enumerate() {
            if let Some(name) = &entry.resource_claim_name
                && snapshot.claim(&pod.metadata.namespace, name).is_none()
            {
                faults.push(missing_claim(snapshot, pod, index, name, faults.len() < LoadErrors::SHOWN));
            }
        }
    }
    faults
}

fn missing_class(
    snapshot: &Snapshot,
    claim: &Claim,
    class: &str,
    field: FieldPath,
    in_detail: bool,
) -> Fault {
    let object = ObjectReference {
        kind: "ResourceClaim".to_owned(),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
    };
    let message = format!("there is no DeviceClass `{class}`");
    if !in_detail {
        return Fault { object: Some(object), field, message, ..Fault::default() };
    }
    let names = snapshot.classes.iter().map(|class| class.metadata.name.as_str());
    Fault::of_field(&snapshot.sources, object, &claim.origin, field, message)
        .with_hint(choices("DeviceClasses", names))
}

/// All classes a claim names, with the field that names them.
fn class_names(claim: &ResourceClaim) -> Vec<(&str, FieldPath)> {
    let mut names = Vec::new();
    for (index, request) in claim.requests.iter().enumerate() {
        let field = || FieldPath::fields("spec.devices.requests").index(index);
        if let Some(exactly) = &request.exactly {
            names.push((
                exactly.device_class_name.as_str(),
                field().field("exactly").field("deviceClassName"),
            ));
        }
        for (position, alternative) in request.first_available.iter().enumerate() {
            names.push((
                alternative.device_class_name.as_str(),
                field().field("firstAvailable").index(position).field("deviceClassName"),
            ));
        }
    }
    names
}

fn missing_claim(snapshot: &Snapshot, pod: &Pod, index: usize, name: &str, in_detail: bool) -> Fault {
    let namespace = &pod.metadata.namespace;
    let object = ObjectReference {
        kind: "Pod".to_owned(),
        namespace: namespace.clone(),
        name: pod.metadata.name.clone(),
    };
    let field = FieldPath::fields("spec.resourceClaims").index(index).field("resourceClaimName");
    let message = format!("namespace `{namespace}` has no ResourceClaim `{name}`");
    if !in_detail {
        return Fault { object: Some(object), field, message, ..Fault::default() };
    }
    let others = snapshot.claims.iter().filter(|claim| claim.metadata.namespace == *namespace);
    let names = others.map(|claim| claim.metadata.name.as_str());
    Fault::of_field(&snapshot.sources, object, &pod.origin, field, message)
        .with_hint(choices("ResourceClaims of the namespace", names))
}

/// A hint that names what there is.
pub(super) fn choices<'n>(what: &str, names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    if names.is_empty() {
        return format!("the input has no {what} at all; was a file left out?");
    }
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    names.truncate(SHOWN);
    format!("{what} in the input: `{}`{more}", names.join("`, `"))
}
