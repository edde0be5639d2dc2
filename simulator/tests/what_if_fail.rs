//! `fail`: shards, samples and single failures against each other.

#[allow(dead_code, reason = "this test uses a part")]
mod support;

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::{FailureReport, Fate, Shard};
use drayage_simulator::schedule::{Options, Prepared};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::fail::{
    FailureQuestion, MergeError, Target, TargetError, Unit, every_device, every_node, fail, merge, of_target,
    sampled, starting_state,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::cluster;

fn with_ground<T>(objects: &[Value], ask: impl FnOnce(&Ground<'_>) -> T) -> T {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
    let options = Options::for_release(Release::V1_36);
    ask(&Ground { prepared: &prepared, options: &options, cancel: &AtomicBool::new(false) })
}

fn sweep(objects: &[Value], shard: Option<Shard>) -> FailureReport {
    with_ground(objects, |ground| {
        let state = starting_state(ground, true, &mut ()).unwrap();
        let mut units = every_node(&state);
        units.extend(every_device(&state));
        fail(ground, &state, &FailureQuestion { units, shard, detail: true }, &mut ()).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shards_merge_to_the_whole_sweep(seed in any::<u64>(), of in 1..5_usize) {
        let objects = cluster(seed);
        let whole = sweep(&objects, None);
        let parts: Vec<Value> = (1..=of)
            .rev()
            .map(|index| serde_json::to_value(sweep(&objects, Some(Shard { index, of }))).unwrap())
            .collect();
        prop_assert_eq!(merge(&parts).unwrap(), whole);
    }

    #[test]
    fn every_evicted_pod_has_one_fate_and_no_place_on_what_failed(seed in any::<u64>()) {
        let report = sweep(&cluster(seed), None);
        for unit in &report.units {
            prop_assert_eq!(unit.evicted, unit.moved + unit.stuck + unit.undecided);
            prop_assert_eq!(unit.evicted, unit.pods.len());
            for pod in &unit.pods {
                prop_assert_eq!(pod.fate == Fate::Moved, pod.place.is_some());
                let Some(place) = &pod.place else { continue };
                prop_assert!(unit.kind != "node" || place.node != unit.name, "{:?}", pod);
            }
        }
    }
}

/// Two nodes, one GPU each, one pod on the first.
fn small() -> Vec<Value> {
    let node = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"rack": name}},
            "status": {"capacity": {"cpu": "4", "pods": "10"}},
        })
    };
    let slice = |node: &str| {
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": node},
            "spec": {
                "driver": "gpu.example.com", "nodeName": node,
                "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "gpu-0", "attributes": {"switch": {"string": node}}}],
            },
        })
    };
    let class =
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}});
    let template = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "one"},
        "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {
            "containers": [{"name": "c"}],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one"}],
        },
    });
    vec![node("n1"), node("n2"), slice("n1"), slice("n2"), class, template, pod]
}

fn failed(
    objects: &[Value],
    units: impl FnOnce(&drayage_simulator::schedule::ClusterState) -> Vec<Unit>,
) -> FailureReport {
    with_ground(objects, |ground| {
        let state = starting_state(ground, true, &mut ()).unwrap();
        let question = FailureQuestion { units: units(&state), shard: None, detail: true };
        fail(ground, &state, &question, &mut ()).unwrap()
    })
}

#[test]
fn a_failed_device_sends_its_pod_to_the_other_one() {
    let report = failed(&small(), every_device);
    let unit = report.units.iter().find(|unit| unit.name == "gpu.example.com/n1/gpu-0").unwrap();
    let place = unit.pods[0].place.as_ref().unwrap();
    assert_eq!((unit.evicted, unit.moved, unit.unowned, place.node.as_str()), (1, 1, 1, "n2"));
    assert_eq!((place.devices[0].pool.as_str(), place.devices[0].device.as_str()), ("n2", "gpu-0"));
    assert_eq!((report.summary.units, report.summary.safe), (2, 2));
}

#[test]
fn both_together_leave_it_stuck() {
    let report = failed(&small(), |state| sampled(&every_node(state), 2, 3, 9));
    // One pair only, however often it is drawn.
    assert_eq!((report.units.len(), report.units[0].stuck, report.summary.safe), (1, 1, 0));
    assert_eq!(report.units[0].name, "n1 + n2");
}

#[test]
fn targets_are_found_by_name_label_and_attribute() {
    with_ground(&small(), |ground| {
        let state = starting_state(ground, true, &mut ()).unwrap();
        let names = |target: Target| -> Result<Vec<String>, TargetError> {
            Ok(of_target(&state, &target)?.into_iter().map(|unit| unit.name).collect())
        };
        assert_eq!(names(Target::Device("n2/gpu-0".to_owned())).unwrap(), ["gpu.example.com/n2/gpu-0"]);
        let ambiguous = names(Target::Device("gpu-0".to_owned())).unwrap_err();
        assert!(matches!(ambiguous, TargetError::Ambiguous { .. }), "{ambiguous}");
        assert_eq!(names(Target::Label("rack".to_owned())).unwrap(), ["rack=n1", "rack=n2"]);
        assert_eq!(names(Target::Attribute("switch=n2".to_owned())).unwrap(), ["switch=n2"]);
        let with_domain = names(Target::Attribute("gpu.example.com/switch".to_owned())).unwrap();
        assert_eq!(with_domain.len(), 2);
        assert!(names(Target::Label("rack=n3".to_owned())).is_err());
        assert!(names(Target::Node("n3".to_owned())).is_err());
    });
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let part = |index, of| serde_json::to_value(sweep(&small(), Some(Shard { index, of }))).unwrap();
    assert_eq!(merge(&[]).unwrap_err(), MergeError::Empty);
    assert_eq!(merge(&[part(1, 2)]).unwrap_err(), MergeError::Shards { index: 2, of: 2, times: 0 });
    let twice = merge(&[part(1, 2), part(1, 2)]).unwrap_err();
    assert_eq!(twice, MergeError::Shards { index: 1, of: 2, times: 2 });
    assert!(matches!(merge(&[part(1, 2), part(2, 3)]).unwrap_err(), MergeError::Unlike { part: 2, .. }));
    let whole = serde_json::to_value(sweep(&small(), None)).unwrap();
    assert!(matches!(merge(&[whole]).unwrap_err(), MergeError::NoShard { part: 1, .. }));
}
