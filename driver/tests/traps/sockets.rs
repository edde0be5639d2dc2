//! Traps of sockets, calls and streams.

use std::{path::Path, sync::Arc, time::Duration};

use drayage_driver::kubelet::{
    Identity, Registrar, RegistrationState,
    health::{DeviceHealth, HealthState},
    sockets::{LONGEST_PATH, Socket, SocketError, SocketPaths},
};
use drayage_fake_kubelet::{
    calls::{get_info, prepare, watch_health},
    claims::PodError,
    kubelet::{Event, Kubelet},
    messages::Claim,
    release::{DraService, HEALTH_V1, HEALTH_V1ALPHA1, Release},
    sockets::HostSockets,
    wire::{Authority, Connection},
};
use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    support::plugin::{DRIVER, Node, claim, identity},
    world::{Instance, SECOND, kubelet, pod, registered, restart, settings, sockets},
};

#[tokio::test(start_paused = true)]
async fn trap_01_the_authority_is_a_path() {
    for release in Release::ALL {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let kubelet = kubelet(release, &sockets);
        timeout(5 * SECOND, kubelet.ready(DRIVER)).await.expect("registered at once");
        assert_eq!(*instance.node.state.borrow(), RegistrationState::Registered, "{release:?}");
        kubelet.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
        kubelet.unprepare("pod").await.expect("unprepared");
        assert_eq!(instance.node.plugin.calls(), ["prepare a", "unprepare a"], "{release:?}");
    }
    let node = Node::start();
    for authority in Authority::ALL {
        get_info(&node.dial(authority).await).await.expect("an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn trap_02_the_handler_is_dropped_at_the_deadline() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    *instance.node.plugin.delay.lock().expect("no panic") = 150 * SECOND;
    let outcome = kubelet.run_pod(&pod("pod", &[&claim("a")]), 3).await;
    assert!(outcome.done && outcome.failures.len() == 1, "{outcome:?}");
    assert_eq!(outcome.took, 150 * SECOND, "the second try joins what the first began");
    assert_eq!(instance.node.plugin.calls(), ["prepare a"]);
}

/// The traps' table has it for the whole process; here the main runtime has one thread, and that is blocked.
#[test]
fn trap_06_get_info_waits_behind_a_blocked_runtime() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gpu-reg.sock");
    let registrar = Registrar::start(identity(), Socket::bind(&path).expect("a socket")).expect("a thread");
    let (blocked, release) = std::sync::mpsc::channel::<()>();
    let main = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    main.spawn(async move { release.recv() });
    let kubelet = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    kubelet.block_on(async {
        let stream = UnixStream::connect(&path).await.expect("a connection");
        let text = path.display().to_string();
        let connection = Connection::open(stream, &text, Authority::EncodedPath).await;
        assert_eq!(get_info(&connection).await.expect("an answer in a second").name, DRIVER);
    });
    blocked.send(()).expect("a receiver");
    registrar.stop();
    assert!(!path.exists(), "a removed socket is what deregisters the plugin");
}

/// `v1.DRAPlugin` is not the path of a method: what a kubelet makes of every name that is advertised is served.
#[tokio::test(start_paused = true)]
async fn trap_07_versions_are_not_paths_of_methods() {
    let node = Node::start();
    let connection = node.dial(Authority::Localhost).await;
    let info = get_info(&connection).await.expect("an answer");
    for release in Release::ALL {
        let service = release.choose(&info.supported_versions).expect("a version for every release");
        assert_eq!(service == DraService::V1, release >= Release::V1_34, "newest first for {release:?}");
        let answer = prepare(&connection, service, &[claim("a")]).await.expect("an answer");
        assert_eq!(answer.claims["a-uid"].error, "");
        if let Some(method) = release.choose_health(&info.supported_versions) {
            let mut stream = watch_health(&connection, method).await;
            assert!(timeout(SECOND, stream.next()).await.is_err(), "open, not unimplemented: {method}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trap_08_an_answer_lacks_a_claim() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    let [first, evil, third] = [claim("a"), Claim::new("evil", "../../etc/passwd"), claim("c")];
    let error = kubelet.prepare(&pod("pod", &[&first, &evil, &third])).await;
    assert!(
        matches!(&error, Err(PodError::Claim(text)) if text.contains("malformed UID")),
        "neither skipped nor unknown: {error:?}"
    );
    // What succeeded stays so, and is answered as before.
    kubelet.prepare(&pod("other", &[&first, &third])).await.expect("prepared");
    assert_eq!(kubelet.claims().devices("a-uid").len(), 1);
    assert!(!instance.node.plugin.calls().iter().any(|call| call.contains("evil")));
    *instance.node.plugin.panic.lock().expect("no panic") = true;
    let error = kubelet.prepare(&pod("third", &[&claim("d"), &claim("e")])).await;
    assert!(matches!(error, Err(PodError::Claim(_))), "a panic is an error of its claim: {error:?}");
}

fn healthy() -> Vec<DeviceHealth> {
    vec![DeviceHealth {
        pool_name: "node-1".to_owned(),
        device_name: "device-of-a".to_owned(),
        state: HealthState::Healthy,
        message: String::new(),
        since: std::time::SystemTime::UNIX_EPOCH,
        timeout: 30 * SECOND,
    }]
}

#[tokio::test(start_paused = true)]
async fn trap_10_a_health_stream_keeps_the_stop_from_ending() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let kubelet = kubelet(Release::V1_37, &sockets);
    kubelet.ready(DRIVER).await;
    instance.node.reports.send_replace(healthy());
    sleep(SECOND).await;
    let start = Instant::now();
    instance.stop().await;
    assert!(start.elapsed() < SECOND, "the stream is ended, not waited for: {:?}", start.elapsed());
    sleep(2 * SECOND).await;
    assert!(kubelet.plugins().is_empty(), "both sockets are gone");
}

#[test]
fn trap_11_the_stop_unlinks_the_successors_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gpu-reg.sock");
    let bind = || Socket::bind(&path).expect("a socket");
    let old = Registrar::start(identity(), bind()).expect("a thread");
    let new = Registrar::start(identity(), bind()).expect("a thread");
    old.stop();
    assert!(path.exists(), "it is the successor's by now");
    new.stop();
    assert!(!path.exists());
}

#[test]
fn trap_12_paths_that_no_socket_can_have() {
    let (plugins, registry) = ("/var/lib/kubelet/plugins", "/var/lib/kubelet/plugins_registry");
    let uid = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f";
    for length in [15, 28, 37, 63] {
        for pod in [None, Some(uid)] {
            let driver = "d".repeat(length);
            let paths = SocketPaths::new(Path::new(plugins), Path::new(registry), &driver, pod);
            let paths = paths.expect("some form fits");
            for path in [&paths.data, &paths.registration] {
                assert!(path.as_os_str().len() <= LONGEST_PATH, "{}", path.display());
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |path: &Path| Socket::bind(path).expect_err("no socket");
    assert!(matches!(refused(Path::new("dra.sock")), SocketError::Relative(_)));
    assert!(matches!(refused(&folder.path().join("x".repeat(100))), SocketError::TooLong(_)));
    assert!(matches!(refused(&folder.path().join("missing/dra.sock")), SocketError::Io { .. }));
}

/// The file may only appear when somebody listens; a kubelet that is faster waits longer and longer.
#[tokio::test]
async fn trap_13_the_file_is_there_before_anybody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..50 {
        let path = folder.path().join(format!("{number}.sock"));
        let watched = path.clone();
        let connected = std::thread::spawn(move || {
            while !watched.exists() {
                std::thread::yield_now();
            }
            std::os::unix::net::UnixStream::connect(&watched)
        });
        let socket = Socket::bind(&path).expect("a socket");
        let connected = connected.join().expect("no panic");
        // Between bind and listen of the standard library are nanoseconds; a refusal there is the next try's luck.
        if let Err(error) = connected {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
            std::os::unix::net::UnixStream::connect(&path).expect("a listener as soon as bind returns");
        }
        assert!(socket.remove());
    }
}

/// Next to the driver's socket are folders and files of others; the driver leaves them, and what is in a folder below is
/// found as well.
#[tokio::test]
async fn trap_14_other_things_are_beside_the_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = folder.path().join("plugins_registry");
    std::fs::create_dir_all(registry.join("below")).expect("a folder");
    std::fs::write(registry.join("gpu.example.com-AAAAAAAAAAA-reg.sock"), "no socket").expect("a file");
    let path = registry.join("below/gpu.example.com-reg.sock");
    let registrar = Registrar::start(identity(), Socket::bind(&path).expect("a socket")).expect("a thread");
    let sockets = Arc::new(HostSockets::new(registry.clone()));
    let kubelet = Kubelet::start(settings(Release::V1_36), sockets, Arc::new(|_| {}));
    let seen = async {
        while registered(&kubelet).is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(30 * SECOND, seen).await.expect("found in the folder below");
    assert_eq!(kubelet.times(|event| matches!(event, Event::RegistrationFailed(..))), Vec::<Duration>::new());
    registrar.stop();
    assert!(registry.join("gpu.example.com-AAAAAAAAAAA-reg.sock").exists());
}

#[tokio::test(start_paused = true)]
async fn trap_25_two_kubelets_are_connected_at_once() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let old = kubelet(Release::V1_36, &sockets);
    old.ready(DRIVER).await;
    old.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared");
    let new = Kubelet::restart(
        settings(Release::V1_36),
        Arc::new(sockets.clone()),
        Arc::new(|_| {}),
        &old.checkpoint(),
    );
    let new = new.expect("a sound checkpoint");
    new.ready(DRIVER).await;
    new.prepare(&pod("pod", &[&claim("a")])).await.expect("prepared by the new one");
    old.prepare(&pod("late", &[&claim("b")])).await.expect("prepared by the old one");
    drop(old);
    new.unprepare("pod").await.expect("unprepared");
    assert_eq!(instance.node.plugin.calls().len(), 4);
}

/// A connection is used for weeks, and a pod may have many claims: neither age nor size ends it.
#[tokio::test(start_paused = true)]
async fn trap_26_limits_of_messages_and_of_the_age_of_connections() {
    let node = Node::start();
    let connection = node.dial(Authority::Localhost).await;
    for _ in 0..3 {
        sleep(Duration::from_hours(240)).await;
        let claims: Vec<Claim> = (0..1_000).map(|number| claim(&format!("claim-{number:04}"))).collect();
        let answer = prepare(&connection, DraService::V1, &claims).await.expect("an answer");
        assert_eq!(answer.claims.len(), 1_000);
        assert!(answer.claims.values().all(|claim| claim.devices.len() == 1));
    }
    assert!(!connection.is_lost());
}

#[tokio::test(start_paused = true)]
async fn trap_29_several_pods_share_a_claim() {
    let sockets = sockets();
    let instance = Instance::start(&sockets);
    let mut kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    let shared = claim("shared");
    for uid in ["one", "two", "three"] {
        kubelet.prepare(&pod(uid, &[&shared])).await.expect("prepared");
    }
    assert_eq!(instance.node.plugin.calls(), ["prepare shared"]);
    kubelet = restart(kubelet, Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    for uid in ["one", "two"] {
        kubelet.unprepare(uid).await.expect("nothing to do for the driver");
    }
    assert_eq!(instance.node.plugin.calls(), ["prepare shared"]);
    kubelet.unprepare("three").await.expect("unprepared");
    assert_eq!(instance.node.plugin.calls(), ["prepare shared", "unprepare shared"]);
}

/// Both paths of one driver, of which the health one is the older.
#[tokio::test(start_paused = true)]
async fn a_driver_without_health_still_keeps_the_stream_of_old_kubelets_open() {
    let node = Node::of(Arc::default(), Identity { health: false, ..identity() });
    let connection = node.dial(Authority::Localhost).await;
    let info = get_info(&connection).await.expect("an answer");
    assert_eq!(Release::V1_37.choose_health(&info.supported_versions), None);
    for method in [HEALTH_V1, HEALTH_V1ALPHA1] {
        let mut stream = watch_health(&connection, method).await;
        assert!(timeout(60 * SECOND, stream.next()).await.is_err(), "{method} stays open");
    }
    let _: &Node<crate::support::plugin::TestPlugin> = &node;
}
