//! The state machine of claims on a disk that ends the process, loses power, fills up and rots, in seeded schedules.
//!
//! `DRAYAGE_SCHEDULES` sets their number; a failure names its seed, and `DRAYAGE_SEED` runs that one alone.

mod support;

use std::path::{Path, PathBuf};

use drayage_driver::{
    cdi::ContainerEdits,
    claims::{AllocatedDevice, ClaimRecord, Claims, Devices, HeldDevice, State},
    kubelet::{ClaimReference, Failure, PreparedDevice},
};
use drayage_fake_kubelet::claims::crc32;
use serde_json::{Map, Value, json};
use support::{
    disk::Disk,
    runtime,
    schedules::{CDI, CHECKPOINT, Counts, Hardware, Machine, STATE, claim, configuration, open, run},
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_schedule_loses_or_doubles_a_device() {
    if let Some(seed) = number("DRAYAGE_SEED") {
        run(seed);
        return;
    }
    let schedules = number("DRAYAGE_SCHEDULES").unwrap_or(1_000);
    let first = number("DRAYAGE_FIRST_SEED").unwrap_or(0);
    let mut counts = Counts::default();
    for seed in first..first + schedules {
        counts.add(&run(seed));
    }
    #[expect(clippy::print_stderr, reason = "shown with `--nocapture`: how much was tried")]
    {
        eprintln!("{schedules} schedules from seed {first}: {counts:?}");
    }
    for operation in ["create_directory", "write", "sync", "rename", "sync_directory", "remove"] {
        assert!(counts.ends.get(operation).is_some_and(|times| *times > 0), "{operation}: {counts:?}");
    }
    assert!(counts.power_losses > 0 && counts.damaged > 0 && counts.prepared > schedules);
}

fn allocated(device: &str) -> Vec<AllocatedDevice> {
    vec![AllocatedDevice {
        request: "gpu/large".to_owned(),
        pool: "node-1".to_owned(),
        device: device.to_owned(),
        ..AllocatedDevice::default()
    }]
}

fn not_asked() -> Result<Vec<AllocatedDevice>, Failure> {
    Err(Failure::Permanent("the API server is away".to_owned()))
}

/// One prepare, a replay and one unprepare, ended at every operation, with and without loss of power.
#[test]
fn the_process_may_end_at_every_operation() {
    let scenario = |machine: &Machine<'_>| {
        machine.prepare(&claim("0a"), || Ok(allocated("gpu-0")))?;
        machine.prepare(&claim("0a"), not_asked)?;
        machine.unprepare(&claim("0a"))
    };
    let disk = Disk::new(0, Path::new(CDI));
    let machine = open(&disk, &Hardware::default(), 0).expect("a start");
    let before = disk.operations();
    scenario(&machine).expect("no fault");
    let operations = disk.operations() - before;
    assert!(operations > 15, "{operations}");
    for ends in 0..operations {
        for seed in 0..32 {
            let disk = Disk::new(seed, Path::new(CDI));
            let hardware = Hardware::default();
            let machine = open(&disk, &hardware, 0).expect("a start");
            disk.end_after(ends);
            scenario(&machine).expect_err("it ends");
            let boot = usize::from(seed % 2 == 1);
            if boot == 1 {
                disk.lose_power();
            } else {
                disk.restart();
            }
            let machine = open(&disk, &hardware, boot).expect("a start");
            // The device belongs to this claim or to nobody; after it is given back another one gets it.
            machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
            let error = machine.prepare(&claim("0b"), || Ok(allocated("gpu-0"))).expect_err("it is held");
            assert!(matches!(&error, Failure::Transient(text) if text.contains("default/claim")), "{error}");
            machine.unprepare(&claim("0a")).expect("unprepared");
            machine.prepare(&claim("0b"), || Ok(allocated("gpu-0"))).expect("prepared");
            machine.unprepare(&claim("0b")).expect("unprepared");
            assert!(hardware.is_free());
        }
    }
}

