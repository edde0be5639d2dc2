//! Files that tell containers about their devices (KEP-5304), through crashes and power cuts.

mod support;

use std::{collections::BTreeSet, path::Path};

use drayage_driver::{
    cdi::{CdiDirectory, ContainerEdits},
    claims::{AllocatedDevice, Claims, Configuration, Devices, HeldDevice},
    files::FileSystem as _,
    kubelet::{ClaimReference, Failure},
};
use drayage_fake_kubelet::cdi::load_minimal;
use serde_json::{Map, Value, json};
use support::disk::Disk;

const DRIVER: &str = "gpu.example.com";
const STATE: &str = "/var/lib/kubelet/plugins/gpu.example.com/claims";
const METADATA: &str = "/var/lib/kubelet/plugins/gpu.example.com/claims/metadata";
const CDI: &str = "/var/run/cdi";

/// Devices that need nothing but have something to tell; those that are called `silent` have not.
struct Described;

impl Devices for Described {
    fn edits(&self, _: &ClaimReference, _: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        Ok(ContainerEdits::default())
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        let named = Map::from_iter([("model".to_owned(), json!({"string": device.device}))]);
        (device.device != "silent").then_some(named)
    }

    fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }
}

fn open(disk: &Disk) -> Option<Claims<&Disk, Described>> {
    let configuration = Configuration {
        directory: STATE.into(),
        cdi: CdiDirectory::new(Path::new(CDI), DRIVER),
        boot_id: "boot".to_owned(),
    };
    Claims::open(disk, Described, configuration, &[]).ok().map(|(claims, _)| claims)
}

fn claim(uid: &str) -> ClaimReference {
    ClaimReference { namespace: "ml".to_owned(), name: "training-gpu-x7k".to_owned(), uid: uid.to_owned() }
}

fn device(request: &str, name: &str, pod_claim: Option<&str>) -> AllocatedDevice {
    AllocatedDevice {
        request: request.to_owned(),
        pool: "node-1".to_owned(),
        device: name.to_owned(),
        pod_claim: pod_claim.map(str::to_owned),
        ..AllocatedDevice::default()
    }
}

fn documents(disk: &Disk, file: &str) -> Vec<Value> {
    let content = disk.read(&Path::new(METADATA).join(file)).expect("a file");
    serde_json::Deserializer::from_slice(&content)
        .into_iter::<Value>()
        .map(|document| document.expect("JSON"))
        .collect()
}

fn mounts(disk: &Disk, uid: &str) -> Vec<(String, String)> {
    let content = CdiDirectory::new(Path::new(CDI), DRIVER).read(&disk, uid).expect("a CDI file");
    load_minimal(&content).expect("a CDI file that runtimes take");
    let spec: Value = serde_json::from_slice(&content).expect("JSON");
    let devices = spec["devices"].as_array().expect("devices").iter();
    let mounts =
        devices.flat_map(|device| device["containerEdits"]["mounts"].as_array().cloned().unwrap_or_default());
    mounts
        .map(|mount| {
            assert_eq!(mount["options"], json!(["ro", "bind"]));
            let text = |field: &str| mount[field].as_str().expect("text").to_owned();
            (text("hostPath"), text("containerPath"))
        })
        .collect()
}

#[test]
fn every_request_has_a_file_in_every_version_where_containers_look() {
    let disk = Disk::new(0, Path::new(CDI));
    let claims = open(&disk).expect("a start");
    let allocation = vec![
        device("gpu/large", "gpu-0", Some("gpu")),
        device("gpu/large", "gpu-1", Some("gpu")),
        device("nic", "nic-0", Some("gpu")),
        device("none", "silent", Some("gpu")),
    ];
    let answer = claims.prepare(&claim("0a"), || Ok(allocation)).expect("prepared");
    // One mount for each request, so the second device of a request needs no CDI device.
    let names: Vec<usize> = answer.iter().map(|device| device.cdi_device_ids.len()).collect();
    assert_eq!(names, [1, 0, 1, 0]);
    let base = "/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates/gpu";
    assert_eq!(
        mounts(&disk, "0a"),
        [
            (format!("{METADATA}/0a_gpu.json"), format!("{base}/gpu/{DRIVER}-metadata.json")),
            (format!("{METADATA}/0a_nic.json"), format!("{base}/nic/{DRIVER}-metadata.json")),
        ]
    );
    let expected = |version: &str| {
        json!({
            "apiVersion": format!("metadata.resource.k8s.io/{version}"),
            "kind": "DeviceMetadata",
            "metadata": {"name": "training-gpu-x7k", "namespace": "ml", "uid": "0a", "generation": 1},
            "podClaimName": "gpu",
            "requests": [{"name": "gpu/large", "devices": [
                {"driver": DRIVER, "pool": "node-1", "name": "gpu-0", "attributes": {"model": {"string": "gpu-0"}}},
                {"driver": DRIVER, "pool": "node-1", "name": "gpu-1", "attributes": {"model": {"string": "gpu-1"}}},
            ]}],
        })
    };
    assert_eq!(documents(&disk, "0a_gpu.json"), [expected("v1beta1"), expected("v1alpha1")]);

    // A claim that the pod names by itself is elsewhere, and belongs to no pod's own name.
    claims.prepare(&claim("0b"), || Ok(vec![device("gpu", "gpu-2", None)])).expect("prepared");
    let base = "/var/run/kubernetes.io/dra-device-attributes/resourceclaims/training-gpu-x7k";
    let (_, path) = mounts(&disk, "0b").remove(0);
    assert_eq!(path, format!("{base}/gpu/{DRIVER}-metadata.json"));
    assert!(documents(&disk, "0b_gpu.json").iter().all(|document| document.get("podClaimName").is_none()));

    claims.unprepare(&claim("0a")).expect("unprepared");
    assert_eq!(disk.files(Path::new(METADATA)), [Path::new(METADATA).join("0b_gpu.json")]);
}

