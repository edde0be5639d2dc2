//! Faults on purpose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metadata::ObjectMeta;
use crate::schema;

/// A fault that the driver makes on purpose, to see what a cluster makes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceFault {
    /// `drayage.dev/v1alpha1`
    pub api_version: String,
    /// `DeviceFault`
    pub kind: String,
    /// The name tells faults apart.
    pub metadata: ObjectMeta,
    /// The fault.
    pub spec: DeviceFaultSpec,
}

/// What goes wrong, where and how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceFaultSpec {
    /// What goes wrong.
    #[schemars(schema_with = "schema::fault")]
    pub fault: Fault,
    /// Devices as `POOL/DEVICE`; `*` stands for any characters. Absent, every device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<String>,
    /// How often it happens, for faults of calls; absent, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Seconds after which it ends, from when the driver first sees it; absent, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// What users read; absent, a text that names the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Milliseconds, for slow calls and for half a period of flapping; absent, 5000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u32>,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    /// The device does not work.
    Unhealthy,
    /// The device works and does not work in turn.
    Flapping,
    /// The device is not there.
    Vanished,
    /// Preparing takes longer.
    SlowPrepare,
    /// Preparing fails.
    FailPrepare,
    /// Unpreparing takes longer.
    SlowUnprepare,
    /// Unpreparing fails.
    FailUnprepare,
    /// Nobody looks at the devices.
    StalledMonitor,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unhealthy,
        Self::Flapping,
        Self::Vanished,
        Self::SlowPrepare,
        Self::FailPrepare,
        Self::SlowUnprepare,
        Self::FailUnprepare,
        Self::StalledMonitor,
    ];
}