/// Hardware that a process which has ended does not reach any more.
struct Mortal<'d>(Hardware, &'d Disk);

impl Devices for Mortal<'_> {
    fn check(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        self.0.check(claim, device)
    }

    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        self.0.edits(claim, device)
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        self.0.attributes(device)
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        self.0.start(claim, devices)
    }

    fn stop(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        if self.1.has_ended() {
            return Err(Failure::Transient("the process has ended".to_owned()));
        }
        self.0.stop(claim, devices)
    }
}

/// Without the mark that a claim is being unprepared, a prepare after a crash in between would replay an answer whose
/// devices are stopped already.
#[test]
fn an_interrupted_unprepare_is_never_replayed_as_prepared() {
    let disk = Disk::new(0, Path::new(CDI));
    let machine = open(&disk, &Hardware::default(), 0).expect("a start");
    machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    let before = disk.operations();
    machine.unprepare(&claim("0a")).expect("unprepared");
    let operations = disk.operations() - before;
    let mut stopped_and_recorded = 0;
    for ends in 0..operations {
        for seed in 0..8 {
            let disk = Disk::new(seed, Path::new(CDI));
            let hardware = Hardware::default();
            let devices = Mortal(hardware.clone(), &disk);
            let (machine, _) = Claims::open(&disk, devices, configuration(0), &[]).expect("a start");
            machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
            disk.end_after(ends);
            machine.unprepare(&claim("0a")).expect_err("it ends");
            disk.restart();
            let stopped = hardware.is_free();
            let machine = open(&disk, &hardware, 0).expect("a start");
            stopped_and_recorded += usize::from(stopped && !machine.records().is_empty());
            machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
            let owners = hardware.owners("gpu-0");
            assert_eq!(owners, 1, "ended at {ends}, seed {seed}: a prepared claim whose device is stopped");
        }
    }
    assert!(stopped_and_recorded > 0, "no schedule was the one that matters");
}

/// Trap 22: an API server that is away does not matter for a prepared claim; nor does another answer of it.
#[test]
fn a_prepared_claim_is_answered_from_its_record() {
    let disk = Disk::new(0, Path::new(CDI));
    let hardware = Hardware::default();
    let machine = open(&disk, &hardware, 0).expect("a start");
    let first = machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    assert_eq!(first[0].request_names, ["gpu"], "the kubelet knows no alternatives");
    assert_eq!(first[0].cdi_device_ids, ["k8s.gpu.example.com/claim=0a-0-gpu-0"]);
    drop(machine);
    let machine = open(&disk, &hardware, 0).expect("a start");
    assert_eq!(machine.prepare(&claim("0a"), not_asked).expect("replayed"), first);
    assert_eq!(machine.prepare(&claim("0a"), || Ok(allocated("gpu-1"))).expect("replayed"), first);
}

/// Trap 5: after a reboot the CDI files are gone and the devices are not configured.
#[test]
fn a_reboot_brings_back_files_and_configuration() {
    let disk = Disk::new(0, Path::new(CDI));
    let hardware = Hardware::default();
    let machine = open(&disk, &hardware, 0).expect("a start");
    let first = machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    drop(machine);
    disk.lose_power();
    hardware.reset();
    let machine = open(&disk, &hardware, 1).expect("a start");
    assert!(runtime::resolvable(&&disk, Path::new(CDI)).contains(&first[0].cdi_device_ids[0]));
    disk.damage(Path::new("/var/run/cdi/k8s.gpu.example.com-claim_0a.json"), |_| None);
    assert_eq!(machine.prepare(&claim("0a"), not_asked).expect("replayed"), first);
    assert!(runtime::resolvable(&&disk, Path::new(CDI)).contains(&first[0].cdi_device_ids[0]));
    assert_eq!(hardware.owners("gpu-0"), 1);
}

