//! Opaque configuration of a claim or a device class, for the driver.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `opaque.parameters` of a claim or class: how its devices are to be set up.
///
/// The API server keeps it without reading it, so the driver decodes it strictly: a field that nobody knows is an error
/// and not ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceConfig {
    /// `drayage.dev/v1alpha1`
    pub api_version: String,
    /// `DeviceConfig`
    pub kind: String,
    /// How several containers share a device; absent, as the device does it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// Environment variables of containers with the device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// How containers share a device: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sharing {
    /// One after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_slices: Option<TimeSlices>,
    /// Side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space_partitions: Option<SpacePartitions>,
}

/// Sharing by turns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeSlices {
    /// How long a turn is.
    pub interval: Interval,
}

/// Length of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interval {
    /// What the device does by itself.
    #[default]
    Default,
    /// Short turns: quick answers.
    Short,
    /// In between.
    Medium,
    /// Long turns: little switching.
    Long,
}

/// Sharing side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpacePartitions {
    /// Number of equal parts, from 1 to 64.
    pub count: u32,
}

/// Most parts of a device.
const MOST_PARTS: u32 = 64;
/// Most octets of all environment variables together.
const MOST_ENVIRONMENT: usize = 4096;

impl DeviceConfig {
    /// Reads opaque parameters of a claim or class strictly, as the driver, its webhook and `dray lint` do.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, each with its field.
    pub fn read(parameters: &Value) -> Result<Self, String> {
        let config = Self::deserialize(parameters).map_err(|error| error.to_string())?;
        let faults = config.faults();
        if faults.is_empty() { Ok(config) } else { Err(faults.join("; ")) }
    }

    /// What is wrong with it, each with its field; nothing if it can be used.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.api_version != crate::API_VERSION {
            faults.push(format!(
                "field `apiVersion` is `{}`, expected `{}`",
                self.api_version,
                crate::API_VERSION
            ));
        }
        if self.kind != "DeviceConfig" {
            faults.push(format!("field `kind` is `{}`, expected `DeviceConfig`", self.kind));
        }
        if let Some(sharing) = &self.sharing {
            match (&sharing.time_slices, &sharing.space_partitions) {
                (Some(_), None) => {}
                (None, Some(SpacePartitions { count })) if (1..=MOST_PARTS).contains(count) => {}
                (None, Some(SpacePartitions { count })) => faults.push(format!(
                    "field `sharing.spacePartitions.count` is {count}, expected 1 to {MOST_PARTS}"
                )),
                _ => faults.push(
                    "field `sharing` needs exactly one of `timeSlices` and `spacePartitions`".to_owned(),
                ),
            }
        }
        let mut size = 0;
        for (name, value) in &self.env {
            size += name.len() + value.len();
            let good = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
            if name.is_empty()
                || !name.bytes().all(good)
                || name.starts_with(|first: char| first.is_ascii_digit())
            {
                faults.push(format!("field `env`: `{name}` is no name of letters, digits and `_`"));
            }
            if value.contains('\0') {
                faults.push(format!("field `env.{name}` has a zero byte"));
            }
            if ["LD_", "PATH"].iter().any(|prefix| name.starts_with(prefix)) {
                faults.push(format!("field `env`: `{name}` decides which programs run, and cannot be set"));
            }
        }
        if size > MOST_ENVIRONMENT {
            faults.push(format!("field `env` has {size} bytes, more than {MOST_ENVIRONMENT}"));
        }
        faults
    }
}
