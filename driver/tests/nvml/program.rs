//! The driver as a process, with a library that a file describes.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use drayage_allocator::{Features, ProfileName};
use drayage_cluster::{
    Input, LoadOptions,
    lint::{LintOptions, lint},
    load_with_faults,
};
use drayage_fake_kubelet::{
    calls::{get_info, notify, watch_health},
    messages::Claim,
    release::{HEALTH_V1, Release},
    session::Session,
    wire::{Authority, Connection},
};
use drayage_fake_nvml::{Card, FakeEvent, FakeLibrary, Machine, install};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

use crate::slices;

const DATA: &str = "kubelet/plugins/gpu.example.com/dra.sock";
const REGISTRATION: &str = "kubelet/plugins_registry/gpu.example.com-reg.sock";

struct Driver {
    process: Child,
    folder: TempDir,
    library: FakeLibrary,
    messages: Arc<Mutex<String>>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folder(machine: &Machine) -> (TempDir, FakeLibrary) {
    let folder = tempfile::tempdir().expect("a folder");
    for path in ["kubelet", "cdi", "claims", "dev"] {
        fs::create_dir(folder.path().join(path)).expect("a folder");
    }
    for node in ["nvidia0", "nvidiactl", "nvidia-uvm"] {
        fs::write(folder.path().join("dev").join(node), "").expect("a file");
    }
    let library = install(folder.path(), machine, &[]).expect("a library");
    (folder, library)
}

/// Seconds between two looks: so many that no test passes by them.
const INTERVAL: &str = "--interval-seconds=60";

fn command(subcommand: &str, folder: &Path, library: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dray-driver"));
    command.args([subcommand, "--node-name=node-1", "--driver-name=gpu.example.com"]);
    command.arg("--nvml").arg(library);
    for (option, path) in [
        ("--kubelet-directory", "kubelet"),
        ("--cdi-directory", "cdi"),
        ("--host-dev", "dev"),
        ("--claims-from", "claims"),
        ("--slices-to", "slices"),
    ] {
        command.arg(option).arg(folder.join(path));
    }
    command
}

/// Starts a process whose messages are kept.
fn spawn(command: &mut Command, messages: &Arc<Mutex<String>>) -> Child {
    let mut process = command.stderr(Stdio::piped()).spawn().expect("a process");
    let (lines, written) =
        (BufReader::new(process.stderr.take().expect("its messages")), Arc::clone(messages));
    thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            written.lock().expect("no panic").push_str(&(line + "\n"));
        }
    });
    process
}

impl Driver {
    fn start(machine: &Machine) -> Self {
        let (folder, library) = folder(machine);
        let path = library.path().to_owned();
        Self::with(folder, &path, library)
    }

    fn with(folder: TempDir, path: &Path, library: FakeLibrary) -> Self {
        Self::run(command("run", folder.path(), path).arg("--interval-seconds=1"), folder, library)
    }

    fn run(command: &mut Command, folder: TempDir, library: FakeLibrary) -> Self {
        let messages = Arc::new(Mutex::new(String::new()));
        let process = spawn(command, &messages);
        Self { process, folder, library, messages }
    }

    /// Ends the process at once and starts it anew.
    fn kill_and_run(&mut self, command: &mut Command) {
        self.process.kill().expect("killed");
        self.process.wait().expect("its end");
        self.process = spawn(command, &self.messages);
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    async fn dial(&self, path: &str) -> Connection {
        let path = self.at(path);
        loop {
            if let Ok(stream) = UnixStream::connect(&path).await {
                return Connection::open(stream, &path.display().to_string(), Authority::Localhost).await;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether so many devices are published, in all slices of the pool: several are written at once.
    fn has_published(&self, devices: usize) -> bool {
        let slices = self.slices();
        let is_complete = |slice: &Value| slice["spec"]["pool"]["resourceSliceCount"] == slices.len();
        slices.iter().all(is_complete) && self.devices().len() == devices
    }

    fn slices(&self) -> Vec<Value> {
        slices::in_folder(&self.at("slices"))
    }

    fn devices(&self) -> Vec<Value> {
        slices::devices(&self.at("slices"))
    }

    fn said(&self, text: &str) -> bool {
        self.messages.lock().expect("no panic").contains(text)
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            while !condition(self) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(Duration::from_mins(1), wait).await;
        waited.unwrap_or_else(|_| panic!("{what}: {}", self.messages.lock().expect("no panic")));
    }

    async fn registered(&self) -> Vec<String> {
        let registration = self.dial(REGISTRATION).await;
        let info = get_info(&registration).await.expect("an answer");
        notify(&registration, None).await.expect("an answer");
        info.supported_versions
    }

    /// Gives a device to the claim `a`.
    fn allocate(&self, device: &str) -> Claim {
        let object = json!({
            "metadata": {"uid": "0a"},
            "status": {"allocation": {"devices": {"results": [
                {"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": device},
            ]}}},
        });
        fs::write(self.at("claims/default_a.json"), object.to_string()).expect("a file");
        Claim::new("a", "0a")
    }
}

/// What `dray lint` has to say of objects.
fn findings(objects: &[Value]) -> Vec<String> {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "uid": "1"}});
    let class = json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": "gpu"},
        "spec": {"selectors": [{"cel": {"expression": "device.driver == \"gpu.example.com\""}}]},
    });
    let input = |(number, object): (usize, &Value)| Input::Bytes {
        name: format!("{number}.json"),
        bytes: object.to_string().into_bytes(),
    };
    let inputs: Vec<Input> = objects.iter().chain([&node, &class]).enumerate().map(input).collect();
    let (snapshot, errors) = load_with_faults(&inputs, LoadOptions::default());
    let profile: ProfileName = "1.37".parse().expect("a release");
    let features = Features::for_release(profile.release());
    let options = LintOptions {
        profile,
        features,
        list_type_attributes: features.list_type_attributes,
        taint_rules: true,
        step_budget: 1_000_000,
    };
    let report = lint(&snapshot, &errors, options);
    report.findings.iter().map(|finding| format!("{}: {}", finding.rule.code, finding.message)).collect()
}

