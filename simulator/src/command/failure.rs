//! What can keep a command from giving an answer, and how that is told.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::exit::Exit;
use super::text::{printable, printable_line};

/// Messages of one kind beyond this many are counted, not printed.
const SHOWN_COMPLAINTS: usize = 20;

/// Why a command ended without an answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's files or arguments are wrong.
    Input(Vec<Complaint>),
    /// Stdout could not be written; a closed pipe included.
    Output(io::Error),
    /// Something that must not happen.
    Internal(String),
}

/// One thing that is wrong with the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// What is wrong: lower case, no full stop.
    pub(crate) message: String,
    /// Where it is.
    pub(crate) place: Option<Place>,
    /// A block of text that explains it, printed as it is; for example an expression with a caret.
    pub(crate) detail: Option<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Path as the user gave it, or `<stdin>`.
    pub(crate) file: String,
    /// Line and column from 1; `None` where only the file is known.
    pub(crate) position: Option<(usize, usize)>,
    /// The text of that line; empty where unknown.
    pub(crate) source_line: String,
}

impl Complaint {
    /// A message without a place.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Adds what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where it is.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds a block of explaining text.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The text after `error: `, over several lines, without the last newline.
    pub(crate) fn render(&self) -> String {
        let mut text = printable(&self.message);
        if let Some(place) = &self.place {
            place.render(&mut text);
        }
        if let Some(detail) = &self.detail {
            for line in detail.trim_end().lines() {
                let _ = write!(text, "\n  {}", printable_line(line));
            }
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\n\nhint: {}", printable(hint));
        }
        text
    }
}

impl Place {
    fn render(&self, text: &mut String) {
        let Some((line, column)) = self.position else {
            let _ = write!(text, "\n  --> {}", printable(&self.file));
            return;
        };
        let _ = write!(text, "\n  --> {}:{line}:{column}", printable(&self.file));
        if self.source_line.trim().is_empty() {
            return;
        }
        let (window, caret) = window(&self.source_line, column);
        let gutter = line.to_string().len();
        let _ = write!(text, "\n{:gutter$} |\n{line} | {window}\n{:gutter$} | {:caret$}^", "", "", "");
    }
}

/// The part of a line that is worth showing, and how many characters stand before the caret in it.
///
/// Minified JSON puts a whole cluster on one line, so that the line cannot be shown whole.
fn window(source_line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 100;
    let characters: Vec<char> = printable_line(source_line.trim_end()).chars().take(column + WIDTH).collect();
    let caret = column.saturating_sub(1).min(characters.len());
    if characters.len() <= WIDTH {
        return (characters.into_iter().collect(), caret);
    }
    let start = caret.saturating_sub(WIDTH / 2);
    let shown: String = characters.iter().skip(start).take(WIDTH).collect();
    if start == 0 { (format!("{shown}…"), caret) } else { (format!("…{shown}…"), caret - start + 1) }
}

impl Failure {
    /// Bad input with one complaint.
    pub(crate) fn input(complaint: Complaint) -> Self {
        Self::Input(vec![complaint])
    }

    /// A file that could not be read.
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let complaint = Complaint::new(format!("cannot read `{}`: {}", path.display(), reason(error)));
        Self::input(match error.kind() {
            io::ErrorKind::NotFound => complaint.with_hint("check the path; `-` reads from stdin"),
            _ => complaint,
        })
    }

    /// A file that could not be written.
    pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Self {
        Self::input(Complaint::new(format!("cannot write `{}`: {}", path.display(), reason(error))))
    }

    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Input(_) => Exit::BadInput,
            // The reader has seen enough, as with `dray … | head`: nothing went wrong.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Yes,
            Self::Output(_) | Self::Internal(_) => Exit::Internal,
        }
    }

    /// The messages to print, each to follow `error: `; none for a closed pipe.
    pub(crate) fn messages(&self) -> Vec<String> {
        match self {
            Self::Input(complaints) => {
                let mut messages: Vec<String> =
                    complaints.iter().take(SHOWN_COMPLAINTS).map(Complaint::render).collect();
                if complaints.len() > SHOWN_COMPLAINTS {
                    messages.push(format!("{} more errors not shown", complaints.len() - SHOWN_COMPLAINTS));
                }
                messages
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            Self::Output(error) => vec![format!("cannot write to stdout: {}", reason(error))],
            Self::Internal(message) => vec![message.clone()],
        }
    }
}

/// The operating system's words without Rust's `(os error 2)`, in lower case as all our messages.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => "unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_shows_place_line_caret_and_hint() {
        let complaint = Complaint::new("unknown field `spec.cuont`")
            .at(Place {
                file: "a.yaml".to_owned(),
                position: Some((12, 5)),
                source_line: "    cuont: 3".to_owned(),
            })
            .with_hint("did you mean `count`?");
        assert_eq!(
            complaint.render(),
            "unknown field `spec.cuont`\n  --> a.yaml:12:5\n   |\n12 |     cuont: 3\n   |     ^\n\nhint: did you mean `count`?"
        );
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_caret() {
        let place = Place {
            file: "a.json".to_owned(),
            position: Some((1, 5001)),
            source_line: format!("{}X{}", "a".repeat(5000), "b".repeat(5000)),
        };
        let rendered = Complaint::new("no").at(place).render();
        let lines: Vec<&str> = rendered.lines().collect();
        let caret = lines[4].find('^').expect("a caret");
        assert!(lines[3].chars().count() < 120, "{rendered}");
        assert_eq!(lines[3].chars().nth(caret), Some('X'), "{rendered}");
    }

    #[test]
    fn control_characters_of_the_input_do_not_reach_the_terminal() {
        let rendered = Complaint::new("bad name `\u{1b}[31mred\u{7}`").render();
        assert_eq!(rendered, "bad name `\\u{1b}[31mred\\u{7}`");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::Output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.messages()), (Exit::Yes, Vec::new()));
    }
}
