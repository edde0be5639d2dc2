//! What a node feels of the driver: the command as a process, between a fake kubelet and a fake API server.
//!
//! `cargo bench -p drayage-driver --bench node` prints one line for each number with its target, and fails if one is
//! missed. It takes about three minutes, most of them waiting for an API server at 5 requests a second.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use drayage_driver::{
    devices::read_fault,
    runtime::{FaultMessage, tell_faults},
};
use drayage_fake_kubelet::{
    api_server::Server,
    calls::{self, get_info, notify, watch_health},
    messages::{Claim, DeviceHealth},
    release::{DraService, HEALTH_V1},
    wire::{Authority, Connection},
};
use serde_json::json;
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

const DRIVER: &str = "gpu.example.com";
/// An API server that answers 5 requests a second.
const SLOW: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_mins(2);
/// Faults, each on a device of its own.
const FLIPS: usize = 50;
/// Times that a kubelet removes all slices.
const WIPES: usize = 3;

/// A device as vendors publish it: an identity, a place, a model, a capacity.
fn inventory(devices: usize) -> String {
    format!(
        "apiVersion: drayage.dev/v1alpha1
kind: DeviceInventory
metadata: {{name: fake}}
spec:
  pools:
  - devices:
    - name: gpu-{{index}}
      count: {devices}
      device:
        attributes:
          uuid: {{string: 'GPU-5a1f0d3e-0000-{{index}}'}}
          model: {{string: 'Example 80G'}}
          driverVersion: {{version: '1.2.3'}}
          resource.kubernetes.io/numaNode: {{int: 1}}
          resource.kubernetes.io/pcieRoot: {{string: 'pci0000:00'}}
        capacity:
          memory: {{value: 80Gi}}
      container:
        env: {{GPU: '{{index}}'}}
        deviceNodes: [{{path: '/dev/gpu{{index}}'}}]
"
    )
}

