//! What a driver without an API server publishes.

use std::{fs, path::Path};

use serde_json::Value;

/// The slices in a folder as they are now. A file that is being written has another ending, and is no slice yet: with it
/// a slice would be there twice.
pub(crate) fn in_folder(folder: &Path) -> Vec<Value> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let written = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    written.filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok()).collect()
}

/// The devices of those slices.
pub(crate) fn devices(folder: &Path) -> Vec<Value> {
    let devices = |slice: Value| slice["spec"]["devices"].as_array().cloned().unwrap_or_default();
    in_folder(folder).into_iter().flat_map(devices).collect()
}
