//! Counters (KEP-4815): sets and counters that do not exist, exist twice, or are too small.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{CounterSet, PoolId};
use drayage_allocator::profile::CounterBooks;

use super::cluster::{Cluster, Pool};
use super::finding::{Draft, Findings};
use super::input::reference;
use super::rules::{
    COUNTER_TOO_SMALL, DUPLICATE_COUNTER_SET, FEATURE_OFF, POOL_NAME_SHARED, Rule, UNKNOWN_COUNTER,
};
use crate::objects::Slice;
use crate::path::FieldPath;

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    features(cluster, findings);
    if !cluster.options.features.partitionable_devices {
        return;
    }
    for (id, pool) in &cluster.pools {
        check_pool(id, pool, findings);
    }
    if cluster.profile.counter_books == CounterBooks::PoolName {
        shared_names(cluster, findings);
    }
}

fn draft(rule: &'static Rule, slice: &Slice, field: FieldPath, message: String) -> Draft {
    Draft::new(rule, reference("ResourceSlice", &slice.metadata), &slice.origin, field, message)
}

fn check_pool(id: &PoolId, pool: &Pool<'_>, findings: &mut Findings) {
    let mut sets: BTreeMap<&str, &CounterSet> = BTreeMap::new();
    for slice in pool.newest() {
        for (index, set) in slice.spec.shared_counters.iter().enumerate() {
            if sets.insert(&set.name, set).is_some() {
                let field = FieldPath::fields("spec.sharedCounters").index(index).field("name");
                let message = format!("pool `{id}` has counter set `{}` twice", set.name);
                findings.add(draft(DUPLICATE_COUNTER_SET, slice, field, message));
            }
        }
    }
    // Counters of slices that are not there yet are not known; there is a rule about such pools.
    if sets.is_empty() && !pool.is_complete() {
        return;
    }
    for slice in pool.newest() {
        for (index, device) in slice.spec.devices.iter().enumerate() {
            for (at, consumed) in device.consumes_counters.iter().enumerate() {
                let field =
                    || FieldPath::fields("spec.devices").index(index).field("consumesCounters").index(at);
                let Some(set) = sets.get(consumed.counter_set.as_str()) else {
                    // Without a name there is another finding.
                    if pool.is_complete() && !consumed.counter_set.is_empty() {
                        let names: Vec<&str> = sets.keys().copied().collect();
                        let message = format!(
                            "device `{}` consumes counters of set `{}`, which pool `{id}` does not have",
                            device.name, consumed.counter_set
                        );
                        let has = if names.is_empty() {
                            "the pool has no counter sets".to_owned()
                        } else {
                            format!("its counter sets are `{}`", names.join("`, `"))
                        };
                        let field = field().field("counterSet");
                        findings.add(draft(UNKNOWN_COUNTER, slice, field, message).detail(has));
                    }
                    continue;
                };
                for (name, amount) in &consumed.counters {
                    let field = field().field("counters").key(name);
                    match set.counters.get(name) {
                        None => {
                            let message = format!(
                                "device `{}` consumes counter `{name}`, which set `{}` does not have",
                                device.name, set.name
                            );
                            findings.add(draft(UNKNOWN_COUNTER, slice, field, message));
                        }
                        Some(available) if amount > available => {
                            let message = format!(
                                "device `{}` consumes {amount} of counter `{name}`, of which set `{}` has {available}",
                                device.name, set.name
                            );
                            findings.add(draft(COUNTER_TOO_SMALL, slice, field, message));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }
}

/// Pools of one name and several drivers, of which more than one has counters.
fn shared_names(cluster: &Cluster<'_>, findings: &mut Findings) {
    let mut drivers: BTreeMap<&str, BTreeMap<&str, &Slice>> = BTreeMap::new();
    for (id, pool) in &cluster.pools {
        if let Some(slice) = pool.newest().find(|slice| !slice.spec.shared_counters.is_empty()) {
            drivers.entry(&id.pool).or_default().insert(&id.driver, slice);
        }
    }
    for (pool, drivers) in drivers.into_iter().filter(|(_, drivers)| drivers.len() > 1) {
        let names: Vec<&str> = drivers.keys().copied().collect();
        if let Some(slice) = drivers.values().next() {
            let message =
                format!("drivers `{}` have counters in pools of the name `{pool}`", names.join("` and `"));
            let field = FieldPath::fields("spec.pool.name");
            findings.add(draft(POOL_NAME_SHARED, slice, field, message));
        }
    }
}

/// Fields of slices whose gate is off, once for each driver and field.
fn features(cluster: &Cluster<'_>, findings: &mut Findings) {
    let features = cluster.options.features;
    let mut told: BTreeSet<(&str, &str)> = BTreeSet::new();
    for slice in &cluster.snapshot.slices {
        let spec = &slice.spec;
        let of_devices =
            |test: fn(&drayage_allocator::objects::Device) -> bool| spec.devices.iter().position(test);
        let device = |index: usize, name: &str| FieldPath::fields("spec.devices").index(index).field(name);
        let mut off = |on: bool, gate: &'static str, field: Option<FieldPath>, consequence: &str| {
            if let Some(field) = field.filter(|_| !on)
                && told.insert((&spec.driver, gate))
            {
                let message = format!(
                    "feature gate `{gate}` is off in Kubernetes {}: {consequence}",
                    cluster.options.profile.release()
                );
                findings.add(draft(FEATURE_OFF, slice, field, message).severity(super::Severity::Warning));
            }
        };
        let counters = (!spec.shared_counters.is_empty()).then(|| FieldPath::fields("spec.sharedCounters"));
        let consumes = of_devices(|device| !device.consumes_counters.is_empty());
        off(
            features.partitionable_devices,
            "DRAPartitionableDevices",
            counters.or_else(|| consumes.map(|index| device(index, "consumesCounters"))),
            "slices with counters, and devices that consume them, are not there for the scheduler",
        );
        off(
            features.device_taints,
            "DRADeviceTaints",
            of_devices(|device| !device.taints.is_empty()).map(|index| device(index, "taints")),
            "taints keep nobody away",
        );
        off(
            features.consumable_capacity,
            "DRAConsumableCapacity",
            of_devices(|device| device.allow_multiple_allocations == Some(true))
                .map(|index| device(index, "allowMultipleAllocations")),
            "the devices are allocated as a whole",
        );
        off(
            features.device_binding_and_status,
            "DRADeviceBindingConditions",
            of_devices(|device| device.binding_conditions.is_some())
                .map(|index| device(index, "bindingConditions")),
            "devices with binding conditions are not selected",
        );
        off(
            features.optional_node_operations,
            "DRAOptionalNodeOperations",
            (!spec.skip_node_operations.is_empty()).then(|| FieldPath::fields("spec.skipNodeOperations")),
            "the devices cannot be allocated",
        );
        off(
            features.compatibility_groups,
            "DRADeviceCompatibilityGroups",
            of_devices(|device| {
                device.consumes_counters.iter().any(|consumed| !consumed.compatibility_groups.is_empty())
            })
            .map(|index| device(index, "consumesCounters")),
            "slices with compatibility groups are not there for the scheduler",
        );
    }
}
