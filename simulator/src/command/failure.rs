//! What can keep a command from giving an answer, and how that is told.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::exit::Exit;
use super::text::{count, printable, printable_line};

/// Messages of one kind beyond this many are counted, not printed.
const SHOWN_COMPLAINTS: usize = 20;

/// Why a command ended without an answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's files or arguments are wrong.
    Input {
        /// What is wrong, in the order of the input.
        complaints: Vec<Complaint>,
        /// How much more is wrong.
        omitted: usize,
    },
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
    /// What is shown of that line; empty where unknown.
    pub(crate) text: String,
    /// How many characters of `text` stand before the caret.
    pub(crate) caret: usize,
}

impl From<drayage_cluster::Place> for Place {
    fn from(place: drayage_cluster::Place) -> Self {
        let drayage_cluster::Place { source, line, column, text, caret } = place;
        Self { file: source, position: Some((line, column)), text, caret }
    }
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
    /// A whole file.
    pub(crate) fn file(name: impl Into<String>) -> Self {
        Self { file: name.into(), ..Self::default() }
    }

    /// A line and column, both from 1, with the text of that line as far as it is worth showing: one line of
    /// JSON may hold a whole cluster.
    pub(crate) fn in_line(file: impl Into<String>, line: usize, column: usize, source_line: &str) -> Self {
        const WIDTH: usize = 100;
        let caret = column.saturating_sub(1);
        let skipped = if caret < WIDTH { 0 } else { caret - WIDTH / 2 };
        let text = source_line.trim_end().chars().skip(skipped).take(WIDTH).collect();
        Self { file: file.into(), position: Some((line, column)), text, caret: caret - skipped }
    }

    fn render(&self, text: &mut String) {
        let _ = write!(text, "\n  --> {}", printable(&self.file));
        let Some((line, column)) = self.position else { return };
        let _ = write!(text, ":{line}:{column}");
        if self.text.trim().is_empty() {
            return;
        }
        // An escape before the caret is wider than what it stands for.
        let before: String = self.text.chars().take(self.caret).collect();
        let caret = printable_line(&before).chars().count();
        let margin = line.to_string().len();
        let shown = printable_line(&self.text);
        let _ = write!(text, "\n{:margin$} |\n{line} | {shown}\n{:margin$} | {:caret$}^", "", "", "");
    }
}

impl Failure {
    /// Bad input with one complaint.
    pub(crate) fn input(complaint: Complaint) -> Self {
        Self::Input { complaints: vec![complaint], omitted: 0 }
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
            Self::Input { .. } => Exit::BadInput,
            // The reader has seen enough, as with `dray … | head`: nothing went wrong.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Yes,
            Self::Output(_) | Self::Internal(_) => Exit::Internal,
        }
    }

    /// The messages to print, each to follow `error: `; none for a closed pipe.
    pub(crate) fn messages(&self) -> Vec<String> {
        match self {
            Self::Input { complaints, omitted } => {
                let mut messages: Vec<String> =
                    complaints.iter().take(SHOWN_COMPLAINTS).map(Complaint::render).collect();
                let omitted = omitted + complaints.len().saturating_sub(SHOWN_COMPLAINTS);
                if omitted > 0 {
                    messages.push(format!("{} not shown", count(omitted, "more error")));
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
            .at(Place::in_line("a.yaml", 12, 5, "    cuont: 3"))
            .with_hint("did you mean `count`?");
        assert_eq!(
            complaint.render(),
            "unknown field `spec.cuont`\n  --> a.yaml:12:5\n   |\n12 |     cuont: 3\n   |     ^\n\nhint: did you mean `count`?"
        );
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let place = Place::in_line("a.json", 1, 5001, &line);
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
