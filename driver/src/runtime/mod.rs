//! A whole driver: sockets, records, devices, health, slices, HTTP, in the order that start and stop need.

mod announce;
mod collection;
mod faults;
mod http;
mod monitor;
mod probes;

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle, spawn_blocking},
    time::sleep,
};

use crate::{
    cdi::CdiDirectory,
    claims::{CdiFiles, Claims, Configuration, KubeletCheckpoint, OpenError, Problem, RecoverySource},
    devices::{DeviceSource, FaultyDevices},
    files::HostFileSystem,
    guard::Guard,
    health::{HealthRules, TaintRules},
    kubelet::{
        Identity, NodeServer, Registrar, RegistrationState,
        sockets::{Socket, SocketError, SocketPaths, is_registration_of, reap_stale},
    },
    metrics::{Measured, Metrics},
    node::{ClaimReader, Node},
    publish::{Controller, SliceApi, publish},
};

pub use announce::Announcement;
pub use faults::{FaultError, FaultMessage, tell_faults};

use announce::Announced;

/// Any source, with faults on purpose.
pub(crate) type Source = Arc<FaultyDevices<Box<dyn DeviceSource>>>;
type Records = Claims<HostFileSystem, Source>;

/// How a driver runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the driver.
    pub driver: String,
    /// Name of the node.
    pub node: String,
    /// UID of the driver's pod, for a rolling update with two instances.
    pub pod_uid: Option<String>,
    /// The kubelet's directory, usually `/var/lib/kubelet`.
    pub kubelet: PathBuf,
    /// Directory of CDI files, usually `/var/run/cdi`.
    pub cdi: PathBuf,
    /// Socket that takes faults on purpose; see [`tell_faults`].
    pub fault_socket: Option<PathBuf>,
    /// Where HTTP is served: health and metrics.
    pub http: Option<SocketAddr>,
    /// Where `grpc.health.v1` is served.
    pub probes: Option<SocketAddr>,
    /// Between two looks at the devices.
    pub interval: Duration,
    /// Between two looks for claims that vanished; one that was gone twice is unprepared.
    pub collection: Duration,
    /// Longest time that stopping may take.
    pub patience: Duration,
    /// How observations become health.
    pub health: HealthRules,
    /// How health becomes taints.
    pub taints: TaintRules,
}

/// A driver that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The records cannot be kept.
    #[error(transparent)]
    Records(#[from] OpenError),
    /// Something of the operating system.
    #[error("cannot use {what}: {error}")]
    Io {
        /// What it is about.
        what: String,
        /// What the operating system says.
        error: io::Error,
    },
    /// A part of the driver panicked.
    #[error("a part of the driver stopped unexpectedly: {0}")]
    Stopped(#[from] JoinError),
}

/// What a driver needs of the cluster.
#[derive(Debug)]
pub struct Cluster<R, A> {
    /// Where claims are read.
    pub claims: R,
    /// Where slices are kept, if they are.
    pub slices: Option<Arc<A>>,
    /// Who tells users of trouble with claims, if somebody does.
    pub announcements: Option<mpsc::Sender<Announcement>>,
}

/// How important a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What happens.
    Info,
    /// What a person should look at.
    Warning,
}

/// Where messages go: level, text, and fields.
pub type Log = Arc<dyn Fn(Level, &str, &[(&str, &str)]) + Send + Sync>;

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> RunError {
    |error| RunError::Io { what: what.into(), error }
}

/// The current boot of this machine; empty where the kernel does not tell.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl Settings {
    /// Where the sockets of the driver are.
    ///
    /// # Errors
    ///
    /// See [`SocketPaths::new`].
    pub fn sockets(&self) -> Result<SocketPaths, SocketError> {
        let kubelet = &self.kubelet;
        let (plugins, registry) = (kubelet.join("plugins"), kubelet.join("plugins_registry"));
        SocketPaths::new(&plugins, &registry, &self.driver, self.pod_uid.as_deref())
    }

    /// What the kubelet remembers of this driver's claims.
    fn checkpoint(&self) -> KubeletCheckpoint<HostFileSystem> {
        KubeletCheckpoint::new(HostFileSystem, self.kubelet.join("dra_manager_state"), &self.driver)
    }

    fn open(&self, source: &Source, guard: &Arc<Guard>) -> Result<(Records, Vec<Problem>), OpenError> {
        let cdi = CdiDirectory::new(&self.cdi, &self.driver);
        let kubelet = self.checkpoint();
        let files = CdiFiles::new(HostFileSystem, cdi.clone());
        let sources: [&dyn RecoverySource; 2] = [&kubelet, &files];
        let configuration = Configuration {
            directory: self.kubelet.join("plugins").join(&self.driver).join("claims"),
            cdi,
            boot_id: boot_id(),
        };
        let (claims, problems) = Claims::open(HostFileSystem, Arc::clone(source), configuration, &sources)?;
        Ok((claims.with_guard(Arc::clone(guard) as _), problems))
    }
}

