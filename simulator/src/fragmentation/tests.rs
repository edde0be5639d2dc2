use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use serde_json::{Value, json};

use super::measure;
use crate::report::FragmentationReport;
use crate::schedule::{Options, Prepared};

fn measured(objects: &[Value]) -> FragmentationReport {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "objects.json".to_owned(), bytes: list.into_bytes() };
    let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
    measure(&prepared, &Options::for_release(Release::V1_36), &mut ()).unwrap()
}

fn node(name: &str, cpu: &str, memory: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110"}},
    })
}

fn slice(node: &str, devices: &[Value], counters: &Value) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("{node}-gpus")},
        "spec": {
            "driver": "gpu.example.com", "nodeName": node, "devices": devices, "sharedCounters": counters,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        },
    })
}

fn gpus(numa_nodes: &[i64]) -> Vec<Value> {
    numa_nodes
        .iter()
        .enumerate()
        .map(|(at, numa)| {
            let attributes = json!({"model": {"string": "H100"}, "numa": {"int": numa}});
            json!({"name": format!("gpu-{at}"), "attributes": attributes})
        })
        .collect()
}

/// A class, and a waiting pod that wants `count` GPUs, aligned or not.
fn demand(count: i64, aligned: bool, cpu: &str, memory: &str) -> Vec<Value> {
    let constraints = if aligned {
        json!([{"requests": ["gpus"], "matchAttribute": "gpu.example.com/numa"}])
    } else {
        json!([])
    };
    let exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count});
    vec![
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {}}),
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
            "metadata": {"name": "gpus", "namespace": "ml"},
            "spec": {"spec": {"devices": {"requests": [{"name": "gpus", "exactly": exactly}], "constraints": constraints}}},
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": "ml"},
            "spec": {
                "containers": [{"name": "main", "resources": {"requests": {"cpu": cpu, "memory": memory}}}],
                "resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": "gpus"}],
            },
        }),
    ]
}

#[track_caller]
fn close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-9, "{found}, not {wanted}");
}

/// Four nodes that the demand of two aligned GPUs does not fit on, each for one reason, and one where it fits.
#[test]
fn idle_devices_are_stranded_by_what_keeps_pods_away() {
    let mut objects = demand(2, true, "4", "8Gi");
    for (name, cpu, memory, numa) in [
        ("fits", "16", "64Gi", vec![0, 0, 1]),
        ("little-cpu", "2", "64Gi", vec![0, 0]),
        ("little-memory", "16", "4Gi", vec![0, 0]),
        ("little-of-both", "2", "4Gi", vec![0, 0]),
        ("not-aligned", "16", "64Gi", vec![0, 1]),
        ("too-few", "16", "64Gi", vec![0]),
    ] {
        objects.push(node(name, cpu, memory));
        objects.push(slice(name, &gpus(&numa), &json!([])));
    }
    let report = measured(&objects);
    close(report.devices, 12.0);
    close(report.idle, 12.0);
    let stranded = report.stranded;
    for (found, wanted) in [
        (stranded.cpu, 2.0),
        (stranded.memory, 2.0),
        (stranded.cpu_and_memory, 2.0),
        (stranded.alignment, 2.0),
        (stranded.devices, 1.0),
        (stranded.rest, 1.0),
        (stranded.counters, 0.0),
    ] {
        close(found, wanted);
    }
    close(report.fragment, 10.0);
    assert_eq!((report.demands[0].fits_on_nodes, report.demands[0].copies), (1, 1));
    assert_eq!(report.demands[0].demand, "2 × gpu");
    let profile = &report.profiles[0];
    assert_eq!((profile.profile.as_str(), profile.placeable, profile.most_on_one_node), ("H100", 12, 3));
}

