//! Memory and time of a large cluster: `cargo run --release -p drayage-allocator --example memory [NODES]`.
//!
//! Makes a text with a slice of eight devices for each node and an allocated claim for each device, loads it, and
//! builds inventory and state. The memory is what the system counts for the process (Linux only), after everything
//! but inventory and state is dropped.

#![expect(clippy::print_stdout, reason = "an example that only prints")]

use std::fs;
use std::time::Instant;

use drayage_allocator::objects::ResourceSlice;
use drayage_allocator::{AllocatedState, Features, Inventory};
use drayage_cluster::{Input, LoadOptions, load};
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

fn main() {
    let nodes: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5_000);
    let claims = (0..nodes).flat_map(|node| (0..8).map(move |device| claim(node, device)));
    let mut text = String::from("{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[");
    for (at, item) in (0..nodes).map(slice).chain(claims).enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(&item.to_string());
    }
    text.push_str("\n]}");
    let size = u64::try_from(text.len()).unwrap_or(u64::MAX) >> 20;
    println!("{nodes} nodes, {0} devices and {0} claims: {size} MiB of JSON", nodes * 8);
    let before = memory("VmRSS").saturating_sub(size);

    let start = Instant::now();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    let snapshot = load(&[input], LoadOptions::default()).expect("the objects are right");
    println!("loaded in {:?}: {} MiB with all texts and objects", start.elapsed(), memory("VmRSS"));
    let mut state = AllocatedState::new();
    for allocation in snapshot.claims.iter().filter_map(|claim| claim.allocation.as_ref()) {
        state.insert(allocation, Features::default());
    }
    let slices: Vec<ResourceSlice> = snapshot.slices.into_iter().map(|slice| slice.spec).collect();
    let inventory = Inventory::new(slices);
    println!("inventory and state after {:?}", start.elapsed());
    drop((snapshot.claims, snapshot.sources));
    let after = memory("VmRSS");
    println!(
        "inventory of {} devices and state: {} MiB; the most there was: {} MiB",
        inventory.device_count(),
        after.saturating_sub(before),
        memory("VmHWM")
    );
    drop((inventory, state));
}
