//! The state machine of claims on a disk that ends the process, loses power, fills up and rots, in seeded schedules.
//!
//! `DRAYAGE_SCHEDULES` sets their number; a failure names its seed, and `DRAYAGE_SEED` runs that one alone.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use drayage_driver::{
    cdi::{CdiDirectory, ContainerEdits, DeviceNode},
    claims::{
        AllocatedDevice, CdiFiles, Claims, Configuration, Devices, HeldDevice, KubeletCheckpoint,
        RecoverySource, State,
    },
    files::FileSystem,
    kubelet::{ClaimReference, Failure, PreparedDevice},
};
use serde_json::json;
use support::{
    disk::{Disk, Random},
    runtime,
};

const DRIVER: &str = "gpu.example.com";
const STATE: &str = "/var/lib/kubelet/plugins/gpu.example.com/claims";
const CDI: &str = "/var/run/cdi";
const CHECKPOINT: &str = "/var/lib/kubelet/dra_manager_state";

/// Which claims each device is configured for. Survives the process, not the machine.
#[derive(Clone, Debug, Default)]
struct Hardware(Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>);

impl Devices for Hardware {
    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let node = DeviceNode {
            path: format!("/dev/{}", device.device),
            host_path: Some("/dev/null".to_owned()),
            permissions: None,
        };
        Ok(ContainerEdits {
            env: vec![format!("CLAIM={}", claim.uid)],
            device_nodes: vec![node],
            ..ContainerEdits::default()
        })
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        let mut owners = self.0.lock().expect("no panic");
        for device in devices {
            owners.entry(device.device.clone()).or_default().insert(claim.uid.clone());
        }
        Ok(())
    }

    fn stop(&self, claim: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        for owners in self.0.lock().expect("no panic").values_mut() {
            owners.remove(&claim.uid);
        }
        Ok(())
    }
}

type Machine<'d> = Claims<&'d Disk, Hardware>;

fn configuration(boot: usize) -> Configuration {
    Configuration {
        directory: PathBuf::from(STATE),
        cdi: CdiDirectory::new(Path::new(CDI), DRIVER),
        boot_id: format!("boot-{boot}"),
    }
}

/// Starts the driver; `None` if the process ended meanwhile.
fn open<'d>(disk: &'d Disk, hardware: &Hardware, boot: usize) -> Option<Machine<'d>> {
    let kubelet = KubeletCheckpoint::new(disk, PathBuf::from(CHECKPOINT), DRIVER);
    let cdi = CdiFiles::new(disk, CdiDirectory::new(Path::new(CDI), DRIVER));
    let sources: [&dyn RecoverySource; 2] = [&kubelet, &cdi];
    match Claims::open(disk, hardware.clone(), configuration(boot), &sources) {
        Ok((claims, _)) => Some(claims).filter(|_| !disk.has_ended()),
        Err(error) => {
            assert!(disk.has_ended(), "the driver does not start: {error}");
            None
        }
    }
}

/// A claim as the API server and the kubelet see it.
#[derive(Clone, Debug)]
struct Claim {
    reference: ClaimReference,
    allocation: Vec<AllocatedDevice>,
    /// The first answer that the kubelet got.
    answer: Option<Vec<PreparedDevice>>,
    /// The kubelet believes that it is prepared.
    prepared: bool,
    /// Its pod is gone: it will be unprepared and never prepared again.
    going: bool,
}

struct World<'d> {
    seed: u64,
    random: Random,
    disk: &'d Disk,
    hardware: Hardware,
    boot: usize,
    machine: Option<Machine<'d>>,
    claims: BTreeMap<String, Claim>,
    created: usize,
    /// Whether the kubelet keeps a checkpoint that we can read.
    checkpoint: bool,
}

impl<'d> World<'d> {
    fn new(seed: u64, disk: &'d Disk) -> Self {
        let mut random = Random(seed);
        let checkpoint = random.chance(50);
        let mut world = Self {
            seed,
            random,
            disk,
            hardware: Hardware::default(),
            boot: 0,
            machine: None,
            claims: BTreeMap::new(),
            created: 0,
            checkpoint,
        };
        world.disk.create_directory(Path::new("/var/lib/kubelet")).expect("a directory");
        world.start();
        world
    }

