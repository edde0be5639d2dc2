//! MIG devices that are made for claims: the records of claims, the source and a library together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use drayage_driver::{
    cdi::CdiDirectory,
    claims::{AllocatedDevice, CdiFiles, Claims, Configuration, RecoverySource},
    devices::{
        Condition, DeviceSource as _,
        nvml::{MigDevices, NvmlDevices, NvmlOptions},
    },
    files::HostFileSystem,
    kubelet::{ClaimReference, Failure, PreparedDevice},
};
use drayage_fake_kubelet::cdi::CdiRegistry;
use drayage_fake_nvml::{Card, FakeEvent, FakeInstance, Machine, codes};
use proptest::prelude::*;

use crate::node::{Node, cases, conditions, names, until};

type Records = Claims<HostFileSystem, Arc<NvmlDevices>>;

const SMALL: &str = "gpu-0000-1a-00-0-mig-1g-10gb-at-4";
const LARGE: &str = "gpu-0000-1a-00-0-mig-3g-40gb-at-4";
const WHOLE: &str = "gpu-0000-1b-00-0-mig-7g-40gb-at-0";

/// A node with an H100 and an A100 in MIG mode.
struct World {
    machine: Machine,
    node: Node,
    boot: u32,
    mode: MigDevices,
    patience: Duration,
    running: Option<(Records, Arc<NvmlDevices>)>,
}

impl World {
    fn new() -> Self {
        let cards = vec![Card::hopper(0).partitionable(), Card::ampere(1).partitionable()];
        let mut machine = Machine { cards, ..Machine::with_cards(0) };
        let node = Node::new(&machine);
        machine.root = Some(node.folder.path().to_owned());
        for name in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"] {
            node.write(&format!("dev/{name}"), "");
        }
        let mut world = Self {
            machine,
            node,
            boot: 0,
            mode: MigDevices::Dynamic,
            patience: Duration::from_mins(1),
            running: None,
        };
        world.describe();
        world.start();
        world
    }

    fn describe(&self) {
        self.node.library.describe(&self.machine).expect("described");
    }

    fn options(&self) -> NvmlOptions {
        NvmlOptions {
            mig_devices: self.mode,
            patience: self.patience,
            interval: Duration::from_mins(1),
            ..self.node.options()
        }
    }

    fn cdi(&self) -> CdiDirectory {
        CdiDirectory::new(&self.node.folder.path().join("cdi"), "gpu.example.com")
    }

    fn start(&mut self) {
        // The one before ends first, as a process does.
        self.running = None;
        let source = Arc::new(NvmlDevices::start(self.options(), "node-1").expect("a thread"));
        until("a look", || source.pools().is_ok());
        let configuration = Configuration {
            directory: self.node.folder.path().join("records"),
            cdi: self.cdi(),
            boot_id: format!("boot-{}", self.boot),
        };
        let files = CdiFiles::new(HostFileSystem, self.cdi());
        let sources: [&dyn RecoverySource; 1] = [&files];
        let opened = Claims::open(HostFileSystem, Arc::clone(&source), configuration, &sources);
        let (claims, _) = opened.expect("a start");
        self.running = Some((claims, source));
    }

    fn reboot(&mut self) {
        self.running = None;
        self.boot += 1;
        self.node.library.reboot().expect("started anew");
        let _ = fs::remove_dir_all(self.node.folder.path().join("cdi"));
        self.start();
    }

    fn claims(&self) -> &Records {
        &self.running.as_ref().expect("a driver").0
    }

    fn source(&self) -> &NvmlDevices {
        &self.running.as_ref().expect("a driver").1
    }

    fn prepare(&self, uid: &str, device: &str) -> Result<Vec<PreparedDevice>, Failure> {
        self.claims().prepare(&claim(uid), || Ok(vec![allocated(device)]))
    }

    fn instances(&self) -> Vec<FakeInstance> {
        self.node.library.instances().instances
    }

    /// Profile and place of every instance of the first card.
    fn places(&self) -> Vec<(u32, u32)> {
        let card = &self.machine.cards[0].uuid;
        let of_card = self.instances().into_iter().filter(|instance| instance.card == *card);
        of_card.map(|instance| (instance.profile, instance.start)).collect()
    }

    /// Device nodes that a container of this answer gets.
    fn nodes(&self, answer: &[PreparedDevice]) -> Vec<String> {
        let names: Vec<String> = answer.iter().flat_map(|device| device.cdi_device_ids.clone()).collect();
        let registry = CdiRegistry::of_folders(&[&self.node.folder.path().join("cdi")]);
        let injected = registry.inject(&names).expect("resolved");
        injected.device_nodes.into_iter().map(|(path, _)| path).collect()
    }
}

