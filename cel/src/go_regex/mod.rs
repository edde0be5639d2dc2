//! Regular expressions in the dialect of Go's `regexp` package, which CEL in Kubernetes uses.
//!
//! A pattern is read by Go's rules and written again, construct by construct, in the syntax of the `regex` crate:
//! both engines give the leftmost match that the alternatives prefer in order, but their syntaxes differ in
//! both directions. Go accepts `\Q..\E` and `\101`, refuses `a**` and `a{1001}`, takes `[a&&b]` literally, and
//! keeps `\d`, `\s`, `\w` and `\b` to ASCII.

mod class;
mod parse;
#[cfg(test)]
mod tests;
mod unicode;

use std::fmt;

/// Memory one compiled pattern may take. Go has a limit of its own (reproduced in the parser) that is harder to
/// reach; only patterns such as `\pL{1000}` lie between the two.
const MAX_COMPILED_BYTES: usize = 10 << 20;

/// A compiled regular expression.
#[derive(Clone)]
pub(crate) struct GoRegex {
    pattern: String,
    regex: regex::Regex,
    /// Instructions in Go's program.
    size: u64,
}

/// A pattern Go does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}: `{part}`")]
pub(crate) struct GoRegexError {
    /// What is wrong, in Go's words.
    pub reason: &'static str,
    /// The part of the pattern that is wrong.
    pub part: String,
}

impl GoRegex {
    /// Compiles a pattern.
    pub(crate) fn new(pattern: &str) -> Result<Self, GoRegexError> {
        let too_large = || GoRegexError { reason: "expression too large", part: pattern.to_owned() };
        let translated = parse::translate(pattern)?;
        // Parser and compiler of the `regex` crate recurse with the depth of the pattern.
        let regex = stacker::maybe_grow(512 * 1024, 16 * 1024 * 1024, || {
            regex::RegexBuilder::new(&translated.text)
                .size_limit(MAX_COMPILED_BYTES)
                .nest_limit(4 * parse::MAX_HEIGHT)
                .build()
        })
        .map_err(|_| too_large())?;
        Ok(Self { pattern: pattern.to_owned(), regex, size: translated.size })
    }

    /// How much work it is at most to compile a pattern and to search a text, in units of a few nanoseconds.
    pub(crate) fn work(pattern: &str, text: &str) -> u64 {
        /// For compiling the smallest pattern.
        const BASE: u64 = 5_000;
        match parse::translate(pattern) {
            Ok(translated) => {
                BASE.saturating_add(translated.work).saturating_add(search_work(translated.size, text))
            }
            Err(_) => BASE,
        }
    }

    /// How much work it is at most to search a text, in units of a few nanoseconds.
    pub(crate) fn search_work(&self, text: &str) -> u64 {
        search_work(self.size, text)
    }

    /// Whether the pattern matches anywhere in the text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The first match.
    pub(crate) fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.regex.find(text).map(|found| found.as_str())
    }

    /// All matches that do not overlap, from the left.
    pub(crate) fn find_all<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.regex.find_iter(text).map(|found| found.as_str())
    }
}

/// Every instruction at every byte, were it not that the engine does several at once.
fn search_work(size: u64, text: &str) -> u64 {
    (text.len() as u64).saturating_mul(size / 16 + 1)
}

impl fmt::Debug for GoRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoRegex({:?})", self.pattern)
    }
}
