//! Claims, claim templates and classes.

use std::collections::BTreeSet;

use drayage_allocator::objects::{
    AllocationMode, DeviceConstraint, DeviceDerivedAttribute, DeviceRequest, DeviceToleration,
    OpaqueDeviceConfiguration, ResourceClaim,
};

use super::{Issue, Issues, Severity, is_qualified_name, names};
use crate::objects::{Claim, ClaimTemplate, Class};
use crate::path::FieldPath;

const MAX_ENTRIES: usize = 32;

/// `ResourceClaim`
pub(crate) fn claim(claim: &Claim) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&claim.metadata);
    spec(&mut issues, &claim.spec, "spec.devices");
    issues.limit(claim.reserved_for.len(), 256, "consumers", || FieldPath::fields("status.reservedFor"));
    issues.list
}

/// `ResourceClaimTemplate`
pub(crate) fn claim_template(template: &ClaimTemplate) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&template.metadata);
    spec(&mut issues, &template.spec, "spec.spec.devices");
    issues.list
}

/// `DeviceClass`
pub(crate) fn class(class: &Class) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&class.metadata);
    issues.selectors(&class.spec.selectors, || FieldPath::fields("spec.selectors"));
    issues.limit(class.spec.config.len(), MAX_ENTRIES, "configurations", || FieldPath::fields("spec.config"));
    if let Some(name) =
        class.spec.extended_resource_name.as_ref().filter(|name| !names::is_extended_resource(name))
    {
        issues.refused(
            FieldPath::fields("spec.extendedResourceName"),
            format!("`{name}` is not the name of an extended resource"),
            "write `domain/name` with a domain that is not Kubernetes' own, such as `example.com/gpu`",
        );
    }
    for (index, entry) in class.spec.config.iter().enumerate() {
        opaque(&mut issues, entry.as_ref(), || FieldPath::fields("spec.config").index(index));
    }
    issues.list
}

fn spec(issues: &mut Issues, claim: &ResourceClaim, prefix: &str) {
    let devices = || FieldPath::fields(prefix);
    let requests = || devices().field("requests");
    issues.limit(claim.requests.len(), MAX_ENTRIES, "requests", requests);
    issues.limit(claim.constraints.len(), MAX_ENTRIES, "constraints", || devices().field("constraints"));
    issues.limit(claim.config.len(), MAX_ENTRIES, "configurations", || devices().field("config"));
    issues.unique(claim.requests.iter().map(|request| request.name.as_str()), |index| {
        requests().index(index).field("name")
    });
    for (index, entry) in claim.requests.iter().enumerate() {
        request(issues, entry, &claim.constraints, || requests().index(index));
    }
    let known: BTreeSet<String> = claim.requests.iter().flat_map(request_names).collect();
    for (index, entry) in claim.constraints.iter().enumerate() {
        let field = || devices().field("constraints").index(index);
        constraint(issues, entry, field);
        references(issues, &entry.requests, &known, field);
    }
    for (index, entry) in claim.config.iter().enumerate() {
        let field = || devices().field("config").index(index);
        opaque(issues, entry.opaque.as_ref(), field);
        references(issues, &entry.requests, &known, field);
    }
}

/// The names by which constraints and configurations can refer to a request.
fn request_names(request: &DeviceRequest) -> Vec<String> {
    let alternatives =
        request.first_available.iter().map(|alternative| format!("{}/{}", request.name, alternative.name));
    std::iter::once(request.name.clone()).chain(alternatives).collect()
}

fn references(
    issues: &mut Issues,
    names: &[String],
    known: &BTreeSet<String>,
    field: impl Fn() -> FieldPath,
) {
    issues.unique(names.iter().map(String::as_str), |index| field().field("requests").index(index));
    for (index, name) in names.iter().enumerate() {
        if !known.contains(name) {
            let all: Vec<&str> = known.iter().map(String::as_str).collect();
            issues.error_with_hint(
                field().field("requests").index(index),
                format!("the claim has no request `{name}`"),
                &format!("its requests are `{}`", all.join("`, `")),
            );
        }
    }
}

fn request(
    issues: &mut Issues,
    request: &DeviceRequest,
    constraints: &[DeviceConstraint],
    field: impl Fn() -> FieldPath,
) {
    issues.label(&request.name, || field().field("name"));
    match (&request.exactly, request.first_available.as_slice()) {
        (None, []) => issues.error_with_hint(
            field(),
            "a request needs `exactly` or `firstAvailable`",
            "`deviceClassName`, `selectors` and `count` stand in a block `exactly`; before v1beta2 they stood in the request",
        ),
        (Some(_), [_, ..]) => {
            issues.error(field(), "a request has either `exactly` or `firstAvailable`, this one has both");
        }
        (Some(exactly), []) => {
            let exact = || field().field("exactly");
            class_name(issues, &exactly.device_class_name, exact);
            issues.selectors(&exactly.selectors, || exact().field("selectors"));
            mode_and_count(issues, &exactly.allocation_mode, exactly.count, exact);
            tolerations(issues, &exactly.tolerations, exact);
            let names = (request.name.as_str(), None);
            derived_attributes(issues, &exactly.derived_attributes, names, constraints, exact);
        }
        (None, alternatives) => {
            let list = || field().field("firstAvailable");
            issues.limit(alternatives.len(), 8, "alternatives", list);
            let names = alternatives.iter().map(|alternative| alternative.name.as_str());
            issues.unique(names, |index| list().index(index).field("name"));
            for (index, alternative) in alternatives.iter().enumerate() {
                let at = || list().index(index);
                issues.label(&alternative.name, || at().field("name"));
                class_name(issues, &alternative.device_class_name, at);
                issues.selectors(&alternative.selectors, || at().field("selectors"));
                mode_and_count(issues, &alternative.allocation_mode, alternative.count, at);
                tolerations(issues, &alternative.tolerations, at);
                let names = (request.name.as_str(), Some(alternative.name.as_str()));
                derived_attributes(issues, &alternative.derived_attributes, names, constraints, at);
            }
        }
    }
}

