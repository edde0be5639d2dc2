//! `dray allocate --explain`: why the answer is what it is.

use drayage_allocator::explanation::{Explained, Explanation};
use drayage_simulator::report::{ErrorReport, ExplanationReport};

use crate::command::arguments::ExplainOutput;
use crate::command::exit::Exit;
use crate::command::failure::Failure;
use crate::command::output;
use crate::command::terminal::Terminal;
use crate::command::text::printable_line;

/// Prints the explanation, or the error that keeps claims from being looked at.
pub(crate) fn print(
    explained: &Result<Explanation, ErrorReport>,
    format: ExplainOutput,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let explanation = match explained {
        Ok(explanation) => explanation,
        Err(error) => {
            let text = match format {
                ExplainOutput::Json => output::json(error)?,
                ExplainOutput::Text => format!("{}: {}\n", error.kind, printable_line(&error.message)),
                ExplainOutput::Dot => "digraph explanation {\n}\n".to_owned(),
            };
            terminal.write(text.as_bytes())?;
            return Ok(Exit::No);
        }
    };
    let text = match format {
        ExplainOutput::Text => {
            let mut text = String::new();
            for line in explanation.to_string().lines() {
                text.push_str(&printable_line(line));
                text.push('\n');
            }
            text
        }
        ExplainOutput::Json => output::json(&ExplanationReport::from(explanation))?,
        ExplainOutput::Dot => explanation.dot(),
    };
    terminal.write(text.as_bytes())?;
    Ok(match explanation.outcome {
        Explained::Allocated(_) => Exit::Yes,
        Explained::Unsatisfiable(_) | Explained::Error(_) => Exit::No,
        Explained::Undecided(_) => Exit::Undecided,
    })
}
