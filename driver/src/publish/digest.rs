//! What a specification says as one number, found without a tree of it: of thousands of devices most comparisons are
//! between texts that say the same in other words.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use drayage_allocator::objects::Quantity;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A number for the fields of an object: equal if [`super::compare::same`] says so, and of objects that differ equal by
/// chance only, once in 2^64. The digest of an object is the sum of those of its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    /// Of the text of an object. None for what is no object, or what has to be looked at more closely.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let entries = deserializer.deserialize_map(Entries(Inside::Top)).ok()?;
        deserializer.end().ok()?;
        Some(Self(entries.sum))
    }

    /// Of an object with the fields of both, which have none in common.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

/// The part of a specification that a value is in, as far as it has rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Top,
    Capacity,
    Counters,
    Taints,
    Other,
}

impl Inside {
    fn field(self, name: &str) -> Self {
        match (self, name) {
            (Self::Capacity | Self::Counters | Self::Taints, _) => self,
            (_, "capacity") => Self::Capacity,
            (_, "counters") => Self::Counters,
            (_, "taints") => Self::Taints,
            _ => Self::Other,
        }
    }
}

fn number(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    // Zero is for what is empty.
    hasher.finish().max(1)
}

/// What is empty, which is the same as what is not there.
const EMPTY: u64 = 0;

/// Digest of one value.
struct OneValue(Inside);

impl OneValue {
    /// Quantities count as numbers, whatever they are written like.
    fn text(&self, text: &str) -> u64 {
        if text.is_empty() {
            return EMPTY;
        }
        if matches!(self.0, Inside::Capacity | Inside::Counters)
            && let Ok(quantity) = text.parse::<Quantity>()
        {
            return number(("quantity", quantity));
        }
        number(("text", text))
    }

    fn count(&self, text: &str) -> u64 {
        // Capacities may be written as numbers.
        if self.0 == Inside::Capacity { self.text(text) } else { number(("number", text)) }
    }
}

impl<'de> DeserializeSeed<'de> for OneValue {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneValue {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<u64, E> {
        Ok(EMPTY)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<u64, E> {
        Ok(if value { number("true") } else { EMPTY })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        Ok(self.count(&value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        Ok(self.count(&value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        Ok(self.count(&serde_json::Value::from(value).to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<u64, E> {
        Ok(self.text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<u64, A::Error> {
        let mut found = EMPTY;
        while let Some(value) = values.next_element_seed(OneValue(self.0))? {
            found = number((found, value));
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<u64, A::Error> {
        let Sum { sum, fields } = Entries(self.0).visit_map(fields)?;
        Ok(if fields == 0 { EMPTY } else { number(("fields", sum)) })
    }
}

/// Digests of all fields of an object.
struct Entries(Inside);

struct Sum {
    sum: u64,
    /// How many there are that are not empty.
    fields: usize,
}

impl<'de> Visitor<'de> for Entries {
    type Value = Sum;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Sum, A::Error> {
        let mut sum = Sum { sum: 0, fields: 0 };
        while let Some((name, inside)) = fields.next_key_seed(Name(self.0))? {
            let value = fields.next_value_seed(OneValue(inside))?;
            if value != EMPTY {
                sum.fields += 1;
                sum.sum = sum.sum.wrapping_add(number((name, value)));
            }
        }
        Ok(sum)
    }
}

/// Digest of a name, with the part that its value is in.
struct Name(Inside);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = (u64, Inside);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = (u64, Inside);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        if self.0 == Inside::Taints && name == "timeAdded" {
            // A server may add one, or cut one: a comparison that looks at both sides.
            return Err(E::custom("a time"));
        }
        Ok((number(name), self.0.field(name)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{devices::fields::tests::any_value, publish::compare::same};

    fn digest(value: &Value) -> Option<Digest> {
        Digest::of(&value.to_string())
    }

    fn object(value: &Value) -> &Map<String, Value> {
        value.as_object().expect("an object")
    }

    /// A specification that is likely to be much like another one, in words that have rules of their own.
    fn specification() -> impl Strategy<Value = Value> {
        let amount = prop_oneof![
            Just(json!("1Gi")),
            Just(json!("1024Mi")),
            Just(json!(1024)),
            Just(json!("1Ki")),
            Just(json!("")),
            Just(json!("x")),
        ];
        let part = prop_oneof![Just("capacity"), Just("counters"), Just("taints"), Just("attributes")];
        let inner =
            (prop::collection::btree_map("[ab]", amount, 0..3), prop::collection::vec(any_value(), 0..2));
        prop::collection::btree_map(part, inner, 0..3).prop_map(|parts| {
            let fields = parts.into_iter().map(|(part, (amounts, others))| {
                (part.to_owned(), json!({ "values": amounts, "others": others }))
            });
            json!({ "devices": [Value::Object(fields.collect())] })
        })
    }

    proptest! {
        /// Digests say what the comparison of trees says.
        #[test]
        fn equal_digests_are_of_the_same(one in specification(), other in specification()) {
            prop_assert!(digest(&one).is_some());
            prop_assert!(same(object(&one), object(&one)));
            let is_same = same(object(&one), object(&other));
            prop_assert_eq!(digest(&one) == digest(&other), is_same, "{} {}", one, other);
        }
    }

    #[test]
    fn order_empty_fields_and_the_writing_of_quantities_do_not_count() {
        let one = r#"{"a":{"x":1,"y":[true]},"devices":[{"capacity":{"m":{"value":"1024Mi"}},"taints":[]}]}"#;
        let other =
            r#"{ "devices": [{"capacity": {"m": {"value": "1Gi"}}}], "b": "", "a": {"y": [true], "x": 1} }"#;
        assert_eq!(Digest::of(one), Digest::of(other));
        assert_ne!(Digest::of(r#"{"a":1,"b":2}"#), Digest::of(r#"{"a":2,"b":1}"#));
        assert_ne!(Digest::of(r#"{"a":["1Gi"]}"#), Digest::of(r#"{"a":["1024Mi"]}"#));
        assert_ne!(Digest::of(r#"{"a":["x",""]}"#), Digest::of(r#"{"a":["x"]}"#));
        assert_eq!(Digest::of(r#"{"a":{"x":""}}"#), Digest::of("{}"));
        assert_eq!(Digest::of(r#"{"taints":[{"timeAdded":"2026-01-02T03:04:05Z"}]}"#), None);
        assert_eq!((Digest::of("[]"), Digest::of("{} {}"), Digest::of("")), (None, None, None));
    }

    #[test]
    fn the_whole_is_the_sum_of_its_parts() {
        let parts = Digest::of(r#"{"a":{"x":1}}"#).zip(Digest::of(r#"{"b":[1]}"#));
        let (one, other) = parts.expect("two digests");
        assert_eq!(Some(one.and(other)), Digest::of(r#"{"b":[1],"a":{"x":1}}"#));
    }
}
