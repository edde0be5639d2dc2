//! Values at run time.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::EvaluationError;
use crate::quantity::Quantity;
use crate::rewrapped::error_of;
use crate::semantic_version::SemanticVersion;
use crate::timestamp::Timestamp;
use crate::types::{Type, names};

/// A value of an evaluation. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`
    Null,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`
    Uint(u64),
    /// `double`
    Double(f64),
    /// `string`
    String(Arc<str>),
    /// `bytes`
    Bytes(Arc<[u8]>),
    /// `google.protobuf.Duration`, in nanoseconds
    Duration(i64),
    /// `google.protobuf.Timestamp`
    Timestamp(Timestamp),
    /// `list`
    List(Arc<List>),
    /// `map`
    Map(Arc<Map>),
    /// A type
    Type(Arc<Type>),
    /// `optional_type`
    Optional(Option<Arc<Value>>),
    /// `kubernetes.Quantity`
    Quantity(Arc<Quantity>),
    /// A quantity that `add` or `sub` gave. Upstream holds it by pointer, and its `==` knows a pointer only on
    /// the left: comparing a quantity with one of these on the right is "no such overload".
    QuantitySum(Arc<Quantity>),
    /// `kubernetes.Semver`
    Semver(Arc<SemanticVersion>),
    /// The other types that Kubernetes adds: `net.IP`, `net.CIDR`, `kubernetes.URL`, `kubernetes.NamedFormat`
    Object(Arc<dyn Object>),
}

/// A value of a type that Kubernetes adds and that only its library looks into.
pub trait Object: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// The name of its type, as `type(x)` prints it.
    fn type_name(&self) -> &'static str;
    /// Equality with another value; an error where upstream says "no such overload".
    fn equals(&self, other: &Value) -> Result<bool, EvaluationError>;
    /// What `size` is for the cost rules; none for types that have no size upstream.
    fn size(&self) -> Option<u64> {
        None
    }
    /// For the library to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// How much one value may weigh; see [`List::new`].
pub(crate) const MAX_WEIGHT: u64 = 1 << 18;

/// A list with the weight of everything in it.
#[derive(Clone, Debug, Default)]
pub struct List {
    items: Vec<Value>,
    weight: u64,
}

impl List {
    /// A list of these values. An error if list and contents are heavier than any sensible selector needs: the
    /// weight counts every element of nested lists as often as it is reached, so that comparing and printing,
    /// which visit them, stay bounded even where the elements are shared.
    pub fn new(items: Vec<Value>) -> Result<Self, EvaluationError> {
        let weight = items.iter().fold(1_u64, |sum, item| sum.saturating_add(item.weight()));
        if weight > MAX_WEIGHT {
            return Err(EvaluationError::TooLarge);
        }
        Ok(Self { items, weight })
    }

    /// Appends one value under the same limit.
    pub(crate) fn push(&mut self, item: Value) -> Result<(), EvaluationError> {
        let weight = self.weight.saturating_add(item.weight());
        if weight > MAX_WEIGHT {
            return Err(EvaluationError::TooLarge);
        }
        self.weight = weight;
        self.items.push(item);
        Ok(())
    }
}

impl std::ops::Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`, where it is not also an `int`
    Uint(u64),
    /// `string`
    String(Arc<str>),
    /// `double`, where it is not also an integer: its bits
    Double(u64),
    /// `null`
    Null,
}

impl Key {
    /// The key that finds `value` in a map: numbers that are equal find each other. None for values that no
    /// key equals.
    pub fn find(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Uint(u) => i64::try_from(*u).map_or(Self::Uint(*u), Self::Int),
            Value::Double(d) if d.is_nan() => return None,
            Value::Double(d) => crate::number::double_to_key(*d).unwrap_or(Self::Double(d.to_bits())),
            Value::Null => Self::Null,
            Value::String(s) => Self::String(Arc::clone(s)),
            _ => return None,
        })
    }
}

/// A map with the weight of everything in it. Iteration is in the order of the keys, so that equal input
/// gives equal output; upstream iterates in random order.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// The value of the key as written, kept because `1u` and `1` find each other but print differently.
    entries: BTreeMap<Key, (Value, Value)>,
    /// Entries under keys of other types, in the order of their insertion.
    others: Vec<(Value, Value)>,
    weight: u64,
    default_empty: bool,
}

