//! The openb trace from its tables to a report.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use drayage_cel::{Quantity, Release};
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::import::openb::{Table, convert};
use drayage_simulator::import::{Format, ObjectWriter};
use drayage_simulator::report::{PodOutcome, SimulationReport};
use drayage_simulator::schedule::{Options, Prepared, SchedulerProfile, simulate};

fn simulated(nodes: &str, pods: &str) -> SimulationReport {
    let table = |name: &str, content| Table { name: name.to_owned(), content };
    let mut writer = ObjectWriter::new(Vec::new(), Format::Json);
    convert(table("nodes", nodes.as_bytes()), table("pods", pods.as_bytes()), &mut |object| {
        writer.write(object)
    })
    .unwrap();
    let text = writer.finish().unwrap();
    let snapshot =
        load(&[Input::Bytes { name: "openb.json".to_owned(), bytes: text }], LoadOptions::default()).unwrap();
    let prepared = Prepared::new(snapshot);
    assert!(prepared.faults.is_empty(), "{:?}", prepared.faults.first());
    // Fewer nodes to compare make a shorter test.
    let profile = SchedulerProfile { percentage_of_nodes_to_score: 5, ..SchedulerProfile::default() };
    let options = Options { profile, ..Options::for_release(Release::V1_36) };
    simulate(&prepared, &options, &mut (), &AtomicBool::new(false)).unwrap()
}

#[test]
fn the_fixture_is_placed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openb");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let report = simulated(&read("nodes.csv"), &read("pods.csv"));
    let places: Vec<(&str, PodOutcome, Option<&str>, Vec<&str>)> = report
        .pods
        .iter()
        .map(|pod| {
            let devices = pod.claims.iter().flat_map(|claim| &claim.devices);
            let devices = devices.map(|device| device.device.as_str()).collect();
            (pod.name.as_str(), pod.outcome, pod.node.as_deref(), devices)
        })
        .collect();
    assert_eq!(
        places,
        [
            ("pod-whole", PodOutcome::Scheduled, Some("node-c"), vec!["gpu-0"]),
            ("pod-share", PodOutcome::Scheduled, Some("node-b"), vec!["gpu-0"]),
            ("pod-four", PodOutcome::Scheduled, Some("node-c"), vec!["gpu-1", "gpu-2", "gpu-3", "gpu-4"]),
            ("pod-cpu", PodOutcome::Scheduled, Some("node-b"), vec![]),
            // Scores leave a V100 free for it.
            ("pod-spec", PodOutcome::Scheduled, Some("node-b"), vec!["gpu-0"]),
            ("pod-share-again", PodOutcome::Scheduled, Some("node-a"), vec!["gpu-0"]),
        ]
    );
    assert_eq!(report.summary.devices, 14);
    assert_eq!(report.summary.devices_in_use, 7);
    assert_eq!(report.summary.device_allocations, 8);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must be loud")]
fn the_trace_is_placed_without_any_gpu_above_its_capacity() {
    let shared = std::env::var_os("DRAYAGE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("datasets");
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let (Ok(nodes), Ok(pods)) = (read("openb_node_list_gpu_node.csv"), read("openb_pod_list_default.csv"))
    else {
        eprintln!("SKIPPED: the openb data sets are not here");
        return;
    };
    let report = simulated(&nodes, &pods);
    let summary = &report.summary;
    assert_eq!((summary.pods, summary.nodes, summary.devices), (8152, 1213, 6212));
    assert_eq!(summary.scheduled + summary.pending, 8152);

    let mut consumed: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for device in report.pods.iter().flat_map(|pod| &pod.claims).flat_map(|claim| &claim.devices) {
        let milli: Quantity = device.consumed_capacity["milli"].parse().unwrap();
        *consumed.entry((&device.pool, &device.device)).or_default() += milli.value();
    }
    assert!(consumed.values().all(|&milli| milli <= 1000));
    assert_eq!(consumed.len(), summary.devices_in_use);
}
