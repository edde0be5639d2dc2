use std::sync::atomic::AtomicBool;

use drayage_allocator::objects::{CounterSet, Device, DeviceCounterConsumption, ResourceSlice};
use drayage_cel::{Quantity, Release};
use drayage_cluster::{Input, LoadOptions, load};
use serde_json::{Value, json};

use super::counters::{PoolCounters, Span};
use super::*;
use crate::schedule::{Options, Prepared, simulate};

fn simulated(objects: &[Value]) -> (Prepared, SimulationReport) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "objects.json".to_owned(), bytes: list.into_bytes() };
    let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
    let options = Options::for_release(Release::V1_36);
    let report = simulate(&prepared, &options, &mut (), &AtomicBool::new(false)).unwrap();
    (prepared, report)
}

fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"}},
    })
}

fn slice(node: &str, devices: usize) -> Value {
    let devices: Vec<Value> = (0..devices)
        .map(|at| json!({"name": format!("gpu-{at}"), "attributes": {"model": {"string": "H100"}}}))
        .collect();
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("{node}-gpus")},
        "spec": {
            "driver": "gpu.example.com", "nodeName": node, "devices": devices,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        },
    })
}

/// Two nodes with two GPUs each, and pods that want one, two and three.
fn cluster(message_of_pod: &str) -> Vec<Value> {
    let mut objects = vec![
        node("a"),
        node("b"),
        slice("a", 2),
        slice("b", 2),
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {}}),
    ];
    for (name, count) in [("one", 1), ("two", 2), (message_of_pod, 3)] {
        let exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count});
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {"name": format!("claim-{count}"), "namespace": "ml"},
            "spec": {"devices": {"requests": [{"name": "gpus", "exactly": exactly}]}},
        }));
        objects.push(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ml"},
            "spec": {
                "containers": [{"name": "main", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}],
                "resourceClaims": [{"name": "gpus", "resourceClaimName": format!("claim-{count}")}],
            },
        }));
    }
    objects
}

/// The data of a page.
fn data_of(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(data).unwrap()
}

#[test]
fn a_page_has_every_node_device_pod_and_use() {
    let (prepared, report) = simulated(&cluster("three"));
    let page = Page::of_simulation(Scene { snapshot: &prepared.snapshot, report: &report }).render();
    let data = data_of(&page);
    assert_eq!(data["nodes"]["name"], json!(["a", "b"]));
    assert_eq!(data["absent"], json!([]));
    assert_eq!(data["nodes"]["first"], json!([0, 2, 4]));
    assert_eq!(data["groups"], json!([{"name": "2 × H100", "nodes": [0, 1]}]));
    assert_eq!(data["pods"]["name"], json!(["one", "three", "two"]));
    assert_eq!(data["pods"]["from"], json!([1, 2, 3]));
    assert_eq!(data["lastStep"], 3);
    // Pod `one` has a device of `a` from step 1 on, `two` both of `b` from step 3 on.
    assert_eq!(data["uses"], json!([0, 0, 1, -1, 0, 1000, 2, 2, 3, -1, 0, 1000, 3, 2, 3, -1, 0, 1000]));
    assert_eq!(data["why"][0]["reasons"][0][0], "DynamicResources");
}

#[test]
fn a_page_loads_nothing_and_names_cannot_leave_the_data() {
    let (prepared, mut report) = simulated(&cluster("three"));
    report.pods[1].message = Some("</script><script>alert(1)</script><!--".to_owned());
    let page = Page::of_simulation(Scene { snapshot: &prepared.snapshot, report: &report }).render();
    assert_eq!(page.matches("</script>").count(), 2, "those of the page itself");
    assert!(!page.contains("<!--"));
    for loading in ["http://", "https://", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(loading), "{loading}");
    }
    assert!(
        data_of(&page)["strings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|text| text == "</script><script>alert(1)</script><!--")
    );
}