/// A key as an iteration hands it out.
#[derive(Clone, Copy, Debug)]
pub struct KeyRef<'a>(&'a Value);

impl KeyRef<'_> {
    /// The key as a value.
    pub fn to_value(self) -> Value {
        self.0.clone()
    }
}

impl Map {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// A map in which looking up any missing key gives an empty map, while iteration, `in` and `size` see
    /// only what is there: `device.attributes` and `device.capacity`.
    pub(crate) fn with_empty_default() -> Self {
        Self { default_empty: true, ..Self::default() }
    }

    /// Sets an entry. An error for a key of a type that upstream cannot hash (it panics then), and where
    /// the map gets heavier than [`List::new`] allows.
    pub fn insert(&mut self, key: Value, value: Value) -> Result<(), EvaluationError> {
        let format = matches!(&key, Value::Object(object) if object.type_name() == names::FORMAT);
        if format || matches!(key, Value::Bytes(_) | Value::Semver(_)) {
            let what = format!("a map cannot have keys of the type {}", key.type_name());
            return Err(EvaluationError::Internal(what));
        }
        let weight = self.weight.saturating_add(key.weight()).saturating_add(value.weight());
        if weight > MAX_WEIGHT {
            return Err(EvaluationError::TooLarge);
        }
        self.weight = weight;
        if let Some(found) = Key::find(&key) {
            self.entries.insert(found, (key, value));
            return Ok(());
        }
        match self.others.iter_mut().find(|(known, _)| known.is_same_key(&key)) {
            Some(entry) => entry.1 = value,
            None => self.others.push((key, value)),
        }
        Ok(())
    }

    /// Takes an entry away, if there is one.
    pub(crate) fn remove(&mut self, key: &Value) {
        let removed = if let Some(key) = Key::find(key) {
            self.entries.remove(&key)
        } else {
            let at = self.others.iter().position(|(known, _)| known.is_same_key(key));
            at.map(|at| self.others.remove(at))
        };
        if let Some((key, value)) = removed {
            self.weight = self.weight.saturating_sub(key.weight().saturating_add(value.weight()));
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len() + self.others.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.others.is_empty()
    }

    /// Whether there is an entry with this key.
    pub fn contains(&self, key: &Value) -> bool {
        self.get(key).is_some()
    }

    /// The value under a key that is really there.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        match Key::find(key) {
            Some(key) => self.get_key(&key),
            None => self.others.iter().find(|(known, _)| known.is_same_key(key)).map(|(_, value)| value),
        }
    }

    /// The same by the key itself.
    pub(crate) fn get_key(&self, key: &Key) -> Option<&Value> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The value that selecting or indexing gives: as [`Map::get`], but for the default of the device maps.
    pub(crate) fn select(&self, key: &Value) -> Option<Value> {
        match self.get(key) {
            Some(value) => Some(value.clone()),
            None if self.default_empty => Some(Value::Map(Arc::new(Self::new()))),
            None => None,
        }
    }

    /// Keys and values, in the order of the keys, those of other types than scalars last.
    pub fn iter(&self) -> impl Iterator<Item = (KeyRef<'_>, &Value)> {
        self.entries.values().chain(&self.others).map(|(key, value)| (KeyRef(key), value))
    }
}

impl Value {
    /// A string.
    pub fn string(text: impl AsRef<str>) -> Self {
        Self::String(Arc::from(text.as_ref()))
    }

    /// A list, see [`List::new`] for the error.
    pub fn list(items: Vec<Self>) -> Result<Self, EvaluationError> {
        Ok(Self::List(Arc::new(List::new(items)?)))
    }

    /// A list of strings, see [`List::new`] for the error.
    pub fn strings<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Result<Self, EvaluationError> {
        Self::list(items.into_iter().map(Self::string).collect())
    }

    /// A quantity.
    pub fn quantity(quantity: Quantity) -> Self {
        Self::Quantity(Arc::new(quantity))
    }

    /// A semantic version.
    pub fn semver(version: SemanticVersion) -> Self {
        Self::Semver(Arc::new(version))
    }

    /// A value of a type that Kubernetes adds.
    pub fn object(object: impl Object) -> Self {
        Self::Object(Arc::new(object))
    }

