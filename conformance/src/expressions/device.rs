//! Random devices for expressions.

use std::collections::BTreeMap;

use drayage_cel::{AttributeValue, Device, Quantity};
use serde_json::{Value, json};

use crate::random::Random;

/// A device as a slice has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Driver of the slice.
    pub driver: String,
    /// Attributes by name, with or without a domain.
    pub attributes: BTreeMap<String, AttributeValue>,
    /// Capacities by name, as text.
    pub capacity: BTreeMap<String, String>,
    /// Whether several claims may share it; absent where the slice does not say.
    pub allow_multiple_allocations: Option<bool>,
}

const STRINGS: &[&str] = &[
    "A100",
    "fish",
    "",
    "some_example_value",
    "héllo",
    "1.2.3",
    "80Gi",
    "a,b,c",
    "10.0.0.1",
    "2020-01-01T00:00:00Z",
    "42",
];
const VERSIONS: &[&str] = &["12.4.0", "1.0.0", "1.0.0-alpha.1", "1.0.0+build", "0.0.1"];
const CAPACITIES: &[&str] = &["80Gi", "108", "0", "1500m", "1e3", "0.1", "12Gi", "100G", "1Ki", "-1"];

/// The domain of the driver of every random device.
pub const DRIVER: &str = "gpu.example.com";
/// Another domain that devices may have.
pub const OTHER_DOMAIN: &str = "dra.example.com";

/// A random device. `lists`: with list attributes.
pub fn random(random: &mut Random, lists: bool) -> Described {
    let mut attributes = BTreeMap::new();
    let maybe = |random: &mut Random, name: &str, value: AttributeValue, to: &mut BTreeMap<_, _>| {
        if random.percent(75) {
            to.insert(name.to_owned(), value);
        }
    };
    let string = AttributeValue::String((*random.pick(STRINGS)).to_owned());
    maybe(random, "model", string, &mut attributes);
    let int = AttributeValue::Int(*random.pick(&[80, 0, 1, -1, 40, i64::MAX, 3]));
    maybe(random, "memory", int, &mut attributes);
    let small = AttributeValue::Int(i64::try_from(random.below(4)).unwrap_or_default());
    maybe(random, "numa", small, &mut attributes);
    let flag = AttributeValue::Bool(random.percent(50));
    maybe(random, "flag", flag, &mut attributes);
    let version = AttributeValue::Version((*random.pick(VERSIONS)).to_owned());
    maybe(random, "cuda", version, &mut attributes);
    let name = AttributeValue::String((*random.pick(STRINGS)).to_owned());
    maybe(random, "dra.example.com/name", name, &mut attributes);
    let index = AttributeValue::Int(i64::try_from(random.below(3)).unwrap_or_default());
    maybe(random, "dra.example.com/index", index, &mut attributes);
    if lists {
        let count = *random.pick(&[0, 1, 2, 3, 5]);
        let ints = AttributeValue::Ints(
            (0..count).map(|_| i64::try_from(random.below(5)).unwrap_or_default()).collect(),
        );
        maybe(random, "nums", ints, &mut attributes);
        let strings =
            AttributeValue::Strings((0..count).map(|_| (*random.pick(STRINGS)).to_owned()).collect());
        maybe(random, "names", strings, &mut attributes);
        let bools = AttributeValue::Bools((0..count).map(|_| random.percent(50)).collect());
        maybe(random, "flags", bools, &mut attributes);
        let versions =
            AttributeValue::Versions((0..count).map(|_| (*random.pick(VERSIONS)).to_owned()).collect());
        maybe(random, "dra.example.com/versions", versions, &mut attributes);
    }
    if random.per_mille(10) {
        attributes.insert("bad".to_owned(), AttributeValue::Version("1.2".to_owned()));
    }
    if random.per_mille(10) {
        attributes.insert("unset".to_owned(), AttributeValue::Unset);
    }
    let mut capacity = BTreeMap::new();
    for name in ["memory", "cores", "dra.example.com/slots"] {
        if random.percent(75) {
            capacity.insert(name.to_owned(), (*random.pick(CAPACITIES)).to_owned());
        }
    }
    let allow_multiple_allocations = *random.pick(&[None, Some(true), Some(false)]);
    Described { driver: DRIVER.to_owned(), attributes, capacity, allow_multiple_allocations }
}

impl Described {
    /// The device as the evaluation takes it.
    pub fn prepare(&self) -> Device {
        let capacity: Vec<(&str, Quantity)> = self
            .capacity
            .iter()
            .filter_map(|(name, text)| text.parse().ok().map(|quantity| (name.as_str(), quantity)))
            .collect();
        let capacity = capacity.iter().map(|(name, quantity)| (*name, quantity));
        Device::new(
            &self.driver,
            &self.attributes,
            capacity,
            self.allow_multiple_allocations.unwrap_or(false),
        )
    }

    /// The device as the peers read it, with the field names of the API.
    pub fn to_json(&self) -> Value {
        let attributes: serde_json::Map<String, Value> = self
            .attributes
            .iter()
            .map(|(name, value)| {
                let text = match value {
                    AttributeValue::Int(v) => json!(v),
                    AttributeValue::Bool(v) => json!(v),
                    AttributeValue::String(v) | AttributeValue::Version(v) => json!(v),
                    AttributeValue::Ints(v) => json!(v),
                    AttributeValue::Bools(v) => json!(v),
                    AttributeValue::Strings(v) | AttributeValue::Versions(v) => json!(v),
                    AttributeValue::Unset => return (name.clone(), json!({})),
                };
                (name.clone(), json!({ value.field_name(): text }))
            })
            .collect();
        let mut device = json!({
            "driver": self.driver,
            "attributes": attributes,
            "capacity": self.capacity,
        });
        if let Some(allow) = self.allow_multiple_allocations {
            device["allowMultipleAllocations"] = json!(allow);
        }
        device
    }

    /// Reads what [`Described::to_json`] wrote.
    pub fn from_json(json: &Value) -> Option<Self> {
        let texts = |value: &Value| -> Option<Vec<String>> {
            value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let mut attributes = BTreeMap::new();
        for (name, value) in json["attributes"].as_object()? {
            let value = match value.as_object()?.iter().next() {
                None => AttributeValue::Unset,
                Some((field, value)) => match field.as_str() {
                    "int" => AttributeValue::Int(value.as_i64()?),
                    "bool" => AttributeValue::Bool(value.as_bool()?),
                    "string" => AttributeValue::String(value.as_str()?.to_owned()),
                    "version" => AttributeValue::Version(value.as_str()?.to_owned()),
                    "ints" => AttributeValue::Ints(
                        value.as_array()?.iter().map(Value::as_i64).collect::<Option<_>>()?,
                    ),
                    "bools" => AttributeValue::Bools(
                        value.as_array()?.iter().map(Value::as_bool).collect::<Option<_>>()?,
                    ),
                    "strings" => AttributeValue::Strings(texts(value)?),
                    "versions" => AttributeValue::Versions(texts(value)?),
                    _ => return None,
                },
            };
            attributes.insert(name.clone(), value);
        }
        let capacity = json["capacity"]
            .as_object()?
            .iter()
            .map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())))
            .collect::<Option<_>>()?;
        Some(Self {
            driver: json["driver"].as_str()?.to_owned(),
            attributes,
            capacity,
            allow_multiple_allocations: json["allowMultipleAllocations"].as_bool(),
        })
    }
}
