//! Selectors as people write them.

use std::collections::BTreeMap;

use drayage_cel::{AttributeValue, Compiler, Device, Environment, EvaluationError};

fn device() -> Device {
    let attributes = BTreeMap::from([
        ("model".to_owned(), AttributeValue::String("A100".to_owned())),
        ("memory".to_owned(), AttributeValue::Int(80)),
        ("healthy".to_owned(), AttributeValue::Bool(true)),
    ]);
    Device::new("gpu.example.com", &attributes, std::iter::empty(), false)
}

fn matches(expression: &str) -> Result<bool, EvaluationError> {
    Compiler::new(Environment::default()).compile_selector(expression).expect("compiles").matches(&device())
}

#[test]
fn comparisons_with_attributes() {
    assert_eq!(matches(r#"device.driver == "gpu.example.com""#), Ok(true));
    assert_eq!(matches(r#"device.attributes["gpu.example.com"].model == "H100""#), Ok(false));
    assert_eq!(
        matches(r#"device.attributes["gpu.example.com"].memory > 40 && !device.allowMultipleAllocations"#),
        Ok(true)
    );
    assert_eq!(matches(r#"device.attributes["gpu.example.com"].healthy"#), Ok(true));
}

#[test]
fn a_missing_attribute_is_an_error_unless_asked_for() {
    assert_eq!(
        matches(r#"device.attributes["gpu.example.com"].color == "red""#),
        Err(EvaluationError::NoSuchKey("color".to_owned()))
    );
    assert_eq!(matches(r#"has(device.attributes["gpu.example.com"].color)"#), Ok(false));
    assert_eq!(matches(r#""nic.example.com" in device.attributes"#), Ok(false));
    assert_eq!(matches(r#"has(device.attributes["nic.example.com"].speed)"#), Ok(false));
}
