//! Random clusters whose pods come in gangs of different pods, for the real scheduler of 1.37. Every gang has just as many
//! pods as must start together, so that the scheduler sees it as a whole, in the order in which its pods came.
//!
//! Records name clusters by their seeds, so a change here or in `scheduler.rs` makes them void.

use super::scheduler;
use super::support::Numbers;
use serde_json::{Value, json};

/// The objects of a cluster; with `in_racks`, some gangs must be in one rack.
pub(crate) fn cluster(seed: u64, in_racks: bool) -> Vec<Value> {
    let mut numbers = Numbers(seed ^ 0x7465_616d);
    let (mut pods, mut objects): (Vec<Value>, Vec<Value>) = scheduler::cluster(seed)
        .into_iter()
        .partition(|object| object["kind"] == "Pod" && object["spec"]["nodeName"].is_null());
    for node in objects.iter_mut().filter(|object| object["kind"] == "Node") {
        if !node["metadata"]["labels"].is_object() {
            node["metadata"]["labels"] = json!({});
        }
        if !numbers.chance(10) {
            node["metadata"]["labels"]["rack"] = format!("rack-{}", numbers.below(3)).into();
        }
    }
    // Groups all have the same priority as their pods.
    let mut next = 0;
    let mut number = 0;
    while next < pods.len() {
        let size = usize::try_from(1 + numbers.below(4)).unwrap_or(1).min(pods.len() - next);
        let of = format!("team-{number}");
        let kind = numbers.below(10);
        let members = &mut pods[next..next + size];
        next += size;
        number += 1;
        if kind < 2 {
            continue;
        }
        // Groups and their pods are in one namespace.
        let mut size = 0;
        for pod in members.iter_mut().filter(|pod| pod["metadata"]["namespace"] == "ns") {
            pod["spec"]["schedulingGroup"] = json!({"podGroupName": of});
            size += 1;
        }
        if size == 0 {
            continue;
        }
        let policy =
            if size == 1 && kind < 6 { json!({"basic": {}}) } else { json!({"gang": {"minCount": size}}) };
        let mut group = json!({
            "apiVersion": "scheduling.k8s.io/v1beta1", "kind": "PodGroup", "metadata": {"namespace": "ns", "name": of},
            "spec": {"schedulingPolicy": policy},
        });
        if in_racks && !numbers.chance(20) {
            let key = if numbers.chance(10) { "nowhere" } else { "rack" };
            group["spec"]["schedulingConstraints"] = json!({"topology": [{"key": key}]});
        }
        objects.push(group);
    }
    objects.extend(pods);
    objects
}
