//! Seeded schedules of pods, crashes, power cuts, full and rotten disks around the state machine of claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use drayage_driver::{
    cdi::{CdiDirectory, ContainerEdits, DeviceNode},
    claims::{
        AllocatedDevice, CdiFiles, Claims, Configuration, Devices, HeldDevice, KubeletCheckpoint,
        RecoverySource,
    },
    files::FileSystem,
    kubelet::{ClaimReference, Failure, PreparedDevice},
};
use drayage_fake_kubelet::claims::crc32;
use serde_json::{Map, Value, json};

use super::{
    disk::{Disk, Random},
    runtime,
};

pub(crate) const DRIVER: &str = "gpu.example.com";
pub(crate) const STATE: &str = "/var/lib/kubelet/plugins/gpu.example.com/claims";
pub(crate) const CDI: &str = "/var/run/cdi";
pub(crate) const CHECKPOINT: &str = "/var/lib/kubelet/dra_manager_state";

/// What is configured of the devices. Survives the process, not the machine.
#[derive(Clone, Debug, Default)]
struct Configured {
    /// The number that was made for a device and a claim. No number is used twice.
    numbers: BTreeMap<(String, String), u64>,
    last: u64,
}

/// Devices that are made when they are configured for a claim: what containers need of them is a number that nobody knows
/// before, and that is another one after a reboot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hardware(Arc<Mutex<Configured>>);

impl Hardware {
    fn configured(&self) -> MutexGuard<'_, Configured> {
        self.0.lock().expect("no panic")
    }

    /// The same state, on its own from now on.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.configured().clone())))
    }

    /// Whether no device is configured.
    pub(crate) fn is_free(&self) -> bool {
        self.configured().numbers.is_empty()
    }

    /// The machine starts anew.
    pub(crate) fn reset(&self) {
        self.configured().numbers.clear();
    }

    /// For how many claims a device is configured.
    pub(crate) fn owners(&self, device: &str) -> usize {
        self.configured().numbers.keys().filter(|(name, _)| name == device).count()
    }

    /// Where containers of a claim find the devices that it has, one after the other.
    pub(crate) fn nodes(&self, uid: &str) -> BTreeSet<String> {
        let configured = self.configured();
        let of_claim = configured.numbers.iter().filter(|((_, claim), _)| claim == uid);
        of_claim.map(|(_, number)| format!("/dev/caps/{number}")).collect()
    }
}

impl Devices for Hardware {
    fn check(&self, _: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        let exists = device.device == "shared" || device.device.starts_with("gpu-");
        exists.then_some(()).ok_or_else(|| Failure::Transient(format!("no device `{}`", device.device)))
    }

    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let number = self.configured().numbers.get(&(device.device.clone(), claim.uid.clone())).copied();
        let number = number.unwrap_or_else(|| panic!("{} is not started for {claim:?}", device.device));
        let node = DeviceNode {
            path: format!("/dev/{}", device.device),
            host_path: Some(format!("/dev/caps/{number}")),
            permissions: None,
        };
        Ok(ContainerEdits {
            env: vec![format!("CLAIM={}", claim.uid)],
            device_nodes: vec![node],
            ..ContainerEdits::default()
        })
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        let attributes = Map::from_iter([("model".to_owned(), json!({"string": device.device}))]);
        (device.device != "shared").then_some(attributes)
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        let mut configured = self.configured();
        for device in devices {
            let next = configured.last + 1;
            let key = (device.device.clone(), claim.uid.clone());
            let number = *configured.numbers.entry(key).or_insert(next);
            configured.last = configured.last.max(number);
        }
        Ok(())
    }

    fn stop(&self, claim: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        self.configured().numbers.retain(|(_, uid), _| *uid != claim.uid);
        Ok(())
    }
}

pub(crate) type Machine<'d> = Claims<&'d Disk, Hardware>;

pub(crate) fn configuration(boot: usize) -> Configuration {
    Configuration {
        directory: PathBuf::from(STATE),
        cdi: CdiDirectory::new(Path::new(CDI), DRIVER),
        boot_id: format!("boot-{boot}"),
    }
}

/// Starts the driver; `None` if the process ended meanwhile.
pub(crate) fn open<'d>(disk: &'d Disk, hardware: &Hardware, boot: usize) -> Option<Machine<'d>> {
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
    /// Its containers may run: it was prepared since the machine started.
    running: bool,
    /// Its pod is gone: it will be unprepared and never prepared again.
    going: bool,
}

