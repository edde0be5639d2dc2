//! Releases, as far as plugins can tell them apart.

use std::time::Duration;

use crate::wire::Authority;

/// Between two looks at the folder of registration sockets.
pub const RECONCILE: Duration = Duration::from_secs(1);
/// Deadline for a connection to a registration socket.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline of `GetInfo`.
pub const GET_INFO_DEADLINE: Duration = Duration::from_secs(1);
/// Deadline of `NotifyRegistrationStatus`.
pub const NOTIFY_DEADLINE: Duration = Duration::from_secs(5);
/// First pause after a failed registration; each further one is twice as long.
pub const FIRST_BACK_OFF: Duration = Duration::from_millis(500);
/// Longest pause between two tries to register.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(122);
/// Deadline of a prepare or unprepare.
pub const CALL_DEADLINE: Duration = Duration::from_secs(45);
/// Between two tries to open a health stream.
pub const HEALTH_RETRY: Duration = Duration::from_secs(5);
/// How long a driver may be away before its slices are removed.
pub const WIPING_DELAY: Duration = Duration::from_secs(30);
/// Between two looks for pods that are gone although their claims are prepared.
pub const CLAIM_RECONCILE: Duration = Duration::from_mins(1);

/// A release of the kubelet. Its facts are from the sources of 1.34 to 1.37, and from running 1.32 to 1.36.
#[expect(missing_docs, reason = "the names say all there is to say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    V1_32,
    V1_33,
    V1_34,
    V1_35,
    V1_36,
    V1_37,
}

/// A version of the DRA service, with the path of its methods up to the last slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DraService(pub &'static str);

impl DraService {
    /// `v1.DRAPlugin`, for kubelets since 1.34.
    pub const V1: Self = Self("/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/");
    /// `v1beta1.DRAPlugin`, for kubelets since 1.32.
    pub const V1BETA1: Self = Self("/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/");
}

/// Path of the health stream in `v1`.
pub const HEALTH_V1: &str = "/v1.DRAResourceHealth/NodeWatchResources";
/// Path of the health stream in `v1alpha1`.
pub const HEALTH_V1ALPHA1: &str = "/v1alpha1.DRAResourceHealth/NodeWatchResources";

impl Release {
    /// All of them, the oldest first.
    pub const ALL: [Self; 6] = [Self::V1_32, Self::V1_33, Self::V1_34, Self::V1_35, Self::V1_36, Self::V1_37];

    /// What the kubelet sends as `:authority` to a registration socket: the path, since it dials by path.
    pub fn registration_authority(self) -> Authority {
        Authority::EncodedPath
    }

    /// What the kubelet sends as `:authority` to a data socket.
    pub fn data_authority(self) -> Authority {
        if self <= Self::V1_33 { Authority::EncodedPath } else { Authority::Localhost }
    }

    /// Whether the connection to the data socket is made with the registration and kept, and not with the first call.
    pub fn stays_connected(self) -> bool {
        self >= Self::V1_34
    }

    /// The first service of the plugin's list, in the plugin's order, that this release knows.
    pub fn choose(self, versions: &[String]) -> Option<DraService> {
        versions.iter().find_map(|version| match version.as_str() {
            "v1.DRAPlugin" if self >= Self::V1_34 => Some(DraService::V1),
            "v1beta1.DRAPlugin" => Some(DraService::V1BETA1),
            _ => None,
        })
    }

    /// The health stream that this release opens where its gate is on. Up to 1.36 it does not look at the list.
    pub fn choose_health(self, versions: &[String]) -> Option<&'static str> {
        let named = |wanted: &str| versions.iter().any(|version| version == wanted);
        match self {
            Self::V1_34 | Self::V1_35 | Self::V1_36 => Some(HEALTH_V1ALPHA1),
            Self::V1_37 if named("v1.DRAResourceHealth") => Some(HEALTH_V1),
            Self::V1_37 if named("v1alpha1.DRAResourceHealth") => Some(HEALTH_V1ALPHA1),
            Self::V1_32 | Self::V1_33 | Self::V1_37 => None,
        }
    }

    /// Whether a health service that answers `Unimplemented` is asked again, for ever.
    pub fn retries_unimplemented_health(self) -> bool {
        self <= Self::V1_36
    }

    /// Whether a device's own timeout counts, and not always the usual 30 seconds.
    pub fn knows_health_timeouts(self) -> bool {
        self >= Self::V1_35
    }

    /// Whether a device's message is shown.
    pub fn shows_health_messages(self) -> bool {
        self >= Self::V1_36
    }

    /// Whether a second answer for a claim is appended to the first: a driver that changes its mind has both then.
    pub fn appends_answers(self) -> bool {
        self <= Self::V1_36
    }

    /// Whether share IDs are read.
    pub fn knows_share_ids(self) -> bool {
        self >= Self::V1_35
    }

    /// Whether a pod that comes while its claim is unprepared has to wait.
    pub fn marks_unpreparing(self) -> bool {
        self >= Self::V1_37
    }
}
