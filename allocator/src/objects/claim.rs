//! Resource claims: what a user asks for.

use std::collections::BTreeMap;

use drayage_cel::Quantity;

/// `resource.k8s.io/v1` `ResourceClaim`, the part that is to be allocated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceClaim {
    /// `metadata.namespace`; empty where the input had none.
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `spec.devices.requests`
    pub requests: Vec<DeviceRequest>,
    /// `spec.devices.constraints`
    pub constraints: Vec<DeviceConstraint>,
    /// `spec.devices.config`
    pub config: Vec<ConfigurationForRequests>,
}

impl ResourceClaim {
    /// `namespace/name`, or just the name where there is no namespace: how upstream's messages name a claim.
    pub fn full_name(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

/// One request of a claim: exactly one of `exactly` and a non-empty `first_available`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Name, unique in the claim.
    pub name: String,
    /// `exactly`: one kind of device.
    pub exactly: Option<ExactDeviceRequest>,
    /// `firstAvailable`: alternatives in order of preference (KEP-4816).
    pub first_available: Vec<DeviceSubRequest>,
}

/// `resource.k8s.io/v1` `ExactDeviceRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExactDeviceRequest {
    /// Name of the class whose selectors and configuration apply.
    pub device_class_name: String,
    /// Selectors, tested after those of the class.
    pub selectors: Vec<DeviceSelector>,
    /// How many devices are meant.
    pub allocation_mode: AllocationMode,
    /// `count`, used with [`AllocationMode::ExactCount`] only. The API defaults it to 1.
    pub count: i64,
    /// `adminAccess` (KEP-5018). Present but false differs from absent while the feature is off.
    pub admin_access: Option<bool>,
    /// Tolerations of device taints (KEP-5055).
    pub tolerations: Vec<DeviceToleration>,
    /// `capacity.requests` (KEP-5075): amounts by capacity name. `None` where the block is absent.
    pub capacity: Option<BTreeMap<String, Quantity>>,
    /// `derivedAttributes` (KEP-6080): attributes that the constraints of the claim find on every device of the
    /// request, before those that the driver publishes.
    pub derived_attributes: Vec<DeviceDerivedAttribute>,
}

/// `resource.k8s.io/v1` `DeviceSubRequest`: one alternative of a `firstAvailable` request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceSubRequest {
    /// Name, unique in the request; results carry `request/alternative`.
    pub name: String,
    /// See [`ExactDeviceRequest::device_class_name`].
    pub device_class_name: String,
    /// See [`ExactDeviceRequest::selectors`].
    pub selectors: Vec<DeviceSelector>,
    /// See [`ExactDeviceRequest::allocation_mode`].
    pub allocation_mode: AllocationMode,
    /// See [`ExactDeviceRequest::count`].
    pub count: i64,
    /// See [`ExactDeviceRequest::tolerations`].
    pub tolerations: Vec<DeviceToleration>,
    /// See [`ExactDeviceRequest::capacity`].
    pub capacity: Option<BTreeMap<String, Quantity>>,
    /// See [`ExactDeviceRequest::derived_attributes`].
    pub derived_attributes: Vec<DeviceDerivedAttribute>,
}

/// `DeviceDerivedAttribute` (KEP-6080): an attribute computed from a device when a constraint looks it up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceDerivedAttribute {
    /// Name with its domain, as constraints name it.
    pub name: String,
    /// CEL over the variable `device`; gives a text, integer, boolean or semantic version, or a list of one kind.
    pub expression: String,
}

/// `allocationMode`. The API server defaults an absent mode to `ExactCount`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum AllocationMode {
    /// `count` devices.
    #[default]
    ExactCount,
    /// Every matching device of the node; at least one.
    All,
    /// A mode this release does not know; an error when the request is validated.
    Other(String),
}

/// `DeviceSelector`. CEL is the only kind; a selector of another kind is `None` and an error when validated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceSelector {
    /// `cel.expression`
    pub cel: Option<String>,
}

/// `DeviceConstraint` over the devices of several requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceConstraint {
    /// Names of requests, or `request/alternative`; empty means all requests of the claim.
    pub requests: Vec<String>,
    /// All devices must have this attribute with one common value.
    pub match_attribute: Option<String>,
    /// All devices must have this attribute with different values (KEP-5075).
    pub distinct_attribute: Option<String>,
}

/// `DeviceToleration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceToleration {
    /// Taint key; empty matches every key.
    pub key: String,
    /// `Equal`, `Exists`, or empty for `Equal`.
    pub operator: String,
    /// Value to be equal to.
    pub value: String,
    /// Effect; empty matches every effect.
    pub effect: String,
    /// Seconds; no influence on allocation, kept for the result.
    pub toleration_seconds: Option<i64>,
}

/// `OpaqueDeviceConfiguration`: parameters for a driver, untouched by the allocator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpaqueDeviceConfiguration {
    /// The driver that understands the parameters.
    pub driver: String,
    /// The parameters as JSON text.
    pub parameters: String,
}

/// `DeviceClaimConfiguration`: configuration for some or all requests of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfigurationForRequests {
    /// Names of requests, or `request/alternative`; empty means all.
    pub requests: Vec<String>,
    /// The parameters; `None` where the entry has none.
    pub opaque: Option<OpaqueDeviceConfiguration>,
}
