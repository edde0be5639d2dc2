//! Reads YAML into a [`Node`], with places, as Kubernetes reads it.
//!
//! The grammar is the parser crate's; what a plain word means is decided here as Kubernetes' own library decides
//! it, which is YAML 1.1 without base-60 numbers: `on` and `yes` are booleans, `0755` is octal, dates are text.
//! Anchors, aliases and `<<` work; how much aliases may expand to is limited, so that a small file cannot fill
//! the memory. Two differences are wanted: a field that occurs twice is an error even where the library lets the
//! last one win, and an object's own fields win over merged ones wherever `<<` stands, as YAML has it.

mod scalar;

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use crate::json::{MAX_DEPTH, SyntaxError, duplicate_error, duplicate_key};
use crate::tree::{Entry, Node, Value};

/// How many values all aliases of a document may expand to together.
const MAX_ALIASED_VALUES: usize = 500_000;

/// How many values a document may have. Each takes about 80 bytes while the document is read, so that a small
/// value on every line of a large file would fill the memory; a list of 10,000 slices stays below.
const MAX_VALUES: usize = 5_000_000;

/// The ranges of the documents in `text[start..]`, by lines that begin with `---`.
///
/// Such a line ends a document wherever it stands, block scalars included, so no parsing is needed, and a fault
/// in one document does not hide the others. A document that only holds directives goes with the next.
pub(crate) fn documents(text: &str, start: usize) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut document = start;
    let mut line_start = start;
    let mut only_directives = false;
    while let Some(rest) = text.get(line_start..).filter(|rest| !rest.is_empty()) {
        let line_end = rest.find('\n').map_or(text.len(), |newline| line_start + newline + 1);
        let line = text.get(line_start..line_end).unwrap_or_default();
        if is_separator(line) {
            if !only_directives && line_start > document {
                ranges.push((document, line_start));
                document = line_start;
            }
            only_directives = false;
        } else if line.starts_with('%') && text.get(document..line_start).is_some_and(is_blank) {
            only_directives = true;
        }
        line_start = line_end;
    }
    ranges.push((document, text.len()));
    ranges.retain(|(start, end)| !text.get(*start..*end).is_some_and(is_blank));
    ranges
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Nothing but separators, comments and white space.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = if is_separator(line) { line.get(3..).unwrap_or_default() } else { line };
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "..."
    })
}

/// Reads one document, which must fill `text[start..end]`; one without content is null.
pub(crate) fn parse_document(text: &str, start: usize, end: usize) -> Result<Node<'_>, SyntaxError> {
    parse_limited(text, start, end, MAX_VALUES)
}

fn parse_limited(text: &str, start: usize, end: usize, max_values: usize) -> Result<Node<'_>, SyntaxError> {
    let slice = text.get(start..end).unwrap_or_default();
    let offsets = Offsets::new(slice, start);
    let mut builder = Builder::default();
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(slice);
    let mut ended = false;
    let mut values = 0_usize;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_error(&error, text, &offsets))?;
        let at = offsets.byte(span.start.index());
        match event {
            Event::DocumentStart(_) if ended => {
                return Err(SyntaxError {
                    at,
                    message: "another document begins without a line `---`".to_owned(),
                    hint: Some("separate documents with a line `---`"),
                });
            }
            Event::DocumentEnd => ended = true,
            event => {
                values += 1;
                if values > max_values {
                    return Err(SyntaxError {
                        at,
                        message: format!("this YAML document has more than {max_values} values"),
                        hint: Some("use JSON for large snapshots: `kubectl get ... -o json`"),
                    });
                }
                builder.event(event, at)?;
            }
        }
    }
    Ok(builder.root.unwrap_or(Node { at: start, value: Value::Null }))
}

