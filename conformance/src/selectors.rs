//! The selectors that random problems use, each with its meaning in plain Rust.

use drayage_allocator::objects::{AttributeValue, Device};
use drayage_allocator::{ErrorKind, Features};

const DRIVER: &str = "gpu.example.com";

/// What a selector says of a device, or the kind of error it ends with.
pub type Verdict = Result<bool, ErrorKind>;

/// A selector and its meaning.
pub struct Selector {
    /// The text of the selector.
    pub expression: &'static str,
    meaning: fn(&str, &Device) -> Verdict,
}

/// Selectors that hold or not, and fail on few devices.
pub const USUAL: &[Selector] = &[
    Selector { expression: "true", meaning: |_, _| Ok(true) },
    Selector {
        expression: r#"device.driver == "gpu.example.com""#,
        meaning: |driver, _| Ok(driver == DRIVER),
    },
    Selector {
        expression: r#"device.attributes["gpu.example.com"].?model.orValue("none") == "a""#,
        meaning: |driver, device| Ok(attribute(driver, device, DRIVER, "model") == Some(&string("a"))),
    },
    Selector {
        expression: r#""model" in device.attributes["gpu.example.com"] && device.attributes["gpu.example.com"].model == "b""#,
        meaning: |driver, device| Ok(attribute(driver, device, DRIVER, "model") == Some(&string("b"))),
    },
    Selector {
        expression: r#"device.attributes["net.example.com"].?rack.orValue("r1") == "r1""#,
        meaning: |driver, device| {
            let rack = attribute(driver, device, "net.example.com", "rack");
            Ok(rack.is_none_or(|rack| *rack == string("r1")))
        },
    },
    Selector { expression: "device.allowMultipleAllocations", meaning: |_, device| Ok(shareable(device)) },
    Selector { expression: "!device.allowMultipleAllocations", meaning: |_, device| Ok(!shareable(device)) },
    Selector { expression: "false", meaning: |_, _| Ok(false) },
];

/// Selectors that fail where something is missing or of the wrong type.
pub const FRAGILE: &[Selector] = &[
    Selector {
        expression: r#"device.attributes["gpu.example.com"].model == "a""#,
        meaning: |driver, device| {
            attribute(driver, device, DRIVER, "model").map_or(FAILED, |model| Ok(*model == string("a")))
        },
    },
    Selector {
        expression: r#"device.attributes["gpu.example.com"].index > 0"#,
        meaning: |driver, device| match attribute(driver, device, DRIVER, "index") {
            Some(AttributeValue::Int(index)) => Ok(*index > 0),
            _ => FAILED,
        },
    },
    Selector {
        expression: r#"device.attributes["gpu.example.com"].flag"#,
        meaning: |driver, device| match attribute(driver, device, DRIVER, "flag") {
            Some(AttributeValue::Bool(flag)) => Ok(*flag),
            _ => FAILED,
        },
    },
    Selector {
        expression: r#"device.attributes["gpu.example.com"].version.isGreaterThan(semver("1.0.0"))"#,
        meaning: |driver, device| match attribute(driver, device, DRIVER, "version") {
            Some(AttributeValue::Version(version)) => Ok(version != "1.0.0"),
            _ => FAILED,
        },
    },
    Selector {
        expression: r#"device.capacity["gpu.example.com"].memory.compareTo(quantity("4")) >= 0"#,
        meaning: |driver, device| match (driver, device.capacity.get("memory")) {
            (DRIVER, Some(memory)) => Ok(memory.value >= "4".parse().unwrap()),
            _ => FAILED,
        },
    },
    Selector { expression: "device.nothing == 1", meaning: |_, _| Err(ErrorKind::CelCompile) },
];

const FAILED: Verdict = Err(ErrorKind::CelRuntime);

fn string(text: &str) -> AttributeValue {
    AttributeValue::String(text.to_owned())
}

fn shareable(device: &Device) -> bool {
    device.allow_multiple_allocations == Some(true)
}

fn attribute<'a>(driver: &str, device: &'a Device, domain: &str, id: &str) -> Option<&'a AttributeValue> {
    let full = device.attributes.get(&format!("{domain}/{id}"));
    if driver == domain { full.or_else(|| device.attributes.get(id)) } else { full }
}

/// What the expression says of the device. Every attribute must be a proper value, whether it is used or not.
pub fn evaluate(expression: &str, driver: &str, device: &Device, features: Features) -> Verdict {
    let selector = USUAL.iter().chain(FRAGILE).find(|selector| selector.expression == expression);
    let meaning = selector.expect("problems use the selectors of this file only").meaning;
    // Compilation comes before the device is looked at.
    if meaning(driver, device) == Err(ErrorKind::CelCompile) {
        return Err(ErrorKind::CelCompile);
    }
    let proper = |value: &AttributeValue| match value {
        AttributeValue::Unset => false,
        AttributeValue::Version(version) => version != "not-a-version",
        list => !list.is_list() || features.list_type_attributes,
    };
    if device.attributes.values().all(proper) { meaning(driver, device) } else { FAILED }
}
