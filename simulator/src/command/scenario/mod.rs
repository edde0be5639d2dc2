//! `dray scenario`: what happens step after step, and whether what was expected is so.

mod arguments;
mod files;
mod junit;
mod text;

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use drayage_simulator::report::html::{Page, Scene};
use drayage_simulator::report::{API_VERSION, ExpectationSummary, ScenarioReport, ScenarioResults};
use drayage_simulator::scenario;
use drayage_simulator::schedule::{DEFAULT_STEP_BUDGET, Options};

pub(crate) use arguments::Scenario;

use super::activity::Activity;
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::simulate::Watcher;
use super::terminal::Terminal;
use super::{objects, output};
use arguments::{Check, Run, ScenarioOutput};
use files::Written;

/// Runs scenarios, or only looks at them.
pub(crate) fn run(typed: &Scenario, terminal: &Terminal) -> Result<Exit, Failure> {
    match typed {
        Scenario::Run(typed) => run_all(typed, terminal),
        Scenario::Check(typed) => check(typed, terminal),
    }
}

fn check(typed: &Check, terminal: &Terminal) -> Result<Exit, Failure> {
    let written = files::read(&typed.common)?;
    for one in &written {
        let (_, gates) = one.beginning(&typed.common, terminal)?;
        let mut options = Options::for_release(gates.release());
        options.gates = gates;
        one.configure(&typed.common, &mut options)?;
    }
    let names: Vec<String> = written.iter().map(Written::described).collect();
    terminal.write(names.concat().as_bytes())?;
    Ok(Exit::Yes)
}

fn run_all(typed: &Run, terminal: &Terminal) -> Result<Exit, Failure> {
    let written = files::read(&typed.common)?;
    if typed.html.is_some() && written.len() != 1 {
        let complaint =
            Complaint::new(format!("`--html` takes one scenario, and there are {}", written.len()));
        return Err(Failure::input(complaint.with_hint("run them one by one, each with a page of its own")));
    }
    let mut beginnings = Vec::new();
    for one in &written {
        beginnings.push(one.beginning(&typed.common, terminal)?);
    }
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut scenarios: Vec<ScenarioReport> = Vec::new();
    for (one, (beginning, gates)) in written.iter().zip(beginnings) {
        let options = Options {
            step_budget: typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET),
            threads: typed.threads.map_or_else(cores, NonZeroUsize::get),
            explain: false,
            ..Options::for_release(gates.release())
        };
        let mut options = Options { gates, ..options };
        one.configure(&typed.common, &mut options)?;
        let activity = Activity::start("running scenarios");
        // Ctrl-C ends the process by itself, so nobody sets this.
        let cancel = AtomicBool::new(false);
        let mut watcher = Watcher(&activity);
        let ran = match &typed.html {
            None => scenario::run(&one.scenario, beginning, &options, &mut watcher, &cancel)
                .map(|report| (report, None)),
            Some(path) => scenario::run_between(&one.scenario, beginning, &options, &mut watcher, &cancel)
                .map(|(report, moments)| (report, Some((path, moments)))),
        };
        drop(activity);
        let (mut report, page) = ran.map_err(|error| one.complain(vec![error]))?;
        if let Some((path, [start, end])) = page {
            let [start, end] =
                [&start, &end].map(|moment| Scene { snapshot: &moment.snapshot, report: &moment.report });
            output::write_file(path, Page::of_change(&report.name, start, end).render().as_bytes())?;
        }
        one.add_places(&mut report);
        objects::tell_warnings(&report.assumptions, terminal);
        scenarios.push(report);
    }
    let summary = scenarios.iter().fold(ExpectationSummary::default(), |sum, report| sum.and(report.summary));
    let results = ScenarioResults { api_version: API_VERSION, kind: "ScenarioResults", scenarios, summary };
    if let Some(first) = results.scenarios.first() {
        objects::tell_approximations(&first.assumptions, terminal);
    }
    let answer = match typed.output {
        ScenarioOutput::Text => text::render(&results),
        ScenarioOutput::Json => output::json(&results)?,
        ScenarioOutput::Junit => junit::render(&results),
    };
    terminal.write(answer.as_bytes())?;
    Ok(match summary {
        ExpectationSummary { failed: 0, undecided: 0, .. } => Exit::Yes,
        ExpectationSummary { failed: 0, .. } => Exit::Undecided,
        _ => Exit::No,
    })
}
