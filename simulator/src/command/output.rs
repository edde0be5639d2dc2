//! Answers for programs.

use serde::Serialize;

use super::failure::Failure;

/// One JSON object over several lines.
pub(crate) fn json(answer: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(answer).map_err(internal)?;
    text.push('\n');
    Ok(text)
}

/// One JSON object on one line.
pub(crate) fn json_line(answer: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string(answer).map_err(internal)?;
    text.push('\n');
    Ok(text)
}

/// One YAML document.
pub(crate) fn yaml(answer: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_saphyr::to_string(answer).map_err(internal)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn internal(error: impl std::error::Error) -> Failure {
    Failure::Internal(error.to_string())
}
