//! Random clusters for the real scheduler.
//!
//! They have what filters and scores of the default profile look at. No pod has a priority, so that nothing is
//! preempted. Records name clusters by their seeds, so a change here makes them void.

use super::support::Numbers;
use serde_json::{Value, json};

const APPS: [&str; 3] = ["web", "db", "cache"];
const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// The objects of a cluster.
pub(crate) fn cluster(seed: u64) -> Vec<Value> {
    let mut numbers = Numbers(seed);
    let mut objects = vec![
        class("any", "true"),
        class("big", "device.attributes['gpu.example.com'].model == 'b'"),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": {"team": "a"}}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other", "labels": {"team": "b"}}}),
        template("one", &json!([{"name": "gpu", "exactly": {"deviceClassName": "any"}}])),
        template("two", &json!([{"name": "gpu", "exactly": {"deviceClassName": "any", "count": 2}}])),
        template(
            "either",
            &json!([{"name": "gpu", "firstAvailable": [
                {"name": "large", "deviceClassName": "big"}, {"name": "small", "deviceClassName": "any"},
            ]}]),
        ),
    ];
    if numbers.chance(50) {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns", "name": "cache"},
            "spec": {"selector": {"app": "cache"}},
        }));
    }
    for (kind, app) in [("ReplicaSet", "web"), ("StatefulSet", "db")] {
        objects.push(json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"namespace": "ns", "name": app, "uid": format!("{kind}-{app}")},
            // Its pods are listed below.
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"app": app}},
                "template": {
                    "metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
            },
        }));
    }
    let nodes = 2 + numbers.below(7);
    for number in 0..nodes {
        objects.push(node(&mut numbers, number));
        if numbers.chance(60) {
            objects.push(slice(&mut numbers, number));
        }
    }
    for number in 0..numbers.below(8) {
        let mut pod = pod(&mut numbers, &format!("running-{number}"), number, false);
        pod["spec"]["nodeName"] = format!("node-{}", numbers.below(nodes)).into();
        pod["status"] = json!({"phase": "Running"});
        objects.push(pod);
    }
    for number in 0..4 + numbers.below(9) {
        objects.push(pod(&mut numbers, &format!("pod-{number}"), number, true));
    }
    objects
}

fn class(name: &str, expression: &str) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    })
}

fn template(name: &str, requests: &Value) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
        "metadata": {"namespace": "ns", "name": name}, "spec": {"spec": {"devices": {"requests": requests}}},
    })
}

fn node(numbers: &mut Numbers, number: u64) -> Value {
    let name = format!("node-{number}");
    let mut labels = json!({HOST: name, "disk": (["ssd", "hdd"][at(numbers, 2)])});
    if numbers.chance(85) {
        labels[ZONE] = ["a", "b", "c"][at(numbers, 3)].into();
    }
    let mut spec = json!({});
    if numbers.chance(30) {
        let effect = ["NoSchedule", "PreferNoSchedule", "PreferNoSchedule"][at(numbers, 3)];
        spec["taints"] = json!([{"key": "gpu", "effect": effect}]);
    }
    let mut status = json!({"allocatable": {
        "cpu": (2 + numbers.below(15)).to_string(), "memory": format!("{}Gi", 4 + numbers.below(29)),
        "pods": (3 + numbers.below(10)).to_string(),
    }});
    if numbers.chance(40) {
        let image = |numbers: &mut Numbers, app: &str| json!({"names": [format!("registry.example.com/{app}:1")], "sizeBytes": (1 + numbers.below(900)) << 20});
        let present: Vec<&str> = APPS.into_iter().filter(|_| numbers.chance(50)).collect();
        let images: Vec<Value> = present.into_iter().map(|app| image(numbers, app)).collect();
        status["images"] = images.into();
    }
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "spec": spec, "status": status,
    })
}

fn slice(numbers: &mut Numbers, node: u64) -> Value {
    let devices: Vec<Value> = (0..=numbers.below(4))
        .map(|number| {
            let model = ["a", "b"][at(numbers, 2)];
            json!({"name": format!("gpu-{number}"), "attributes": {"model": {"string": model}}})
        })
        .collect();
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("slice-{node}")},
        "spec": {
            "driver": "gpu.example.com", "nodeName": format!("node-{node}"), "devices": devices,
            "pool": {"name": format!("node-{node}"), "generation": 1, "resourceSliceCount": 1},
        },
    })
}

