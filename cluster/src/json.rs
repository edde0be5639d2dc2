//! Reads JSON into a [`Node`], with places, refusing what Kubernetes refuses: duplicate fields, deep nesting.
//!
//! `serde_json` gives no places for values, and a snapshot needs them only where something is wrong. One pass
//! over the text that notes offsets costs about as much as `serde_json::Value` and serves both.

use std::borrow::Cow;

use crate::tree::{Entry, Node, Value};

/// How deep lists and objects may nest. The deepest Kubernetes object is below 40.
pub(crate) const MAX_DEPTH: usize = 200;

/// The text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Byte offset in the whole source.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What may help.
    pub(crate) hint: Option<&'static str>,
}

/// Reads JSON values one after the other from a text.
pub(crate) struct Parser<'t> {
    text: &'t str,
    position: usize,
    end: usize,
}

impl<'t> Parser<'t> {
    /// Reads `text[start..end]`; offsets count from the start of `text`. Bounds must lie on characters.
    pub(crate) fn new(text: &'t str, start: usize, end: usize) -> Self {
        Self { text, position: start, end: end.min(text.len()) }
    }

    /// Skips white space; `None` at the end of the text, else the offset of the next value.
    pub(crate) fn next_value_at(&mut self) -> Option<usize> {
        self.skip_space();
        (self.position < self.end).then_some(self.position)
    }

