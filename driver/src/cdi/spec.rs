//! A CDI specification as far as drivers need one, with the smallest version that its content allows.

use serde::{Deserialize, Serialize};

/// Content that the container runtime would refuse. It refuses the whole file then, and the pod only shows
/// "unresolvable CDI devices".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CdiError {
    /// A vendor or class that is no name.
    #[error("CDI kind `{0}` is not `vendor/class` of letters, digits, `_`, `-` and `.`")]
    Kind(String),
    /// A device name with characters that CDI does not allow.
    #[error(
        "CDI device name `{0}` has to begin and end with a letter or digit and may have `_`, `-`, `.` and `:`"
    )]
    DeviceName(String),
    /// Two devices of one name.
    #[error("CDI device `{0}` is there twice")]
    Duplicate(String),
    /// A specification without devices.
    #[error("a CDI specification needs at least one device")]
    NoDevices,
    /// A device that changes nothing; it should get no CDI name at all.
    #[error("CDI device `{0}` has no edits")]
    NoEdits(String),
    /// An edit that the runtime refuses.
    #[error("CDI {field} `{value}`: {reason}")]
    Edit {
        /// The field with the edit.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// One CDI file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    cdi_version: String,
    kind: String,
    devices: Vec<Device>,
}

/// A device of a specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Name within the kind.
    pub name: String,
    /// What it does to a container.
    pub container_edits: ContainerEdits,
}

/// Changes of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerEdits {
    /// Variables as `NAME=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Device nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_nodes: Vec<DeviceNode>,
    /// Mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// OCI hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// Groups that the process is in besides its own.
    #[serde(default, rename = "additionalGids", skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

/// A device node. Type and numbers are left to the runtime, which looks at the host: majors change at a reboot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceNode {
    /// Path in the container.
    pub path: String,
    /// Path on the host where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// Letters of `rwm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
}

/// A mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Path on the host.
    pub host_path: String,
    /// Path in the container.
    pub container_path: String,
    /// Mount options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Type of the file system.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// An OCI hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// When it runs, for example `createContainer`.
    pub hook_name: String,
    /// Path of the program on the host.
    pub path: String,
    /// Arguments, the name of the program first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables as `NAME=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

impl ContainerEdits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn validate(&self) -> Result<(), CdiError> {
        let wrong =
            |field, value: &str, reason| Err(CdiError::Edit { field, value: value.to_owned(), reason });
        for variable in self.env.iter().chain(self.hooks.iter().flat_map(|hook| &hook.env)) {
            if variable.split_once('=').is_none_or(|(name, _)| name.is_empty()) || variable.contains('\0') {
                return wrong("env", variable, "has to be `NAME=VALUE`");
            }
        }
        for node in &self.device_nodes {
            if !node.path.starts_with('/') {
                return wrong("device node", &node.path, "has to be an absolute path");
            }
            if let Some(permissions) = &node.permissions
                && !permissions.chars().all(|letter| "rwm".contains(letter))
            {
                return wrong("device permissions", permissions, "has letters other than `rwm`");
            }
        }
        for mount in &self.mounts {
            if mount.host_path.is_empty() || mount.container_path.is_empty() {
                return wrong(
                    "mount",
                    &mount.container_path,
                    "needs a path on the host and one in the container",
                );
            }
        }
        for hook in &self.hooks {
            if !HOOKS.contains(&hook.hook_name.as_str()) {
                return wrong("hook", &hook.hook_name, "is not a hook of the OCI");
            }
            if hook.path.is_empty() {
                return wrong("hook", &hook.hook_name, "needs the path of a program");
            }
        }
        Ok(())
    }

    /// The first version that knows everything used here.
    fn version(&self) -> Version {
        // To the runtime an empty text is one that is absent.
        let is_given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if !self.additional_gids.is_empty() {
            Version(0, 7)
        } else if self.device_nodes.iter().any(|node| is_given(&node.host_path)) {
            Version(0, 5)
        } else if self.mounts.iter().any(|mount| is_given(&mount.kind)) {
            Version(0, 4)
        } else {
            Version(0, 3)
        }
    }
}

/// Major and minor; the third number has always been 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u8, u8);

impl Spec {
    /// A specification of `devices`, with the smallest version that may have this content: old runtimes read it then,
    /// and none refuses it for a version that is too low.
    ///
    /// # Errors
    ///
    /// See [`CdiError`].
    pub fn new(kind: &str, devices: Vec<Device>) -> Result<Self, CdiError> {
        let (vendor, class) = kind.split_once('/').ok_or_else(|| CdiError::Kind(kind.to_owned()))?;
        if !is_name(vendor) || !is_name(class) || class.len() > 63 || vendor.len() > 253 {
            return Err(CdiError::Kind(kind.to_owned()));
        }
        if devices.is_empty() {
            return Err(CdiError::NoDevices);
        }
        let mut version = Version(0, if class.contains('.') { 6 } else { 3 });
        for (number, device) in devices.iter().enumerate() {
            let name = &device.name;
            let ends = [name.chars().next(), name.chars().last()];
            let begins_and_ends =
                ends.iter().all(|end| end.is_some_and(|character| character.is_ascii_alphanumeric()));
            let allowed = |character: char| character.is_ascii_alphanumeric() || "_-.:".contains(character);
            if !begins_and_ends || !name.chars().all(allowed) {
                return Err(CdiError::DeviceName(name.clone()));
            }
            if devices[..number].iter().any(|before| before.name == *name) {
                return Err(CdiError::Duplicate(name.clone()));
            }
            if device.container_edits.is_empty() {
                return Err(CdiError::NoEdits(name.clone()));
            }
            device.container_edits.validate()?;
            version = version.max(device.container_edits.version());
            // Ten of sixteen claim UIDs begin with a digit.
            if name.starts_with(|first: char| first.is_ascii_digit()) {
                version = version.max(Version(0, 5));
            }
        }
        let Version(major, minor) = version;
        Ok(Self { cdi_version: format!("{major}.{minor}.0"), kind: kind.to_owned(), devices })
    }

    /// The kind, `vendor/class`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The devices.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Content of the file.
    pub fn to_json(&self) -> String {
        // A specification is strings, numbers and lists of them: nothing that JSON lacks.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Letters, digits, `_`, `-` and `.`; a letter first, and no separator last.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "_-.".contains(character))
}
