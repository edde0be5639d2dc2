//! What is published of a card that is divided for claims: a scheduler allocates what can be made, and all of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use drayage_allocator::{
    AllocatedState, Allocator, Features, Inventory, Outcome, Profile, ProfileName,
    objects::{
        DeviceClass, DeviceRequest, DeviceSelector, ExactDeviceRequest, Node as ClusterNode, ResourceClaim,
    },
    profile::Implementation,
};
use drayage_driver::{
    claims::{ClaimRecord, HeldDevice, State},
    devices::{
        Pool,
        nvml::{MigDevices, NvmlDevices, NvmlOptions},
    },
    guard::{ClaimGuard as _, Guard},
    kubelet::ClaimReference,
    publish::allocator_slices,
};
use drayage_fake_nvml::{Card, Machine};
use proptest::prelude::*;
use serde_json::Map;

use crate::node::{Node, cases, pool};

const DRIVER: &str = "gpu.example.com";

/// The cards of both generations, and what they publish.
fn published(lacking: &[&str]) -> [(Card, Pool); 2] {
    [Card::hopper(0), Card::ampere(0)].map(|card| {
        let card = card.partitionable();
        let node = Node::lacking(&Machine { cards: vec![card.clone()], ..Machine::with_cards(0) }, lacking);
        let options = NvmlOptions {
            mig_devices: MigDevices::Dynamic,
            interval: Duration::from_mins(1),
            ..node.options()
        };
        let source = NvmlDevices::start(options, "node-1").expect("a thread");
        (card, pool(&source))
    })
}

/// The instance that a device is: the ID of its profile, and its first memory slice.
fn instance(card: &Card, name: &str) -> (u32, u32) {
    let rest = name.strip_prefix("gpu-0000-1a-00-0-mig-").expect("a MIG device");
    let (label, start) = rest.rsplit_once("-at-").expect("a place");
    let of_label = |name: &str| name.replace(['.', '+'], "-") == label;
    let profile = card.profiles.iter().find(|profile| of_label(&profile.name)).expect("a profile");
    (profile.id, start.parse().expect("a number"))
}

fn record(uid: usize, device: &str) -> ClaimRecord {
    let uid = uid.to_string();
    let claim = ClaimReference { namespace: "default".to_owned(), name: uid.clone(), uid };
    let held =
        HeldDevice { pool: Some("node-1".to_owned()), device: device.to_owned(), ..HeldDevice::default() };
    ClaimRecord {
        claim,
        state: State::Prepared,
        holds: vec![held],
        answer: Vec::new(),
        cdi: None,
        metadata: BTreeMap::new(),
        boot_id: String::new(),
        other: Map::new(),
    }
}

