//! `dray scenario`: what happens step after step, and whether what was expected is so.

mod arguments;
mod files;
mod junit;
mod text;

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use drayage_simulator::report::{API_VERSION, ExpectationSummary, ScenarioReport, ScenarioResults};
use drayage_simulator::scenario;
use drayage_simulator::schedule::{DEFAULT_STEP_BUDGET, Options};

pub(crate) use arguments::Scenario;

use super::activity::Activity;
use super::exit::Exit;
use super::failure::Failure;
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
        one.beginning(&typed.common, terminal)?;
    }
    let names: Vec<String> = written.iter().map(Written::described).collect();
    terminal.write(names.concat().as_bytes())?;
    Ok(Exit::Yes)
}

fn run_all(typed: &Run, terminal: &Terminal) -> Result<Exit, Failure> {
    let written = files::read(&typed.common)?;
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
        let options = Options { gates, ..options };
        let activity = Activity::start("running scenarios");
        // Ctrl-C ends the process by itself, so nobody sets this.
        let cancel = AtomicBool::new(false);
        let report = scenario::run(&one.scenario, beginning, &options, &mut Watcher(&activity), &cancel);
        drop(activity);
        let mut report = report.map_err(|error| one.complain(vec![error]))?;
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
