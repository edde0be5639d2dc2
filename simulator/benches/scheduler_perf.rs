//! The shapes of scheduler_perf's DRA tests, of Kubernetes 1.37 and, where it is another one there, of 1.36.
//!
//! `cargo bench -p drayage-simulator --bench scheduler_perf` prints pods per second (`elem/s`). This is the algorithm
//! only: there is no API server, no watch and no binding, which are part of what scheduler_perf measures, so the figures
//! of the two are no ratio. Where a test of scheduler_perf goes on at the same occupancy for some seconds, the measured
//! pods here are as many as still find devices.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::PodOutcome;
use drayage_simulator::schedule::{ClusterState, Options, PodId, PodPlace, Prepared};
use serde_json::{Value, json};

const DRIVER: &str = "test-driver.cdi.k8s.io";
const API: &str = "resource.k8s.io/v1";

/// One of the tests.
struct Shape {
    name: &'static str,
    nodes: usize,
    devices: Devices,
    /// What each measured pod claims.
    claim: Value,
    /// How many pods with that claim have their devices already when the measured ones come.
    before: usize,
    pods: usize,
}

/// What is published.
#[derive(Clone, Copy)]
enum Devices {
    /// Ten devices on each node, with as many attributes as a real one.
    Plain,
    /// Two partitions on each node that take different counters.
    Partitions,
    /// Eight partitions on each node, of which seven fit, the first not among them.
    Backtracking,
    /// So many pools that all nodes see, each with six partitions that take the same counters in several ways; the first
    /// partition of each pool is held.
    Network(usize),
}

fn one_device() -> Value {
    json!({"requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class"}}]})
}

fn some_devices(count: usize) -> Value {
    json!({"requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class", "count": count}}]})
}

fn shapes() -> Vec<Shape> {
    let five_alike = json!({
        "requests": (0..5).map(|at| json!({"name": format!("req-{at}"), "exactly": {"deviceClassName": "test-class"}}))
            .collect::<Vec<_>>(),
        "constraints": [{"matchAttribute": "resource.kubernetes.io/pciRoot"}]
    });
    let mut two_of_a_pool = some_devices(2);
    two_of_a_pool["constraints"] =
        json!([{"requests": ["req-0"], "matchAttribute": "dra.example.com/slice"}]);
    let alternatives = json!({"requests": [{"name": "req-0", "firstAvailable": [
        {"name": "sub-0", "deviceClassName": "no-devices-class"},
        {"name": "sub-1", "deviceClassName": "test-class"}
    ]}]});
    let shape = |name, devices, claim: &Value, before, pods| Shape {
        name,
        nodes: 500,
        devices,
        claim: claim.clone(),
        before,
        pods,
    };
    vec![
        shape("templates", Devices::Plain, &one_device(), 0, 5_000),
        shape("templates, half full", Devices::Plain, &one_device(), 2_500, 2_500),
        shape("match attribute", Devices::Plain, &five_alike, 0, 1_000),
        shape("prioritised list", Devices::Plain, &alternatives, 0, 5_000),
        shape("partitionable", Devices::Partitions, &some_devices(2), 0, 500),
        shape("partitionable, half full", Devices::Partitions, &some_devices(2), 250, 250),
        shape("partitionable, backtracking", Devices::Backtracking, &some_devices(7), 0, 500),
        Shape {
            nodes: 100,
            ..shape("partitionable of 1.36", Devices::Network(2_000), &two_of_a_pool, 0, 2_000)
        },
        shape("partitionable of 1.36, larger", Devices::Network(5_000), &two_of_a_pool, 0, 5_000),
    ]
}

