//! What is wrong with the input, where, and what may help.

use std::fmt;

use crate::objects::ObjectReference;
use crate::path::FieldPath;
use crate::source::{Origin, Place, Sources};

/// One thing that is wrong, or worth a notice.
///
/// `Display` gives one line; [`Fault::render`] adds the line of the source with a caret, and the hint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// The object, where there is one.
    pub object: Option<ObjectReference>,
    /// The field; the root where the fault is about the object or file.
    pub field: FieldPath,
    /// File, line and column; `None` where the fault is about a whole file or about no file.
    pub place: Option<Place>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without object and place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// A fault of a field of an object, with the place of that field.
    pub fn of_field(
        sources: &Sources,
        object: ObjectReference,
        origin: &Origin,
        field: FieldPath,
        message: impl Into<String>,
    ) -> Self {
        let place = sources.place(origin, &field);
        Self { object: Some(object), field, place, message: message.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Several lines: the message, the line of the source with a caret, and the hint.
    pub fn render(&self) -> String {
        let mut text = self.to_string();
        if let Some(place) = &self.place {
            text.push('\n');
            text.push_str(&place.excerpt());
        }
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_root() {
            write!(f, "`{}`: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// Why nothing was loaded: the first faults, and how many more there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadErrors {
    /// At most [`LoadErrors::SHOWN`] faults, in the order of the input.
    pub faults: Vec<Fault>,
    /// How many more were found.
    pub omitted: usize,
}

impl LoadErrors {
    /// How many faults are kept; the rest is only counted.
    pub const SHOWN: usize = 20;

    pub(crate) fn push(&mut self, fault: Fault) {
        if self.faults.len() < Self::SHOWN {
            self.faults.push(fault);
        } else {
            self.omitted += 1;
        }
    }

    /// All faults as [`Fault::render`] shows them, with empty lines between.
    pub fn render(&self) -> String {
        let mut text = self.faults.iter().map(Fault::render).collect::<Vec<_>>().join("\n\n");
        if self.omitted > 0 {
            text.push_str("\n\nand ");
            text.push_str(&self.omitted.to_string());
            text.push_str(" more");
        }
        text
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.as_slice() {
            [] => f.write_str("nothing was loaded"),
            [only] if self.omitted == 0 => write!(f, "{only}"),
            [first, ..] => {
                write!(f, "{first} (and {} more)", self.faults.len() - 1 + self.omitted)
            }
        }
    }
}

impl std::error::Error for LoadErrors {}
