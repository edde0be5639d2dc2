//! A node in virtual time: a fake kubelet, sockets that are pipes, and plugins behind them.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use drayage_driver::{
    cdi::{CdiDirectory, ContainerEdits, DeviceNode},
    claims::{AllocatedDevice, Claims, Configuration, Devices, HeldDevice},
    files::FileSystem as _,
    kubelet::{ClaimReference, Failure, NodePlugin},
    node::{ClaimReader, Node as ClaimNode, ReadError},
};
use drayage_fake_kubelet::{
    claims::Pod,
    kubelet::{Event, Kubelet, Settings},
    messages::Claim,
    release::Release,
    sockets::MemorySockets,
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};

use crate::support::{
    disk::Disk,
    plugin::{DATA_PATH, DRIVER, Node, REGISTRATION_PATH, REGISTRY, TestPlugin, identity},
    runtime,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
const STATE: &str = "/var/lib/kubelet/plugins/gpu.example.com/claims";
const CDI: &str = "/var/run/cdi";

pub(crate) fn sockets() -> MemorySockets {
    MemorySockets::new(Path::new(REGISTRY))
}

/// A kubelet with the health gate on.
pub(crate) fn settings(release: Release) -> Settings {
    Settings { health: true, ..Settings::new(release) }
}

pub(crate) fn kubelet(release: Release, sockets: &MemorySockets) -> Kubelet {
    Kubelet::start(settings(release), Arc::new(sockets.clone()), Arc::new(|_| {}))
}

/// The kubelet that comes after another one ended.
pub(crate) fn restart(kubelet: Kubelet, release: Release, sockets: &MemorySockets) -> Kubelet {
    let checkpoint = kubelet.stop();
    Kubelet::restart(settings(release), Arc::new(sockets.clone()), Arc::new(|_| {}), &checkpoint)
        .expect("a sound checkpoint")
}

pub(crate) fn wiped(kubelet: &Kubelet) -> Vec<Duration> {
    kubelet.times(|event| *event == Event::Wiped(Some(DRIVER.to_owned())))
}

pub(crate) fn registered(kubelet: &Kubelet) -> Vec<Duration> {
    kubelet.times(|event| *event == Event::Registered(DRIVER.to_owned()))
}

pub(crate) fn pod(uid: &str, claims: &[&Claim]) -> Pod {
    claims.iter().fold(Pod::new(uid), |pod, claim| pod.with_claim(claim, &[DRIVER]))
}

/// An instance of a plugin with both of its sockets.
pub(crate) struct Instance<P> {
    pub(crate) node: Node<P>,
    sockets: MemorySockets,
    listeners: Vec<JoinHandle<()>>,
}

impl Instance<TestPlugin> {
    pub(crate) fn start(sockets: &MemorySockets) -> Self {
        Self::of(Arc::new(TestPlugin::default()), sockets)
    }
}

impl<P: NodePlugin> Instance<P> {
    pub(crate) fn of(plugin: Arc<P>, sockets: &MemorySockets) -> Self {
        let node = Node::of(plugin, identity());
        let paths = [DATA_PATH, REGISTRATION_PATH];
        let listeners = paths.iter().map(|path| node.listen(sockets, Path::new(path))).collect();
        Self { node, sockets: sockets.clone(), listeners }
    }

    /// As a process that is killed: connections end, files stay, nobody listens.
    pub(crate) async fn kill(self) -> Arc<P> {
        let plugin = Arc::clone(&self.node.plugin);
        for listener in &self.listeners {
            listener.abort();
        }
        self.node.serving.abort();
        drop(self.node);
        tokio::task::yield_now().await;
        plugin
    }

    /// As a process that hangs: its sockets are there and connections are made, but nobody reads them.
    pub(crate) fn hang(&self) {
        self.node.hangs.store(true, Ordering::SeqCst);
    }

    /// As a driver stops: the stream ends, then the sockets go.
    pub(crate) async fn stop(self) -> Arc<P> {
        let plugin = Arc::clone(&self.node.plugin);
        self.node.stop.stop();
        let left = self.node.serving.await.expect("no panic").expect("served");
        assert_eq!(left, 0, "claims that are still being worked on");
        for path in [DATA_PATH, REGISTRATION_PATH] {
            self.sockets.remove(Path::new(path));
        }
        for listener in &self.listeners {
            listener.abort();
        }
        plugin
    }
}

/// An API server with claims.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    claims: Mutex<BTreeMap<String, Value>>,
    /// Until then every request fails.
    away: Mutex<Option<Instant>>,
    pub(crate) reads: AtomicUsize,
}

