//! Errors of a compilation, with places.

use std::fmt;

/// Everything that is wrong with an expression, in the order of the text.
///
/// `Display` is one line; [`CompileError::render`] shows the source with carets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where; none for a problem of the expression as a whole.
    pub place: Option<Place>,
    /// What, in the wording of cel-go and the API server where they have one.
    pub message: String,
}

/// A place in an expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Bytes from the start.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// The text of the line.
    pub text: String,
}

impl Place {
    fn new(source: &str, offset: usize) -> Self {
        let mut offset = offset.min(source.len());
        while !source.is_char_boundary(offset) {
            offset -= 1;
        }
        let start = source[..offset].rfind('\n').map_or(0, |at| at + 1);
        let end = source[offset..].find('\n').map_or(source.len(), |at| offset + at);
        Self {
            offset,
            line: source[..start].matches('\n').count() + 1,
            column: source[start..offset].chars().count() + 1,
            text: source[start..end].to_owned(),
        }
    }
}

/// Longest line that `render` prints whole; expressions may be 10 KiB on one line.
const MAX_RENDERED: usize = 120;

impl CompileError {
    /// A problem at a byte of the source.
    pub(crate) fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        Self { problems: vec![Problem { place: Some(Place::new(source, offset)), message: message.into() }] }
    }

    /// A problem of the expression as a whole.
    pub(crate) fn without_place(message: impl Into<String>) -> Self {
        Self { problems: vec![Problem { place: None, message: message.into() }] }
    }

    /// Adds the problems of another error.
    pub(crate) fn append(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.problems.sort();
        self.problems.dedup();
    }

    /// All problems, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// For each problem the message, the source line and a caret under the place, without a final line break.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&problem.message);
            if let Some(place) = &problem.place {
                render_place(&mut text, place);
            }
        }
        text
    }
}

fn render_place(text: &mut String, place: &Place) {
    let characters: Vec<char> = place.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let at = place.column - 1;
    // A window around the place where the line is too long to show.
    let (start, end) = if characters.len() <= MAX_RENDERED {
        (0, characters.len())
    } else {
        let start = at.saturating_sub(MAX_RENDERED / 2);
        (start, (start + MAX_RENDERED).min(characters.len()))
    };
    let before = if start > 0 { "…" } else { "" };
    let after = if end < characters.len() { "…" } else { "" };
    let shown: String = characters[start..end].iter().collect();
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(at - start + before.chars().count());
    for part in ["\n", &number, " | ", before, &shown, after, "\n", &margin, " | ", &indent, "^"] {
        text.push_str(part);
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            match &problem.place {
                Some(place) => write!(f, "{}:{}: {}", place.line, place.column, problem.message)?,
                None => f.write_str(&problem.message)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}