/// What a container gets of its device: where its node is on the host.
fn node(disk: &Disk, answer: &[PreparedDevice]) -> Option<String> {
    let names: Vec<String> = answer.iter().flat_map(|device| device.cdi_device_ids.clone()).collect();
    let injected = runtime::registry(&disk, Path::new(CDI)).inject(&names).ok()?;
    injected.device_nodes.into_iter().map(|(_, host)| host).next()
}

/// After a reboot the devices are made anew with other numbers. The kubelet hears the same names, which stand for the new
/// numbers, wherever the process ends or the power fails meanwhile.
#[test]
fn a_reboot_makes_devices_anew_behind_the_same_names() {
    let reboot = |seed: u64| {
        let disk = Disk::new(seed, Path::new(CDI));
        let hardware = Hardware::default();
        let machine = open(&disk, &hardware, 0).expect("a start");
        let first = machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
        assert_eq!(node(&disk, &first).as_deref(), Some("/dev/caps/1"));
        drop(machine);
        disk.lose_power();
        hardware.reset();
        (disk, hardware, first)
    };
    let (disk, hardware, first) = reboot(0);
    let before = disk.operations();
    let machine = open(&disk, &hardware, 1).expect("a start");
    assert_eq!(machine.prepare(&claim("0a"), not_asked).expect("replayed"), first);
    assert_eq!(node(&disk, &first).as_deref(), Some("/dev/caps/2"));
    let operations = disk.operations() - before;
    drop(machine);
    // The next start leaves it so.
    let machine = open(&disk, &hardware, 1).expect("a start");
    assert_eq!(node(&disk, &first).as_deref(), Some("/dev/caps/2"));
    assert_eq!(machine.prepare(&claim("0a"), not_asked).expect("replayed"), first);
    assert_eq!(hardware.nodes("0a"), ["/dev/caps/2".to_owned()].into());
    assert!(operations > 8, "{operations}");
    for ends in 0..operations {
        for seed in 0..16 {
            let (disk, hardware, first) = reboot(seed);
            disk.end_after(ends);
            if let Some(machine) = open(&disk, &hardware, 1) {
                machine.prepare(&claim("0a"), not_asked).expect_err("it ends");
            }
            let boot = if seed % 2 == 1 {
                disk.lose_power();
                hardware.reset();
                2
            } else {
                disk.restart();
                1
            };
            let machine = open(&disk, &hardware, boot).expect("a start");
            assert_eq!(machine.prepare(&claim("0a"), not_asked).expect("replayed"), first);
            let made = hardware.nodes("0a");
            assert_eq!(made, node(&disk, &first).into_iter().collect(), "ended at {ends}, seed {seed}");
            machine.unprepare(&claim("0a")).expect("unprepared");
            assert!(hardware.is_free());
        }
    }
}

/// A record of an older version tells neither request nor the pod's name of the claim: its CDI file stays as it was.
#[test]
fn a_record_of_an_older_version_is_replayed_after_a_reboot() {
    let disk = Disk::new(0, Path::new(CDI));
    let hardware = Hardware::default();
    let machine = open(&disk, &hardware, 0).expect("a start");
    let first = machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    drop(machine);
    disk.damage(&PathBuf::from(STATE).join("0a.claim"), |content| {
        let mut record = ClaimRecord::decode(&content).expect("a record");
        for held in &mut record.holds {
            held.request = None;
        }
        Some(record.encode())
    });
    disk.lose_power();
    let machine = open(&disk, &hardware, 1).expect("a start");
    assert_eq!(machine.prepare(&claim("0a"), not_asked).expect("replayed"), first);
    assert_eq!(node(&disk, &first).as_deref(), Some("/dev/caps/1"));
}

/// A device that does not exist is held by nobody, and leaves no file.
#[test]
fn a_device_that_does_not_exist_is_refused_before_anything_is_done() {
    let disk = Disk::new(0, Path::new(CDI));
    let hardware = Hardware::default();
    let machine = open(&disk, &hardware, 0).expect("a start");
    let error = machine.prepare(&claim("0a"), || Ok(allocated("cpu-0"))).expect_err("no such device");
    assert_eq!(error.to_string(), "no device `cpu-0`");
    assert!(machine.records().is_empty() && hardware.is_free());
    assert_eq!(disk.files(Path::new("/var")), Vec::<PathBuf>::new());
}

