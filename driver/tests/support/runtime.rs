//! A container runtime as far as CDI goes: which device names it can resolve, with the rules of the Go library that
//! containerd and CRI-O use (v1.1.1): unknown fields, versions that are too low for the content, names, edits, and
//! devices that two files define.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use drayage_driver::files::FileSystem;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Device {
    name: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    container_edits: Edits,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    additional_gids: Vec<u32>,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Node {
    path: String,
    host_path: String,
    r#type: String,
    major: i64,
    minor: i64,
    file_mode: u32,
    permissions: String,
    uid: u32,
    gid: u32,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Mount {
    host_path: String,
    container_path: String,
    options: Vec<String>,
    r#type: String,
}

#[expect(clippy::struct_field_names, reason = "the names of the file format")]
#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Hook {
    hook_name: String,
    path: String,
    args: Vec<String>,
    env: Vec<String>,
    timeout: i64,
}

const VERSIONS: [&str; 10] =
    ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

fn name(text: &str, first_may_be_digit: bool, others: &str) -> bool {
    let first = text.starts_with(|first: char| {
        first.is_ascii_alphabetic() || first_may_be_digit && first.is_ascii_digit()
    });
    first
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || others.contains(character))
}

impl Edits {
    fn check(&self) -> Result<(), String> {
        for variable in self.env.iter().chain(self.hooks.iter().flat_map(|hook| &hook.env)) {
            if variable.find('=').is_none_or(|place| place == 0) {
                return Err(format!("environment variable {variable}"));
            }
        }
        for node in &self.device_nodes {
            let kind = ["", "b", "c", "u", "p"].contains(&node.r#type.as_str());
            if node.path.is_empty() || !kind || !node.permissions.chars().all(|letter| "rwm".contains(letter))
            {
                return Err(format!("device node {}", node.path));
            }
        }
        for mount in &self.mounts {
            if mount.host_path.is_empty() || mount.container_path.is_empty() {
                return Err("mount without a path".to_owned());
            }
        }
        for hook in &self.hooks {
            let known =
                ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
            if !known.contains(&hook.hook_name.as_str()) || hook.path.is_empty() {
                return Err(format!("hook {}", hook.hook_name));
            }
        }
        Ok(())
    }

    fn floor(&self) -> usize {
        if !self.additional_gids.is_empty() {
            6
        } else if self.device_nodes.iter().any(|node| !node.host_path.is_empty()) {
            4
        } else if self.mounts.iter().any(|mount| !mount.r#type.is_empty()) {
            3
        } else {
            0
        }
    }
}

/// The qualified names of one file, or why the runtime refuses all of it. With `exactly`, also a version that is higher
/// than the content needs is refused.
pub(crate) fn load(content: &[u8], exactly: bool) -> Result<Vec<String>, String> {
    let spec: Spec = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    let version = VERSIONS
        .iter()
        .position(|known| *known == spec.cdi_version)
        .ok_or_else(|| format!("version {}", spec.cdi_version))?;
    let (vendor, class) = spec.kind.split_once('/').ok_or("kind without a slash")?;
    if !name(vendor, false, "_-.") || !name(class, false, "_-.") {
        return Err(format!("kind {}", spec.kind));
    }
    let mut floor = spec.container_edits.floor();
    let annotated = spec.devices.iter().any(|device| !device.annotations.is_empty());
    if class.contains('.') || annotated || !spec.annotations.is_empty() {
        floor = floor.max(5);
    }
    for device in &spec.devices {
        floor = floor.max(device.container_edits.floor());
        if device.name.starts_with(|first: char| first.is_ascii_digit()) {
            floor = floor.max(4);
        }
    }
    if version < floor || exactly && version != floor.max(2) {
        return Err(format!(
            "the spec version must be at least v{}, is {}",
            VERSIONS[floor], VERSIONS[version]
        ));
    }
    spec.container_edits.check()?;
    let mut names = BTreeSet::new();
    for device in &spec.devices {
        if !name(&device.name, true, "_-.:") {
            return Err(format!("device name {}", device.name));
        }
        if device.container_edits == Edits::default() {
            return Err(format!("device {} has no edits", device.name));
        }
        device.container_edits.check()?;
        if !names.insert(format!("{}={}", spec.kind, device.name)) {
            return Err(format!("device {} is there twice", device.name));
        }
    }
    if names.is_empty() {
        return Err("no devices".to_owned());
    }
    Ok(names.into_iter().collect())
}

/// The qualified names that containers can get from a directory.
pub(crate) fn resolvable<F: FileSystem>(files: &F, directory: &Path) -> BTreeSet<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for file in files.list(directory).unwrap_or_default() {
        if !Path::new(&file).extension().is_some_and(|ending| ending == "json" || ending == "yaml") {
            continue;
        }
        let content = files.read(&directory.join(file)).unwrap_or_default();
        for device in load(&content, false).unwrap_or_default() {
            *times.entry(device).or_default() += 1;
        }
    }
    times.into_iter().filter(|(_, times)| *times == 1).map(|(device, _)| device).collect()
}
