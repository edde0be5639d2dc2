//! Claims and claim templates: classes, constraints, configurations, features, admin access.

use std::collections::BTreeSet;

use drayage_allocator::objects::AllocationMode;
use drayage_allocator::profile::AllWithBrokenPool;

use super::cluster::{Ask, Cluster, Demand};
use super::finding::{Draft, Findings};
use super::pools::shown;
use super::rules::{
    ADMIN_ACCESS_REFUSED, ALL_WITH_BROKEN_POOL, BEYOND_LIMITS, CONFIG_WITHOUT_DRIVER,
    CONSTRAINT_KINDS_DIFFER, CONSTRAINT_WITHOUT_ATTRIBUTE, FEATURE_OFF, Rule, Severity, UNKNOWN_CLASS,
};
use super::selectors::nearest;
use crate::path::FieldPath;

/// The label that a namespace needs for admin access (KEP-5018).
const ADMIN_LABEL: &str = "resource.kubernetes.io/admin-access";

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    for demand in &cluster.demands {
        let asks = demand.asks();
        classes(cluster, demand, &asks, findings);
        features(cluster, demand, findings);
        admin_access(cluster, demand, findings);
        constraints(cluster, demand, &asks, findings);
        configurations(cluster, demand, &asks, findings);
        all_devices(cluster, demand, &asks, findings);
    }
}

fn draft(rule: &'static Rule, demand: &Demand<'_>, field: FieldPath, message: String) -> Draft {
    Draft::new(rule, demand.object.clone(), demand.origin, field, message).alike(demand.alike)
}

