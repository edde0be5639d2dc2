//! Devices on paper: an inventory in a file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use drayage_crds::{API_VERSION, DeviceInventory, InventoryDevice, read};
use serde_json::{Map, Value};

use super::{Condition, DeviceSource, Observation, Pool, PoolDevice, SourceError, missing};
use crate::{
    cdi::{ContainerEdits, DeviceNode},
    claims::{AllocatedDevice, Devices, HeldDevice},
    kubelet::{ClaimReference, Failure},
};

/// Most devices of one line of an inventory, against a number that was mistyped.
const MOST_DEVICES: u32 = 100_000;

/// The devices of an inventory. The file is read again whenever somebody asks for the pools.
#[derive(Debug)]
pub struct FakeDevices {
    path: PathBuf,
    node: String,
    current: Mutex<Contents>,
}

/// What an inventory has for a node. Edits are made when somebody asks for them.
#[derive(Debug, Default)]
struct Contents {
    /// The inventory, to tell whether it has changed; none before it was read.
    text: Option<String>,
    node: String,
    pools: Vec<Pool>,
    /// Lines of each pool in the inventory.
    lines: Vec<Vec<InventoryDevice>>,
    /// Where each device of each pool comes from: the place of its line, and its number there.
    origins: Vec<Vec<(usize, Option<u32>)>>,
}

impl Contents {
    /// Places of a pool and of a device in it.
    fn find(&self, pool: &str, device: &str) -> Option<(usize, usize)> {
        let place = self.pools.iter().position(|found| found.name == pool)?;
        let device = self.pools.get(place)?.devices.iter().position(|found| found.name == device)?;
        Some((place, device))
    }

    fn edits(&self, pool: &str, device: &str) -> Option<ContainerEdits> {
        let (pool, device) = self.find(pool, device)?;
        let (line, index) = *self.origins.get(pool)?.get(device)?;
        let container = &self.lines.get(pool)?.get(line)?.container;
        let fill = |value: &str| text(value, &self.node, index);
        Some(ContainerEdits {
            env: container.env.iter().map(|(key, value)| format!("{}={}", fill(key), fill(value))).collect(),
            device_nodes: container
                .device_nodes
                .iter()
                .map(|device| DeviceNode {
                    path: fill(&device.path),
                    host_path: Some(fill(&device.host_path)),
                    permissions: device.permissions.clone(),
                })
                .collect(),
            ..ContainerEdits::default()
        })
    }
}

impl FakeDevices {
    /// The devices that the inventory in a YAML or JSON file has for `node`.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is no inventory.
    pub fn open(path: &Path, node: &str) -> Result<Self, SourceError> {
        let source = Self { path: path.to_owned(), node: node.to_owned(), current: Mutex::default() };
        source.pools()?;
        Ok(source)
    }

