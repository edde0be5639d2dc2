//! The directory that container runtimes read, and our files in it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::files::{FileSystem, remove_durably, remove_temporaries, write_atomically};

/// The files of one driver in a CDI directory: one for each claim, named after its UID, so that no two files have the
/// same device and no stale cache of a runtime finds an older meaning.
#[derive(Clone, Debug)]
pub struct CdiDirectory {
    directory: PathBuf,
    driver: String,
    prefix: String,
    kind: String,
}

const ENDING: &str = ".json";

impl CdiDirectory {
    /// The files of `driver` in `directory`.
    pub fn new(directory: &Path, driver: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            driver: driver.to_owned(),
            prefix: format!("k8s.{driver}-claim_"),
            kind: format!("k8s.{driver}/claim"),
        }
    }

    /// The driver.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The kind of every specification.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    fn name(&self, uid: &str) -> String {
        format!("{}{uid}{ENDING}", self.prefix)
    }

    /// Writes the file of a claim unless it has this content already. True if it was written.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn ensure<F: FileSystem>(&self, files: &F, uid: &str, content: &str) -> io::Result<bool> {
        let name = self.name(uid);
        if files.read(&self.directory.join(&name)).is_ok_and(|found| found == content.as_bytes()) {
            return Ok(false);
        }
        // After a reboot even the directory may be missing.
        files.create_directory(&self.directory)?;
        write_atomically(files, &self.directory, &name, content.as_bytes()).map(|()| true)
    }

    /// Content of the file of a claim.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn read<F: FileSystem>(&self, files: &F, uid: &str) -> io::Result<Vec<u8>> {
        files.read(&self.directory.join(self.name(uid)))
    }

    /// Removes the file of a claim; no error if there is none.
    ///
    /// # Errors
    ///
    /// The file cannot be removed.
    pub fn remove<F: FileSystem>(&self, files: &F, uid: &str) -> io::Result<()> {
        remove_durably(files, &self.directory, &self.name(uid))
    }

    /// UIDs of the claims that have a file, sorted. A missing directory has none.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn claims<F: FileSystem>(&self, files: &F) -> io::Result<Vec<String>> {
        let names = match files.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        let uid = |name: &String| Some(name.strip_prefix(&self.prefix)?.strip_suffix(ENDING)?.to_owned());
        let mut uids: Vec<String> = names.iter().filter_map(uid).collect();
        uids.sort();
        Ok(uids)
    }

    /// Removes what interrupted writes left behind.
    pub(crate) fn remove_temporaries<F: FileSystem>(&self, files: &F) {
        remove_temporaries(files, &self.directory, &self.prefix);
    }
}
