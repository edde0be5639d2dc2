//! Plugins: from a socket that appears to one that is called, and back.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::{Event, Shared, State};
use crate::{
    calls,
    claims::PodError,
    messages::PluginInfo,
    release::{
        DIAL_DEADLINE, DraService, FIRST_BACK_OFF, HEALTH_RETRY, LONGEST_BACK_OFF, RECONCILE, WIPING_DELAY,
    },
    sockets::Candidates,
    wire::{CallError, Connection, UNIMPLEMENTED},
};

/// Between two checks of a registration, where there are any.
const CHECK: Duration = Duration::from_secs(10);
/// First pause of gRPC between two tries to connect.
const FIRST_CONNECT_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_CONNECT_PAUSE: Duration = Duration::from_mins(2);

/// A plugin that a kubelet has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredPlugin {
    /// Its driver.
    pub driver: String,
    /// Path of its data socket.
    pub endpoint: PathBuf,
    /// The version of the DRA service that was chosen.
    pub service: DraService,
    /// Whether there is a connection.
    pub connected: bool,
}

type Slot = Arc<watch::Sender<Option<Arc<Connection>>>>;

/// A registered plugin with what runs for it.
pub(super) struct Plugin {
    pub(super) driver: String,
    endpoint: PathBuf,
    service: DraService,
    slot: Slot,
    tasks: Vec<AbortHandle>,
}

impl Plugin {
    pub(super) fn is_connected(&self) -> bool {
        self.slot.borrow().is_some()
    }