    fn start(&mut self) {
        while self.machine.is_none() {
            self.disk.restart();
            self.machine = open(self.disk, &self.hardware, self.boot);
        }
    }

    /// The process has ended; perhaps the machine as well.
    fn crash(&mut self) {
        self.machine = None;
        if self.random.chance(30) {
            self.disk.lose_power();
            self.boot += 1;
            self.hardware.0.lock().expect("no panic").clear();
        } else {
            self.disk.restart();
        }
        if self.random.chance(30) {
            // Ends again while it starts.
            let more = self.random.below(12);
            self.disk.end_after(more);
            self.machine = open(self.disk, &self.hardware, self.boot);
        }
        self.start();
    }

    /// As the kubelet writes it: an answer that came twice stands there twice up to 1.36.
    fn write_checkpoint(&mut self) {
        if !self.checkpoint {
            return;
        }
        let claims: Vec<_> = self
            .claims
            .values()
            .filter_map(|claim| {
                let answer = claim.answer.as_ref()?;
                let devices: Vec<_> = answer
                    .iter()
                    .chain(answer)
                    .map(|device| {
                        json!({"PoolName": device.pool_name, "DeviceName": device.device_name,
                            "ShareID": device.share_id, "RequestNames": device.request_names,
                            "CDIDeviceIDs": device.cdi_device_ids})
                    })
                    .collect();
                Some(json!({"ClaimUID": claim.reference.uid, "ClaimName": claim.reference.name,
                    "Namespace": claim.reference.namespace, "PodUIDs": {},
                    "DriverState": {DRIVER: {"Devices": devices}, "other.example.com": {"Devices": null}}}))
            })
            .collect();
        let data = json!({"kind": "DRACheckpoint", "ClaimInfoStateList": claims}).to_string();
        let content = json!({"Data": data, "Checksum": 0}).to_string();
        self.disk.put(Path::new(CHECKPOINT), content.into_bytes());
    }

    /// A new claim; its devices are free as the API server sees it, which they are as soon as a pod is gone.
    fn create(&mut self) {
        let taken: BTreeSet<&str> = self
            .claims
            .values()
            .filter(|claim| !claim.going)
            .flat_map(|claim| &claim.allocation)
            .filter(|device| !device.admin_access && device.share_id.is_none())
            .map(|device| device.device.as_str())
            .collect();
        let free: Vec<String> = (0..4)
            .map(|number| format!("gpu-{number}"))
            .filter(|name| !taken.contains(name.as_str()))
            .collect();
        self.created += 1;
        // UIDs begin with digits and letters.
        let uid = format!("{:x}-{}", self.random.below(16), self.created);
        let request = if self.random.chance(30) { "gpu/large" } else { "gpu" };
        let (device, share_id, admin_access) = match self.random.below(10) {
            0 => (format!("gpu-{}", self.random.below(4)), None, true),
            1 => ("shared".to_owned(), Some(format!("share-{}", self.created)), false),
            _ if free.is_empty() => return,
            _ => (free[self.random.below(free.len())].clone(), None, false),
        };
        let mut allocation = vec![AllocatedDevice {
            request: request.to_owned(),
            pool: "node-1".to_owned(),
            device,
            share_id,
            admin_access,
            ..AllocatedDevice::default()
        }];
        if let Some(second) = free.iter().find(|name| **name != allocation[0].device)
            && self.random.chance(20)
        {
            allocation.push(AllocatedDevice {
                request: "second".to_owned(),
                pool: "node-1".to_owned(),
                device: second.clone(),
                ..AllocatedDevice::default()
            });
        }
        let reference = ClaimReference {
            namespace: "default".to_owned(),
            name: format!("claim-{}", self.created % 3),
            uid: uid.clone(),
        };
        let claim = Claim { reference, allocation, answer: None, prepared: false, going: false };
        self.claims.insert(uid, claim);
    }

