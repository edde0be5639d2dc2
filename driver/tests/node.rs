//! One node's whole way, over real sockets and files: a kubelet registers the plugin, asks for a claim, and the
//! container runtime finds the CDI device.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use drayage_driver::{
    cdi::CdiDirectory,
    claims::{CdiFiles, Claims, Configuration, OpenError, Problem},
    devices::FakeDevices,
    files::HostFileSystem,
    kubelet::{Identity, NodeServer, RegistrationState, Stop, health::HealthReport, sockets::Socket},
    node::{ClaimFiles, ClaimReader, Node},
};
use drayage_fake_kubelet::{
    calls::get_info,
    claims::PodError,
    messages::Claim,
    release::Release,
    session::Session,
    wire::{Authority, Connection},
};
use serde_json::json;
use support::runtime;
use tempfile::TempDir;
use tokio::{net::UnixStream, sync::watch, task::JoinHandle, time::sleep};

const DRIVER: &str = "gpu.example.com";
const INVENTORY: &str = "
apiVersion: drayage.dev/v1alpha1
kind: DeviceInventory
metadata: {name: fake}
spec:
  pools:
  - devices:
    - name: gpu-{index}
      count: 2
      container:
        env: {GPU: '{index}'}
        deviceNodes: [{path: '/dev/gpu{index}'}]
";

type FakeNode = Node<HostFileSystem, FakeDevices, ClaimFiles>;

/// The folders of a machine.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().expect("a folder"));
        for folder in ["claims", "run/cdi", "plugins"] {
            fs::create_dir_all(machine.at(folder)).expect("a folder");
        }
        fs::write(machine.at("inventory.yaml"), INVENTORY).expect("a file");
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// As the scheduler leaves a claim.
    fn allocate(&self, name: &str, uid: &str, device: &str) -> Claim {
        let object = json!({
            "metadata": {"namespace": "default", "name": name, "uid": uid},
            "status": {"allocation": {"devices": {"results": [
                {"request": "gpu", "driver": DRIVER, "pool": "node-1", "device": device},
            ]}}},
        });
        fs::write(self.at(&format!("claims/default_{name}.json")), object.to_string()).expect("a file");
        Claim::new(name, uid)
    }

    fn cdi(&self) -> CdiDirectory {
        CdiDirectory::new(&self.at("run/cdi"), DRIVER)
    }

    fn open(&self) -> Result<(Claims<HostFileSystem, FakeDevices>, Vec<Problem>), OpenError> {
        let configuration = Configuration {
            directory: self.at("plugins/claims"),
            cdi: self.cdi(),
            boot_id: "boot".to_owned(),
        };
        let devices = FakeDevices::open(&self.at("inventory.yaml"), "node-1").expect("an inventory");
        let files = CdiFiles::new(HostFileSystem, self.cdi());
        Claims::open(HostFileSystem, devices, configuration, &[&files])
    }

    fn resolvable(&self) -> Vec<String> {
        runtime::resolvable(&HostFileSystem, &self.at("run/cdi")).into_iter().collect()
    }
}

/// A running instance.
struct Instance {
    node: Arc<FakeNode>,
    path: PathBuf,
    stop: Stop,
    serving: JoinHandle<()>,
    _reports: watch::Sender<HealthReport>,
}

impl Instance {
    fn start(machine: &Machine, socket: &str) -> Self {
        let node = Arc::new(Node::new(DRIVER, ClaimFiles::new(machine.at("claims"))));
        let path = machine.at(socket);
        let socket = Socket::bind(&path).expect("a socket");
        let (reports, receiver) = watch::channel(Vec::new());
        let (state, _) = watch::channel(RegistrationState::default());
        let identity = Identity { driver: DRIVER.to_owned(), endpoint: String::new(), health: true };
        let server = NodeServer::new(Arc::clone(&node), receiver).with_registration(identity, state);
        let stop = server.stop_handle();
        let serving = tokio::spawn(async move {
            server.serve(&socket, Duration::from_secs(1)).await.expect("served");
        });
        Self { node, path, stop, serving, _reports: reports }
    }

    async fn dial(&self) -> (Connection, Session) {
        let stream = UnixStream::connect(&self.path).await.expect("a connection");
        let path = self.path.display().to_string();
        let connection = Connection::open(stream, &path, Authority::EncodedPath).await;
        let info = get_info(&connection).await.expect("an answer");
        assert_eq!(info.name, DRIVER);
        (connection, Session::new(Release::V1_36, &info.supported_versions).expect("a known version"))
    }

    async fn end(self) {
        self.stop.stop();
        self.serving.await.expect("no panic");
        self.node.close();
    }
}