    fn current(&self) -> MutexGuard<'_, Contents> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an inventory has for a node.
fn contents(text: &str, node: &str) -> Result<Contents, String> {
    let inventory: DeviceInventory = read::document(text).map_err(|error| error.to_string())?;
    if inventory.api_version != API_VERSION || inventory.kind != "DeviceInventory" {
        return Err(format!(
            "this is `{}` of `{}`, expected `DeviceInventory` of `{API_VERSION}`",
            inventory.kind, inventory.api_version
        ));
    }
    let mut contents = Contents { node: node.to_owned(), ..Contents::default() };
    let patterns = &inventory.spec.nodes;
    if !patterns.is_empty() && !patterns.iter().any(|pattern| matches(pattern, node)) {
        return Ok(contents);
    }
    for pool in inventory.spec.pools {
        let name = pool.name.replace("{node}", node);
        if contents.pools.iter().any(|other| other.name == name) {
            return Err(format!("pool `{name}` is there twice"));
        }
        let fill = |value: &Value| filled(value, node, None);
        let mut made = Pool {
            name,
            devices: Vec::new(),
            shared_counters: pool.shared_counters.iter().map(fill).collect(),
        };
        let (mut names, mut origins) = (BTreeSet::new(), Vec::new());
        for (line, device) in pool.devices.iter().enumerate() {
            let before = made.devices.len();
            add(&mut names, &mut made, device, node)?;
            let count = device.count.unwrap_or_default();
            let numbers = (0..count).map(Some).chain(device.count.is_none().then_some(None));
            origins.extend(numbers.take(made.devices.len() - before).map(|number| (line, number)));
        }
        contents.pools.push(made);
        contents.origins.push(origins);
        contents.lines.push(pool.devices);
    }
    Ok(contents)
}

fn add(
    names: &mut BTreeSet<String>,
    pool: &mut Pool,
    device: &InventoryDevice,
    node: &str,
) -> Result<(), String> {
    let count = device.count.unwrap_or(1);
    if count > MOST_DEVICES {
        return Err(format!("device `{}` has a count of {count}, more than {MOST_DEVICES}", device.name));
    }
    for index in 0..count {
        let index = device.count.map(|_| index);
        let name = text(&device.name, node, index);
        if !names.insert(name.clone()) {
            return Err(format!("device `{name}` of pool `{}` is there twice", pool.name));
        }
        let fields: Map<String, Value> =
            device.device.iter().map(|(key, value)| (key.clone(), filled(value, node, index))).collect();
        if fields.contains_key("name") {
            return Err(format!("device `{name}`: the name does not belong into `device`"));
        }
        pool.devices.push(PoolDevice { name, fields: fields.into() });
    }
    Ok(())
}

fn text(text: &str, node: &str, index: Option<u32>) -> String {
    let named = text.replace("{node}", node);
    index.map_or_else(|| named.clone(), |index| named.replace("{index}", &index.to_string()))
}

fn filled(value: &Value, node: &str, index: Option<u32>) -> Value {
    match value {
        Value::String(string) => Value::String(text(string, node, index)),
        Value::Array(values) => values.iter().map(|value| filled(value, node, index)).collect(),
        Value::Object(fields) => {
            let fill = |(key, value): (&String, &Value)| (key.clone(), filled(value, node, index));
            Value::Object(fields.iter().map(fill).collect())
        }
        other => other.clone(),
    }
}

/// Whether `text` is like `pattern`, where `*` stands for any characters.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(start).and_then(|text| text.strip_suffix(end)) else {
        return false;
    };
    // Each part where it comes first: that leaves the most for the next one.
    for part in middle.split('*') {
        let Some(place) = text.find(part) else { return false };
        text = &text[place + part.len()..];
    }
    true
}

impl Devices for FakeDevices {
    fn edits(&self, _: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let edits = self.current().edits(&device.pool, &device.device);
        edits.ok_or_else(|| missing(&device.pool, &device.device))
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        let current = self.current();
        let (pool, place) = current.find(&device.pool, &device.device)?;
        match current.pools.get(pool)?.devices.get(place)?.fields.get("attributes") {
            Some(Value::Object(attributes)) => Some(attributes),
            _ => Some(Map::new()),
        }
    }

    fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }
}