    /// An optional that holds `value`.
    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// The optional that holds nothing.
    pub const NONE: Self = Self::Optional(None);

    /// The name of the type at run time, as `type(x)` prints it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Quantity(_) | Self::QuantitySum(_) => names::QUANTITY,
            Self::Semver(_) => names::SEMVER,
            Self::Object(object) => object.type_name(),
        }
    }

    /// The type at run time; element types are `dyn`.
    pub fn runtime_type(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Duration(_) => Type::Duration,
            Self::Timestamp(_) => Type::Timestamp,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Type(_) => Type::Type(None),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Quantity(_) | Self::QuantitySum(_) => Type::QUANTITY,
            Self::Semver(_) => Type::SEMVER,
            Self::Object(object) => match object.type_name() {
                name @ (names::IP | names::CIDR) => Type::Opaque(name),
                name => Type::Object(name),
            },
        }
    }

    /// The size that cost rules use: characters of a string, bytes, elements, entries; 1 for everything else.
    pub fn cost_size(&self) -> u64 {
        match self {
            Self::String(text) => text.chars().count() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Optional(Some(value)) => value.cost_size(),
            Self::Object(object) => object.size().unwrap_or(1),
            _ => 1,
        }
    }

    /// How heavy the value is, see [`List::new`].
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::String(text) => 1 + text.len() as u64 / 16,
            Self::Bytes(bytes) => 1 + bytes.len() as u64 / 16,
            Self::List(list) => list.weight.saturating_add(1),
            Self::Map(map) => map.weight.saturating_add(1),
            Self::Optional(Some(value)) => value.weight().saturating_add(1),
            _ => 1,
        }
    }

    /// Whether two values that are no scalars are one key of a map: upstream hashes some by what they are and others
    /// by where they are, so that `quantity("1")` is never found under another `quantity("1")`.
    fn is_same_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a.is_same(b),
            (Self::Type(a), Self::Type(b)) => a.runtime_name() == b.runtime_name(),
            (Self::Optional(None), Self::Optional(None)) => true,
            (Self::Optional(Some(a)), Self::Optional(Some(b))) => Arc::ptr_eq(a, b),
            (Self::Quantity(a), Self::Quantity(b)) | (Self::QuantitySum(a), Self::QuantitySum(b)) => {
                Arc::ptr_eq(a, b)
            }
            (Self::List(a), Self::List(b)) => Arc::ptr_eq(a, b),
            (Self::Map(a), Self::Map(b)) => Arc::ptr_eq(a, b),
            (Self::Object(a), Self::Object(b)) if a.type_name() == names::URL => {
                std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
            }
            (Self::Object(a), _) => a.equals(other) == Ok(true),
            _ => false,
        }
    }

    /// CEL's `==` on two values, as cel-go has it: numbers compare across types, values of different types
    /// are unequal, and Kubernetes' own types refuse to be compared with anything else.
    pub fn equals(&self, other: &Self) -> Result<bool, EvaluationError> {
        let no_overload = || EvaluationError::no_such_overload("");
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Null, _) | (_, Self::Null) => false,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (
                Self::Int(_) | Self::Uint(_) | Self::Double(_),
                Self::Int(_) | Self::Uint(_) | Self::Double(_),
            ) => crate::number::compare(self, other) == Some(std::cmp::Ordering::Equal),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a.runtime_name() == b.runtime_name(),
            // An element pair that cannot be compared counts as equal in cel-go; only a clear "no" is a no.
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x.equals(y) != Ok(false))
            }
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, x)| b.get(key.0).is_some_and(|y| x.equals(y) != Ok(false)))
            }
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => a.equals(b)?,
                _ => false,
            },
            (Self::Quantity(a) | Self::QuantitySum(a), Self::Quantity(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a.precedence(b).is_eq(),
            (Self::Object(object), other) => {
                if let Some(error) = error_of(other) {
                    return Err(error);
                }
                object.equals(other)?
            }
            (Self::Quantity(_) | Self::QuantitySum(_) | Self::Semver(_), _) => {
                return Err(error_of(other).unwrap_or_else(no_overload));
            }
            _ => false,
        })
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other) == Ok(true)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::string(value)
    }
}