#[test]
fn a_request_that_is_no_label_makes_no_path() {
    let disk = Disk::new(0, Path::new(CDI));
    let claims = open(&disk).expect("a start");
    for request in ["..", "a_b", "A", ""] {
        let result = claims.prepare(&claim("0a"), || Ok(vec![device(request, "gpu-0", None)]));
        assert!(matches!(result, Err(Failure::Permanent(_))), "{request}: {result:?}");
    }
}

#[test]
fn damaged_and_missing_files_are_written_anew() {
    let disk = Disk::new(0, Path::new(CDI));
    let claims = open(&disk).expect("a start");
    let allocation = || Ok(vec![device("gpu", "gpu-0", None)]);
    claims.prepare(&claim("0a"), allocation).expect("prepared");
    let path = Path::new(METADATA).join("0a_gpu.json");
    let content = disk.read(&path).expect("a file");
    let never = || panic!("the API server is asked for a claim that is prepared");
    for damage in [None, Some(b"{".to_vec())] {
        disk.damage(&path, |_| damage.clone());
        claims.prepare(&claim("0a"), never).expect("prepared");
        assert_eq!(disk.read(&path).expect("a file"), content);
    }
    drop(claims);
    // And at a start, with what belongs to nobody removed.
    disk.damage(&path, |_| None);
    disk.put(&Path::new(METADATA).join("0c_gpu.json"), b"{}".to_vec());
    disk.put(&Path::new(METADATA).join("no-claim"), b"{}".to_vec());
    let _claims = open(&disk).expect("a start");
    assert_eq!(disk.read(&path).expect("a file"), content);
    assert_eq!(disk.files(Path::new(METADATA)), [path, Path::new(METADATA).join("no-claim")]);
}

/// The process ends, or the machine loses power, at every operation of prepare and unprepare in turn.
#[test]
fn wherever_it_ends_what_is_mounted_is_there_and_nothing_is_left() {
    let mut ends = 0;
    for power in [false, true] {
        for point in 0..60 {
            let disk = Disk::new(point as u64, Path::new(CDI));
            let claims = open(&disk).expect("a start");
            let allocation = || Ok(vec![device("gpu", "gpu-0", None), device("nic", "nic-0", None)]);
            disk.end_after(point);
            let prepared = claims.prepare(&claim("0a"), allocation).is_ok();
            let unprepared = prepared && point % 2 == 0 && claims.unprepare(&claim("0a")).is_ok();
            drop(claims);
            if !disk.has_ended() {
                continue;
            }
            ends += 1;
            if power {
                disk.lose_power();
            } else {
                disk.restart();
            }
            let claims = open(&disk).expect("a start");
            let gone = disk.files(Path::new(CDI)).is_empty();
            if !gone {
                for (host, _) in mounts(&disk, "0a") {
                    assert!(disk.read(Path::new(&host)).is_ok(), "{point}: {host} is mounted and missing");
                }
            }
            assert!(!unprepared || gone, "{point}: unprepared for good");
            claims.prepare(&claim("0a"), allocation).expect("prepared");
            let files: BTreeSet<_> = disk.files(Path::new(METADATA)).into_iter().collect();
            let expected = ["0a_gpu.json", "0a_nic.json"].map(|name| Path::new(METADATA).join(name));
            assert_eq!(files, BTreeSet::from(expected), "{point}");
            claims.unprepare(&claim("0a")).expect("unprepared");
            assert_eq!(disk.files(Path::new(METADATA)), Vec::<std::path::PathBuf>::new(), "{point}");
        }
    }
    assert!(ends > 40, "only {ends} ends: prepare and unprepare have more operations");
}