fn claim(uid: &str) -> ClaimReference {
    ClaimReference { namespace: "default".to_owned(), name: format!("of-{uid}"), uid: uid.to_owned() }
}

fn allocated(device: &str) -> AllocatedDevice {
    AllocatedDevice { request: "gpu".to_owned(), ..crate::node::allocated(device) }
}

/// Nodes of the capabilities of an instance, as the kernel numbers them.
fn capabilities(minor: u32, instance: &FakeInstance) -> [String; 2] {
    let first = 3 + minor * 135 + instance.id * 9;
    [first, first + 1].map(|number| format!("/dev/nvidia-caps/nvidia-cap{number}"))
}

#[test]
fn a_claim_has_its_mig_device_made_and_removed() {
    let mut world = World::new();
    assert_eq!(names(world.source()).len(), 50, "each card offers 25 devices");
    let answer = world.prepare("0a", LARGE).expect("prepared");
    assert_eq!(world.places(), [(9, 4)]);
    let instance = world.instances().remove(0);
    assert_eq!(instance.compute.len(), 1, "with a compute instance over all of it");
    let nodes = world.nodes(&answer);
    assert_eq!(nodes[..3], ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm"]);
    assert_eq!(nodes[3..5], capabilities(0, &instance));
    let metadata = world.node.folder.path().join("records/metadata/0a_gpu.json");
    let told = fs::read_to_string(metadata).expect("a metadata file");
    assert!(told.contains("\"uuid\"") && told.contains("MIG-"), "{told}");
    // After a restart the device is still there, and nothing is in anybody's way.
    world.start();
    assert_eq!(world.claims().prepare(&claim("0a"), not_asked).expect("replayed"), answer);
    assert_eq!((names(world.source()).len(), world.places()), (50, vec![(9, 4)]));
    assert_eq!(world.source().notes(), Vec::<String>::new());
    world.claims().unprepare(&claim("0a")).expect("unprepared");
    assert_eq!(world.instances(), []);
    world.claims().unprepare(&claim("0a")).expect("nothing to do");
}

fn not_asked() -> Result<Vec<AllocatedDevice>, Failure> {
    Err(Failure::Permanent("the API server is away".to_owned()))
}

#[test]
fn a_reboot_makes_it_anew_with_other_nodes_behind_the_same_names() {
    let mut world = World::new();
    // Of two instances the second one has another number when it is made first.
    world.prepare("0a", SMALL).expect("prepared");
    let answer = world.prepare("0b", "gpu-0000-1a-00-0-mig-2g-20gb-at-0").expect("prepared");
    let before = world.nodes(&answer);
    world.reboot();
    assert_eq!(world.instances(), []);
    assert_eq!(world.claims().prepare(&claim("0b"), not_asked).expect("replayed"), answer);
    assert_eq!(world.places(), [(14, 0)]);
    let after = world.nodes(&answer);
    assert_ne!(before, after);
    assert_eq!(after[3..5], capabilities(0, &world.instances()[0]));
    // The pod of the other claim is gone: nothing is there to be removed.
    world.claims().unprepare(&claim("0a")).expect("unprepared");
    world.claims().unprepare(&claim("0b")).expect("unprepared");
    assert_eq!(world.instances(), []);
}

#[test]
fn what_a_crash_left_is_taken_over_or_removed() {
    for goes_on in [true, false] {
        let mut world = World::new();
        let function = "nvmlGpuInstanceCreateComputeInstance".to_owned();
        world.machine.errors.insert(function.clone(), codes::UNKNOWN);
        world.describe();
        let error = world.prepare("0a", SMALL).expect_err("halfway");
        assert!(matches!(&error, Failure::Transient(text) if text.contains(&function)), "{error}");
        assert_eq!(world.places(), [(19, 4)]);
        world.machine.errors.clear();
        world.describe();
        world.start();
        if goes_on {
            let answer = world.prepare("0a", SMALL).expect("prepared");
            assert_eq!(world.nodes(&answer)[3..5], capabilities(0, &world.instances()[0]));
            assert_eq!(world.node.library.instances().made, 1, "nothing was made twice");
        }
        world.claims().unprepare(&claim("0a")).expect("unprepared");
        assert_eq!(world.instances(), []);
    }
}

#[test]
fn an_instance_of_nobodys_claim_is_left_alone_and_what_overlaps_it_is_not_offered() {
    let mut world = World::new();
    let mut instances = world.node.library.instances();
    let card = world.machine.cards[0].uuid.clone();
    instances.instances =
        vec![FakeInstance { card, id: 5, profile: 19, start: 4, serial: 90, ..FakeInstance::default() }];
    world.node.library.set_instances(&instances).expect("written");
    world.start();
    let offered = names(world.source());
    for name in [SMALL, LARGE, "gpu-0000-1a-00-0-mig-7g-80gb-at-0", "gpu-0000-1a-00-0-mig-2g-20gb-at-4"] {
        assert!(!offered.contains(&name.to_owned()), "{name}");
        let error = world.prepare("0a", name).expect_err("in the way");
        assert!(matches!(&error, Failure::Transient(text) if text.contains("is in the way")), "{error}");
    }
    assert!(offered.contains(&"gpu-0000-1a-00-0-mig-3g-40gb-at-0".to_owned()));
    let notes = world.source().notes().concat();
    assert!(notes.contains("GPU instance 5 (1g.10gb) of GPU `0000:1a:00.0` at memory slice 4"), "{notes}");
    // A claim that was allocated before it was there.
    world.claims().unprepare(&claim("0a")).expect("nothing was done");
    assert_eq!(world.places(), [(19, 4)]);
    world.node.library.reboot().expect("removed");
    world.start();
    assert_eq!(names(world.source()).len(), 50);
}

#[test]
fn an_instance_that_appears_meanwhile_is_neither_taken_over_nor_removed() {
    let world = World::new();
    let mut instances = world.node.library.instances();
    let card = world.machine.cards[0].uuid.clone();
    instances.instances =
        vec![FakeInstance { card, id: 5, profile: 19, start: 4, serial: 90, ..FakeInstance::default() }];
    world.node.library.set_instances(&instances).expect("written");
    // The last look was before.
    let error = world.prepare("0a", SMALL).expect_err("in the way");
    assert!(
        matches!(&error, Failure::Transient(text) if text.contains("GPU instance 5 is in the way")),
        "{error}"
    );
    world.claims().unprepare(&claim("0a")).expect("unprepared");
    assert_eq!(world.places(), [(19, 4)]);
}

#[test]
fn a_call_that_hangs_is_named_and_joined() {
    let mut world = World::new();
    world.patience = Duration::from_secs(1);
    world.start();
    let function = "nvmlDeviceCreateGpuInstanceWithPlacement".to_owned();
    world.machine.milliseconds.insert(function.clone(), 5_000);
    world.describe();
    let named = |result: Result<(), Failure>, function: &str| match result {
        Err(Failure::Transient(text)) => {
            text.contains("NVML has not answered for 1 seconds") && text.contains(function)
        }
        result => panic!("{result:?}"),
    };
    until("it is named", || named(world.prepare("0a", SMALL).map(drop), &function));
    until("the call has ended", || world.prepare("0a", SMALL).is_ok());
    assert_eq!(world.node.library.instances().made, 1, "who asks again joins");
    let function = "nvmlGpuInstanceDestroy".to_owned();
    world.machine.milliseconds = BTreeMap::from([(function.clone(), 5_000)]);
    world.describe();
    until("it is named", || named(world.claims().unprepare(&claim("0a")), &function));
    until("the call has ended", || world.claims().unprepare(&claim("0a")).is_ok());
    assert_eq!(world.instances(), []);
}

#[test]
fn who_may_not_or_cannot_is_told_why() {
    let mut world = World::new();
    let create = "nvmlDeviceCreateGpuInstanceWithPlacement".to_owned();
    world.machine.errors.insert(create.clone(), codes::NO_PERMISSION);
    world.describe();
    let error = world.prepare("0a", SMALL).expect_err("refused");
    let Failure::Permanent(text) = &error else { panic!("{error}") };
    assert!(text.contains("CAP_SYS_ADMIN") && text.contains("mig/config"), "{text}");
    world.machine.errors.insert(create.clone(), codes::INSUFFICIENT_RESOURCES);
    world.describe();
    let error = world.prepare("0a", SMALL).expect_err("refused");
    assert!(matches!(&error, Failure::Transient(text) if text.contains("not enough is left")), "{error}");
    world.machine.errors.clear();
    world.describe();
    world.prepare("0a", SMALL).expect("prepared");
    let mut instances = world.node.library.instances();
    instances.instances[0].in_use = true;
    world.node.library.set_instances(&instances).expect("written");
    let error = world.claims().unprepare(&claim("0a")).expect_err("in use");
    assert!(
        matches!(&error, Failure::Transient(text) if text.contains("some process still uses it")),
        "{error}"
    );
    assert!(world.prepare("0b", SMALL).is_err(), "nobody else gets it");
    instances.instances[0].in_use = false;
    world.node.library.set_instances(&instances).expect("written");
    world.claims().unprepare(&claim("0a")).expect("unprepared");
    // Without privileges nobody even sees instances, so nothing is offered.
    world.machine.errors.insert("nvmlDeviceGetGpuInstances".to_owned(), codes::NO_PERMISSION);
    world.describe();
    world.start();
    assert_eq!(names(world.source()), Vec::<String>::new());
    let notes = world.source().notes().concat();
    assert!(notes.contains("`0000:1a:00.0` is in MIG mode and offers nothing: permission denied"), "{notes}");
}

#[test]
fn errors_reach_the_device_whose_instance_they_name() {
    let mut world = World::new();
    world.prepare("0a", SMALL).expect("prepared");
    world.prepare("0b", WHOLE).expect("prepared");
    let faulty = |world: &World| {
        let seen = world.source().observe().expect("a look").into_iter();
        let faulty = seen.filter(|seen| matches!(seen.condition, Condition::Faulty(_)));
        faulty.map(|seen| seen.device).collect::<Vec<_>>()
    };
    let id = world.instances()[0].id;
    world.machine.events.push(FakeEvent { card: 0, event_type: 8, data: 94, instance: Some([id, 0]) });
    world.describe();
    until("the error", || faulty(&world) == [SMALL]);
    // What is gone has no errors, and what is made next is another one.
    world.claims().unprepare(&claim("0a")).expect("unprepared");
    assert_eq!(faulty(&world), Vec::<String>::new());
    world.prepare("0a", LARGE).expect("prepared");
    assert_eq!((world.instances()[1].id, faulty(&world)), (id, Vec::new()));
    // A card that is lost has no device that works.
    world.machine.cards[1].lost = true;
    world.describe();
    assert!(world.prepare("0c", SMALL).is_err(), "work has the GPUs looked at");
    world.claims().unprepare(&claim("0a")).expect("unprepared");
    assert_eq!(faulty(&world).len(), 25);
    assert!(faulty(&world).iter().all(|device| device.starts_with("gpu-0000-1b-00-0")));
    // Its claim can go all the same.
    world.claims().unprepare(&claim("0b")).expect("unprepared");
}

#[test]
fn an_instance_that_somebody_removed_makes_its_device_faulty() {
    let mut world = World::new();
    world.prepare("0a", SMALL).expect("prepared");
    world.start();
    assert!(conditions(world.source()).iter().all(|condition| !matches!(condition, Condition::Faulty(_))));
    world.node.library.reboot().expect("removed");
    world.start();
    let seen = world.source().observe().expect("a look");
    let of_it = seen.iter().find(|seen| seen.device == SMALL).expect("the device");
    assert_eq!(of_it.condition, Condition::Faulty("somebody removed its GPU instance".to_owned()));
    world.claims().unprepare(&claim("0a")).expect("unprepared");
}

#[test]
fn admin_access_makes_and_removes_nothing() {
    let world = World::new();
    let admin = || Ok(vec![AllocatedDevice { admin_access: true, ..allocated(SMALL) }]);
    let error = world.claims().prepare(&claim("0b"), admin).expect_err("nothing is there");
    assert!(error.to_string().contains("admin access makes no MIG device"), "{error}");
    world.prepare("0a", SMALL).expect("prepared");
    let answer = world.claims().prepare(&claim("0b"), admin).expect("prepared");
    assert_eq!(world.nodes(&answer)[3..5], capabilities(0, &world.instances()[0]));
    world.claims().unprepare(&claim("0b")).expect("unprepared");
    assert_eq!(world.places(), [(19, 4)]);
}

/// Whoever goes back to the devices that exist does not give a MIG device of a claim to another one.
#[test]
fn what_was_made_for_a_claim_is_not_offered_under_another_name() {
    let mut world = World::new();
    world.prepare("0a", SMALL).expect("prepared");
    world.mode = MigDevices::Existing;
    world.start();
    // The first look was before anybody knew of the claim; the next one is soon.
    assert_eq!(names(world.source()), Vec::<String>::new());
    // Nor to one that was given it before.
    let id = world.instances()[0].id;
    let error =
        world.prepare("0b", &format!("gpu-0000-1a-00-0-mig-1g-10gb-{id}-0")).expect_err("it is taken");
    assert!(error.to_string().contains("its instance was made for another claim"), "{error}");
    world.claims().unprepare(&claim("0a")).expect("unprepared");
    assert_eq!(world.instances(), []);
}

/// Claims on which devices, what becomes of them, and when everything ends.
#[derive(Clone, Debug)]
enum Step {
    Prepare(prop::sample::Index),
    Unprepare(prop::sample::Index),
    /// A call fails while a claim is prepared, and the process ends then.
    Kill(prop::sample::Index, prop::sample::Index),
    Restart,
    Reboot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any::<prop::sample::Index>().prop_map(Step::Prepare),
        3 => any::<prop::sample::Index>().prop_map(Step::Unprepare),
        2 => any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(device, call)| Step::Kill(device, call)),
        1 => Just(Step::Restart),
        1 => Just(Step::Reboot),
    ]
}