/// Runs a driver until `stop` is true. Records are recovered and CDI files written first, then the data socket is
/// served, then the registration socket; slices are published when the kubelet has registered the driver. At the end
/// the order is the reverse, within [`Settings::patience`]; slices stay for a successor.
///
/// # Errors
///
/// See [`RunError`].
pub async fn run<R, A>(
    settings: Settings,
    source: FaultyDevices<Box<dyn DeviceSource>>,
    cluster: Cluster<R, A>,
    mut stop: watch::Receiver<bool>,
    log: Log,
) -> Result<(), RunError>
where
    R: ClaimReader,
    A: SliceApi,
{
    let paths = settings.sockets()?;
    for path in [&paths.data, &paths.registration] {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(format!("`{}`", folder.display())))?;
            let ours = |name: &str| is_registration_of(&settings.driver, name);
            for reaped in reap_stale(folder, ours).unwrap_or_default() {
                log(
                    Level::Info,
                    "removed a socket of an instance that is gone",
                    &[("path", &reaped.display().to_string())],
                );
            }
        }
    }
    if paths.shortened {
        log(Level::Info, "socket paths were shortened", &[("data", &paths.data.display().to_string())]);
    }
    let source: Source = Arc::new(source);
    let guard = Arc::new(Guard::new(&settings.driver, &settings.node));
    let node = Arc::new(Node::new(&settings.driver, cluster.claims));
    let metrics = Arc::new(Metrics::default());
    // The devices are known before the first claim comes.
    if let Ok(pools) = source.pools() {
        let _ = guard.set_pools(&pools);
    }
    let opened = node.open(|| settings.open(&source, &guard))?;
    let waiting = opened.is_none();
    tell(&log, opened);
    let data = Socket::bind(&paths.data)?;
    let (reports, report_receiver) = watch::channel(Vec::new());
    let announced = Announced::new(Arc::clone(&node), cluster.announcements);
    let measured = Arc::new(Measured::new(Arc::new(announced), Arc::clone(&metrics)));
    let server = NodeServer::new(measured, report_receiver);
    let stop_server = server.stop_handle();
    let patience = settings.patience;
    let mut serving = tokio::spawn(async move { server.serve(&data, patience).await });
    let identity = Identity {
        driver: settings.driver.clone(),
        endpoint: paths.data.display().to_string(),
        health: true,
    };
    let registration = Socket::bind(&paths.registration)?;
    let mut registrar = Registrar::start(identity, registration).map_err(failed("a thread"))?;
    let state = registrar.state();
    log(
        Level::Info,
        "serving",
        &[("driver", &settings.driver), ("endpoint", &paths.data.display().to_string())],
    );

    let mut parts = tokio::task::JoinSet::new();
    if waiting {
        log(Level::Info, "another instance has the records; calls wait for it to go", &[]);
        let (node, source, guard, log) =
            (Arc::clone(&node), Arc::clone(&source), Arc::clone(&guard), Arc::clone(&log));
        let settings = settings.clone();
        parts.spawn(async move {
            loop {
                sleep(Duration::from_millis(200)).await;
                let (node, source, guard, settings) =
                    (Arc::clone(&node), Arc::clone(&source), Arc::clone(&guard), settings.clone());
                let opened = spawn_blocking(move || node.open(|| settings.open(&source, &guard))).await;
                match opened {
                    Ok(Ok(Some(problems))) => {
                        log(Level::Info, "the records are here", &[]);
                        return tell(&log, Some(problems));
                    }
                    Ok(Err(error)) => log(Level::Warning, &error.to_string(), &[]),
                    _ => {}
                }
            }
        });
    }
    let checkpoint = settings.checkpoint();
    parts.spawn(collection::run(Arc::clone(&node), checkpoint, settings.collection, Arc::clone(&log)));
    if let Some(path) = &settings.fault_socket {
        let listener = faults::bind(path).map_err(failed(format!("`{}`", path.display())))?;
        log(Level::Warning, "faults can be made on purpose", &[("socket", &path.display().to_string())]);
        parts.spawn(faults::serve(listener, Arc::clone(&source)));
    }
    let (pools, pool_receiver) = watch::channel(None);
    let monitor = monitor::Monitor {
        settings: settings.clone(),
        source,
        guard,
        node: Arc::clone(&node),
        metrics: Arc::clone(&metrics),
        reports,
        pools,
        state: state.clone(),
        log: Arc::clone(&log),
    };
    parts.spawn(monitor.run());
    if let Some(api) = cluster.slices {
        let controller = Controller::new(&settings.driver, &settings.node, true);
        let log = Arc::clone(&log);
        parts.spawn(async move {
            publish(api, controller, pool_receiver, |report| log(Level::Warning, &report.to_string(), &[]))
                .await;
        });
    }
    if let Some(address) = settings.http {
        let state = state.clone();
        let ready = move || *state.borrow() == RegistrationState::Registered;
        let sockets = paths.clone();
        let alive = move || probes::alive(sockets.clone());
        let listener =
            tokio::net::TcpListener::bind(address).await.map_err(failed(format!("`{address}`")))?;
        // With port 0 the system has chosen one.
        let address = listener.local_addr().unwrap_or(address);
        log(Level::Info, "serving HTTP", &[("address", &address.to_string())]);
        let (driver, metrics) = (settings.driver.clone(), Arc::clone(&metrics));
        parts.spawn(http::serve(listener, alive, ready, move || metrics.text(&driver)));
    }

    if let Some(address) = settings.probes {
        let listener =
            tokio::net::TcpListener::bind(address).await.map_err(failed(format!("`{address}`")))?;
        let address = listener.local_addr().unwrap_or(address);
        log(Level::Info, "serving gRPC health", &[("address", &address.to_string())]);
        parts.spawn(probes::serve(listener, paths.clone(), state.clone()));
    }

    let broken = tokio::select! {
        _ = stop.wait_for(|stop| *stop) => None,
        broken = broken(&mut serving, &mut registrar) => Some(broken),
    };
    if let Some(Broken { error, .. }) = &broken {
        log(Level::Warning, &error.to_string(), &[]);
    }
    log(Level::Info, "stopping", &[]);
    stop_server.stop();
    let is_over = broken.as_ref().is_some_and(|broken| broken.over);
    let left = if is_over { 0 } else { serving.await?.map_err(failed("the data socket"))? };
    if left > 0 {
        log(Level::Warning, "claims are still being worked on", &[("claims", &left.to_string())]);
    }
    parts.shutdown().await;
    // Joins a thread that ends within 100 milliseconds.
    registrar.stop();
    metrics.registered.store(0, Ordering::Relaxed);
    node.close();
    log(Level::Info, "stopped", &[]);
    broken.map_or(Ok(()), |broken| Err(broken.error))
}

