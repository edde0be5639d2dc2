//! Starts of the state machine: beside another instance, with files that belong to nobody, for claims nobody knows.

mod support;

use std::path::Path;

use drayage_driver::{
    cdi::{CdiDirectory, ContainerEdits, DeviceNode},
    claims::{AllocatedDevice, Claims, Configuration, Devices, HeldDevice, OpenError, Problem},
    kubelet::{ClaimReference, Failure},
};
use support::disk::Disk;

const DRIVER: &str = "gpu.example.com";
const STATE: &str = "/var/lib/kubelet/plugins/gpu.example.com/claims";
const CDI: &str = "/var/run/cdi";

struct Nodes;

impl Devices for Nodes {
    fn edits(&self, _: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let node = DeviceNode { path: format!("/dev/{}", device.device), ..DeviceNode::default() };
        Ok(ContainerEdits { device_nodes: vec![node], ..ContainerEdits::default() })
    }

    fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }
}

fn open(disk: &Disk) -> Result<(Claims<&Disk, Nodes>, Vec<Problem>), OpenError> {
    let configuration = Configuration {
        directory: STATE.into(),
        cdi: CdiDirectory::new(Path::new(CDI), DRIVER),
        boot_id: "boot".to_owned(),
    };
    Claims::open(disk, Nodes, configuration, &[])
}

fn claim(uid: &str) -> ClaimReference {
    ClaimReference { namespace: "default".to_owned(), name: "claim".to_owned(), uid: uid.to_owned() }
}

fn allocated(device: &str) -> Vec<AllocatedDevice> {
    vec![AllocatedDevice {
        request: "gpu".to_owned(),
        pool: "node-1".to_owned(),
        device: device.to_owned(),
        ..AllocatedDevice::default()
    }]
}

/// Of two instances in a rolling update one has the records; the other takes over when the first is gone.
#[test]
fn two_instances_do_not_share_the_records() {
    let disk = Disk::new(0, Path::new(CDI));
    let first = open(&disk).expect("a start");
    let second = open(&disk);
    assert!(matches!(second, Err(OpenError::Held(directory)) if directory == Path::new(STATE)));
    drop(first);
    assert!(open(&disk).is_ok());
}

/// Files of this driver that no claim explains are removed at start; those of other drivers stay.
#[test]
fn cdi_files_of_no_claim_are_swept() {
    let disk = Disk::new(0, Path::new(CDI));
    let machine = open(&disk).map(|(claims, _)| claims).expect("a start");
    machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    let at = |name: &str| Path::new(CDI).join(name);
    disk.put(&at("k8s.gpu.example.com-claim_of_nobody.json"), b"{}".to_vec());
    disk.put(&at("k8s.gpu.example.com-claim_0b.json"), b"{}".to_vec());
    disk.put(&at("k8s.other.example.com-claim_0c.json"), b"{}".to_vec());
    drop(machine);
    let (_machine, problems) = open(&disk).expect("a start");
    let swept: Vec<&str> = problems.iter().map(|problem| problem.uid.as_str()).collect();
    assert_eq!(swept, ["0b", "of_nobody"]);
    assert_eq!(
        disk.files(Path::new(CDI)),
        [at("k8s.gpu.example.com-claim_0a.json"), at("k8s.other.example.com-claim_0c.json")]
    );
}

#[test]
fn unprepare_of_a_claim_that_nobody_knows_succeeds() {
    let disk = Disk::new(0, Path::new(CDI));
    let machine = open(&disk).map(|(claims, _)| claims).expect("a start");
    for uid in ["0a", "../../etc", ""] {
        machine.unprepare(&claim(uid)).expect("nothing to do");
    }
    let malformed = machine.prepare(&claim("../x"), || Ok(allocated("gpu-0")));
    assert!(matches!(malformed, Err(Failure::Permanent(_))));
}