/// A running driver.
struct Driver {
    process: Child,
    folder: tempfile::TempDir,
    server: Server,
    devices: usize,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Driver {
    /// A driver that a kubelet has registered and whose slices are published.
    async fn start(devices: usize) -> Self {
        let server = Server::start(&["v1"]).await.expect("a server");
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        fs::create_dir(at("kubelet")).expect("a folder");
        fs::write(at("inventory.yaml"), inventory(devices)).expect("a file");
        fs::write(at("kubeconfig"), server.kubeconfig()).expect("a file");
        // Another build of the command can be measured, such as a static one.
        let program = std::env::var_os("DRAYAGE_MEASURED")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_dray-driver")), PathBuf::from);
        let mut command = Command::new(program);
        command.arg("run").args([
            "--node-name=node-1",
            "--driver-name=gpu.example.com",
            "--http=127.0.0.1:0",
        ]);
        for (option, path) in [
            ("--kubelet-directory", "kubelet"),
            ("--cdi-directory", "cdi"),
            ("--inventory", "inventory.yaml"),
            ("--fault-socket", "faults.sock"),
            ("--kubeconfig", "kubeconfig"),
        ] {
            command.arg(option).arg(at(path));
        }
        let mut process = command.stderr(Stdio::piped()).spawn().expect("a process");
        let messages = BufReader::new(process.stderr.take().expect("its messages"));
        std::thread::spawn(move || {
            for line in messages.lines().map_while(Result::ok).filter(|line| !line.starts_with("info:")) {
                let _ = writeln!(io::stderr().lock(), "driver: {line}");
            }
        });
        let driver = Self { process, folder, server, devices };
        let socket = format!("kubelet/plugins_registry/{DRIVER}-reg.sock");
        let registration = driver.dial(&socket, Authority::EncodedPath).await;
        get_info(&registration).await.expect("an answer");
        notify(&registration, None).await.expect("an answer");
        driver.published().await;
        driver
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    async fn dial(&self, path: &str, authority: Authority) -> Connection {
        let path = self.at(path);
        let dialled = timeout(PATIENCE, async {
            loop {
                if let Ok(stream) = UnixStream::connect(&path).await {
                    return Connection::open(stream, &path.display().to_string(), authority).await;
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        dialled.await.expect("a connection")
    }

    async fn data(&self) -> Connection {
        self.dial(&format!("kubelet/plugins/{DRIVER}/dra.sock"), Authority::Localhost).await
    }

    /// Waits until the API server has slices with all devices.
    async fn published(&self) {
        let waiting = async {
            loop {
                let devices: usize = {
                    let state = self.server.state();
                    let of =
                        |slice: &serde_json::Value| slice["spec"]["devices"].as_array().map_or(0, Vec::len);
                    state.slices.values().map(of).sum()
                };
                if devices == self.devices {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the slices are published");
    }

    /// How long it takes until slices that a kubelet has wiped are back, and how long the driver works for that.
    async fn wipe(&self) -> (Duration, Duration) {
        let before = self.cpu();
        self.server.wipe("node-1", None);
        let start = Instant::now();
        self.published().await;
        let took = start.elapsed();
        // What comes after that, such as the last answers, is work too.
        sleep(Duration::from_millis(500)).await;
        (took, self.cpu().saturating_sub(before))
    }

    /// Resident memory in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Time that the driver's threads have had a processor, of those that still run.
    fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("a process").flatten();
        let of_thread = |thread: fs::DirEntry| {
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Duration::from_nanos(threads.map(of_thread).sum())
    }

    /// Times from a fault until the stream tells of it, each on another device, shortest first.
    async fn health(&self, data: &Connection) -> Vec<Duration> {
        let mut stream = watch_health(data, HEALTH_V1).await;
        stream.next().await.expect("a first report");
        let mut times = Vec::new();
        for number in 0..FLIPS.min(self.devices) {
            let device = format!("gpu-{number}");
            let fault = format!(
                "{{apiVersion: drayage.dev/v1alpha1, kind: DeviceFault, metadata: {{name: {device}}}, \
                 spec: {{fault: Unhealthy, devices: '*/{device}'}}}}"
            );
            let begin = FaultMessage::Begin(Box::new(read_fault(&fault).expect("a fault")));
            let start = Instant::now();
            tell_faults(&self.at("faults.sock"), &[begin]).await.expect("told");
            loop {
                let report = stream.next().await.expect("no error").expect("a report");
                let is_it = |found: &DeviceHealth| {
                    found.health == 2
                        && found.device.as_ref().is_some_and(|found| found.device_name == device)
                };
                if report.devices.iter().any(is_it) {
                    break;
                }
            }
            times.push(start.elapsed());
            let end = FaultMessage::End { end: device };
            tell_faults(&self.at("faults.sock"), &[end]).await.expect("told");
            sleep(Duration::from_millis(300)).await;
        }
        times.sort();
        times
    }

    /// Makes a claim on one device as the API server has it.
    fn claim(&self, number: usize) -> Claim {
        let (name, uid) = (format!("claim-{number}"), format!("{number:08x}-0000-4000-8000-000000000000"));
        let object = json!({
            "metadata": {"name": name, "namespace": "default", "uid": uid},
            "status": {"allocation": {"devices": {"results": [
                {"request": "gpu", "driver": DRIVER, "pool": "node-1", "device": format!("gpu-{number}")},
            ]}}},
        });
        self.server.state().claims.insert(format!("default/{name}"), object);
        Claim::new(&name, &uid)
    }
}

/// Prepares one claim; how long that took.
async fn prepare(data: &Connection, claim: Claim) -> Duration {
    let start = Instant::now();
    let answer = calls::prepare(data, DraService::V1, &[claim]).await.expect("an answer");
    let took = start.elapsed();
    assert!(
        answer.claims.values().all(|claim| claim.error.is_empty() && claim.devices.len() == 1),
        "{answer:?}"
    );
    took
}

/// Prepares claims, at most `at_once` at any time; how long each took, in order of that.
async fn prepare_all(data: &Arc<Connection>, claims: &[Claim], at_once: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for claims in claims.chunks(at_once) {
        let mut tasks = tokio::task::JoinSet::new();
        for claim in claims.iter().cloned() {
            let data = Arc::clone(data);
            tasks.spawn(async move { prepare(&data, claim).await });
        }
        times.extend(tasks.join_all().await);
    }
    times.sort();
    times
}

/// The time that all but one in a hundred keep.
fn p99(times: &[Duration]) -> Duration {
    times[(times.len() * 99).div_ceil(100) - 1]
}

/// Prints numbers beside their targets.
#[derive(Default)]
struct Numbers {
    missed: bool,
}

impl Numbers {
    fn line(&mut self, what: &str, found: f64, unit: &str, target: Option<f64>) {
        let missed = target.is_some_and(|target| found >= target);
        self.missed |= missed;
        let target = target.map_or_else(String::new, |target| format!("  target under {target} {unit}"));
        let verdict = if missed { "  MISSED" } else { "" };
        let _ = writeln!(io::stdout().lock(), "{what:66} {found:9.2} {unit}{target}{verdict}");
    }

    fn time(&mut self, what: &str, found: Duration, target: Option<f64>) {
        self.line(what, found.as_secs_f64() * 1000.0, "ms", target);
    }

    fn wipe(&mut self, what: &str, (took, work): (Duration, Duration)) {
        self.time(what, took, Some(1000.0));
        self.time("    processor time of the driver for that", work, None);
    }

    /// Of times, shortest first.
    fn health(&mut self, what: &str, times: &[Duration]) {
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        self.time(&format!("{what}, median of {}", times.len()), median, Some(200.0));
        self.time(&format!("{what}, longest of {}", times.len()), worst, Some(200.0));
    }

    #[expect(clippy::cast_precision_loss, reason = "some thousands of KiB")]
    fn memory(&mut self, what: &str, kibibytes: u64, target: Option<f64>) {
        self.line(what, kibibytes as f64 / 1024.0, "MiB", target);
    }
}

async fn small(numbers: &mut Numbers) {
    let driver = Driver::start(8).await;
    let data = driver.data().await;
    sleep(Duration::from_secs(6)).await;
    numbers.memory("8 devices: resident memory, idle", driver.memory(), Some(15.0));
    numbers.wipe("8 devices: wiped slices are back", driver.wipe().await);
    driver.server.state().faults.pace = SLOW;
    numbers.wipe("8 devices: the same at 5 requests a second", driver.wipe().await);
    numbers.health("8 devices: a fault reaches the stream", &driver.health(&data).await);
}

async fn large(numbers: &mut Numbers) {
    let start = Instant::now();
    let driver = Driver::start(10_000).await;
    numbers.time("10,000 devices: from the start to published slices", start.elapsed(), None);
    sleep(Duration::from_secs(6)).await;
    numbers.memory("10,000 devices: resident memory, idle", driver.memory(), Some(60.0));
    let data = Arc::new(driver.data().await);
    let claims: Vec<Claim> = (0..1000).map(|number| driver.claim(number)).collect();
    let first = prepare_all(&data, &claims, 10).await;
    numbers.time("10,000 devices: 1,000 new claims, 10 at once, p99", p99(&first), None);
    driver.server.state().faults.pace = SLOW;
    let again = prepare_all(&data, &claims, 10).await;
    let what = "the same claims again at 5 requests a second, 10 at once, p99";
    numbers.time(what, p99(&again), Some(50.0));
    let again = prepare_all(&data, &claims, 1000).await;
    numbers.time("the same claims again, all at once, p99", p99(&again), None);
    let mut alone = Vec::new();
    for number in 1000..1050 {
        alone.push(prepare(&data, driver.claim(number)).await.saturating_sub(SLOW));
    }
    alone.sort();
    let what = "50 more claims one by one, without the API server's 200 ms";
    numbers.time(&format!("{what}, median"), alone[alone.len() / 2], None);
    numbers.time(&format!("{what}, p99"), p99(&alone), None);
    driver.server.state().faults.pace = Duration::ZERO;
    sleep(Duration::from_secs(6)).await;
    numbers.memory("10,000 devices, 1,050 claims: resident memory, idle", driver.memory(), Some(60.0));
    numbers.health("10,000 devices: a fault reaches the stream", &driver.health(&data).await);
    for _ in 0..WIPES {
        numbers.wipe("10,000 devices: wiped slices are back", driver.wipe().await);
    }
    sleep(Duration::from_secs(6)).await;
    numbers.memory("10,000 devices: resident memory, after all that", driver.memory(), Some(60.0));
}

fn size(numbers: &mut Numbers, path: &Path) {
    let size = fs::metadata(path).map_or(0, |found| found.len());
    numbers.memory(&format!("size of `{}`", path.display()), size / 1024, Some(15.0));
}

fn main() -> ExitCode {
    // `cargo test --benches` and `cargo bench -- --list` only want to know whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let mut numbers = Numbers::default();
    if let Some(path) = std::env::var_os("DRAYAGE_MEASURED") {
        size(&mut numbers, Path::new(&path));
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        small(&mut numbers).await;
        large(&mut numbers).await;
    });
    if numbers.missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