fn scan_error(error: &ScanError, text: &str, offsets: &Offsets<'_>) -> SyntaxError {
    let at = offsets.byte(error.marker().index());
    let line_start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let indentation = line.len() - line.trim_start().len();
    let hint = if line.get(..indentation).is_some_and(|space| space.contains('\t')) {
        Some("YAML is indented with spaces; this line begins with a tab")
    } else if error.info().contains("unknown anchor") {
        Some("an alias `*name` needs an anchor `&name` before it, in the same document")
    } else if text.get(at..).is_none_or(|rest| rest.trim().is_empty()) {
        Some("the file seems to be cut off")
    } else {
        None
    };
    SyntaxError { at, message: format!("this is not YAML: {}", error.info()), hint }
}

/// From the parser's counting in characters to byte offsets.
struct Offsets<'t> {
    text: &'t str,
    base: usize,
    /// Byte offset of every 64th character; empty where all characters are one byte.
    checkpoints: Vec<usize>,
}

impl<'t> Offsets<'t> {
    fn new(text: &'t str, base: usize) -> Self {
        let checkpoints = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().step_by(64).map(|(offset, _)| offset).collect()
        };
        Self { text, base, checkpoints }
    }

    fn byte(&self, index: usize) -> usize {
        if self.checkpoints.is_empty() {
            return self.base + index.min(self.text.len());
        }
        let Some(checkpoint) = self.checkpoints.get(index / 64) else { return self.base + self.text.len() };
        let rest = self.text.get(*checkpoint..).unwrap_or_default();
        let within = rest.char_indices().nth(index % 64).map_or(rest.len(), |(offset, _)| offset);
        self.base + checkpoint + within
    }
}

/// A list or object that is not finished yet.
enum Open<'t> {
    List { at: usize, anchor: usize, items: Vec<Node<'t>> },
    Map { at: usize, anchor: usize, map: OpenMap<'t> },
}

#[derive(Default)]
struct OpenMap<'t> {
    entries: Vec<Entry<'t>>,
    /// A key whose value comes next; the flag says that it is `<<`.
    key: Option<(Cow<'t, str>, usize, bool)>,
    merged: Vec<Entry<'t>>,
}

/// A complete value that aliases can refer to.
struct Anchored<'t> {
    node: Node<'t>,
    size: usize,
    depth: usize,
}

#[derive(Default)]
struct Builder<'t> {
    open: Vec<Open<'t>>,
    anchors: HashMap<usize, Anchored<'t>>,
    aliased: usize,
    root: Option<Node<'t>>,
}

