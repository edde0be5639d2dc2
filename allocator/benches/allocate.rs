//! Questions about one node of a cluster of 500 nodes with eight devices each.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use drayage_allocator::objects::{
    AttributeValue, Device, DeviceClass, DeviceConstraint, DeviceRequest, DeviceSelector, ExactDeviceRequest,
    Node, ResourceClaim, ResourcePool, ResourceSlice,
};
use drayage_allocator::{AllocatedState, Allocator, Features, Inventory, Outcome, Profile};

const NODES: usize = 500;
const BY_MODEL: &str = "device.attributes['gpu.example.com'].model == 'A100'";
const BY_TWO: &str = "device.attributes['gpu.example.com'].model == 'A100' && \
                      device.attributes['gpu.example.com'].index >= 2";

fn slice(node: usize, devices: usize) -> ResourceSlice {
    let device = |index: usize| {
        let number = |value: usize| AttributeValue::Int(i64::try_from(value).unwrap_or_default());
        Device {
            name: format!("gpu-{index:02}"),
            attributes: [
                ("model".to_owned(), AttributeValue::String("A100".to_owned())),
                ("index".to_owned(), number(index)),
                ("numa".to_owned(), number(index * 2 / devices)),
                ("uuid".to_owned(), AttributeValue::String(format!("GPU-{node}-{index}"))),
            ]
            .into(),
            ..Device::default()
        }
    };
    let name = format!("node-{node}");
    ResourceSlice {
        name: format!("{name}-gpu"),
        driver: "gpu.example.com".to_owned(),
        pool: ResourcePool { name: name.clone(), generation: 1, resource_slice_count: 1 },
        node_name: Some(name),
        devices: (0..devices).map(device).collect(),
        ..ResourceSlice::default()
    }
}

fn slices() -> Vec<ResourceSlice> {
    // The first node has 16 devices, the second 40, all others 8.
    (0..NODES)
        .map(|node| {
            slice(
                node,
                match node {
                    0 => 16,
                    1 => 40,
                    _ => 8,
                },
            )
        })
        .collect()
}

fn claim(count: i64, selector: Option<&str>, matched: Option<&str>) -> ResourceClaim {
    let exactly = ExactDeviceRequest {
        device_class_name: "gpu".to_owned(),
        selectors: selector.iter().map(|text| DeviceSelector { cel: Some((*text).to_owned()) }).collect(),
        count,
        ..ExactDeviceRequest::default()
    };
    let constraint = |attribute: &str| DeviceConstraint {
        match_attribute: Some(format!("gpu.example.com/{attribute}")),
        ..DeviceConstraint::default()
    };
    ResourceClaim {
        name: "claim".to_owned(),
        requests: vec![DeviceRequest {
            name: "gpus".to_owned(),
            exactly: Some(exactly),
            first_available: Vec::new(),
        }],
        constraints: matched.map(constraint).into_iter().collect(),
        ..ResourceClaim::default()
    }
}

fn questions(criterion: &mut Criterion) {
    let class = DeviceClass {
        name: "gpu".to_owned(),
        selectors: vec![DeviceSelector { cel: Some("device.driver == 'gpu.example.com'".to_owned()) }],
        ..DeviceClass::default()
    };
    let inventory = Arc::new(Inventory::new(slices()));
    let mut allocator = Allocator::new(inventory, [class], Profile::V1_36, Features::default());
    let state = AllocatedState::new();
    for (name, node, claim, satisfiable) in [
        ("1_of_8_by_class", 7, claim(1, None, None), true),
        ("1_of_8_by_two_terms", 7, claim(1, Some(BY_TWO), None), true),
        ("4_of_8_on_one_numa_node", 7, claim(4, Some(BY_MODEL), Some("numa")), true),
        ("8_of_8", 7, claim(8, Some(BY_MODEL), None), true),
        ("5_of_8_on_one_numa_node", 7, claim(5, Some(BY_MODEL), Some("numa")), false),
        ("9_of_8", 7, claim(9, Some(BY_MODEL), None), false),
        ("17_of_16", 0, claim(17, Some(BY_MODEL), None), false),
        ("21_of_20_on_each_numa_node", 1, claim(21, Some(BY_MODEL), Some("numa")), false),
    ] {
        let node = Node { name: format!("node-{node}"), ..Node::default() };
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let answer = allocator.allocate(&state, &node, &[&claim], &mut String::new, 1_000_000);
                assert_eq!(matches!(answer.outcome, Outcome::Allocated(_)), satisfiable);
                black_box(answer)
            });
        });
    }
}