#[test]
fn every_profile_is_a_device_at_each_of_its_places() {
    for lacking in [&[] as &[&str], &["nvmlDeviceGetGpuInstanceProfileInfoV"]] {
        let [(hopper, of_hopper), (ampere, of_ampere)] = published(lacking);
        for (card, pool) in [(hopper, &of_hopper), (ampere, &of_ampere)] {
            let places: usize = card.profiles.iter().map(|profile| profile.starts.len()).sum();
            assert_eq!((pool.devices.len(), pool.shared_counters.len()), (places, 1));
            let mut found: Vec<_> = pool.devices.iter().map(|device| instance(&card, &device.name)).collect();
            let starts = |profile: &drayage_fake_nvml::Profile| {
                profile.starts.iter().map(|start| (profile.id, *start)).collect::<Vec<_>>()
            };
            let mut expected: Vec<_> = card.profiles.iter().flat_map(starts).collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
        let names: Vec<&str> = of_hopper.devices.iter().map(|device| device.name.as_str()).collect();
        // The first of each leaves most to others.
        assert_eq!(names[0], "gpu-0000-1a-00-0-mig-1g-10gb-at-6");
        assert!(names.contains(&"gpu-0000-1a-00-0-mig-1g-10gb-me-at-0"), "{names:?}");
        assert_eq!(*names.last().expect("devices"), "gpu-0000-1a-00-0-mig-7g-80gb-at-0");
        let whole = of_hopper.devices.last().expect("devices").fields.map();
        assert_eq!(whole["capacity"]["memory"]["value"], "81152Mi");
        assert_eq!(whole["attributes"]["profile"]["string"], "7g.80gb");
        assert_eq!(whole["attributes"].get("uuid"), None, "it is not there yet");
        let counters = &of_hopper.shared_counters[0]["counters"];
        assert_eq!(counters["memory-slice-7"]["value"], "1");
        assert_eq!(counters["multiprocessors"]["value"], "132");
        assert_eq!(counters["instances-1g-10gb-me"]["value"], "1");
        assert!(counters.as_object().expect("counters").len() <= 32);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(40), ..ProptestConfig::default() })]

    /// Devices are taken one after the other until nothing fits: at each step counters and card agree about each.
    #[test]
    fn counters_allow_what_the_card_admits(choices in prop::collection::vec(any::<prop::sample::Index>(), 12)) {
        static PUBLISHED: std::sync::OnceLock<[(Card, Pool); 2]> = std::sync::OnceLock::new();
        for (card, pool) in PUBLISHED.get_or_init(|| published(&[])) {
            let guard = Guard::new(DRIVER, "node-1");
            guard.set_pools(std::slice::from_ref(pool)).expect("a sound pool");
            let mut held: Vec<ClaimRecord> = Vec::new();
            let mut instances: Vec<(u32, u32)> = Vec::new();
            for choice in &choices {
                let device = &choice.get(&pool.devices).name;
                let mut more = instances.clone();
                more.push(instance(card, device));
                let record = record(held.len(), device);
                let others: Vec<&ClaimRecord> = held.iter().collect();
                // A device that is held is refused as such before counters are looked at.
                let is_held = others.iter().any(|other| other.holds[0].device == *device);
                let refusal = guard.refuses(&record, &others);
                prop_assert_eq!(refusal.is_none() && !is_held, card.admits(&more), "{:?}: {:?}", more, refusal);
                if card.admits(&more) {
                    instances = more;
                    held.push(record);
                }
            }
        }
    }

    /// Claims for profiles, until nothing is left: whatever the scheduler allocates can be made, and a profile that it does not
    /// allocate any more has no place left.
    #[test]
    fn whatever_is_allocated_can_be_made(choices in prop::collection::vec(any::<prop::sample::Index>(), 10)) {
        static PUBLISHED: std::sync::OnceLock<[(Card, Pool); 2]> = std::sync::OnceLock::new();
        for (card, pool) in PUBLISHED.get_or_init(|| published(&[])) {
            let slices = allocator_slices(DRIVER, "node-1", std::slice::from_ref(pool)).expect("slices");
            let profile: ProfileName = "1.37".parse().expect("a release");
            let features = Features::for_release(profile.release());
            let class = DeviceClass { name: "gpu".to_owned(), ..DeviceClass::default() };
            let mut allocator = Allocator::new(
                Arc::new(Inventory::new(slices)),
                [class],
                Profile::of(profile, Implementation::Experimental),
                features,
            );
            let node = ClusterNode { name: "node-1".to_owned(), ..ClusterNode::default() };
            let mut state = AllocatedState::new();
            let mut instances: Vec<(u32, u32)> = Vec::new();
            for choice in &choices {
                let wanted = choice.get(&card.profiles);
                let claim = claim(&wanted.name);
                let answer = allocator.allocate(&state, &node, &[&claim], &mut String::new, 1_000_000);
                let places = wanted.starts.iter().map(|start| {
                    instances.iter().copied().chain([(wanted.id, *start)]).collect::<Vec<_>>()
                });
                let mut places = places.filter(|more| card.admits(more));
                match answer.outcome {
                    Outcome::Allocated(results) => {
                        let device = &results[0].results[0].device;
                        instances.push(instance(card, device));
                        prop_assert!(card.admits(&instances), "{instances:?}");
                        state.insert(&results[0], features);
                    }
                    Outcome::Unsatisfiable { invalid_pools: false } => {
                        prop_assert_eq!(places.next(), None, "{} has a place", wanted.name);
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}

/// A claim for a MIG device of a profile.
fn claim(profile: &str) -> ResourceClaim {
    let expression = format!("device.attributes['{DRIVER}'].profile == '{profile}'");
    let selector = DeviceSelector { cel: Some(expression) };
    let exactly = ExactDeviceRequest {
        device_class_name: "gpu".to_owned(),
        count: 1,
        selectors: vec![selector],
        ..ExactDeviceRequest::default()
    };
    let request =
        DeviceRequest { name: "gpu".to_owned(), exactly: Some(exactly), ..DeviceRequest::default() };
    ResourceClaim { requests: vec![request], ..ResourceClaim::default() }
}
