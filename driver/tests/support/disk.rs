//! A disk in memory that can be full, and a machine around it that can lose power at any operation.
//!
//! When the process ends, what it wrote stays. When the power fails, content that was not synced may be there, be cut,
//! or be as it was when last synced; and so may every change of a directory that was not synced, each on its own. A
//! directory can be marked as tmpfs: it is empty then.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use drayage_driver::files::FileSystem;

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("64 bits").max(1);
        usize::try_from(self.next() % bound).expect("64 bits")
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    current: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug)]
struct Inner {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    contents: Vec<Content>,
    directories: BTreeSet<PathBuf>,
    tmpfs: PathBuf,
    operations: usize,
    /// The operation that does not come back, or only half of it happens.
    end_at: Option<usize>,
    ended: bool,
    /// How often the process ended in which operation.
    ends: BTreeMap<&'static str, u64>,
    /// Percentage of operations that fail for want of space.
    full: usize,
    random: Random,
    /// The one lock that there is; the end of a process leaves a new one.
    lock: Arc<AtomicBool>,
}

/// The lock while somebody has it.
struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub(crate) struct Disk(Mutex<Inner>);

impl Disk {
    pub(crate) fn new(seed: u64, tmpfs: &Path) -> Self {
        Self(Mutex::new(Inner {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            contents: Vec::new(),
            directories: BTreeSet::new(),
            tmpfs: tmpfs.to_owned(),
            operations: 0,
            end_at: None,
            ended: false,
            ends: BTreeMap::new(),
            full: 0,
            lock: Arc::default(),
            random: Random(seed),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic")
    }

    pub(crate) fn operations(&self) -> usize {
        self.inner().operations
    }

    /// The process ends at the operation after `more` others.
    pub(crate) fn end_after(&self, more: usize) {
        let mut inner = self.inner();
        inner.end_at = Some(inner.operations + more + 1);
    }

    /// How often the process ended in which operation.
    pub(crate) fn ends(&self) -> BTreeMap<&'static str, u64> {
        self.inner().ends.clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.inner().ended
    }

    pub(crate) fn set_full(&self, percent: usize) {
        self.inner().full = percent;
    }

    /// A new process starts.
    pub(crate) fn restart(&self) {
        let mut inner = self.inner();
        inner.end_at = None;
        inner.ended = false;
        inner.lock = Arc::default();
    }

    /// The machine starts after a loss of power.
    pub(crate) fn lose_power(&self) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let paths: BTreeSet<PathBuf> =
            inner.names.keys().chain(inner.durable_names.keys()).cloned().collect();
        let mut names = BTreeMap::new();
        for path in paths {
            if path.starts_with(&inner.tmpfs) {
                continue;
            }
            let (current, durable) = (inner.names.get(&path), inner.durable_names.get(&path));
            let kept = if current == durable || inner.random.chance(50) { current } else { durable };
            if let Some(file) = kept {
                names.insert(path, *file);
            }
        }
        for content in &mut inner.contents {
            if content.current != content.durable {
                content.current = match inner.random.below(3) {
                    0 => content.durable.clone(),
                    1 => content.current.clone(),
                    _ => content.current[..inner.random.below(content.current.len() + 1)].to_vec(),
                };
                content.durable.clone_from(&content.current);
            }
        }
        inner.directories.retain(|directory| !directory.starts_with(&inner.tmpfs));
        inner.names = names.clone();
        inner.durable_names = names;
        inner.end_at = None;
        inner.ended = false;
        inner.lock = Arc::default();
    }

    /// Paths of all files below a directory.
    pub(crate) fn files(&self, directory: &Path) -> Vec<PathBuf> {
        self.inner().names.keys().filter(|path| path.starts_with(directory)).cloned().collect()
    }

    /// Writes a file as another process does, durably.
    pub(crate) fn put(&self, path: &Path, content: Vec<u8>) {
        let mut inner = self.inner();
        inner.contents.push(Content { current: content.clone(), durable: content });
        let file = inner.contents.len() - 1;
        inner.names.insert(path.to_owned(), file);
        inner.durable_names.insert(path.to_owned(), file);
    }

    /// Changes or removes a file behind everybody's back, durably.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        let mut inner = self.inner();
        let Some(file) = inner.names.get(path).copied() else { return };
        if let Some(content) = change(inner.contents[file].current.clone()) {
            inner.contents[file] = Content { current: content.clone(), durable: content };
        } else {
            inner.names.remove(path);
            inner.durable_names.remove(path);
        }
    }
}