pub(crate) fn pod(numbers: &mut Numbers, name: &str, number: u64, waits: bool) -> Value {
    let app = APPS[at(numbers, 3)];
    let mut requests = json!({});
    if numbers.chance(75) {
        requests["cpu"] = format!("{}m", 100 * (1 + numbers.below(30))).into();
    }
    if numbers.chance(75) {
        requests["memory"] = format!("{}Mi", 128 * (1 + numbers.below(40))).into();
    }
    let image = format!("registry.example.com/{app}:1");
    let mut container = json!({"name": "main", "image": image, "resources": {"requests": requests}});
    if numbers.chance(8) {
        container["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    }
    let mut spec = json!({"containers": [container]});
    if numbers.chance(20) {
        spec["initContainers"] =
            json!([{"name": "init", "image": image, "resources": {"requests": {"cpu": "1500m"}}}]);
    }
    if numbers.chance(10) {
        spec["nodeSelector"] = json!({"disk": "ssd"});
    }
    if numbers.chance(30) {
        spec["tolerations"] = json!([{"key": "gpu", "operator": "Exists"}]);
    }
    let affinity = affinity(numbers);
    if affinity.as_object().is_some_and(|parts| !parts.is_empty()) {
        spec["affinity"] = affinity;
    }
    if numbers.chance(35) {
        spec["topologySpreadConstraints"] = (0..=numbers.below(2)).map(|key| spread(numbers, key)).collect();
    }
    let namespace = if numbers.chance(85) { "ns" } else { "other" };
    if waits && namespace == "ns" && numbers.chance(35) {
        let template = ["one", "two", "either"][at(numbers, 3)];
        spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": template}]);
    }
    let mut metadata = json!({
        "namespace": namespace, "name": name, "uid": format!("uid-{name}"),
        "labels": {"app": app, "tier": (["front", "back"][at(numbers, 2)])},
        "creationTimestamp": format!("2026-01-01T00:{number:02}:00Z"),
    });
    if namespace == "ns" && app != "cache" && numbers.chance(50) {
        let kind = if app == "web" { "ReplicaSet" } else { "StatefulSet" };
        metadata["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": kind, "name": app, "uid": format!("{kind}-{app}"), "controller": true,
        }]);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

fn affinity(numbers: &mut Numbers) -> Value {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let mut affinity = json!({});
    if numbers.chance(25) {
        let weight = 1 + numbers.below(100);
        let wish = json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]});
        affinity["nodeAffinity"] = json!({PREFERRED: [{"weight": weight, "preference": wish}]});
    }
    for (kind, chance) in [("podAffinity", 12), ("podAntiAffinity", 18)] {
        if numbers.chance(chance) {
            affinity[kind] = json!({REQUIRED: [term(numbers)]});
        }
        if numbers.chance(15) {
            let weighted = json!({"weight": 1 + numbers.below(100), "podAffinityTerm": term(numbers)});
            affinity[kind][PREFERRED] = json!([weighted]);
        }
    }
    affinity
}

fn term(numbers: &mut Numbers) -> Value {
    let mut term = json!({
        "topologyKey": ([ZONE, HOST][at(numbers, 2)]), "labelSelector": selector(numbers),
    });
    if numbers.chance(20) {
        term["namespaceSelector"] =
            if numbers.chance(50) { json!({}) } else { json!({"matchLabels": {"team": "b"}}) };
    }
    if numbers.chance(10) {
        term["namespaces"] = json!(["other"]);
    }
    term
}

fn selector(numbers: &mut Numbers) -> Value {
    if numbers.chance(70) {
        json!({"matchLabels": {"app": APPS[at(numbers, 3)]}})
    } else {
        let operator = ["In", "NotIn"][at(numbers, 2)];
        json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": ["front"]}]})
    }
}

fn spread(numbers: &mut Numbers, key: u64) -> Value {
    let mut constraint = json!({
        "maxSkew": 1 + numbers.below(2), "topologyKey": if key == 0 { ZONE } else { HOST },
        "whenUnsatisfiable": (["DoNotSchedule", "ScheduleAnyway"][at(numbers, 2)]), "labelSelector": selector(numbers),
    });
    if constraint["whenUnsatisfiable"] == "DoNotSchedule" && numbers.chance(20) {
        constraint["minDomains"] = 3.into();
    }
    if numbers.chance(15) {
        constraint["nodeAffinityPolicy"] = "Ignore".into();
    }
    if numbers.chance(25) {
        constraint["nodeTaintsPolicy"] = "Honor".into();
    }
    if numbers.chance(15) {
        constraint["matchLabelKeys"] = json!(["tier"]);
    }
    constraint
}

fn at(numbers: &mut Numbers, bound: u64) -> usize {
    usize::try_from(numbers.below(bound)).unwrap_or(0)
}