impl<'t> Builder<'t> {
    fn event(&mut self, event: Event<'t>, at: usize) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), at),
            Event::SequenceStart(anchor, _) => {
                self.check_depth(at, 1)?;
                self.check_key(at)?;
                self.open.push(Open::List { at, anchor, items: Vec::new() });
                Ok(())
            }
            Event::MappingStart(anchor, _) => {
                self.check_depth(at, 1)?;
                self.check_key(at)?;
                self.open.push(Open::Map { at, anchor, map: OpenMap::default() });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: usize,
    ) -> Result<(), SyntaxError> {
        let core_tag = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
        let plain = match core_tag {
            Some("str" | "binary" | "timestamp") => false,
            Some("int" | "float" | "bool" | "null") => true,
            _ => style == ScalarStyle::Plain && tag.is_none(),
        };
        let is_merge = plain && text == "<<";
        let value = if plain { scalar::resolve(text) } else { Value::Text(text) };
        let node = Node { at, value };
        if let Some(Open::Map { map, .. }) = self.open.last_mut()
            && map.key.is_none()
        {
            let key = match node.value.clone() {
                Value::Text(text) | Value::Number(text) => text,
                Value::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
                _ => return Err(bad_key(at)),
            };
            map.key = Some((key, at, is_merge));
            if anchor > 0 {
                self.anchors.insert(anchor, Anchored { node, size: 1, depth: 0 });
            }
            return Ok(());
        }
        self.complete(node, anchor)
    }

    fn alias(&mut self, anchor: usize, at: usize) -> Result<(), SyntaxError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(SyntaxError {
                at,
                message: "this alias stands inside the value it refers to".to_owned(),
                hint: Some("a value cannot contain itself; write the value out"),
            });
        };
        self.aliased += anchored.size;
        if self.aliased > MAX_ALIASED_VALUES {
            return Err(SyntaxError {
                at,
                message: format!(
                    "the aliases of this document expand to more than {MAX_ALIASED_VALUES} values"
                ),
                hint: Some("write the values out, or split the document"),
            });
        }
        let (node, depth) = (anchored.node.clone(), anchored.depth);
        self.check_depth(at, depth)?;
        if let Some(Open::Map { map, .. }) = self.open.last_mut()
            && map.key.is_none()
        {
            let Value::Text(key) = node.value else { return Err(bad_key(at)) };
            map.key = Some((key, at, false));
            return Ok(());
        }
        self.complete(Node { at, value: node.value }, 0)
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        match self.open.pop() {
            Some(Open::List { at, anchor, items }) => {
                self.complete(Node { at, value: Value::List(items) }, anchor)
            }
            Some(Open::Map { at, anchor, map }) => {
                let mut entries = map.entries;
                if let Some((key, key_at)) = duplicate_key(&entries) {
                    return Err(duplicate_error(&key, key_at));
                }
                for entry in map.merged {
                    if !entries.iter().any(|own| own.key == entry.key) {
                        entries.push(entry);
                    }
                }
                self.complete(Node { at, value: Value::Map(entries) }, anchor)
            }
            None => Ok(()),
        }
    }

    /// Puts a complete value where it belongs.
    fn complete(&mut self, node: Node<'t>, anchor: usize) -> Result<(), SyntaxError> {
        if anchor > 0 {
            let (size, depth) = measure(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, depth });
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { map, .. }) => match map.key.take() {
                Some((_, key_at, true)) => map.merged.extend(merge_entries(node, key_at)?),
                Some((key, key_at, false)) => map.entries.push(Entry { key, key_at, node }),
                None => return Err(bad_key(node.at)),
            },
        }
        Ok(())
    }

    /// A list or object cannot be the key of an object.
    fn check_key(&self, at: usize) -> Result<(), SyntaxError> {
        match self.open.last() {
            Some(Open::Map { map, .. }) if map.key.is_none() => Err(bad_key(at)),
            _ => Ok(()),
        }
    }

    fn check_depth(&self, at: usize, more: usize) -> Result<(), SyntaxError> {
        if self.open.len() + more <= MAX_DEPTH {
            return Ok(());
        }
        Err(SyntaxError {
            at,
            message: format!("lists and objects nest deeper than {MAX_DEPTH}"),
            hint: None,
        })
    }
}

fn merge_entries(node: Node<'_>, key_at: usize) -> Result<Vec<Entry<'_>>, SyntaxError> {
    let wrong = SyntaxError {
        at: key_at,
        message: "`<<` takes an object or a list of objects".to_owned(),
        hint: None,
    };
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::List(items) => {
            let mut merged = Vec::new();
            for item in items {
                let Value::Map(entries) = item.value else { return Err(wrong) };
                merged.extend(entries);
            }
            Ok(merged)
        }
        _ => Err(wrong),
    }
}

fn bad_key(at: usize) -> SyntaxError {
    SyntaxError {
        at,
        message: "a field name must be text".to_owned(),
        hint: Some("put text that holds `{`, `}`, `[`, `]` or `: ` in quotes"),
    }
}

/// How many values a value consists of, and how deep it is.
fn measure(node: &Node<'_>) -> (usize, usize) {
    let inner: Vec<(usize, usize)> = match &node.value {
        Value::List(items) => items.iter().map(measure).collect(),
        Value::Map(entries) => entries.iter().map(|entry| measure(&entry.node)).collect(),
        _ => return (1, 0),
    };
    let size = inner.iter().map(|(size, _)| size).sum::<usize>() + 1;
    let depth = inner.iter().map(|(_, depth)| *depth).max().unwrap_or(0) + 1;
    (size, depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_values_is_limited() {
        let text = format!("items:\n{}", "- a\n".repeat(100));
        assert!(parse_limited(&text, 0, text.len(), 200).is_ok());
        let error = parse_limited(&text, 0, text.len(), 50).expect_err("too many");
        assert_eq!(error.message, "this YAML document has more than 50 values");
    }
}
