//! What-ifs: `capacity`, `fail`, `drain`, `scale-down`, `scale-up`, `scenario`, `plan`, `defrag`.

pub(crate) mod arguments;
pub(crate) mod capacity;
pub(crate) mod defrag;
pub(crate) mod fail;
pub(crate) mod own;
pub(crate) mod plan;
pub(crate) mod removal;
pub(crate) mod scale_up;

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use drayage_cel::{Compiler, ExpressionStage};
use drayage_simulator::report::Assumptions;
use drayage_simulator::schedule::{DEFAULT_STEP_BUDGET, Options, Prepared, SimulateError};
use drayage_simulator::what_if::Ground;
use serde::Serialize;

use super::activity::Activity;
use super::arguments::Objects;
use super::failure::Failure;
use super::simulate::{Watcher, need_nodes};
use super::terminal::Terminal;
use super::{kubernetes, missing, objects, output};
use arguments::{Asked, Common, WhatIfOutput};

/// What was read for a what-if.
pub(crate) struct Read {
    pub(crate) prepared: Prepared,
    pub(crate) options: Options,
    cancel: AtomicBool,
}

impl Read {
    /// Reads objects and options.
    pub(crate) fn new(typed: &Common, terminal: &Terminal) -> Result<Self, Failure> {
        Self::of(&typed.objects, &typed.asked, terminal)
    }

    /// The same of parts.
    pub(crate) fn of(files: &Objects, typed: &Asked, terminal: &Terminal) -> Result<Self, Failure> {
        let gates = kubernetes::gates(&typed.kubernetes)?;
        let snapshot = objects::load(files, terminal)?;
        need_nodes(&snapshot)?;
        let compiler = Compiler::new(kubernetes::cel_environment(&gates, ExpressionStage::Stored));
        let prepared = objects::prepare(snapshot, files, &compiler)?;
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let options = Options {
            step_budget: typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET),
            threads: typed.threads.map_or_else(cores, NonZeroUsize::get),
            explain: true,
            explain_in_full: false,
            ..Options::for_release(gates.release())
        };
        let mut options = Options { gates, ..options };
        kubernetes::configure(&mut options, &typed.scheduler)?;
        // Ctrl-C ends the process by itself, so nobody sets this.
        Ok(Self { prepared, options, cancel: AtomicBool::new(false) })
    }

    /// What the library starts from.
    pub(crate) fn ground(&self) -> Ground<'_> {
        Ground { prepared: &self.prepared, options: &self.options, cancel: &self.cancel }
    }
}

/// Asks the library while a bar shows the progress.
pub(crate) fn ask<T>(
    what: &str,
    read: &Read,
    question: impl FnOnce(&mut Watcher<'_>) -> Result<T, SimulateError>,
) -> Result<T, Failure> {
    let activity = Activity::start(what);
    question(&mut Watcher(&activity)).map_err(|error| missing::refused(&error, &read.prepared.snapshot))
}

/// Prints an answer.
pub(crate) fn print<T: Serialize>(
    report: &T,
    assumptions: &Assumptions,
    form: WhatIfOutput,
    table: impl FnOnce(&T) -> String,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let text = match form {
        WhatIfOutput::Table => table(report),
        WhatIfOutput::Json => output::json(report)?,
        WhatIfOutput::Yaml => output::yaml(report)?,
    };
    objects::tell_warnings(assumptions, terminal);
    objects::tell_approximations(assumptions, terminal);
    terminal.write(text.as_bytes())
}

/// The last line of a table: what the answer holds for.
pub(crate) fn footer(assumptions: &Assumptions) -> String {
    let overrides = &assumptions.feature_gate_overrides;
    let gates = if overrides.is_empty() {
        "default".to_owned()
    } else {
        overrides.iter().map(|(gate, value)| format!("{gate}={value}")).collect::<Vec<_>>().join(",")
    };
    format!("Kubernetes {}, feature gates {gates}\n", assumptions.release)
}
