//! Random clusters for the real scheduler in which pods have priorities, budgets cover some of them, and there is too
//! little room.
//!
//! Records name clusters by their seeds, so a change here or in `scheduler.rs` makes them void.

use super::scheduler;
use super::support::Numbers;
use serde_json::{Value, json};

const CLASSES: [(&str, i64); 4] = [("low", -10), ("normal", 10), ("high", 100), ("polite", 100)];

/// The objects of a cluster.
pub(crate) fn cluster(seed: u64) -> Vec<Value> {
    let mut numbers = Numbers(seed ^ 0x7072_6565_6d70_7469);
    let mut objects = scheduler::cluster(seed);
    let nodes = objects.iter().filter(|object| object["kind"] == "Node").count() as u64;
    for number in 0..6 + numbers.below(20) {
        let mut pod = scheduler::pod(&mut numbers, &format!("filler-{number}"), number, false);
        pod["spec"]["nodeName"] = format!("node-{}", numbers.below(nodes)).into();
        pod["status"] = json!({"phase": "Running"});
        objects.push(pod);
    }
    let by_default = numbers.chance(30);
    for (name, value) in CLASSES {
        let mut class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
        });
        if name == "polite" {
            class["preemptionPolicy"] = "Never".into();
        }
        if name == "normal" && by_default {
            class["globalDefault"] = true.into();
        }
        objects.push(class);
    }
    let mut started = 0;
    for object in &mut objects {
        match object["kind"].as_str() {
            Some("Pod") if object["spec"]["nodeName"].is_string() => {
                let classes: [Option<&str>; 6] =
                    [None, None, Some("low"), Some("low"), Some("normal"), Some("high")];
                set_class(object, classes[at(&mut numbers, 6)]);
                // No two start at the same time, in no order.
                started += 1;
                let minute = numbers.below(60);
                object["status"]["startTime"] = format!("2026-01-01T01:{minute:02}:{started:02}Z").into();
            }
            Some("Pod") => {
                let classes: [Option<&str>; 6] =
                    [None, Some("low"), Some("normal"), Some("high"), Some("high"), Some("polite")];
                set_class(object, classes[at(&mut numbers, 6)]);
            }
            // Less room than there was.
            Some("Node") => {
                let cpu = 2 + numbers.below(7);
                object["status"]["allocatable"]["cpu"] = cpu.to_string().into();
                object["status"]["allocatable"]["pods"] = (4 + numbers.below(6)).to_string().into();
            }
            _ => {}
        }
    }
    // A pod that was promised a node. It is the first in the queue: here pods come one at a time, while promises to later
    // pods would count from the start.
    if numbers.chance(30)
        && let Some(pod) =
            objects.iter_mut().rfind(|object| object["kind"] == "Pod" && object["spec"]["nodeName"].is_null())
    {
        pod["spec"]["priority"] = 200.into();
        pod["spec"]["priorityClassName"] = Value::Null;
        pod["status"]["nominatedNodeName"] = format!("node-{}", numbers.below(nodes)).into();
    }
    hold_devices(&mut numbers, &mut objects);
    for number in 0..numbers.below(4) {
        let selector = match numbers.below(8) {
            0 => json!({}),
            1 => json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            2 | 3 => json!({"matchLabels": {"tier": "front"}}),
            _ => json!({"matchLabels": {"app": (["web", "db", "cache"][at(&mut numbers, 3)])}}),
        };
        let mut status = json!({
            "disruptionsAllowed": numbers.below(3), "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3,
        });
        if numbers.chance(20) {
            status["disruptedPods"] =
                json!({format!("filler-{}", numbers.below(10)): "2026-01-01T02:00:00Z"});
        }
        objects.push(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"namespace": "ns", "name": format!("budget-{number}")},
            "spec": {"minAvailable": 2, "selector": selector}, "status": status,
        }));
    }
    objects
}

fn set_class(pod: &mut Value, class: Option<&str>) {
    if let Some(class) = class {
        pod["spec"]["priorityClassName"] = class.into();
    }
}

/// Some running pods hold devices of their nodes, by claims of their own or by one that two of them share.
fn hold_devices(numbers: &mut Numbers, objects: &mut Vec<Value>) {
    let slices: Vec<Value> =
        objects.iter().filter(|object| object["kind"] == "ResourceSlice").cloned().collect();
    let mut claims = Vec::new();
    for slice in slices {
        let node = slice["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        let devices = slice["spec"]["devices"].as_array().map_or(0, Vec::len);
        let mut pods: Vec<&mut Value> = objects
            .iter_mut()
            .filter(|pod| {
                pod["kind"] == "Pod"
                    && pod["spec"]["nodeName"] == node.as_str()
                    && pod["metadata"]["namespace"] == "ns"
            })
            .collect();
        for device in 0..devices {
            if pods.is_empty() || !numbers.chance(60) {
                continue;
            }
            let users: Vec<usize> =
                (0..if numbers.chance(20) { 2 } else { 1 }).map(|_| at(numbers, pods.len() as u64)).collect();
            let name = format!("held-{node}-{device}");
            let mut consumers: Vec<Value> = Vec::new();
            for user in users {
                let pod = &mut *pods[user];
                let uid = pod["metadata"]["uid"].clone();
                if pod["spec"].get("resourceClaims").is_some() {
                    continue;
                }
                pod["spec"]["resourceClaims"] = json!([{"name": "held", "resourceClaimName": name}]);
                let pod_name = pod["metadata"]["name"].clone();
                consumers.push(json!({"resource": "pods", "name": pod_name, "uid": uid}));
            }
            if consumers.is_empty() {
                continue;
            }
            let result = json!({
                "request": "gpu", "driver": "gpu.example.com", "pool": node, "device": format!("gpu-{device}"),
            });
            let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
            claims.push(json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                "metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}")},
                "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "any"}}]}},
                "status": {
                    "allocation": {
                        "devices": {"results": [result]}, "nodeSelector": {"nodeSelectorTerms": [term]},
                    },
                    "reservedFor": consumers,
                },
            }));
        }
    }
    objects.extend(claims);
}

fn at(numbers: &mut Numbers, bound: u64) -> usize {
    usize::try_from(numbers.below(bound)).unwrap_or(0)
}
