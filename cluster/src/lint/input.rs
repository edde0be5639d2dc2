//! What loading found, old versions of the API, and node groups that announce devices by annotation.

use std::collections::BTreeMap;

use drayage_cel::Release;

use super::LintOptions;
use super::finding::{Draft, Findings};
use super::rules::{BEYOND_LIMITS, INVALID_OBJECT, OLD_VERSION, SCALE_FROM_ZERO, Severity, UNKNOWN_FIELD};
use crate::fault::{Fault, LoadErrors};
use crate::objects::{Metadata, ObjectReference, Origin};
use crate::path::FieldPath;
use crate::snapshot::{IgnoredReason, ScaleFromZero, Snapshot};

pub(super) fn check(snapshot: &Snapshot, errors: &LoadErrors, options: LintOptions, findings: &mut Findings) {
    for fault in &errors.faults {
        findings.add(Draft::of_fault(INVALID_OBJECT, fault.clone()));
    }
    for notice in &snapshot.notices {
        findings.add(Draft::of_fault(BEYOND_LIMITS, notice.clone()));
    }
    for ignored in &snapshot.ignored {
        if ignored.reason == IgnoredReason::UnknownField {
            let fault = Fault {
                object: Some(ignored.example.clone()),
                place: ignored.place.clone(),
                message: format!("unknown field `{}`", ignored.field),
                ..Fault::default()
            };
            findings.add(Draft::of_fault(UNKNOWN_FIELD, fault).alike(ignored.count.saturating_sub(1)));
        }
    }
    old_versions(snapshot, options.profile.release(), findings);
    for group in &snapshot.scale_from_zero {
        let field = FieldPath::fields("metadata.annotations").key(ScaleFromZero::ANNOTATION);
        let message = format!(
            "devices of driver `{}` are announced without `resourceSliceCount`, so their pool is never complete",
            group.driver
        );
        findings.add(Draft::new(SCALE_FROM_ZERO, group.object.clone(), &group.origin, field, message));
    }
}

/// Since when a version is deprecated, and since when it is no longer served.
fn lifetime(kind: &str, version: &str) -> Option<(u32, u32)> {
    match (kind == "DeviceTaintRule", version) {
        (true, "v1alpha3") | (false, "v1beta2") => Some((36, 39)),
        (true, "v1beta2") => Some((39, 42)),
        (false, "v1beta1") => Some((35, 38)),
        (false, "v1alpha3") => Some((32, 34)),
        _ => None,
    }
}

/// One finding for each kind and version: a whole dump may be in one version.
fn old_versions(snapshot: &Snapshot, release: Release, findings: &mut Findings) {
    type Object<'s> = (&'static str, &'s Metadata, &'s Origin);
    let claims = snapshot.claims.iter().map(|object| ("ResourceClaim", &object.metadata, &object.origin));
    let templates = snapshot.claim_templates.iter();
    let templates = templates.map(|object| ("ResourceClaimTemplate", &object.metadata, &object.origin));
    let classes = snapshot.classes.iter().map(|object| ("DeviceClass", &object.metadata, &object.origin));
    let slices = snapshot.slices.iter().map(|object| ("ResourceSlice", &object.metadata, &object.origin));
    let rules =
        snapshot.taint_rules.iter().map(|object| ("DeviceTaintRule", &object.metadata, &object.origin));
    let mut seen: BTreeMap<(&str, &str), (usize, Object<'_>)> = BTreeMap::new();
    for object in claims.chain(templates).chain(classes).chain(slices).chain(rules) {
        if let Some(version) = object.2.resource_version().filter(|version| *version != "v1") {
            seen.entry((object.0, version)).or_insert((0, object)).0 += 1;
        }
    }
    for ((kind, version), (count, (_, metadata, origin))) in seen {
        let Some((deprecated, removed)) = lifetime(kind, version) else { continue };
        if release.minor() < deprecated {
            continue;
        }
        let not_served = release.minor() >= removed;
        let message = if not_served {
            format!("`resource.k8s.io/{version}` of {kind} is not served by Kubernetes {release}")
        } else {
            format!(
                "`resource.k8s.io/{version}` of {kind} is deprecated since Kubernetes 1.{deprecated} and goes with 1.{removed}"
            )
        };
        let object = reference(kind, metadata);
        let severity = if not_served { Severity::Error } else { Severity::Warning };
        findings.add(
            Draft::new(OLD_VERSION, object, origin, FieldPath::fields("apiVersion"), message)
                .severity(severity)
                .alike(count - 1),
        );
    }
}

/// Names an object.
pub(super) fn reference(kind: &str, metadata: &Metadata) -> ObjectReference {
    ObjectReference {
        kind: kind.to_owned(),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
    }
}