#[tokio::test]
async fn a_call_of_the_kubelet_becomes_a_cdi_device_and_goes_again() {
    let machine = Machine::new();
    let instance = Instance::start(&machine, "plugins/dra.sock");
    assert_eq!(instance.node.open(|| machine.open()).expect("a start"), Some(Vec::new()));
    let (connection, mut kubelet) = instance.dial().await;
    let claim = machine.allocate("a", "0a", "gpu-1");
    kubelet.prepare_pod(&connection, std::slice::from_ref(&claim)).await.expect("a prepared pod");
    assert_eq!(kubelet.cdi_devices("0a"), ["k8s.gpu.example.com/claim=0a-0-gpu-1"]);
    assert_eq!(machine.resolvable(), kubelet.cdi_devices("0a"));
    let spec = String::from_utf8(machine.cdi().read(&HostFileSystem, "0a").expect("a file")).expect("text");
    assert!(spec.contains("GPU=1") && spec.contains("/dev/gpu1") && spec.contains("/dev/null"), "{spec}");
    // The kubelet has restarted, and the claim object cannot be read: the answer is the same.
    fs::remove_file(machine.at("claims/default_a.json")).expect("the file");
    kubelet.restart();
    kubelet.prepare_pod(&connection, std::slice::from_ref(&claim)).await.expect("prepared again");
    assert_eq!(machine.resolvable(), kubelet.cdi_devices("0a"));
    kubelet.unprepare_pod(&connection, &[claim]).await.expect("an unprepared pod");
    assert!(machine.resolvable().is_empty());
    assert!(instance.node.claims().expect("open").records().is_empty());
    instance.end().await;
}

#[tokio::test]
async fn a_claim_that_is_gone_or_wrong_is_refused_in_words() {
    let machine = Machine::new();
    let instance = Instance::start(&machine, "plugins/dra.sock");
    instance.node.open(|| machine.open()).expect("a start");
    let (connection, mut kubelet) = instance.dial().await;
    let gone = kubelet.prepare_pod(&connection, &[Claim::new("gone", "0b")]).await;
    assert_eq!(gone, Err(PodError::Claim("claim `default/gone` does not exist any more".to_owned())));
    machine.allocate("a", "0a", "gpu-0");
    let replaced = kubelet.prepare_pod(&connection, &[Claim::new("a", "0c")]).await;
    assert!(matches!(&replaced, Err(PodError::Claim(text)) if text.contains("was replaced")), "{replaced:?}");
    instance.end().await;
}

/// A rolling update: the new instance is registered while the old one still has the records. A pod that reaches the
/// new one waits inside its call and does not lose 75 seconds.
#[tokio::test]
async fn a_pod_that_comes_during_a_rolling_update_only_waits() {
    let machine = Machine::new();
    let old = Instance::start(&machine, "plugins/old.sock");
    assert!(old.node.open(|| machine.open()).expect("a start").is_some());
    let (connection, mut kubelet) = old.dial().await;
    let first = machine.allocate("a", "0a", "gpu-0");
    kubelet.prepare_pod(&connection, std::slice::from_ref(&first)).await.expect("prepared");
    let new = Instance::start(&machine, "plugins/new.sock");
    assert_eq!(new.node.open(|| machine.open()).expect("no error"), None, "the old one has the records");
    let (connection, mut kubelet) = new.dial().await;
    let second = machine.allocate("b", "0b", "gpu-1");
    let claims = [first, second];
    let (pod, ()) = tokio::join!(kubelet.prepare_pod(&connection, &claims), async {
        sleep(Duration::from_millis(200)).await;
        old.end().await;
        assert_eq!(new.node.open(|| machine.open()).expect("a start"), Some(Vec::new()));
    });
    assert_eq!(pod, Ok(()));
    assert_eq!(kubelet.cdi_devices("0a"), ["k8s.gpu.example.com/claim=0a-0-gpu-0"], "the old one's answer");
    assert_eq!(machine.resolvable().len(), 2);
    new.end().await;
}

#[test]
fn folders_of_claims_do_not_lead_elsewhere() {
    let machine = Machine::new();
    fs::write(machine.at("secret.json"), "{}").expect("a file");
    let node = ClaimFiles::new(machine.at("claims"));
    let claim = |namespace: &str, name: &str| drayage_driver::kubelet::ClaimReference {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: "0a".to_owned(),
    };
    for claim in [claim("..", "/../secret"), claim("", "a"), claim("a_b", "c")] {
        assert!(node.claim(&claim).is_err(), "{claim:?}");
    }
    assert!(Path::new(&machine.at("secret.json")).exists());
}
