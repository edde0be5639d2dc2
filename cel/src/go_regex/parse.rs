//! Reading a pattern by Go's rules and writing it in the syntax of the `regex` crate.
//!
//! The parser keeps Go's explicit stack, so it needs no recursion, and what Go says of `a(?i)*` or `(|a)*`
//! follows from the same steps.

use super::GoRegexError;
use super::class::{bracketed, escape, literal, perl_class_here, unicode_class};

/// How deep expressions may nest, as in Go.
pub(super) const MAX_HEIGHT: u32 = 1000;
/// How often a part may be repeated in all, nested repetitions multiplied, as in Go.
const MAX_REPEAT: u64 = 1000;
/// The size of the compiled expression in Go's instructions.
const MAX_SIZE: u64 = (128 << 20) / 40;

/// What is left to read.
pub(super) struct Cursor<'p> {
    pattern: &'p str,
    position: usize,
}

impl<'p> Cursor<'p> {
    pub(super) fn rest(&self) -> &'p str {
        self.pattern.get(self.position..).unwrap_or_default()
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The text from an earlier position up to here.
    pub(super) fn since(&self, start: usize) -> &'p str {
        self.pattern.get(start..self.position).unwrap_or_default()
    }

    /// The text from an earlier position to the end.
    pub(super) fn all_from(&self, start: usize) -> &'p str {
        self.pattern.get(start..).unwrap_or_default()
    }

    /// Steps over bytes known to be there.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.position = (self.position + bytes).min(self.pattern.len());
    }

    /// Steps over `text` if it is next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.skip(text.len());
        }
        found
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let character = self.rest().chars().next()?;
        self.skip(character.len_utf8());
        Some(character)
    }
}

pub(super) fn error(reason: &'static str, part: &str) -> GoRegexError {
    GoRegexError { reason, part: part.to_owned() }
}

/// The flags of `(?imsU)`.
#[derive(Clone, Copy)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_all: bool,
    swap_greed: bool,
}

/// How tightly a written fragment binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Alternation,
    Concatenation,
    Repetition,
    Atom,
}

/// A part of the pattern, written for the `regex` crate.
struct Fragment {
    text: String,
    binding: Binding,
    /// Depth in Go's syntax tree.
    height: u32,
    /// The largest product of nested repetition counts.
    repeats: u64,
    /// Instructions in Go's program.
    size: u64,
    /// How much work it is to compile, in units of a few nanoseconds.
    work: u64,
}

/// A pattern in the syntax of the `regex` crate.
pub(super) struct Translated {
    pub(super) text: String,
    /// Instructions in Go's program.
    pub(super) size: u64,
    /// How much work it is to compile, in units of a few nanoseconds.
    pub(super) work: u64,
}

/// The work for one character. Classes are automata over the bytes of UTF-8: small ones for ASCII, larger ones
/// for everything but a few characters, and large ones for Unicode's classes.
fn work(atom: &str) -> u64 {
    let classes = atom.matches(r"\p").count() + atom.matches(r"\P").count();
    let complements =
        atom.matches("[^").count() + atom.matches(r"\x{").count() + atom.matches("(?s:.)").count();
    100 + 100_000 * classes as u64 + 1_000 * complements as u64
}

impl Fragment {
    fn atom(text: String) -> Self {
        let work = work(&text);
        Self { text, binding: Binding::Atom, height: 1, repeats: 1, size: 1, work }
    }

    /// The text, in a group if it binds less tightly than needed.
    fn bound(self, needed: Binding) -> String {
        if self.binding < needed { format!("(?:{})", self.text) } else { self.text }
    }
}

enum Entry {
    Fragment(Fragment),
    Open { flags: Flags, captures: bool },
    Bar,
}

struct Parser {
    flags: Flags,
    stack: Vec<Entry>,
}

/// The counts of a repetition operator.
struct Count {
    minimum: u64,
    maximum: Option<u64>,
    written: String,
    /// Written with braces; Go looks at the product of nested counts for these only.
    braces: bool,
}

