//! `dray simulate`: which pending pod lands where.

pub(crate) mod reasons;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod worlds;

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use drayage_cel::{Compiler, ExpressionStage};
use drayage_cluster::Snapshot;
use drayage_simulator::report::html::{Page, Scene};
use drayage_simulator::report::{PodOutcome, SimulationReport, graph};
use drayage_simulator::schedule::{self, DEFAULT_STEP_BUDGET, Observer, Options, SimulateError};

use super::activity::Activity;
use super::arguments::{Simulate, SimulateOutput};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::kubernetes;
use super::objects;
use super::output;
use super::terminal::Terminal;
use table::Detail;

/// Reads, schedules, prints.
pub(crate) fn run(typed: &Simulate, terminal: &Terminal) -> Result<Exit, Failure> {
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let snapshot = objects::load(&typed.objects, terminal)?;
    need_nodes_and_pods(&snapshot)?;
    let compiler = Compiler::new(kubernetes::cel_environment(&gates, ExpressionStage::Stored));
    let prepared = objects::prepare(snapshot, &typed.objects, &compiler)?;

    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let release = gates.release();
    let mut options = Options {
        gates,
        step_budget: typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET),
        explain: true,
        explain_in_full: typed.explain,
        threads: typed.threads.map_or_else(cores, NonZeroUsize::get),
        ..Options::for_release(release)
    };
    kubernetes::configure(&mut options, &typed.scheduler)?;
    let activity = Activity::start("scheduling");
    // Ctrl-C ends the process by itself, so nobody sets this.
    let cancel = AtomicBool::new(false);
    if let Some(count) = typed.worlds {
        let mut watcher = Watcher(&activity);
        let report = schedule::worlds(&prepared, &options, count.get(), typed.seed, &mut watcher, &cancel)
            .map_err(|error| refused(&error))?;
        let text = match typed.output {
            SimulateOutput::Table | SimulateOutput::Wide => worlds::render(&report),
            SimulateOutput::Json => output::json(&report)?,
            SimulateOutput::Yaml => output::yaml(&report)?,
        };
        drop(activity);
        objects::tell_warnings(&report.assumptions, terminal);
        objects::tell_approximations(&report.assumptions, terminal);
        terminal.write(text.as_bytes())?;
        return Ok(worlds::verdict(&report));
    }
    let report = schedule::simulate(&prepared, &options, &mut Watcher(&activity), &cancel)
        .map_err(|error| refused(&error))?;
    let text = match typed.output {
        SimulateOutput::Table => table::render(&report, Detail::Short),
        SimulateOutput::Wide => table::render(&report, Detail::Wide),
        SimulateOutput::Json => output::json(&report)?,
        SimulateOutput::Yaml => output::yaml(&report)?,
    };
    let scene = Scene { snapshot: &prepared.snapshot, report: &report };
    if let Some(path) = &typed.html {
        output::write_file(path, Page::of_simulation(scene).render().as_bytes())?;
    }
    if let Some(path) = &typed.dot {
        output::write_file(path, graph(&prepared.snapshot, &report).as_bytes())?;
    }
    drop(activity);
    objects::tell_warnings(&report.assumptions, terminal);
    objects::tell_approximations(&report.assumptions, terminal);
    terminal.write(text.as_bytes())?;
    Ok(verdict(&report))
}

/// Shows the progress of a simulation.
pub(crate) struct Watcher<'a>(pub(crate) &'a Activity);

impl Observer for Watcher<'_> {
    fn progress(&mut self, done: usize, total: usize) {
        self.0.advance(done, total);
    }
}

/// Without nodes or pods the answer would be right, and surely not what was asked.
fn need_nodes_and_pods(snapshot: &Snapshot) -> Result<(), Failure> {
    need_nodes(snapshot)?;
    if snapshot.pods.is_empty() && snapshot.workloads.is_empty() {
        let complaint = Complaint::new("the input has no pod and no workload")
            .with_hint("name the files of both, the cluster and the workload, after `-f`");
        return Err(Failure::input(complaint));
    }
    Ok(())
}

/// Without nodes there is nothing to ask about.
pub(crate) fn need_nodes(snapshot: &Snapshot) -> Result<(), Failure> {
    if snapshot.nodes.is_empty() {
        let complaint = Complaint::new("the input has no node").with_hint(
            "`kubectl get nodes,resourceslices,deviceclasses -o yaml` prints what a simulation needs of a cluster",
        );
        return Err(Failure::input(complaint));
    }
    Ok(())
}

fn refused(error: &SimulateError) -> Failure {
    Failure::input(Complaint::new(error.to_string()))
}

/// Yes when every pod has a node; undecided when all that lack one are undecided.
fn verdict(report: &SimulationReport) -> Exit {
    let mut pending = report.pods.iter().filter(|pod| pod.outcome.is_pending()).peekable();
    if pending.peek().is_none() {
        Exit::Yes
    } else if pending.all(|pod| pod.outcome == PodOutcome::Undecided) {
        Exit::Undecided
    } else {
        Exit::No
    }
}
