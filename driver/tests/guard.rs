//! The guard against a plain recount of what claims hold, and in the machine of claims.

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use drayage_driver::{
    cdi::{CdiDirectory, ContainerEdits},
    claims::{AllocatedDevice, ClaimRecord, Claims, Configuration, Devices, HeldDevice, State},
    devices::{Pool, PoolDevice},
    files::FileSystem,
    guard::{ClaimGuard, Guard},
    kubelet::{ClaimReference, Failure},
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::disk::Disk;

const DRIVER: &str = "gpu.example.com";

fn device(name: &str, fields: Value) -> PoolDevice {
    let Value::Object(fields) = fields else { panic!("an object") };
    PoolDevice { name: name.to_owned(), fields: fields.into() }
}

fn takes(set: &str, slots: u64) -> Value {
    json!({"consumesCounters": [{"counterSet": set, "counters": {"slots": {"value": slots.to_string()}}}]})
}

/// Two cards with 7 slots in partitions of 1, 2, 4 and 7, a device that can be shared, and a plain one.
fn pool() -> Pool {
    let mut devices = Vec::new();
    for card in 0..2 {
        for (number, slots) in [1_u64, 1, 2, 4, 7].into_iter().enumerate() {
            devices.push(device(&format!("part-{card}-{number}"), takes(&format!("card-{card}"), slots)));
        }
    }
    devices.push(device(
        "shared",
        json!({"allowMultipleAllocations": true, "capacity": {"memory": {"value": "10Gi"}}}),
    ));
    devices.push(device("plain", json!({})));
    let set = |card| json!({"name": format!("card-{card}"), "counters": {"slots": {"value": "7"}}});
    Pool { name: "node-1".to_owned(), devices, shared_counters: (0..2).map(set).collect() }
}

fn guard() -> Guard {
    let guard = Guard::new(DRIVER, "node-1");
    guard.set_pools(&[pool()]).expect("a sound pool");
    guard
}

fn held(device: &str) -> HeldDevice {
    HeldDevice { pool: Some("node-1".to_owned()), device: device.to_owned(), ..HeldDevice::default() }
}

fn share(id: &str, memory: u64) -> HeldDevice {
    HeldDevice {
        share_id: Some(id.to_owned()),
        consumed_capacity: BTreeMap::from([("memory".to_owned(), format!("{memory}Gi"))]),
        ..held("shared")
    }
}

fn record(uid: &str, holds: Vec<HeldDevice>) -> ClaimRecord {
    ClaimRecord {
        claim: ClaimReference {
            namespace: "default".to_owned(),
            name: format!("of-{uid}"),
            uid: uid.to_owned(),
        },
        state: State::Prepared,
        holds,
        answer: Vec::new(),
        cdi: None,
        metadata: BTreeMap::new(),
        boot_id: String::new(),
        other: Map::new(),
    }
}

/// What the guard says to `wanted` beside others: the message and whose fault it is.
fn refused(wanted: HeldDevice, others: &[ClaimRecord]) -> Option<(String, Option<String>)> {
    let others: Vec<&ClaimRecord> = others.iter().collect();
    let refusal = guard().refuses(&record("new", vec![wanted]), &others)?;
    Some((refusal.message, refusal.other))
}

#[test]
fn counters_of_partitions_are_not_given_out_twice() {
    let two = record("a", vec![held("part-0-2")]);
    let four = record("b", vec![held("part-0-3")]);
    assert_eq!(refused(held("part-0-0"), &[two.clone(), four.clone()]), None, "2 + 4 + 1 of 7");
    assert_eq!(refused(held("part-1-4"), &[two.clone(), four.clone()]), None, "the other card");
    let (message, other) = refused(held("part-0-4"), &[two.clone(), four]).expect("refused");
    assert!(message.contains("counter `slots` of counter set `card-0` has not enough left"), "{message}");
    assert_eq!(other.as_deref(), Some("a"), "either alone is too much, so any is named");
    let one = record("c", vec![held("part-0-0")]);
    let (_, other) =
        refused(held("part-0-3"), &[one, two, record("d", vec![held("part-0-1")])]).expect("refused");
    assert_eq!(other.as_deref(), Some("c"), "without one slot less it would do");
}

#[test]
fn shares_of_a_device_do_not_take_more_than_it_has() {
    let others = [record("a", vec![share("1", 4)]), record("b", vec![share("2", 5)])];
    assert_eq!(refused(share("3", 1), &others), None);
    let (message, other) = refused(share("3", 3), &others).expect("refused");
    assert_eq!(message, "device `gpu.example.com/node-1/shared`: capacity `memory` has not enough left");
    assert_eq!(other.as_deref(), Some("a"));
    let (_, nobody) = refused(share("3", 11), &others).expect("refused");
    assert_eq!(nobody, None, "it takes too much all by itself");
}

/// KEP-5018: who only watches takes nothing and is refused nothing.
#[test]
fn admin_access_neither_takes_nor_is_refused() {
    let admin = |device: &str| HeldDevice { admin_access: true, ..held(device) };
    let full = [record("a", vec![held("part-0-4"), held("plain")])];
    assert_eq!(refused(admin("plain"), &full), None);
    assert_eq!(refused(held("plain"), &[record("a", vec![admin("plain")])]), None);
    assert_eq!(refused(held("part-0-4"), &[record("a", vec![admin("part-0-4"), admin("part-0-3")])]), None);
}

#[test]
fn a_device_that_nobody_knows_is_not_the_guards_business() {
    assert_eq!(refused(held("vanished"), &[record("a", vec![held("vanished-too")])]), None);
    let guard = Guard::new(DRIVER, "node-1");
    assert_eq!(guard.refuses(&record("a", vec![held("plain")]), &[]), None);
}

/// A record that was rebuilt from a CDI file knows no pools.
#[test]
fn a_holder_without_a_pool_holds_its_counters() {
    let lost = HeldDevice { pool: None, ..held("part-0-4") };
    let (_, other) = refused(held("part-0-0"), &[record("a", vec![lost])]).expect("refused");
    assert_eq!(other.as_deref(), Some("a"));
}

/// Slots and memory that are taken, added up plainly.
fn fits(records: &[ClaimRecord]) -> bool {
    let slots = [1_u64, 1, 2, 4, 7];
    let mut cards = [0, 0];
    let mut memory = 0;
    for held in records.iter().flat_map(|record| &record.holds).filter(|held| !held.admin_access) {
        if let Some(part) = held.device.strip_prefix("part-") {
            let (card, number) = part.split_once('-').expect("two numbers");
            cards[card.parse::<usize>().expect("a card")] +=
                slots[number.parse::<usize>().expect("a number")];
        }
        memory += held
            .consumed_capacity
            .get("memory")
            .map_or(0, |text| text.strip_suffix("Gi").expect("a suffix").parse::<u64>().expect("a number"));
    }
    cards.iter().all(|slots| *slots <= 7) && memory <= 10
}

proptest! {
    /// Claims come in turn; the guard lets in what a recount lets in.
    #[test]
    fn the_guard_agrees_with_a_recount(
        wishes in prop::collection::vec((0..2_usize, 0..6_usize, 1..8_u64, prop::bool::weighted(0.15)), 1..12),
    ) {
        let guard = guard();
        let mut records: Vec<ClaimRecord> = Vec::new();
        for (number, (card, part, memory, admin)) in wishes.into_iter().enumerate() {
            let uid = number.to_string();
            let mut wanted = if part == 5 { share(&uid, memory) } else { held(&format!("part-{card}-{part}")) };
            wanted.admin_access = admin;
            // Exclusive use is not the guard's part.
            if records.iter().flat_map(|record| &record.holds).any(|held| held.excludes(&wanted)) {
                continue;
            }
            let record = record(&uid, vec![wanted]);
            let refusal = guard.refuses(&record, &records.iter().collect::<Vec<_>>());
            let mut with = records.clone();
            with.push(record);
            prop_assert_eq!(refusal.is_none(), fits(&with), "{:?}", refusal);
            if refusal.is_none() {
                records = with;
            }
        }
    }
}

struct Nothing;

impl Devices for Nothing {
    fn edits(&self, _: &ClaimReference, _: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        Ok(ContainerEdits::default())
    }

    fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }
}

