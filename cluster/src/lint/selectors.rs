//! CEL expressions: whether they compile, what they cost, on which devices they fail, and whether they ever match.

use std::collections::BTreeSet;

use drayage_allocator::objects::DeviceSelector;
use drayage_cel::{AttributeValue, CompileError, MAX_COST, Program, References};

use super::cluster::{Cluster, Demand, PublishedDevice};
use super::finding::{Draft, Findings};
use super::input::reference;
use super::pools::{number, shown};
use super::rules::{
    CLASS_WITHOUT_SELECTORS, EXTENDED_NAME_TWICE, SELECTOR_COSTLY, SELECTOR_FAILS, SELECTOR_INVALID,
    SELECTOR_NEVER_MATCHES, SELECTOR_TOO_COSTLY, SELECTOR_TOO_NEW, Severity,
};
use crate::objects::{ObjectReference, Origin};
use crate::path::FieldPath;

/// Where selectors stand.
struct Place<'a> {
    object: &'a ObjectReference,
    origin: &'a Origin,
    /// The field above `selectors`.
    field: FieldPath,
    /// How many more claims have the same.
    alike: usize,
    /// How bad it is if nothing matches.
    never: Severity,
}

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    let all: Vec<usize> = (0..cluster.devices.len()).collect();
    for class in &cluster.snapshot.classes {
        let object = reference("DeviceClass", &class.metadata);
        let place = Place {
            object: &object,
            origin: &class.origin,
            field: FieldPath::fields("spec"),
            alike: 0,
            // The driver of the class may come later.
            never: Severity::Warning,
        };
        if class.spec.selectors.is_empty() {
            let message = format!("class `{}` selects every device of every driver", class.metadata.name);
            let field = FieldPath::fields("spec");
            findings.add(Draft::new(CLASS_WITHOUT_SELECTORS, object.clone(), &class.origin, field, message));
        }
        selectors(cluster, &place, &class.spec.selectors, all.clone(), findings);
    }
    extended_names(cluster, findings);
    for demand in &cluster.demands {
        for ask in demand.asks() {
            let place = Place {
                object: &demand.object,
                origin: demand.origin,
                field: ask.field.clone(),
                alike: demand.alike,
                never: if ask.alternative.is_some() || demand.allocated {
                    Severity::Warning
                } else {
                    Severity::Error
                },
            };
            let devices = cluster.of_class(ask.class).to_vec();
            selectors(cluster, &place, ask.selectors, devices, findings);
        }
        derived(cluster, demand, findings);
    }
}

/// One list of selectors, on the devices that come to it.
fn selectors<'s>(
    cluster: &Cluster<'s>,
    place: &Place<'_>,
    selectors: &'s [DeviceSelector],
    mut devices: Vec<usize>,
    findings: &mut Findings,
) {
    for (index, selector) in selectors.iter().enumerate() {
        let Some(text) = selector.cel.as_deref() else { continue };
        let field = place.field.clone().field("selectors").index(index).field("cel").field("expression");
        let expression = cluster.expression(text);
        let program = match &expression.program {
            Ok(program) => program,
            Err(error) => {
                findings.add(invalid(place, field, error));
                continue;
            }
        };
        let new = cluster.new.compile_selector(text).err();
        about_program(place, &field, program, new.as_ref(), findings);
        let (mut kept, mut failed) = (Vec::new(), Vec::new());
        let came = devices.len();
        for device in devices {
            match cluster.verdict(&expression, device) {
                Some(Ok(false)) => {}
                Some(Err(error)) => failed.push((device, error)),
                Some(Ok(true)) | None => kept.push(device),
            }
        }
        if let Some((device, error)) = failed.first() {
            let name = cluster.devices.get(*device).map_or_else(String::new, PublishedDevice::name);
            let message = format!(
                "the selector fails on {} of {}, such as `{name}`: {error}",
                failed.len(),
                number(came, "device")
            );
            findings.add(
                Draft::new(SELECTOR_FAILS, place.object.clone(), place.origin, field, message)
                    .details(unpublished(cluster, program))
                    .alike(place.alike),
            );
        } else if kept.is_empty() && came > 0 {
            let message = if came == 1 {
                "the selector is false for the only device that it is asked about".to_owned()
            } else {
                format!("the selector is false for each of {came} devices that it is asked about")
            };
            findings.add(
                Draft::new(SELECTOR_NEVER_MATCHES, place.object.clone(), place.origin, field, message)
                    .severity(place.never)
                    .details(published(cluster, program))
                    .alike(place.alike),
            );
        }
        devices = kept;
    }
}

fn invalid(place: &Place<'_>, field: FieldPath, error: &CompileError) -> Draft {
    let first = error.problems().first();
    let message = first.map_or("the expression does not compile", |problem| problem.message.as_str());
    Draft::new(
        SELECTOR_INVALID,
        place.object.clone(),
        place.origin,
        field,
        format!("the expression does not compile: {}", message.lines().next().unwrap_or_default()),
    )
    .details(error.render().lines().skip(1).map(str::to_owned))
    .alike(place.alike)
}