    /// Where the parser stands.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Reads one value.
    pub(crate) fn value(&mut self) -> Result<Node<'t>, SyntaxError> {
        self.value_at_depth(0)
    }

    /// Reads an object's fields but not their values: calls `visit` for each name with the parser before the
    /// value, which `visit` must consume. Gives false where the next value is no object.
    pub(crate) fn visit_object(
        &mut self,
        mut visit: impl FnMut(&mut Self, &str, usize) -> Result<(), SyntaxError>,
    ) -> Result<bool, SyntaxError> {
        self.skip_space();
        if self.peek() != Some(b'{') {
            return Ok(false);
        }
        self.position += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(true);
        }
        loop {
            let (key_at, key) = self.key()?;
            visit(self, &key, key_at)?;
            if !self.separator(b'}', "`,` or `}` after a field")? {
                return Ok(true);
            }
        }
    }

    /// Reads a list and calls `visit` before each element, which `visit` must consume.
    pub(crate) fn visit_list(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), SyntaxError>,
    ) -> Result<bool, SyntaxError> {
        self.skip_space();
        if self.peek() != Some(b'[') {
            return Ok(false);
        }
        self.position += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(true);
        }
        loop {
            visit(self)?;
            if !self.separator(b']', "`,` or `]` after an element")? {
                return Ok(true);
            }
        }
    }

    /// Skips one value, checking only that brackets and strings close; gives its first and last offset.
    pub(crate) fn skip(&mut self) -> Result<(usize, usize), SyntaxError> {
        self.skip_space();
        let start = self.position;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.position += 1;
                    self.string_end(start)?;
                    if depth == 0 {
                        return Ok((start, self.position));
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.position += 1;
                }
                b'}' | b']' => {
                    if depth == 0 {
                        break;
                    }
                    depth -= 1;
                    self.position += 1;
                    if depth == 0 {
                        return Ok((start, self.position));
                    }
                }
                b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => break,
                _ => self.position += 1,
            }
        }
        if depth > 0 {
            return Err(self.unfinished(start));
        }
        if start == self.position { Err(self.expected("a value")) } else { Ok((start, self.position)) }
    }

    fn value_at_depth(&mut self, depth: usize) -> Result<Node<'t>, SyntaxError> {
        self.skip_space();
        let at = self.position;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => {
                self.position += 1;
                Value::Text(self.string(at)?)
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't' | b'f' | b'n') => self.word()?,
            _ => return Err(self.expected("a value")),
        };
        Ok(Node { at, value })
    }

    fn object(&mut self, depth: usize) -> Result<Value<'t>, SyntaxError> {
        let start = self.position;
        self.check_depth(depth)?;
        self.position += 1;
        let mut entries: Vec<Entry<'t>> = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Map(entries));
        }
        loop {
            let (key_at, key) = self.key()?;
            let node = self.value_at_depth(depth + 1)?;
            entries.push(Entry { key, key_at, node });
            if !self.separator(b'}', "`,` or `}` after a field").map_err(|error| self.refine(error, start))? {
                break;
            }
        }
        match duplicate_key(&entries) {
            None => Ok(Value::Map(entries)),
            Some((key, at)) => Err(duplicate_error(&key, at)),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'t>, SyntaxError> {
        let start = self.position;
        self.check_depth(depth)?;
        self.position += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value_at_depth(depth + 1)?);
            if !self
                .separator(b']', "`,` or `]` after an element")
                .map_err(|error| self.refine(error, start))?
            {
                return Ok(Value::List(items));
            }
        }
    }

    fn key(&mut self) -> Result<(usize, Cow<'t, str>), SyntaxError> {
        self.skip_space();
        let key_at = self.position;
        if !self.take(b'"') {
            return Err(self.expected("a field name in double quotes"));
        }
        let key = self.string(key_at)?;
        self.skip_space();
        if !self.take(b':') {
            return Err(self.expected("`:` after a field name"));
        }
        Ok((key_at, key))
    }

    /// True after a comma, false after the closing bracket.
    fn separator(&mut self, close: u8, wanted: &str) -> Result<bool, SyntaxError> {
        self.skip_space();
        if self.take(b',') {
            Ok(true)
        } else if self.take(close) {
            Ok(false)
        } else {
            Err(self.expected(wanted))
        }
    }

    /// At the end of the text, says which bracket was never closed.
    fn refine(&self, error: SyntaxError, start: usize) -> SyntaxError {
        if self.position >= self.end { self.unfinished(start) } else { error }
    }

    fn unfinished(&self, start: usize) -> SyntaxError {
        let what = match self.text.as_bytes().get(start) {
            Some(b'{') => "this object",
            Some(b'[') => "this list",
            _ => "this string",
        };
        SyntaxError {
            at: start,
            message: format!("the text ends inside {what}"),
            hint: Some("the file seems to be cut off"),
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), SyntaxError> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        Err(SyntaxError {
            at: self.position,
            message: format!("lists and objects nest deeper than {MAX_DEPTH}"),
            hint: None,
        })
    }

    fn number(&mut self) -> Result<Value<'t>, SyntaxError> {
        let start = self.position;
        self.take(b'-');
        let first = self.position;
        self.digits();
        let leading_zero = self.position - first > 1 && self.text.as_bytes().get(first) == Some(&b'0');
        let mut whole = self.position > first && !leading_zero;
        if self.take(b'.') {
            let fraction = self.position;
            self.digits();
            whole &= self.position > fraction;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            let exponent = self.position;
            self.digits();
            whole &= self.position > exponent;
        }
        match self.text.get(start..self.position) {
            Some(text) if whole => Ok(Value::Number(Cow::Borrowed(text))),
            _ => Err(SyntaxError { at: start, message: "this is not a number".to_owned(), hint: None }),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
    }

    fn word(&mut self) -> Result<Value<'t>, SyntaxError> {
        let rest = self.text.get(self.position..self.end).unwrap_or_default();
        for (word, value) in
            [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
        {
            if rest.starts_with(word) {
                self.position += word.len();
                return Ok(value);
            }
        }
        Err(self.expected("a value"))
    }

    /// The rest of a string whose opening quote is consumed.
    fn string(&mut self, start: usize) -> Result<Cow<'t, str>, SyntaxError> {
        let first = self.position;
        let escaped = self.string_end(start)?;
        let body = self.text.get(first..self.position - 1).unwrap_or_default();
        if let Some(control) = body.bytes().position(|byte| byte < 0x20) {
            return Err(SyntaxError {
                at: first + control,
                message: "a string holds a line break or another control character".to_owned(),
                hint: Some("write it as an escape, such as `\\n`"),
            });
        }
        if escaped { unescape(body, first).map(Cow::Owned) } else { Ok(Cow::Borrowed(body)) }
    }

    /// Moves behind the closing quote; true if there are escapes.
    fn string_end(&mut self, start: usize) -> Result<bool, SyntaxError> {
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.position += 2;
                }
                Some(_) => self.position += 1,
                None => {
                    self.position = self.end;
                    return Err(self.unfinished(start));
                }
            }
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        if self.position < self.end { self.text.as_bytes().get(self.position).copied() } else { None }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    fn expected(&self, wanted: &str) -> SyntaxError {
        let found = self.text.get(self.position..self.end).and_then(|rest| rest.chars().next());
        let message = match found {
            Some(character) => format!("expected {wanted}, found `{}`", character.escape_debug()),
            None => format!("expected {wanted}, but the text ends"),
        };
        SyntaxError { at: self.position.min(self.end), message, hint: None }
    }
}