/// The force-delete race: the API server has given the slots to another claim before the node has given them up.
#[test]
fn a_claim_waits_for_what_another_still_holds() {
    let disk = Disk::new(0, Path::new("/cdi"));
    disk.create_directory(Path::new("/")).expect("a directory");
    let configuration = Configuration {
        directory: "/state".into(),
        cdi: CdiDirectory::new(Path::new("/cdi"), DRIVER),
        boot_id: "boot".to_owned(),
    };
    let (claims, _) = Claims::open(&disk, Nothing, configuration, &[]).expect("a start");
    let claims = claims.with_guard(Arc::new(guard()));
    let reference = |uid: &str| record(uid, Vec::new()).claim;
    let prepare = |uid: &str, device: &str| {
        let device = AllocatedDevice {
            request: "gpu".to_owned(),
            pool: "node-1".to_owned(),
            device: device.to_owned(),
            ..AllocatedDevice::default()
        };
        claims.prepare(&reference(uid), || Ok(vec![device]))
    };
    prepare("0a", "part-0-4").expect("prepared");
    let error = prepare("0b", "part-0-0").expect_err("its slots are held");
    assert!(
        matches!(&error, Failure::Transient(text) if text.contains("because of claim `default/of-0a`")),
        "{error}"
    );
    assert_eq!(claims.records().len(), 1, "a refused claim holds nothing");
    claims.unprepare(&reference("0a")).expect("unprepared");
    prepare("0b", "part-0-0").expect("prepared");
}
