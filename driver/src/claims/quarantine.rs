//! Records that cannot be read, put aside for people to look at.
//!
//! A record that was put aside also tells that its claim may hold devices, for as long as the machine runs and the claim
//! is not unprepared: its containers may run. Such a file has the boot ID at the end of its name.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use crate::files::FileSystem;

/// The directory of records that were put aside, beside the others.
#[derive(Clone, Debug)]
pub(super) struct Quarantine {
    directory: PathBuf,
    records: PathBuf,
    /// Ending of the files that count.
    counts: String,
}

impl Quarantine {
    /// That of the records in `records`.
    pub(super) fn beside(records: &Path, boot_id: &str) -> Self {
        Self {
            directory: records.join("quarantine"),
            records: records.to_owned(),
            counts: format!(".{boot_id}"),
        }
    }

    /// Moves a record out of the way.
    pub(super) fn put_aside<F: FileSystem>(&self, files: &F, name: &str) -> io::Result<()> {
        let free = self.free(files, name)?;
        if let Err(error) = files.rename(&self.records.join(name), &free) {
            let _ = self.remember(files, name);
            return Err(error);
        }
        // Else it could be back where it was when the machine starts anew, and count then too.
        files.sync_directory(&self.directory)?;
        files.sync_directory(&self.records)
    }

    /// Leaves an empty file in the place of a record that is lost.
    pub(super) fn remember<F: FileSystem>(&self, files: &F, name: &str) -> io::Result<()> {
        files.write(&self.free(files, name)?, b"")
    }

    /// A path for a record of this name that nothing has.
    fn free<F: FileSystem>(&self, files: &F, name: &str) -> io::Result<PathBuf> {
        files.create_directory(&self.directory)?;
        let taken = files.list(&self.directory)?;
        let is_taken = |free: &str| {
            let rest =
                |other: &str| other.strip_prefix(free).map(|rest| rest.is_empty() || rest.starts_with('.'));
            taken.iter().any(|other| rest(other) == Some(true))
        };
        let mut free = (0..=taken.len()).map(|number| format!("{name}.{number}"));
        let free = free.find(|free| !is_taken(free)).unwrap_or_default();
        Ok(self.directory.join(free + &self.counts))
    }

    /// UIDs of the claims whose records were put aside since the machine started and that were not given up since.
    pub(super) fn claims<F: FileSystem>(&self, files: &F, ending: &str) -> BTreeSet<String> {
        let names = files.list(&self.directory).unwrap_or_default();
        let uid = |name: &String| Some(name.strip_suffix(&self.counts)?.rsplit_once(ending)?.0.to_owned());
        names.iter().filter_map(uid).collect()
    }

    /// From now on the record of this name tells nothing about its claim, which is given up.
    pub(super) fn settle<F: FileSystem>(&self, files: &F, name: &str) -> io::Result<()> {
        let names = match files.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names?,
        };
        for file in names.iter().filter(|file| file.starts_with(&format!("{name}."))) {
            if let Some(settled) = file.strip_suffix(&self.counts) {
                files.rename(&self.directory.join(file), &self.directory.join(settled))?;
            }
        }
        Ok(())
    }
}
