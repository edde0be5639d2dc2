//! Faults on purpose over a local socket: one JSON document in, one line out, and the connection ends.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use drayage_crds::DeviceFault;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::Source;

/// Longest document.
const LONGEST: u64 = 64 * 1024;
/// Longest time for one connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the socket takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FaultMessage {
    /// Ends the fault of this name.
    End {
        /// `metadata.name` of the fault.
        end: String,
    },
    /// Begins a fault, in place of one of the same name.
    Begin(Box<DeviceFault>),
}

/// Faults that a driver did not take.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// Nobody listens, or nobody answers.
    #[error("the driver cannot be told: {0}")]
    Unreachable(#[from] io::Error),
    /// The driver refuses it.
    #[error("the driver refuses it: {0}")]
    Refused(String),
}

/// Listens at `path`, where a socket that is left from before is removed. Only the owner may connect.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes faults for as long as it is polled.
pub(super) async fn serve(listener: UnixListener, source: Source) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let source = Arc::clone(&source);
        tokio::spawn(timeout(PATIENCE, async move { answer(stream, &source).await }));
    }
}

async fn answer(mut stream: UnixStream, source: &Source) -> io::Result<()> {
    let mut text = String::new();
    (&mut stream).take(LONGEST).read_to_string(&mut text).await?;
    let outcome = match serde_json::from_str(&text) {
        Ok(FaultMessage::Begin(fault)) => {
            source.begin(*fault);
            "ok".to_owned()
        }
        Ok(FaultMessage::End { end }) if source.end(&end) => "ok".to_owned(),
        Ok(FaultMessage::End { end }) => format!("there is no fault `{end}` that came over this socket"),
        Err(error) => format!("neither a DeviceFault nor the end of one: {error}"),
    };
    stream.write_all(outcome.as_bytes()).await?;
    stream.shutdown().await
}

/// Tells the driver behind the socket at `path`.
///
/// # Errors
///
/// See [`FaultError`]; what came before the first error has been taken.
pub async fn tell_faults(path: &Path, messages: &[FaultMessage]) -> Result<(), FaultError> {
    for message in messages {
        let said = timeout(PATIENCE, async {
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(serde_json::to_string(message).map_err(io::Error::other)?.as_bytes()).await?;
            stream.shutdown().await?;
            let mut answer = String::new();
            (&mut stream).take(LONGEST).read_to_string(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        });
        let answer = said.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if answer != "ok" {
            return Err(FaultError::Refused(answer));
        }
    }
    Ok(())
}
