//! JSON objects that are kept in large numbers, as text: a tree of the same takes twenty times the memory.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The fields of an object. Clones share the text. Objects with equal fields may have different texts if their fields are
/// in another order; what was made of a [`Map`] has them in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields(Arc<str>);

impl Fields {
    /// All fields.
    pub fn map(&self) -> Map<String, Value> {
        #[cfg(test)]
        tests::MAPS.with(|maps| maps.set(maps.get() + 1));
        // It was made of an object.
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The object as JSON without blanks.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The fields of a JSON object. The caller knows that the text is one, without blanks around it.
    pub(crate) fn of_object(text: String) -> Self {
        debug_assert!(serde_json::from_str::<Map<String, Value>>(&text).is_ok(), "no object: {text}");
        Self(text.into())
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
    /// Of whatever tells of an object, without a tree in between.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Vec::new();
        deserializer.deserialize_map(Copy { text: &mut text, object: true })?;
        let text = String::from_utf8(text).map_err(serde::de::Error::custom)?;
        Ok(Self(text.into()))
    }
}

/// Writes down what is read, as JSON.
struct Copy<'t> {
    text: &'t mut Vec<u8>,
    /// Whether only an object will do.
    object: bool,
}

impl Copy<'_> {
    fn within(text: &mut Vec<u8>) -> Copy<'_> {
        Copy { text, object: false }
    }

    fn scalar<T: Serialize, E: serde::de::Error>(self, value: &T) -> Result<(), E> {
        if self.object {
            return Err(E::custom("expected an object"));
        }
        serde_json::to_writer(self.text, value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.object { "an object" } else { "JSON" })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(&())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        if self.object {
            return Err(serde::de::Error::custom("expected an object"));
        }
        self.text.push(b'[');
        let start = self.text.len();
        loop {
            let before = self.text.len();
            if before > start {
                self.text.push(b',');
            }
            if values.next_element_seed(Copy::within(self.text))?.is_none() {
                self.text.truncate(before);
                break;
            }
        }
        self.text.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.text.push(b'{');
        let start = self.text.len();
        loop {
            let before = self.text.len();
            if before > start {
                self.text.push(b',');
            }
            if fields.next_key_seed(Copy::within(self.text))?.is_none() {
                self.text.truncate(before);
                break;
            }
            self.text.push(b':');
            fields.next_value_seed(Copy::within(self.text))?;
        }
        self.text.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    thread_local! {
        /// How often a tree was made of a text by this thread.
        pub(crate) static MAPS: Cell<usize> = const { Cell::new(0) };
    }

    /// Any JSON.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1000..1000_i32).prop_map(|number| Value::from(f64::from(number) / 4.0)),
            "[a-c\"\\\\é\n]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"é]{0,2}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// As text, as a tree, and buffered by serde: whatever tells of an object.
        #[test]
        fn what_is_copied_is_what_was_read(value in any_value()) {
            let object = json!({ "value": value });
            let map = object.as_object().expect("an object").clone();
            let text: Fields = serde_json::from_str(&serde_json::to_string_pretty(&object).expect("JSON")).expect("JSON");
            prop_assert_eq!(&text, &Fields::from(&map));
            prop_assert_eq!(&serde_json::from_value::<Fields>(object).expect("JSON"), &text);
            prop_assert!(serde_json::from_value::<Fields>(json!([value])).is_err());
            prop_assert!(serde_json::from_value::<Fields>(json!(null)).is_err());
        }

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