/// Translates a pattern, or says why Go refuses it.
pub(super) fn translate(pattern: &str) -> Result<Translated, GoRegexError> {
    let flags = Flags { fold_case: false, multi_line: false, dot_all: false, swap_greed: false };
    let mut parser = Parser { flags, stack: Vec::new() };
    let mut cursor = Cursor { pattern, position: 0 };
    // Where the repetition before this position starts, if there is one.
    let mut last_repetition = None;
    while let Some(next) = cursor.rest().chars().next() {
        let start = cursor.position();
        let repetition = match next {
            '*' | '+' | '?' => {
                cursor.skip(1);
                let (minimum, maximum) = match next {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                Some(Count { minimum, maximum, written: next.to_string(), braces: false })
            }
            '{' => braces(&mut cursor)?,
            _ => None,
        };
        if let Some(count) = repetition {
            parser.repeat(&mut cursor, start, last_repetition, &count)?;
            last_repetition = Some(start);
        } else {
            parser.step(&mut cursor)?;
            last_repetition = None;
        }
    }
    parser.alternate()?;
    match (parser.stack.pop(), parser.stack.is_empty()) {
        (Some(Entry::Fragment(Fragment { text, size, work, .. })), true) => {
            Ok(Translated { text, size, work })
        }
        _ => Err(error("missing closing )", pattern)),
    }
}

/// Reads `{n}`, `{n,}` or `{n,m}`. Anything else that starts with a brace is literal, and left alone.
fn braces(cursor: &mut Cursor<'_>) -> Result<Option<Count>, GoRegexError> {
    let Some((counts, _)) = cursor.rest().strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return Ok(None);
    };
    let (low, high) = match counts.split_once(',') {
        None => (counts, counts),
        Some((low, high)) => (low, high),
    };
    let is_number = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'))
    };
    if !is_number(low) || !(high.is_empty() || is_number(high)) {
        return Ok(None);
    }
    let value = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let minimum = value(low);
    let maximum = (!high.is_empty()).then(|| value(high));
    let start = cursor.position();
    cursor.skip(counts.len() + 2);
    if minimum > MAX_REPEAT || maximum.is_some_and(|maximum| maximum > MAX_REPEAT || minimum > maximum) {
        return Err(error("invalid repeat count", cursor.since(start)));
    }
    Ok(Some(Count { minimum, maximum, written: cursor.since(start).to_owned(), braces: true }))
}

impl Parser {
    /// Reads one element that is no repetition operator.
    fn step(&mut self, cursor: &mut Cursor<'_>) -> Result<(), GoRegexError> {
        let rest = cursor.rest();
        if rest.starts_with("(?") {
            return self.group_or_flags(cursor);
        }
        match rest.chars().next() {
            Some('(') => {
                cursor.skip(1);
                self.stack.push(Entry::Open { flags: self.flags, captures: true });
            }
            Some('|') => {
                cursor.skip(1);
                self.concatenate()?;
                self.stack.push(Entry::Bar);
            }
            Some(')') => {
                cursor.skip(1);
                self.close(cursor)?;
            }
            Some('^') => {
                cursor.skip(1);
                self.atom(if self.flags.multi_line { "(?m:^)" } else { r"\A" });
            }
            Some('$') => {
                cursor.skip(1);
                self.atom(if self.flags.multi_line { "(?m:$)" } else { r"\z" });
            }
            Some('.') => {
                cursor.skip(1);
                self.atom(if self.flags.dot_all { "(?s:.)" } else { r"[^\n]" });
            }
            Some('[') => {
                let class = bracketed(cursor)?;
                self.folded(class);
            }
            Some('\\') => self.backslash(cursor)?,
            Some(other) => {
                cursor.skip(other.len_utf8());
                self.folded(literal(u32::from(other)));
            }
            None => {}
        }
        Ok(())
    }

