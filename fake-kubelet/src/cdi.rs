//! A container runtime as far as CDI goes: which device names it can resolve and what containers get, with the rules of
//! the Go library that containerd and CRI-O use (v1.1.1): unknown fields, versions that are too low for the content,
//! names, edits, and devices that two files define.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug, Deserialize)]
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

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Device {
    name: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    container_edits: Edits,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    additional_gids: Vec<u32>,
    /// Its fields are not looked at.
    intel_rdt: Option<Value>,
    /// Their fields are not looked at.
    net_devices: Vec<Value>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
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

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Mount {
    host_path: String,
    container_path: String,
    options: Vec<String>,
    r#type: String,
}

#[expect(clippy::struct_field_names, reason = "the names of the file format")]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
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
        if !self.net_devices.is_empty() {
            9
        } else if !self.additional_gids.is_empty() || self.intel_rdt.is_some() {
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

/// Reads one file, or says why the runtime refuses all of it. With `exactly`, also a version that is higher than the
/// content needs is refused.
fn read(content: &[u8], exactly: bool) -> Result<Spec, String> {
    let spec: Spec = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    check(&spec, exactly)?;
    Ok(spec)
}

fn check(spec: &Spec, exactly: bool) -> Result<(), String> {
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
        if !names.insert(&device.name) {
            return Err(format!("device {} is there twice", device.name));
        }
    }
    if names.is_empty() { Err("no devices".to_owned()) } else { Ok(()) }
}

fn qualified(spec: &Spec) -> Vec<String> {
    let mut names: Vec<String> =
        spec.devices.iter().map(|device| format!("{}={}", spec.kind, device.name)).collect();
    names.sort();
    names
}

/// The qualified names of the devices in a file, sorted.
///
/// # Errors
///
/// Why a runtime refuses the file.
pub fn load(content: &[u8]) -> Result<Vec<String>, String> {
    read(content, false).map(|spec| qualified(&spec))
}

/// As [`load`], of a file whose version is the lowest that its content allows (and no lower than 0.3.0): one that runtimes
/// of every age can read.
///
/// # Errors
///
/// Why a runtime refuses the file, or that its version is higher than it has to be.
pub fn load_minimal(content: &[u8]) -> Result<Vec<String>, String> {
    read(content, true).map(|spec| qualified(&spec))
}

/// What a container gets of its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Environment variables in order; of two with one name the last one wins in most runtimes.
    pub env: Vec<String>,
    /// Device nodes: path in the container, and path on the host.
    pub device_nodes: Vec<(String, String)>,
    /// Mounts: path in the container, and path on the host.
    pub mounts: Vec<(String, String)>,
}

/// The files of a runtime.
#[derive(Clone, Debug, Default)]
pub struct CdiRegistry {
    /// By qualified name: priority and the file's number.
    devices: BTreeMap<String, Vec<(usize, usize)>>,
    specs: Vec<Spec>,
    refused: BTreeMap<String, String>,
}

impl CdiRegistry {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// The files of several folders, those of later folders before those of earlier ones; usually `/etc/cdi` and
    /// `/var/run/cdi`. What cannot be read is not there.
    pub fn of_folders(folders: &[&Path]) -> Self {
        let mut registry = Self::new();
        for (priority, folder) in folders.iter().enumerate() {
            let mut entries: Vec<_> = folder.read_dir().into_iter().flatten().flatten().collect();
            entries.sort_by_key(std::fs::DirEntry::file_name);
            for entry in entries {
                if let Ok(content) = std::fs::read(entry.path()) {
                    registry.add(priority, &entry.file_name().to_string_lossy(), &content);
                }
            }
        }
        registry
    }

    /// Adds a file. Its name has to end in `.json` or `.yaml`; YAML has to be written as JSON.
    pub fn add(&mut self, priority: usize, name: &str, content: &[u8]) {
        if !Path::new(name).extension().is_some_and(|ending| ending == "json" || ending == "yaml") {
            return;
        }
        match read(content, false) {
            Ok(spec) => {
                for device in qualified(&spec) {
                    self.devices.entry(device).or_default().push((priority, self.specs.len()));
                }
                self.specs.push(spec);
            }
            Err(error) => {
                self.refused.insert(name.to_owned(), error);
            }
        }
    }

    /// The files that the runtime refuses, with the reason.
    pub fn refused(&self) -> &BTreeMap<String, String> {
        &self.refused
    }

    /// The file of a device: the one of highest priority, if it is the only one of that.
    fn spec_of(&self, device: &str) -> Option<usize> {
        let files = self.devices.get(device)?;
        let (highest, number) = files.iter().max()?;
        let alone = files.iter().filter(|(priority, _)| priority == highest).count() == 1;
        alone.then_some(*number)
    }

    /// The names that containers can get.
    pub fn resolvable(&self) -> BTreeSet<String> {
        self.devices.keys().filter(|device| self.spec_of(device).is_some()).cloned().collect()
    }

    /// What a container with these devices gets.
    ///
    /// # Errors
    ///
    /// The devices that cannot be resolved; the container is not made then.
    pub fn inject(&self, devices: &[String]) -> Result<Injected, Vec<String>> {
        let unresolvable: Vec<String> =
            devices.iter().filter(|device| self.spec_of(device).is_none()).cloned().collect();
        if !unresolvable.is_empty() {
            return Err(unresolvable);
        }
        let mut injected = Injected::default();
        let mut seen = BTreeSet::new();
        for device in devices {
            let Some(number) = self.spec_of(device) else { continue };
            let spec = &self.specs[number];
            // The edits of a whole file come once.
            if seen.insert(number) {
                injected.apply(&spec.container_edits);
            }
            let named = spec.devices.iter().filter(|one| format!("{}={}", spec.kind, one.name) == **device);
            for device in named {
                injected.apply(&device.container_edits);
            }
        }
        injected.mounts.sort();
        Ok(injected)
    }
}

