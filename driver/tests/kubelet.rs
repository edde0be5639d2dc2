//! The plugin's sockets against a kubelet that dials, waits and retries as real ones do. Time is virtual where a
//! deadline matters: connections are then pipes in memory, and hours pass in milliseconds.

mod support;

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use drayage_driver::kubelet::{
    Identity, NodeServer, Registrar, RegistrationState,
    health::{DeviceHealth, HealthState},
    sockets::Socket,
    transport::AuthorityStream,
};
use drayage_fake_kubelet::{
    calls::{get_info, notify, prepare, watch_health},
    claims::PodError,
    messages::{Claim, HealthReport},
    release::{CALL_DEADLINE, DraService, HEALTH_V1, HEALTH_V1ALPHA1, Release},
    session::{PREPARE_RETRY, Session, UNPREPARE_RETRY, with_retries},
    wire::{Authority, CallError, Connection, Messages},
};
use support::plugin::{DATA_PATH, Node, PATIENCE, TestPlugin, claim, identity};
use tokio::{
    net::UnixStream,
    sync::watch,
    time::{Instant, sleep, timeout},
};

const VERSIONS: [&str; 4] =
    ["v1.DRAPlugin", "v1beta1.DRAPlugin", "v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth"];

fn versions() -> Vec<String> {
    VERSIONS.iter().map(ToString::to_string).collect()
}

fn health(state: HealthState, timeout: u64) -> DeviceHealth {
    DeviceHealth {
        pool_name: "node-1".to_owned(),
        device_name: "gpu-0".to_owned(),
        state,
        message: format!("{state:?}"),
        since: SystemTime::UNIX_EPOCH + Duration::from_secs(7),
        timeout: Duration::from_secs(timeout),
    }
}

async fn next_health(stream: &mut Messages<HealthReport>) -> Option<HealthReport> {
    let next = timeout(Duration::from_mins(10), stream.next()).await.expect("a report or the end");
    next.expect("no error")
}

fn session(release: Release, versions: &[String]) -> Session {
    Session::new(release, versions).expect("a version that this release knows")
}

// Trap 1: the authority.

