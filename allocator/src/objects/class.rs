//! Device classes.

use super::claim::{DeviceSelector, OpaqueDeviceConfiguration};

/// `resource.k8s.io/v1` `DeviceClass`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceClass {
    /// `metadata.name`
    pub name: String,
    /// `spec.selectors`; all must be true for a device.
    pub selectors: Vec<DeviceSelector>,
    /// `spec.config`, copied to the result; an entry without opaque parameters is `None`.
    pub config: Vec<Option<OpaqueDeviceConfiguration>>,
    /// `spec.extendedResourceName` (gate DRAExtendedResource).
    pub extended_resource_name: Option<String>,
}
