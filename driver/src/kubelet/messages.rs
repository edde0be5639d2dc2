//! The protobuf messages of the kubelet's plugin APIs, written out by hand: they are few, small and frozen.
//!
//! Sources: `pluginregistration/v1`, `dra/v1`, `dra/v1beta1` and `dra-health` of k8s.io/kubelet. `v1beta1` differs from
//! `v1` only in that a device has no share ID.

use std::collections::BTreeMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct InfoRequest {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PluginInfo {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) endpoint: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) supported_versions: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RegistrationStatus {
    #[prost(bool, tag = "1")]
    pub(super) plugin_registered: bool,
    #[prost(string, tag = "2")]
    pub(super) error: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RegistrationStatusResponse {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Claim {
    #[prost(string, tag = "1")]
    pub(super) namespace: String,
    #[prost(string, tag = "2")]
    pub(super) uid: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
}

/// The request of both methods.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ClaimsRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) claims: Vec<Claim>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PrepareResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) claims: BTreeMap<String, PreparedClaim>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PreparedClaim {
    #[prost(message, repeated, tag = "1")]
    pub(super) devices: Vec<Device>,
    #[prost(string, tag = "2")]
    pub(super) error: String,
}

#[expect(clippy::struct_field_names, reason = "the names of the protocol")]
#[derive(Clone, PartialEq, Message)]
pub(super) struct Device {
    #[prost(string, repeated, tag = "1")]
    pub(super) request_names: Vec<String>,
    #[prost(string, tag = "2")]
    pub(super) pool_name: String,
    #[prost(string, tag = "3")]
    pub(super) device_name: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) cdi_device_ids: Vec<String>,
    #[prost(string, optional, tag = "5")]
    pub(super) share_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UnprepareResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) claims: BTreeMap<String, UnpreparedClaim>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UnpreparedClaim {
    #[prost(string, tag = "1")]
    pub(super) error: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchRequest {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) devices: Vec<DeviceHealth>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeviceIdentifier {
    #[prost(string, tag = "1")]
    pub(super) pool_name: String,
    #[prost(string, tag = "2")]
    pub(super) device_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeviceHealth {
    #[prost(message, optional, tag = "1")]
    pub(super) device: Option<DeviceIdentifier>,
    /// 0 unknown, 1 healthy, 2 unhealthy.
    #[prost(int32, tag = "2")]
    pub(super) health: i32,
    /// Seconds since 1970.
    #[prost(int64, tag = "3")]
    pub(super) last_updated_time: i64,
    #[prost(int64, tag = "4")]
    pub(super) health_check_timeout_seconds: i64,
    #[prost(string, tag = "5")]
    pub(super) message: String,
}