impl DeviceSource for FakeDevices {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        let read = fs::read_to_string(&self.path);
        let text = read.map_err(|error| SourceError::Io { path: self.path.clone(), error })?;
        let mut current = self.current();
        if current.text.as_ref() != Some(&text) {
            let contents = contents(&text, &self.node)
                .map_err(|message| SourceError::Content { path: self.path.clone(), message })?;
            *current = Contents { text: Some(text), ..contents };
        }
        Ok(current.pools.clone())
    }

    fn observe(&self) -> Result<Vec<Observation>, SourceError> {
        let current = self.current();
        let of_pool = |pool: &Pool| {
            let pool_name = pool.name.clone();
            let names = pool.devices.iter().map(|device| device.name.clone()).collect::<Vec<_>>();
            names.into_iter().map(move |device| Observation {
                pool: pool_name.clone(),
                device,
                condition: Condition::Works,
            })
        };
        Ok(current.pools.iter().flat_map(of_pool).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const INVENTORY: &str = "
apiVersion: drayage.dev/v1alpha1
kind: DeviceInventory
metadata: {name: fake}
spec:
  nodes: [gpu-*]
  pools:
  - name: '{node}-gpus'
    sharedCounters:
    - name: gpu-0-counters
      counters: {memory: {value: 40Gi}}
    devices:
    - name: gpu-{index}
      count: 2
      device:
        attributes: {uuid: {string: 'GPU-{node}-{index}'}, novel: {strings: [a]}}
        capacity: {memory: {value: 40Gi}}
        fieldOfTheFuture: {x: 1}
      container:
        env: {GPU: '{index}', 'GPU_{index}': '{node}'}
        deviceNodes: [{path: '/dev/gpu{index}'}]
    - name: silent
";

    #[test]
    fn an_inventory_is_devices_with_their_edits() {
        let contents = contents(INVENTORY, "gpu-7").expect("an inventory");
        let [pool] = &contents.pools[..] else { panic!("one pool") };
        assert_eq!(pool.name, "gpu-7-gpus");
        let names: Vec<&str> = pool.devices.iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, ["gpu-0", "gpu-1", "silent"]);
        let fields = pool.devices[1].fields.map();
        assert_eq!(fields["attributes"]["uuid"], json!({"string": "GPU-gpu-7-1"}));
        assert_eq!(fields["fieldOfTheFuture"], json!({"x": 1}));
        let edits = contents.edits("gpu-7-gpus", "gpu-1").expect("a device");
        assert_eq!(edits.env, ["GPU=1", "GPU_1=gpu-7"]);
        assert_eq!(edits.device_nodes[0].path, "/dev/gpu1");
        assert_eq!(edits.device_nodes[0].host_path.as_deref(), Some("/dev/null"));
        assert!(contents.edits("gpu-7-gpus", "silent").expect("a device").is_empty());
        assert_eq!(contents.edits("gpu-7-gpus", "gpu-2"), None);
        assert_eq!(contents.edits("gpu", "gpu-1"), None);
        assert!(self::contents(INVENTORY, "cpu-1").expect("an inventory").pools.is_empty());
    }

    #[test]
    fn an_empty_file_is_no_inventory_without_devices() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inventory.yaml");
        for text in ["", "\n", "# later\n"] {
            fs::write(&path, text).expect("a file");
            let error = FakeDevices::open(&path, "node-1").expect_err("no inventory").to_string();
            assert!(error.contains("inventory.yaml"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (change, to, expected) in [
            ("gpu-{index}", "gpu", "device `gpu` of pool `n-gpus` is there twice"),
            ("count: 2", "count: 2000000", "count of 2000000"),
            ("count: 2", "number: 2", "number"),
            ("kind: DeviceInventory", "kind: Scenario", "expected `DeviceInventory`"),
            ("fieldOfTheFuture", "name", "does not belong"),
        ] {
            let text = INVENTORY.replace(change, to).replace("  nodes: [gpu-*]\n", "");
            let error = contents(&text, "n").expect_err(to);
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    /// As [`matches`] in one line: all ways of dividing the text are tried.
    fn matches_by_trying(pattern: &str, text: &str) -> bool {
        let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
        let Some(text) = text.strip_prefix(start) else { return false };
        (0..=text.len())
            .filter(|place| text.is_char_boundary(*place))
            .any(|place| matches_by_trying(rest, &text[place..]))
    }

    proptest! {
        #[test]
        fn stars_are_found_without_trying_all_ways(pattern in "[ab*é]{0,6}", text in "[abé]{0,8}") {
            prop_assert_eq!(matches(&pattern, &text), matches_by_trying(&pattern, &text));
        }
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, expected) in [
            ("gpu-*", "gpu-", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdef", false),
            ("*é", "aé", true),
            ("a*a", "a", false),
            ("a*b*b", "abb", true),
            ("a*b*b", "ab", false),
            ("**a**", "cab", true),
            ("*/gpu-1", "node-1/gpu-11", false),
            ("gpu", "gpu-1", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
