//! The container runtime over the driver's file operations.

use std::{collections::BTreeSet, path::Path};

use drayage_driver::files::FileSystem;
use drayage_fake_kubelet::cdi::CdiRegistry;

/// What a runtime reads in a directory.
pub(crate) fn registry<F: FileSystem>(files: &F, directory: &Path) -> CdiRegistry {
    let mut registry = CdiRegistry::new();
    for file in files.list(directory).unwrap_or_default() {
        registry.add(0, &file, &files.read(&directory.join(&file)).unwrap_or_default());
    }
    registry
}

/// The qualified names that containers can get from a directory.
pub(crate) fn resolvable<F: FileSystem>(files: &F, directory: &Path) -> BTreeSet<String> {
    registry(files, directory).resolvable()
}
