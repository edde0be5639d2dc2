//! A running kubelet: it finds plugins, keeps connections and health streams, removes slices, and prepares pods.
//!
//! Everything that waits waits on Tokio's clock, so that a paused clock makes hours pass in milliseconds; see
//! [`MemorySockets`](crate::sockets::MemorySockets). What a kubelet leaves to chance follows from a seed.

mod plugins;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};

use crate::{
    calls,
    claims::{CheckpointError, ClaimCache, Pod, PodError},
    health::{Health, HealthCache, ResourceHealth},
    messages::Claim,
    random::Random,
    release::Release,
    sockets::Sockets,
    wire::CallError,
};

pub use plugins::RegisteredPlugin;
use plugins::{Plugin, Registration};

/// What a kubelet is and how it is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its release.
    pub release: Release,
    /// Where chance comes from: the length of pauses, the order of drivers.
    pub seed: u64,
    /// Whether the gate `ResourceHealthStatus` is on.
    pub health: bool,
    /// Whether registered plugins are asked `GetInfo` again every ten seconds, and given up when they fail twice. No
    /// release up to 1.37.1 does that; it is for drivers that want to be ready for one that does.
    pub checks_registrations: bool,
}

impl Settings {
    /// A kubelet of `release` as it is by default.
    pub fn new(release: Release) -> Self {
        Self { release, seed: 0, health: release >= Release::V1_36, checks_registrations: false }
    }
}

/// Something that happened in a kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A registration socket was tried in vain, for this reason.
    RegistrationFailed(PathBuf, String),
    /// A plugin of a driver was registered.
    Registered(String),
    /// A plugin of a driver is registered no more.
    Deregistered(String),
    /// The connection to a plugin of a driver was made.
    Connected(String),
    /// The connection to a plugin of a driver was lost.
    Disconnected(String),
    /// Slices of the node were removed: all, or those of one driver.
    Wiped(Option<String>),
    /// A health stream of a driver was opened.
    HealthStream(String),
    /// A try to prepare a pod failed. Users see it as an event of the pod.
    PrepareFailed(String, PodError),
    /// A try to unprepare a pod failed. Users see nothing of it.
    UnprepareFailed(String, PodError),
}

/// What became of a pod after one or more tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Errors of the tries that failed.
    pub failures: Vec<PodError>,
    /// Whether the last try succeeded.
    pub done: bool,
    /// From the first try to the end of the last one.
    pub took: Duration,
}

/// Removes the slices of the node: those of a driver, or all.
pub type Wipe = Arc<dyn Fn(Option<&str>) + Send + Sync>;

struct State {
    claims: ClaimCache,
    health: HealthCache,
    random: Random,
    /// In the order of their registration.
    plugins: Vec<Plugin>,
    registrations: BTreeMap<PathBuf, Registration>,
    /// Removals of slices that are due unless the driver comes back.
    wipes: BTreeMap<String, AbortHandle>,
    events: Vec<(Duration, Event)>,
}

struct Shared {
    settings: Settings,
    start: Instant,
    sockets: Arc<dyn Sockets>,
    wipe: Wipe,
    state: Mutex<State>,
}

impl Shared {
    /// Every change is one that cannot fail halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: Event) {
        let at = self.start.elapsed();
        self.state().events.push((at, event));
    }
}

/// A kubelet. It stops when this is dropped.
pub struct Kubelet {
    shared: Arc<Shared>,
    running: AbortHandle,
}

impl fmt::Debug for Kubelet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kubelet").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.running.abort();
        let mut state = self.shared.state();
        for registration in state.registrations.values() {
            registration.abort();
        }
        for wipe in state.wipes.values() {
            wipe.abort();
        }
        // Closes the connections.
        state.plugins.clear();
    }
}

impl Kubelet {
    /// Starts a kubelet that remembers nothing. All slices of the node are removed with `wipe`, as every kubelet does.
    /// Must be called in a Tokio runtime.
    pub fn start(settings: Settings, sockets: Arc<dyn Sockets>, wipe: Wipe) -> Self {
        let claims = ClaimCache::new(settings.release);
        Self::with_claims(settings, sockets, wipe, claims)
    }

