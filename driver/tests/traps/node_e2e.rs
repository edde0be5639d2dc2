//! What Kubernetes' own tests of drivers on a node try (section 8.5): registration, pods, restarts and health. Each runs on
//! every release that has what it tries.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::SystemTime};

use drayage_driver::kubelet::{
    Identity, RegistrationState,
    health::{DeviceHealth, HealthState},
};
use drayage_fake_kubelet::{
    claims::PodError,
    health::Health,
    kubelet::{Event, Kubelet, Settings},
    release::Release,
};
use tokio::time::{Instant, sleep};

use crate::{
    support::plugin::{DATA_PATH, DRIVER, Node, REGISTRATION_PATH, REGISTRY, TestPlugin, claim, identity},
    world::{Instance, Machine, SECOND, kubelet, pod, registered, restart, settings, sockets, wiped},
};

fn failed_registrations(kubelet: &Kubelet) -> usize {
    kubelet.times(|event| matches!(event, Event::RegistrationFailed(..))).len()
}

#[tokio::test(start_paused = true)]
async fn registers_again_after_a_restart_of_the_kubelet() {
    for release in Release::ALL {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let mut kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        kubelet = restart(kubelet, release, &sockets);
        kubelet.ready(DRIVER).await;
        assert_eq!((registered(&kubelet).len(), failed_registrations(&kubelet)), (1, 0));
        assert_eq!(*instance.node.state.borrow(), RegistrationState::Registered);
    }
}

#[tokio::test(start_paused = true)]
async fn registers_again_after_a_restart_of_the_plugin() {
    for release in Release::ALL {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        instance.stop().await;
        sleep(5 * SECOND).await;
        assert!(kubelet.plugins().is_empty());
        let error = kubelet.prepare(&pod("pod", &[&claim("a")])).await;
        assert_eq!(error, Err(PodError::NotRegistered(DRIVER.to_owned())));
        let _instance = Instance::start(&sockets);
        kubelet.ready(DRIVER).await;
        kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
    }
}