/// What happened in schedules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Ends of the process, by the operation in which it ended.
    pub(crate) ends: BTreeMap<&'static str, u64>,
    pub(crate) power_losses: u64,
    /// Files that rotted or went.
    pub(crate) damaged: u64,
    pub(crate) prepared: u64,
    pub(crate) unprepared: u64,
    /// Calls that failed, for good reasons.
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        for (operation, times) in &other.ends {
            *self.ends.entry(operation).or_default() += times;
        }
        self.power_losses += other.power_losses;
        self.damaged += other.damaged;
        self.prepared += other.prepared;
        self.unprepared += other.unprepared;
        self.failed += other.failed;
    }
}

struct World<'d> {
    counts: Counts,
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
            counts: Counts::default(),
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
            self.counts.power_losses += 1;
            self.boot += 1;
            for claim in self.claims.values_mut() {
                claim.running = false;
            }
            self.hardware.reset();
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
        let content = json!({"Data": data, "Checksum": crc32(data.as_bytes())}).to_string();
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
        let claim =
            Claim { reference, allocation, answer: None, prepared: false, running: false, going: false };
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
            if !self.disk.has_ended() {
                let names: Vec<String> =
                    answer.iter().flat_map(|device| device.cdi_device_ids.clone()).collect();
                let injected = runtime::registry(&self.disk, Path::new(CDI)).inject(&names);
                let injected =
                    injected.unwrap_or_else(|names| panic!("seed {seed}: {names:?} do not resolve"));
                let nodes: BTreeSet<String> =
                    injected.device_nodes.into_iter().map(|(_, host)| host).collect();
                let made = self.hardware.nodes(uid);
                assert_eq!(nodes, made, "seed {seed}: the CDI file of {uid} is not of what was started");
                for (_, host) in injected.mounts {
                    assert!(self.disk.read(Path::new(&host)).is_ok(), "seed {seed}: no file {host} to mount");
                }
            }
            self.counts.prepared += 1;
            let claim = self.claims.get_mut(uid).expect("the claim");
            claim.answer = Some(answer.clone());
            claim.prepared = true;
            claim.running = true;
            self.check_owners();
            self.write_checkpoint();
        } else {
            assert!(!matches!(result, Err(Failure::Permanent(_))), "seed {seed}: {result:?}");
            self.counts.failed += 1;
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
        gone.running = false;
        let machine = self.machine.as_ref().expect("a running driver");
        let result = machine.unprepare(&claim(uid));
        if result.is_ok() {
            self.claims.remove(uid);
            self.write_checkpoint();
            self.counts.unprepared += 1;
        } else {
            self.counts.failed += 1;
        }
        if self.disk.has_ended() {
            self.crash();
        }
        result.is_ok()
    }

    /// No device has two owners among the claims whose containers may run.
    fn check_owners(&self) {
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for claim in self.claims.values().filter(|claim| claim.running) {
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

    /// One file rots while the driver does not run, and perhaps the kubelet's checkpoint as well.
    fn rot(&mut self) {
        self.machine = None;
        let mut files = self.disk.files(Path::new(STATE));
        files.extend(self.disk.files(Path::new(CDI)));
        files.retain(|path| !path.to_string_lossy().contains("quarantine"));
        let mut rotten = Vec::new();
        if !files.is_empty() {
            rotten.push(files[self.random.below(files.len())].clone());
        }
        if self.random.chance(30) {
            rotten.push(PathBuf::from(CHECKPOINT));
        }
        for path in rotten {
            self.counts.damaged += 1;
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
                let more = self.random.below(24);
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
    fn finish(mut self) -> Counts {
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
        assert!(self.hardware.is_free(), "seed {seed}: {:?}", self.hardware);
        self.counts.ends = self.disk.ends();
        self.counts
    }
}

pub(crate) fn run(seed: u64) -> Counts {
    let disk = Disk::new(seed ^ 0x5eed, Path::new(CDI));
    let mut world = World::new(seed, &disk);
    for _ in 0..40 {
        world.step();
    }
    world.finish()
}

pub(crate) fn claim(uid: &str) -> ClaimReference {
    ClaimReference { namespace: "default".to_owned(), name: "claim".to_owned(), uid: uid.to_owned() }
}
