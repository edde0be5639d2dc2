//! Faults on purpose: files in a folder, over fake devices.

use std::{fs, path::Path, time::Duration, time::Instant};

use drayage_driver::{
    claims::{AllocatedDevice, Devices, HeldDevice},
    devices::{Condition, DeviceSource, FakeDevices, FaultyDevices},
    kubelet::{ClaimReference, Failure},
};

const INVENTORY: &str = "
apiVersion: drayage.dev/v1alpha1
kind: DeviceInventory
metadata: {name: fake}
spec: {pools: [{devices: [{name: 'gpu-{index}', count: 2}]}]}
";

fn source(folder: &Path) -> FaultyDevices<FakeDevices> {
    fs::write(folder.join("inventory.yaml"), INVENTORY).expect("a file");
    let fake = FakeDevices::open(&folder.join("inventory.yaml"), "node-1").expect("an inventory");
    FaultyDevices::new(fake, Some(folder.join("faults")))
}

fn make(folder: &Path, spec: &str) {
    fs::create_dir_all(folder.join("faults")).expect("a folder");
    let text = format!(
        "apiVersion: drayage.dev/v1alpha1\nkind: DeviceFault\nmetadata: {{name: a}}\nspec: {{{spec}}}\n"
    );
    fs::write(folder.join("faults/a.yaml"), text).expect("a file");
}

fn claim() -> ClaimReference {
    ClaimReference { namespace: "default".to_owned(), name: "a".to_owned(), uid: "0a".to_owned() }
}

fn held(device: &str) -> [HeldDevice; 1] {
    [HeldDevice { pool: Some("node-1".to_owned()), device: device.to_owned(), ..HeldDevice::default() }]
}

fn conditions(source: &impl DeviceSource) -> Vec<Condition> {
    source.observe().expect("a look").into_iter().map(|seen| seen.condition).collect()
}

#[test]
fn devices_are_unhealthy_or_vanish_while_the_file_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = source(folder.path());
    assert_eq!(conditions(&source), [Condition::Works, Condition::Works]);
    make(folder.path(), "fault: Unhealthy, devices: '*/gpu-1', message: hot");
    assert_eq!(conditions(&source), [Condition::Works, Condition::Faulty("hot".to_owned())]);
    make(folder.path(), "fault: Vanished, devices: 'node-1/gpu-0'");
    assert_eq!(conditions(&source), [Condition::Vanished, Condition::Works]);
    let device = |name: &str| AllocatedDevice {
        pool: "node-1".to_owned(),
        device: name.to_owned(),
        ..AllocatedDevice::default()
    };
    assert!(source.edits(&claim(), &device("gpu-0")).is_err());
    assert!(source.edits(&claim(), &device("gpu-1")).is_ok());
    fs::remove_file(folder.path().join("faults/a.yaml")).expect("the file");
    assert_eq!(conditions(&source), [Condition::Works, Condition::Works]);
}

#[test]
fn calls_fail_as_often_as_the_fault_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = source(folder.path());
    make(folder.path(), "fault: FailPrepare, count: 2, devices: '*/gpu-0'");
    source.start(&claim(), &held("gpu-1")).expect("another device");
    source.stop(&claim(), &held("gpu-0")).expect("another call");
    for _ in 0..2 {
        let error = source.start(&claim(), &held("gpu-0")).expect_err("on purpose");
        assert!(matches!(&error, Failure::Transient(text) if text.contains("FailPrepare")), "{error}");
    }
    source.start(&claim(), &held("gpu-0")).expect("twice was all");
}

#[test]
fn slow_calls_take_their_time_and_a_stalled_monitor_sees_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = source(folder.path());
    make(folder.path(), "fault: SlowUnprepare, milliseconds: 50");
    let start = Instant::now();
    source.stop(&claim(), &held("gpu-0")).expect("slow only");
    assert!(start.elapsed() >= Duration::from_millis(50));
    make(folder.path(), "fault: StalledMonitor");
    assert!(conditions(&source).is_empty());
    make(folder.path(), "fault: Unhealthy, seconds: 0");
    assert_eq!(conditions(&source), [Condition::Works, Condition::Works], "it is over");
    make(folder.path(), "fault: Nonsense");
    assert_eq!(conditions(&source), [Condition::Works, Condition::Works]);
}
