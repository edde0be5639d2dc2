//! A parsed document, before anything is known of its kind: JSON's data model with the place of every value.
//!
//! Both parsers build it. Scalars borrow from the source text where they can, and numbers stay text, so that a
//! quantity such as `0.10` keeps its digits.

use std::borrow::Cow;

/// One value and where it starts.
#[derive(Clone, Debug)]
pub(crate) struct Node<'t> {
    /// Byte offset of the value in the whole source.
    pub(crate) at: usize,
    /// The value.
    pub(crate) value: Value<'t>,
}

/// JSON's data model.
#[derive(Clone, Debug)]
pub(crate) enum Value<'t> {
    /// `null`, or nothing after a YAML key.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number in JSON's notation.
    Number(Cow<'t, str>),
    /// Text, unescaped.
    Text(Cow<'t, str>),
    /// A list.
    List(Vec<Node<'t>>),
    /// An object, in the order of the source. Keys are unique; the parsers refuse duplicates.
    Map(Vec<Entry<'t>>),
}

/// One field of an object.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'t> {
    /// Its name.
    pub(crate) key: Cow<'t, str>,
    /// Byte offset of the name.
    pub(crate) key_at: usize,
    /// Its value.
    pub(crate) node: Node<'t>,
}

impl<'t> Value<'t> {
    /// What a message calls such a value.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }

    /// The value of a field, if this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node<'t>> {
        match self {
            Self::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as `serde_json` has it; a number beyond its range becomes the nearest float, or null.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(text) => serde_json::from_str(text).unwrap_or(serde_json::Value::Null),
            Self::Text(text) => text.as_ref().into(),
            Self::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Self::Map(entries) => serde_json::Value::Object(
                entries.iter().map(|entry| (entry.key.to_string(), entry.node.value.to_json())).collect(),
            ),
        }
    }

    /// Writes the value as compact JSON, fields in the order of the source.
    pub(crate) fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => write_json_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.value.write_json(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_json_text(&entry.key, out);
                    out.push(':');
                    entry.node.value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

/// Equality of content; places do not count, the order of an object's fields neither.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Number(left), Self::Number(right)) | (Self::Text(left), Self::Text(right)) => {
                left == right
            }
            (Self::List(left), Self::List(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|(left, right)| left.value == right.value)
            }
            (Self::Map(left), Self::Map(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .all(|entry| other.get(&entry.key).is_some_and(|node| node.value == entry.node.value))
            }
            _ => false,
        }
    }
}

fn write_json_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use crate::{json, yaml};

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            "\\PC{0,12}".prop_map(Json::from),
            "[\\x00-\\x7f]{0,6}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map("\\PC{0,6}", inner, 0..4)
                    .prop_map(|fields| Json::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn both_parsers_read_json_as_serde_json_does(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let node = json::parse(&text).map_err(|error| TestCaseError::fail(error.message))?;
            prop_assert_eq!(node.value.to_json(), value.clone());
            let mut written = String::new();
            node.value.write_json(&mut written);
            prop_assert_eq!(written.parse::<Json>().expect("JSON"), value.clone());
            // YAML 1.2 takes all JSON but for escaped characters beyond the basic plane, which serde_json does not write
            if value.is_object() {
                let node = yaml::parse_document(&text, 0, text.len())
                    .map_err(|error| TestCaseError::fail(error.message))?;
                prop_assert_eq!(node.value.to_json(), value);
            }
        }

        #[test]
        fn places_point_at_the_value(value in any_json()) {
            let text = value.to_string();
            let node = json::parse(&text).map_err(|error| TestCaseError::fail(error.message))?;
            let mut nodes = vec![&node];
            while let Some(node) = nodes.pop() {
                let rest = &text[node.at..];
                let mut written = String::new();
                node.value.write_json(&mut written);
                prop_assert!(rest.starts_with(&written), "{rest} does not begin with {written}");
                match &node.value {
                    super::Value::List(items) => nodes.extend(items),
                    super::Value::Map(entries) => nodes.extend(entries.iter().map(|entry| &entry.node)),
                    _ => {}
                }
            }
        }
    }
}
