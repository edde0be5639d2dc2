//! The command itself, as a process: from registration to a clean end.

mod support;

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use drayage_driver::files::HostFileSystem;
use drayage_fake_kubelet::{
    api_server::{Server, State},
    calls::{get_info, notify, prepare, watch_health},
    messages::Claim,
    release::{DraService, HEALTH_V1, Release},
    session::Session,
    wire::{Authority, CallError, Connection},
};
use prost::Message;
use serde_json::{Value, json};
use support::{runtime, slices};
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

const INVENTORY: &str = "
apiVersion: drayage.dev/v1alpha1
kind: DeviceInventory
metadata: {name: fake}
spec:
  pools:
  - devices:
    - name: gpu-{index}
      count: 2
      container: {env: {GPU: '{index}'}, deviceNodes: [{path: '/dev/gpu{index}'}]}
";

#[derive(Clone, PartialEq, Message)]
struct Probe {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct Probed {
    #[prost(int32, tag = "1")]
    status: i32,
}

struct Driver {
    process: Child,
    folder: tempfile::TempDir,
    http: SocketAddr,
    grpc: SocketAddr,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folders_for_an_api_server(command: &mut Command, folder: &Path) {
    command.arg("--claims-from").arg(folder.join("claims")).arg("--slices-to").arg(folder.join("slices"));
}

fn arguments(command: &mut Command, folder: &Path) {
    command.arg("--node-name=node-1").arg("--driver-name=gpu.example.com");
    command.env("INTERVAL_SECONDS", "1");
    for (option, path) in [
        ("--kubelet-directory", "kubelet"),
        ("--cdi-directory", "cdi"),
        ("--inventory", "inventory.yaml"),
        ("--faults", "faults"),
    ] {
        command.arg(option).arg(folder.join(path));
    }
}

impl Driver {
    fn start() -> Self {
        Self::with(folders_for_an_api_server)
    }

    fn with_server(server: &Server) -> Self {
        Self::with(|command, folder| {
            fs::write(folder.join("kubeconfig"), server.kubeconfig()).expect("a file");
            command.arg("--kubeconfig").arg(folder.join("kubeconfig")).arg("--collection-seconds=1");
        })
    }