    fn pick(&mut self, accept: impl Fn(&Claim) -> bool) -> Option<String> {
        let uids: Vec<&String> =
            self.claims.iter().filter(|(_, claim)| accept(claim)).map(|(uid, _)| uid).collect();
        let place = self.random.below(uids.len());
        uids.get(place).map(|uid| (*uid).clone())
    }

    fn prepare(&mut self, uid: &str) -> bool {
        let seed = self.seed;
        let claim = self.claims[uid].clone();
        let machine = self.machine.as_ref().expect("a running driver");
        let result = machine.prepare(&claim.reference, || Ok(claim.allocation.clone()));
        if let Ok(answer) = &result {
            if let Some(first) = &claim.answer {
                assert_eq!(answer, first, "seed {seed}: claim {uid} got another answer");
            }
            let resolvable = runtime::resolvable(&self.disk, Path::new(CDI));
            if !self.disk.has_ended() {
                for name in answer.iter().flat_map(|device| &device.cdi_device_ids) {
                    assert!(resolvable.contains(name), "seed {seed}: {name} does not resolve");
                }
            }
            let claim = self.claims.get_mut(uid).expect("the claim");
            claim.answer = Some(answer.clone());
            claim.prepared = true;
            self.check_owners();
            self.write_checkpoint();
        } else {
            assert!(!matches!(result, Err(Failure::Permanent(_))), "seed {seed}: {result:?}");
        }
        if self.disk.has_ended() {
            self.crash();
        }
        result.is_ok()
    }

    fn unprepare(&mut self, uid: &str) -> bool {
        let gone = self.claims.get_mut(uid).expect("the claim");
        gone.going = true;
        // The kubelet unprepares when no container runs any more.
        gone.prepared = false;
        let machine = self.machine.as_ref().expect("a running driver");
        let result = machine.unprepare(&claim(uid));
        if result.is_ok() {
            self.claims.remove(uid);
            self.write_checkpoint();
        }
        if self.disk.has_ended() {
            self.crash();
        }
        result.is_ok()
    }

    /// No device has two owners among the claims whose containers may run.
    fn check_owners(&self) {
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for claim in self.claims.values().filter(|claim| claim.prepared) {
            for device in claim.allocation.iter().filter(|device| !device.admin_access) {
                let key = format!("{} {:?}", device.device, device.share_id);
                if let Some(other) = owners.insert(key, &claim.reference.uid) {
                    panic!(
                        "seed {}: {} is owned by {other} and {}",
                        self.seed, device.device, claim.reference.uid
                    );
                }
            }
        }
    }

