//! From files to a [`Snapshot`].
//!
//! Faults do not stop the reading; all of them are gathered, and the first of them shown.

mod assemble;
mod input;
mod kinds;
mod reader;

pub use input::Input;
#[cfg(feature = "live")]
pub(crate) use kinds::known_kinds;

use crate::fault::{Fault, LoadErrors};
use crate::objects::ObjectReference;
use crate::path::FieldPath;
use crate::snapshot::{Ignored, IgnoredReason, Snapshot};
use crate::source::Sources;

/// How to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether what would be ignored is an error.
    pub strict: bool,
    /// The largest file that is read, in bytes; 1 GiB by default. Of JSON only one object at a time is taken
    /// apart, so that reading takes little more memory than the text and the objects.
    pub max_bytes: u64,
    /// The largest YAML document, in bytes; 128 MiB by default. YAML takes about ten times its
    /// size, and at most five million values.
    pub max_yaml_document_bytes: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { strict: false, max_bytes: 1 << 30, max_yaml_document_bytes: 128 << 20 }
    }
}

/// How many notices a snapshot keeps; the rest is only counted.
const SHOWN_NOTICES: usize = 50;

/// Reads all inputs into one snapshot.
///
/// Objects without a namespace get `default`, objects without a UID a stand-in, pods their priority. Every object
/// has what the API server would have filled in. An object that is given twice must be the same both times.
pub fn load(inputs: &[Input], options: LoadOptions) -> Result<Snapshot, LoadErrors> {
    let (snapshot, report) = read(inputs, options);
    report.into_result(snapshot, options.strict)
}

/// As [`load`], with all that could be understood beside the faults: for those that look for faults.
///
/// An object with faults has defaults where something could not be read.
pub fn load_with_faults(inputs: &[Input], options: LoadOptions) -> (Snapshot, LoadErrors) {
    let (mut snapshot, report) = read(inputs, options);
    let errors = report.finish(&mut snapshot, options.strict);
    (snapshot, errors)
}

fn read(inputs: &[Input], options: LoadOptions) -> (Snapshot, Report) {
    let gathered = input::Gathered::read(inputs, options.max_bytes);
    let mut reader = reader::Reader::new(options);
    for fault in gathered.faults {
        reader.report.error(Pending::whole(fault));
    }
    for notice in gathered.notices {
        reader.report.notice(Pending::whole(notice));
    }
    for content in gathered.contents {
        reader.read_source(content.name, content.text);
    }
    let (mut snapshot, mut report) = reader.finish();
    assemble::assemble(&mut snapshot, &mut report);
    (snapshot, report)
}

/// A fault whose line and column are not looked up yet.
#[derive(Clone, Debug)]
struct Pending {
    fault: Fault,
    /// Source and byte offset.
    at: Option<(usize, usize)>,
}

impl Pending {
    fn whole(fault: Fault) -> Self {
        Self { fault, at: None }
    }

    fn at(source: usize, offset: usize, message: impl Into<String>) -> Self {
        Self { fault: Fault::new(message), at: Some((source, offset)) }
    }

    fn hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.fault.hint = hint.map(Into::into);
        self
    }

    fn object(mut self, object: ObjectReference) -> Self {
        self.fault.object = Some(object);
        self
    }

    fn field(mut self, field: FieldPath) -> Self {
        self.fault.field = field;
        self
    }

    fn resolve(mut self, sources: &Sources) -> Fault {
        if let Some((source, offset)) = self.at {
            self.fault.place = sources.place_at(source, offset);
        }
        self.fault
    }
}

/// What was found while reading. Bounded: of errors and notices only the first are kept.
#[derive(Debug, Default)]
struct Report {
    errors: Vec<Pending>,
    omitted_errors: usize,
    notices: Vec<Pending>,
    omitted_notices: usize,
    ignored: std::collections::BTreeMap<IgnoredKey, IgnoredEntry>,
}

/// Reason, kind, and field with `[*]` for every index.
type IgnoredKey = (IgnoredReason, String, String);

#[derive(Debug)]
struct IgnoredEntry {
    count: usize,
    example: ObjectReference,
    at: (usize, usize),
}

impl Report {
    fn error(&mut self, pending: Pending) {
        if self.errors.len() < LoadErrors::SHOWN {
            self.errors.push(pending);
        } else {
            self.omitted_errors += 1;
        }
    }

    fn notice(&mut self, pending: Pending) {
        if self.notices.len() < SHOWN_NOTICES {
            self.notices.push(pending);
        } else {
            self.omitted_notices += 1;
        }
    }

    fn ignore(&mut self, key: IgnoredKey, object: &ObjectReference, at: (usize, usize)) {
        let entry =
            self.ignored.entry(key).or_insert_with(|| IgnoredEntry { count: 0, example: object.clone(), at });
        entry.count += 1;
        if *object < entry.example {
            entry.example = object.clone();
            entry.at = at;
        }
    }

    fn into_result(self, mut snapshot: Snapshot, strict: bool) -> Result<Snapshot, LoadErrors> {
        let errors = self.finish(&mut snapshot, strict);
        if errors.faults.is_empty() { Ok(snapshot) } else { Err(errors) }
    }

    /// Moves what was found into the snapshot and gives the errors.
    fn finish(self, snapshot: &mut Snapshot, strict: bool) -> LoadErrors {
        let sources = &snapshot.sources;
        let resolve = |mut pending: Vec<Pending>| -> Vec<Fault> {
            pending.sort_by_key(|pending| pending.at);
            pending.into_iter().map(|pending| pending.resolve(sources)).collect()
        };
        let mut errors = LoadErrors { faults: resolve(self.errors), omitted: self.omitted_errors };
        let ignored: Vec<Ignored> = self
            .ignored
            .into_iter()
            .map(|((reason, kind, field), entry)| Ignored {
                reason,
                kind,
                field,
                count: entry.count,
                example: entry.example,
                place: sources.place_at(entry.at.0, entry.at.1),
            })
            .collect();
        if strict {
            for item in &ignored {
                errors.push(Fault {
                    place: item.place.clone(),
                    message: item.to_string(),
                    hint: Some("without `--strict` this is only listed".to_owned()),
                    ..Fault::default()
                });
            }
        }
        if snapshot.object_count() == 0 && ignored.is_empty() && errors.faults.is_empty() {
            errors.push(
                Fault::new("no Kubernetes object was found")
                    .with_hint("is the input empty, or all comments?"),
            );
        }
        let notices = resolve(self.notices);
        snapshot.notices = notices;
        snapshot.omitted_notices = self.omitted_notices;
        snapshot.ignored = ignored;
        errors
    }
}