/// A record that nothing can replace keeps its unknown devices from others, and its claim can still go.
#[test]
fn a_claim_of_unknown_devices_keeps_every_device_until_it_goes() {
    let disk = Disk::new(0, Path::new(CDI));
    let hardware = Hardware::default();
    let machine = open(&disk, &hardware, 0).expect("a start");
    machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    drop(machine);
    let record = PathBuf::from(STATE).join("0a.claim");
    disk.damage(&record, |_| Some(b"garbage".to_vec()));
    disk.damage(Path::new("/var/run/cdi/k8s.gpu.example.com-claim_0a.json"), |_| None);
    let machine = open(&disk, &hardware, 0).expect("a start");
    assert_eq!(machine.unknown().len(), 1);
    let error = machine.prepare(&claim("0b"), || Ok(allocated("gpu-1"))).expect_err("it might be held");
    assert!(error.to_string().contains("`0a` is lost"), "{error}");
    machine.unprepare(&claim("0a")).expect("unprepared");
    machine.prepare(&claim("0b"), || Ok(allocated("gpu-0"))).expect("prepared");
    assert!(disk.files(Path::new(STATE)).iter().any(|path| path.ends_with("quarantine/0a.claim.0")));
}

/// Seed 724: with a flipped bit in `RequestNames` the checkpoint was still read, and its device had no request any more,
/// beside the same device with one. The record was rebuilt with both.
#[test]
fn a_flipped_bit_in_the_kubelets_checkpoint_makes_no_other_answer() {
    let disk = Disk::new(0, Path::new(CDI));
    let hardware = Hardware::default();
    let machine = open(&disk, &hardware, 0).expect("a start");
    let first = machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    drop(machine);
    let device = json!({"PoolName": "node-1", "DeviceName": "gpu-0", "ShareID": null,
        "RequestNames": ["gpu"], "CDIDeviceIDs": first[0].cdi_device_ids});
    let data = json!({"ClaimInfoStateList": [{"ClaimUID": "0a", "ClaimName": "claim", "Namespace": "default",
        "PodUIDs": {}, "DriverState": {"gpu.example.com": {"Devices": [device]}}}]})
    .to_string();
    let checksum = crc32(data.as_bytes());
    for damaged in [false, true] {
        let data = if damaged { data.replace("RequestNames", "SequestNames") } else { data.clone() };
        let content = json!({"Data": data, "Checksum": checksum}).to_string();
        disk.put(Path::new(CHECKPOINT), content.into_bytes());
        disk.damage(&PathBuf::from(STATE).join("0a.claim"), |_| None);
        let machine = open(&disk, &hardware, 0).expect("a start");
        let again = machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared again");
        assert_eq!(again, first, "damaged: {damaged}");
    }
}

/// A record is rebuilt from the CDI file, the file goes, then the record again: nothing would tell of the claim any more, and
/// its device would be given to another one. The record remembers the file, and brings it back.
#[test]
fn a_record_that_was_rebuilt_from_a_cdi_file_brings_the_file_back() {
    let disk = Disk::new(0, Path::new(CDI));
    let hardware = Hardware::default();
    let machine = open(&disk, &hardware, 0).expect("a start");
    machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    drop(machine);
    let record = PathBuf::from(STATE).join("0a.claim");
    let file = Path::new("/var/run/cdi/k8s.gpu.example.com-claim_0a.json");
    for path in [&*record, file, &*record] {
        disk.damage(path, |_| None);
        drop(open(&disk, &hardware, 0).expect("a start"));
    }
    let machine = open(&disk, &hardware, 0).expect("a start");
    let error = machine.prepare(&claim("0b"), || Ok(allocated("gpu-0"))).expect_err("it is held");
    assert!(matches!(error, Failure::Transient(_)), "{error}");
    machine.unprepare(&claim("0a")).expect("unprepared");
    machine.prepare(&claim("0b"), || Ok(allocated("gpu-0"))).expect("prepared");
}

