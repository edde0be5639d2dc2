//! The texts that were read, and the way from an object's field back to its line.
//!
//! Objects remember only a range of a text. Line, column and the exact place of a field are found when somebody
//! asks, by reading that range again: errors are rare, objects are many.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::decode::ResourceVersion;
use crate::path::{FieldPath, Segment};
use crate::tree::{Node, Value};
use crate::{json, yaml};

/// One text: a file, standard input, or bytes that the caller had.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) name: String,
    pub(crate) text: Arc<String>,
}

impl Source {
    /// What messages call it: the path as the user gave it, or `<stdin>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text, to hold on to while the list of sources changes.
    pub(crate) fn shared_text(&self) -> Arc<String> {
        Arc::clone(&self.text)
    }
}

/// How the text of an object is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Notation {
    #[default]
    Yaml,
    Json,
}

/// Where an object was read. The default is an object that was never read but made by the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub(crate) range: Option<SourceRange>,
    /// The object is only a part of what is written there, such as the pod template of a Deployment.
    pub(crate) within: FieldPath,
}

/// A document in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceRange {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) notation: Notation,
    /// Offset of the object itself.
    pub(crate) at: usize,
    /// Which element of `items`, for an object in a YAML list.
    pub(crate) item: Option<usize>,
    /// The version, for an object of `resource.k8s.io`.
    pub(crate) version: Option<ResourceVersion>,
}

impl Origin {
    /// An object made from a part of this one: places of its fields are sought below `path`.
    #[must_use]
    pub fn within(&self, path: &FieldPath) -> Self {
        Self { range: self.range, within: self.within.clone().join(path) }
    }

    /// Orders origins as they were read.
    pub(crate) fn position(&self) -> Option<(usize, usize, Option<usize>)> {
        self.range.map(|range| (range.source, range.start, range.item))
    }

    /// The version of `resource.k8s.io` in which the object is written, such as `v1beta1`; `None` for objects of
    /// other groups and for those that were not read.
    pub fn resource_version(&self) -> Option<&'static str> {
        self.range.and_then(|range| range.version).map(ResourceVersion::as_str)
    }

    /// Whether the object was read from a source at all.
    pub fn is_known(&self) -> bool {
        self.range.is_some()
    }
}

/// A line and column of a source, with what is needed to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the source.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// The line itself, without its end; cut around the column where it is very long.
    pub text: String,
    /// Where in `text` the column is, from 0, in characters.
    pub caret: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}

impl Place {
    /// The line with its number and a caret below the column.
    pub fn excerpt(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let shown = self.text.replace('\t', " ");
        format!("{margin} |\n{number} | {shown}\n{margin} | {}^", " ".repeat(self.caret))
    }
}

/// All sources of a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub(crate) list: Vec<Source>,
}

/// Lines longer than this are cut for display.
const SHOWN_WIDTH: usize = 120;

impl Sources {
    /// The sources, in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.list.iter()
    }

    /// The place of a field of an object; the nearest enclosing field where that one is not written.
    ///
    /// `path` is that of `v1`; in an object of an older version the corresponding field is found. `None` for an
    /// object that was not read from a source.
    pub fn place(&self, origin: &Origin, path: &FieldPath) -> Option<Place> {
        let range = origin.range?;
        let text = self.list.get(range.source)?.text();
        let path = origin.within.clone().join(path);
        let found = if path.is_root() { None } else { offset_of(text, range, &path) };
        let at = found.unwrap_or(range.at);
        self.place_at(range.source, at)
    }

    /// The places of many fields, as [`place`](Self::place) finds each: every document is read once, and lines are
    /// counted once in every source.
    pub fn places(&self, fields: &[(&Origin, &FieldPath)]) -> Vec<Option<Place>> {
        let mut by_document: BTreeMap<(usize, usize, usize), Vec<usize>> = BTreeMap::new();
        for (index, (origin, _)) in fields.iter().enumerate() {
            if let Some(range) = origin.range {
                by_document.entry((range.source, range.start, range.end)).or_default().push(index);
            }
        }
        let mut offsets: Vec<(usize, usize, usize)> = Vec::new();
        for ((source, start, end), members) in by_document {
            let Some(text) = self.list.get(source).map(Source::text) else { continue };
            let notation = members
                .first()
                .and_then(|index| fields.get(*index)?.0.range)
                .map_or(Notation::Yaml, |range| range.notation);
            let document = document(text, start, end, notation);
            for index in members {
                let Some((origin, path)) = fields.get(index) else { continue };
                let Some(range) = origin.range else { continue };
                let path = origin.within.clone().join(path);
                let found = document.as_ref().and_then(|document| offset_in(document, range.item, &path));
                offsets.push((source, found.unwrap_or(range.at), index));
            }
        }
        offsets.sort_unstable();
        let mut places = vec![None; fields.len()];
        let mut lines = LineCounter::default();
        for (source, at, index) in offsets {
            let Some(source_text) = self.list.get(source) else { continue };
            let line = lines.line(source, source_text.text(), at);
            if let Some(place) = places.get_mut(index) {
                *place = Some(place_on_line(&source_text.name, &source_text.text, at, line));
            }
        }
        places
    }

    /// The place of a byte of a text field, such as the column in a CEL expression where compiling failed.
    ///
    /// Quotes, escapes and block scalars make what is written differ from what is meant. The line of the value is
    /// searched in the source as it is; where it is not found, this is the place of the field.
    pub fn place_in_text(
        &self,
        origin: &Origin,
        path: &FieldPath,
        value: &str,
        byte: usize,
    ) -> Option<Place> {
        let range = origin.range?;
        let text = self.list.get(range.source)?.text();
        let at = offset_of(text, range, &origin.within.clone().join(path))?;
        let before = value.get(..byte)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = value.get(line_start..)?.lines().next().unwrap_or_default();
        let written = text.get(at..range.end)?;
        // lines of the value that come first also come first in the source
        let within_line = byte - line_start;
        let indentation = line.len() - line.trim_start().len();
        let trimmed = line.trim();
        let found = if trimmed.is_empty() { None } else { written.find(trimmed) };
        let offset = found.map_or(0, |found| found + within_line.saturating_sub(indentation));
        self.place_at(range.source, at + offset)
    }

    /// The place of a byte offset.
    pub(crate) fn place_at(&self, source: usize, at: usize) -> Option<Place> {
        let source = self.list.get(source)?;
        Some(place_in(&source.name, &source.text, at))
    }
}