    pub(super) fn seen(&self) -> RegisteredPlugin {
        RegisteredPlugin {
            driver: self.driver.clone(),
            endpoint: self.endpoint.clone(),
            service: self.service,
            connected: self.is_connected(),
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.slot.send_replace(None);
    }
}

/// What is known of one registration socket. The back-off belongs to the path: it outlives the file.
pub(super) struct Registration {
    /// None once the file is gone.
    identity: Option<u64>,
    /// The last failure, and how long nothing is tried after it.
    failed: Option<(Instant, Duration)>,
    running: Option<AbortHandle>,
    /// Driver and endpoint.
    registered: Option<(String, PathBuf)>,
    checks: Option<AbortHandle>,
}

impl Registration {
    pub(super) fn abort(&self) {
        for task in self.running.iter().chain(&self.checks) {
            task.abort();
        }
    }
}

/// Looks for sockets every second, for ever.
pub(super) async fn reconcile(shared: Arc<Shared>) {
    loop {
        let candidates = shared.sockets.candidates();
        let mut gone = Vec::new();
        {
            let mut state = shared.state();
            for (path, registration) in &mut state.registrations {
                if registration.identity.is_some() && registration.identity != candidates.get(path).copied() {
                    registration.identity = None;
                    gone.extend(registration.registered.take());
                    if let Some(checks) = registration.checks.take() {
                        checks.abort();
                    }
                }
            }
        }
        for (driver, endpoint) in gone {
            deregister(&shared, &driver, &endpoint);
        }
        try_all(&shared, candidates);
        sleep(RECONCILE).await;
    }
}

/// Registers what is there, is not registered, and does not have to wait.
fn try_all(shared: &Arc<Shared>, candidates: Candidates) {
    let mut state = shared.state();
    for (path, identity) in candidates {
        let registration = state.registrations.entry(path.clone()).or_insert_with(|| Registration {
            identity: None,
            failed: None,
            running: None,
            registered: None,
            checks: None,
        });
        registration.identity = Some(identity);
        let waits = registration.failed.is_some_and(|(at, pause)| at.elapsed() <= pause);
        let running = registration.running.as_ref().is_some_and(|task| !task.is_finished());
        if registration.registered.is_none() && !waits && !running {
            let task = tokio::spawn(register(Arc::clone(shared), path));
            registration.running = Some(task.abort_handle());
        }
    }
}

async fn register(shared: Arc<Shared>, path: PathBuf) {
    let result = try_register(&shared, &path).await;
    let mut state = shared.state();
    let State { registrations, .. } = &mut *state;
    let Some(registration) = registrations.get_mut(&path) else { return };
    match result {
        Ok(registered) => {
            registration.failed = None;
            registration.registered = registered;
            if shared.settings.checks_registrations && registration.registered.is_some() {
                registration.checks = Some(tokio::spawn(check(Arc::clone(&shared), path)).abort_handle());
            }
        }
        Err(reason) => {
            let pause =
                registration.failed.map_or(FIRST_BACK_OFF, |(_, pause)| (pause * 2).min(LONGEST_BACK_OFF));
            registration.failed = Some((Instant::now(), pause));
            drop(state);
            shared.tell(Event::RegistrationFailed(path, reason));
        }
    }
}

/// Driver and endpoint of the plugin; none if it was refused in a way that ends without a retry of its own.
async fn try_register(shared: &Arc<Shared>, path: &Path) -> Result<Option<(String, PathBuf)>, String> {
    let release = shared.settings.release;
    let stream = timeout(DIAL_DEADLINE, shared.sockets.connect(path)).await;
    let stream = stream.map_err(|_| "dial: deadline exceeded")?.map_err(|error| format!("dial: {error}"))?;
    let text = path.display().to_string();
    let registration = Connection::open(stream, &text, release.registration_authority()).await;
    let info = calls::get_info(&registration).await.map_err(|error| format!("GetInfo: {error}"))?;
    let refuse = async |reason: String| {
        let told = calls::notify(&registration, Some(&reason)).await;
        told.err().map_or(reason, |error| format!("NotifyRegistrationStatus: {error}"))
    };
    if info.r#type != "DRAPlugin" {
        return Err(refuse(format!("no handler registered for plugin type: {}", info.r#type)).await);
    }
    let Some(service) = release.choose(&info.supported_versions) else {
        let versions = info.supported_versions.join(", ");
        return Err(refuse(format!("none of the versions is supported: {versions}")).await);
    };
    let endpoint = if info.endpoint.is_empty() { path.to_owned() } else { PathBuf::from(&info.endpoint) };
    if !add(shared, &info, &endpoint, service) {
        let reason =
            format!("endpoint {} already registered for DRA driver plugin {}", endpoint.display(), info.name);
        return Err(refuse(reason).await);
    }
    if let Err(error) = calls::notify(&registration, None).await {
        deregister(shared, &info.name, &endpoint);
        return Err(format!("NotifyRegistrationStatus: {error}"));
    }
    Ok(Some((info.name, endpoint)))
}

/// False if the endpoint is taken.
fn add(shared: &Arc<Shared>, info: &PluginInfo, endpoint: &Path, service: DraService) -> bool {
    let release = shared.settings.release;
    let driver = info.name.clone();
    let slot: Slot = Arc::new(watch::Sender::new(None));
    let mut state = shared.state();
    if state.plugins.iter().any(|plugin| plugin.driver == driver && plugin.endpoint == *endpoint) {
        return false;
    }
    let mut tasks = Vec::new();
    if release.stays_connected() {
        let connecting =
            stay_connected(Arc::clone(shared), driver.clone(), endpoint.to_owned(), Arc::clone(&slot));
        tasks.push(tokio::spawn(connecting).abort_handle());
    }
    let health = release.choose_health(&info.supported_versions).filter(|_| shared.settings.health);
    if let Some(method) = health {
        let watching = watch_health(Arc::clone(shared), driver.clone(), method, Arc::clone(&slot));
        tasks.push(tokio::spawn(watching).abort_handle());
    }
    state.plugins.push(Plugin {
        driver: driver.clone(),
        endpoint: endpoint.to_owned(),
        service,
        slot,
        tasks,
    });
    state.events.push((shared.start.elapsed(), Event::Registered(driver.clone())));
    drop(state);
    plan_wipe(shared, &driver);
    true
}

fn deregister(shared: &Arc<Shared>, driver: &str, endpoint: &Path) {
    let mut state = shared.state();
    let before = state.plugins.len();
    state.plugins.retain(|plugin| plugin.driver != driver || plugin.endpoint != *endpoint);
    if state.plugins.len() == before {
        return;
    }
    state.health.clear(driver);
    state.events.push((shared.start.elapsed(), Event::Deregistered(driver.to_owned())));
    drop(state);
    plan_wipe(shared, driver);
}

/// Slices of a driver that nobody serves are removed after a while; a driver that comes back in time keeps them.
fn plan_wipe(shared: &Arc<Shared>, driver: &str) {
    let stays = shared.settings.release.stays_connected();
    let mut state = shared.state();
    let serves = |plugin: &Plugin| plugin.driver == driver && (plugin.is_connected() || !stays);
    if state.plugins.iter().any(serves) {
        if let Some(wipe) = state.wipes.remove(driver) {
            wipe.abort();
        }
        return;
    }
    if state.wipes.get(driver).is_some_and(|wipe| !wipe.is_finished()) {
        return;
    }
    let (wiping, name) = (Arc::clone(shared), driver.to_owned());
    let task = tokio::spawn(async move {
        sleep(WIPING_DELAY).await;
        (wiping.wipe)(Some(&name));
        wiping.tell(Event::Wiped(Some(name)));
    });
    state.wipes.insert(driver.to_owned(), task.abort_handle());
}

async fn stay_connected(shared: Arc<Shared>, driver: String, endpoint: PathBuf, slot: Slot) {
    let mut pause = FIRST_CONNECT_PAUSE;
    loop {
        if let Ok(stream) = shared.sockets.connect(&endpoint).await {
            let since = Instant::now();
            let authority = shared.settings.release.data_authority();
            let connection = Connection::open(stream, &endpoint.display().to_string(), authority).await;
            let connection = Arc::new(connection);
            slot.send_replace(Some(Arc::clone(&connection)));
            shared.tell(Event::Connected(driver.clone()));
            plan_wipe(&shared, &driver);
            connection.lost().await;
            slot.send_replace(None);
            shared.tell(Event::Disconnected(driver.clone()));
            plan_wipe(&shared, &driver);
            if since.elapsed() >= FIRST_CONNECT_PAUSE {
                pause = FIRST_CONNECT_PAUSE;
                continue;
            }
        }
        sleep(pause).await;
        pause = (pause * 8 / 5).min(LONGEST_CONNECT_PAUSE);
    }
}

async fn watch_health(shared: Arc<Shared>, driver: String, method: &'static str, slot: Slot) {
    loop {
        // As a call that does not wait for a connection.
        let connection = slot.borrow().clone();
        if let Some(connection) = connection {
            let mut reports = calls::watch_health(&connection, method).await;
            shared.tell(Event::HealthStream(driver.clone()));
            let end = loop {
                match reports.next().await {
                    Ok(Some(report)) => {
                        let now = shared.start.elapsed();
                        let mut state = shared.state();
                        let State { health, claims, .. } = &mut *state;
                        health.take(now, &driver, report, claims);
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            shared.state().health.clear(&driver);
            let unimplemented = matches!(end, Some(CallError::Status(UNIMPLEMENTED, _)));
            if unimplemented && !shared.settings.release.retries_unimplemented_health() {
                return;
            }
            sleep(HEALTH_RETRY).await;
        } else {
            // The stream is asked for in rounds of five seconds; the first one comes with the connection.
            let _ = timeout(HEALTH_RETRY, slot.subscribe().wait_for(Option::is_some)).await;
        }
    }
}

/// Asks a registered plugin again and again, and gives it up when it fails twice in a row.
async fn check(shared: Arc<Shared>, path: PathBuf) {
    let mut strikes = 0;
    loop {
        sleep(CHECK).await;
        let asked = timeout(CHECK, async {
            let stream = shared.sockets.connect(&path).await.map_err(|_| CallError::ConnectionLost)?;
            let authority = shared.settings.release.registration_authority();
            let connection = Connection::open(stream, &path.display().to_string(), authority).await;
            calls::get_info(&connection).await
        });
        strikes = if matches!(asked.await, Ok(Ok(_))) { 0 } else { strikes + 1 };
        if strikes == 2 {
            let registered = {
                let mut state = shared.state();
                let registration = state.registrations.get_mut(&path);
                registration.and_then(|registration| registration.registered.take())
            };
            if let Some((driver, endpoint)) = registered {
                deregister(&shared, &driver, &endpoint);
            }
            return;
        }
    }
}

/// The connection for calls of a driver. Without one it is made now.
pub(super) async fn connection(
    shared: &Arc<Shared>,
    driver: &str,
) -> Result<(Arc<Connection>, DraService), PodError> {
    let (endpoint, service, slot) = {
        let state = shared.state();
        let plugin = state.plugin(driver).ok_or_else(|| PodError::NotRegistered(driver.to_owned()))?;
        (plugin.endpoint.clone(), plugin.service, Arc::clone(&plugin.slot))
    };
    let known = slot.borrow().clone().filter(|connection| !connection.is_lost());
    if let Some(connection) = known {
        return Ok((connection, service));
    }
    if shared.settings.release.stays_connected() {
        // One connection only: the task that keeps it is asked for it.
        let wait = timeout(Duration::from_millis(100), async {
            slot.subscribe().wait_for(Option::is_some).await.ok().and_then(|slot| slot.clone())
        });
        let connection = wait.await.ok().flatten();
        return connection
            .map(|connection| (connection, service))
            .ok_or_else(|| PodError::Call(CallError::Status(14, "connection error".to_owned())));
    }
    let stream = shared.sockets.connect(&endpoint).await?;
    let authority = shared.settings.release.data_authority();
    let connection = Connection::open(stream, &endpoint.display().to_string(), authority).await;
    let connection = Arc::new(connection);
    slot.send_replace(Some(Arc::clone(&connection)));
    Ok((connection, service))
}
