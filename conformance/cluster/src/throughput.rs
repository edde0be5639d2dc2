//! Part `throughput`: the shapes of scheduler_perf's DRA tests through the real control plane and through Drayage.
//!
//! The real figure counts from the first pod that is sent to the last that has a node: the API server and etcd (without
//! waiting for the disk), the controller that makes claims, the scheduler, and the writes with which it allocates and
//! binds. Ours counts once from the text of the objects to the last pod, and once without reading. Everything runs on
//! the same cores, the control plane's processes beside each other.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::PodOutcome;
use drayage_simulator::schedule::{ClusterState, Options, PodPlace, Prepared};
use serde_json::{Value, json};

use crate::api::{Api, ApiError};
use crate::rows::Rows;
use crate::{kinds, live, ours};

const DRIVER: &str = "test-driver.cdi.k8s.io";
const NAMESPACE: &str = "test";
const DEVICES: usize = 10;

/// One of the tests.
struct Shape {
    name: &'static str,
    /// Two devices a node, which take from counters, instead of ten.
    partitions: bool,
    /// How many devices of each node are taken beforehand.
    taken: usize,
    devices_of_pod: usize,
    /// What its claim says.
    claim: Value,
}

impl Shape {
    fn devices(&self) -> usize {
        if self.partitions { 2 } else { DEVICES }
    }
}

fn shapes() -> [Shape; 5] {
    let one = json!({"requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class"}}]});
    let two =
        json!({"requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class", "count": 2}}]});
    [
        Shape { name: "templates", partitions: false, taken: 0, devices_of_pod: 1, claim: one.clone() },
        Shape { name: "half full", partitions: false, taken: 5, devices_of_pod: 1, claim: one },
        Shape {
            name: "match attribute",
            partitions: false,
            taken: 0,
            devices_of_pod: 2,
            claim: json!({
                "requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class", "count": 2}}],
                "constraints": [{"requests": ["req-0"], "matchAttribute": "test-driver.cdi.k8s.io/numa"}],
            }),
        },
        Shape { name: "partitionable", partitions: true, taken: 0, devices_of_pod: 2, claim: two },
        Shape {
            name: "prioritised list",
            partitions: false,
            taken: 0,
            devices_of_pod: 1,
            claim: json!({"requests": [{"name": "req-0", "firstAvailable": [
                {"name": "sub-0", "deviceClassName": "no-devices-class"},
                {"name": "sub-1", "deviceClassName": "test-class"},
            ]}]}),
        },
    ]
}

/// Measures every shape with so many nodes.
pub(crate) fn run(api: &Api, rows: &mut Rows, nodes: usize) -> Result<(), ApiError> {
    let options = ours::options().map_err(ApiError::Nowhere)?;
    let build = if cfg!(debug_assertions) { ", not optimised" } else { "" };
    for shape in shapes() {
        let there = cluster(&shape, nodes);
        // Half of what would fit, so that the last pods find as much as the first.
        let fit = nodes * (shape.devices() - shape.taken) / shape.devices_of_pod;
        let pods: Vec<Value> = (0..fit / 2).map(pod).collect();
        let real = real(api, &there, &pods)?;
        let (whole, without_reading, placed) = ours(&there, &pods, &options).map_err(ApiError::Nowhere)?;
        #[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
        let count = pods.len() as f64;
        let (real, whole, bare) = (count / real, count / whole, count / without_reading);
        rows.write(
            &format!("scheduler_perf's *{}*, pods per second", shape.name),
            &format!("{nodes} nodes with {} devices, {} pods", shape.devices(), pods.len()),
            &format!(
                "real control plane {real:.0}; Drayage{build} {whole:.0} with reading ({:.0} times as many), {bare:.0} without ({:.0} times)",
                whole / real,
                bare / real
            ),
        );
        if placed != pods.len() {
            let missing = [format!("{placed} of {} pods have a node here, all there", pods.len())];
            rows.add(shape.name, "pods placed", &missing, true);
        }
    }
    Ok(())
}

fn cluster(shape: &Shape, nodes: usize) -> Vec<Value> {
    let api = "resource.k8s.io/v1";
    let class = |name: &str, driver: &str| {
        json!({"apiVersion": api, "kind": "DeviceClass", "metadata": {"name": name},
               "spec": {"selectors": [{"cel": {"expression": format!("device.driver == \"{driver}\"")}}]}})
    };
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "init"}}),
        class("test-class", DRIVER),
        class("no-devices-class", "nobody"),
        json!({"apiVersion": api, "kind": "ResourceClaimTemplate",
               "metadata": {"namespace": NAMESPACE, "name": "test-claim-template"},
               "spec": {"spec": {"devices": shape.claim}}}),
    ];
    for number in 0..nodes {
        let name = format!("node-{number:03}");
        objects.push(json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"pods": "110", "cpu": "4", "memory": "32Gi"}}}));
        objects.extend(slices(shape, &name));
        objects.extend((0..shape.taken).map(|at| taken(&name, at)));
    }
    objects
}

