//! What a plugin does for the kubelet, without a word of the wire.

use std::future::Future;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The three things the kubelet says about a claim. What the claim holds is in the API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClaimReference {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim; a later claim may have the same one.
    pub name: String,
    /// UID of the claim, the only identity that counts.
    pub uid: String,
}

impl ClaimReference {
    /// A claim of which only the UID is known.
    pub fn nameless(uid: &str) -> Self {
        Self { namespace: String::new(), name: String::new(), uid: uid.to_owned() }
    }
}

/// A device as the kubelet is told about it. The same claim has to get the same list in the same order for its whole
/// life: a restarted kubelet appends what it is told to what it remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreparedDevice {
    /// Requests of the claim that this device satisfies, without the name of an alternative. Empty means all.
    pub request_names: Vec<String>,
    /// Pool of the device.
    pub pool_name: String,
    /// Name of the device in its pool.
    pub device_name: String,
    /// Qualified CDI names. The first one is the identity of the device in the pod's status, so one that several
    /// devices share has to come later.
    pub cdi_device_ids: Vec<String>,
    /// Share of a device that allows several allocations (KEP-5075); told to kubelets of the v1 service only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    /// Fields of a later version of this record, kept as they are.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Why a claim could not be prepared or unprepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// May heal by itself soon: it is tried again while the kubelet waits, because after a failure the kubelet comes
    /// back only after 60 to 90 seconds.
    #[error("{0}")]
    Transient(String),
    /// Will not heal by waiting; the kubelet is told at once.
    #[error("{0}")]
    Permanent(String),
}

/// Prepares and unprepares claims on this node.
///
/// Both may be called at any time for any claim, also again for one that is in that state already; for one claim they
/// never run at the same time. A call that the kubelet gave up runs to its end.
pub trait NodePlugin: Send + Sync + 'static {
    /// Makes the devices of a claim usable by containers. For a prepared claim the answer is the one given before.
    fn prepare(
        &self,
        claim: &ClaimReference,
    ) -> impl Future<Output = Result<Vec<PreparedDevice>, Failure>> + Send;

    /// Gives up what [`NodePlugin::prepare`] did; succeeds for a claim that was never prepared. The claim object may
    /// be gone. A failure keeps the pod from being deleted, and nobody but this plugin can tell the user why.
    fn unprepare(&self, claim: &ClaimReference) -> impl Future<Output = Result<(), Failure>> + Send;
}
