//! Devices as CEL sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attribute::AttributeValue;
use crate::error::EvaluationError;
use crate::quantity::Quantity;
use crate::semantic_version::SemanticVersion;
use crate::value::{Map, Value};

/// A device prepared for evaluation: attributes and capacities by domain and identifier.
///
/// An attribute that CEL cannot take (a malformed version, a value without a type) does not fail here: it fails
/// every evaluation on the device, as upstream does up to 1.36. The first one in the order of names is reported,
/// upstream a random one.
#[derive(Clone, Debug)]
pub struct Device {
    root: Value,
    error: Option<EvaluationError>,
    list_error: Option<EvaluationError>,
}

impl Device {
    /// Prepares a device. Names without a domain belong to the domain of the driver; an attribute of which both
    /// forms are published is taken from the one with the domain (upstream from a random one).
    pub fn new<'c>(
        driver: &str,
        attributes: &BTreeMap<String, AttributeValue>,
        capacity: impl Iterator<Item = (&'c str, &'c Quantity)>,
        allow_multiple_allocations: bool,
    ) -> Self {
        let mut error = None;
        let mut list_error = None;
        let mut values = Vec::new();
        for (name, attribute) in attributes {
            if attribute.is_list() {
                list_error.get_or_insert_with(|| unsupported(name));
            }
            match attribute_value(name, attribute) {
                Ok(value) => values.push((name.as_str(), value)),
                Err(this) => {
                    error.get_or_insert(this);
                }
            }
        }
        let capacity = capacity.map(|(name, quantity)| (name, Value::quantity(quantity.clone()))).collect();
        let root = device_map(driver, values, capacity, allow_multiple_allocations).unwrap_or_else(|this| {
            error.get_or_insert(this);
            Value::Null
        });
        Self { root, list_error: list_error.or_else(|| error.clone()), error }
    }

    /// The value of the variable `device`, or why there is none.
    pub(crate) fn presented(&self, with_lists: bool) -> Result<&Value, &EvaluationError> {
        let error = if with_lists { &self.error } else { &self.list_error };
        error.as_ref().map_or(Ok(&self.root), Err)
    }
}

fn device_map(
    driver: &str,
    attributes: Vec<(&str, Value)>,
    capacity: Vec<(&str, Value)>,
    allow_multiple_allocations: bool,
) -> Result<Value, EvaluationError> {
    let mut root = Map::new();
    root.insert("driver".into(), driver.into())?;
    root.insert("allowMultipleAllocations".into(), allow_multiple_allocations.into())?;
    root.insert("attributes".into(), by_domain(driver, attributes)?)?;
    root.insert("capacity".into(), by_domain(driver, capacity)?)?;
    Ok(Value::Map(Arc::new(root)))
}

fn by_domain(driver: &str, values: Vec<(&str, Value)>) -> Result<Value, EvaluationError> {
    let mut domains: BTreeMap<&str, Map> = BTreeMap::new();
    // Names with a domain come second and win.
    let (qualified, plain): (Vec<_>, Vec<_>) = values.into_iter().partition(|(name, _)| name.contains('/'));
    for (name, value) in plain.into_iter().chain(qualified) {
        let (domain, id) = name.split_once('/').unwrap_or((driver, name));
        domains.entry(domain).or_default().insert(id.into(), value)?;
    }
    let mut all = Map::with_empty_default();
    for (domain, ids) in domains {
        all.insert(domain.into(), Value::Map(Arc::new(ids)))?;
    }
    Ok(Value::Map(Arc::new(all)))
}

fn unsupported(name: &str) -> EvaluationError {
    EvaluationError::Attribute { name: name.to_owned(), reason: "unsupported attribute value".to_owned() }
}

fn attribute_value(name: &str, attribute: &AttributeValue) -> Result<Value, EvaluationError> {
    let version = |text: &String| -> Result<Value, EvaluationError> {
        text.parse::<SemanticVersion>().map(Value::semver).map_err(|error| EvaluationError::Attribute {
            name: name.to_owned(),
            reason: format!("parse semantic version: {error}"),
        })
    };
    match attribute {
        AttributeValue::Int(value) => Ok(Value::Int(*value)),
        AttributeValue::Bool(value) => Ok(Value::Bool(*value)),
        AttributeValue::String(value) => Ok(Value::string(value)),
        AttributeValue::Version(text) => version(text),
        AttributeValue::Ints(values) => Value::list(values.iter().copied().map(Value::Int).collect()),
        AttributeValue::Bools(values) => Value::list(values.iter().copied().map(Value::Bool).collect()),
        AttributeValue::Strings(values) => Value::strings(values),
        AttributeValue::Versions(values) => {
            Value::list(values.iter().map(version).collect::<Result<Vec<_>, _>>()?)
        }
        AttributeValue::Unset => Err(unsupported(name)),
    }
}
