//! Typed reading of a [`Node`]: every access names its field, so that what goes wrong or is left over is known
//! with its path and place.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use drayage_cel::Quantity;

use crate::path::{FieldPath, Segment};
use crate::tree::{Entry, Node, Value};

const QUANTITY_HINT: &str =
    "a quantity is a number with an optional suffix, such as `500m`, `2`, `80Gi` or `1e3`";

/// What reading an object found out besides its content.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: RefCell<Vec<Finding>>,
}

/// One thing worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The field.
    pub(crate) path: FieldPath,
    /// Byte offset in the source.
    pub(crate) at: usize,
    /// What kind of thing.
    pub(crate) kind: FindingKind,
}

/// The kinds of [`Finding`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FindingKind {
    /// The value cannot be used.
    Wrong { message: String, hint: Option<String> },
    /// The API server would refuse the value, but the meaning is clear.
    Refused { message: &'static str, hint: &'static str },
    /// No served version has such a field.
    UnknownField,
    /// The field has a meaning that Drayage does not take into account.
    NotConsidered { why: &'static str },
}

impl Findings {
    /// Takes what was found so far.
    pub(crate) fn take(&self) -> Vec<Finding> {
        self.list.take()
    }

    fn add(&self, path: &Path<'_>, at: usize, kind: FindingKind) {
        self.list.borrow_mut().push(Finding { path: path.to_field_path(), at, kind });
    }
}

/// A field path that lives on the stack; it becomes text only when something is to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    segment: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Root,
    Field(&'p str),
    Key(&'p str),
    Index(usize),
}

impl Path<'_> {
    fn to_field_path(self) -> FieldPath {
        let mut segments = Vec::new();
        let mut next = Some(&self);
        while let Some(path) = next {
            match path.segment {
                Step::Root => {}
                Step::Field(name) => segments.push(Segment::Field(name.to_owned())),
                Step::Key(key) => segments.push(Segment::Key(key.to_owned())),
                Step::Index(index) => segments.push(Segment::Index(index)),
            }
            next = path.parent;
        }
        segments.reverse();
        FieldPath::from_segments(segments)
    }
}

/// A value about to be read.
#[derive(Clone, Copy)]
pub(crate) struct Item<'p, 't> {
    node: &'p Node<'t>,
    path: Path<'p>,
    findings: &'p Findings,
}

impl<'p, 't> Item<'p, 't> {
    /// The object itself.
    pub(crate) fn root(node: &'p Node<'t>, findings: &'p Findings) -> Self {
        Self { node, path: Path { parent: None, segment: Step::Root }, findings }
    }

    /// The value as an object.
    pub(crate) fn fields(self) -> Option<Fields<'p, 't>> {
        match &self.node.value {
            Value::Map(entries) => Some(Fields { entries, seen: Cell::new(0), item: self }),
            Value::Null => None,
            other => {
                self.wrong_type("an object", other);
                None
            }
        }
    }

