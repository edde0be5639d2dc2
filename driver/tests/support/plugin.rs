//! A plugin whose faults are on demand, served over pipes.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use drayage_driver::kubelet::{
    ClaimReference, Failure, Identity, NodePlugin, NodeServer, PreparedDevice, RegistrationState, Stop,
    health::HealthReport, transport::AuthorityStream,
};
use drayage_fake_kubelet::{
    messages::Claim,
    sockets::MemorySockets,
    wire::{Authority, Connection},
};
use tokio::{
    io::DuplexStream,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

/// How long a stop may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
pub(crate) const DRIVER: &str = "gpu.example.com";
pub(crate) const REGISTRY: &str = "/var/lib/kubelet/plugins_registry";
pub(crate) const DATA_PATH: &str = "/var/lib/kubelet/plugins/gpu.example.com/dra.sock";
pub(crate) const REGISTRATION_PATH: &str = "/var/lib/kubelet/plugins_registry/gpu.example.com-reg.sock";

pub(crate) fn claim(name: &str) -> Claim {
    Claim::new(name, &format!("{name}-uid"))
}

/// A plugin with one device for each claim, and faults on demand.
#[derive(Default)]
pub(crate) struct TestPlugin {
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) finished: AtomicUsize,
    pub(crate) at_once: Mutex<BTreeMap<String, usize>>,
    pub(crate) delay: Mutex<Duration>,
    /// Calls fail until then.
    pub(crate) heals: Mutex<Option<Instant>>,
    pub(crate) refuse: Mutex<Option<String>>,
    pub(crate) panic: Mutex<bool>,
    pub(crate) share: Mutex<bool>,
}

impl TestPlugin {
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("no panic").clone()
    }

    async fn work(&self, what: &str, claim: &ClaimReference) -> Result<(), Failure> {
        self.calls.lock().expect("no panic").push(format!("{what} {}", claim.name));
        {
            let mut at_once = self.at_once.lock().expect("no panic");
            let count = at_once.entry(claim.uid.clone()).or_default();
            *count += 1;
            assert_eq!(*count, 1, "two operations on one claim at a time");
        }
        let delay = *self.delay.lock().expect("no panic");
        sleep(delay).await;
        self.at_once.lock().expect("no panic").insert(claim.uid.clone(), 0);
        self.finished.fetch_add(1, Ordering::SeqCst);
        assert!(!std::mem::take(&mut *self.panic.lock().expect("no panic")), "asked to panic");
        if let Some(message) = self.refuse.lock().expect("no panic").clone() {
            return Err(Failure::Permanent(message));
        }
        match *self.heals.lock().expect("no panic") {
            Some(heals) if Instant::now() < heals => Err(Failure::Transient("not ready yet".to_owned())),
            _ => Ok(()),
        }
    }
}

impl NodePlugin for TestPlugin {
    async fn prepare(&self, claim: &ClaimReference) -> Result<Vec<PreparedDevice>, Failure> {
        self.work("prepare", claim).await?;
        Ok(vec![PreparedDevice {
            request_names: vec!["gpu".to_owned()],
            pool_name: "node-1".to_owned(),
            device_name: format!("device-of-{}", claim.name),
            cdi_device_ids: vec![format!("k8s.gpu.example.com/claim={}-0", claim.uid)],
            share_id: self.share.lock().expect("no panic").then(|| "share".to_owned()),
            other: serde_json::Map::new(),
        }])
    }

    async fn unprepare(&self, claim: &ClaimReference) -> Result<(), Failure> {
        self.work("unprepare", claim).await
    }
}

/// A server of all services, reached over pipes.
pub(crate) struct Node<P> {
    pub(crate) plugin: Arc<P>,
    pub(crate) reports: watch::Sender<HealthReport>,
    pub(crate) connect: mpsc::Sender<io::Result<AuthorityPipe>>,
    pub(crate) stop: Stop,
    pub(crate) serving: JoinHandle<io::Result<usize>>,
    pub(crate) state: watch::Receiver<RegistrationState>,
    /// Whether new connections are left alone.
    pub(crate) hangs: Arc<AtomicBool>,
}

/// The pipe with what tonic wants of a connection.
pub(crate) type AuthorityPipe = AuthorityStream<DuplexStream>;

pub(crate) fn identity() -> Identity {
    Identity { driver: DRIVER.to_owned(), endpoint: DATA_PATH.to_owned(), health: true }
}

impl Node<TestPlugin> {
    pub(crate) fn start() -> Self {
        Self::of(Arc::new(TestPlugin::default()), identity())
    }
}

impl<P: NodePlugin> Node<P> {
    pub(crate) fn of(plugin: Arc<P>, identity: Identity) -> Self {
        let (reports, receiver) = watch::channel(Vec::new());
        let (connect, connections) = mpsc::channel(8);
        let (sender, state) = watch::channel(RegistrationState::default());
        let server = NodeServer::new(Arc::clone(&plugin), receiver).with_registration(identity, sender);
        let stop = server.stop_handle();
        let serving = tokio::spawn(async move {
            server.serve_connections(ReceiverStream::new(connections), PATIENCE).await
        });
        Self { plugin, reports, connect, stop, serving, state, hangs: Arc::default() }
    }

    pub(crate) async fn dial(&self, authority: Authority) -> Connection {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        assert!(self.connect.send(Ok(AuthorityStream::new(theirs))).await.is_ok());
        Connection::open(ours, DATA_PATH, authority).await
    }

    /// Listens on a path among the sockets of a node. Aborting that ends the connections as well.
    pub(crate) fn listen(&self, sockets: &MemorySockets, path: &Path) -> JoinHandle<()> {
        let (mut connections, connect) = (sockets.bind(path), self.connect.clone());
        let hangs = Arc::clone(&self.hangs);
        tokio::spawn(async move {
            let mut relays = JoinSet::new();
            let mut alone = Vec::new();
            while let Some(mut outer) = connections.recv().await {
                if hangs.load(Ordering::SeqCst) {
                    alone.push(outer);
                    continue;
                }
                let (mut inner, served) = tokio::io::duplex(64 * 1024);
                if connect.send(Ok(AuthorityStream::new(served))).await.is_err() {
                    return;
                }
                relays.spawn(async move {
                    // Either end may close at any time.
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        })
    }
}