fn derived_attributes(
    issues: &mut Issues,
    derived: &[DeviceDerivedAttribute],
    (request, alternative): (&str, Option<&str>),
    constraints: &[DeviceConstraint],
    field: impl Fn() -> FieldPath,
) {
    let list = || field().field("derivedAttributes");
    issues.limit(derived.len(), MAX_ENTRIES, "derived attributes", list);
    issues.unique(derived.iter().map(|derived| derived.name.as_str()), |index| {
        list().index(index).field("name")
    });
    for (index, entry) in derived.iter().enumerate() {
        let at = |name: &str| list().index(index).field(name);
        if !entry.name.contains('/') || !is_qualified_name(&entry.name) {
            issues.error_with_hint(
                at("name"),
                format!("`{}` is no attribute with its domain", entry.name),
                "write `domain/name`, such as `derived/numaNode`",
            );
        }
        if entry.expression.is_empty() {
            issues.error(at("expression"), "an expression is required");
        }
        issues.limit(entry.expression.len(), 10 * 1024, "bytes of CEL", || at("expression"));
        let full = alternative.map(|alternative| format!("{request}/{alternative}"));
        let compared = constraints.iter().any(|constraint| {
            let names = |name: &String| name == request || Some(name) == full.as_ref();
            let attributes = [&constraint.match_attribute, &constraint.distinct_attribute];
            (constraint.requests.is_empty() || constraint.requests.iter().any(names))
                && attributes.into_iter().flatten().any(|attribute| *attribute == entry.name)
        });
        if !compared {
            issues.add(
                Severity::Notice,
                at("name"),
                format!("no constraint for this request compares `{}`", entry.name),
                Some("the API server refuses a derived attribute that no constraint uses"),
            );
        }
    }
}

fn class_name(issues: &mut Issues, name: &str, field: impl Fn() -> FieldPath) {
    if name.is_empty() {
        issues.error_with_hint(
            field().field("deviceClassName"),
            "a device class is required",
            "name a DeviceClass, such as the one the driver installs",
        );
    } else {
        issues.subdomain(name, || field().field("deviceClassName"));
    }
}

fn mode_and_count(issues: &mut Issues, mode: &AllocationMode, count: i64, field: impl Fn() -> FieldPath) {
    match mode {
        AllocationMode::ExactCount if count < 1 => {
            issues.error(field().field("count"), format!("{count} is no number of devices"));
        }
        AllocationMode::All if count != 0 => {
            issues.error_with_hint(
                field().field("count"),
                "a count goes with allocation mode `ExactCount` only",
                "leave out `count`, or the mode `All`",
            );
        }
        AllocationMode::Other(other) => {
            issues.error_with_hint(
                field().field("allocationMode"),
                format!("`{other}` is no allocation mode"),
                "one of `ExactCount`, `All`",
            );
        }
        AllocationMode::ExactCount | AllocationMode::All => {}
    }
}

/// The API documents a limit of 16 tolerations, but no release has it. A toleration without a key is for every key,
/// whatever its operator.
fn tolerations(issues: &mut Issues, tolerations: &[DeviceToleration], field: impl Fn() -> FieldPath) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let at = || field().field("tolerations").index(index);
        issues.one_of(&toleration.operator, &["", "Equal", "Exists"], || at().field("operator"));
        issues.one_of(&toleration.effect, &["", "NoSchedule", "NoExecute", "None"], || at().field("effect"));
        if !toleration.key.is_empty() {
            issues.label_key(&toleration.key, || at().field("key"));
        }
        if toleration.operator == "Exists" && !toleration.value.is_empty() {
            issues.error(at().field("value"), "operator `Exists` takes no value");
        } else {
            issues.label_value(&toleration.value, || at().field("value"));
        }
    }
}

fn constraint(issues: &mut Issues, constraint: &DeviceConstraint, field: impl Fn() -> FieldPath) {
    let attribute = match (&constraint.match_attribute, &constraint.distinct_attribute) {
        (Some(attribute), None) => ("matchAttribute", attribute),
        (None, Some(attribute)) => ("distinctAttribute", attribute),
        (None, None) => {
            return issues.error(field(), "a constraint needs `matchAttribute` or `distinctAttribute`");
        }
        (Some(_), Some(_)) => {
            let message =
                "a constraint has one of `matchAttribute` and `distinctAttribute`, this one has both";
            return issues.error(field(), message);
        }
    };
    if !attribute.1.contains('/') || !is_qualified_name(attribute.1) {
        issues.error_with_hint(
            field().field(attribute.0),
            format!("`{}` is no attribute with its domain", attribute.1),
            "write `domain/name`, such as `gpu.example.com/model`; the domain of a plain attribute is its driver",
        );
    }
}

fn opaque(issues: &mut Issues, entry: Option<&OpaqueDeviceConfiguration>, field: impl Fn() -> FieldPath) {
    let Some(opaque) = entry else {
        return issues.error(field(), "a configuration needs `opaque`");
    };
    let at = || field().field("opaque");
    issues.driver(&opaque.driver, || at().field("driver"));
    issues.limit(opaque.parameters.len(), 10 * 1024, "bytes of parameters", || at().field("parameters"));
    if !opaque.parameters.starts_with('{') {
        issues.error(at().field("parameters"), "parameters must be an object");
    }
}
