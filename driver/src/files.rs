//! The few operations on files that state needs, behind a trait so that tests can end the process, cut the power or
//! fill the disk at any of them.

use std::{fs, io, path::Path};

/// Operations on a file system. Paths are absolute.
pub trait FileSystem: Send + Sync {
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Names of the files in a directory, in no particular order; those that are no UTF-8 are left out.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory and those above it; no error if it exists.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;
    /// Makes or empties a file and writes to it. May end halfway.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Waits until the content of a file is on the disk.
    fn sync(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name in place of whatever has it, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the names in a directory are on the disk.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Takes the exclusive lock that a file stands for, which is made if it is missing, until what is returned is
    /// dropped or the process ends. `WouldBlock` while another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFileSystem;

impl FileSystem for HostFileSystem {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        fs::write(path, content)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        fs::File::open(directory)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        // The lock lives as long as the open file.
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

impl<F: FileSystem + ?Sized> FileSystem for &F {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        (**self).read(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        (**self).list(directory)
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        (**self).create_directory(directory)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        (**self).write(path, content)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        (**self).sync(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        (**self).sync_directory(directory)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        (**self).remove(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        (**self).lock(path)
    }
}

/// Ending of files that are being written. Nothing reads them; what is left of them is removed at start.
pub(crate) const TEMPORARY: &str = ".tmp";

/// Replaces a file so that a reader, and a start after any kind of end, finds the old content or the new one.
pub(crate) fn write_atomically<F: FileSystem>(
    files: &F,
    directory: &Path,
    name: &str,
    content: &[u8],
) -> io::Result<()> {
    let temporary = directory.join(format!(".{name}{TEMPORARY}"));
    let written = files
        .write(&temporary, content)
        .and_then(|()| files.sync(&temporary))
        .and_then(|()| files.rename(&temporary, &directory.join(name)))
        .and_then(|()| files.sync_directory(directory));
    if written.is_err() {
        // On a full disk the half-written file would be in the way of everything else.
        let _ = files.remove(&temporary);
    }
    written
}

/// Removes a file for good; no error if it does not exist.
pub(crate) fn remove_durably<F: FileSystem>(files: &F, directory: &Path, name: &str) -> io::Result<()> {
    match files.remove(&directory.join(name)) {
        Ok(()) => files.sync_directory(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes what an interrupted [`write_atomically`] left behind. Failures do no harm.
pub(crate) fn remove_temporaries<F: FileSystem>(files: &F, directory: &Path, prefix: &str) {
    for name in files.list(directory).unwrap_or_default() {
        let ours = name.strip_prefix('.').is_some_and(|rest| rest.starts_with(prefix));
        if ours && name.ends_with(TEMPORARY) {
            let _ = files.remove(&directory.join(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        for content in [&b"one"[..], b"two"] {
            write_atomically(&HostFileSystem, folder.path(), "file", content).expect("written");
            assert_eq!(HostFileSystem.list(folder.path()).expect("a list"), ["file"]);
            assert_eq!(HostFileSystem.read(&folder.path().join("file")).expect("the file"), content);
        }
        remove_durably(&HostFileSystem, folder.path(), "file").expect("removed");
        remove_durably(&HostFileSystem, folder.path(), "file").expect("removed before");
        assert!(HostFileSystem.list(folder.path()).expect("a list").is_empty());
    }

    #[test]
    fn the_lock_of_a_directory_is_had_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.lock");
        let lock = HostFileSystem.lock(&path).expect("the lock");
        let error = HostFileSystem.lock(&path).err().expect("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        HostFileSystem.lock(&path).expect("the lock");
    }
}
