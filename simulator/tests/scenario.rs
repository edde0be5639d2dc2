//! Scenarios: steps do what the what-ifs do, and reading the cluster anew between two steps changes nothing.

#[allow(dead_code, reason = "this test uses a part")]
mod support;

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, Snapshot, load};
use drayage_crds::Scenario;
use drayage_simulator::report::{ScenarioReport, Verdict};
use drayage_simulator::scenario::{Beginning, ScenarioError, StepFiles, check, run};
use drayage_simulator::schedule::{Options, Prepared, simulate};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::cluster;

fn loaded(objects: &[Value]) -> Snapshot {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    load(&[input], LoadOptions::default()).unwrap()
}

fn scenario(steps: &Value, expect: &Value) -> Scenario {
    serde_json::from_value(json!({
        "apiVersion": "drayage.dev/v1alpha1", "kind": "Scenario", "metadata": {"name": "test"},
        "spec": {"steps": steps, "expect": expect},
    }))
    .unwrap()
}

fn outcome(
    objects: &[Value],
    files: Vec<StepFiles>,
    scenario: &Scenario,
) -> Result<ScenarioReport, ScenarioError> {
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    assert_eq!(check(scenario, &options.gates), []);
    let prepared = Prepared::new(loaded(objects));
    let beginning = Beginning { prepared, node_groups: Vec::new(), files };
    run(scenario, beginning, &options, &mut (), &AtomicBool::new(false))
}

fn played(objects: &[Value], steps: &Value) -> ScenarioReport {
    outcome(objects, Vec::new(), &scenario(steps, &json!([]))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_the_cluster_anew_changes_nothing(seed: u64) {
        let objects = cluster(seed);
        let fail = json!({"fail": {"nodes": ["node-0"]}});
        let straight = played(&objects, &json!([fail, {"schedule": {}}]));
        let anew = played(&objects, &json!([{"upgrade": {}}, fail, {"upgrade": {}}, {"schedule": {}}]));
        prop_assert_eq!(&straight.steps[0].after, &anew.steps[1].after);
        prop_assert_eq!(&straight.steps[0].pods, &anew.steps[1].pods);
        prop_assert_eq!(&anew.steps[2].pods, &Vec::new());
        prop_assert_eq!(&straight.steps[1].after, &anew.steps[3].after);
        prop_assert_eq!(&straight.steps[1].pods, &anew.steps[3].pods);
    }

    #[test]
    fn an_upgrade_before_anything_happens_is_the_other_release(seed: u64) {
        let objects = cluster(seed);
        let steps = json!([{"upgrade": {"kubernetes": "1.37"}}, {"schedule": {}}]);
        let mut scenario = scenario(&steps, &json!([]));
        scenario.spec.input.schedule_first = Some(false);
        let upgraded = outcome(&objects, Vec::new(), &scenario).unwrap();
        let options = Options { explain: false, ..Options::for_release(Release::V1_37) };
        let prepared = Prepared::new(loaded(&objects));
        let direct = simulate(&prepared, &options, &mut (), &AtomicBool::new(false)).unwrap();
        let end = &upgraded.steps[1].after;
        prop_assert_eq!(end.pending_pods, direct.summary.pending);
        prop_assert_eq!(end.running_pods, direct.summary.scheduled + direct.summary.already_running);
        prop_assert_eq!(end.free_devices, direct.summary.devices - direct.summary.devices_in_use);
    }

    #[test]
    fn applied_pods_go_where_they_go_when_they_are_there_from_the_start(seed: u64) {
        let objects = cluster(seed);
        let is_pod = |object: &&Value| object["kind"] == "Pod" && object["spec"]["nodeName"].is_null();
        let (pods, rest): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(is_pod);
        prop_assume!(!pods.is_empty());
        let pods: Vec<Value> = pods.into_iter().cloned().collect();
        let rest: Vec<Value> = rest.into_iter().cloned().collect();
        let files = vec![StepFiles { objects: loaded(&pods), ..StepFiles::default() }, StepFiles::default()];
        let steps = json!([{"apply": {"files": ["pods.yaml"]}}, {"schedule": {}}]);
        let mut later = scenario(&steps, &json!([]));
        later.spec.input.schedule_first = Some(false);
        let later = outcome(&rest, files, &later).unwrap();
        let at_once = played(&objects, &json!([]));
        prop_assert_eq!(&later.steps[1].after, &at_once.start);
    }
}

fn one_node() -> Vec<Value> {
    let pod = |name: &str, cpu: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        })
    };
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "labels": {"zone": "z"}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    vec![node, pod("small", "1"), pod("big", "40")]
}

fn verdicts(expect: &Value) -> Vec<Verdict> {
    let report = outcome(&one_node(), Vec::new(), &scenario(&json!([]), expect)).unwrap();
    report.expectations.iter().map(|one| one.verdict).collect()
}

#[test]
fn expectations_hold_where_they_should_and_only_there() {
    let held = json!([
        {"pod": "ns/small", "running": true, "node": "a"},
        {"pod": "ns/big", "running": false, "reason": "Insufficient cpu"},
        {"pod": "ns/big", "reason": "NodeResourcesFit"},
        {"pendingPods": {"min": 1, "max": 1}, "runningPods": {"min": 1}},
        {"nodes": {"max": 1}, "labels": {"zone": "z"}},
        {"pendingPods": {"max": 0}, "namespace": "other"},
    ]);
    assert_eq!(verdicts(&held), [Verdict::Held; 6]);
    let failed = json!([
        {"pod": "ns/small", "running": false},
        {"pod": "ns/small", "node": "b"},
        {"pod": "ns/small", "devices": ["gpu-0"]},
        {"pod": "ns/none", "running": false},
        {"pod": "ns/big", "running": true},
        {"pod": "ns/big", "reason": "TaintToleration"},
        {"pendingPods": {"max": 0}},
        {"nodes": {"min": 1}, "labels": {"zone": "y"}},
        {"freeDevices": {"min": 1}},
    ]);
    assert_eq!(verdicts(&failed), [Verdict::Failed; 9]);
}

#[test]
fn a_step_that_names_what_is_gone_is_an_error_with_its_field() {
    let steps = json!([{"removeNodes": {"nodes": ["a"]}}, {"cordon": {"nodes": ["a"]}}]);
    let error = outcome(&one_node(), Vec::new(), &scenario(&steps, &json!([]))).unwrap_err();
    let ScenarioError::Field { field, .. } = error else { panic!("{error}") };
    assert_eq!(field.to_string(), "spec.steps[1].cordon.nodes[0]");
}