fn classes(cluster: &Cluster<'_>, demand: &Demand<'_>, asks: &[Ask<'_>], findings: &mut Findings) {
    // Manifests of a workload alone say nothing about the classes of the cluster.
    if cluster.snapshot.classes.is_empty() && cluster.snapshot.nodes.is_empty() {
        return;
    }
    let names: BTreeSet<String> =
        cluster.snapshot.classes.iter().map(|class| class.metadata.name.clone()).collect();
    for ask in asks.iter().filter(|ask| !ask.class.is_empty() && !names.contains(ask.class)) {
        let message = format!("there is no device class `{}`", ask.class);
        let field = ask.field.clone().field("deviceClassName");
        let draft = draft(UNKNOWN_CLASS, demand, field, message);
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        findings.add(match (nearest(ask.class, &names), texts.as_slice()) {
            (Some(near), _) => draft.fix(format!("is `{near}` meant?")),
            (None, []) => draft.fix("the input has no device class at all; add those of the cluster"),
            (None, texts) => draft.fix(format!("the input has the classes `{}`", shown(texts).join("`, `"))),
        });
    }
}

/// Fields whose gate is off in the release.
fn features(cluster: &Cluster<'_>, demand: &Demand<'_>, findings: &mut Findings) {
    let on = cluster.options.features;
    let mut off = |on: bool, gate: &str, field: FieldPath, what: &str| {
        if !on {
            let release = cluster.options.profile.release();
            let message = format!("{what} need feature gate `{gate}`, which is off in Kubernetes {release}");
            findings.add(draft(FEATURE_OFF, demand, field, message));
        }
    };
    for (index, request) in demand.spec.requests.iter().enumerate() {
        let field = || demand.devices.clone().field("requests").index(index);
        if !request.first_available.is_empty() {
            off(on.prioritized_list, "DRAPrioritizedList", field().field("firstAvailable"), "alternatives");
        }
        let Some(exactly) = &request.exactly else { continue };
        let exact = |name: &str| field().field("exactly").field(name);
        if exactly.admin_access.is_some() {
            off(on.admin_access, "DRAAdminAccess", exact("adminAccess"), "requests with `adminAccess`");
        }
        if exactly.capacity.is_some() {
            off(on.consumable_capacity, "DRAConsumableCapacity", exact("capacity"), "requests for capacity");
        }
        if !exactly.derived_attributes.is_empty() {
            let field = exact("derivedAttributes");
            off(on.derived_attributes, "DRADerivedAttributes", field, "derived attributes");
        }
    }
}

fn admin_access(cluster: &Cluster<'_>, demand: &Demand<'_>, findings: &mut Findings) {
    let namespaces = &cluster.snapshot.namespaces;
    let Some(namespace) =
        namespaces.iter().find(|namespace| namespace.metadata.name == demand.object.namespace)
    else {
        return;
    };
    if namespace.metadata.labels.get(ADMIN_LABEL).is_some_and(|value| value == "true") {
        return;
    }
    for (index, request) in demand.spec.requests.iter().enumerate() {
        if request.exactly.as_ref().is_some_and(|exactly| exactly.admin_access == Some(true)) {
            let field = demand.devices.clone().field("requests").index(index);
            let message = format!(
                "namespace `{}` has no label `{ADMIN_LABEL}: \"true\"`, so admin access is refused",
                namespace.metadata.name
            );
            let field = field.field("exactly").field("adminAccess");
            findings.add(draft(ADMIN_ACCESS_REFUSED, demand, field, message));
        }
    }
}

fn constraints<'s>(cluster: &Cluster<'s>, demand: &Demand<'s>, asks: &[Ask<'s>], findings: &mut Findings) {
    for (index, constraint) in demand.spec.constraints.iter().enumerate() {
        let (attribute, name) = match (&constraint.match_attribute, &constraint.distinct_attribute) {
            (Some(attribute), _) => (attribute, "matchAttribute"),
            (None, Some(attribute)) => (attribute, "distinctAttribute"),
            (None, None) => continue,
        };
        let field = || demand.devices.clone().field("constraints").index(index).field(name);
        let domain = attribute.split_once('/').map_or("", |(domain, _)| domain);
        let release = cluster.options.profile.release();
        if release.minor() >= 37 && domain.contains(|letter: char| letter.is_ascii_uppercase()) {
            let message = format!("Kubernetes {release} refuses upper case in the domain `{domain}`");
            let draft = draft(BEYOND_LIMITS, demand, field(), message);
            findings.add(draft.fix("write the domain of the attribute as the driver does, in lower case"));
        }
        let mut kinds: Vec<(String, BTreeSet<&'static str>)> = Vec::new();
        for ask in asks.iter().filter(|ask| ask.is_among(&constraint.requests)) {
            if ask.derived.iter().any(|derived| derived.name == *attribute) {
                continue;
            }
            let candidates = cluster.candidates(ask);
            if candidates.is_empty() {
                continue;
            }
            let values =
                candidates.iter().filter_map(|device| cluster.devices.get(*device)?.attribute(attribute));
            let found: BTreeSet<&'static str> = values.map(drayage_cel::AttributeValue::field_name).collect();
            if found.is_empty() {
                let request = ask.name();
                let message = match candidates.len() {
                    1 => format!("the only device for request `{request}` has no attribute `{attribute}`"),
                    count => {
                        format!("none of {count} devices for request `{request}` has attribute `{attribute}`")
                    }
                };
                // Another alternative may have it.
                let severity = if ask.alternative.is_some() { Severity::Warning } else { Severity::Error };
                let draft = draft(CONSTRAINT_WITHOUT_ATTRIBUTE, demand, field(), message).severity(severity);
                findings.add(match nearest(attribute, &names(cluster, &candidates)) {
                    Some(near) => draft.fix(format!("is `{near}` meant?")),
                    None => draft,
                });
            } else if ask.alternative.is_none() {
                kinds.push((ask.name(), found));
            }
        }
        if name == "matchAttribute"
            && let Some((first, rest)) = kinds.split_first()
            && let Some(other) = rest.iter().find(|other| other.1.is_disjoint(&first.1))
        {
            let text = |kinds: &BTreeSet<&str>| kinds.iter().copied().collect::<Vec<_>>().join("` or `");
            let message = format!(
                "attribute `{attribute}` is `{}` for request `{}` and `{}` for request `{}`",
                text(&first.1),
                first.0,
                text(&other.1),
                other.0
            );
            findings.add(draft(CONSTRAINT_KINDS_DIFFER, demand, field(), message));
        }
    }
}

/// Names of the attributes of some devices, with their domains.
fn names(cluster: &Cluster<'_>, devices: &[usize]) -> BTreeSet<String> {
    let devices = devices.iter().filter_map(|device| cluster.devices.get(*device));
    devices
        .flat_map(|published| {
            let driver = &published.slice.spec.driver;
            published
                .device
                .attributes
                .keys()
                .map(move |name| if name.contains('/') { name.clone() } else { format!("{driver}/{name}") })
        })
        .collect()
}

fn configurations<'s>(cluster: &Cluster<'s>, demand: &Demand<'s>, asks: &[Ask<'s>], findings: &mut Findings) {
    for (index, configuration) in demand.spec.config.iter().enumerate() {
        let Some(opaque) = &configuration.opaque else { continue };
        let mut drivers: BTreeSet<&str> = BTreeSet::new();
        for ask in asks.iter().filter(|ask| ask.is_among(&configuration.requests)) {
            let devices = cluster.candidates(ask);
            let devices = devices.iter().filter_map(|device| cluster.devices.get(*device));
            drivers.extend(devices.map(|device| device.slice.spec.driver.as_str()));
        }
        if drivers.is_empty() || drivers.contains(opaque.driver.as_str()) {
            continue;
        }
        let names: Vec<&str> = drivers.into_iter().collect();
        let message = format!(
            "the parameters are for driver `{}`, the devices of the requests are of `{}`",
            opaque.driver,
            shown(&names).join("`, `")
        );
        let field = demand.devices.clone().field("config").index(index).field("opaque").field("driver");
        findings.add(draft(CONFIG_WITHOUT_DRIVER, demand, field, message));
    }
}

/// `All` beside pools that are incomplete or invalid.
fn all_devices(cluster: &Cluster<'_>, demand: &Demand<'_>, asks: &[Ask<'_>], findings: &mut Findings) {
    if demand.allocated {
        return;
    }
    let broken: Vec<String> =
        cluster.pools.iter().filter(|(_, pool)| !pool.is_complete()).map(|(id, _)| format!("{id}")).collect();
    let Some(first) = broken.first() else { return };
    let fatal = cluster.profile.all_with_broken_pool == AllWithBrokenPool::Fatal;
    for ask in asks.iter().filter(|ask| *ask.mode == AllocationMode::All) {
        let others = match broken.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let consequence = if fatal {
            "a node that sees it ends the attempt for all nodes"
        } else {
            "nodes that see it cannot serve the request"
        };
        let message = format!(
            "request `{}` asks for all devices, but pool `{first}`{others} is incomplete: {consequence}",
            ask.name()
        );
        let severity = if fatal { Severity::Error } else { Severity::Warning };
        let field = ask.field.clone().field("allocationMode");
        findings.add(draft(ALL_WITH_BROKEN_POOL, demand, field, message).severity(severity));
    }
}