    fn with(more: impl FnOnce(&mut Command, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["kubelet", "cdi", "claims", "faults"] {
            fs::create_dir(folder.path().join(path)).expect("a folder");
        }
        fs::write(folder.path().join("inventory.yaml"), INVENTORY).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dray-driver"));
        command.args(["run", "--http=127.0.0.1:0", "--grpc-health=127.0.0.1:0"]).stderr(Stdio::piped());
        arguments(&mut command, folder.path());
        more(&mut command, folder.path());
        let mut process = command.spawn().expect("a process");
        let mut messages = BufReader::new(process.stderr.take().expect("its messages"));
        let mut line = String::new();
        let mut address = |what: &str| loop {
            line.clear();
            assert_ne!(messages.read_line(&mut line).expect("text"), 0, "the driver ended");
            if let Some(address) = line.split(&format!("serving {what} address=")).nth(1) {
                break address.trim().trim_matches('"').parse().expect("an address");
            }
        };
        let (http, grpc) = (address("HTTP"), address("gRPC health"));
        // A pipe that nobody reads would stop the driver.
        std::thread::spawn(move || io::copy(&mut messages, &mut io::sink()));
        Self { process, folder, http, grpc }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    async fn dial(&self, path: &str, authority: Authority) -> Connection {
        let path = self.at(path);
        loop {
            if let Ok(stream) = UnixStream::connect(&path).await {
                return Connection::open(stream, &path.display().to_string(), authority).await;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// What `grpc.health.v1` says of a service, or the code of its error.
    async fn probe(&self, service: &str) -> Result<i32, u32> {
        let stream = tokio::net::TcpStream::connect(self.grpc).await.expect("a connection");
        let connection = Connection::open(stream, "", Authority::Localhost).await;
        let request = Probe { service: service.to_owned() };
        let method = "/grpc.health.v1.Health/Check";
        match connection.ask::<_, Probed>(method, &request, Duration::from_secs(30)).await {
            Ok(answer) => Ok(answer.status),
            Err(CallError::Status(code, _)) => Err(code),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn devices(&self) -> Vec<Value> {
        slices::devices(&self.at("slices"))
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            while !condition(self) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_mins(1), wait).await.unwrap_or_else(|_| panic!("{what}"));
    }
}

#[tokio::test]
async fn a_driver_registers_publishes_prepares_reports_and_stops() {
    let mut driver = Driver::start();
    let registration =
        driver.dial("kubelet/plugins_registry/gpu.example.com-reg.sock", Authority::EncodedPath).await;
    let info = get_info(&registration).await.expect("an answer");
    assert_eq!(info.endpoint, driver.at("kubelet/plugins/gpu.example.com/dra.sock").display().to_string());
    driver.until("HTTP is served", |driver| TcpStream::connect(driver.http).is_ok()).await;
    assert!(driver.get("/readyz").starts_with("HTTP/1.1 503"), "nobody has registered it");
    let (serving, not_serving, not_found) = (Ok(1), Ok(2), Err(5));
    assert_eq!(driver.probe("readiness").await, not_serving);
    assert!(driver.devices().is_empty(), "nothing is published before the kubelet knows the driver");
    notify(&registration, None).await.expect("an answer");
    driver.until("published", |driver| driver.devices().len() == 2).await;
    assert!(driver.get("/readyz").starts_with("HTTP/1.1 200"));
    assert_eq!(driver.probe("readiness").await, serving);
    for service in ["", "liveness"] {
        assert_eq!(driver.probe(service).await, serving);
    }
    assert_eq!(driver.probe("liver").await, not_found);
    assert!(driver.get("/healthz").starts_with("HTTP/1.1 200"));
    // A socket that nobody can reach any more is a driver that does not live.
    let moved = driver.at("moved.sock");
    fs::rename(driver.at("kubelet/plugins/gpu.example.com/dra.sock"), &moved).expect("moved");
    assert_eq!(driver.probe("liveness").await, not_serving);
    assert!(driver.get("/healthz").starts_with("HTTP/1.1 503"));
    fs::rename(&moved, driver.at("kubelet/plugins/gpu.example.com/dra.sock")).expect("moved back");

    let data = driver.dial("kubelet/plugins/gpu.example.com/dra.sock", Authority::Localhost).await;
    let mut kubelet = Session::new(Release::V1_36, &info.supported_versions).expect("a known version");
    let object = json!({
        "metadata": {"uid": "0a"},
        "status": {"allocation": {"devices": {"results": [
            {"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-1"},
        ]}}},
    });
    fs::write(driver.at("claims/default_a.json"), object.to_string()).expect("a file");
    let claim = Claim::new("a", "0a");
    kubelet.prepare_pod(&data, std::slice::from_ref(&claim)).await.expect("a prepared pod");
    let resolvable = runtime::resolvable(&HostFileSystem, &driver.at("cdi"));
    assert_eq!(resolvable.into_iter().collect::<Vec<_>>(), kubelet.cdi_devices("0a"));

    // A fault on purpose shows in the stream and as a taint, and goes again.
    let mut stream = watch_health(&data, HEALTH_V1).await;
    let fault = "{apiVersion: drayage.dev/v1alpha1, kind: DeviceFault, metadata: {name: a}, spec: {fault: Unhealthy, devices: '*/gpu-1'}}";
    fs::write(driver.at("faults/a.yaml"), fault).expect("a file");
    let unhealthy = async {
        loop {
            let report = stream.next().await.expect("no error").expect("a report");
            if report.devices.iter().any(|device| device.health == 2) {
                return;
            }
        }
    };
    timeout(Duration::from_mins(1), unhealthy).await.expect("the kubelet hears of it");
    driver
        .until("tainted", |driver| driver.devices().iter().any(|device| device.get("taints").is_some()))
        .await;
    let metrics = driver.get("/metrics");
    for line in [
        r#"dray_driver_requests_total{driver="gpu.example.com",method="prepare",status="ok"} 1"#,
        r#"dray_driver_prepared_devices{driver="gpu.example.com"} 1"#,
        r#"dray_driver_devices{driver="gpu.example.com",health="unhealthy"} 1"#,
        r#"dray_driver_published_devices{driver="gpu.example.com"} 2"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }

    // A bundle has the records without what users set.
    let bundle = driver.at("bundle.tar");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dray-driver"));
    command.arg("support-bundle").arg("--output").arg(&bundle).arg(format!("--http={}", driver.http));
    arguments(&mut command, driver.folder.path());
    folders_for_an_api_server(&mut command, driver.folder.path());
    let output = command.output().expect("an end");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&fs::read(&bundle).expect("a bundle")).into_owned();
    for found in [
        "claims/0a.claim",
        "claims/metadata/0a_gpu.json",
        "cdi/k8s.gpu.example.com-claim_0a.json",
        "doctor.txt",
        "dray_driver_registered",
        "ResourceSlice",
        "GPU=REDACTED",
        "kernel ",
    ] {
        assert!(text.contains(found), "{found}");
    }
    assert!(!text.contains("GPU=1"), "what is set for containers stays here");
    assert!(text.contains("left-out.txt"), "what is missing is named");

    kubelet.unprepare_pod(&data, &[claim]).await.expect("an unprepared pod");
    let signalled = Command::new("kill").arg("-TERM").arg(driver.process.id().to_string()).status();
    assert!(signalled.expect("kill").success());
    // The last word of the stream is that nobody knows.
    let mut last = None;
    while let Ok(Ok(Some(report))) = timeout(Duration::from_mins(1), stream.next()).await {
        last = Some(report);
    }
    assert!(last.expect("a report").devices.iter().all(|device| device.health == 0));
    let status = driver.process.wait().expect("an end");
    assert!(status.success(), "{status}");
    assert!(!driver.at("kubelet/plugins_registry/gpu.example.com-reg.sock").exists());
    assert!(!driver.at("kubelet/plugins/gpu.example.com/dra.sock").exists());
    assert_eq!(driver.devices().len(), 2, "slices stay for a successor");
}

#[tokio::test]
async fn taints_and_recovery_are_as_the_options_say() {
    let driver = Driver::with(|command, folder| {
        folders_for_an_api_server(command, folder);
        command.args([
            "--unhealthy-taint=NoExecute",
            "--taint-key=example.com/broken",
            "--recovery-seconds=1",
        ]);
    });
    let registration =
        driver.dial("kubelet/plugins_registry/gpu.example.com-reg.sock", Authority::EncodedPath).await;
    notify(&registration, None).await.expect("an answer");
    let taints = |driver: &Driver| -> Vec<Value> {
        driver.devices().iter().filter_map(|device| device.get("taints").cloned()).collect()
    };
    driver.until("published", |driver| driver.devices().len() == 2).await;
    assert_eq!(taints(&driver), [] as [Value; 0]);
    let fault = "{apiVersion: drayage.dev/v1alpha1, kind: DeviceFault, metadata: {name: a}, spec: {fault: Unhealthy, devices: '*/gpu-1'}}";
    fs::write(driver.at("faults/a.yaml"), fault).expect("a file");
    let expected = json!([{"key": "example.com/broken", "value": "unhealthy", "effect": "NoExecute"}]);
    driver.until("tainted", |driver| taints(driver) == [expected.clone()]).await;
    fs::remove_file(driver.at("faults/a.yaml")).expect("a file");
    driver.until("healthy", |driver| driver.devices().len() == 2 && taints(driver).is_empty()).await;
}

/// The guard is part of the driver: partitions that take more together than their card has are refused.
#[tokio::test]
async fn a_claim_on_more_than_a_card_has_is_refused() {
    let partitions = "
apiVersion: drayage.dev/v1alpha1
kind: DeviceInventory
metadata: {name: fake}
spec:
  pools:
  - sharedCounters: [{name: card, counters: {slots: {value: '7'}}}]
    devices:
    - name: whole
      device: {consumesCounters: [{counterSet: card, counters: {slots: {value: '7'}}}]}
    - name: slice-{index}
      count: 7
      device: {consumesCounters: [{counterSet: card, counters: {slots: {value: '1'}}}]}
";
    let driver = Driver::with(|command, folder| {
        fs::write(folder.join("inventory.yaml"), partitions).expect("a file");
        folders_for_an_api_server(command, folder);
    });
    let data = driver.dial("kubelet/plugins/gpu.example.com/dra.sock", Authority::Localhost).await;
    for (name, devices, is_refused) in
        [("0a", ["slice-0", "whole"], true), ("0b", ["slice-0", "slice-1"], false)]
    {
        let result = |device| json!({"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": device});
        let object = json!({
            "metadata": {"uid": name},
            "status": {"allocation": {"devices": {"results": devices.map(result)}}},
        });
        fs::write(driver.at(&format!("claims/default_{name}.json")), object.to_string()).expect("a file");
        let answer = prepare(&data, DraService::V1, &[Claim::new(name, name)]).await.expect("an answer");
        let error = &answer.claims[name].error;
        let expected = "counter `slots` of counter set `card` has not enough left";
        assert_eq!((error.contains(expected), error.is_empty()), (is_refused, !is_refused), "{error}");
    }
}

/// A label for every claim would make a new series of each.
#[tokio::test]
async fn trap_28_claims_are_no_labels_of_metrics() {
    let driver = Driver::start();
    let data = driver.dial("kubelet/plugins/gpu.example.com/dra.sock", Authority::Localhost).await;
    let object = json!({
        "metadata": {"uid": "0a1b2c3d"},
        "status": {"allocation": {"devices": {"results": [
            {"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-1"},
        ]}}},
    });
    fs::write(driver.at("claims/default_my-claim.json"), object.to_string()).expect("a file");
    let claims = [Claim::new("my-claim", "0a1b2c3d"), Claim::new("missing-claim", "0f1e2d3c")];
    let answer = prepare(&data, DraService::V1, &claims).await.expect("an answer");
    assert_eq!(answer.claims["0a1b2c3d"].error, "");
    driver.until("HTTP is served", |driver| TcpStream::connect(driver.http).is_ok()).await;
    let metrics = driver.get("/metrics");
    assert!(metrics.contains(r#"method="prepare",status="ok"} 1"#), "{metrics}");
    for word in ["0a1b2c3d", "my-claim", "0f1e2d3c", "missing-claim", "gpu-1"] {
        assert!(!metrics.contains(word), "{word}: {metrics}");
    }
}

/// The kubelet removes them when nobody comes back within 30 seconds; a successor finds and keeps them.
#[tokio::test(flavor = "multi_thread")]
async fn trap_31_slices_stay_when_the_driver_stops() {
    let server = Server::start(&["v1"]).await.expect("a server");
    let mut driver = Driver::with_server(&server);
    let registration =
        driver.dial("kubelet/plugins_registry/gpu.example.com-reg.sock", Authority::EncodedPath).await;
    notify(&registration, None).await.expect("an answer");
    wait(&server, "the slices are published", |state| !state.slices.is_empty()).await;
    let signalled = Command::new("kill").arg("-TERM").arg(driver.process.id().to_string()).status();
    assert!(signalled.expect("kill").success());
    assert!(driver.process.wait().expect("an end").success());
    let state = server.state();
    assert!(!state.slices.is_empty());
    assert!(!state.requests.iter().any(|request| request.starts_with("DELETE")), "{:?}", state.requests);
}

/// The monitor looks once in a minute here, so it has to be woken.
#[tokio::test]
async fn a_fault_over_the_socket_is_seen_at_once() {
    let driver = Driver::with(|command, folder| {
        folders_for_an_api_server(command, folder);
        command.arg("--interval-seconds=60").arg("--fault-socket").arg(folder.join("faults.sock"));
    });
    let data = driver.dial("kubelet/plugins/gpu.example.com/dra.sock", Authority::Localhost).await;
    let mut stream = watch_health(&data, HEALTH_V1).await;
    let fault = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dray-driver"));
        command.arg("fault").arg("--socket").arg(driver.at("faults.sock")).args(arguments);
        let output = command.output().expect("an end");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let file = driver.at("fault.yaml");
    let text = "{apiVersion: drayage.dev/v1alpha1, kind: DeviceFault, metadata: {name: a}, spec: {fault: Unhealthy, devices: '*/gpu-1'}}";
    fs::write(&file, text).expect("a file");
    assert_eq!(fault(&[file.to_str().expect("text")]), (Some(0), String::new()));
    let unhealthy = async {
        loop {
            let report = stream.next().await.expect("no error").expect("a report");
            if report.devices.iter().any(|device| device.health == 2) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), unhealthy).await.expect("half a look later");
    assert_eq!(fault(&["--end", "a"]), (Some(0), String::new()));
    let (code, text) = fault(&["--end", "a"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("there is no fault `a`"), "{text}");
    fs::write(&file, "{}").expect("a file");
    let (code, text) = fault(&[file.to_str().expect("text")]);
    assert!(code == Some(2) && text.contains("fault.yaml"), "{text}");
}

/// Waits until the server `is_so`.
async fn wait(server: &Server, what: &str, is_so: impl Fn(&State) -> bool) {
    let waiting = async {
        while !is_so(&server.state()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_mins(1), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: {:#?}", server.state()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_keeps_slices_and_claims_as_an_api_server_has_them() {
    let server = Server::start(&["v1beta1", "v1beta2", "v1"]).await.expect("a server");
    let driver = Driver::with_server(&server);
    let registration =
        driver.dial("kubelet/plugins_registry/gpu.example.com-reg.sock", Authority::EncodedPath).await;
    let info = get_info(&registration).await.expect("an answer");
    notify(&registration, None).await.expect("an answer");
    let are_published = |state: &State| {
        let devices =
            state.slices.values().map(|slice| slice["spec"]["devices"].as_array().map_or(0, Vec::len));
        devices.sum::<usize>() == 2
    };
    wait(&server, "the slices are published", are_published).await;
    server.wipe("node-1", Some("gpu.example.com"));
    wait(&server, "the slices are back after a kubelet removed them", are_published).await;

    let data = driver.dial("kubelet/plugins/gpu.example.com/dra.sock", Authority::Localhost).await;
    let mut kubelet = Session::new(Release::V1_36, &info.supported_versions).expect("a known version");
    let object = |uid: &str, device: &str| {
        json!({
            "metadata": {"uid": uid},
            "status": {"allocation": {"devices": {"results": [
                {"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": device},
            ]}}},
        })
    };
    for (name, uid, device) in [("stays", "0a", "gpu-0"), ("goes", "0b", "gpu-1")] {
        server.state().claims.insert(format!("default/{name}"), object(uid, device));
        kubelet.prepare_pod(&data, &[Claim::new(name, uid)]).await.expect("a prepared pod");
    }
    let prepared = |driver: &Driver| runtime::resolvable(&HostFileSystem, &driver.at("cdi")).len();
    assert_eq!(prepared(&driver), 2);
    // An outage says nothing about claims.
    server.state().outage = true;
    let asked = server.state().requests.len();
    wait(&server, "claims are looked at in vain", |state| state.requests.len() > asked + 4).await;
    assert_eq!(prepared(&driver), 2);
    server.state().outage = false;
    // The claim of before is gone: another one has its name.
    server.state().claims.insert("default/goes".to_owned(), object("0c", "gpu-1"));
    driver.until("the vanished claim is unprepared", |driver| prepared(driver) == 1).await;
    let asked = server.state().requests.len();
    wait(&server, "claims are looked at again", |state| state.requests.len() > asked + 4).await;
    assert_eq!(prepared(&driver), 1, "the other one stays");
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let examine = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dray-driver"));
        command.arg("doctor");
        arguments(&mut command, folder.path());
        folders_for_an_api_server(&mut command, folder.path());
        let output = command.output().expect("an end");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, text) = examine();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("WRONG  kubelet") && text.contains("WRONG  devices"), "{text}");
    for path in ["kubelet/plugins_registry", "cdi", "claims", "faults"] {
        fs::create_dir_all(folder.path().join(path)).expect("a folder");
    }
    fs::write(folder.path().join("inventory.yaml"), INVENTORY).expect("a file");
    let (code, text) = examine();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("2 in 1 pools and 1 slices"), "{text}");
    fs::write(folder.path().join("faults/a.yaml"), "{}").expect("a file");
    assert_eq!(examine().0, Some(1));
}

/// As the kubelet makes them: files are links to files in a folder behind a link.
#[test]
fn regression_the_doctor_took_the_folders_of_a_config_map_volume_for_faults() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = folder.path().join("faults");
    for path in ["kubelet/plugins_registry", "cdi", "claims", "faults/..2026"] {
        fs::create_dir_all(folder.path().join(path)).expect("a folder");
    }
    fs::write(folder.path().join("inventory.yaml"), INVENTORY).expect("a file");
    let fault = "{apiVersion: drayage.dev/v1alpha1, kind: DeviceFault, metadata: {name: a}, spec: {fault: Unhealthy}}";
    fs::write(faults.join("..2026/a.yaml"), fault).expect("a file");
    for (target, link) in [("..2026", "..data"), ("..data/a.yaml", "a.yaml")] {
        std::os::unix::fs::symlink(target, faults.join(link)).expect("a link");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_dray-driver"));
    command.arg("doctor");
    arguments(&mut command, folder.path());
    folders_for_an_api_server(&mut command, folder.path());
    let output = command.output().expect("an end");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("fault  ")).count(), 1, "{text}");
    assert!(text.contains("Unhealthy on purpose"), "{text}");
}
