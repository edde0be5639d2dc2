//! Random clusters with groups of pods for the real scheduler. All pods need one CPU, so that it does not matter which
//! of them gets which node: how many of a group start is the same. Records name clusters by their seeds, so a change
//! here makes them void.

use super::support::Numbers;
use serde_json::{Value, json};

/// The objects of a cluster.
pub(crate) fn cluster(seed: u64) -> Vec<Value> {
    let mut numbers = Numbers(seed);
    let mut objects = Vec::new();
    for number in 0..=numbers.below(4) {
        let name = format!("node-{number}");
        let cpu = (1 + numbers.below(4)).to_string();
        objects.push(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "20"}},
        }));
    }
    let mut minute = 0;
    for number in 0..2 + numbers.below(4) {
        let group = format!("group-{number}");
        let members = 1 + numbers.below(5);
        let is_gang = numbers.chance(85);
        let least = if numbers.chance(10) { members + 1 } else { 1 + numbers.below(members) };
        let policy = if is_gang { json!({"gang": {"minCount": least}}) } else { json!({"basic": {}}) };
        objects.push(json!({
            "apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"namespace": "ns", "name": group},
            "spec": {"schedulingPolicy": policy},
        }));
        for member in 0..members {
            objects.push(pod(&format!("{group}-{member}"), Some(&group), minute));
            minute += 1;
        }
        if numbers.chance(30) {
            objects.push(pod(&format!("alone-{number}"), None, minute));
            minute += 1;
        }
    }
    objects
}

fn pod(name: &str, group: Option<&str>, minute: u64) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "ns", "name": name, "uid": format!("uid-{name}"),
            "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z"),
        },
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
    });
    if let Some(group) = group {
        pod["spec"]["schedulingGroup"] = json!({"podGroupName": group});
    }
    pod
}
