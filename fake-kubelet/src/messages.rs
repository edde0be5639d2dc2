//! The messages of the kubelet's plugin services, written down from the protocol's definitions and apart from any
//! driver, so that a wrong field number in a driver shows.
//!
//! Both versions of a service share them: `v1` adds [`Device::share_id`] to `v1beta1`, and nothing else.

use std::collections::HashMap;

use prost::Message;

/// `pluginregistration.InfoRequest`, and every other message without fields.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Empty {}

/// `pluginregistration.PluginInfo`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PluginInfo {
    /// `DRAPlugin` for a driver.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// Name of the driver.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Path of the data socket; empty if it is the registration socket.
    #[prost(string, tag = "3")]
    pub endpoint: String,
    /// Services that the plugin serves, the preferred ones first.
    #[prost(string, repeated, tag = "4")]
    pub supported_versions: Vec<String>,
}

/// `pluginregistration.RegistrationStatus`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RegistrationStatus {
    /// Whether the kubelet uses the plugin.
    #[prost(bool, tag = "1")]
    pub plugin_registered: bool,
    /// Why it does not.
    #[prost(string, tag = "2")]
    pub error: String,
}

/// A claim, as far as the kubelet tells a driver.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct Claim {
    /// `metadata.namespace`
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// `metadata.uid`
    #[prost(string, tag = "2")]
    pub uid: String,
    /// `metadata.name`
    #[prost(string, tag = "3")]
    pub name: String,
}

impl Claim {
    /// A claim in the namespace `default`.
    pub fn new(name: &str, uid: &str) -> Self {
        Self { namespace: "default".to_owned(), uid: uid.to_owned(), name: name.to_owned() }
    }
}

/// `NodePrepareResourcesRequest` and `NodeUnprepareResourcesRequest`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClaimsRequest {
    /// All claims of one pod for the driver.
    #[prost(message, repeated, tag = "1")]
    pub claims: Vec<Claim>,
}

/// `NodePrepareResourcesResponse`
#[derive(Clone, PartialEq, Message)]
pub struct PrepareResponse {
    /// By UID of the claim: each one that was asked for, and no other.
    #[prost(map = "string, message", tag = "1")]
    pub claims: HashMap<String, PreparedClaim>,
}

/// `NodePrepareResourceResponse`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PreparedClaim {
    /// What the claim got.
    #[prost(message, repeated, tag = "1")]
    pub devices: Vec<Device>,
    /// Why it got nothing.
    #[prost(string, tag = "2")]
    pub error: String,
}

/// `Device`
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Device {
    /// Requests of the claim, without alternatives; none means all.
    #[prost(string, repeated, tag = "1")]
    pub request_names: Vec<String>,
    /// Pool of the device.
    #[prost(string, tag = "2")]
    pub pool_name: String,
    /// Name of the device in its pool.
    #[prost(string, tag = "3")]
    pub device_name: String,
    /// Qualified CDI names.
    #[prost(string, repeated, tag = "4")]
    pub cdi_device_ids: Vec<String>,
    /// Share of a device that has several (KEP-5075), in `v1` since 1.35.
    #[prost(string, optional, tag = "5")]
    pub share_id: Option<String>,
}

/// `NodeUnprepareResourcesResponse`
#[derive(Clone, PartialEq, Message)]
pub struct UnprepareResponse {
    /// By UID of the claim: each one that was asked for, and no other.
    #[prost(map = "string, message", tag = "1")]
    pub claims: HashMap<String, UnpreparedClaim>,
}

/// `NodeUnprepareResourceResponse`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UnpreparedClaim {
    /// Why the claim still holds something.
    #[prost(string, tag = "1")]
    pub error: String,
}

/// `NodeWatchResourcesResponse`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HealthReport {
    /// All devices of the driver.
    #[prost(message, repeated, tag = "1")]
    pub devices: Vec<DeviceHealth>,
}

/// `DeviceHealth`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeviceHealth {
    /// Which device.
    #[prost(message, optional, tag = "1")]
    pub device: Option<DeviceIdentifier>,
    /// 0 unknown, 1 healthy, 2 unhealthy.
    #[prost(int32, tag = "2")]
    pub health: i32,
    /// Seconds since 1970; kubelets note the time of receipt instead.
    #[prost(int64, tag = "3")]
    pub last_updated_time: i64,
    /// Seconds after which the state is out of date, since 1.35; 0 and less mean 30.
    #[prost(int64, tag = "4")]
    pub health_check_timeout_seconds: i64,
    /// For users, since 1.36.
    #[prost(string, tag = "5")]
    pub message: String,
}

/// `DeviceIdentifier`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct DeviceIdentifier {
    /// Pool of the device.
    #[prost(string, tag = "1")]
    pub pool_name: String,
    /// Name of the device in its pool.
    #[prost(string, tag = "2")]
    pub device_name: String,
}