/// The slices of a node, or of a pool that all nodes see.
fn slices(devices: Devices, number: usize) -> Vec<Value> {
    let with_counters = !matches!(devices, Devices::Plain);
    let mut spec = json!({
        "driver": DRIVER,
        "pool": {
            "name": format!("resourceslice-{number}"),
            "generation": 1,
            "resourceSliceCount": 1 + usize::from(with_counters)
        },
    });
    if matches!(devices, Devices::Network(_)) {
        spec["nodeSelector"] = json!({"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "node-with-dra", "operator": "In", "values": ["true"]}
        ]}]});
    } else {
        spec["nodeName"] = json!(format!("scheduler-perf-dra-{number}"));
    }
    let partition = |name: String, taken: &[(&str, &str, &str)]| {
        let consumed: Vec<Value> = taken
            .chunk_by(|(set, ..), (other, ..)| set == other)
            .map(|of_set| {
                json!({"counterSet": of_set[0].0, "counters": of_set.iter()
                .map(|(_, counter, value)| ((*counter).to_owned(), json!({"value": value})))
                .collect::<serde_json::Map<_, _>>()})
            })
            .collect();
        json!({"name": name, "consumesCounters": consumed})
    };
    let one =
        |counter: usize| ("counter-set", ["counter1", "counter2", "counter3", "counter4"][counter], "1");
    let four = json!([{"name": "counter-set", "counters": {
        "counter1": {"value": "1"}, "counter2": {"value": "1"}, "counter3": {"value": "1"}, "counter4": {"value": "1"}
    }}]);
    let (counters, devices): (Value, Vec<Value>) = match devices {
        Devices::Plain => (Value::Null, (0..10).map(plain_device).collect()),
        Devices::Partitions => (
            four,
            vec![
                partition("device-1".to_owned(), &[one(0), one(1)]),
                partition("device-2".to_owned(), &[one(2), one(3)]),
            ],
        ),
        Devices::Backtracking => {
            let cpus: serde_json::Map<_, _> =
                (1..=8).map(|cpu| (format!("cpu{cpu}"), json!({"value": "1"}))).collect();
            let device = |at: usize| {
                let memory = if at == 1 { "20Gi" } else { "10Gi" };
                let cpu = format!("cpu{at}");
                let taken =
                    [("counter-set-for-cpu", cpu.as_str(), "1"), ("counter-set-for-mem", "mem", memory)];
                partition(format!("device-{at}"), &taken)
            };
            let sets = json!([
                {"name": "counter-set-for-cpu", "counters": cpus},
                {"name": "counter-set-for-mem", "counters": {"mem": {"value": "70Gi"}}}
            ]);
            (sets, (1..=8).map(device).collect())
        }
        Devices::Network(_) => {
            let device = |name: String, taken: &[_], preallocate: bool| {
                let mut device = partition(name, taken);
                device["attributes"] =
                    json!({"preallocate": {"bool": preallocate}, "dra.example.com/slice": {"int": number}});
                device["capacity"] = json!({"counters": {"value": taken.len().to_string()}});
                device
            };
            let pairs = (0..2).map(|at| {
                device(format!("device-2-counters-{}", at + 1), &[one(2 * at), one(2 * at + 1)], at == 0)
            });
            let singles = (0..4).map(|at| device(format!("device-1-counter-{}", at + 1), &[one(at)], false));
            (four, pairs.chain(singles).collect())
        }
    };
    let mut of_devices = spec.clone();
    of_devices["devices"] = devices.into();
    if !with_counters {
        return vec![of_devices];
    }
    spec["sharedCounters"] = counters;
    vec![spec, of_devices]
}

/// As upstream's, which is like a GPU of Intel.
fn plain_device(at: usize) -> Value {
    let text = |text: &str| json!({"string": text});
    let (root, address) = (at % 2, format!("0000:0{at}:00.0"));
    json!({
        "name": format!("basic-device-{at}"),
        "attributes": {
            "driver": text("xe"),
            "driverVersion": {"version": "1.2.3"},
            "resource.k8s.io/pciRoot": text(&root.to_string()),
            "family": text("Arc Pro B-Series"),
            "health": text("Healthy"),
            "model": text("B60"),
            "pciAddress": text(&address),
            "pciId": text("0xe211"),
            "pciRoot": text(&format!("0{root}")),
            "resource.kubernetes.io/pciBusID": text(&address),
            "resource.kubernetes.io/pciRoot": text(&format!("pci0000:0{root}")),
            "sriov": {"bool": true},
            "type": text("gpu"),
        },
        "capacity": {"memory": {"value": "24480Mi"}, "millicores": {"value": "1k"}},
    })
}