fn building(criterion: &mut Criterion) {
    // The size of the openb trace: 1,213 nodes, 6,212 devices.
    let slices: Vec<ResourceSlice> =
        (0..1_213).map(|node| slice(node, if node < 1_068 { 5 } else { 6 })).collect();
    criterion.bench_function("inventory_of_1213_nodes", |bencher| {
        bencher.iter_with_large_drop(|| Inventory::new(slices.clone()));
    });
}

fn books(criterion: &mut Criterion) {
    let slices = slices();
    let mut state = AllocatedState::new();
    let id = |slice: &ResourceSlice, device: &Device| drayage_allocator::objects::DeviceId {
        pool: slice.pool_id(),
        device: device.name.clone(),
    };
    for slice in &slices {
        for device in &slice.devices {
            state.insert_device(&id(slice, device));
        }
    }
    let one = id(&slices[3], &slices[3].devices[3]);
    criterion.bench_function("fork_and_change_4048_held_devices", |bencher| {
        bencher.iter(|| {
            let mut fork = state.clone();
            fork.remove_device(&one);
            fork
        });
    });
}

/// One slice or one claim after the other in a cluster of 5,000 nodes with eight devices each, all of them held, while
/// an allocator remembers all nodes. Both include the next question about the node.
fn changes(criterion: &mut Criterion) {
    const NODES: usize = 5_000;
    let inventory = Arc::new(Inventory::new((0..NODES).map(|node| slice(node, 8)).collect()));
    let class = DeviceClass { name: "gpu".to_owned(), ..DeviceClass::default() };
    let mut allocator = Allocator::new(inventory, [class], Profile::V1_36, Features::default());
    let mut state = AllocatedState::new();
    let whole = claim(8, Some(BY_MODEL), None);
    let mut held = Vec::new();
    for node in 0..NODES {
        let node = Node { name: format!("node-{node}"), ..Node::default() };
        let answer = allocator.allocate(&state, &node, &[&whole], &mut String::new, 1_000_000);
        let Outcome::Allocated(results) = answer.outcome else { panic!("{node:?} has eight devices") };
        for result in results.iter() {
            state.insert(result, Features::default());
        }
        held.extend(Arc::unwrap_or_clone(results));
    }
    let node = Node { name: "node-7".to_owned(), ..Node::default() };
    let ask = |allocator: &mut Allocator, state: &AllocatedState| {
        black_box(allocator.allocate(state, &node, &[&whole], &mut String::new, 1_000_000))
    };
    let versions = [Arc::new(slice(7, 8)), Arc::new(slice(7, 9))];
    let mut turn = 0;
    criterion.bench_function("replace_a_slice_of_5000_nodes", |bencher| {
        bencher.iter(|| {
            turn += 1;
            allocator.publish(versions[turn % 2].clone());
            ask(&mut allocator, &state)
        });
    });
    criterion.bench_function("remove_and_add_a_slice_of_5000_nodes", |bencher| {
        bencher.iter(|| {
            allocator.withdraw(&versions[0].name);
            allocator.publish(versions[0].clone());
            ask(&mut allocator, &state)
        });
    });
    criterion.bench_function("free_and_take_a_claim_of_5000_nodes", |bencher| {
        bencher.iter(|| {
            state.remove(&held[7], Features::default());
            ask(&mut allocator, &state);
            state.insert(&held[7], Features::default());
            ask(&mut allocator, &state)
        });
    });
    criterion.bench_function("fork_5000_nodes_and_replace_a_slice_and_free_a_claim", |bencher| {
        bencher.iter(|| {
            let (mut allocator, mut state) = (allocator.clone(), state.clone());
            allocator.publish(versions[1].clone());
            state.remove(&held[7], Features::default());
            ask(&mut allocator, &state);
            (allocator, state)
        });
    });
}

criterion_group!(benches, questions, building, books, changes);
criterion_main!(benches);