impl Objects {
    /// A claim whose allocation has these results.
    pub(crate) fn put(&self, claim: &Claim, results: &Value) {
        let object = json!({
            "metadata": {"name": claim.name, "namespace": claim.namespace, "uid": claim.uid},
            "status": {"allocation": {"devices": {"results": results}}},
        });
        self.put_object(claim, object);
    }

    pub(crate) fn put_object(&self, claim: &Claim, object: Value) {
        self.claims.lock().expect("no panic").insert(claim.name.clone(), object);
    }

    /// A claim with one device of the driver, which is also its name's.
    pub(crate) fn allocate(&self, claim: &Claim, device: &str) {
        self.put(claim, &json!([result("gpu", device)]));
    }

    pub(crate) fn remove(&self, claim: &Claim) {
        self.claims.lock().expect("no panic").remove(&claim.name);
    }

    pub(crate) fn go_away(&self, time: Duration) {
        *self.away.lock().expect("no panic") = Some(Instant::now() + time);
    }
}

pub(crate) fn result(request: &str, device: &str) -> Value {
    json!({"request": request, "driver": DRIVER, "pool": "node-1", "device": device})
}

#[derive(Debug)]
pub(crate) struct Reader(pub(crate) Arc<Objects>);

impl ClaimReader for Reader {
    fn claim(&self, claim: &ClaimReference) -> Result<Value, ReadError> {
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        if self.0.away.lock().expect("no panic").is_some_and(|back| Instant::now() < back) {
            return Err(ReadError::Unavailable("the API server is away".to_owned()));
        }
        self.0.claims.lock().expect("no panic").get(&claim.name).cloned().ok_or(ReadError::Gone)
    }
}

/// Devices that are a node in `/dev`, but for those that are called `bare`, which need nothing.
pub(crate) struct Nodes;

impl Devices for Nodes {
    fn edits(&self, _: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let path = format!("/dev/{}", device.device);
        let node = DeviceNode { path, host_path: Some("/dev/null".to_owned()), permissions: None };
        let device_nodes = if device.device.starts_with("bare") { Vec::new() } else { vec![node] };
        Ok(ContainerEdits { device_nodes, ..ContainerEdits::default() })
    }

    fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }
}

pub(crate) type Driver = ClaimNode<&'static Disk, Nodes, Reader>;

/// A machine with a disk and an API server, for the whole driver behind the sockets.
pub(crate) struct Machine {
    pub(crate) disk: &'static Disk,
    pub(crate) objects: Arc<Objects>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { disk: Box::leak(Box::new(Disk::new(7, Path::new(CDI)))), objects: Arc::default() }
    }

    /// A driver that has no records yet.
    pub(crate) fn waiting(&self) -> Arc<Driver> {
        Arc::new(ClaimNode::new(DRIVER, Reader(Arc::clone(&self.objects))))
    }

    pub(crate) fn open(&self, driver: &Driver, boot: &str) -> bool {
        let configuration = Configuration {
            directory: STATE.into(),
            cdi: CdiDirectory::new(Path::new(CDI), DRIVER),
            boot_id: boot.to_owned(),
        };
        let opened = driver.open(|| Claims::open(self.disk, Nodes, configuration, &[])).expect("a start");
        opened.is_some()
    }

    pub(crate) fn driver(&self) -> Arc<Driver> {
        let driver = self.waiting();
        assert!(self.open(&driver, "boot"));
        driver
    }

    /// What a container runtime can resolve.
    pub(crate) fn resolvable(&self) -> Vec<String> {
        runtime::resolvable(&self.disk, Path::new(CDI)).into_iter().collect()
    }

    pub(crate) fn has_record(&self, claim: &Claim) -> bool {
        self.disk.read(&Path::new(STATE).join(format!("{}.claim", claim.uid))).is_ok()
    }

    pub(crate) fn cdi_files(&self) -> Vec<std::path::PathBuf> {
        self.disk.files(Path::new(CDI))
    }
}