    fn backslash(&mut self, cursor: &mut Cursor<'_>) -> Result<(), GoRegexError> {
        for (escape, written) in [(r"\A", r"\A"), (r"\b", r"(?-u:\b)"), (r"\B", r"(?-u:\B)"), (r"\z", r"\z")]
        {
            if cursor.take(escape) {
                self.atom(written);
                return Ok(());
            }
        }
        if cursor.take(r"\Q") {
            let rest = cursor.rest();
            let quoted = rest.split_once(r"\E").map_or(rest, |(quoted, _)| quoted);
            for character in quoted.chars() {
                self.folded(literal(u32::from(character)));
            }
            cursor.skip(quoted.len());
            cursor.take(r"\E");
            return Ok(());
        }
        if let Some(class) = unicode_class(cursor)? {
            self.folded(format!("[{class}]"));
        } else if let Some(class) = perl_class_here(cursor) {
            self.folded(format!("[{class}]"));
        } else {
            let code = escape(cursor)?;
            self.folded(literal(code));
        }
        Ok(())
    }

    fn atom(&mut self, text: &str) {
        self.stack.push(Entry::Fragment(Fragment::atom(text.to_owned())));
    }

    /// An atom that the flag `i` applies to.
    fn folded(&mut self, text: String) {
        let text = if self.flags.fold_case { format!("(?i:{text})") } else { text };
        self.stack.push(Entry::Fragment(Fragment::atom(text)));
    }

