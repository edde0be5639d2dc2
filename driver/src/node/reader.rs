//! Where claim objects come from.

use std::path::PathBuf;

use serde_json::Value;

use crate::kubelet::ClaimReference;

/// A claim object that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The API server says that there is no such claim.
    #[error("the claim does not exist")]
    Gone,
    /// Nobody can tell at the moment.
    #[error("{0}")]
    Unavailable(String),
}

/// Reads claim objects from an API server, or from what stands for one.
pub trait ClaimReader: Send + Sync + 'static {
    /// The claim of that namespace and name, whatever its UID. May block, but not for longer than a few seconds: a
    /// failure is tried again while the kubelet waits.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    fn claim(&self, claim: &ClaimReference) -> Result<Value, ReadError>;
}

/// Claims from files named `NAMESPACE_NAME.json` in a folder, for a node without an API server.
#[derive(Clone, Debug)]
pub struct ClaimFiles {
    folder: PathBuf,
}

impl ClaimFiles {
    /// The files in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl ClaimReader for ClaimFiles {
    fn claim(&self, claim: &ClaimReference) -> Result<Value, ReadError> {
        // Neither has a slash or an underscore where it comes from an API server.
        if [&claim.namespace, &claim.name].iter().any(|name| name.contains(['/', '_']) || name.is_empty()) {
            return Err(ReadError::Gone);
        }
        let path = self.folder.join(format!("{}_{}.json", claim.namespace, claim.name));
        let content = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ReadError::Gone,
            _ => ReadError::Unavailable(format!("cannot read `{}`: {error}", path.display())),
        })?;
        serde_json::from_slice(&content)
            .map_err(|error| ReadError::Unavailable(format!("`{}`: {error}", path.display())))
    }
}
