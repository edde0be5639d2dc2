//! Any machine: what is offered is sound, whatever the library says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    thread::sleep,
    time::Duration,
};

use drayage_driver::{
    claims::{AllocatedDevice, Devices as _},
    devices::{
        DeviceSource as _,
        nvml::{NvmlDevices, NvmlOptions, Roots},
    },
    kubelet::ClaimReference,
    publish::allocator_slices,
};
use drayage_fake_nvml::{Card, FakeEvent, Machine, codes, install};
use proptest::prelude::*;

const FUNCTIONS: [&str; 14] = [
    "nvmlInit_v2",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetMinorNumber",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetAttributes_v2",
    "nvmlDeviceGetSupportedEventTypes",
    "nvmlDeviceRegisterEvents",
    "nvmlEventSetWait_v2",
];

fn code() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(codes::NOT_SUPPORTED),
        Just(codes::NO_PERMISSION),
        Just(codes::DRIVER_NOT_LOADED),
        Just(codes::GPU_IS_LOST),
        Just(codes::UNKNOWN),
        2_u32..31,
    ]
}

fn errors(most: usize) -> impl Strategy<Value = BTreeMap<String, u32>> {
    let function = prop::sample::select(&FUNCTIONS[..]).prop_map(str::to_owned);
    prop::collection::btree_map(function, code(), 0..=most)
}

fn card(number: u32) -> impl Strategy<Value = Card> {
    let profile =
        prop::sample::select(vec!["1g.10gb", "1g.10gb+me", "1c.2g.20gb", "7g.80gb", "", "4g.\u{1f600}"]);
    let parts = prop::option::of(prop::collection::vec(profile, 0..4));
    (parts, errors(1), prop::bool::weighted(0.1), "[ -~]{0,70}").prop_map(
        move |(parts, errors, lost, name)| {
            let mut card = Card::hopper(number);
            card.name = name;
            if let Some(parts) = parts {
                card = card.divided(&parts);
            }
            Card { errors, lost, ..card }
        },
    )
}

fn machine() -> impl Strategy<Value = Machine> {
    let cards =
        (card(0), card(1), card(2), card(3), 0_usize..5).prop_map(|(one, two, three, four, count)| {
            [one, two, three, four].into_iter().take(count).collect::<Vec<_>>()
        });
    let event = (0_usize..5, 0_u64..20, 0_u64..120, prop::option::of([0_u32..4, 0_u32..2]))
        .prop_map(|(card, event_type, data, instance)| FakeEvent { card, event_type, data, instance });
    let no_errors = prop::bool::weighted(0.7);
    (cards, errors(1), no_errors, prop::collection::vec(event, 0..4), "[0-9.]{0,12}").prop_map(
        |(cards, errors, no_errors, events, driver_version)| Machine {
            driver_version,
            cards,
            events,
            errors: if no_errors { BTreeMap::new() } else { errors },
            ..Machine::with_cards(0)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_offered_is_sound(machines in prop::collection::vec(machine(), 1..4)) {
        let folder = tempfile::tempdir().expect("a folder");
        let library = install(folder.path(), &machines[0], &[]).expect("a library");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("dev")).expect("a folder");
        for name in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"] {
            fs::write(at("dev").join(name), "").expect("a file");
        }
        let options = NvmlOptions {
            library: library.path().into(),
            roots: Roots { sys: at("sys"), proc: at("proc"), dev: at("dev") },
            interval: Duration::from_millis(1),
            ..NvmlOptions::default()
        };
        let source = NvmlDevices::start(options, "node-1").expect("a thread");
        let claim = ClaimReference { namespace: "a".to_owned(), name: "a".to_owned(), uid: "0a".to_owned() };
        for machine in &machines {
            library.describe(machine).expect("described");
            sleep(Duration::from_millis(20));
            let Ok(pools) = source.pools() else { continue };
            prop_assert!(allocator_slices("gpu.example.com", "node-1", &pools).is_ok(), "{:?}", pools);
            let names: BTreeSet<&str> = pools[0].devices.iter().map(|device| device.name.as_str()).collect();
            prop_assert_eq!(names.len(), pools[0].devices.len(), "each name is there once");
            for device in &pools[0].devices {
                let allocated = AllocatedDevice {
                    pool: "node-1".to_owned(),
                    device: device.name.clone(),
                    ..AllocatedDevice::default()
                };
                if let Ok(edits) = source.edits(&claim, &allocated) {
                    let cards = edits.device_nodes.iter().filter(|node| {
                        node.path.strip_prefix("/dev/nvidia").is_some_and(|rest| rest.parse::<u32>().is_ok())
                    });
                    prop_assert_eq!(cards.count(), 1, "the node of one card");
                }
            }
            // Others may be there by now, but none twice.
            let seen = source.observe().expect("what was seen");
            let distinct: BTreeSet<&str> = seen.iter().map(|seen| seen.device.as_str()).collect();
            prop_assert_eq!(distinct.len(), seen.len());
        }
    }
}