    /// Reads `(?P<name>`, `(?<name>`, `(?flags:` or `(?flags)`. Nothing asks for what groups capture, so no
    /// group is written as a capturing one.
    fn group_or_flags(&mut self, cursor: &mut Cursor<'_>) -> Result<(), GoRegexError> {
        let start = cursor.position();
        let rest = cursor.rest();
        let name_start = if rest.starts_with("(?P<") && rest.len() > 4 {
            Some(4)
        } else if rest.starts_with("(?<") && rest.len() > 3 {
            Some(3)
        } else {
            None
        };
        if let Some(name_start) = name_start {
            let Some(end) = rest.find('>') else {
                return Err(error("invalid named capture", rest));
            };
            let name = rest.get(name_start..end).unwrap_or_default();
            cursor.skip(end + 1);
            if name.is_empty() || !name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
                return Err(error("invalid named capture", cursor.since(start)));
            }
            self.stack.push(Entry::Open { flags: self.flags, captures: true });
            return Ok(());
        }
        cursor.skip(2);
        let mut flags = self.flags;
        let mut value = true;
        let mut seen = false;
        while let Some(character) = cursor.next() {
            match character {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_all = value,
                'U' => flags.swap_greed = value,
                '-' if value => {
                    value = false;
                    seen = false;
                    continue;
                }
                ':' | ')' if value || seen => {
                    if character == ':' {
                        self.stack.push(Entry::Open { flags: self.flags, captures: false });
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            seen = true;
        }
        Err(error("invalid or unsupported Perl syntax", cursor.since(start)))
    }

    fn repeat(
        &mut self,
        cursor: &mut Cursor<'_>,
        start: usize,
        last_repetition: Option<usize>,
        count: &Count,
    ) -> Result<(), GoRegexError> {
        let lazy = cursor.take("?") != self.flags.swap_greed;
        if let Some(last) = last_repetition {
            return Err(error("invalid nested repetition operator", cursor.since(last)));
        }
        let Some(Entry::Fragment(repeated)) = self.stack.pop() else {
            return Err(error("missing argument to repetition operator", cursor.since(start)));
        };
        let times = count.maximum.unwrap_or(count.minimum);
        let repeats = match count.maximum {
            _ if !count.braces => repeated.repeats,
            // Go does not look into what is repeated zero times.
            Some(0) => 1,
            _ => repeated.repeats.saturating_mul(times.max(1)),
        };
        if count.braces && times >= 2 && repeats > MAX_REPEAT {
            return Err(error("invalid repeat count", cursor.since(start)));
        }
        let size = match (count.braces, count.maximum) {
            (true, Some(maximum)) => maximum * repeated.size + (maximum - count.minimum),
            (true, None) if count.minimum > 0 => 1 + count.minimum * repeated.size,
            _ => 2 + repeated.size,
        };
        let height = repeated.height + 1;
        let work = repeated.work.saturating_mul(count.maximum.unwrap_or(count.minimum + 1).max(1));
        let text =
            format!("{}{}{}", repeated.bound(Binding::Atom), count.written, if lazy { "?" } else { "" });
        self.push(Fragment { text, binding: Binding::Repetition, height, repeats, size: size.max(1), work })
    }

    fn push(&mut self, fragment: Fragment) -> Result<(), GoRegexError> {
        if fragment.height > MAX_HEIGHT {
            return Err(error("expression nests too deeply", &fragment.text));
        }
        if fragment.size > MAX_SIZE {
            return Err(error("expression too large", &fragment.text));
        }
        self.stack.push(Entry::Fragment(fragment));
        Ok(())
    }

    /// Joins the fragments back to the last bar or open parenthesis.
    fn concatenate(&mut self) -> Result<(), GoRegexError> {
        let start = self
            .stack
            .iter()
            .rposition(|entry| !matches!(entry, Entry::Fragment(_)))
            .map_or(0, |position| position + 1);
        let mut parts: Vec<Fragment> = self.stack.drain(start..).filter_map(Entry::into_fragment).collect();
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return self.push(only);
        }
        let mut joined = Fragment { binding: Binding::Concatenation, ..Fragment::atom(String::new()) };
        joined.size = 0;
        for part in parts {
            // A concatenation within one is the same level in Go's tree.
            let inner = u32::from(part.binding != Binding::Concatenation);
            joined.height = joined.height.max(part.height + inner);
            joined.repeats = joined.repeats.max(part.repeats);
            joined.size = joined.size.saturating_add(part.size);
            joined.work = joined.work.saturating_add(part.work);
            joined.text.push_str(&part.bound(Binding::Concatenation));
        }
        joined.size = joined.size.max(1);
        if joined.text.is_empty() {
            "(?:)".clone_into(&mut joined.text);
            joined.binding = Binding::Atom;
        }
        self.push(joined)
    }

    /// Joins the alternatives back to the last open parenthesis.
    fn alternate(&mut self) -> Result<(), GoRegexError> {
        self.concatenate()?;
        let start = self
            .stack
            .iter()
            .rposition(|entry| matches!(entry, Entry::Open { .. }))
            .map_or(0, |position| position + 1);
        let mut parts: Vec<Fragment> = self.stack.drain(start..).filter_map(Entry::into_fragment).collect();
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return self.push(only);
        }
        let mut joined = Fragment { binding: Binding::Alternation, ..Fragment::atom(String::new()) };
        joined.size = (parts.len() as u64).saturating_sub(1);
        for (position, part) in parts.into_iter().enumerate() {
            let inner = u32::from(part.binding != Binding::Alternation);
            joined.height = joined.height.max(part.height + inner);
            joined.repeats = joined.repeats.max(part.repeats);
            joined.size = joined.size.saturating_add(part.size);
            joined.work = joined.work.saturating_add(part.work);
            if position > 0 {
                joined.text.push('|');
            }
            joined.text.push_str(&part.text);
        }
        self.push(joined)
    }

    fn close(&mut self, cursor: &Cursor<'_>) -> Result<(), GoRegexError> {
        self.alternate()?;
        let (Some(Entry::Fragment(mut inner)), Some(Entry::Open { flags, captures })) =
            (self.stack.pop(), self.stack.pop())
        else {
            return Err(error("unexpected )", cursor.all_from(0)));
        };
        self.flags = flags;
        if captures {
            inner.height += 1;
            inner.size = inner.size.saturating_add(2);
            let (height, repeats, size, work) = (inner.height, inner.repeats, inner.size, inner.work);
            inner = Fragment {
                text: inner.bound(Binding::Atom),
                binding: Binding::Atom,
                height,
                repeats,
                size,
                work,
            };
        }
        self.push(inner)
    }
}

impl Entry {
    fn into_fragment(self) -> Option<Fragment> {
        match self {
            Self::Fragment(fragment) => Some(fragment),
            Self::Open { .. } | Self::Bar => None,
        }
    }
}
