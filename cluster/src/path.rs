//! Field paths, written as Kubernetes writes them: `spec.devices[0].attributes["memory"].int`.

use std::fmt;

/// The way from an object to one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath {
    segments: Vec<Segment>,
}

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// A field the API defines, `.name`.
    Field(String),
    /// A key the user chose, `["key"]`.
    Key(String),
    /// An element of a list, `[0]`.
    Index(usize),
}

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path of fields, from text such as `spec.devices`. Dots separate; there is no escaping.
    pub fn fields(dotted: &str) -> Self {
        let names = dotted.split('.').filter(|name| !name.is_empty());
        Self { segments: names.map(|name| Segment::Field(name.to_owned())).collect() }
    }

    /// This path, then a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>) -> Self {
        self.segments.push(Segment::Field(name.into()));
        self
    }

    /// This path, then an element of a map with free keys.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.segments.push(Segment::Key(key.into()));
        self
    }

    /// This path, then an element of a list.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.segments.push(Segment::Index(index));
        self
    }

    /// This path, then another one.
    #[must_use]
    pub fn join(mut self, rest: &Self) -> Self {
        self.segments.extend(rest.segments.iter().cloned());
        self
    }

    /// The steps, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    pub(crate) fn from_segments(segments: Vec<Segment>) -> Self {
        Self { segments }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Field(name) if position == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Key(key) => write!(f, "[{key:?}]")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
