//! Memory and time of a large cluster: `cargo run --release -p drayage-allocator --example memory [NODES]`.
//!
//! Each node has a slice of eight devices, each device an allocated claim. Measured are the memory that inventory and
//! state take (what the system counts for the process, Linux only), and the time to build both from one large text.

#![expect(clippy::print_stdout, reason = "an example that only prints")]

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use drayage_allocator::objects::ResourceSlice;
use drayage_allocator::{AllocatedState, Features, Inventory};
use drayage_cluster::{Input, LoadOptions, Snapshot, load};
use mimalloc::MiMalloc;
use serde_json::{Value, json};

/// As in `dray`. It gives memory back that the system's may keep.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn slice(node: usize) -> Value {
    let device = |index: usize| {
        json!({
            "name": format!("gpu-{index}"),
            "attributes": {
                "architecture": {"string": "Hopper"},
                "brand": {"string": "Nvidia"},
                "cudaComputeCapability": {"version": "9.0.0"},
                "driverVersion": {"version": "580.65.6"},
                "index": {"int": index},
                "numa": {"int": index / 4},
                "productName": {"string": "NVIDIA H100 80GB HBM3"},
                "resource.kubernetes.io/pcieRoot": {"string": format!("pci0000:{index:02x}")},
                "type": {"string": "gpu"},
                "uuid": {"string": format!("GPU-{node:08x}-4cf8-1fd2-6bcc-{index:012x}")}
            },
            "capacity": {"memory": {"value": "81559Mi"}}
        })
    };
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice",
        "metadata": {"name": format!("node-{node}-gpu.nvidia.com")},
        "spec": {
            "driver": "gpu.nvidia.com", "nodeName": format!("node-{node}"),
            "pool": {"name": format!("node-{node}"), "generation": 1, "resourceSliceCount": 1},
            "devices": (0..8).map(device).collect::<Vec<Value>>()
        }
    })
}

fn claim(node: usize, device: usize) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"namespace": "default", "name": format!("claim-{node}-{device}")},
        "spec": {"devices": {"requests": [{
            "name": "gpu",
            "exactly": {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount", "count": 1}
        }]}},
        "status": {
            "allocation": {
                "devices": {"results": [{
                    "request": "gpu", "driver": "gpu.nvidia.com",
                    "pool": format!("node-{node}"), "device": format!("gpu-{device}")
                }]},
                "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [
                    {"key": "metadata.name", "operator": "In", "values": [format!("node-{node}")]}
                ]}]}
            },
            "reservedFor": [{
                "resource": "pods", "name": format!("pod-{node}-{device}"), "uid": format!("{node}-{device}")
            }]
        }
    })
}

/// A line of `/proc/self/status`, such as `VmRSS`, in MiB.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found =
        status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')?.strip_suffix("kB"));
    found.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn text_of(items: impl Iterator<Item = Value>) -> String {
    let mut text = String::from("{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[");
    for (at, item) in items.enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(&item.to_string());
    }
    text.push_str("\n]}");
    text
}

/// Slices and what claims hold, from a text.
fn read(text: String, state: &mut AllocatedState) -> Vec<Arc<ResourceSlice>> {
    let path = std::env::temp_dir().join(format!("drayage-memory-{}.json", std::process::id()));
    fs::write(&path, text).expect("there is room for the text");
    let loaded = load(&[Input::Path(path.clone())], LoadOptions::default());
    fs::remove_file(path).expect("the file is ours");
    // The text is dropped here.
    let Snapshot { slices, claims, .. } = loaded.expect("the objects are right");
    for allocation in claims.into_iter().filter_map(|claim| claim.allocation) {
        state.insert(&allocation, Features::default());
    }
    slices.into_iter().map(|slice| slice.spec).collect()
}

fn main() {
    let nodes: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5_000);
    let claims = |node: usize| (0..8).map(move |device| claim(node, device));

    // Node by node, so that little is there besides.
    let before = memory("VmRSS");
    let mut state = AllocatedState::new();
    let mut inventory = Inventory::default();
    for node in 0..nodes {
        for slice in read(text_of([slice(node)].into_iter().chain(claims(node))), &mut state) {
            inventory.publish(slice);
        }
    }
    println!(
        "{nodes} nodes, {0} devices, {0} claims: inventory and state take {1} MiB",
        inventory.device_count(),
        memory("VmRSS").saturating_sub(before)
    );
    drop((inventory, state));

    let text = text_of((0..nodes).map(slice).chain((0..nodes).flat_map(claims)));
    let size = text.len() >> 20;
    let start = Instant::now();
    let mut state = AllocatedState::new();
    let inventory = Inventory::from_shared(read(text, &mut state));
    println!(
        "built from {size} MiB of JSON in {:?}; the most memory there was: {} MiB",
        start.elapsed(),
        memory("VmHWM")
    );
    drop((inventory, state));
}