    /// The elements of a list; none where the value is null.
    pub(crate) fn items<'s>(&'s self) -> impl Iterator<Item = Item<'s, 't>> + use<'s, 'p, 't> {
        let nodes = match &self.node.value {
            Value::List(nodes) => nodes.as_slice(),
            Value::Null => &[],
            other => {
                self.wrong_type("a list", other);
                &[]
            }
        };
        nodes.iter().enumerate().map(|(index, node)| Item {
            node,
            path: Path { parent: Some(&self.path), segment: Step::Index(index) },
            findings: self.findings,
        })
    }

    /// The entries of a map with free keys; none where the value is null.
    pub(crate) fn entries<'s>(&'s self) -> impl Iterator<Item = (&'s str, Item<'s, 't>)> + use<'s, 'p, 't> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            other => {
                self.wrong_type("an object", other);
                &[]
            }
        };
        entries.iter().map(|entry| {
            let item = Item {
                node: &entry.node,
                path: Path { parent: Some(&self.path), segment: Step::Key(entry.key.as_ref()) },
                findings: self.findings,
            };
            (entry.key.as_ref(), item)
        })
    }

    /// The value as text.
    pub(crate) fn text(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) => Some(text.to_string()),
            Value::Null => None,
            other => {
                let hint = match other {
                    Value::Bool(_) | Value::Number(_) => Some(
                        "put it in quotes; in YAML, unquoted words such as `on`, `n` and `1.30` are no strings",
                    ),
                    _ => None,
                };
                self.wrong(format!("expected a string, found {}", other.describe()), hint);
                None
            }
        }
    }

    /// The value as a boolean.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::Null => None,
            other => {
                let hint =
                    matches!(other, Value::Text(_)).then_some("write `true` or `false` without quotes");
                self.wrong(format!("expected `true` or `false`, found {}", other.describe()), hint);
                None
            }
        }
    }

    /// The value as a 64-bit integer.
    pub(crate) fn integer(&self) -> Option<i64> {
        match &self.node.value {
            Value::Number(text) => {
                let parsed = text.parse().ok();
                if parsed.is_none() {
                    self.wrong(format!("`{text}` is not a whole number of 64 bits"), None);
                }
                parsed
            }
            Value::Null => None,
            other => {
                let hint = matches!(other, Value::Text(text) if text.parse::<i64>().is_ok())
                    .then_some("write the number without quotes");
                self.wrong(format!("expected a whole number, found {}", other.describe()), hint);
                None
            }
        }
    }

    /// The value as a 32-bit integer.
    pub(crate) fn integer32(&self) -> Option<i32> {
        let number = self.integer()?;
        let small = i32::try_from(number).ok();
        if small.is_none() {
            self.wrong(format!("{number} does not fit 32 bits"), None);
        }
        small
    }

    /// The value as a quantity: text such as `80Gi`, or a bare number.
    pub(crate) fn quantity(&self) -> Option<Quantity> {
        match &self.node.value {
            Value::Number(text) | Value::Text(text) => match text.parse::<Quantity>() {
                Ok(quantity) => Some(quantity),
                Err(error) => {
                    self.wrong(error.to_string(), Some(QUANTITY_HINT));
                    None
                }
            },
            Value::Null => None,
            other => {
                self.wrong_type("a quantity", other);
                None
            }
        }
    }

    /// Whether the value is an object.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// Whether the value is a list without elements.
    pub(crate) fn is_empty_list(&self) -> bool {
        matches!(&self.node.value, Value::List(items) if items.is_empty())
    }

    /// The value as `serde_json` has it.
    pub(crate) fn to_json(self) -> serde_json::Value {
        self.node.value.to_json()
    }

    /// The value, whatever it is, as compact JSON text.
    pub(crate) fn json_text(&self) -> String {
        let mut text = String::new();
        self.node.value.write_json(&mut text);
        text
    }

    /// Says that the value cannot be used.
    pub(crate) fn wrong(&self, message: impl Into<String>, hint: Option<&str>) {
        let kind = FindingKind::Wrong { message: message.into(), hint: hint.map(str::to_owned) };
        self.findings.add(&self.path, self.node.at, kind);
    }

    /// Says that the value has a meaning that Drayage does not take into account.
    pub(crate) fn not_considered(&self, why: &'static str) {
        self.findings.add(&self.path, self.node.at, FindingKind::NotConsidered { why });
    }

    fn wrong_type(&self, wanted: &str, found: &Value<'_>) {
        self.wrong(format!("expected {wanted}, found {}", found.describe()), None);
    }
}

/// An object whose fields are read by name; [`Fields::finish`] reports those that nobody asked for.
pub(crate) struct Fields<'p, 't> {
    entries: &'p [Entry<'t>],
    /// One bit for each of the first 128 entries that was asked for.
    seen: Cell<u128>,
    item: Item<'p, 't>,
}