#[test]
fn partitions_count_by_their_counters() {
    use drayage_allocator::objects::{AllocationResult, DeviceRequestAllocationResult};
    use drayage_allocator::objects::{CounterSet, Device, DeviceCounterConsumption, ResourceSlice};

    use super::idle::{Held, NodeDevices};
    let memory = |amount: &str| [("memory".to_owned(), amount.parse().unwrap())].into();
    let device = |name: &str, amount: &str| Device {
        name: name.to_owned(),
        consumes_counters: vec![DeviceCounterConsumption {
            counter_set: "gpu-0".to_owned(),
            counters: memory(amount),
            ..DeviceCounterConsumption::default()
        }],
        ..Device::default()
    };
    let slice = ResourceSlice {
        devices: vec![device("large", "30Gi"), device("small", "10Gi"), device("middle", "20Gi")],
        shared_counters: vec![CounterSet { name: "gpu-0".to_owned(), counters: memory("40Gi") }],
        ..ResourceSlice::default()
    };
    let mut devices = NodeDevices::default();
    devices.add(&slice, |_| true);
    let amount = |names: &[&str]| {
        let mut held = Held::default();
        let results = names.iter().map(|name| DeviceRequestAllocationResult {
            device: (*name).to_owned(),
            ..DeviceRequestAllocationResult::default()
        });
        held.add(&AllocationResult { results: results.collect(), ..AllocationResult::default() });
        let amount = devices.amount(&held);
        close(amount.devices, 1.0);
        (amount.idle, amount.counters)
    };
    assert_eq!(amount(&[]), (1.0, 0.0));
    // 10Gi are left, and the small partition fits.
    assert_eq!(amount(&["large"]), (0.25, 0.0));
    // 10Gi are left, and the only partition of that size is held.
    assert_eq!(amount(&["small", "middle"]), (0.25, 0.25));
    assert_eq!(amount(&["large", "small"]), (0.0, 0.0));
}

/// A node with one GPU in partitions: each kind alone could be allocated once.
#[test]
fn profiles_say_how_many_of_each_kind_fit() {
    let partition = |name: &str, memory: &str| {
        json!({
            "name": name,
            "attributes": {"profile": {"string": format!("{memory} slice")}},
            "consumesCounters": [{"counterSet": "gpu-0", "counters": {"memory": {"value": memory}}}],
        })
    };
    let partitions = [partition("large", "30Gi"), partition("small", "20Gi"), partition("other", "20Gi")];
    let mut counters =
        slice("a", &[], &json!([{"name": "gpu-0", "counters": {"memory": {"value": "40Gi"}}}]));
    counters["spec"]["pool"]["resourceSliceCount"] = json!(2);
    counters["metadata"]["name"] = json!("a-counters");
    counters["spec"].as_object_mut().unwrap().remove("devices");
    let mut devices = slice("a", &partitions, &json!([]));
    devices["spec"]["pool"]["resourceSliceCount"] = json!(2);
    devices["spec"].as_object_mut().unwrap().remove("sharedCounters");
    let mut objects = demand(1, false, "1", "1Gi");
    objects.extend([node("a", "16", "64Gi"), counters, devices]);
    let report = measured(&objects);
    close(report.devices, 1.0);
    let placeable: Vec<(&str, usize, usize)> = report
        .profiles
        .iter()
        .map(|profile| (profile.profile.as_str(), profile.devices, profile.placeable))
        .collect();
    assert_eq!(placeable, [("20Gi slice", 2, 2), ("30Gi slice", 1, 1)]);
}

#[test]
fn a_cluster_without_claims_has_no_demands_and_no_fragment() {
    let objects = [node("a", "16", "64Gi"), slice("a", &gpus(&[0, 0]), &json!([]))];
    let report = measured(&objects);
    close(report.idle, 2.0);
    close(report.fragment, 0.0);
    assert!(report.demands.is_empty());
}

#[test]
fn shared_devices_are_idle_in_part() {
    use drayage_allocator::objects::{
        AllocationResult, Device, DeviceCapacity, DeviceRequestAllocationResult, ResourceSlice,
    };

    use super::idle::{Held, NodeDevices};
    let capacity = DeviceCapacity { value: "1000".parse().unwrap(), request_policy: None };
    let slice = ResourceSlice {
        devices: vec![Device {
            name: "gpu-0".to_owned(),
            allow_multiple_allocations: Some(true),
            capacity: [("milli".to_owned(), capacity)].into(),
            ..Device::default()
        }],
        ..ResourceSlice::default()
    };
    let mut devices = NodeDevices::default();
    devices.add(&slice, |_| true);
    let mut held = Held::default();
    close(devices.amount(&held).idle, 1.0);
    for (consumed, idle) in [("250", 0.75), ("500", 0.25), ("250", 0.0)] {
        held.add(&AllocationResult {
            results: vec![DeviceRequestAllocationResult {
                device: "gpu-0".to_owned(),
                consumed_capacity: [("milli".to_owned(), consumed.parse().unwrap())].into(),
                ..DeviceRequestAllocationResult::default()
            }],
            ..AllocationResult::default()
        });
        close(devices.amount(&held).idle, idle);
    }
}
