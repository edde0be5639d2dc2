//! Random clusters with extended resources that devices back, and with prioritised alternatives, for the real
//! scheduler. Records name clusters by their seeds, so a change here makes them void.

use super::support::Numbers;
use serde_json::{Value, json};

/// The objects of a cluster.
pub(crate) fn cluster(seed: u64) -> Vec<Value> {
    let mut numbers = Numbers(seed);
    let mut objects = vec![
        class("any", "example.com/gpu", None),
        class("big", "example.com/big", Some("device.attributes['gpu.example.com'].model == 'b'")),
        class("small", "", Some("device.attributes['gpu.example.com'].model == 'a'")),
        template(
            "alternatives",
            &json!([
                {"name": "first", "firstAvailable": [
                    {"name": "two", "deviceClassName": "big", "count": 2},
                    {"name": "one", "deviceClassName": "big"},
                    {"name": "any", "deviceClassName": "any"},
                ]},
            ]),
        ),
        template(
            "several",
            &json!([
                {"name": "first", "firstAvailable": [
                    {"name": "large", "deviceClassName": "big"}, {"name": "little", "deviceClassName": "small"},
                ]},
                {"name": "second", "firstAvailable": [
                    {"name": "pair", "deviceClassName": "any", "count": 2}, {"name": "single", "deviceClassName": "any"},
                ]},
            ]),
        ),
        template("one", &json!([{"name": "gpu", "exactly": {"deviceClassName": "any"}}])),
    ];
    let nodes = 2 + numbers.below(6);
    for number in 0..nodes {
        let name = format!("node-{number}");
        let mut allocatable = json!({
            "cpu": (4 + numbers.below(13)).to_string(), "memory": format!("{}Gi", 8 + numbers.below(25)), "pods": "20",
        });
        if numbers.chance(25) {
            allocatable["example.com/gpu"] = numbers.below(4).into();
        }
        if numbers.chance(20) {
            allocatable["example.com/plain"] = (1 + numbers.below(4)).into();
        }
        objects.push(json!({
            "apiVersion": "v1", "kind": "Node", "status": {"allocatable": allocatable},
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        }));
        if numbers.chance(80) {
            objects.push(slice(&mut numbers, &name));
        }
    }
    if numbers.chance(30) {
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "shared"},
            "spec": {
                "driver": "gpu.example.com", "allNodes": true, "devices": devices(&mut numbers, 3),
                "pool": {"name": "shared", "generation": 1, "resourceSliceCount": 1},
            },
        }));
    }
    for number in 0..4 + numbers.below(9) {
        objects.push(pod(&mut numbers, number));
    }
    objects
}

fn class(name: &str, resource: &str, expression: Option<&str>) -> Value {
    let mut spec = json!({});
    if !resource.is_empty() {
        spec["extendedResourceName"] = resource.into();
    }
    if let Some(expression) = expression {
        spec["selectors"] = json!([{"cel": {"expression": expression}}]);
    }
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec,
    })
}

fn template(name: &str, requests: &Value) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
        "metadata": {"namespace": "ns", "name": name}, "spec": {"spec": {"devices": {"requests": requests}}},
    })
}

fn devices(numbers: &mut Numbers, most: u64) -> Vec<Value> {
    let device = |number: u64| {
        let model = if numbers.chance(50) { "a" } else { "b" };
        json!({"name": format!("gpu-{number}"), "attributes": {"model": {"string": model}}})
    };
    (0..most).map(device).collect()
}

fn slice(numbers: &mut Numbers, node: &str) -> Value {
    let most = 1 + numbers.below(6);
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("slice-{node}")},
        "spec": {
            "driver": "gpu.example.com", "nodeName": node, "devices": devices(numbers, most),
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        },
    })
}

fn pod(numbers: &mut Numbers, number: u64) -> Value {
    let name = format!("pod-{number}");
    let resources = |numbers: &mut Numbers| {
        let mut requests = json!({
            "cpu": format!("{}m", 100 * (1 + numbers.below(20))), "memory": format!("{}Mi", 128 * (1 + numbers.below(20))),
        });
        for (resource, chance) in [
            ("example.com/gpu", 40),
            ("example.com/big", 20),
            ("deviceclass.resource.kubernetes.io/small", 15),
            ("example.com/plain", 8),
        ] {
            if numbers.chance(chance) {
                requests[resource] = (1 + numbers.below(2)).into();
            }
        }
        json!({"requests": requests, "limits": requests})
    };
    let mut spec = json!({"containers": [{"name": "main", "image": "i", "resources": resources(numbers)}]});
    if numbers.chance(20) {
        spec["initContainers"] = json!([{"name": "init", "image": "i", "resources": resources(numbers)}]);
    }
    let has_resources = ["example.com/gpu", "example.com/big", "deviceclass.resource.kubernetes.io/small"]
        .iter()
        .any(|name| spec.to_string().contains(name));
    if !has_resources && numbers.chance(85) || numbers.chance(15) {
        let template = ["alternatives", "several", "one"][at(numbers, 3)];
        spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": template}]);
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {
            "namespace": "ns", "name": name, "uid": format!("uid-{name}"),
            "creationTimestamp": format!("2026-01-01T00:{number:02}:00Z"),
        },
    })
}

fn at(numbers: &mut Numbers, bound: u64) -> usize {
    usize::try_from(numbers.below(bound)).unwrap_or(0)
}