/// Why a driver ends that nobody has told to stop.
#[derive(Debug)]
struct Broken {
    /// Whether the data socket is not served any more.
    over: bool,
    error: RunError,
}

/// Waits until nobody can connect to one of the sockets any more. A new process makes new ones.
async fn broken(serving: &mut JoinHandle<io::Result<usize>>, registrar: &mut Registrar) -> Broken {
    tokio::select! {
        served = serving => {
            let data = failed("the data socket");
            let error = match served {
                Ok(Ok(_)) => data(io::Error::other("it is not served any more")),
                Ok(Err(error)) => data(error),
                Err(error) => error.into(),
            };
            Broken { over: true, error }
        }
        error = registrar.failure() => Broken { over: false, error: failed("the registration socket")(error) },
    }
}

fn tell(log: &Log, problems: Option<Vec<Problem>>) {
    for Problem { uid, message } in problems.unwrap_or_default() {
        log(Level::Warning, &message, &[("claim", &uid)]);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::kubelet::{ClaimReference, Failure, NodePlugin, PreparedDevice};

    struct Nothing;

    impl NodePlugin for Nothing {
        async fn prepare(&self, _: &ClaimReference) -> Result<Vec<PreparedDevice>, Failure> {
            Ok(Vec::new())
        }

        async fn unprepare(&self, _: &ClaimReference) -> Result<(), Failure> {
            Ok(())
        }
    }

    /// Section 8.5: nobody can connect to a socket any more, and nobody would notice.
    #[tokio::test]
    async fn an_error_in_serving_a_socket_is_reported() {
        for which in [Some("the data socket"), Some("the registration socket"), None] {
            let folder = tempfile::tempdir().expect("a folder");
            let bind = |name: &str| Socket::bind(&folder.path().join(name)).expect("a socket");
            let (mut data, mut registration) = (bind("dra.sock"), bind("gpu-reg.sock"));
            match which {
                Some("the data socket") => data.spoil().expect("a socket"),
                Some(_) => registration.spoil().expect("a socket"),
                None => {}
            }
            let server = NodeServer::new(Arc::new(Nothing), watch::channel(Vec::new()).1);
            let patience = Duration::from_millis(100);
            let mut serving = tokio::spawn(async move { server.serve(&data, patience).await });
            let identity =
                Identity { driver: "gpu".to_owned(), endpoint: "/dra.sock".to_owned(), health: true };
            let mut registrar = Registrar::start(identity, registration).expect("a thread");
            let wait = Duration::from_millis(if which.is_some() { 20_000 } else { 300 });
            let found = timeout(wait, broken(&mut serving, &mut registrar)).await.ok();
            let found = found.map(|found| (found.over, found.error.to_string()));
            let expected = which.map(|which| {
                let error = io::Error::from_raw_os_error(22);
                (which == "the data socket", format!("cannot use {which}: {error}"))
            });
            assert_eq!(found, expected);
        }
    }
}