impl<'t> Fields<'_, 't> {
    /// A field's value; `None` where it is absent or null, which the API takes for the same.
    pub(crate) fn get<'s>(&'s self, key: &'static str) -> Option<Item<'s, 't>> {
        let (position, entry) = self.entries.iter().enumerate().find(|(_, entry)| entry.key == key)?;
        self.mark(position);
        if matches!(entry.node.value, Value::Null) {
            return None;
        }
        Some(Item {
            node: &entry.node,
            path: Path { parent: Some(&self.item.path), segment: Step::Field(key) },
            findings: self.item.findings,
        })
    }

    /// Whether the field is there and not null.
    pub(crate) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// A text field, if present.
    pub(crate) fn text(&self, key: &'static str) -> Option<String> {
        self.get(key).and_then(|item| item.text())
    }

    /// A text field, empty if absent, as Go has it.
    pub(crate) fn string(&self, key: &'static str) -> String {
        self.text(key).unwrap_or_default()
    }

    /// A boolean field, if present.
    pub(crate) fn boolean(&self, key: &'static str) -> Option<bool> {
        self.get(key).and_then(|item| item.boolean())
    }

    /// A boolean field, false if absent.
    pub(crate) fn flag(&self, key: &'static str) -> bool {
        self.boolean(key).unwrap_or(false)
    }

    /// An integer field, if present.
    pub(crate) fn integer(&self, key: &'static str) -> Option<i64> {
        self.get(key).and_then(|item| item.integer())
    }

    /// A quantity field, if present.
    pub(crate) fn quantity(&self, key: &'static str) -> Option<Quantity> {
        self.get(key).and_then(|item| item.quantity())
    }

    /// A list field, each element read by `read`; `None` where absent.
    pub(crate) fn list<T>(
        &self,
        key: &'static str,
        read: impl FnMut(Item<'_, 't>) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.get(key).map(|list| list.items().filter_map(read).collect())
    }

    /// A map field with free keys, each value read by `read`; `None` where absent.
    pub(crate) fn map<T>(
        &self,
        key: &'static str,
        mut read: impl for<'i> FnMut(Item<'i, 't>) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let map = self.get(key)?;
        Some(map.entries().filter_map(|(name, item)| Some((name.to_owned(), read(item)?))).collect())
    }

    /// A list of texts, empty if absent.
    pub(crate) fn texts(&self, key: &'static str) -> Vec<String> {
        self.list(key, |item| item.text()).unwrap_or_default()
    }

    /// A map of texts, empty if absent.
    pub(crate) fn text_map(&self, key: &'static str) -> BTreeMap<String, String> {
        self.map(key, |item| item.text()).unwrap_or_default()
    }

    /// A map of quantities, empty if absent.
    pub(crate) fn quantity_map(&self, key: &'static str) -> BTreeMap<String, Quantity> {
        self.map(key, |item| item.quantity()).unwrap_or_default()
    }

    /// An object field read by `read`; `None` where absent or no object.
    pub(crate) fn object<T>(&self, key: &'static str, read: impl FnOnce(&Fields<'_, 't>) -> T) -> Option<T> {
        let fields = self.get(key)?.fields()?;
        let value = read(&fields);
        fields.finish();
        Some(value)
    }

    /// Fields that Drayage knows and that cannot change its answers.
    pub(crate) fn skip(&self, keys: &[&str]) {
        for key in keys {
            if let Some(position) = self.entries.iter().position(|entry| entry.key == *key) {
                self.mark(position);
            }
        }
    }

    /// Like [`Fields::skip`] for every field.
    pub(crate) fn skip_all(&self) {
        self.seen.set(u128::MAX);
    }

    /// A field that could change what the cluster does and that Drayage does not take into account.
    pub(crate) fn not_considered(&self, key: &'static str, why: &'static str) {
        if let Some(item) = self.get(key)
            && !matches!(&item.node.value, Value::List(items) if items.is_empty())
            && !matches!(&item.node.value, Value::Map(entries) if entries.is_empty())
        {
            item.findings.add(&item.path, item.node.at, FindingKind::NotConsidered { why });
        }
    }

    /// Says that the API server would refuse a field, though its meaning is clear.
    pub(crate) fn refused(&self, key: &'static str, message: &'static str, hint: &'static str) {
        if let (Some(item), Some(entry)) = (self.get(key), self.entries.iter().find(|entry| entry.key == key))
        {
            item.findings.add(&item.path, entry.key_at, FindingKind::Refused { message, hint });
        }
    }

    /// Reports the fields that were not asked for.
    pub(crate) fn finish(&self) {
        let seen = self.seen.get();
        for (position, entry) in self.entries.iter().enumerate() {
            let known = position < 128 && seen & (1 << position) != 0;
            if !known {
                let path = Path { parent: Some(&self.item.path), segment: Step::Field(entry.key.as_ref()) };
                self.item.findings.add(&path, entry.key_at, FindingKind::UnknownField);
            }
        }
    }

    fn mark(&self, position: usize) {
        if position < 128 {
            self.seen.set(self.seen.get() | (1 << position));
        }
    }
}

/// Reads one object of a list or map with `read`, then reports the fields left over.
pub(crate) fn object<'t, T>(item: Item<'_, 't>, read: impl FnOnce(&Fields<'_, 't>) -> T) -> Option<T> {
    let fields = item.fields()?;
    let value = read(&fields);
    fields.finish();
    Some(value)
}
