//! The slice controller against a fake API server, in seeded schedules of faults.
//!
//! `DRAYAGE_SCHEDULES` sets their number; a failure names its seed, and `DRAYAGE_SEED` runs that one alone.

mod fake_api;
mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use drayage_driver::{
    devices::{Fields, Pool, PoolDevice},
    publish::{Action, ApiVersion, Controller, Event, Report, Served, Slice, SliceFiles, publish},
};
use fake_api::{Faults, World};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn pool(name: &str, devices: usize, flavour: u64) -> Pool {
    let device = |number: usize| {
        let Value::Object(fields) = json!({"attributes": {"flavour": {"int": flavour}}}) else {
            panic!("an object")
        };
        PoolDevice { name: format!("gpu-{number}"), fields: fields.into() }
    };
    Pool { name: name.to_owned(), devices: (0..devices).map(device).collect(), shared_counters: Vec::new() }
}

fn texts(pool: &Pool) -> Vec<String> {
    pool.devices.iter().map(|device| fake_api::text(&serde_json::to_value(device).expect("JSON"))).collect()
}

fn settled(devices: usize) -> (World, Pool) {
    let mut world = World::new(7);
    let pool = pool("node-1", devices, 0);
    world.tell(Event::Desired(vec![pool.clone()]));
    world.run_for(SECOND);
    assert!(world.controller.is_settled());
    assert_eq!(world.visible()["node-1"], texts(&pool));
    world.writes = 0;
    (world, pool)
}

fn generations(world: &World) -> BTreeSet<i64> {
    let specs = world.slices.values().map(|slice| slice.spec.map());
    specs.map(|spec| spec["pool"]["generation"].as_i64().expect("a number")).collect()
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let (mut world, pool) = settled(300);
    assert_eq!(world.slices.len(), 3);
    world.tell(Event::Desired(vec![pool.clone()]));
    world.run_for(SECOND);
    world.tell(Event::WatchLost);
    world.run_for(SECOND);
    world.restart();
    world.tell(Event::Desired(vec![pool]));
    world.run_for(SECOND);
    assert!(world.controller.is_settled());
    assert_eq!(world.writes, 0);
}

/// Finding 9: a kubelet that starts removes all slices; the Go helper needs 21 to 30 seconds to bring them back.
#[test]
fn slices_are_back_within_a_second_after_a_wipe() {
    for devices in [1, 300, 10_000] {
        let (mut world, pool) = settled(devices);
        world.wipe();
        world.run_for(SECOND);
        assert_eq!(world.visible()["node-1"], texts(&pool), "{devices} devices");
        assert_eq!(world.writes, devices.div_ceil(128));
    }
}

#[test]
fn one_changed_slice_keeps_the_generation_and_several_raise_it() {
    let (mut world, mut pool) = settled(300);
    pool.devices[5].fields.insert("bindsToNode".to_owned(), json!(true));
    world.tell(Event::Desired(vec![pool.clone()]));
    world.run_for(SECOND);
    assert_eq!((world.writes, generations(&world)), (1, BTreeSet::from([1])));
    pool.devices[5].fields = Fields::default();
    pool.devices[200].fields = Fields::default();
    world.tell(Event::Desired(vec![pool.clone()]));
    world.run_for(SECOND);
    assert_eq!((world.writes, generations(&world)), (4, BTreeSet::from([2])));
    pool.devices.truncate(10);
    world.tell(Event::Desired(vec![pool.clone()]));
    world.run_for(SECOND);
    assert_eq!(world.slices.len(), 1);
    assert_eq!(world.visible()["node-1"], texts(&pool));
    world.tell(Event::Desired(Vec::new()));
    world.run_for(SECOND);
    assert!(world.slices.is_empty(), "a pool that is gone");
}

#[test]
fn a_single_missing_slice_completes_its_generation() {
    let (mut world, pool) = settled(300);
    world.meddle(|_| false);
    world.run_for(SECOND);
    assert_eq!((world.writes, generations(&world)), (1, BTreeSet::from([1])));
    assert_eq!(world.visible()["node-1"], texts(&pool));
}

/// Somebody else's change is undone, but not at once: two writers would fight at full speed.
#[test]
fn a_foreign_change_is_undone_after_half_a_minute() {
    let (mut world, pool) = settled(10);
    world.meddle(|spec| {
        spec.insert("devices".to_owned(), json!([]));
        true
    });
    world.run_for(20 * SECOND);
    assert_eq!(world.writes, 0);
    world.run_for(11 * SECOND);
    assert_eq!(world.writes, 1);
    assert_eq!(world.visible()["node-1"], texts(&pool));
}

