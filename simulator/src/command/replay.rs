//! `dray replay`: a cluster through time.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use drayage_cel::{Compiler, ExpressionStage};
use drayage_simulator::replay::replay;
use drayage_simulator::report::ReplayReport;
use drayage_simulator::report::html::Page;
use drayage_simulator::schedule::{Observer, Options};

use super::activity::Activity;
use super::arguments::{Kubernetes, Objects, Scheduler};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::kubernetes;
use super::objects;
use super::output;
use super::terminal::Terminal;
use super::text::{Columns, count};
use super::what_if::footer;

/// Take a cluster through time: pods arrive, wait, run for a while and leave.
///
/// A pod arrives at its creationTimestamp and leaves as many seconds after it got its node as its annotation
/// `drayage.dev/runs-for-seconds` says; without it, it stays. Exits with 1 when some pod never gets a node.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Example: the openb trace in its own time
  dray import openb --nodes openb_node_list_gpu_node.csv --pods openb_pod_list_default.csv -o openb/
  dray replay -f openb/",
    group(clap::ArgGroup::new("input").required(true).args(["filename"]))
)]
pub(crate) struct Replay {
    #[command(flatten)]
    objects: Objects,
    #[command(flatten)]
    kubernetes: Kubernetes,
    #[command(flatten)]
    scheduler: Scheduler,
    /// Moments to describe, evenly spread over the time
    #[arg(long, value_name = "COUNT", default_value = "20")]
    moments: NonZeroUsize,
    /// Also write the replay as a page for a browser: map of devices, timeline, every pod
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: ReplayOutput,
}

/// How `dray replay` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReplayOutput {
    /// Columns
    #[default]
    Table,
    /// One JSON object with every pod
    Json,
}

/// Runs the replay.
pub(crate) fn run(typed: &Replay, terminal: &Terminal) -> Result<Exit, Failure> {
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let snapshot = objects::load(&typed.objects, terminal)?;
    let compiler = Compiler::new(kubernetes::cel_environment(&gates, ExpressionStage::Stored));
    let prepared = objects::prepare(snapshot, &typed.objects, &compiler)?;
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let release = typed.kubernetes.profile.release();
    let mut options = Options { gates, threads: cores(), ..Options::for_release(release) };
    kubernetes::configure(&mut options, &typed.scheduler)?;
    let activity = Activity::start("replaying");
    let cancel = AtomicBool::new(false);
    let report = replay(&prepared, &options, typed.moments.get(), &mut Watcher(&activity), &cancel)
        .map_err(|error| Failure::input(Complaint::new(error.to_string())))?;
    let text = match typed.output {
        ReplayOutput::Table => render(&report),
        ReplayOutput::Json => output::json(&report)?,
    };
    if let Some(path) = &typed.html {
        let page = Page::of_replay(&prepared.snapshot, &report);
        output::write_file(path, page.render().as_bytes())?;
    }
    drop(activity);
    objects::tell_warnings(&report.assumptions, terminal);
    objects::tell_approximations(&report.assumptions, terminal);
    terminal.write(text.as_bytes())?;
    Ok(if report.never_placed == 0 { Exit::Yes } else { Exit::No })
}

/// Shows the progress.
struct Watcher<'a>(&'a Activity);

impl Observer for Watcher<'_> {
    fn progress(&mut self, done: usize, total: usize) {
        self.0.advance(done, total);
    }
}

fn render(report: &ReplayReport) -> String {
    let mut text = String::new();
    let mut columns = Columns::new(&["TIME", "RUNNING", "WAITING", "ALLOCATIONS"]);
    for moment in &report.moments {
        columns.push(&[
            duration(moment.second),
            moment.running.to_string(),
            moment.waiting.to_string(),
            moment.device_allocations.to_string(),
        ]);
    }
    columns.render(&mut text);
    let _ = writeln!(
        text,
        "\nPODS     {}  placed {}  never placed {}  most waiting {}",
        report.placed + report.never_placed,
        report.placed,
        report.never_placed,
        report.most_waiting
    );
    let wait = &report.wait;
    let _ = writeln!(
        text,
        "WAIT     mean {}  median {}  95 % {}  longest {}",
        duration(wait.mean),
        duration(wait.median),
        duration(wait.percent95),
        duration(wait.longest)
    );
    let _ = writeln!(
        text,
        "DEVICES  mean allocations {:.1}  most {}  over {}",
        report.mean_device_allocations,
        report.most_device_allocations,
        count(usize::try_from(report.seconds).unwrap_or(usize::MAX), "second")
    );
    text.push_str(&footer(&report.assumptions));
    text
}

/// `3d 04:05:06`
fn duration(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 { clock } else { format!("{days}d {clock}") }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_count_days() {
        assert_eq!(duration(3661), "01:01:01");
        assert_eq!(duration(2 * 86_400 + 59), "2d 00:00:59");
    }
}