/// The back-off of a kubelet belongs to the path, so that a driver which is slow to come up waits for it.
#[tokio::test(start_paused = true)]
async fn registers_when_get_info_heals() {
    let sockets = sockets();
    // Accepts connections and says nothing.
    let silent = sockets.bind(Path::new(REGISTRATION_PATH));
    let kubelet = kubelet(Release::V1_36, &sockets);
    sleep(12 * SECOND).await;
    assert!(failed_registrations(&kubelet) >= 3);
    drop(silent);
    let _instance = Instance::start(&sockets);
    let start = Instant::now();
    kubelet.ready(DRIVER).await;
    assert!(start.elapsed() < 20 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn tries_on_a_dead_socket_come_at_growing_distances() {
    let sockets = sockets();
    sockets.leave_stale(Path::new(REGISTRATION_PATH));
    let kubelet = kubelet(Release::V1_36, &sockets);
    sleep(40 * SECOND).await;
    let tries = kubelet.times(|event| matches!(event, Event::RegistrationFailed(..)));
    let seconds: Vec<u64> = tries.iter().map(std::time::Duration::as_secs).collect();
    assert_eq!(seconds, [0, 1, 3, 6, 11, 20, 37]);
}

/// A refusal is shown, and the plugin keeps serving until the kubelet changes its mind.
#[tokio::test(start_paused = true)]
async fn a_refused_registration_is_shown_and_tried_again() {
    let sockets = sockets();
    let first = Instance::start(&sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    // Another instance that claims the same endpoint.
    let second = Node::start();
    let path = Path::new(REGISTRY).join("gpu.example.com-second-reg.sock");
    let listener = second.listen(&sockets, &path);
    sleep(2 * SECOND).await;
    let refused = second.state.borrow().clone();
    assert!(
        matches!(&refused, RegistrationState::Refused(reason) if reason.contains("already registered")),
        "{refused:?}"
    );
    first.stop().await;
    sleep(30 * SECOND).await;
    assert_eq!(*second.state.borrow(), RegistrationState::Registered);
    listener.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_came_while_the_kubelet_was_down_is_prepared() {
    for release in Release::ALL {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let mut kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        kubelet = restart(kubelet, release, &sockets);
        // It does not wait for the plugin: the first try may come too early, and costs the pod a minute.
        let outcome = kubelet.run_pod(&pod("pod", &[&claim("a")]), 2).await;
        assert!(outcome.done, "{outcome:?}");
        assert_eq!(instance.node.plugin.calls(), ["prepare a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_prepare_blocks_runs_later() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let kubelet = kubelet(Release::V1_37, &sockets);
    kubelet.ready(DRIVER).await;
    *instance.node.plugin.delay.lock().expect("no panic") = 400 * SECOND;
    let blocked = pod("pod", &[&claim("a")]);
    let (outcome, ()) = tokio::join!(kubelet.run_pod(&blocked, 9), async {
        sleep(300 * SECOND).await;
        *instance.node.plugin.delay.lock().expect("no panic") = SECOND;
    });
    assert!(outcome.done && outcome.failures.len() >= 3, "{outcome:?}");
    assert!(kubelet.claims().is_prepared("a-uid"));
}

#[tokio::test(start_paused = true)]
async fn a_prepare_that_fails_succeeds_later() {
    for between in [false, true] {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let mut kubelet = kubelet(Release::V1_36, &sockets);
        kubelet.ready(DRIVER).await;
        *instance.node.plugin.refuse.lock().expect("no panic") = Some("not today".to_owned());
        let error = kubelet.prepare(&pod("pod", &[&claim("a")])).await;
        assert_eq!(error, Err(PodError::Claim("not today".to_owned())));
        if between {
            kubelet = restart(kubelet, Release::V1_36, &sockets);
            kubelet.ready(DRIVER).await;
        }
        *instance.node.plugin.refuse.lock().expect("no panic") = None;
        kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
        assert_eq!(kubelet.claims().devices("a-uid").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unprepare_that_fails_succeeds_later() {
    for between in [false, true] {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let mut kubelet = kubelet(Release::V1_36, &sockets);
        kubelet.ready(DRIVER).await;
        kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
        *instance.node.plugin.refuse.lock().expect("no panic") = Some("busy".to_owned());
        let outcome = kubelet.end_pod("pod", 3).await;
        assert_eq!(outcome.failures, vec![PodError::Claim("busy".to_owned()); 3]);
        assert!(outcome.took >= 22 * SECOND && outcome.took <= 31 * SECOND, "{outcome:?}");
        if between {
            kubelet = restart(kubelet, Release::V1_36, &sockets);
            kubelet.ready(DRIVER).await;
        }
        *instance.node.plugin.refuse.lock().expect("no panic") = None;
        assert!(kubelet.end_pod("pod", 1).await.done);
        assert_eq!(kubelet.claims_in_use(DRIVER), 0);
    }
}

/// Its claim object may be gone as well: unprepare reads none.
#[tokio::test(start_paused = true)]
async fn a_pod_that_was_deleted_is_unprepared_also_by_force_and_after_a_restart() {
    for between in [false, true] {
        let (machine, sockets) = (Machine::new(), sockets());
        let claim = claim("a");
        machine.objects.allocate(&claim, "gpu-0");
        let _instance = Instance::of(machine.driver(), &sockets);
        let mut kubelet = kubelet(Release::V1_36, &sockets);
        kubelet.ready(DRIVER).await;
        kubelet.prepare(&pod("pod", &[&claim])).await.expect("prepared");
        machine.objects.remove(&claim);
        if between {
            kubelet = restart(kubelet, Release::V1_36, &sockets);
            kubelet.ready(DRIVER).await;
        }
        assert_eq!(kubelet.reconcile_claims(|_| false).await, []);
        assert_eq!((kubelet.claims_in_use(DRIVER), machine.resolvable()), (0, Vec::new()));
    }
}

/// The scheduler gives its device to another pod before the node has given it up.
#[tokio::test(start_paused = true)]
async fn the_pod_after_one_that_was_deleted_by_force_waits_for_its_device() {
    let (machine, sockets) = (Machine::new(), sockets());
    let (old, new) = (claim("old"), claim("new"));
    machine.objects.allocate(&old, "gpu-0");
    machine.objects.allocate(&new, "gpu-0");
    let _instance = Instance::of(machine.driver(), &sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    kubelet.prepare(&pod("old", &[&old])).await.expect("prepared");
    let start = Instant::now();
    let next = pod("new", &[&new]);
    let preparing = async {
        kubelet.prepare(&next).await.expect("prepared");
        start.elapsed()
    };
    let unpreparing = async {
        sleep(5 * SECOND).await;
        kubelet.unprepare("old").await.expect("unprepared");
    };
    let (waited, ()) = tokio::join!(preparing, unpreparing);
    assert!(waited >= 5 * SECOND && waited < 8 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_deleted_while_the_kubelet_was_down_is_not_prepared() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let mut kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    *instance.node.plugin.refuse.lock().expect("no panic") = Some("not today".to_owned());
    kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect_err("refused");
    *instance.node.plugin.refuse.lock().expect("no panic") = None;
    kubelet = restart(kubelet, Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    assert_eq!(kubelet.reconcile_claims(|_| false).await, []);
    assert_eq!(instance.node.plugin.calls(), ["prepare a", "unprepare a"], "unprepared only");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_may_begin_to_listen_after_it_is_registered() {
    for release in Release::ALL {
        let sockets = sockets();
        let node = Node::start();
        let registration = node.listen(&sockets, Path::new(REGISTRATION_PATH));
        let kubelet = kubelet(release, &sockets);
        sleep(3 * SECOND).await;
        assert_eq!(registered(&kubelet).len(), 1, "{release:?}");
        let error = kubelet.prepare(&pod("pod", &[&claim("a")])).await;
        assert!(matches!(error, Err(PodError::Call(_))), "{error:?}");
        let data = node.listen(&sockets, Path::new(DATA_PATH));
        let outcome = kubelet.run_pod(&pod("pod", &[&claim("a")]), 2).await;
        assert!(outcome.done, "{release:?}: {outcome:?}");
        assert!(wiped(&kubelet).is_empty(), "connected within 30 seconds");
        registration.abort();
        data.abort();
    }
}

/// The connection ends and the sockets stay, as when a proxy in between restarts; with two sockets, and with one for all.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again() {
    for one_socket in [false, true] {
        let sockets = sockets();
        let endpoint = if one_socket { String::new() } else { DATA_PATH.to_owned() };
        let node = Node::of(Arc::new(TestPlugin::default()), Identity { endpoint, ..identity() });
        let path = Path::new(if one_socket { REGISTRATION_PATH } else { DATA_PATH });
        let _registration = node.listen(&sockets, Path::new(REGISTRATION_PATH));
        let mut data = node.listen(&sockets, path);
        let kubelet = kubelet(Release::V1_36, &sockets);
        kubelet.ready(DRIVER).await;
        let connected =
            |kubelet: &Kubelet| kubelet.times(|event| *event == Event::Connected(DRIVER.to_owned())).len();
        assert_eq!(kubelet.plugins()[0].endpoint, path);
        sleep(10 * SECOND).await;
        data.abort();
        sleep(SECOND).await;
        assert!(!kubelet.plugins()[0].connected);
        data = node.listen(&sockets, path);
        sleep(3 * SECOND).await;
        // The registration's file listened on anew is another socket: it is registered again.
        let registrations = if one_socket { 2 } else { 1 };
        assert_eq!(registered(&kubelet).len(), registrations);
        assert!(kubelet.plugins()[0].connected && connected(&kubelet) >= 2);
        kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
        assert!(wiped(&kubelet).is_empty());
        data.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_enough_also_with_health() {
    for release in Release::ALL.into_iter().filter(|release| release.stays_connected()) {
        let sockets = sockets();
        let _instance = Instance::start(&sockets);
        let kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        for name in ["a", "b", "c"] {
            kubelet.prepare(&pod(name, &[&claim(name)])).await.expect("prepared");
        }
        sleep(600 * SECOND).await;
        assert_eq!(sockets.connections(Path::new(DATA_PATH)), 1, "{release:?}");
        let streams = kubelet.times(|event| *event == Event::HealthStream(DRIVER.to_owned()));
        assert_eq!(streams.len(), 1, "{release:?}");
    }
}

/// Nothing is rolled back in the driver that succeeded, and its answer is the same the next time.
#[tokio::test(start_paused = true)]
async fn of_two_drivers_in_a_pod_each_fails_in_turn() {
    for (seed, first_fails) in [(0, true), (1, false), (2, true), (3, false)] {
        let sockets = sockets();
        let ours = Instance::start(&sockets);
        let endpoint = "/var/lib/kubelet/plugins/nic.example.com/dra.sock";
        let other =
            Identity { driver: "nic.example.com".to_owned(), endpoint: endpoint.to_owned(), health: true };
        let theirs = Node::of(Arc::new(TestPlugin::default()), other);
        let path = Path::new(REGISTRY).join("nic.example.com-reg.sock");
        let _listeners = [theirs.listen(&sockets, Path::new(endpoint)), theirs.listen(&sockets, &path)];
        let settings = Settings { seed, ..settings(Release::V1_37) };
        let kubelet = Kubelet::start(settings, Arc::new(sockets.clone()), Arc::new(|_| {}));
        kubelet.ready(DRIVER).await;
        kubelet.ready("nic.example.com").await;
        let plugin = if first_fails { &ours.node.plugin } else { &theirs.plugin };
        *plugin.refuse.lock().expect("no panic") = Some("not today".to_owned());
        let pod = drayage_fake_kubelet::claims::Pod::new("pod")
            .with_claim(&claim("a"), &[DRIVER, "nic.example.com"]);
        kubelet.prepare(&pod).await.expect_err("one of them fails");
        *plugin.refuse.lock().expect("no panic") = None;
        kubelet.prepare(&pod).await.expect("prepared");
        assert_eq!(kubelet.claims().devices("a-uid").len(), 2);
        *plugin.refuse.lock().expect("no panic") = Some("busy".to_owned());
        kubelet.unprepare("pod").await.expect_err("one of them fails");
        *plugin.refuse.lock().expect("no panic") = None;
        kubelet.unprepare("pod").await.expect("unprepared");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_in_use_are_counted() {
    let sockets = sockets();
    let _instance = Instance::start(&sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    for (name, expected) in [("a", 1), ("b", 2)] {
        kubelet.prepare(&pod(name, &[&claim(name)])).await.expect("prepared");
        assert_eq!(kubelet.claims_in_use(DRIVER), expected);
    }
    kubelet.unprepare("a").await.expect("unprepared");
    assert_eq!(kubelet.claims_in_use(DRIVER), 1);
}

#[tokio::test(start_paused = true)]
async fn share_ids_reach_kubelets_that_know_them() {
    for release in Release::ALL {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        *instance.node.plugin.share.lock().expect("no panic") = true;
        let kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
        let share = kubelet.claims().devices("a-uid")[0].device.share_id.clone();
        assert_eq!(share.is_some(), release >= Release::V1_35, "{release:?}");
    }
}

fn report(state: HealthState) -> Vec<DeviceHealth> {
    vec![DeviceHealth {
        pool_name: "node-1".to_owned(),
        device_name: "device-of-a".to_owned(),
        state,
        message: "é".repeat(2_000),
        since: SystemTime::UNIX_EPOCH,
        timeout: 9 * SECOND,
    }]
}

fn health(kubelet: &Kubelet) -> Health {
    kubelet.health(DRIVER, "node-1", "device-of-a")
}

#[tokio::test(start_paused = true)]
async fn health_changes_reach_the_pod_and_silence_does_not_age() {
    for release in Release::ALL.into_iter().filter(|release| *release >= Release::V1_34) {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        let of_pod = pod("pod", &[&claim("a")]);
        kubelet.prepare(&of_pod).await.expect("prepared");
        for (state, expected) in [
            (HealthState::Healthy, Health::Healthy),
            (HealthState::Unhealthy, Health::Unhealthy),
            (HealthState::Unknown, Health::Unknown),
            (HealthState::Healthy, Health::Healthy),
        ] {
            instance.node.reports.send_replace(report(state));
            sleep(SECOND).await;
            assert_eq!(health(&kubelet), expected, "{release:?}");
            assert_eq!(kubelet.health_updates(), [BTreeSet::from(["pod".to_owned()])], "one write");
            // It is said again before it is too old, which is no change.
            sleep(300 * SECOND).await;
            assert_eq!((health(&kubelet), kubelet.health_updates()), (expected, Vec::new()));
        }
        let status = kubelet.pod_status(&of_pod, "a", Some("gpu"));
        assert_eq!(status[0].resource_id, "k8s.gpu.example.com/claim=a-uid-0");
        if let Some(message) = &status[0].message {
            assert!(!message.contains('\u{fffd}') && message.len() <= 1_024, "{}", message.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn health_is_unknown_after_a_stop_and_known_again_after_a_start() {
    for killed in [false, true] {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let kubelet = kubelet(Release::V1_37, &sockets);
        kubelet.ready(DRIVER).await;
        kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
        instance.node.reports.send_replace(report(HealthState::Healthy));
        sleep(SECOND).await;
        kubelet.health_updates();
        if killed {
            instance.kill().await;
        } else {
            instance.stop().await;
        }
        sleep(SECOND).await;
        assert_eq!(health(&kubelet), Health::Unknown);
        // Only a driver that says so itself has the pod's status written.
        assert_eq!(kubelet.health_updates().is_empty(), killed);
        let instance = Instance::start(&sockets);
        instance.node.reports.send_replace(report(HealthState::Healthy));
        sleep(10 * SECOND).await;
        assert_eq!(health(&kubelet), Health::Healthy);
    }
}

/// With two sockets, and with one for all.
#[tokio::test(start_paused = true)]
async fn health_is_heard_again_after_a_lost_connection() {
    for one_socket in [false, true] {
        let sockets = sockets();
        let endpoint = if one_socket { String::new() } else { DATA_PATH.to_owned() };
        let node = Node::of(Arc::new(TestPlugin::default()), Identity { endpoint, ..identity() });
        let path = Path::new(if one_socket { REGISTRATION_PATH } else { DATA_PATH });
        let _registration = node.listen(&sockets, Path::new(REGISTRATION_PATH));
        let data = node.listen(&sockets, path);
        let kubelet = kubelet(Release::V1_36, &sockets);
        kubelet.ready(DRIVER).await;
        kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
        node.reports.send_replace(report(HealthState::Healthy));
        sleep(SECOND).await;
        assert_eq!(health(&kubelet), Health::Healthy);
        data.abort();
        sleep(SECOND).await;
        assert_eq!(health(&kubelet), Health::Unknown, "what an ended stream said counts no more");
        node.reports.send_replace(report(HealthState::Unhealthy));
        let data = node.listen(&sockets, path);
        sleep(10 * SECOND).await;
        assert_eq!(health(&kubelet), Health::Unhealthy);
        data.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn several_watchers_hear_the_same() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let kubelets = [Release::V1_34, Release::V1_36, Release::V1_37].map(|release| kubelet(release, &sockets));
    for kubelet in &kubelets {
        kubelet.ready(DRIVER).await;
    }
    for (state, expected) in
        [(HealthState::Unhealthy, Health::Unhealthy), (HealthState::Healthy, Health::Healthy)]
    {
        instance.node.reports.send_replace(report(state));
        sleep(SECOND).await;
        for kubelet in &kubelets {
            assert_eq!(health(kubelet), expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_with_the_gate_off_opens_no_stream() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let settings = Settings { health: false, ..Settings::new(Release::V1_37) };
    let kubelet = Kubelet::start(settings, Arc::new(sockets.clone()), Arc::new(|_| {}));
    kubelet.ready(DRIVER).await;
    instance.node.reports.send_replace(report(HealthState::Healthy));
    sleep(60 * SECOND).await;
    assert_eq!(health(&kubelet), Health::Unknown);
    assert!(kubelet.times(|event| matches!(event, Event::HealthStream(_))).is_empty());
    kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
}