#[test]
fn fields_that_the_server_drops_are_reported_once_and_not_fought_over() {
    let mut world = World::new(3);
    world.dropped = vec!["taints", "bindsToNode"];
    let mut pool = pool("node-1", 2, 0);
    pool.devices[1].fields.insert("taints".to_owned(), json!([{"key": "a", "effect": "NoSchedule"}]));
    world.tell(Event::Desired(vec![pool.clone()]));
    world.run_for(SECOND);
    let fields = vec!["spec.devices[].taints".to_owned()];
    assert_eq!(world.reports, [Report::DroppedFields { pool: "node-1".to_owned(), fields }]);
    world.tell(Event::WatchLost);
    world.tell(Event::Desired(vec![pool]));
    world.run_for(60 * SECOND);
    assert_eq!((world.writes, world.reports.len()), (1, 1));
}

#[test]
fn a_pool_that_the_server_refuses_waits_for_a_change() {
    let mut world = World::new(3);
    world.served.minor = 34;
    // 1.34 wants devices of a counter set in one slice, which takes 64.
    let mut large = pool("node-1", 65, 0);
    large.shared_counters = vec![json!({"name": "card", "counters": {"slots": {"value": "9"}}})];
    for device in &mut large.devices {
        let taken = json!([{"counterSet": "card", "counters": {"slots": {"value": "1"}}}]);
        device.fields.insert("consumesCounters".to_owned(), taken);
    }
    let other = pool("other", 1, 0);
    world.tell(Event::Desired(vec![large.clone(), other.clone()]));
    world.run_for(60 * SECOND);
    assert!(matches!(&world.reports[..], [Report::Refused { reason, .. }] if reason.contains("65 devices")));
    assert_eq!(world.visible().keys().collect::<Vec<_>>(), ["other"]);
    large.devices.truncate(64);
    world.tell(Event::Desired(vec![large.clone(), other]));
    world.run_for(SECOND);
    assert_eq!(world.visible()["node-1"], texts(&large));
    let mut specs = world.slices.values().map(|slice| slice.spec.map());
    assert!(specs.all(|spec| spec["pool"]["name"] != "node-1" || spec.contains_key("sharedCounters")));
}

/// Since 1.35 counters are in slices of their own.
#[test]
fn counters_have_their_own_slices_where_the_server_wants_that() {
    let mut world = World::new(3);
    let mut pool = pool("node-1", 1, 0);
    pool.shared_counters = vec![json!({"name": "card", "counters": {"slots": {"value": "9"}}})];
    world.tell(Event::Desired(vec![pool]));
    world.run_for(SECOND);
    let kinds: Vec<bool> = world.slices.values().map(|slice| slice.spec.get("devices").is_some()).collect();
    assert_eq!(kinds, [false, true]);
}

#[test]
fn an_outage_ends_with_everything_in_order_and_few_words() {
    let (mut world, _) = settled(300);
    world.faults.refused = 100;
    world.tell(Event::WatchLost);
    let pool = pool("node-1", 500, 1);
    world.tell(Event::Desired(vec![pool.clone()]));
    world.run_for(600 * SECOND);
    assert!(world.reports.len() <= 2, "{:?}", world.reports);
    world.faults = Faults::default();
    world.run_for(40 * SECOND);
    assert_eq!(world.visible()["node-1"], texts(&pool));
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    world.looking = true;
    let mut wished: Vec<(String, Vec<String>)> = vec![("node-1".to_owned(), Vec::new())];
    let mut pools = Vec::new();
    for flavour in 0..25 {
        world.faults = Faults {
            refused: world.random.below(30),
            lost: world.random.below(20),
            watch_lost: world.random.below(10),
        };
        match world.random.below(10) {
            0..5 => {
                let count = 1 + world.random.below(2);
                pools = (0..count)
                    .map(|number| {
                        let devices = world.random.below(600);
                        // Half of the changes leave some slices as they are.
                        let flavour = if world.random.chance(50) { 0 } else { flavour };
                        pool(&format!("node-{number}"), devices, flavour)
                    })
                    .collect::<Vec<_>>();
                wished.extend(pools.iter().map(|pool| (pool.name.clone(), texts(pool))));
                world.tell(Event::Desired(pools.clone()));
            }
            5 => world.wipe(),
            6 => world.meddle(|_| false),
            7 => {
                world.restart();
                world.tell(Event::Desired(pools.clone()));
            }
            8 => world.tell(Event::WatchLost),
            _ => {}
        }
        let milliseconds = world.random.below(2_000);
        world.run_for(Duration::from_millis(milliseconds as u64));
    }
    world.faults = Faults::default();
    world.run_for(120 * SECOND);
    assert!(world.controller.is_settled(), "seed {seed}");
    let visible = world.visible();
    assert_eq!(visible.len(), pools.len(), "seed {seed}: {:?}", visible.keys());
    for pool in &pools {
        assert_eq!(visible[&pool.name], texts(pool), "seed {seed}");
    }
    assert_eq!(generations_are_one(&world), pools.len(), "seed {seed}: slices of old generations");
    for shown in &world.shown {
        assert!(
            wished.contains(shown),
            "seed {seed}: a scheduler saw {} devices of {}",
            shown.1.len(),
            shown.0
        );
    }
    world.writes = 0;
    world.tell(Event::WatchLost);
    world.tell(Event::Desired(pools));
    world.run_for(60 * SECOND);
    assert_eq!(world.writes, 0, "seed {seed}");
}

