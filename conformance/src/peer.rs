//! The real allocator as a child process: problems to its stdin, answers from its stdout, one a line.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use drayage_allocator::ErrorKind;
use serde_json::Value;

/// What happened with the peer itself.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It cannot be started, written to or read.
    #[error("peer `{path}`: {cause}")]
    Process {
        /// The program.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
    /// It ended while it owed answers.
    #[error("peer `{0}` ended without an answer")]
    Ended(String),
    /// It wrote something else than an answer.
    #[error("peer: `{line}` is no answer: {cause}")]
    Answer {
        /// What it wrote.
        line: String,
        /// Why that is no answer.
        cause: String,
    },
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    path: String,
    process: Child,
    to: Option<BufWriter<ChildStdin>>,
    from: Receiver<String>,
}

/// How a peer's answer came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Results for every claim.
    Allocated,
    /// No solution on the node.
    Unsatisfiable,
    /// An error that ends the attempt for all nodes.
    Error,
    /// No answer within the time limit.
    Timeout,
    /// The code panicked.
    Panic,
    /// The line is not what a peer reads.
    Unreadable,
}

/// One answer of the real allocator.
#[derive(Clone, Debug)]
pub struct PeerAnswer {
    /// The problem's name.
    pub name: String,
    /// How it came out.
    pub ending: Ending,
    /// AllocationResults as JSON, one for each claim, with [`Ending::Allocated`].
    pub results: Vec<Value>,
    /// The text of the error, if there is one. With [`Ending::Unsatisfiable`] it concerns one node only.
    pub error: Option<String>,
    /// Search steps as upstream counts them.
    pub steps: u64,
    /// Which implementation answered.
    pub channel: String,
    /// Features that the release does not have although the problem switches them on.
    pub dropped: Vec<String>,
    /// How long each call took.
    pub times: Vec<Duration>,
}

impl Peer {
    /// Starts a peer with a time limit for each problem.
    pub fn start(path: &Path, timeout: Duration) -> Result<Self, PeerError> {
        let shown = path.display().to_string();
        let failed = |cause| PeerError::Process { path: shown.clone(), cause };
        let mut process = Command::new(path)
            .arg("-timeout")
            .arg(format!("{}ms", timeout.as_millis()))
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let missing = || io::Error::other("has no pipe");
        let to = process.stdin.take().ok_or_else(missing).map_err(failed)?;
        let output = process.stdout.take().ok_or_else(missing).map_err(failed)?;
        // Reading never waits for writing, so that neither side blocks the other.
        let (sender, from) = channel();
        thread::spawn(move || {
            for line in BufReader::with_capacity(1 << 16, output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { path: shown, process, to: Some(BufWriter::with_capacity(1 << 16, to)), from })
    }

    /// Sends problems. The answers come in the same order from [`Peer::receive`]; callers keep few under way.
    pub fn send<'l>(&mut self, lines: impl IntoIterator<Item = &'l Value>) -> Result<(), PeerError> {
        let Some(to) = &mut self.to else { return Err(PeerError::Ended(self.path.clone())) };
        let write = || {
            for line in lines {
                serde_json::to_writer(&mut *to, line)?;
                to.write_all(b"\n")?;
            }
            to.flush()
        };
        write().map_err(|cause| PeerError::Process { path: self.path.clone(), cause })
    }

    /// Waits for the next answer.
    pub fn receive(&mut self) -> Result<PeerAnswer, PeerError> {
        let line = self.from.recv().map_err(|_| PeerError::Ended(self.path.clone()))?;
        PeerAnswer::read(&line)
    }

    /// Asks one question.
    pub fn ask(&mut self, line: &Value) -> Result<PeerAnswer, PeerError> {
        self.send([line])?;
        self.receive()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends the process.
        drop(self.to.take());
        let _ = self.process.wait();
    }
}

impl PeerAnswer {
    fn read(line: &str) -> Result<Self, PeerError> {
        let wrong = |cause: String| PeerError::Answer { line: line.to_owned(), cause };
        let mut value: Value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let ending = match value["outcome"].as_str() {
            Some("allocated") => Ending::Allocated,
            Some("unsatisfiable") => Ending::Unsatisfiable,
            Some("error") => Ending::Error,
            Some("timeout") => Ending::Timeout,
            Some("panic") => Ending::Panic,
            Some("unreadable") => Ending::Unreadable,
            _ => return Err(wrong("no known outcome".to_owned())),
        };
        let dropped = value["dropped"].as_array().into_iter().flatten();
        let times = value["nanoseconds"].as_array().into_iter().flatten();
        Ok(Self {
            name: text("name"),
            ending,
            error: value["error"].as_str().map(str::to_owned),
            steps: value["steps"].as_u64().unwrap_or_default(),
            channel: text("channel"),
            dropped: dropped.filter_map(Value::as_str).map(str::to_owned).collect(),
            times: times.filter_map(Value::as_u64).map(Duration::from_nanos).collect(),
            results: match value["results"].take() {
                Value::Array(results) => results,
                _ => Vec::new(),
            },
        })
    }

    /// The kind of the error, from its text; `None` where there is no error or its text is not known.
    pub fn error_kind(&self) -> Option<ErrorKind> {
        let text = self.error.as_deref()?;
        ERROR_TEXTS.iter().find(|(part, _)| text.contains(part)).map(|(_, kind)| *kind)
    }
}

/// Parts of upstream's error texts, the more telling ones first.
const ERROR_TEXTS: &[(&str, ErrorKind)] = &[
    ("unsupported ResourceSlice.NodeSelector with", ErrorKind::NodeSelectorTerms),
    ("CEL expression empty", ErrorKind::UnknownSelector),
    ("CEL compile error", ErrorKind::CelCompile),
    ("CEL runtime error", ErrorKind::CelRuntime),
    ("compile derived attribute", ErrorKind::CelCompile),
    ("evaluate derived attribute", ErrorKind::CelRuntime),
    ("derived attributes, the feature is disabled", ErrorKind::DerivedAttributesDisabled),
    ("checking capacity for device", ErrorKind::Capacity),
    ("DRAPrioritizedList feature is disabled", ErrorKind::PrioritizedListDisabled),
    ("DRAConsumableCapacity feature is disabled", ErrorKind::ConsumableCapacityDisabled),
    ("admin access is requested, but", ErrorKind::AdminAccessDisabled),
    ("missing device class name", ErrorKind::MissingClassName),
    ("could not retrieve device class", ErrorKind::ClassNotFound),
    ("unsupported count mode", ErrorKind::UnknownAllocationMode),
    ("currently being updated", ErrorKind::PoolIncomplete),
    ("is currently invalid", ErrorKind::PoolInvalid),
    ("is invalid: ", ErrorKind::PoolInvalid),
    ("exceeds the claim limit", ErrorKind::TooManyDevices),
    ("allocation max size exceeded", ErrorKind::TooManyDevices),
    ("empty constraint", ErrorKind::UnknownConstraint),
    ("because a claim constraint would not be satisfied", ErrorKind::AllDevicesConstraint),
    ("invalid resource pools were encountered", ErrorKind::InvalidPools),
    ("nil pointer", ErrorKind::EmptyRequest),
    ("node selector", ErrorKind::NodeSelector),
    ("node selection", ErrorKind::NodeSelector),
];
