//! JSON objects that are kept in large numbers, as text: a tree of the same takes twenty times the memory.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The fields of an object. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields(Arc<str>);

impl Fields {
    /// All fields.
    pub fn map(&self) -> Map<String, Value> {
        // It was made of a map.
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// One field.
    pub fn get(&self, name: &str) -> Option<Value> {
        // What is not in the text need not be looked for.
        if self.0.contains(name) { self.map().remove(name) } else { None }
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets a field, and returns what it was.
    pub fn insert(&mut self, name: String, value: Value) -> Option<Value> {
        let mut map = self.map();
        let before = map.insert(name, value);
        *self = Self::from(&map);
        before
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl From<&Map<String, Value>> for Fields {
    fn from(map: &Map<String, Value>) -> Self {
        // Strings and values: nothing that JSON lacks.
        Self(serde_json::to_string(map).unwrap_or_else(|_| "{}".to_owned()).into())
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self::from(&map)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.map().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn fields_are_what_they_were_made_of(
            entries in prop::collection::btree_map("[a-c\"\\\\é]{0,3}", any::<i64>(), 0..6),
        ) {
            let map: Map<String, Value> =
                entries.iter().map(|(name, value)| (name.clone(), json!({"b": value}))).collect();
            let fields = Fields::from(&map);
            prop_assert_eq!(fields.map(), map.clone());
            prop_assert_eq!(fields.is_empty(), map.is_empty());
            for name in ["a", "b", "\"", "\\", "é"] {
                prop_assert_eq!(fields.get(name), map.get(name).cloned());
            }
            let mut more = fields.clone();
            prop_assert_eq!(more.insert("a".to_owned(), json!(1)), map.get("a").cloned());
            prop_assert_eq!(more.get("a"), Some(json!(1)));
            prop_assert_eq!(fields.get("a"), map.get("a").cloned());
        }
    }
}