/// The number of pairs of pool and generation.
fn generations_are_one(world: &World) -> usize {
    let pools = world.slices.values().filter_map(|slice| slice.spec.get("pool"));
    let pairs = pools.map(|pool| (pool["name"].to_string(), pool["generation"].to_string()));
    pairs.collect::<BTreeSet<_>>().len()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Whatever goes wrong: in the end the server has what was wished, and a scheduler never saw anything else.
#[test]
fn no_schedule_shows_a_scheduler_half_of_a_change() {
    if let Some(seed) = number("DRAYAGE_SEED") {
        return run(seed);
    }
    for seed in 0..number("DRAYAGE_SCHEDULES").unwrap_or(12) {
        run(seed);
    }
}

/// The controller as it runs in the driver, with files instead of a server.
#[tokio::test]
async fn slices_in_files_are_what_the_allocator_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = Arc::new(SliceFiles::new(folder.path().join("slices")).expect("a folder"));
    let (sender, receiver) = tokio::sync::watch::channel(None);
    let controller = Controller::new("gpu.example.com", "node-1", false);
    let running = tokio::spawn(publish(api, controller, receiver, |report| panic!("{report}")));
    let load = || {
        let input = drayage_cluster::Input::Path(folder.path().join("slices"));
        let snapshot = drayage_cluster::load(&[input], drayage_cluster::LoadOptions::default());
        snapshot
            .map_or(0, |snapshot| snapshot.slices.iter().map(|slice| slice.spec.devices.len()).sum::<usize>())
    };
    for devices in [300, 10] {
        sender.send_replace(Some(vec![pool("node-1", devices, 0)]));
        let mut tries = 0;
        while load() != devices {
            tries += 1;
            assert!(tries < 500, "{} devices in files", load());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    drop(sender);
    running.await.expect("no panic");
}

/// A kubelet removes slices when it starts, whatever is under way: the watch may tell of it before the answer to the write
/// comes.
#[test]
fn a_slice_that_is_wiped_before_its_create_is_answered_is_made_again() {
    let mut controller = Controller::new("gpu.example.com", "node-1", true);
    let mut now = Duration::ZERO;
    let mut tell = |event: Event| {
        now += Duration::from_millis(1);
        controller.handle(now, event)
    };
    tell(Event::Desired(vec![pool("node-1", 1, 0)]));
    tell(Event::Discovered(Ok(Served { version: ApiVersion::V1, minor: 36 })));
    let actions = tell(Event::Listed(Ok(Vec::new())));
    let [Action::Create { write, spec, .. }] = &actions[..] else { panic!("{actions:?}") };
    let slice = Slice {
        name: "00000-gpu.example.com-node-1-a".to_owned(),
        uid: "u".to_owned(),
        resource_version: "1".to_owned(),
        spec: spec.clone(),
    };
    assert_eq!(tell(Event::Deleted(slice.clone())), []);
    let actions = tell(Event::Written { write: *write, result: Ok(Some(slice)) });
    assert!(matches!(&actions[..], [Action::Create { .. }]), "{actions:?}");
}
