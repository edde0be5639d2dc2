//! Values of device attributes as ResourceSlices publish them.

/// One device attribute, `resource.k8s.io/v1` `DeviceAttribute`.
///
/// The API is a union of eight optional fields of which exactly one must be set. A value with none set
/// ([`AttributeValue::Unset`]) is kept rather than refused: upstream accepts it on load and turns it into an
/// error of every selector that is evaluated on the device.
///
/// Versions stay text. CEL parses them as strict semantic versions, constraints compare them as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttributeValue {
    /// `int`
    Int(i64),
    /// `bool`
    Bool(bool),
    /// `string`, at most 64 characters
    String(String),
    /// `version`, a semantic version 2.0.0, at most 64 characters
    Version(String),
    /// `ints` (gate DRAListTypeAttributes, 1.36)
    Ints(Vec<i64>),
    /// `bools` (gate DRAListTypeAttributes, 1.36)
    Bools(Vec<bool>),
    /// `strings` (gate DRAListTypeAttributes, 1.36)
    Strings(Vec<String>),
    /// `versions` (gate DRAListTypeAttributes, 1.36)
    Versions(Vec<String>),
    /// No field set.
    Unset,
}

impl AttributeValue {
    /// The name of the API field that carries this value, for messages; `none` where no field is set.
    pub fn field_name(&self) -> &'static str {
        match self {
            Self::Int(_) => "int",
            Self::Bool(_) => "bool",
            Self::String(_) => "string",
            Self::Version(_) => "version",
            Self::Ints(_) => "ints",
            Self::Bools(_) => "bools",
            Self::Strings(_) => "strings",
            Self::Versions(_) => "versions",
            Self::Unset => "none",
        }
    }

    /// Whether this is one of the list types of gate DRAListTypeAttributes.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::Ints(_) | Self::Bools(_) | Self::Strings(_) | Self::Versions(_))
    }
}
