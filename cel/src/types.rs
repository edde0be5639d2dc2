//! Static types of CEL expressions.

use std::fmt;
use std::sync::Arc;

use crate::value::Value;

/// A static type, as the checker infers it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// The result of a failed check; assignable to everything so that one mistake is reported once.
    Error,
    /// Known at run time only.
    Dyn,
    /// Like `Dyn`, but not accepted as the range of a comprehension: device attributes up to 1.35.
    Any,
    /// `null_type`
    Null,
    /// `bool`
    Bool,
    /// `int`, 64 bits
    Int,
    /// `uint`, 64 bits
    Uint,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `google.protobuf.Duration`
    Duration,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// The type of types, with the type it stands for where that is known.
    Type(Option<Arc<Type>>),
    /// `list(T)`
    List(Arc<Type>),
    /// `map(K, V)`
    Map(Arc<Type>, Arc<Type>),
    /// `optional_type(T)`
    Optional(Arc<Type>),
    /// A type with fields or methods that Kubernetes declares as an object, such as `kubernetes.Quantity`.
    Object(&'static str),
    /// A type that Kubernetes declares as opaque, such as `net.IP`.
    Opaque(&'static str),
    /// A type parameter of a declaration, such as `T` in `list(T)`.
    Parameter(&'static str),
    /// A type variable of one check.
    Variable(u32),
}

/// Names of the object and opaque types that Kubernetes adds to CEL.
pub(crate) mod names {
    /// A resource quantity.
    pub(crate) const QUANTITY: &str = "kubernetes.Quantity";
    /// A semantic version.
    pub(crate) const SEMVER: &str = "kubernetes.Semver";
    /// A parsed URL.
    pub(crate) const URL: &str = "kubernetes.URL";
    /// A named string format.
    pub(crate) const FORMAT: &str = "kubernetes.NamedFormat";
    /// An IP address.
    pub(crate) const IP: &str = "net.IP";
    /// An IP prefix.
    pub(crate) const CIDR: &str = "net.CIDR";
    /// The variable `device`.
    pub(crate) const DEVICE: &str = "kubernetes.DRADevice";
}

impl Type {
    /// `kubernetes.Quantity`
    pub const QUANTITY: Self = Self::Object(names::QUANTITY);
    /// `kubernetes.Semver`
    pub const SEMVER: Self = Self::Object(names::SEMVER);

    /// `list(element)`
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// `map(key, value)`
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    /// `optional_type(value)`
    pub fn optional(value: Self) -> Self {
        Self::Optional(Arc::new(value))
    }

    /// The type of types that stand for `of`.
    pub fn type_of(of: Self) -> Self {
        Self::Type(Some(Arc::new(of)))
    }

    /// `Dyn` or `Any`: nothing is known before run time.
    pub fn is_dynamic(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any)
    }

    /// `Dyn`, `Any` or `Error`.
    pub(crate) fn is_dynamic_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any | Self::Error)
    }

    /// Whether this is a type parameter or a type variable.
    pub(crate) fn is_parameter(&self) -> bool {
        matches!(self, Self::Parameter(_) | Self::Variable(_))
    }

    /// The types this type is made of: the element of a list, key and value of a map.
    pub(crate) fn parameters(&self) -> Vec<&Self> {
        match self {
            Self::List(element) | Self::Optional(element) | Self::Type(Some(element)) => vec![element],
            Self::Map(key, value) => vec![key, value],
            _ => Vec::new(),
        }
    }

    /// Whether a value may be given where a parameter of this type is declared. As in cel-go, only the first
    /// element of a list and the first entry of a map are looked at.
    pub fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Dyn | Self::Any | Self::Parameter(_) | Self::Variable(_), _)
            | (Self::Type(_), Value::Type(_)) => true,
            (Self::List(element), Value::List(list)) => list.iter().next().is_none_or(|v| element.admits(v)),
            (Self::Map(key, item), Value::Map(map)) => {
                map.iter().next().is_none_or(|(k, v)| key.admits(&k.to_value()) && item.admits(v))
            }
            (Self::Optional(item), Value::Optional(optional)) => {
                optional.as_deref().is_none_or(|v| item.admits(v))
            }
            (Self::List(_) | Self::Map(..) | Self::Optional(_), _) => false,
            _ => self.runtime_name() == Some(value.type_name()),
        }
    }

    /// The name that values of this type carry at run time; none for types without values of their own.
    pub(crate) fn runtime_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "google.protobuf.Duration",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Optional(_) => "optional_type",
            Self::Object(name) | Self::Opaque(name) => name,
            Self::Error | Self::Dyn | Self::Any | Self::Parameter(_) | Self::Variable(_) => return None,
        })
    }
}

/// As cel-go writes types in its error messages.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => f.write_str("!error!"),
            Self::Dyn => f.write_str("dyn"),
            Self::Any => f.write_str("any"),
            Self::Null => f.write_str("null"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Type(None) => f.write_str("type"),
            Self::Type(Some(of)) => write!(f, "type({of})"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(value) => write!(f, "optional_type({value})"),
            Self::Parameter(name) => f.write_str(name),
            Self::Variable(number) => write!(f, "_var{number}"),
            other => f.write_str(other.runtime_name().unwrap_or_default()),
        }
    }
}