/// Cost, and what the API server says of a new expression.
fn about_program(
    place: &Place<'_>,
    field: &FieldPath,
    program: &Program,
    new: Option<&CompileError>,
    findings: &mut Findings,
) {
    let cost = program.cost_estimate().max;
    let draft = |rule, message: String| {
        Draft::new(rule, place.object.clone(), place.origin, field.clone(), message).alike(place.alike)
    };
    if cost > MAX_COST {
        let message = format!("the estimated cost is up to {cost}, the limit is {MAX_COST}");
        findings.add(draft(SELECTOR_TOO_COSTLY, message));
    } else if cost > MAX_COST / 2 {
        let share = cost / (MAX_COST / 100);
        let message = format!("the estimated cost is up to {cost}, {share} % of the limit");
        findings.add(draft(SELECTOR_COSTLY, message));
    }
    if let Some(problem) = new.and_then(|error| error.problems().first()) {
        let what = problem.message.lines().next().unwrap_or_default();
        findings.add(draft(SELECTOR_TOO_NEW, format!("the API server refuses it in a new object: {what}")));
    }
}

/// Expressions of derived attributes (KEP-6080).
fn derived(cluster: &Cluster<'_>, demand: &Demand<'_>, findings: &mut Findings) {
    for ask in demand.asks() {
        for (index, derived) in ask.derived.iter().enumerate() {
            let Err(error) = cluster.stored.compile_attribute(&derived.expression) else { continue };
            let field = ask.field.clone().field("derivedAttributes").index(index).field("expression");
            let place = Place {
                object: &demand.object,
                origin: demand.origin,
                field: FieldPath::root(),
                alike: demand.alike,
                never: Severity::Error,
            };
            findings.add(invalid(&place, field, &error));
        }
    }
}

/// Names of attributes and capacities that an expression reads, with their domains.
fn read(program: &Program) -> Vec<String> {
    let References::Only(reads) = program.references() else { return Vec::new() };
    let both = reads.attributes.iter().chain(&reads.capacity);
    both.map(|(domain, id)| format!("{domain}/{id}")).collect()
}

/// What an expression reads that no device publishes at all.
fn unpublished(cluster: &Cluster<'_>, program: &Program) -> Vec<String> {
    let names = all_names(cluster);
    read(program)
        .into_iter()
        .filter(|name| !names.contains(name))
        .map(|name| {
            let near = nearest(&name, &names);
            let hint = near.map_or_else(String::new, |near| format!("; is `{near}` meant?"));
            format!("no device publishes `{name}`{hint}")
        })
        .collect()
}

/// What the devices have of that which an expression reads.
fn published(cluster: &Cluster<'_>, program: &Program) -> Vec<String> {
    let mut lines = unpublished(cluster, program);
    for name in read(program) {
        let mut values: BTreeSet<String> = BTreeSet::new();
        for device in &cluster.devices {
            if let Some(value) = device.attribute(&name) {
                values.insert(text_of(value));
            } else if let Some(capacity) = capacity(device, &name) {
                values.insert(capacity);
            }
        }
        if !values.is_empty() {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            lines.push(format!("`{name}` is {} on the devices", shown(&values).join(", ")));
        }
    }
    lines
}

fn capacity(device: &PublishedDevice<'_>, name: &str) -> Option<String> {
    let (domain, id) = name.split_once('/')?;
    let short = (domain == device.slice.spec.driver).then(|| device.device.capacity.get(id)).flatten();
    Some(device.device.capacity.get(name).or(short)?.value.to_string())
}

fn text_of(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Int(value) => value.to_string(),
        AttributeValue::Bool(value) => value.to_string(),
        AttributeValue::String(text) | AttributeValue::Version(text) => format!("{text:?}"),
        other => other.field_name().to_owned(),
    }
}

/// Every attribute and capacity that some device publishes, with its domain.
fn all_names(cluster: &Cluster<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for published in &cluster.devices {
        let own = published.device.attributes.keys().chain(published.device.capacity.keys());
        for name in own {
            names.insert(if name.contains('/') {
                name.clone()
            } else {
                format!("{}/{name}", published.slice.spec.driver)
            });
        }
    }
    names
}

/// The name that differs least, if it differs little.
pub(super) fn nearest<'n>(name: &str, names: &'n BTreeSet<String>) -> Option<&'n str> {
    let limit = (name.len() / 4).clamp(1, 4);
    let measured = names.iter().map(|other| (distance(name, other), other));
    let (best, other) = measured.min_by_key(|(distance, _)| *distance)?;
    (best <= limit).then_some(other.as_str())
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.chars().enumerate() {
        let mut before = index;
        let mut next = vec![index + 1];
        for (position, b) in right.iter().enumerate() {
            let above = row.get(position + 1).copied().unwrap_or_default();
            let beside = next.last().copied().unwrap_or_default();
            let changed = before + usize::from(a != *b);
            next.push(changed.min(above + 1).min(beside + 1));
            before = above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Classes for one extended resource.
fn extended_names(cluster: &Cluster<'_>, findings: &mut Findings) {
    let mut seen: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
    for class in &cluster.snapshot.classes {
        let Some(name) = class.spec.extended_resource_name.as_deref() else { continue };
        if let Some(other) = seen.insert(name, &class.metadata.name) {
            let message = format!("class `{other}` serves the extended resource `{name}` too");
            let object = reference("DeviceClass", &class.metadata);
            let field = FieldPath::fields("spec.extendedResourceName");
            findings.add(Draft::new(EXTENDED_NAME_TWICE, object, &class.origin, field, message));
        }
    }
}