    /// Starts a kubelet with the checkpoint of another one.
    ///
    /// # Errors
    ///
    /// A kubelet with such a checkpoint does not start.
    pub fn restart(
        settings: Settings,
        sockets: Arc<dyn Sockets>,
        wipe: Wipe,
        checkpoint: &str,
    ) -> Result<Self, CheckpointError> {
        let claims = ClaimCache::restore(settings.release, checkpoint)?;
        Ok(Self::with_claims(settings, sockets, wipe, claims))
    }

    fn with_claims(settings: Settings, sockets: Arc<dyn Sockets>, wipe: Wipe, claims: ClaimCache) -> Self {
        let state = State {
            claims,
            health: HealthCache::new(settings.release),
            random: Random::new(settings.seed),
            plugins: Vec::new(),
            registrations: BTreeMap::new(),
            wipes: BTreeMap::new(),
            events: Vec::new(),
        };
        let start = Instant::now();
        let shared = Arc::new(Shared { settings, start, sockets, wipe, state: Mutex::new(state) });
        (shared.wipe)(None);
        shared.tell(Event::Wiped(None));
        let running = tokio::spawn(plugins::reconcile(Arc::clone(&shared))).abort_handle();
        Self { shared, running }
    }

    /// Ends the kubelet and returns its checkpoint, for [`Kubelet::restart`] and for a file `dra_manager_state`.
    pub fn stop(self) -> String {
        self.checkpoint()
    }

    /// Content of its checkpoint.
    pub fn checkpoint(&self) -> String {
        self.shared.state().claims.checkpoint()
    }

    /// Time since it started.
    pub fn uptime(&self) -> Duration {
        self.shared.start.elapsed()
    }

    /// What happened so far, each with the time since the start.
    pub fn events(&self) -> Vec<(Duration, Event)> {
        self.shared.state().events.clone()
    }

