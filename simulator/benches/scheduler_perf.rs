//! The shapes of scheduler_perf's DRA tests: 500 nodes with ten devices each, and as many pods as they take.
//!
//! `cargo bench -p drayage-simulator --bench scheduler_perf` prints pods per second (`elem/s`). This is the algorithm
//! only: there is no API server, no watch and no binding, which are part of what scheduler_perf measures, so the figures
//! of the two are no ratio.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::PodOutcome;
use drayage_simulator::schedule::{ClusterState, Options, PodId, PodPlace, Prepared};
use serde_json::{Value, json};

const NODES: usize = 500;
const DEVICES: usize = 10;
const DRIVER: &str = "test-driver.cdi.k8s.io";

/// One of the tests.
struct Shape {
    name: &'static str,
    pods: usize,
    /// How many pods have their devices already when the measured ones come.
    before: usize,
    claim: Value,
    partitions: bool,
}

fn one_device() -> Value {
    json!({"requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class"}}]})
}

fn shapes() -> [Shape; 5] {
    let two_alike = json!({
        "requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class", "count": 2}}],
        "constraints": [{"requests": ["req-0"], "matchAttribute": "test-driver.cdi.k8s.io/numa"}]
    });
    let alternatives = json!({"requests": [{"name": "req-0", "firstAvailable": [
        {"name": "sub-0", "deviceClassName": "no-devices-class"},
        {"name": "sub-1", "deviceClassName": "test-class"}
    ]}]});
    let templates =
        Shape { name: "templates", pods: 5_000, before: 0, claim: one_device(), partitions: false };
    [
        Shape { name: "half full", pods: 2_500, before: 2_500, claim: one_device(), ..templates },
        Shape {
            name: "match attribute",
            pods: 2_000,
            claim: two_alike.clone(),
            before: 0,
            partitions: false,
        },
        Shape { name: "partitionable", pods: 500, claim: two_alike, before: 500, partitions: true },
        Shape { name: "prioritised list", pods: 5_000, claim: alternatives, before: 0, partitions: false },
        templates,
    ]
}

/// Devices of a node: all alike, or partitions of two cards, as whole, halves and quarters.
fn slice(node: usize, partitions: bool) -> Value {
    let device = |name: String, numa: usize| json!({"name": name, "attributes": {"numa": {"int": numa}, "preallocate": {"bool": false}}});
    let mut spec = json!({
        "driver": DRIVER, "nodeName": format!("node-{node:03}"),
        "pool": {"name": format!("node-{node:03}"), "generation": 1, "resourceSliceCount": 1 + usize::from(partitions)},
    });
    if !partitions {
        spec["devices"] = (0..DEVICES).map(|at| device(format!("device-{at}"), at / 5)).collect();
        return json!([spec]);
    }
    let part = |card: usize, name: String, counters: std::ops::Range<usize>| {
        let mut device = device(name, card);
        let consumed: Value = counters
            .map(|at| (format!("counter{at}"), json!({"value": "1"})))
            .collect::<serde_json::Map<_, _>>()
            .into();
        device["consumesCounters"] = json!([{"counterSet": format!("card-{card}"), "counters": consumed}]);
        device
    };
    let mut devices = Vec::new();
    for card in 0..2 {
        devices.push(part(card, format!("card-{card}"), 0..4));
        devices.extend((0..2).map(|at| part(card, format!("card-{card}-half-{at}"), at * 2..at * 2 + 2)));
        devices.extend((0..4).map(|at| part(card, format!("card-{card}-quarter-{at}"), at..at + 1)));
    }
    let counters: Value = (0..4)
        .map(|at| (format!("counter{at}"), json!({"value": "1"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut sets = spec.clone();
    sets["sharedCounters"] =
        (0..2).map(|card| json!({"name": format!("card-{card}"), "counters": counters})).collect();
    spec["devices"] = devices.into();
    json!([spec, sets])
}

fn cluster(shape: &Shape) -> ClusterState {
    let api = "resource.k8s.io/v1";
    let class = |name: &str, expression: &str| {
        json!({"apiVersion": api, "kind": "DeviceClass", "metadata": {"name": name},
               "spec": {"selectors": [{"cel": {"expression": expression}}]}})
    };
    let mut items = vec![
        class("test-class", &format!("device.driver == \"{DRIVER}\"")),
        class("no-devices-class", "device.driver == \"nobody\""),
        json!({"apiVersion": api, "kind": "ResourceClaimTemplate",
               "metadata": {"namespace": "test", "name": "test-claim-template"},
               "spec": {"spec": {"devices": shape.claim}}}),
    ];
    for node in 0..NODES {
        let name = format!("node-{node:03}");
        items.push(json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "node-with-dra": "true"}},
            "status": {"allocatable": {"pods": "110", "cpu": "4", "memory": "32Gi"}}}));
        for (number, spec) in slice(node, shape.partitions).as_array().into_iter().flatten().enumerate() {
            items.push(json!({"apiVersion": api, "kind": "ResourceSlice",
                "metadata": {"name": format!("{name}-{number}")}, "spec": spec}));
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
    ClusterState::new(&prepared, &Options::for_release(Release::V1_36))
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