enum Step {
    Whole,
    Half,
    Nothing,
}

impl Inner {
    /// What of this operation happens, and how it ends.
    fn step(&mut self, kind: &'static str) -> (Step, io::Result<()>) {
        if self.ended {
            return (Step::Nothing, Err(io::Error::other("the process has ended")));
        }
        self.operations += 1;
        if self.end_at.is_some_and(|end| self.operations >= end) {
            self.ended = true;
            *self.ends.entry(kind).or_default() += 1;
            let step = match self.random.below(3) {
                0 => Step::Whole,
                1 => Step::Half,
                _ => Step::Nothing,
            };
            return (step, Err(io::Error::other("the process ends here")));
        }
        if self.random.chance(self.full) {
            let step = if self.random.chance(50) { Step::Half } else { Step::Nothing };
            return (step, Err(io::ErrorKind::StorageFull.into()));
        }
        (Step::Whole, Ok(()))
    }

    /// For operations that happen or do not.
    fn whole(&mut self, kind: &'static str) -> (bool, io::Result<()>) {
        let (step, result) = self.step(kind);
        (matches!(step, Step::Whole), result)
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl FileSystem for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut inner = self.inner();
        if inner.ended {
            return inner.step("read").1.map(|()| Vec::new());
        }
        let file = inner.file(path)?;
        Ok(inner.contents[file].current.clone())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut inner = self.inner();
        if inner.ended {
            return inner.step("read").1.map(|()| Vec::new());
        }
        if !inner.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = |path: &PathBuf| {
            (path.parent() == Some(directory))
                .then(|| path.file_name()?.to_str().map(str::to_owned))
                .flatten()
        };
        Ok(inner.names.keys().filter_map(name).collect())
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        if !inner.ended && inner.directories.contains(directory) {
            return Ok(());
        }
        let (happens, result) = inner.whole("create_directory");
        if happens {
            inner.directories.insert(directory.to_owned());
        }
        result
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let (step, result) = inner.step("write");
        let written = match step {
            Step::Nothing => return result,
            Step::Whole => content.len(),
            Step::Half => inner.random.below(content.len() + 1),
        };
        if !path.parent().is_some_and(|directory| inner.directories.contains(directory)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let next = inner.contents.len();
        let file = *inner.names.entry(path.to_owned()).or_insert(next);
        if file == next {
            inner.contents.push(Content::default());
        }
        inner.contents[file].current = content[..written].to_vec();
        result
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let (happens, result) = inner.whole("sync");
        if happens {
            let file = inner.file(path)?;
            let content = &mut inner.contents[file];
            content.durable.clone_from(&content.current);
        }
        result
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let (happens, result) = inner.whole("rename");
        if happens {
            let file = inner.file(from)?;
            inner.names.remove(from);
            inner.names.insert(to.to_owned(), file);
        }
        result
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let (happens, result) = inner.whole("sync_directory");
        if happens {
            let inside = |path: &PathBuf| path.parent() == Some(directory);
            inner.durable_names.retain(|path, _| !inside(path));
            let current: Vec<_> = inner
                .names
                .iter()
                .filter(|(path, _)| inside(path))
                .map(|(path, file)| (path.clone(), *file))
                .collect();
            inner.durable_names.extend(current);
        }
        result
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        if !inner.ended {
            inner.file(path)?;
        }
        let (happens, result) = inner.whole("remove");
        if happens {
            inner.names.remove(path);
        }
        result
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut inner = self.inner();
        if inner.ended {
            inner.step("read").1?;
        }
        if inner.lock.swap(true, Ordering::SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Held(Arc::clone(&inner.lock))))
    }
}
