//! References to objects that the input does not have.

use drayage_allocator::objects::ResourceClaim;

use crate::fault::Fault;
use crate::objects::{Claim, ObjectReference, Pod};
use crate::path::FieldPath;
use crate::snapshot::Snapshot;

/// Device classes of claims without allocation, and claims of pending pods, that do not exist.
///
/// In a cluster such pods wait until somebody creates the missing object; in a file it is nearly always a slip.
/// Call it after [`super::create_claims`], so that claims from templates are checked as well.
pub fn check_references(snapshot: &Snapshot) -> Vec<Fault> {
    let unallocated = snapshot.claims.iter().filter(|claim| claim.allocation.is_none());
    let mut faults: Vec<Fault> = unallocated.flat_map(|claim| missing_classes(snapshot, claim)).collect();
    // claims made from one template have their faults at one place
    faults.dedup_by(|second, first| second.place.is_some() && second.place == first.place);
    let pending = snapshot.pods.iter().filter(|pod| pod.is_pending());
    faults.extend(pending.flat_map(|pod| missing_claims(snapshot, pod)));
    faults
}

fn missing_classes(snapshot: &Snapshot, claim: &Claim) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (class, field) in class_names(&claim.spec) {
        if class.is_empty() || snapshot.class(class).is_some() {
            continue;
        }
        let object = ObjectReference {
            kind: "ResourceClaim".to_owned(),
            namespace: claim.metadata.namespace.clone(),
            name: claim.metadata.name.clone(),
        };
        let names = snapshot.classes.iter().map(|class| class.metadata.name.as_str());
        let message = format!("there is no DeviceClass `{class}`");
        faults.push(
            Fault::of_field(&snapshot.sources, object, &claim.origin, field, message)
                .with_hint(choices("DeviceClasses", names)),
        );
    }
    faults
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

fn missing_claims(snapshot: &Snapshot, pod: &Pod) -> Vec<Fault> {
    let namespace = &pod.metadata.namespace;
    let mut faults = Vec::new();
    for (index, entry) in pod.spec.resource_claims.iter().enumerate() {
        let Some(name) = &entry.resource_claim_name else { continue };
        if snapshot.claim(namespace, name).is_some() {
            continue;
        }
        let object = ObjectReference {
            kind: "Pod".to_owned(),
            namespace: namespace.clone(),
            name: pod.metadata.name.clone(),
        };
        let field = FieldPath::fields("spec.resourceClaims").index(index).field("resourceClaimName");
        let others = snapshot.claims.iter().filter(|claim| claim.metadata.namespace == *namespace);
        let message = format!("namespace `{namespace}` has no ResourceClaim `{name}`");
        faults.push(Fault::of_field(&snapshot.sources, object, &pod.origin, field, message).with_hint(
            choices("ResourceClaims of the namespace", others.map(|claim| claim.metadata.name.as_str())),
        ));
    }
    faults
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
