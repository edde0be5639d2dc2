//! Traps of claims: answers, records, CDI files, and an API server that is away.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use drayage_driver::{
    devices::{Condition, Observation},
    health::{HealthMachine, HealthRules},
};
use drayage_fake_kubelet::{
    calls::prepare,
    claims::PodError,
    messages::Claim,
    release::{CALL_DEADLINE, DraService, Release},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    support::plugin::{DRIVER, claim},
    world::{Instance, Machine, SECOND, kubelet, pod, restart, result, sockets},
};

#[tokio::test(start_paused = true)]
async fn trap_03_the_answer_after_a_restart_is_another_one() {
    for release in Release::ALL {
        let (machine, sockets) = (Machine::new(), sockets());
        let first = claim("a");
        machine.objects.allocate(&first, "gpu-0");
        let instance = Instance::of(machine.driver(), &sockets);
        let mut kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        kubelet.prepare(&pod("pod", &[&first])).await.expect("prepared");
        let names = kubelet.cdi_devices(&first, None);
        // Both restart, and somebody has changed what the claim says.
        instance.stop().await.close();
        kubelet = restart(kubelet, release, &sockets);
        machine.objects.allocate(&first, "gpu-1");
        let _instance = Instance::of(machine.driver(), &sockets);
        kubelet.ready(DRIVER).await;
        kubelet.prepare(&pod("pod", &[&first])).await.expect("prepared again");
        assert_eq!(kubelet.cdi_devices(&first, None), names, "{release:?}");
        assert!(machine.resolvable().contains(&names[0]));
    }
}

