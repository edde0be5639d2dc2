use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{RUNS_FOR, replay};
use crate::report::ReplayReport;
use crate::schedule::{Options, Prepared};

fn replayed(objects: &[Value], moments: usize) -> Result<ReplayReport, String> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "objects.json".to_owned(), bytes: list.into_bytes() };
    let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
    let options = Options::for_release(Release::V1_36);
    replay(&prepared, &options, moments, &mut (), &AtomicBool::new(false)).map_err(|error| error.to_string())
}

/// One node with `gpus` GPUs, and the template for one of them.
fn cluster(gpus: usize) -> Vec<Value> {
    let devices: Vec<Value> = (0..gpus).map(|at| json!({"name": format!("gpu-{at}")})).collect();
    let exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1});
    vec![
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"},
            "status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "110"}},
        }),
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "a-gpus"},
            "spec": {
                "driver": "gpu.example.com", "nodeName": "a", "devices": devices,
                "pool": {"name": "a", "generation": 1, "resourceSliceCount": 1},
            },
        }),
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {}}),
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
            "metadata": {"name": "gpu", "namespace": "ml"},
            "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}},
        }),
    ]
}

fn pod(name: &str, minute: u64, runs_for: Option<&str>) -> Value {
    let created = format!("2026-01-01T{:02}:{:02}:00Z", minute / 60, minute % 60);
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml", "creationTimestamp": created},
        "spec": {
            "containers": [{"name": "main"}],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}],
        },
    });
    if let Some(seconds) = runs_for {
        pod["metadata"]["annotations"] = json!({RUNS_FOR: seconds});
    }
    pod
}

#[test]
fn pods_wait_until_others_leave() {
    let mut objects = cluster(1);
    objects.extend([
        pod("first", 0, Some("600")),
        pod("second", 5, Some("60")),
        pod("third", 6, None),
        pod("fourth", 7, Some("60")),
    ]);
    let report = replayed(&objects, 3).unwrap();
    let times: Vec<(&str, u64, Option<u64>, Option<u64>)> =
        report.pods.iter().map(|pod| (pod.pod.as_str(), pod.arrived, pod.placed, pod.left)).collect();
    assert_eq!(
        times,
        [
            ("ml/first", 0, Some(0), Some(600)),
            ("ml/second", 300, Some(600), Some(660)),
            ("ml/third", 360, Some(660), None),
            ("ml/fourth", 420, None, None),
        ]
    );
    assert_eq!((report.placed, report.never_placed, report.seconds, report.most_waiting), (3, 1, 660, 3));
    assert_eq!((report.wait.mean, report.wait.median, report.wait.longest), (200, 300, 300));
    // The only device is in use all the time.
    assert!((report.mean_device_allocations - 1.0).abs() < 1e-9);
    let moments: Vec<(u64, usize, usize)> =
        report.moments.iter().map(|moment| (moment.second, moment.running, moment.waiting)).collect();
    assert_eq!(moments, [(0, 1, 0), (330, 1, 1), (660, 1, 1)]);
}

#[test]
fn a_duration_must_be_a_number() {
    let mut objects = cluster(1);
    objects.push(pod("first", 0, Some("an hour")));
    assert_eq!(
        replayed(&objects, 3).unwrap_err(),
        "pod `ml/first`: annotation `drayage.dev/runs-for-seconds` is `an hour`, expected a number of seconds"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With pods of one kind, a cluster is a queue with as many servers as devices: first come, first served.
    #[test]
    fn equal_pods_are_served_as_they_come(
        gpus in 1_usize..4,
        pods in prop::collection::vec((0_u64..600, 1_u64..7200), 1..24),
    ) {
        let mut objects = cluster(gpus);
        for (at, (minute, seconds)) in pods.iter().enumerate() {
            objects.push(pod(&format!("pod-{at:02}"), *minute, Some(&seconds.to_string())));
        }
        let report = replayed(&objects, 50).unwrap();
        let mut order: Vec<(u64, usize)> = pods.iter().enumerate().map(|(at, pod)| (pod.0 * 60, at)).collect();
        order.sort_unstable();
        let first = order[0].0;
        let mut servers = vec![0_u64; gpus];
        for (arrives, at) in order {
            let free = servers.iter_mut().min().unwrap();
            let start = (arrives - first).max(*free);
            *free = start + pods[at].1;
            let times = report.pods.iter().find(|times| times.pod == format!("ml/pod-{at:02}")).unwrap();
            prop_assert_eq!((times.placed, times.left), (Some(start), Some(*free)), "{:?}", times);
        }
        prop_assert!(report.most_device_allocations <= gpus);
        prop_assert!(report.moments.len() <= 50);
        prop_assert_eq!(report.never_placed, 0);
    }
}
