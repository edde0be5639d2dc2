//! Stdout for data, stderr for talk.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use owo_colors::OwoColorize as _;

use super::exit::Exit;
use super::failure::Failure;
use super::text::printable;

/// How long Ctrl-C waits for a write to stdout that is under way; its reader may never read again.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where a command writes.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    /// Held while stdout is written, so that Ctrl-C never cuts an answer in two.
    writing: Arc<Mutex<()>>,
    quiet: bool,
}

impl Terminal {
    /// The process's own stdout and stderr. With `quiet`, notes and warnings are dropped.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { writing: Arc::default(), quiet }
    }

    /// Writes data to stdout, whole: callers pass complete answers or complete lines.
    pub(crate) fn write(&self, data: &[u8]) -> Result<(), Failure> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stdout = io::stdout().lock();
        stdout.write_all(data).and_then(|()| stdout.flush()).map_err(Failure::Output)
    }

    /// Says something the user should look at, though there is an answer.
    pub(crate) fn warning(&self, message: &str) {
        if !self.quiet {
            say(&format!("{} {}", "warning:".yellow().bold(), with_bold_hint(message)));
        }
    }

    /// Says something about how the answer came about.
    pub(crate) fn note(&self, message: &str) {
        if !self.quiet {
            say(&format!("{} {}", "note:".cyan().bold(), with_bold_hint(message)));
        }
    }

    /// From now on, Ctrl-C ends the process with a message, between two writes to stdout.
    pub(crate) fn stop_on_interrupt(&self) {
        let terminal = self.clone();
        // Without a handler the system's own action stops the process just as well.
        let _ = ctrlc::set_handler(move || terminal.interrupted());
    }

    /// Ends the process: the only way out of the thread that handles the signal.
    fn interrupted(&self) {
        let deadline = Instant::now() + PATIENCE;
        // Held to the end, so that no write begins any more.
        let _writing = loop {
            match self.writing.try_lock() {
                Ok(guard) => break Some(guard),
                Err(_) if Instant::now() >= deadline => break None,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        // A progress bar may stand on the line.
        let clear = if io::stderr().is_terminal() { "\r\u{1b}[2K" } else { "" };
        say(&format!("{clear}interrupted"));
        std::process::exit(Exit::Interrupted.number().into());
    }
}

/// Says that the command cannot go on.
pub(crate) fn error(message: &str) {
    say(&format!("{} {}", "error:".red().bold(), with_bold_hint(message)));
}

/// Explains a negative answer where stdout has objects and must stay empty.
pub(crate) fn answer(text: &str) {
    say(&printable(text));
}

/// Sets the hint of a message off; its text is made printable before colours are added.
fn with_bold_hint(message: &str) -> String {
    let message = printable(message);
    match message.split_once("\n\nhint: ") {
        Some((before, hint)) => format!("{before}\n\n{} {hint}", "hint:".cyan().bold()),
        None => message,
    }
}

/// Writes a line to stderr. That stderr is closed or full is nothing anyone could be told.
fn say(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}
