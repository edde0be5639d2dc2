//! The controller over a real API server, or over what stands for one.

use std::{
    collections::BTreeMap,
    future::{Future, pending},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    controller::{Action, ApiError, Controller, Event, Report, Served, Slice},
    version::ApiVersion,
};
use crate::{
    devices::{Fields, Pool},
    files::{HostFileSystem, write_atomically},
};

/// Requests at the same time. Thousands of devices are hundreds of slices, and claims that pods wait for are asked for over
/// the same way.
const AT_ONCE: usize = 8;

/// What a watch tells. Its end is the end of the channel.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// A slice appeared or changed.
    Changed(Slice),
    /// A slice went.
    Deleted(Slice),
}

/// A watch.
pub type Watch = mpsc::Receiver<WatchEvent>;

/// The requests that the controller needs. Slices are those of one driver on one node, in the form of
/// `resource.k8s.io/v1` whatever the server speaks.
pub trait SliceApi: Send + Sync + 'static {
    /// What the server can do.
    fn discover(&self) -> impl Future<Output = Result<Served, ApiError>> + Send;
    /// The slices, and a watch from there on.
    fn list_and_watch(&self) -> impl Future<Output = Result<(Vec<Slice>, Watch), ApiError>> + Send;
    /// Makes a slice with a name that begins with `name_prefix` and that the server completes.
    fn create(&self, name_prefix: &str, spec: Fields)
    -> impl Future<Output = Result<Slice, ApiError>> + Send;
    /// Changes a slice if it still has its resource version.
    fn update(&self, slice: Slice) -> impl Future<Output = Result<Slice, ApiError>> + Send;
    /// Deletes a slice if it is still the one with its UID.
    fn delete(&self, slice: Slice) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// Keeps the slices of `api` as `pools` says, until nobody can change `pools` any more. Slices stay then: the kubelet
/// removes them 30 seconds after the driver is gone, and a successor finds them.
pub async fn publish<A: SliceApi>(
    api: Arc<A>,
    mut controller: Controller,
    mut pools: watch::Receiver<Option<Vec<Pool>>>,
    report: impl Fn(&Report),
) {
    let start = Instant::now();
    let mut running: JoinSet<(Event, Option<Watch>)> = JoinSet::new();
    let mut watch: Option<Watch> = None;
    let room = Arc::new(Semaphore::new(AT_ONCE));
    // Nothing is published before somebody knows what there is.
    let Ok(first) = pools.wait_for(Option::is_some).await.map(|pools| pools.clone().unwrap_or_default())
    else {
        return;
    };
    let mut event = Event::Desired(first);
    loop {
        for action in controller.handle(start.elapsed(), event) {
            match action {
                Action::Report(found) => report(&found),
                action => {
                    let api = Arc::clone(&api);
                    let room = Arc::clone(&room);
                    running.spawn(async move {
                        // It is never closed.
                        let _place = room.acquire().await;
                        let failed = failure(&action);
                        // In a task of its own, so that a panic of the client leaves no request without an answer.
                        let task = tokio::spawn(async move { perform(&*api, action).await });
                        task.await.unwrap_or((failed, None))
                    });
                }
            }
        }
        let wake = controller.wake_at();
        event = tokio::select! {
            changed = pools.changed() => match changed {
                Ok(()) => Event::Desired(pools.borrow_and_update().clone().unwrap_or_default()),
                Err(_) => return,
            },
            Some(done) = running.join_next(), if !running.is_empty() => match done {
                Ok((event, new)) => {
                    watch = new.or(watch);
                    event
                }
                Err(_) => Event::WatchLost,
            },
            seen = next(&mut watch) => match seen {
                Some(WatchEvent::Changed(slice)) => Event::Changed(slice),
                Some(WatchEvent::Deleted(slice)) => Event::Deleted(slice),
                None => {
                    watch = None;
                    Event::WatchLost
                }
            },
            () = async {
                match wake {
                    Some(at) => sleep_until(start + at).await,
                    None => pending().await,
                }
            } => Event::Time,
        };
    }
}

