//! Answers for programs, and answers in files.

use std::fs;
use std::io;
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

/// Writes a file, which appears under its name only when it is whole. What is no file, a device or a pipe, is written to,
/// and a link stays a link.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = match (fs::metadata(path), fs::canonicalize(path)) {
        (Ok(metadata), Ok(target)) if metadata.is_file() => replace(&target, content),
        // Behind `/dev/stdout` may be a pipe that has no path of its own.
        (Ok(_), _) => fs::write(path, content),
        (Err(_), _) if fs::symlink_metadata(path).is_ok() => fs::write(path, content),
        (Err(_), _) => replace(path, content),
    };
    written.map_err(|error| Failure::unwritable(path, &error))
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let part = path.with_added_extension("part");
    fs::write(&part, content).and_then(|()| fs::rename(&part, path)).inspect_err(|_| {
        let _ = fs::remove_file(&part);
    })
}

fn internal(error: impl std::error::Error) -> Failure {
    Failure::Internal(error.to_string())
}
