//! `dray cel eval --corpus`: many expressions, one JSON line each.

use std::path::Path;

use drayage_cel::{Compiler, Device};
use serde::Serialize;

use super::judgement::{Compile, Judgement, Outcome, judge};
use crate::command::exit::Exit;
use crate::command::failure::{Complaint, Failure, Place};
use crate::command::output;
use crate::command::source;
use crate::command::terminal::Terminal;

/// One line of output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    expression: &'a str,
    outcome: Outcome,
    /// Upper bound of the cost; null where the expression does not compile.
    estimate: Option<u64>,
    /// What the evaluation cost; null where there was none.
    cost: Option<u64>,
    /// The value where it is no bool.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The error; null unless there is one.
    message: Option<String>,
}

/// Evaluates every expression of the file, in order.
pub(crate) fn run(
    path: &Path,
    compiler: &Compiler,
    compile: Compile,
    device: &Device,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    for expression in read(path)? {
        let Judgement { outcome, estimate, cost, value, message, .. } =
            judge(compiler, compile, &expression, Some(device));
        let line = Line {
            expression: &expression,
            outcome,
            estimate: estimate.map(|estimate| estimate.max),
            cost,
            value: value.filter(|_| outcome == Outcome::Value),
            message,
        };
        terminal.write(output::json_line(&line)?.as_bytes())?;
    }
    Ok(Exit::Yes)
}

/// The expressions of a JSON array of strings, of `[group, expression, …]` arrays, or of objects.
fn read(path: &Path) -> Result<Vec<String>, Failure> {
    const SHAPES: &str = "expected a JSON array of strings, of [group, expression, verdict] arrays, or of objects with `expression`";
    let text = source::text(path)?;
    let refused =
        |message: String, place: Place| Failure::input(Complaint::new(message).at(place).with_hint(SHAPES));
    let elements: Vec<serde_json::Value> = serde_json::from_str(&text).map_err(|error| {
        // serde_json ends its text with the place, which is shown apart.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        refused(
            message.to_owned(),
            Place::in_line(source::name(path), error.line(), error.column().max(1), line),
        )
    })?;
    elements
        .into_iter()
        .enumerate()
        .map(|(index, element)| {
            expression(element).ok_or_else(|| {
                let message = format!("element {index} of the corpus has no expression");
                refused(message, Place::file(source::name(path)))
            })
        })
        .collect()
}

fn expression(element: serde_json::Value) -> Option<String> {
    match element {
        serde_json::Value::String(expression) => Some(expression),
        serde_json::Value::Array(entries) => {
            entries.into_iter().nth(1).and_then(|entry| entry.as_str().map(ToOwned::to_owned))
        }
        serde_json::Value::Object(fields) => {
            fields.get("expression").and_then(|entry| entry.as_str().map(ToOwned::to_owned))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_of_element_has_its_expression() {
        for element in [json!("a"), json!(["group", "a", "T"]), json!({"expression": "a", "group": 1})] {
            assert_eq!(expression(element), Some("a".to_owned()));
        }
        for element in [json!(1), json!(["a"]), json!({}), json!(["group", 2])] {
            assert_eq!(expression(element), None);
        }
    }
}
