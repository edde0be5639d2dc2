//! One node's whole way from a call of the kubelet to a CDI device.
//!
//! ```text
//! kubelet -> Node: claim object (ClaimReader) -> allocated devices -> Claims: record, devices (DeviceSource), CDI file
//! ```

mod allocation;
mod reader;
mod vanished;

pub use allocation::allocated_devices;
pub use reader::{ClaimFiles, ClaimReader, ReadError};
pub use vanished::Vanished;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::{JoinError, spawn_blocking};

use crate::{
    claims::{Claims, Devices, OpenError, Problem},
    files::FileSystem,
    kubelet::{ClaimReference, Failure, NodePlugin, PreparedDevice},
};

/// The plugin of a node.
///
/// It can be registered before it has the records: of two instances in a rolling update the new one waits until the
/// old one is gone, and calls that reach it meanwhile wait with it, inside the kubelet's deadline.
pub struct Node<F, D, R> {
    driver: String,
    reader: Arc<R>,
    claims: Mutex<Option<Arc<Claims<F, D>>>>,
}

impl<F, D, R> fmt::Debug for Node<F, D, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Node").field("driver", &self.driver).finish_non_exhaustive()
    }
}

impl<F, D, R> Node<F, D, R>
where
    F: FileSystem + 'static,
    D: Devices + 'static,
    R: ClaimReader,
{
    /// A plugin that has no records yet.
    pub fn new(driver: &str, reader: R) -> Self {
        Self { driver: driver.to_owned(), reader: Arc::new(reader), claims: Mutex::new(None) }
    }

    /// Takes the records with `open`, which calls [`Claims::open`]. True if it has them now. May block.
    ///
    /// # Errors
    ///
    /// The state directory cannot be used; that another instance has it is no error.
    pub fn open(
        &self,
        open: impl FnOnce() -> Result<(Claims<F, D>, Vec<Problem>), OpenError>,
    ) -> Result<Option<Vec<Problem>>, OpenError> {
        match open() {
            Ok((claims, problems)) => {
                *self.lock() = Some(Arc::new(claims));
                Ok(Some(problems))
            }
            Err(OpenError::Held(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The records, once this instance has them.
    pub fn claims(&self) -> Option<Arc<Claims<F, D>>> {
        self.lock().clone()
    }

    /// Where claim objects come from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// Gives the records up, so that another instance can take them; it gets them when the last operation has ended.
    pub fn close(&self) {
        self.lock().take();
    }

    fn ready(&self) -> Result<Arc<Claims<F, D>>, Failure> {
        let waiting = "another instance of the driver still has the records of this node's claims";
        self.claims().ok_or_else(|| Failure::Transient(waiting.to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Claims<F, D>>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, D, R> NodePlugin for Node<F, D, R>
where
    F: FileSystem + 'static,
    D: Devices + 'static,
    R: ClaimReader,
{
    async fn prepare(&self, claim: &ClaimReference) -> Result<Vec<PreparedDevice>, Failure> {
        let (claims, reader) = (self.ready()?, Arc::clone(&self.reader));
        let (claim, driver) = (claim.clone(), self.driver.clone());
        let work = move || {
            claims.prepare(&claim, || {
                let object = reader.claim(&claim).map_err(|error| match error {
                    ReadError::Gone => {
                        let name = format!("claim `{}/{}`", claim.namespace, claim.name);
                        Failure::Permanent(format!("{name} does not exist any more"))
                    }
                    ReadError::Unavailable(message) => Failure::Transient(message),
                })?;
                allocated_devices(&object, &claim, &driver)
            })
        };
        spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(error)))
    }

    async fn unprepare(&self, claim: &ClaimReference) -> Result<(), Failure> {
        let (claims, claim) = (self.ready()?, claim.clone());
        spawn_blocking(move || claims.unprepare(&claim)).await.unwrap_or_else(|error| Err(failed(error)))
    }
}

/// A panic of a device source goes on as one, so that the call ends and the next one starts anew.
fn failed(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Failure::Transient(error.to_string()),
    }
}