/// Seed 507764: a damaged record was put aside, and nothing else told of its claim. At the next start it was forgotten, and the
/// device was given to another claim.
#[test]
fn a_record_that_was_put_aside_is_remembered_until_its_claim_goes_or_the_machine_starts_anew() {
    for reboots in [false, true] {
        let disk = Disk::new(0, Path::new(CDI));
        let hardware = Hardware::default();
        let machine = open(&disk, &hardware, 0).expect("a start");
        machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
        drop(machine);
        disk.damage(&PathBuf::from(STATE).join("0a.claim"), |_| Some(b"garbage".to_vec()));
        disk.damage(Path::new("/var/run/cdi/k8s.gpu.example.com-claim_0a.json"), |_| None);
        for _ in 0..3 {
            let machine = open(&disk, &hardware, 0).expect("a start");
            assert_eq!(machine.unknown().len(), 1);
            let error = machine.prepare(&claim("0b"), || Ok(allocated("gpu-0"))).expect_err("it is held");
            assert!(error.to_string().contains("`0a` is lost"), "{error}");
        }
        if reboots {
            disk.lose_power();
        } else {
            open(&disk, &hardware, 0).expect("a start").unprepare(&claim("0a")).expect("unprepared");
        }
        let machine = open(&disk, &hardware, usize::from(reboots)).expect("a start");
        assert_eq!(machine.unknown(), [], "reboots: {reboots}");
        machine.prepare(&claim("0b"), || Ok(allocated("gpu-0"))).expect("prepared");
    }
}

/// Seed 6554: of a claim with admin access the record was lost and rebuilt from its CDI file, which does not tell admin access.
/// A claim that was prepared on the same device, and whose record was rebuilt before, could not be replayed any more.
#[test]
fn claims_whose_records_were_rebuilt_are_answered_beside_each_other() {
    let share = |share: &str| {
        let mut allocation = allocated("shared");
        allocation[0].share_id = Some(share.to_owned());
        allocation
    };
    let mut admin = allocated("gpu-0");
    admin[0].admin_access = true;
    for (first, second) in [(allocated("gpu-0"), admin), (share("a"), share("b"))] {
        let disk = Disk::new(0, Path::new(CDI));
        let hardware = Hardware::default();
        let machine = open(&disk, &hardware, 0).expect("a start");
        let allocations = [("0a", first), ("0b", second)];
        let prepare = |machine: &Machine<'_>| {
            let answer = |(uid, allocation): &(&str, Vec<AllocatedDevice>)| {
                machine.prepare(&claim(uid), || Ok(allocation.clone())).expect("prepared")
            };
            allocations.iter().map(answer).collect::<Vec<_>>()
        };
        let answers = prepare(&machine);
        drop(machine);
        for (uid, _) in &allocations {
            disk.damage(&PathBuf::from(STATE).join(format!("{uid}.claim")), |_| None);
        }
        let machine = open(&disk, &hardware, 0).expect("a start");
        assert_eq!(prepare(&machine), answers);
        let exclusive = allocated(&allocations[0].1[0].device);
        machine.prepare(&claim("0c"), || Ok(exclusive.clone())).expect_err("others have it");
    }
}

/// Section 1.4: claims that vanish while nobody looks are never unprepared by the kubelet.
#[test]
fn vanished_claims_are_collected_and_others_stay() {
    let disk = Disk::new(0, Path::new(CDI));
    let machine = open(&disk, &Hardware::default(), 0).expect("a start");
    machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
    machine.prepare(&claim("0b"), || Ok(allocated("gpu-1"))).expect("prepared");
    assert!(machine.collect(|claim| claim.uid == "0b").is_empty());
    let left: Vec<_> = machine.records().into_iter().map(|record| (record.claim.uid, record.state)).collect();
    assert_eq!(left, [("0b".to_owned(), State::Prepared)]);
}