/// The pool of a node: one slice with devices, or one with counters and one with the devices that take from them.
fn slices(shape: &Shape, node: &str) -> Vec<Value> {
    let count = if shape.partitions { 2 } else { 1 };
    let slice = |name: String, content: &str, value: Value| {
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name}, "spec": {
            "driver": DRIVER, "nodeName": node, content: value,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": count}}})
    };
    if !shape.partitions {
        let device =
            |at: usize| json!({"name": format!("device-{at}"), "attributes": {"numa": {"int": at / 5}}});
        return vec![slice(node.to_owned(), "devices", (0..DEVICES).map(device).collect())];
    }
    let counters = |numbers: std::ops::Range<usize>| -> Value {
        numbers.map(|number| (format!("counter{number}"), json!({"value": "1"}))).collect()
    };
    let device = |at: usize| {
        json!({"name": format!("device-{at}"), "consumesCounters": [
            {"counterSet": "counter-set", "counters": counters(2 * at..2 * at + 2)}]})
    };
    vec![
        slice(
            format!("{node}-counters"),
            "sharedCounters",
            json!([{"name": "counter-set", "counters": counters(0..4)}]),
        ),
        slice(format!("{node}-devices"), "devices", (0..2).map(device).collect()),
    ]
}

/// A claim that has a device of a node.
fn taken(node: &str, at: usize) -> Value {
    let result =
        json!({"request": "req-0", "driver": DRIVER, "pool": node, "device": format!("device-{at}")});
    json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"namespace": "init", "name": format!("{node}-{at}")},
        "spec": {"devices": {"requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class"}}]}},
        "status": {"allocation": {"devices": {"results": [result]}}}})
}

fn pod(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"namespace": NAMESPACE, "name": format!("test-dra-{number:05}")},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10.1",
                        "resources": {"claims": [{"name": "resource"}]}}],
        "resourceClaims": [{"name": "resource", "resourceClaimTemplateName": "test-claim-template"}],
    }})
}

/// Seconds from the first pod to the last that has a node.
fn real(api: &Api, there: &[Value], pods: &[Value]) -> Result<f64, ApiError> {
    api.clear()?;
    live::make(api, &there.iter().collect::<Vec<_>>())?;
    live::settle(api)?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let begun = Instant::now();
    for made in api.send_many(pods.iter().map(|pod| ("POST", path.clone(), pod.clone())).collect(), 16) {
        made?;
    }
    // Asked from the cache, so that counting costs the server little.
    let counted = format!("{path}?resourceVersion=0");
    Api::wait(300, "nodes for all pods", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let list = api.get(&counted)?;
        let with_node = list["items"].as_array().into_iter().flatten();
        let placed = with_node.filter(|pod| pod["spec"]["nodeName"].is_string()).count();
        Ok((placed == pods.len()).then_some(()))
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    // What was counted is what was asked for.
    let claims = kinds::path(kinds::KINDS[4], kinds::KINDS[4].api_version, Some(NAMESPACE));
    let claims = api.get(&claims)?["items"].as_array().map_or(0, Vec::len);
    if claims == pods.len() { Ok(seconds) } else { Err(ApiError::InVain(0, format!("{claims} claims"))) }
}

/// Seconds with and without reading, and how many pods have a node.
fn ours(there: &[Value], pods: &[Value], options: &Options) -> Result<(f64, f64, usize), String> {
    let items: Vec<&Value> = there.iter().chain(pods).collect();
    let text = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let begun = Instant::now();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    let prepared =
        Prepared::new(load(&[input], LoadOptions::default()).map_err(|errors| errors.to_string())?);
    let mut state = ClusterState::new(&prepared, options);
    let read = Instant::now();
    let waiting =
        state.pods().filter(|(_, _, place)| *place == PodPlace::Pending).map(|(id, ..)| id).collect();
    let mut placed = 0;
    for pod in state.in_queue_order(waiting) {
        let attempt = state.attempt(pod, &AtomicBool::new(false)).map_err(|error| error.to_string())?;
        placed += usize::from(attempt.outcome == PodOutcome::Scheduled);
    }
    Ok((begun.elapsed().as_secs_f64(), read.elapsed().as_secs_f64(), placed))
}
