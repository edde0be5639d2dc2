//! Pools: numbers of slices, generations, names of devices.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::PoolId;
use drayage_allocator::profile::IncompletePools;

use super::cluster::{Cluster, Pool, PublishedDevice};
use super::finding::{Draft, Findings};
use super::input::reference;
use super::rules::{
    ATTRIBUTE_KINDS_DIFFER, DUPLICATE_DEVICE, MALFORMED_ATTRIBUTE, NO_SLICE_COUNT, OLD_GENERATION,
    POOL_INCOMPLETE, POOL_OVERFULL, Rule, SLICE_COUNTS_DIFFER, Severity,
};
use crate::objects::Slice;
use crate::path::FieldPath;

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    for (id, pool) in &cluster.pools {
        generations(id, pool, findings);
        counts(cluster, id, pool, findings);
        device_names(id, pool, findings);
    }
    attributes(cluster, findings);
    kinds(cluster, findings);
}

fn draft(rule: &'static Rule, slice: &Slice, field: FieldPath, message: String) -> Draft {
    Draft::new(rule, reference("ResourceSlice", &slice.metadata), &slice.origin, field, message)
}

fn generations(id: &PoolId, pool: &Pool<'_>, findings: &mut Findings) {
    let newest = pool.generation();
    let old: Vec<&&Slice> = pool.slices.iter().filter(|slice| slice.spec.pool.generation < newest).collect();
    if let Some(first) = old.first() {
        let field = FieldPath::fields("spec.pool.generation");
        let generation = first.spec.pool.generation;
        let message =
            format!("pool `{id}` has generation {newest}, this slice is of generation {generation}");
        findings.add(draft(OLD_GENERATION, first, field, message).alike(old.len() - 1));
    }
}

fn counts(cluster: &Cluster<'_>, id: &PoolId, pool: &Pool<'_>, findings: &mut Findings) {
    let field = || FieldPath::fields("spec.pool.resourceSliceCount");
    let newest: Vec<&Slice> = pool.newest().collect();
    let Some(first) = newest.first() else { return };
    let mut missing = false;
    for slice in newest.iter().filter(|slice| slice.spec.pool.resource_slice_count < 1) {
        missing = true;
        let message = format!("pool `{id}` does not say how many slices it has, so it is never complete");
        findings.add(draft(NO_SLICE_COUNT, slice, field(), message));
    }
    if missing {
        return;
    }
    let announced: BTreeSet<i64> = newest.iter().map(|slice| slice.spec.pool.resource_slice_count).collect();
    if announced.len() > 1 {
        let numbers: Vec<String> = announced.iter().map(ToString::to_string).collect();
        let message = format!(
            "the slices of generation {} of pool `{id}` announce different numbers of slices: {}",
            pool.generation(),
            numbers.join(", ")
        );
        findings.add(draft(SLICE_COUNTS_DIFFER, first, field(), message));
        return;
    }
    let count = first.spec.pool.resource_slice_count;
    let there = newest.len();
    let generation = pool.generation();
    let searched = cluster.profile.incomplete_pools == IncompletePools::Searched;
    let severity = if searched { Severity::Warning } else { Severity::Error };
    if i64::try_from(there).is_ok_and(|there| there < count) {
        let devices: usize = newest.iter().map(|slice| slice.spec.devices.len()).sum();
        let message = format!("pool `{id}` has {there} of {count} slices of generation {generation}");
        let consequence = if searched {
            format!("its {} are allocated, but not to requests for all devices", number(devices, "device"))
        } else {
            format!("nothing is allocated of its {}", number(devices, "device"))
        };
        findings.add(draft(POOL_INCOMPLETE, first, field(), message).detail(consequence).severity(severity));
    } else if i64::try_from(there).is_ok_and(|there| there > count) {
        let names: Vec<&str> = newest.iter().map(|slice| slice.metadata.name.as_str()).collect();
        let message =
            format!("pool `{id}` has {there} slices of generation {generation} and announces {count}");
        let which = format!("its slices are `{}`", shown(&names).join("`, `"));
        findings.add(draft(POOL_OVERFULL, first, field(), message).detail(which).severity(severity));
    }
}

fn device_names(id: &PoolId, pool: &Pool<'_>, findings: &mut Findings) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for slice in pool.newest() {
        for (index, device) in slice.spec.devices.iter().enumerate() {
            let Some(before) = first.insert(&device.name, &slice.metadata.name) else { continue };
            let field = FieldPath::fields("spec.devices").index(index).field("name");
            let message = if before == slice.metadata.name {
                format!("pool `{id}` has device `{}` twice in this slice", device.name)
            } else {
                format!("pool `{id}` has device `{}` twice, also in slice `{before}`", device.name)
            };
            findings.add(draft(DUPLICATE_DEVICE, slice, field, message));
        }
    }
}

/// Versions that are none, and attributes without a value.
fn attributes(cluster: &Cluster<'_>, findings: &mut Findings) {
    use drayage_cel::{AttributeValue, SemanticVersion};
    let is_version = |text: &String| text.parse::<SemanticVersion>().is_ok();
    for published in &cluster.devices {
        for (name, value) in &published.device.attributes {
            let field = || published.field().field("attributes").key(name);
            let (field, what) = match value {
                AttributeValue::Unset => (field(), "no value".to_owned()),
                AttributeValue::Version(text) if !is_version(text) => {
                    (field().field("version"), format!("`{text}`, which is no semantic version"))
                }
                AttributeValue::Versions(texts) => match texts.iter().find(|text| !is_version(text)) {
                    Some(text) => {
                        (field().field("versions"), format!("`{text}`, which is no semantic version"))
                    }
                    None => continue,
                },
                _ => continue,
            };
            let message = format!("device `{}` has attribute `{name}` with {what}", published.name());
            findings.add(draft(MALFORMED_ATTRIBUTE, published.slice, field, message));
        }
    }
}

/// One attribute of one driver has one type.
fn kinds(cluster: &Cluster<'_>, findings: &mut Findings) {
    let mut first: BTreeMap<(&str, String), (&'static str, usize)> = BTreeMap::new();
    let mut told: BTreeSet<(&str, String)> = BTreeSet::new();
    for (at, published) in cluster.devices.iter().enumerate() {
        let driver = published.slice.spec.driver.as_str();
        for (name, value) in &published.device.attributes {
            let full = if name.contains('/') { name.clone() } else { format!("{driver}/{name}") };
            let kind = value.field_name();
            let key = (driver, full);
            let (known, example) = *first.entry(key.clone()).or_insert((kind, at));
            if known == kind || kind == "none" || known == "none" || !told.insert(key.clone()) {
                continue;
            }
            let field = published.field().field("attributes").key(name);
            let other = cluster.devices.get(example).map_or_else(String::new, PublishedDevice::name);
            let message = format!(
                "attribute `{}` is `{kind}` on device `{}` and `{known}` on `{other}`",
                key.1,
                published.name()
            );
            findings.add(draft(ATTRIBUTE_KINDS_DIFFER, published.slice, field, message));
        }
    }
}

/// `1 device`, `2 devices`.
pub(super) fn number(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The first few names, and how many more there are.
pub(super) fn shown(names: &[&str]) -> Vec<String> {
    const SHOWN: usize = 5;
    let mut texts: Vec<String> = names.iter().take(SHOWN).map(|name| (*name).to_owned()).collect();
    if names.len() > SHOWN {
        texts.push(format!("{} more", names.len() - SHOWN));
    }
    texts
}