/// Counts lines forward, for offsets that come in order.
#[derive(Default)]
struct LineCounter {
    source: usize,
    at: usize,
    line: usize,
}

impl LineCounter {
    /// The line of an offset, from 1.
    fn line(&mut self, source: usize, text: &str, at: usize) -> usize {
        if self.line == 0 || source != self.source || at < self.at {
            *self = Self { source, at: 0, line: 1 };
        }
        let at = at.min(text.len());
        let between = text.as_bytes().get(self.at..at).unwrap_or_default();
        self.line += between.split(|byte| *byte == b'\n').count() - 1;
        self.at = at;
        self.line
    }
}

/// The place of a byte offset in a text.
pub(crate) fn place_in(name: &str, text: &str, at: usize) -> Place {
    let line = LineCounter::default().line(0, text, at);
    place_on_line(name, text, at, line)
}

/// The place of a byte offset whose line is known.
fn place_on_line(name: &str, text: &str, at: usize, line: usize) -> Place {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let (before, after) = text.split_at(at);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = after.find('\n').map_or(text.len(), |newline| at + newline);
    let lead = before.get(line_start..).unwrap_or_default();
    let column = lead.chars().count() + 1;
    let full = text.get(line_start..line_end).unwrap_or_default().trim_end_matches('\r');
    let skipped = if column > SHOWN_WIDTH { column - SHOWN_WIDTH / 2 } else { 0 };
    Place {
        source: name.to_owned(),
        line,
        column,
        text: full.chars().skip(skipped).take(SHOWN_WIDTH).collect(),
        caret: column - 1 - skipped,
    }
}

fn offset_of(text: &str, range: SourceRange, path: &FieldPath) -> Option<usize> {
    offset_in(&document(text, range.start, range.end, range.notation)?, range.item, path)
}

pub(crate) fn document(text: &str, start: usize, end: usize, notation: Notation) -> Option<Node<'_>> {
    match notation {
        Notation::Json => json::Parser::new(text, start, end).value().ok(),
        Notation::Yaml => yaml::parse_document(text, start, end).ok(),
    }
}

/// The offset of the last field of the path that is there; `None` for the object itself.
fn offset_in(document: &Node<'_>, item: Option<usize>, path: &FieldPath) -> Option<usize> {
    let node = match item {
        None => document,
        Some(index) => match &document.value.get("items")?.value {
            Value::List(items) => items.get(index)?,
            _ => return None,
        },
    };
    (!path.is_root()).then(|| follow(node, path.segments()))
}

/// Goes as far as the path leads and gives the offset of the last field that is there.
pub(crate) fn follow(node: &Node<'_>, path: &[Segment]) -> usize {
    let mut node = node;
    let mut at = node.at;
    for segment in path {
        let next = match (segment, &node.value) {
            (Segment::Index(index), Value::List(items)) => items.get(*index).map(|item| (item.at, item)),
            (Segment::Field(name) | Segment::Key(name), Value::Map(entries)) => entries
                .iter()
                .find(|entry| entry.key == name.as_str())
                .map(|entry| (value_or_key(entry.key_at, &entry.node), &entry.node)),
            _ => None,
        };
        match next {
            Some((next_at, next_node)) => (at, node) = (next_at, next_node),
            // older versions have no `exactly` and put most fields of a device below `basic`
            None if matches!(segment, Segment::Field(name) if name == "exactly") => {}
            None => match (node.value.get("basic"), segment) {
                (Some(basic), Segment::Field(name)) => match basic.value.get(name) {
                    Some(inner) => (at, node) = (inner.at, inner),
                    None => return at,
                },
                _ => return at,
            },
        }
    }
    at
}

/// Errors about a scalar point at it, errors about a list or object at the field's name.
fn value_or_key(key_at: usize, node: &Node<'_>) -> usize {
    match node.value {
        Value::List(_) | Value::Map(_) | Value::Null => key_at,
        _ => node.at,
    }
}