#[test]
fn a_change_shows_what_comes_and_goes() {
    let (prepared, report) = simulated(&cluster("three"));
    let fewer: Vec<Value> = cluster("three")
        .into_iter()
        .filter(|object| object["metadata"]["name"] != "a" && object["metadata"]["name"] != "a-gpus")
        .collect();
    let (prepared_after, report_after) = simulated(&fewer);
    let before = Scene { snapshot: &prepared.snapshot, report: &report };
    let after = Scene { snapshot: &prepared_after.snapshot, report: &report_after };
    let data = data_of(&Page::of_change("node `a` is gone", before, after).render());
    assert_eq!(data["title"], "node `a` is gone");
    assert_eq!(data["steps"], json!(["before", "after: node `a` is gone"]));
    assert_eq!(data["nodes"]["name"], json!(["a", "b"]));
    // The devices of `a` are not there afterwards, and are not free then.
    assert_eq!(data["absent"], json!([0, 1, -1, 1, 1, -1]));
    // `one` moves from `a` to `b`, and so `two` has no place any more; `three` never had one.
    let rows: Vec<(&Value, &Value, &Value)> = (0..5)
        .map(|row| (&data["pods"]["name"][row], &data["pods"]["from"][row], &data["pods"]["end"][row]))
        .collect();
    assert_eq!(
        rows,
        [
            (&json!("one"), &json!(0), &json!(1)),
            (&json!("two"), &json!(0), &json!(1)),
            (&json!("one"), &json!(1), &json!(-1)),
            (&json!("three"), &json!(0), &json!(-1)),
            (&json!("two"), &json!(1), &json!(-1)),
        ]
    );
}

#[test]
fn a_replay_shows_devices_while_pods_have_them() {
    let mut objects = cluster("three");
    for object in objects.iter_mut().filter(|object| object["metadata"]["name"] == "one") {
        object["metadata"]["annotations"] = json!({crate::replay::RUNS_FOR: "60"});
    }
    let (prepared, _) = simulated(&objects);
    let options = Options::for_release(Release::V1_36);
    let report = crate::replay::replay(&prepared, &options, 2, &mut (), &AtomicBool::new(false)).unwrap();
    let data = data_of(&Page::of_replay(&prepared.snapshot, &report).render());
    assert_eq!(data["steps"], json!(["before", "0 d 00:00:00", "0 d 00:01:00"]));
    assert_eq!((&data["lastStep"], &data["startStep"]), (&json!(2), &json!(1)));
    let of_one = data["pods"]["name"].as_array().unwrap().iter().position(|name| name == "one").unwrap();
    assert_eq!((&data["pods"]["from"][of_one], &data["pods"]["end"][of_one]), (&json!(1), &json!(2)));
    // `one` has a device for a minute, `two` has two for ever.
    let uses = data["uses"].as_array().unwrap();
    assert_eq!(uses.len(), 3 * 6);
    assert_eq!(uses.chunks(6).filter(|of_device| of_device[3] == 2).count(), 1);
}

#[test]
fn partitions_are_blocked_while_others_have_their_counters() {
    let amounts = |amount: &str| [("memory".to_owned(), amount.parse::<Quantity>().unwrap())].into();
    let device = |name: &str, amount: &str| Device {
        name: name.to_owned(),
        consumes_counters: vec![DeviceCounterConsumption {
            counter_set: "gpu".to_owned(),
            counters: amounts(amount),
            ..DeviceCounterConsumption::default()
        }],
        ..Device::default()
    };
    let slice = ResourceSlice {
        devices: vec![device("whole", "40Gi"), device("half", "20Gi"), device("other", "20Gi")],
        shared_counters: vec![CounterSet { name: "gpu".to_owned(), counters: amounts("40Gi") }],
        ..ResourceSlice::default()
    };
    let mut counters = PoolCounters::default();
    counters.add(&slice, |name| ["whole", "half", "other"].iter().position(|known| *known == name));
    let blocked = |uses: &[(usize, i64, Option<i64>)]| -> Vec<(usize, i64, Option<i64>)> {
        let uses: Vec<Span> = uses.iter().map(|&(device, from, end)| Span { device, from, end }).collect();
        counters.blocked(&uses).iter().map(|span| (span.device, span.from, span.end)).collect()
    };
    assert_eq!(blocked(&[(0, 2, None)]), [(1, 2, None), (2, 2, None)]);
    assert_eq!(blocked(&[(1, 1, Some(4))]), [(0, 1, Some(4))]);
    assert_eq!(blocked(&[]), []);
}

#[test]
fn the_graph_has_pods_claims_devices_and_nodes_once() {
    let (prepared, report) = simulated(&cluster("three"));
    let graph = crate::report::graph(&prepared.snapshot, &report);
    for line in [
        "  \"pod ml/one\" [label=\"pod\\nml/one\\nscheduled\", color=darkgreen];",
        "  \"claim ml/claim-1\" -> \"device gpu.example.com/a/gpu-0\" [label=\"gpus\", color=black];",
        "  \"device gpu.example.com/b/gpu-1\" -> \"node b\" [color=gray60];",
    ] {
        assert_eq!(graph.lines().filter(|found| *found == line).count(), 1, "{line}\n{graph}");
    }
    assert!(
        graph
            .lines()
            .any(|line| line.starts_with("  \"pod ml/three\" -> \"reason ") && line.ends_with("color=red];"))
    );
}