async fn next(watch: &mut Option<Watch>) -> Option<WatchEvent> {
    match watch {
        Some(watch) => watch.recv().await,
        None => pending().await,
    }
}

/// The answer to a request whose outcome nobody knows.
fn failure(action: &Action) -> Event {
    let error = ApiError::Unavailable("the client stopped unexpectedly".to_owned());
    match action {
        Action::Discover => Event::Discovered(Err(error)),
        Action::List => Event::Listed(Err(error)),
        Action::Create { write, .. } | Action::Update { write, .. } | Action::Delete { write, .. } => {
            Event::Written { write: *write, result: Err(error) }
        }
        Action::Report(_) => Event::Time,
    }
}

async fn perform<A: SliceApi>(api: &A, action: Action) -> (Event, Option<Watch>) {
    let event = match action {
        Action::Discover => Event::Discovered(api.discover().await),
        Action::List => match api.list_and_watch().await {
            Ok((slices, watch)) => return (Event::Listed(Ok(slices)), Some(watch)),
            Err(error) => Event::Listed(Err(error)),
        },
        Action::Create { write, name_prefix, spec } => {
            Event::Written { write, result: api.create(&name_prefix, spec).await.map(Some) }
        }
        Action::Update { write, slice } => {
            Event::Written { write, result: api.update(slice).await.map(Some) }
        }
        Action::Delete { write, slice } => {
            Event::Written { write, result: api.delete(slice).await.map(|()| None) }
        }
        // Reports are not requests.
        Action::Report(_) => Event::Time,
    };
    (event, None)
}

/// Slices as files in a folder, for a node without an API server; the `dray` command reads them.
#[derive(Debug)]
pub struct SliceFiles {
    folder: PathBuf,
    known: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    slices: BTreeMap<String, Slice>,
    version: u64,
    watches: Vec<mpsc::Sender<WatchEvent>>,
}

impl SliceFiles {
    /// Files in `folder`, which is made if it is missing. Slices that are there from before are not read: they are
    /// written again under the same names.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, known: Mutex::default() })
    }

    fn write(&self, name: &str, spec: Fields) -> Result<Slice, ApiError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.version += 1;
        let slice = Slice {
            name: name.to_owned(),
            uid: name.to_owned(),
            resource_version: known.version.to_string(),
            spec,
        };
        let object = json!({
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": { "name": name },
            "spec": slice.spec,
        });
        let text = serde_json::to_string_pretty(&object).unwrap_or_default() + "\n";
        write_atomically(&HostFileSystem, &self.folder, &format!("{name}.json"), text.as_bytes()).map_err(
            |error| ApiError::Unavailable(format!("cannot write `{}`: {error}", self.folder.display())),
        )?;
        known.slices.insert(name.to_owned(), slice.clone());
        Ok(slice)
    }
}

impl SliceApi for SliceFiles {
    async fn discover(&self) -> Result<Served, ApiError> {
        Ok(Served { version: ApiVersion::V1, minor: 37 })
    }

    async fn list_and_watch(&self) -> Result<(Vec<Slice>, Watch), ApiError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else writes: a watch that never tells anything is one.
        let (sender, watch) = mpsc::channel(1);
        known.watches.push(sender);
        Ok((known.slices.values().cloned().collect(), watch))
    }

    async fn create(&self, name_prefix: &str, spec: Fields) -> Result<Slice, ApiError> {
        let pool = spec.get("pool").unwrap_or_default();
        let pool = pool["name"].as_str().unwrap_or_default().replace('/', "-");
        self.write(&format!("{name_prefix}{pool}"), spec)
    }

    async fn update(&self, slice: Slice) -> Result<Slice, ApiError> {
        self.write(&slice.name, slice.spec)
    }

    async fn delete(&self, slice: Slice) -> Result<(), ApiError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.slices.remove(&slice.name).ok_or(ApiError::NotFound)?;
        let path = self.folder.join(format!("{}.json", slice.name));
        std::fs::remove_file(path).map_err(|error| ApiError::Unavailable(error.to_string()))
    }
}