/// The text of one JSON value, all of it.
pub(crate) fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    let mut parser = Parser::new(text, 0, text.len());
    let node = parser.value()?;
    match parser.next_value_at() {
        None => Ok(node),
        Some(_) => Err(parser.expected("the end of the text")),
    }
}

/// The first field name that occurs twice, with the place of its second occurrence.
pub(crate) fn duplicate_key(entries: &[Entry<'_>]) -> Option<(String, usize)> {
    if entries.len() <= 16 {
        return entries.iter().enumerate().find_map(|(index, entry)| {
            let seen = entries.iter().take(index).any(|earlier| earlier.key == entry.key);
            seen.then(|| (entry.key.to_string(), entry.key_at))
        });
    }
    let mut seen = std::collections::HashSet::with_capacity(entries.len());
    let repeated = entries.iter().find(|entry| !seen.insert(entry.key.as_ref()))?;
    Some((repeated.key.to_string(), repeated.key_at))
}

/// The error for a field name that occurs twice.
pub(crate) fn duplicate_error(key: &str, at: usize) -> SyntaxError {
    SyntaxError {
        at,
        message: format!("field `{key}` occurs twice in one object"),
        hint: Some("keep one of the two"),
    }
}

fn unescape(body: &str, offset: usize) -> Result<String, SyntaxError> {
    let bad = |at: usize| SyntaxError {
        at: offset + at,
        message: "this is not an escape that JSON knows".to_owned(),
        hint: Some("write a backslash as `\\\\`"),
    };
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(backslash) = rest.find('\\') {
        let at = body.len() - rest.len() + backslash;
        out.push_str(rest.get(..backslash).unwrap_or_default());
        let mut after = rest.get(backslash + 1..).unwrap_or_default().chars();
        match after.next() {
            Some(character @ ('"' | '\\' | '/')) => out.push(character),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (character, remaining) = unicode_escape(after.as_str()).ok_or_else(|| bad(at))?;
                out.push(character);
                rest = remaining;
                continue;
            }
            _ => return Err(bad(at)),
        }
        rest = after.as_str();
    }
    out.push_str(rest);
    Ok(out)
}

/// Four hexadecimal digits, or a surrogate pair. A lone surrogate becomes U+FFFD, as in Go.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| -> Option<u32> {
        let digits = text.get(..4)?;
        if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            u32::from_str_radix(digits, 16).ok()
        } else {
            None
        }
    };
    let first = unit(text)?;
    let rest = text.get(4..)?;
    if (0xD800..0xDC00).contains(&first)
        && let Some(second) = rest.strip_prefix("\\u").and_then(unit)
        && (0xDC00..0xE000).contains(&second)
    {
        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return Some((char::from_u32(code)?, rest.get(6..)?));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest))
}