    /// Times at which events happened that `wanted` accepts.
    pub fn times(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Duration> {
        self.shared.state().events.iter().filter(|(_, event)| wanted(event)).map(|(at, _)| *at).collect()
    }

    /// Plugins that are registered, in the order of their registration.
    pub fn plugins(&self) -> Vec<RegisteredPlugin> {
        self.shared.state().plugins.iter().map(Plugin::seen).collect()
    }

    /// Waits until a plugin of `driver` is registered, and connected where this release stays connected.
    pub async fn ready(&self, driver: &str) {
        let stays = self.shared.settings.release.stays_connected();
        let is_ready = |plugin: &RegisteredPlugin| plugin.driver == driver && (plugin.connected || !stays);
        while !self.plugins().iter().any(is_ready) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// One try to prepare a pod, all or nothing, as for its sandbox.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong. Claims that were prepared by then stay so.
    pub async fn prepare(&self, pod: &Pod) -> Result<(), PodError> {
        let result = self.try_prepare(pod).await;
        if let Err(error) = &result {
            self.shared.tell(Event::PrepareFailed(pod.uid.clone(), error.clone()));
        }
        result
    }

    async fn try_prepare(&self, pod: &Pod) -> Result<(), PodError> {
        let drivers: BTreeSet<&String> = pod.claims.iter().flat_map(|claim| &claim.drivers).collect();
        let batches = {
            let mut state = self.shared.state();
            if let Some(missing) = drivers.into_iter().find(|driver| state.plugin(driver).is_none()) {
                return Err(PodError::NotRegistered(missing.clone()));
            }
            let batches = state.claims.begin_prepare(pod)?;
            state.shuffled(batches.into_iter().collect())
        };
        for (driver, batch) in batches {
            let (connection, service) = plugins::connection(&self.shared, &driver).await?;
            let answer = calls::prepare(&connection, service, &batch).await?;
            self.shared.state().claims.take_answer(&driver, &batch, answer)?;
        }
        self.shared.state().claims.finish_prepare(pod);
        Ok(())
    }

    /// One try to unprepare a pod whose containers have ended.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong.
    pub async fn unprepare(&self, pod: &str) -> Result<(), PodError> {
        let result = self.try_unprepare(pod).await;
        if let Err(error) = &result {
            self.shared.tell(Event::UnprepareFailed(pod.to_owned(), error.clone()));
        }
        result
    }

    async fn try_unprepare(&self, pod: &str) -> Result<(), PodError> {
        let batches = {
            let mut state = self.shared.state();
            let batches = state.claims.begin_unprepare(pod);
            state.shuffled(batches.into_iter().collect())
        };
        for (driver, batch) in batches {
            let (connection, service) = plugins::connection(&self.shared, &driver).await?;
            let answer = calls::unprepare(&connection, service, &batch).await?;
            ClaimCache::check_unprepared(&batch, answer)?;
        }
        self.shared.state().claims.finish_unprepare(pod);
        Ok(())
    }

    /// Tries to prepare a pod up to `tries` times, with the 60 to 90 seconds in between that a failure costs.
    pub async fn run_pod(&self, pod: &Pod, tries: usize) -> Outcome {
        let start = Instant::now();
        let mut failures = Vec::new();
        for number in 0..tries {
            if number > 0 {
                self.pause(60, 31).await;
            }
            match self.prepare(pod).await {
                Ok(()) => return Outcome { failures, done: true, took: start.elapsed() },
                Err(error) => failures.push(error),
            }
        }
        Outcome { failures, done: false, took: start.elapsed() }
    }

    /// Tries to unprepare a pod up to `tries` times, with 11 to 15 seconds in between.
    pub async fn end_pod(&self, pod: &str, tries: usize) -> Outcome {
        let start = Instant::now();
        let mut failures = Vec::new();
        for number in 0..tries {
            if number > 0 {
                self.pause(11, 5).await;
            }
            match self.unprepare(pod).await {
                Ok(()) => return Outcome { failures, done: true, took: start.elapsed() },
                Err(error) => failures.push(error),
            }
        }
        Outcome { failures, done: false, took: start.elapsed() }
    }

    async fn pause(&self, shortest: u64, choices: u64) {
        let seconds = shortest + self.shared.state().random.below(choices);
        sleep(Duration::from_secs(seconds)).await;
    }

    /// One round of the loop that a kubelet has every 60 seconds: pods that have claims here and are not `active` any
    /// more, because they went while the kubelet was down, are unprepared.
    pub async fn reconcile_claims(&self, active: impl Fn(&str) -> bool) -> Vec<(String, PodError)> {
        let pods = self.shared.state().claims.pods();
        let mut failed = Vec::new();
        for pod in pods.into_iter().filter(|pod| !active(pod)) {
            if let Err(error) = self.unprepare(&pod).await {
                failed.push((pod, error));
            }
        }
        failed
    }

    /// Number of claims with devices of a driver: the metric `dra_resource_claims_in_use`.
    pub fn claims_in_use(&self, driver: &str) -> usize {
        self.shared.state().claims.claims_in_use(driver)
    }

    /// The distinct CDI names for a container with a claim, or with one request of it.
    pub fn cdi_devices(&self, claim: &Claim, request: Option<&str>) -> Vec<String> {
        self.shared.state().claims.cdi_devices(&claim.uid, request)
    }

    /// A copy of the cache of claims.
    pub fn claims(&self) -> ClaimCache {
        self.shared.state().claims.clone()
    }

    /// Health of a device, as the next status of a pod would say it.
    pub fn health(&self, driver: &str, pool: &str, device: &str) -> Health {
        let now = self.shared.start.elapsed();
        self.shared.state().health.health(now, driver, pool, device).0
    }

    /// What the status of a pod says of one of its claims.
    pub fn pod_status(&self, pod: &Pod, claim: &str, request: Option<&str>) -> Vec<ResourceHealth> {
        let now = self.shared.start.elapsed();
        let state = self.shared.state();
        state.health.pod_status(now, &state.claims, pod, claim, request)
    }

    /// Pods that have been told of changed health since this was called last.
    pub fn health_updates(&self) -> Vec<BTreeSet<String>> {
        self.shared.state().health.updates()
    }
}

impl State {
    /// The plugin that is called for a driver: the newest that is connected, else the newest.
    fn plugin(&self, driver: &str) -> Option<&Plugin> {
        let of_driver = || self.plugins.iter().rev().filter(|plugin| plugin.driver == driver);
        of_driver().find(|plugin| plugin.is_connected()).or_else(|| of_driver().next())
    }

    /// As the order of a Go map.
    fn shuffled<T>(&mut self, mut list: Vec<T>) -> Vec<T> {
        for end in (1..list.len()).rev() {
            let bound = u64::try_from(end).unwrap_or(u64::MAX).saturating_add(1);
            let other = usize::try_from(self.random.below(bound)).unwrap_or(end);
            list.swap(end, other);
        }
        list
    }
}

impl From<std::io::Error> for PodError {
    fn from(_: std::io::Error) -> Self {
        Self::Call(CallError::ConnectionLost)
    }
}