#[tokio::test(start_paused = true)]
async fn every_authority_that_a_kubelet_sends_is_served_twice() {
    let node = Node::start();
    for authority in [Authority::RawPath, Authority::EncodedPath, Authority::Localhost] {
        let connection = node.dial(authority).await;
        for _ in 0..3 {
            let info = get_info(&connection).await.expect("an answer");
            assert_eq!((info.r#type.as_str(), info.name.as_str()), ("DRAPlugin", "gpu.example.com"));
            assert_eq!(info.endpoint, DATA_PATH);
            assert_eq!(info.supported_versions, VERSIONS);
        }
    }
}

/// That the test above would see the fault: without the shim the HTTP/2 library resets the stream.
#[tokio::test]
async fn without_the_shim_a_path_as_authority_is_a_protocol_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bare.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let plugin = Arc::new(TestPlugin::default());
    let (_reports, receiver) = watch::channel(Vec::new());
    let server = NodeServer::new(plugin, receiver);
    let serving = tokio::spawn(async move {
        let incoming = tonic::codegen::tokio_stream::wrappers::UnixListenerStream::new(listener);
        server.serve_connections(incoming, PATIENCE).await
    });
    for (authority, refused) in
        [(Authority::EncodedPath, true), (Authority::RawPath, true), (Authority::Localhost, false)]
    {
        let stream = UnixStream::connect(&path).await.expect("a connection");
        let connection = Connection::open(stream, DATA_PATH, authority).await;
        let answer = get_info(&connection).await.expect_err("no registration service here");
        assert_eq!(answer == CallError::Reset(1), refused, "{authority:?}: {answer:?}");
    }
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn every_release_registers_prepares_and_unprepares() {
    for release in Release::ALL {
        let node = Node::start();
        let registration = node.dial(release.registration_authority()).await;
        let info = get_info(&registration).await.expect("an answer");
        let mut kubelet = session(release, &info.supported_versions);
        assert_eq!(kubelet.service == DraService::V1BETA1, release <= Release::V1_33, "{release:?}");
        notify(&registration, None).await.expect("an answer");
        assert_eq!(*node.state.borrow(), RegistrationState::Registered);
        let data = node.dial(release.data_authority()).await;
        let claims = [claim("a"), claim("b")];
        kubelet.prepare_pod(&data, &claims).await.expect("a prepared pod");
        assert_eq!(kubelet.cdi_devices("a-uid"), ["k8s.gpu.example.com/claim=a-uid-0"]);
        kubelet.unprepare_pod(&data, &claims).await.expect("an unprepared pod");
        assert!(!data.is_lost());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_registration_is_shown_with_its_reason() {
    let node = Node::start();
    let registration = node.dial(Authority::EncodedPath).await;
    notify(&registration, Some("endpoint is taken")).await.expect("an answer");
    assert_eq!(*node.state.borrow(), RegistrationState::Refused("endpoint is taken".to_owned()));
    assert!(get_info(&registration).await.is_ok(), "it keeps serving");
}

// Trap 2: the deadline drops the handler.

#[tokio::test(start_paused = true)]
async fn work_outlives_the_deadline_and_the_next_call_joins_it() {
    let node = Node::start();
    let data = node.dial(Authority::Localhost).await;
    let mut kubelet = session(Release::V1_36, &versions());
    *node.plugin.delay.lock().expect("no panic") = Duration::from_secs(100);
    let start = Instant::now();
    let error = kubelet.prepare_pod(&data, &[claim("a")]).await.expect_err("too slow");
    assert!(matches!(&error, PodError::Claim(text) if text.contains("still being worked on")), "{error:?}");
    assert!(start.elapsed() < CALL_DEADLINE, "the kubelet hears the reason before its own deadline");
    sleep(Duration::from_secs(30)).await;
    kubelet.prepare_pod(&data, &[claim("a")]).await.expect("joined");
    assert_eq!(start.elapsed().as_secs(), 100);
    assert_eq!(node.plugin.calls(), ["prepare a"]);
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_when_the_connection_is_lost() {
    let node = Node::start();
    *node.plugin.delay.lock().expect("no panic") = Duration::from_secs(20);
    let data = node.dial(Authority::Localhost).await;
    let mut kubelet = session(Release::V1_36, &versions());
    let lost = timeout(Duration::from_secs(1), kubelet.prepare_pod(&data, &[claim("a")])).await;
    assert!(lost.is_err());
    drop(data);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(node.plugin.finished.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn two_calls_at_once_share_one_task() {
    let node = Node::start();
    *node.plugin.delay.lock().expect("no panic") = Duration::from_secs(5);
    let (one, other) = (node.dial(Authority::Localhost).await, node.dial(Authority::EncodedPath).await);
    let mut kubelets = [session(Release::V1_36, &versions()), session(Release::V1_36, &versions())];
    let claims = [claim("a")];
    let [first, second] = &mut kubelets;
    let (first, second) = tokio::join!(first.prepare_pod(&one, &claims), second.prepare_pod(&other, &claims));
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(node.plugin.calls(), ["prepare a"]);
}

// Finding 3: what heals within the deadline must not fail.

#[tokio::test(start_paused = true)]
async fn what_heals_within_forty_seconds_costs_no_retry() {
    for heals in [1, 10, 38] {
        let node = Node::start();
        let data = node.dial(Authority::Localhost).await;
        let start = Instant::now();
        *node.plugin.heals.lock().expect("no panic") = Some(start + Duration::from_secs(heals));
        let kubelet = tokio::sync::Mutex::new(session(Release::V1_36, &versions()));
        let failed = with_retries(PREPARE_RETRY, 3, || async {
            kubelet.lock().await.prepare_pod(&data, &[claim("a")]).await
        })
        .await;
        assert_eq!(failed, 0);
        let late = start.elapsed().saturating_sub(Duration::from_secs(heals));
        assert!(late <= Duration::from_secs(2), "{late:?} after it healed");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_heal_is_told_with_its_own_words_before_the_deadline() {
    let node = Node::start();
    let data = node.dial(Authority::Localhost).await;
    let start = Instant::now();
    *node.plugin.heals.lock().expect("no panic") = Some(start + Duration::from_secs(100));
    let kubelet = tokio::sync::Mutex::new(session(Release::V1_36, &versions()));
    let error = kubelet.lock().await.prepare_pod(&data, &[claim("a")]).await;
    assert_eq!(error, Err(PodError::Claim("not ready yet".to_owned())));
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_secs(38) && elapsed < Duration::from_secs(43), "{elapsed:?}");
    let failed = with_retries(PREPARE_RETRY, 3, || async {
        kubelet.lock().await.prepare_pod(&data, &[claim("a")]).await
    })
    .await;
    assert_eq!(failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_told_at_once() {
    let node = Node::start();
    let data = node.dial(Authority::Localhost).await;
    *node.plugin.refuse.lock().expect("no panic") = Some("no such device".to_owned());
    let mut kubelet = session(Release::V1_36, &versions());
    let start = Instant::now();
    let error = kubelet.prepare_pod(&data, &[claim("a")]).await;
    assert_eq!(error, Err(PodError::Claim("no such device".to_owned())));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_plugin_is_an_error_and_the_next_call_starts_anew() {
    let node = Node::start();
    let data = node.dial(Authority::Localhost).await;
    *node.plugin.panic.lock().expect("no panic") = true;
    let mut kubelet = session(Release::V1_36, &versions());
    let error = kubelet.prepare_pod(&data, &[claim("a"), claim("b")]).await.expect_err("a panic");
    assert!(matches!(&error, PodError::Claim(text) if text.contains("stopped unexpectedly")), "{error:?}");
    kubelet.prepare_pod(&data, &[claim("a"), claim("b")]).await.expect("prepared");
}

#[tokio::test(start_paused = true)]
async fn unprepare_waits_for_a_prepare_that_runs_and_ends_one_that_only_waits() {
    let node = Node::start();
    let (one, other) = (node.dial(Authority::Localhost).await, node.dial(Authority::Localhost).await);
    let mut preparing = session(Release::V1_36, &versions());
    let mut deleting = session(Release::V1_36, &versions());
    let claims = [claim("a")];
    *node.plugin.heals.lock().expect("no panic") = Some(Instant::now() + Duration::from_secs(39));
    let start = Instant::now();
    let unprepare = async {
        sleep(Duration::from_secs(5)).await;
        *node.plugin.heals.lock().expect("no panic") = None;
        let result = deleting.unprepare_pod(&other, &claims).await;
        (result, start.elapsed())
    };
    let (prepared, (unprepared, elapsed)) = tokio::join!(preparing.prepare_pod(&one, &claims), unprepare);
    assert_eq!(prepared, Err(PodError::Claim("not ready yet".to_owned())));
    assert_eq!(unprepared, Ok(()));
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    assert_eq!(node.plugin.calls().last().map(String::as_str), Some("unprepare a"));
}

#[tokio::test(start_paused = true)]
async fn a_failing_unprepare_is_retried_until_the_pod_is_gone() {
    let node = Node::start();
    let data = node.dial(Authority::Localhost).await;
    *node.plugin.heals.lock().expect("no panic") = Some(Instant::now() + Duration::from_mins(1));
    let kubelet = tokio::sync::Mutex::new(session(Release::V1_36, &versions()));
    let failed = with_retries(UNPREPARE_RETRY, 5, || async {
        kubelet.lock().await.unprepare_pod(&data, &[claim("a")]).await
    })
    .await;
    assert_eq!(failed, 1);
}

// Traps 8 and 9: the shape of answers.

#[tokio::test(start_paused = true)]
async fn the_answer_has_every_uid_asked_for_and_no_other() {
    let node = Node::start();
    let data = node.dial(Authority::Localhost).await;
    *node.plugin.panic.lock().expect("no panic") = true;
    let claims = vec![claim("a"), claim("b"), Claim::new("evil", "../../etc/passwd"), Claim::new("none", "")];
    let answer = prepare(&data, DraService::V1, &claims).await.expect("an answer");
    assert_eq!(answer.claims.len(), claims.len());
    for wanted in &claims {
        assert!(answer.claims.contains_key(&wanted.uid), "{wanted:?}");
    }
    assert!(answer.claims["../../etc/passwd"].error.contains("malformed UID"));
    assert!(!node.plugin.calls().iter().any(|call| call.contains("evil")));
}

#[tokio::test(start_paused = true)]
async fn share_ids_are_told_to_v1_only() {
    let node = Node::start();
    *node.plugin.share.lock().expect("no panic") = true;
    let data = node.dial(Authority::Localhost).await;
    for (service, expected) in [(DraService::V1, Some("share".to_owned())), (DraService::V1BETA1, None)] {
        let answer = prepare(&data, service, &[claim("a")]).await.expect("an answer");
        assert_eq!(answer.claims["a-uid"].devices[0].share_id, expected, "{service:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_method_or_service_is_unimplemented() {
    let node = Node::start();
    let data = node.dial(Authority::EncodedPath).await;
    for method in ["/v1.DRAResourceHealth/Nothing", "/v1alpha3.Node/NodePrepareResources"] {
        let answer = data.call(method, &[], CALL_DEADLINE).await;
        assert!(matches!(answer, Err(CallError::Status(12, _))), "{method}: {answer:?}");
    }
}

// Health.

#[tokio::test(start_paused = true)]
async fn both_health_services_report_at_once_on_change_and_again_in_time() {
    let node = Node::start();
    let data = node.dial(Authority::EncodedPath).await;
    for release in [Release::V1_34, Release::V1_36, Release::V1_37] {
        node.reports.send_replace(vec![health(HealthState::Healthy, 9)]);
        let mut stream = watch_health(&data, release.choose_health(&versions()).expect("a service")).await;
        let first = next_health(&mut stream).await.expect("a report");
        let device = &first.devices[0];
        assert_eq!((device.health, device.health_check_timeout_seconds, device.last_updated_time), (1, 9, 7));
        let start = Instant::now();
        assert_eq!(next_health(&mut stream).await.expect("a report"), first);
        assert_eq!(start.elapsed(), Duration::from_secs(3), "a third of the timeout");
        node.reports.send_replace(vec![health(HealthState::Unhealthy, 9)]);
        let start = Instant::now();
        assert_eq!(next_health(&mut stream).await.expect("a report").devices[0].health, 2);
        assert!(start.elapsed() < Duration::from_millis(200));
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_with_nothing_to_report_keeps_the_stream_open() {
    let node = Node::start();
    let data = node.dial(Authority::Localhost).await;
    let mut stream = watch_health(&data, HEALTH_V1ALPHA1).await;
    assert!(timeout(Duration::from_hours(1), stream.next()).await.is_err(), "open and silent");
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_ends_turns_every_device_unknown() {
    let Node { reports, connect, plugin: _plugin, stop: _stop, serving: _serving, state: _state, .. } =
        Node::start();
    reports.send_replace(vec![health(HealthState::Healthy, 30)]);
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    assert!(connect.send(Ok(AuthorityStream::new(theirs))).await.is_ok());
    let data = Connection::open(ours, DATA_PATH, Authority::Localhost).await;
    let mut stream = watch_health(&data, HEALTH_V1).await;
    assert_eq!(next_health(&mut stream).await.expect("a report").devices[0].health, 1);
    drop(reports);
    let report = next_health(&mut stream).await.expect("a report");
    assert_eq!(
        (report.devices[0].health, report.devices[0].message.as_str()),
        (0, "the health monitor stopped")
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_message_is_cut_where_the_kubelet_would_halve_a_character() {
    let node = Node::start();
    let mut device = health(HealthState::Unhealthy, 9);
    device.message = "é".repeat(2_000);
    node.reports.send_replace(vec![device]);
    let data = node.dial(Authority::Localhost).await;
    let mut stream = watch_health(&data, HEALTH_V1).await;
    let report = next_health(&mut stream).await.expect("a report");
    assert_eq!(report.devices[0].message, "é".repeat(512));
}

// Trap 10: the stop.

#[tokio::test(start_paused = true)]
async fn stopping_says_unknown_ends_the_stream_and_is_bounded() {
    let node = Node::start();
    node.reports.send_replace(vec![health(HealthState::Healthy, 30)]);
    let data = node.dial(Authority::Localhost).await;
    let mut stream = watch_health(&data, HEALTH_V1).await;
    assert_eq!(next_health(&mut stream).await.expect("a report").devices[0].health, 1);
    let start = Instant::now();
    node.stop.stop();
    let last = next_health(&mut stream).await.expect("a last report");
    assert_eq!((last.devices[0].health, last.devices[0].message.as_str()), (0, "the driver is stopping"));
    assert_eq!(next_health(&mut stream).await, None);
    assert_eq!(node.serving.await.expect("no panic").expect("a result"), 0);
    assert!(start.elapsed() <= PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_a_call_and_not_for_ever() {
    for (delay, left) in [(3, 0), (1_000, 1)] {
        let node = Node::start();
        *node.plugin.delay.lock().expect("no panic") = Duration::from_secs(delay);
        let data = node.dial(Authority::Localhost).await;
        let mut kubelet = session(Release::V1_36, &versions());
        let pod = tokio::spawn(async move { kubelet.prepare_pod(&data, &[claim("a")]).await });
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        node.stop.stop();
        assert_eq!(node.serving.await.expect("no panic").expect("a result"), left);
        assert!(start.elapsed() <= PATIENCE + Duration::from_secs(1));
        if left == 0 {
            assert_eq!(pod.await.expect("no panic"), Ok(()));
        }
    }
}

// Real sockets.

async fn dial(path: &Path, authority: Authority) -> Connection {
    let stream = UnixStream::connect(path).await.expect("a connection");
    Connection::open(stream, &path.display().to_string(), authority).await
}

/// Trap 6: a plugin that blocks every thread of the main runtime cannot keep `GetInfo` waiting.
#[test]
fn get_info_answers_while_the_main_runtime_is_blocked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gpu-reg.sock");
    let registrar = Registrar::start(identity(), Socket::bind(&path).expect("a socket")).expect("a thread");
    let (blocked, release) = std::sync::mpsc::channel::<()>();
    let main = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    main.spawn(async move { release.recv() });
    let kubelet = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    kubelet.block_on(async {
        let connection = dial(&path, Authority::EncodedPath).await;
        for _ in 0..3 {
            assert_eq!(get_info(&connection).await.expect("an answer").name, "gpu.example.com");
        }
        notify(&connection, None).await.expect("an answer");
    });
    assert_eq!(*registrar.state().borrow(), RegistrationState::Registered);
    blocked.send(()).expect("a receiver");
    registrar.stop();
    assert!(!path.exists(), "a removed socket is what deregisters the plugin");
}

/// One socket for everything is legal: the endpoint is empty then. And the data socket of kubelets up to 1.33 is
/// dialled with a path too.
#[tokio::test]
async fn one_socket_serves_registration_and_claims() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("all.sock");
    let socket = Socket::bind(&path).expect("a socket");
    let (_reports, receiver) = watch::channel(Vec::new());
    let (sender, _state) = watch::channel(RegistrationState::default());
    let identity = Identity { endpoint: String::new(), ..identity() };
    let server =
        NodeServer::new(Arc::new(TestPlugin::default()), receiver).with_registration(identity, sender);
    let stop = server.stop_handle();
    let serving = tokio::spawn(async move { server.serve(&socket, PATIENCE).await });
    let connection = dial(&path, Authority::EncodedPath).await;
    let info = get_info(&connection).await.expect("an answer");
    assert_eq!(info.endpoint, "");
    let mut kubelet = session(Release::V1_33, &info.supported_versions);
    kubelet.prepare_pod(&connection, &[claim("a")]).await.expect("a prepared pod");
    drop(connection);
    stop.stop();
    assert_eq!(serving.await.expect("no panic").expect("a result"), 0);
    assert!(!path.exists());
}

/// Trap 25: a kubelet that restarts has two connections for a while.
#[tokio::test(start_paused = true)]
async fn two_connections_at_once_are_both_served() {
    let node = Node::start();
    let (old, new) = (node.dial(Authority::Localhost).await, node.dial(Authority::Localhost).await);
    let mut kubelet = session(Release::V1_36, &versions());
    kubelet.prepare_pod(&old, &[claim("a")]).await.expect("prepared");
    kubelet.restart();
    kubelet.prepare_pod(&new, &[claim("a")]).await.expect("prepared again");
    kubelet.unprepare_pod(&old, &[claim("a")]).await.expect("unprepared");
}