impl Injected {
    fn apply(&mut self, edits: &Edits) {
        self.env.extend(edits.env.iter().cloned());
        for node in &edits.device_nodes {
            let host = if node.host_path.is_empty() { &node.path } else { &node.host_path };
            self.device_nodes.retain(|(path, _)| *path != node.path);
            self.device_nodes.push((node.path.clone(), host.clone()));
        }
        for mount in &edits.mounts {
            self.mounts.retain(|(path, _)| *path != mount.container_path);
            self.mounts.push((mount.container_path.clone(), mount.host_path.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(version: &str, kind: &str, device: &str, edits: &str) -> Vec<u8> {
        format!(
            r#"{{"cdiVersion":"{version}","kind":"{kind}","devices":[{{"name":"{device}","containerEdits":{edits}}}]}}"#
        )
        .into_bytes()
    }

    const ENV: &str = r#"{"env":["A=1"]}"#;

    /// What needs a version makes every lower one a reason to refuse the whole file.
    #[test]
    fn versions_below_what_the_content_needs_are_refused() {
        for (kind, device, edits, floor) in [
            ("vendor.com/gpu", "a", ENV, 0),
            (
                "vendor.com/gpu",
                "a",
                r#"{"mounts":[{"hostPath":"/a","containerPath":"/a","type":"bind"}]}"#,
                3,
            ),
            ("vendor.com/gpu", "0", ENV, 4),
            ("vendor.com/gpu", "a", r#"{"deviceNodes":[{"path":"/dev/a","hostPath":"/dev/null"}]}"#, 4),
            ("vendor.com/gpu.large", "a", ENV, 5),
            ("vendor.com/gpu", "a", r#"{"additionalGids":[1]}"#, 6),
            ("vendor.com/gpu", "a", r#"{"intelRdt":{"closID":"a"}}"#, 6),
            ("vendor.com/gpu", "a", r#"{"netDevices":[{"hostInterfaceName":"a","name":"b"}]}"#, 9),
        ] {
            for (place, version) in VERSIONS.iter().enumerate() {
                let content = spec(version, kind, device, edits);
                assert_eq!(load(&content).is_ok(), place >= floor, "{kind} {device} {edits} {version}");
                assert_eq!(load_minimal(&content).is_ok(), place == floor.max(2), "{edits} {version}");
            }
        }
    }

    #[test]
    fn files_that_are_refused_say_why() {
        for (content, reason) in [
            (spec("0.3.0", "vendor.com/gpu", "a", "{}"), "has no edits"),
            (spec("0.3.0", "vendor.com", "a", ENV), "kind without a slash"),
            (spec("0.3.0", "vendor.com/gpu", "-a", ENV), "device name"),
            (spec("2.0.0", "vendor.com/gpu", "a", ENV), "version 2.0.0"),
            (spec("0.3.0", "vendor.com/gpu", "a", r#"{"envs":[]}"#), "unknown field"),
            (spec("0.3.0", "vendor.com/gpu", "a", r#"{"env":["=1"]}"#), "environment variable"),
            (spec("0.3.0", "vendor.com/gpu", "a", r#"{"hooks":[{"hookName":"x","path":"/a"}]}"#), "hook x"),
        ] {
            let error = load(&content).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn two_files_of_one_priority_conflict_and_a_higher_one_wins() {
        let mut registry = CdiRegistry::new();
        let device = vec!["vendor.com/gpu=a".to_owned()];
        registry.add(1, "one.json", &spec("0.3.0", "vendor.com/gpu", "a", r#"{"env":["FROM=one"]}"#));
        assert_eq!(registry.inject(&device).expect("resolvable").env, ["FROM=one"]);
        registry.add(0, "etc.json", &spec("0.3.0", "vendor.com/gpu", "a", r#"{"env":["FROM=etc"]}"#));
        assert_eq!(registry.inject(&device).expect("resolvable").env, ["FROM=one"]);
        registry.add(1, "temporary.json.tmp", b"{}");
        registry.add(1, "two.json", &spec("0.3.0", "vendor.com/gpu", "a", r#"{"env":["FROM=two"]}"#));
        assert_eq!(registry.inject(&device), Err(device.clone()), "unresolvable CDI devices");
        assert!(registry.resolvable().is_empty());
        registry.add(1, "three.json", b"{");
        assert_eq!(registry.refused().len(), 1);
    }

    #[test]
    fn a_container_gets_the_edits_of_a_file_once_and_nodes_by_path() {
        let content = r#"{"cdiVersion":"0.5.0","kind":"vendor.com/gpu","containerEdits":{"env":["ALL=1"]},"devices":[
            {"name":"a","containerEdits":{"env":["A=1"],"deviceNodes":[{"path":"/dev/x","hostPath":"/dev/a"}]}},
            {"name":"b","containerEdits":{"env":["B=1"],"deviceNodes":[{"path":"/dev/x","hostPath":"/dev/b"}],
             "mounts":[{"hostPath":"/h","containerPath":"/c"}]}}]}"#;
        let mut registry = CdiRegistry::new();
        registry.add(0, "a.json", content.as_bytes());
        let names = ["vendor.com/gpu=a".to_owned(), "vendor.com/gpu=b".to_owned()];
        let injected = registry.inject(&names).expect("resolvable");
        assert_eq!(injected.env, ["ALL=1", "A=1", "B=1"]);
        assert_eq!(injected.device_nodes, [("/dev/x".to_owned(), "/dev/b".to_owned())]);
        assert_eq!(injected.mounts, [("/c".to_owned(), "/h".to_owned())]);
    }
}
