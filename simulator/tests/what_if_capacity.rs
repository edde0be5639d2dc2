//! `capacity` against adding the copies to the input.

#[allow(dead_code, reason = "this test uses a part")]
mod support;

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::{CapacityReport, PodOutcome};
use drayage_simulator::schedule::{Options, Prepared, SimulateError, simulate};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::capacity::{CapacityQuestion, capacity};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::cluster;

const MOST: usize = 6;

fn prepared(objects: &[Value]) -> Prepared {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).unwrap())
}

fn options() -> Options {
    Options::for_release(Release::V1_36)
}

fn asked(objects: &[Value], set: &[(&str, usize)]) -> Result<CapacityReport, SimulateError> {
    let (prepared, options, cancel) = (prepared(objects), options(), AtomicBool::new(false));
    let ground = Ground { prepared: &prepared, options: &options, cancel: &cancel };
    let question = CapacityQuestion {
        set: set.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        most: MOST,
        place_waiting: true,
    };
    capacity(&ground, &question, &mut ())
}

/// How many copies, added as objects behind all other pods, are placed before the first that is not. None where the
/// simulation evicts pods, which a what-if does not do.
fn counted(objects: &[Value], pod: &Value) -> Option<usize> {
    let waits = pod["spec"]["nodeName"].is_null();
    let mut objects: Vec<Value> = objects.iter().filter(|object| !waits || *object != pod).cloned().collect();
    for number in 1..=MOST {
        let mut copy = pod.clone();
        copy["metadata"]["name"] = format!("copy-{number}").into();
        copy["spec"]["priority"] = (-1000).into();
        copy["spec"]["priorityClassName"] = Value::Null;
        copy["spec"]["nodeName"] = Value::Null;
        for unwanted in ["uid", "creationTimestamp", "deletionTimestamp"] {
            copy["metadata"].as_object_mut().unwrap().remove(unwanted);
        }
        copy.as_object_mut().unwrap().remove("status");
        objects.push(copy);
    }
    let report = simulate(&prepared(&objects), &options(), &mut (), &AtomicBool::new(false)).unwrap();
    if report.pods.iter().any(|pod| pod.eviction.is_some()) {
        return None;
    }
    let placed = (1..=MOST)
        .take_while(|number| {
            let name = format!("copy-{number}");
            report.pods.iter().any(|pod| pod.name == name && pod.outcome == PodOutcome::Scheduled)
        })
        .count();
    Some(placed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn copies_fit_where_real_pods_would(seed in any::<u64>()) {
        let objects = cluster(seed);
        for pod in objects.iter().filter(|object| object["kind"] == "Pod").take(3) {
            if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
                continue;
            }
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default");
            let name = format!("{namespace}/{}", pod["metadata"]["name"].as_str().unwrap());
            let report = asked(&objects, &[(&name, 1)]).unwrap();
            if let Some(placed) = counted(&objects, pod) {
                prop_assert_eq!(report.fits, placed, "{}", name);
            }
            prop_assert_eq!(report.fits, report.nodes.iter().map(|node| node.copies).sum::<usize>());
            prop_assert_eq!(report.limited, report.stop.is_none());
        }
    }
}

#[test]
fn a_set_that_does_not_fit_gives_back_what_it_took() {
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
        "status": {"capacity": {"cpu": "5", "pods": "10"}},
    });
    let pod = |name: &str, cpu: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        })
    };
    let objects = [node, pod("small", "1"), pod("big", "2")];
    let report = asked(&objects, &[("default/small", 1), ("default/big", 1)]).unwrap();
    // The second set takes the rest but for the big one; the small one of it is not counted.
    assert_eq!((report.fits, report.nodes[0].copies), (1, 2));
    let stop = report.stop.unwrap();
    assert_eq!((stop.set, stop.pod.as_str()), (2, "default/big"));
    assert_eq!(stop.limiting_reason, "Insufficient cpu");
    let missing = asked(&objects, &[("default/none", 1)]).unwrap_err();
    assert_eq!(missing, SimulateError::PodMissing { name: "default/none".to_owned() });
}