    /// One file rots while the driver does not run.
    fn rot(&mut self) {
        self.machine = None;
        let mut files = self.disk.files(Path::new(STATE));
        files.extend(self.disk.files(Path::new(CDI)));
        files.retain(|path| !path.to_string_lossy().contains("quarantine"));
        if !files.is_empty() {
            let path = files[self.random.below(files.len())].clone();
            let random = &mut self.random;
            self.disk.damage(&path, |mut content| {
                match random.below(3) {
                    0 => return None,
                    1 => content.truncate(random.below(content.len() + 1)),
                    _ if content.is_empty() => {}
                    _ => {
                        let place = random.below(content.len());
                        content[place] ^= 1 << random.below(8);
                    }
                }
                Some(content)
            });
        }
        self.disk.set_full(0);
        self.start();
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..20 => self.create(),
            20..55 => {
                if let Some(uid) = self.pick(|claim| !claim.going) {
                    self.prepare(&uid);
                }
            }
            55..75 => {
                if let Some(uid) = self.pick(|_| true) {
                    self.unprepare(&uid);
                }
            }
            75..80 => {
                // Force-deleted: the devices are free for others before the node has unprepared.
                if let Some(uid) = self.pick(|claim| claim.prepared && !claim.going) {
                    self.claims.get_mut(&uid).expect("the claim").going = true;
                }
            }
            80..92 => {
                let more = self.random.below(12);
                self.disk.end_after(more);
            }
            92..96 => {
                let percent = if self.random.chance(50) { 20 } else { 0 };
                self.disk.set_full(percent);
            }
            _ => self.rot(),
        }
    }

    /// Everything goes; nothing may be left.
    fn finish(mut self) {
        let seed = self.seed;
        self.disk.set_full(0);
        self.machine = None;
        self.start();
        // Every running claim is still answered as before.
        for uid in self.claims.keys().cloned().collect::<Vec<_>>() {
            if self.claims[&uid].prepared && !self.claims[&uid].going {
                let unknown = self.machine.as_ref().expect("a running driver").unknown();
                assert!(self.prepare(&uid) || !unknown.is_empty(), "seed {seed}: {uid} cannot be replayed");
            }
        }
        for uid in self.claims.keys().cloned().collect::<Vec<_>>() {
            assert!(self.unprepare(&uid), "seed {seed}: {uid} cannot be unprepared");
        }
        let machine = self.machine.take().expect("a running driver");
        assert!(machine.collect(|_| false).is_empty(), "seed {seed}");
        assert!(machine.records().is_empty() && machine.unknown().is_empty(), "seed {seed}");
        drop(machine);
        let machine = open(self.disk, &self.hardware, self.boot).expect("a start");
        assert!(machine.records().is_empty(), "seed {seed}: {:?}", machine.records());
        assert_eq!(self.disk.files(Path::new(CDI)), Vec::<PathBuf>::new(), "seed {seed}");
        let left: Vec<PathBuf> = self.disk.files(Path::new(STATE));
        assert!(
            left.iter().all(|path| path.to_string_lossy().contains("/quarantine/")),
            "seed {seed}: {left:?}"
        );
        let owners = self.hardware.0.lock().expect("no panic").clone();
        assert!(owners.values().all(BTreeSet::is_empty), "seed {seed}: {owners:?}");
    }
}

fn run(seed: u64) {
    let disk = Disk::new(seed ^ 0x5eed, Path::new(CDI));
    let mut world = World::new(seed, &disk);
    for _ in 0..40 {
        world.step();
    }
    world.finish();
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_schedule_loses_or_doubles_a_device() {
    if let Some(seed) = number("DRAYAGE_SEED") {
        return run(seed);
    }
    for seed in 0..number("DRAYAGE_SCHEDULES").unwrap_or(1_000) {
        run(seed);
    }
}

fn claim(uid: &str) -> ClaimReference {
    ClaimReference { namespace: "default".to_owned(), name: "claim".to_owned(), uid: uid.to_owned() }
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
            assert!(hardware.0.lock().expect("no panic").values().all(BTreeSet::is_empty));
        }
    }
}

/// Hardware that a process which has ended does not reach any more.
struct Mortal<'d>(Hardware, &'d Disk);

impl Devices for Mortal<'_> {
    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        self.0.edits(claim, device)
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
            let stopped = hardware.0.lock().expect("no panic")["gpu-0"].is_empty();
            let machine = open(&disk, &hardware, 0).expect("a start");
            stopped_and_recorded += usize::from(stopped && !machine.records().is_empty());
            machine.prepare(&claim("0a"), || Ok(allocated("gpu-0"))).expect("prepared");
            let owners = hardware.0.lock().expect("no panic")["gpu-0"].len();
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
    hardware.0.lock().expect("no panic").clear();
    let machine = open(&disk, &hardware, 1).expect("a start");
    assert!(runtime::resolvable(&&disk, Path::new(CDI)).contains(&first[0].cdi_device_ids[0]));
    disk.damage(Path::new("/var/run/cdi/k8s.gpu.example.com-claim_0a.json"), |_| None);
    assert_eq!(machine.prepare(&claim("0a"), not_asked).expect("replayed"), first);
    assert!(runtime::resolvable(&&disk, Path::new(CDI)).contains(&first[0].cdi_device_ids[0]));
    assert_eq!(hardware.0.lock().expect("no panic")["gpu-0"].len(), 1);
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
