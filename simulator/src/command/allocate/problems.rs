//! `dray allocate --problems`: recorded problems in, one JSON line each out.

use std::io::{BufRead, Read as _};
use std::path::Path;

use drayage_allocator::Profile;
use drayage_cluster::problems;
use drayage_simulator::schedule;

use crate::command::exit::Exit;
use crate::command::failure::{Complaint, Failure, Place};
use crate::command::output;
use crate::command::source;
use crate::command::terminal::Terminal;

/// A line longer than this is refused before it fills the memory; no cluster needs it.
const LONGEST_LINE: u64 = 1 << 30;

/// Answers every line of the file, in order. Each answer is written out before the next line is read, so that
/// another program can hold a conversation with this one.
pub(crate) fn run(path: &Path, profile: Profile, budget: u64, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut input = source::open(path)?;
    let mut line = Vec::new();
    for number in 1_usize.. {
        line.clear();
        let length = (&mut input)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::unreadable(path, &error))?;
        if length == 0 {
            break;
        }
        let malformed = |message: String, text: &str, at: usize| {
            let column = text.get(..at).map_or(1, |before| before.chars().count() + 1);
            Failure::input(
                Complaint::new(format!("line {number} is no problem: {message}"))
                    .at(Place::in_line(source::name(path), number, column, text))
                    .with_hint(
                        "a line is one JSON object with `node`, `classes`, `slices` and `claims`; \
                         the answers to the lines before it are printed",
                    ),
            )
        };
        let text = std::str::from_utf8(&line).map_err(|error| {
            let (before, _) = line.split_at(error.valid_up_to());
            malformed("not UTF-8 text".to_owned(), &String::from_utf8_lossy(before), before.len())
        })?;
        if text.trim().is_empty() {
            continue;
        }
        let problem = problems::read_line(text).map_err(|error| {
            let (column, message) = column_and_message(error);
            malformed(message, text, column.saturating_sub(1))
        })?;
        let answer = schedule::run_problem(&problem, profile, budget);
        terminal.write(output::json_line(&answer)?.as_bytes())?;
    }
    Ok(Exit::Yes)
}

fn column_and_message(error: problems::ProblemError) -> (usize, String) {
    match error {
        problems::ProblemError::Syntax { column, message } => (column, message),
        problems::ProblemError::Field { column, field, message } => (column, format!("`{field}`: {message}")),
    }
}
