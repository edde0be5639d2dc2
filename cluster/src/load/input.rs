//! Where input comes from: files, folders, standard input, bytes.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, or a folder with everything below it.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// Bytes that the caller has, with a name for messages.
    Bytes {
        /// What messages call it.
        name: String,
        /// The content.
        bytes: Vec<u8>,
    },
}

impl Input {
    /// From a command-line argument: `-` is standard input, everything else a path.
    pub fn from_argument(argument: impl Into<PathBuf>) -> Self {
        let path = argument.into();
        if path.as_os_str() == "-" { Self::Stdin } else { Self::Path(path) }
    }
}

/// The content of one file.
pub(super) struct Content {
    pub(super) name: String,
    pub(super) text: String,
}

/// What reading the inputs gave.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) contents: Vec<Content>,
    pub(super) faults: Vec<Fault>,
    pub(super) notices: Vec<Fault>,
    seen: BTreeSet<PathBuf>,
}

/// Extensions that are read in folders; other files are passed over, as kubectl does. A file that is named itself is
/// read whatever its extension.
const EXTENSIONS: &[&str] = &["yaml", "yml", "json", "jsonl"];

/// Folders deeper than this are not followed; a loop of symbolic links is noticed long before.
const MAX_FOLDER_DEPTH: usize = 64;

impl Gathered {
    /// Reads everything, files of a folder in the order of their names.
    pub(super) fn read(inputs: &[Input], max_bytes: u64) -> Self {
        let mut gathered = Self::default();
        for input in inputs {
            match input {
                Input::Path(path) if path.is_dir() => {
                    let before = gathered.contents.len() + gathered.faults.len() + gathered.notices.len();
                    gathered.folder(path, max_bytes, 0);
                    if gathered.contents.len() + gathered.faults.len() + gathered.notices.len() == before {
                        gathered.faults.push(
                            Fault::new(format!("folder `{}` holds nothing to read", path.display()))
                                .with_hint("files with extension .yaml, .yml, .json and .jsonl are read"),
                        );
                    }
                }
                Input::Path(path) => gathered.file(path, max_bytes),
                Input::Stdin => {
                    let bytes = limited(std::io::stdin().lock(), 0, max_bytes);
                    gathered.content("<stdin>".to_owned(), bytes, max_bytes);
                }
                Input::Bytes { name, bytes } => {
                    gathered.content(name.clone(), Ok(bytes.clone()), max_bytes);
                }
            }
        }
        gathered
    }

    fn folder(&mut self, folder: &Path, max_bytes: u64, depth: usize) {
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        if depth > MAX_FOLDER_DEPTH || !self.seen.insert(real) {
            self.notices.push(Fault::new(format!(
                "folder `{}` was met before and is not read again",
                folder.display()
            )));
            return;
        }
        let mut paths: Vec<PathBuf> =
            match fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
                Err(error) => {
                    self.faults.push(unreadable(folder, &error));
                    return;
                }
            };
        paths.sort();
        for path in paths {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let extension =
                path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
            if hidden {
                continue;
            }
            if path.is_dir() {
                self.folder(&path, max_bytes, depth + 1);
            } else if extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) {
                self.file(&path, max_bytes);
            }
        }
    }

    fn file(&mut self, path: &Path, max_bytes: u64) {
        if let Ok(real) = fs::canonicalize(path)
            && !self.seen.insert(real)
        {
            self.notices.push(Fault::new(format!("`{}` was read before", path.display())));
            return;
        }
        match fs::File::open(path) {
            Ok(file) => {
                let expected = file.metadata().map_or(0, |metadata| metadata.len());
                self.content(path.display().to_string(), limited(file, expected, max_bytes), max_bytes);
            }
            Err(error) => self.faults.push(unreadable(path, &error)),
        }
    }

    fn content(&mut self, name: String, bytes: std::io::Result<Vec<u8>>, max_bytes: u64) {
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                self.faults.push(unreadable(Path::new(&name), &error));
                return;
            }
        };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > max_bytes) {
            self.faults.push(
                Fault::new(format!("`{name}` is larger than the limit of {} MiB", max_bytes >> 20))
                    .with_hint("split the file, or leave out kinds that are not needed"),
            );
            return;
        }
        match decode(bytes) {
            Ok(text) => self.contents.push(Content { name, text }),
            Err((line, hint)) => self
                .faults
                .push(Fault::new(format!("`{name}` is not UTF-8 text: line {line}")).with_hint(hint)),
        }
    }
}

/// `expected` is how much there probably is: a buffer that grows takes up to twice the memory.
fn limited(reader: impl Read, expected: u64, max_bytes: u64) -> std::io::Result<Vec<u8>> {
    let most = max_bytes.saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(most)).unwrap_or_default());
    reader.take(most).read_to_end(&mut bytes)?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// The operating system's words in our style: without the number, in lower case.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let fault = Fault::new(format!("cannot read `{}`: {}", path.display(), reason(error)));
    match error.kind() {
        std::io::ErrorKind::NotFound => fault.with_hint("check the path"),
        std::io::ErrorKind::PermissionDenied => fault.with_hint("check the permissions of the file"),
        _ => fault,
    }
}

/// UTF-8, or UTF-16 with a byte order mark, which PowerShell writes; on failure the line and a hint.
fn decode(bytes: Vec<u8>) -> Result<String, (usize, &'static str)> {
    if let Some(rest) = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]) {
        return decode(rest.to_vec());
    }
    for (mark, from_bytes) in
        [([0xFF, 0xFE], u16::from_le_bytes as fn([u8; 2]) -> u16), ([0xFE, 0xFF], u16::from_be_bytes)]
    {
        if let Some(rest) = bytes.strip_prefix(&mark) {
            let units = rest.chunks_exact(2).filter_map(|pair| Some(from_bytes(pair.try_into().ok()?)));
            return char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .map_err(|_| (1, "the byte order mark says UTF-16, but the text is not"));
        }
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.split(|byte| *byte == b'\n').count();
        (line, "save the file as UTF-8; binary and compressed files are not read")
    })
}