#[tokio::test]
async fn a_critical_error_reaches_the_kubelet_and_the_slice() {
    let mut machine = Machine::with_cards(2);
    machine.cards[1] = Card::hopper(1).divided(&["4g.40gb", "3g.40gb"]);
    let (folder, library) = folder(&machine);
    let mut command = command("run", folder.path(), library.path());
    let driver = Driver::run(command.arg(INTERVAL), folder, library);
    driver.registered().await;
    driver.until("published", |driver| driver.has_published(3)).await;
    assert_eq!(findings(&driver.slices()), Vec::<String>::new(), "dray lint finds nothing");
    let data = driver.dial(DATA).await;
    let mut stream = watch_health(&data, HEALTH_V1).await;
    let works = async {
        loop {
            let report = stream.next().await.expect("no error").expect("a report");
            if report.devices.iter().all(|device| device.health == 1) {
                return report.devices.len();
            }
        }
    };
    assert_eq!(timeout(Duration::from_secs(30), works).await.expect("all work"), 3);
    machine.events.push(FakeEvent { card: 0, event_type: 8, data: 79, instance: None });
    driver.library.describe(&machine).expect("described");
    let unhealthy = async {
        loop {
            let report = stream.next().await.expect("no error").expect("a report");
            if let Some(device) = report.devices.into_iter().find(|device| device.health == 2) {
                return device;
            }
        }
    };
    // Long before the next look.
    let told = timeout(Duration::from_secs(30), unhealthy).await.expect("the kubelet hears of it");
    assert!(told.message.contains("critical error XID 79"), "{told:?}");
    driver
        .until("tainted", |driver| driver.devices().iter().any(|device| device.get("taints").is_some()))
        .await;
    let devices = driver.devices();
    let tainted: Vec<&Value> = devices.iter().filter(|device| device.get("taints").is_some()).collect();
    assert_eq!(tainted.len(), 1, "the other card works");
    assert_eq!(tainted[0]["name"], "gpu-0000-1a-00-0");
    assert_eq!(tainted[0]["taints"][0]["key"], "gpu.example.com/health");
}

#[tokio::test]
async fn a_library_that_hangs_keeps_nobody_waiting() {
    let mut machine = Machine::with_cards(1);
    let driver = Driver::start(&machine);
    let versions = driver.registered().await;
    driver.until("published", |driver| driver.devices().len() == 1).await;
    for function in ["nvmlDeviceGetCount_v2", "nvmlEventSetWait_v2", "nvmlDeviceGetUUID"] {
        machine.milliseconds.insert(function.to_owned(), 3_600_000);
    }
    driver.library.describe(&machine).expect("described");
    // Within two intervals the next look hangs.
    sleep(Duration::from_secs(2)).await;
    let claim = driver.allocate("gpu-0000-1a-00-0");
    let data = driver.dial(DATA).await;
    let mut kubelet = Session::new(Release::V1_36, &versions).expect("a known version");
    // Both have the kubelet's deadlines.
    kubelet.prepare_pod(&data, std::slice::from_ref(&claim)).await.expect("a prepared pod");
    get_info(&driver.dial(REGISTRATION).await).await.expect("an answer");
    let mut found = fs::read_dir(driver.at("cdi")).expect("a folder").flatten();
    let text = fs::read_to_string(found.next().expect("a CDI file").path()).expect("text");
    assert!(text.contains("/dev/nvidia0") && text.contains("NVIDIA_VISIBLE_DEVICES=void"), "{text}");
    kubelet.unprepare_pod(&data, &[claim]).await.expect("an unprepared pod");
}

/// A command that makes MIG devices for claims.
fn dividing(subcommand: &str, folder: &Path, library: &Path) -> Command {
    let mut command = command(subcommand, folder, library);
    command.args([INTERVAL, "--mig-devices=dynamic"]).arg("--host-proc").arg(folder.join("proc"));
    command
}

