//! GPUs as devices of a pool: their names, attributes and capacities.

use serde_json::{Map, Value, json};

use super::{
    held::Part,
    inventory::{Card, Inventory, Partition},
};
use crate::devices::PoolDevice;

/// The API takes at most that many bytes in a string.
const LONGEST_STRING: usize = 64;

/// Product lines by NVML's numbers, as NVIDIA's driver writes them.
const BRANDS: [&str; 17] = [
    "Unknown",
    "Quadro",
    "Tesla",
    "NVS",
    "Grid",
    "GeForce",
    "Titan",
    "NvidiaVApps",
    "NvidiaVPC",
    "NvidiaVCS",
    "NvidiaVWS",
    "NvidiaCloudGaming",
    "QuadroRTX",
    "NvidiaRTX",
    "Nvidia",
    "GeForceRTX",
    "TitanRTX",
];

/// Architectures by NVML's numbers, from 2 on.
const ARCHITECTURES: [&str; 9] =
    ["Kepler", "Maxwell", "Pascal", "Volta", "Turing", "Ampere", "Ada Lovelace", "Hopper", "Blackwell"];

/// Name of a device: a DNS label. A MIG device has its profile in the name, because an instance of the same number may
/// be another one tomorrow.
pub(super) fn name(card: &Card, part: Part<'_>) -> String {
    let card = card.name();
    match part {
        Part::Whole => card,
        Part::Possible(possible) => possible.name(&card),
        Part::Existing(Partition { profile, instance: (gpu_instance, compute_instance), .. }) => {
            let label: String = profile
                .chars()
                .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
                .collect();
            format!("{card}-mig-{}-{gpu_instance}-{compute_instance}", label.to_ascii_lowercase())
        }
    }
}

/// A device as it is published.
pub(super) fn device(inventory: &Inventory, card: &Card, part: Part<'_>) -> PoolDevice {
    let mut fields = Map::from_iter([
        ("attributes".to_owned(), Value::Object(attributes(inventory, card, part, None))),
        ("capacity".to_owned(), Value::Object(capacity(card, part))),
    ]);
    if let (Part::Possible(possible), Some(layout)) = (part, &card.layout) {
        fields.insert("consumesCounters".to_owned(), layout.consumption(&card.name(), possible));
    }
    PoolDevice { name: name(card, part), fields: fields.into() }
}

/// What is known of a device that a selector may ask for. A MIG device that is made for claims has a UUID, `made`, only while
/// a claim has it.
pub(super) fn attributes(
    inventory: &Inventory,
    card: &Card,
    part: Part<'_>,
    made: Option<&str>,
) -> Map<String, Value> {
    let mut attributes = Map::new();
    let mut add = |name: &str, kind: &str, value: Option<Value>| {
        if let Some(value) = value {
            attributes.insert(name.to_owned(), json!({ kind: value }));
        }
    };
    let string = |text: &str| (text.len() <= LONGEST_STRING).then(|| json!(text));
    add("type", "string", Some(json!(if matches!(part, Part::Whole) { "gpu" } else { "mig" })));
    match part {
        Part::Whole => add("uuid", "string", string(&card.uuid)),
        Part::Possible(possible) => {
            add("uuid", "string", made.and_then(string));
            add("parentUUID", "string", string(&card.uuid));
            add("profile", "string", string(&possible.profile));
        }
        Part::Existing(partition) => {
            add("uuid", "string", string(&partition.uuid));
            add("parentUUID", "string", string(&card.uuid));
            add("profile", "string", string(&partition.profile));
        }
    }
    add("productName", "string", card.product.as_deref().and_then(string));
    let named = |names: &[&str], number: Option<u32>| {
        let place = usize::try_from(number?).ok()?;
        names.get(place).map(|name| json!(name))
    };
    add("brand", "string", named(&BRANDS, card.brand));
    let generation = card.architecture.and_then(|number| number.checked_sub(2));
    add("architecture", "string", named(&ARCHITECTURES, generation));
    let pair = |(major, minor): (u32, u32)| json!(format!("{major}.{minor}.0"));
    add("cudaComputeCapability", "version", card.compute_capability.map(pair));
    let driver = inventory.driver_version.as_deref().and_then(semantic);
    add("driverVersion", "version", driver.map(Value::String));
    add("cudaDriverVersion", "version", inventory.cuda_version.map(pair));
    add("resource.kubernetes.io/pciBusID", "string", string(&card.address));
    add("resource.kubernetes.io/pcieRoot", "string", card.pcie_root.as_deref().and_then(string));
    add("resource.kubernetes.io/numaNode", "int", card.numa_node.map(|node| json!(node)));
    attributes
}

fn capacity(card: &Card, part: Part<'_>) -> Map<String, Value> {
    let mut capacity = Map::new();
    let mut add = |name: &str, value: String| {
        capacity.insert(name.to_owned(), json!({ "value": value }));
    };
    let has = match part {
        Part::Whole => {
            if let Some(memory) = card.memory {
                add("memory", quantity(memory));
            }
            return capacity;
        }
        Part::Existing(partition) => partition.attributes.as_ref(),
        Part::Possible(possible) => Some(&possible.has),
    };
    if let Some(has) = has {
        add("memory", quantity(has.memory_mebibytes.saturating_mul(1 << 20)));
        add("multiprocessors", has.multiprocessors.to_string());
        add("copyEngines", has.copy_engines.to_string());
        add("decoders", has.decoders.to_string());
        add("encoders", has.encoders.to_string());
        add("jpegEngines", has.jpeg_engines.to_string());
        add("ofaEngines", has.ofa_engines.to_string());
    }
    capacity
}

/// A number of octets as the API server would write it, so that it changes nothing.
pub(super) fn quantity(octets: u64) -> String {
    let suffixes = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    let fitting = suffixes.iter().find(|(bits, _)| octets > 0 && octets.is_multiple_of(1 << bits));
    fitting.map_or_else(|| octets.to_string(), |(bits, suffix)| format!("{}{suffix}", octets >> bits))
}

/// `580.65.06` as a semantic version: three numbers without leading zeros.
fn semantic(version: &str) -> Option<String> {
    let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    match numbers?[..] {
        [major, minor] => Some(format!("{major}.{minor}.0")),
        [major, minor, patch] => Some(format!("{major}.{minor}.{patch}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic_or_left_out() {
        for (version, expected) in [
            ("580.105.08", Some("580.105.8")),
            ("390.157", Some("390.157.0")),
            ("580.105.08.1", None),
            ("580.x.1", None),
            ("", None),
        ] {
            assert_eq!(semantic(version).as_deref(), expected, "{version}");
        }
    }

    #[test]
    fn quantities_have_the_largest_unit_that_fits() {
        for (octets, expected) in
            [(81559 << 20, "81559Mi"), (80 << 30, "80Gi"), (1 << 40, "1Ti"), (1500, "1500"), (0, "0")]
        {
            assert_eq!(quantity(octets), expected);
        }
    }

    #[test]
    fn names_are_labels() {
        let card = Card { address: "10000:0a:00.0".to_owned(), ..Card::default() };
        assert_eq!(name(&card, Part::Whole), "gpu-10000-0a-00-0");
        let partition =
            Partition { profile: "1c.2g.20gb+me.all".to_owned(), instance: (13, 0), ..Partition::default() };
        let name = name(&card, Part::Existing(&partition));
        assert_eq!(name, "gpu-10000-0a-00-0-mig-1c-2g-20gb-me-all-13-0");
        assert!(name.len() <= 63);
    }
}