#[tokio::test(start_paused = true)]
async fn trap_04_names_that_begin_with_a_digit_and_devices_without_edits() {
    let (machine, sockets) = (Machine::new(), sockets());
    let _instance = Instance::of(machine.driver(), &sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    for first in "0123456789abcdef".chars() {
        let claim = Claim::new(&format!("claim-{first}"), &format!("{first}0000000-0000"));
        machine.objects.allocate(&claim, &format!("gpu-{first}"));
        kubelet.prepare(&pod(&claim.uid, &[&claim])).await.expect("prepared");
        let names = kubelet.cdi_devices(&claim, None);
        assert!(machine.resolvable().contains(&names[0]), "{names:?}");
    }
    let bare = claim("bare");
    machine.objects.allocate(&bare, "bare-0");
    kubelet.prepare(&pod("bare", &[&bare])).await.expect("prepared");
    let devices = kubelet.claims().devices(&bare.uid);
    assert_eq!((devices.len(), devices[0].device.cdi_device_ids.len()), (1, 0), "no device without edits");
}

#[tokio::test(start_paused = true)]
async fn trap_05_a_reboot_takes_the_cdi_files() {
    let (machine, sockets) = (Machine::new(), sockets());
    let claim = claim("a");
    machine.objects.allocate(&claim, "gpu-0");
    let instance = Instance::of(machine.driver(), &sockets);
    let mut kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    kubelet.prepare(&pod("pod", &[&claim])).await.expect("prepared");
    let names = kubelet.cdi_devices(&claim, None);
    instance.kill().await.close();
    machine.disk.lose_power();
    assert!(machine.resolvable().is_empty());
    kubelet = restart(kubelet, Release::V1_36, &sockets);
    let driver = machine.waiting();
    assert!(machine.open(&driver, "another boot"));
    let _instance = Instance::of(driver, &sockets);
    kubelet.ready(DRIVER).await;
    assert_eq!(machine.resolvable(), names, "at the start");
    // Somebody cleans up while the driver runs.
    for file in machine.cdi_files() {
        machine.disk.damage(&file, |_| None);
    }
    kubelet.prepare(&pod("pod", &[&claim])).await.expect("prepared again");
    assert_eq!(machine.resolvable(), names, "with every prepare");
}

#[tokio::test(start_paused = true)]
async fn trap_09_alternatives_share_ids_and_requests_without_a_name() {
    let (machine, sockets) = (Machine::new(), sockets());
    let instance = Instance::of(machine.driver(), &sockets);
    let claim = claim("a");
    let share = "11111111-1111-1111-1111-111111111111";
    let mut shared = result("gpu/large", "gpu-0");
    shared["shareID"] = json!(share);
    machine.objects.put(&claim, &json!([shared, result("second", "gpu-1")]));
    let connection = instance.node.dial(drayage_fake_kubelet::wire::Authority::Localhost).await;
    for (service, share) in [(DraService::V1, Some(share.to_owned())), (DraService::V1BETA1, None)] {
        let answer = prepare(&connection, service, std::slice::from_ref(&claim)).await.expect("an answer");
        let devices = &answer.claims[&claim.uid].devices;
        let requests: Vec<_> = devices.iter().map(|device| device.request_names.join(" ")).collect();
        assert_eq!(requests, ["gpu", "second"], "{service:?}");
        assert_eq!((&devices[0].share_id, &devices[1].share_id), (&share, &None), "{service:?}");
    }
}

/// A disk that is full, or cannot be written: nothing half is left, and all goes on when there is room.
#[tokio::test(start_paused = true)]
async fn trap_19_the_disk_is_full_or_read_only() {
    let (machine, sockets) = (Machine::new(), sockets());
    let _instance = Instance::of(machine.driver(), &sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    let claim = claim("a");
    machine.objects.allocate(&claim, "gpu-0");
    machine.disk.set_full(100);
    let error = kubelet.prepare(&pod("pod", &[&claim])).await;
    assert!(matches!(&error, Err(PodError::Claim(text)) if text.contains("cannot be written")), "{error:?}");
    assert!(machine.resolvable().is_empty());
    machine.disk.set_full(0);
    kubelet.prepare(&pod("pod", &[&claim])).await.expect("prepared");
    machine.disk.set_full(100);
    let error = kubelet.unprepare("pod").await;
    assert!(matches!(&error, Err(PodError::Claim(text)) if text.contains("removed")), "{error:?}");
    machine.disk.set_full(0);
    kubelet.unprepare("pod").await.expect("unprepared");
    assert!(machine.resolvable().is_empty() && !machine.has_record(&claim));
}

#[tokio::test(start_paused = true)]
async fn trap_20_a_hung_predecessor_has_the_lock() {
    let (machine, sockets) = (Machine::new(), sockets());
    let (old, new) = (machine.driver(), machine.waiting());
    assert!(!machine.open(&new, "boot"), "the predecessor has the records");
    let _instance = Instance::of(Arc::clone(&new), &sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    let claim = claim("a");
    machine.objects.allocate(&claim, "gpu-0");
    let start = Instant::now();
    let error = kubelet.prepare(&pod("pod", &[&claim])).await;
    assert!(matches!(&error, Err(PodError::Claim(text)) if text.contains("another instance")), "{error:?}");
    assert!(start.elapsed() > 38 * SECOND && start.elapsed() < CALL_DEADLINE, "{:?}", start.elapsed());
    let opened = async {
        sleep(20 * SECOND).await;
        old.close();
        assert!(machine.open(&new, "boot"));
    };
    let (pod_claims, other) = ([&claim], pod("pod", &[&claim]));
    let (prepared, ()) = tokio::join!(kubelet.prepare(&other), opened);
    prepared.unwrap_or_else(|error| panic!("{error} for {pod_claims:?}"));
}

/// A wall clock that jumps by years changes no verdict: everything that waits uses the other clock.
#[test]
fn trap_21_the_clock_jumps() {
    let wall = |year: u64| std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * year);
    let run = |years: [u64; 6]| {
        let mut machine = HealthMachine::new(HealthRules::default());
        machine.set_devices([("node-1", "gpu-0")], Duration::ZERO, wall(years[0]));
        let observe = |condition: Condition| {
            vec![Observation { pool: "node-1".to_owned(), device: "gpu-0".to_owned(), condition }]
        };
        let faulty = || Condition::Faulty("too hot".to_owned());
        let mut seen = Vec::new();
        for (number, condition) in
            [Condition::Works, faulty(), faulty(), faulty(), Condition::Works, Condition::Works]
                .into_iter()
                .enumerate()
        {
            let now = u32::try_from(number).expect("small") * 5 * SECOND;
            machine.observe(&observe(condition), now, wall(years[number]));
            machine.tick(now, wall(years[number]));
            let states: Vec<_> = machine.report().into_iter().map(|device| device.state).collect();
            seen.push(states);
        }
        seen
    };
    assert_eq!(run([50, 50, 50, 50, 50, 50]), run([50, 3, 99, 0, 200, 1]));
}

#[tokio::test(start_paused = true)]
async fn trap_22_the_api_server_is_away_during_a_prepare() {
    let (machine, sockets) = (Machine::new(), sockets());
    let _instance = Instance::of(machine.driver(), &sockets);
    let mut kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    let claim = claim("a");
    machine.objects.allocate(&claim, "gpu-0");
    machine.objects.go_away(30 * SECOND);
    let outcome = kubelet.run_pod(&pod("pod", &[&claim]), 2).await;
    assert!(outcome.failures.is_empty() && outcome.took < 33 * SECOND, "no 75 seconds more: {outcome:?}");
    // For a prepared claim it is not asked.
    let reads = machine.objects.reads.load(Ordering::SeqCst);
    machine.objects.go_away(1_000 * SECOND);
    kubelet = restart(kubelet, Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    kubelet.prepare(&pod("pod", &[&claim])).await.expect("from the record");
    kubelet.unprepare("pod").await.expect("from the record");
    assert_eq!(machine.objects.reads.load(Ordering::SeqCst), reads);
}

#[tokio::test(start_paused = true)]
async fn trap_24_a_claim_is_reserved_for_a_pod_group() {
    let (machine, sockets) = (Machine::new(), sockets());
    let _instance = Instance::of(machine.driver(), &sockets);
    let kubelet = kubelet(Release::V1_37, &sockets);
    kubelet.ready(DRIVER).await;
    let groups = json!([{"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "g", "uid": "1"}]);
    for (name, reserved) in [("group", groups), ("nobody", json!(null)), ("none", json!([]))] {
        let claim = claim(name);
        let device = format!("gpu-{name}");
        let object = json!({
            "metadata": {"name": name, "uid": claim.uid},
            "status": {"reservedFor": reserved,
                "allocation": {"devices": {"results": [result("gpu", &device)]}}},
        });
        machine.objects.put_object(&claim, object);
        kubelet.prepare(&pod(name, &[&claim])).await.expect(name);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_30_results_of_other_drivers_and_nodes() {
    let (machine, sockets) = (Machine::new(), sockets());
    let _instance = Instance::of(machine.driver(), &sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    let foreign = |device: &str| json!({"request": "nic", "driver": "nic.example.com", "pool": "network", "device": device});
    let (mixed, others) = (claim("mixed"), claim("others"));
    machine.objects.put(&mixed, &json!([foreign("nic-0"), result("gpu", "gpu-0"), foreign("nic-1")]));
    machine.objects.put(&others, &json!([foreign("nic-2")]));
    kubelet.prepare(&pod("pod", &[&mixed, &others])).await.expect("prepared");
    let devices = kubelet.claims().devices(&mixed.uid);
    assert_eq!((devices.len(), devices[0].device.device_name.as_str()), (1, "gpu-0"));
    assert!(kubelet.claims().devices(&others.uid).is_empty());
    machine.objects.remove(&mixed);
    kubelet.unprepare("pod").await.expect("unprepared without the object");
    assert!(machine.disk.files(Path::new("/var/run/cdi")).is_empty());
}
