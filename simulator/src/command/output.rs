//! Answers for programs, and answers in files.

use std::fs;
use std::path::Path;

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

/// Writes a file, which appears under its name only when it is whole.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let part = path.with_added_extension("part");
    fs::write(&part, content)
        .and_then(|()| fs::rename(&part, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })
        .map_err(|error| Failure::unwritable(path, &error))
}

fn internal(error: impl std::error::Error) -> Failure {
    Failure::Internal(error.to_string())
}