const CALLS: [&str; 5] = [
    "nvmlDeviceCreateGpuInstanceWithPlacement",
    "nvmlGpuInstanceCreateComputeInstance",
    "nvmlGpuInstanceGetComputeInstances",
    "nvmlComputeInstanceDestroy",
    "nvmlGpuInstanceDestroy",
];

/// The instance that a device is.
fn instance_of(machine: &Machine, device: &str) -> (String, u32, u32) {
    let (card, rest) = device.split_once("-mig-").expect("a MIG device");
    let card = &machine.cards[usize::from(card == "gpu-0000-1b-00-0")];
    let (label, start) = rest.rsplit_once("-at-").expect("a place");
    let of_label = |name: &str| name.replace(['.', '+'], "-") == label;
    let profile = card.profiles.iter().find(|profile| of_label(&profile.name)).expect("a profile");
    (card.uuid.clone(), profile.id, start.parse().expect("a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(6), max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn nothing_overlaps_or_leaks_whatever_ends_when(steps in prop::collection::vec(step(), 1..16)) {
        let mut world = World::new();
        let devices = names(world.source());
        // What the API server has given to whom, and what was prepared since the machine started.
        let mut claims: BTreeMap<String, String> = BTreeMap::new();
        let mut answers: BTreeMap<String, Vec<PreparedDevice>> = BTreeMap::new();
        let mut prepared: BTreeSet<String> = BTreeSet::new();
        for (number, step) in steps.iter().enumerate() {
            let uid = format!("{number:02}");
            match step {
                Step::Prepare(device) | Step::Kill(device, _) => {
                    let device = device.get(&devices);
                    let fits = |device: &String| {
                        let all: Vec<_> = claims.values().chain([device])
                            .map(|device| instance_of(&world.machine, device)).collect();
                        world.machine.cards.iter().all(|card| {
                            let of_card: Vec<_> = all.iter().filter(|(uuid, ..)| *uuid == card.uuid)
                                .map(|(_, profile, start)| (*profile, *start)).collect();
                            card.admits(&of_card)
                        })
                    };
                    if !fits(device) {
                        continue;
                    }
                    claims.insert(uid.clone(), device.clone());
                    if let Step::Kill(_, call) = step {
                        world.machine.errors.insert((*call.get(&CALLS)).to_owned(), codes::UNKNOWN);
                        world.describe();
                        let failed = world.prepare(&uid, device);
                        if let Ok(answer) = failed {
                            prepared.insert(uid.clone());
                            answers.insert(uid.clone(), answer);
                            // Its pod is deleted, and that fails.
                            if world.claims().unprepare(&claim(&uid)).is_ok() {
                                claims.remove(&uid);
                            }
                            answers.remove(&uid);
                            prepared.remove(&uid);
                        }
                        world.machine.errors.clear();
                        world.describe();
                        world.start();
                    } else {
                        let answer = world.prepare(&uid, device);
                        prop_assert!(answer.is_ok(), "{answer:?}");
                        answers.insert(uid.clone(), answer.expect("prepared"));
                        prepared.insert(uid);
                    }
                }
                Step::Unprepare(which) => {
                    let uids: Vec<String> = claims.keys().cloned().collect();
                    if uids.is_empty() {
                        continue;
                    }
                    let uid = which.get(&uids);
                    let done = world.claims().unprepare(&claim(uid));
                    prop_assert!(done.is_ok(), "{done:?}");
                    claims.remove(uid);
                    answers.remove(uid);
                    prepared.remove(uid);
                }
                Step::Restart => world.start(),
                Step::Reboot => {
                    world.reboot();
                    prepared.clear();
                    // The kubelet comes back to some of them.
                    for (uid, answer) in answers.iter().take(2) {
                        let again = world.claims().prepare(&claim(uid), not_asked);
                        prop_assert_eq!(again.as_ref(), Ok(answer));
                        prepared.insert(uid.clone());
                    }
                }
            }
            let there = world.instances();
            for card in &world.machine.cards {
                let of_card: Vec<(u32, u32)> = there.iter().filter(|instance| instance.card == card.uuid)
                    .map(|instance| (instance.profile, instance.start)).collect();
                prop_assert!(card.admits(&of_card), "{of_card:?}");
            }
            for uid in &prepared {
                let (card, profile, start) = instance_of(&world.machine, &claims[uid]);
                let own = there.iter().find(|instance| {
                    instance.card == card && (instance.profile, instance.start) == (profile, start)
                });
                let own = own.expect("the instance of a prepared claim");
                let minor = u32::from(card == world.machine.cards[1].uuid);
                let expected = capabilities(minor, own);
                prop_assert_eq!(&world.nodes(&answers[uid])[3..5], &expected[..]);
            }
            prop_assert_eq!(world.source().notes(), Vec::<String>::new());
        }
        for uid in claims.keys() {
            let done = world.claims().unprepare(&claim(uid));
            prop_assert!(done.is_ok(), "{done:?}");
        }
        prop_assert_eq!(world.instances(), []);
        prop_assert!(!Path::new(&world.node.folder.path().join("proc/driver/nvidia/capabilities/gpu0/mig/gi1")).exists());
    }
}