/// A claim that holds the first partition of a pool.
fn holder(pool: usize) -> Value {
    let result = json!({"request": "req-0", "driver": DRIVER, "pool": format!("resourceslice-{pool}"),
                        "device": "device-2-counters-1"});
    json!({"apiVersion": API, "kind": "ResourceClaim",
           "metadata": {"namespace": "init", "name": format!("test-claim-with-selector-{pool}")},
           "spec": {"devices": one_device()},
           "status": {"allocation": {"devices": {"results": [result]}}}})
}

fn cluster(shape: &Shape) -> ClusterState {
    let class = |name: &str, expression: &str| {
        json!({"apiVersion": API, "kind": "DeviceClass", "metadata": {"name": name},
               "spec": {"selectors": [{"cel": {"expression": expression}}]}})
    };
    let mut items = vec![
        class("test-class", &format!("device.driver == \"{DRIVER}\"")),
        class("no-devices-class", "device.driver == \"no-such-driver.cdi.k8s.io\""),
        json!({"apiVersion": API, "kind": "ResourceClaimTemplate",
               "metadata": {"namespace": "test", "name": "test-claim-template"},
               "spec": {"spec": {"devices": shape.claim}}}),
    ];
    for node in 0..shape.nodes {
        let name = format!("scheduler-perf-dra-{node}");
        items.push(json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "node-with-dra": "true"}},
            "status": {"allocatable": {"pods": "110", "cpu": "4", "memory": "32Gi"}}}));
    }
    let places = if let Devices::Network(pools) = shape.devices { pools } else { shape.nodes };
    for place in 0..places {
        for (number, spec) in slices(shape.devices, place).into_iter().enumerate() {
            items.push(json!({"apiVersion": API, "kind": "ResourceSlice",
                "metadata": {"name": format!("resourceslice-{number}-{place}")}, "spec": spec}));
        }
        if let Devices::Network(_) = shape.devices {
            items.push(holder(place));
        }
    }
    for pod in 0..shape.before + shape.pods {
        items.push(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "test", "name": format!("test-dra-{pod:05}")},
        "spec": {
            "containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10.1",
                            "resources": {"claims": [{"name": "resource"}]}}],
            "resourceClaims": [{"name": "resource", "resourceClaimTemplateName": "test-claim-template"}]
        }}));
    }
    let text = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    let prepared = Prepared::new(load(&[input], LoadOptions::default()).expect("the objects are right"));
    let release = if let Devices::Network(_) = shape.devices { Release::V1_36 } else { Release::V1_37 };
    ClusterState::new(&prepared, &Options::for_release(release))
}

/// Schedules pods one after the other; each finds its place.
fn schedule(state: &mut ClusterState, pods: &[PodId]) {
    let cancel = AtomicBool::new(false);
    for &pod in pods {
        let attempt = state.attempt(pod, &cancel).expect("nobody cancels");
        assert_eq!(attempt.outcome, PodOutcome::Scheduled, "{:?}", attempt.message);
        black_box(attempt);
    }
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler_perf, the algorithm only, one thread");
    group.sample_size(10);
    for shape in shapes() {
        let mut state = cluster(&shape);
        let waiting = state.pods().filter(|(_, _, place)| *place == PodPlace::Pending);
        let waiting = waiting.map(|(id, ..)| id).collect();
        let queue = state.in_queue_order(waiting);
        let (before, measured) = queue.split_at(shape.before);
        schedule(&mut state, before);
        group.throughput(Throughput::Elements(measured.len() as u64));
        group.bench_function(shape.name, |bencher| {
            bencher.iter_batched(
                || state.clone(),
                |mut state| {
                    schedule(&mut state, measured);
                    state
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