#[tokio::test]
async fn a_mig_device_is_made_for_a_pod_and_removed_after_it_also_around_a_kill() {
    let mut machine = Machine { cards: vec![Card::hopper(0).partitionable()], ..Machine::with_cards(0) };
    let (folder, library) = folder(&machine);
    machine.root = Some(folder.path().to_owned());
    machine.milliseconds.insert("nvmlGpuInstanceCreateComputeInstance".to_owned(), 3_600_000);
    library.describe(&machine).expect("described");
    let mut command = dividing("run", folder.path(), library.path());
    let mut driver = Driver::run(&mut command, folder, library);
    let versions = driver.registered().await;
    driver.until("published", |driver| driver.has_published(25)).await;
    assert_eq!(findings(&driver.slices()), Vec::<String>::new(), "dray lint finds nothing");
    let claim = driver.allocate("gpu-0000-1a-00-0-mig-3g-40gb-at-4");
    let mut kubelet = Session::new(Release::V1_36, &versions).expect("a known version");
    let data = driver.dial(DATA).await;
    // It ends between the GPU instance and the compute instance.
    tokio::select! {
        _ = kubelet.prepare_pod(&data, std::slice::from_ref(&claim)) => panic!("the call hangs"),
        () = driver.until("half of it", |driver| !driver.library.instances().instances.is_empty()) => {}
    }
    machine.milliseconds.clear();
    driver.library.describe(&machine).expect("described");
    driver.kill_and_run(&mut command);
    driver.registered().await;
    let data = driver.dial(DATA).await;
    kubelet.prepare_pod(&data, std::slice::from_ref(&claim)).await.expect("a prepared pod");
    let there = driver.library.instances();
    assert_eq!((there.made, there.instances.len(), there.instances[0].compute.len()), (1, 1, 1));
    let mut found = fs::read_dir(driver.at("cdi")).expect("a folder").flatten();
    let text = fs::read_to_string(found.next().expect("a CDI file").path()).expect("text");
    let first = 3 + there.instances[0].id * 9;
    for node in [first, first + 1].map(|number| format!("/dev/nvidia-caps/nvidia-cap{number}\"")) {
        assert!(text.contains(&node), "{node}: {text}");
    }
    driver.kill_and_run(&mut command);
    driver.registered().await;
    let data = driver.dial(DATA).await;
    kubelet.unprepare_pod(&data, &[claim]).await.expect("an unprepared pod");
    assert_eq!(driver.library.instances().instances, []);
}

#[tokio::test]
async fn a_node_without_the_library_publishes_an_empty_pool_and_says_why() {
    let (folder, library) = folder(&Machine::with_cards(1));
    let path = folder.path().join("elsewhere/libnvidia-ml.so.1");
    let driver = Driver::with(folder, &path, library);
    driver.registered().await;
    driver.until("an empty slice", |driver| driver.slices().len() == 1).await;
    assert!(driver.devices().is_empty());
    driver.until("the reason", |driver| driver.said("info: there is no library")).await;
    let output = command("doctor", driver.folder.path(), &driver.at("elsewhere/libnvidia-ml.so.1")).output();
    let text = printed(&output.expect("an end"));
    assert!(text.contains("0 in 1 pools and 1 slices; there is no library"), "{text}");
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn devices_are_printed_for_people_and_for_programs() {
    let mut machine = Machine::with_cards(1);
    machine.cards.push(Card::hopper(1).divided(&["1g.10gb"]));
    let (folder, library) = folder(&machine);
    let output = command("devices", folder.path(), library.path()).output().expect("an end");
    assert!(output.status.success(), "{output:?}");
    let text = printed(&output);
    let line = "node-1/gpu-0000-1a-00-0  Healthy  NVIDIA H100 80GB HBM3, GPU-5ad1c2e0-0000-4000-8000-000000000000, 81559Mi\n";
    assert!(text.starts_with(line), "{text}");
    let output = command("devices", folder.path(), library.path()).arg("--output=json").output();
    let report: Value = serde_json::from_str(&printed(&output.expect("an end"))).expect("JSON");
    assert_eq!(report["kind"], "NodeDevices");
    let device = &report["pools"][0]["devices"][1];
    assert_eq!(device["name"], "gpu-0000-1b-00-0-mig-1g-10gb-1-0");
    assert_eq!(device["attributes"]["profile"]["string"], "1g.10gb");
    assert_eq!(device["health"]["state"], "Healthy");
    machine.cards[1] = Card::hopper(1).partitionable();
    library.describe(&machine).expect("described");
    let output = dividing("devices", folder.path(), library.path()).output().expect("an end");
    let text = printed(&output);
    assert_eq!(text.lines().count(), 26, "{text}");
    assert!(text.contains("node-1/gpu-0000-1b-00-0-mig-1g-10gb-at-6  Healthy"), "{text}");
}

#[test]
fn a_description_may_lie_where_the_environment_says() {
    let (folder, library) = folder(&Machine::with_cards(3));
    let elsewhere = folder.path().join("gpus.json");
    fs::rename(library.path().with_extension("1.json"), &elsewhere).expect("moved");
    let mut command = command("devices", folder.path(), library.path());
    let text = printed(&command.env("DRAYAGE_FAKE_NVML", &elsewhere).output().expect("an end"));
    assert_eq!(text.lines().count(), 3, "{text}");
}
