//! The command: what was typed, what is printed, how it ends.
//!
//! [`arguments`] holds what was typed. One module for each subcommand turns that into typed options, asks the
//! library, and renders the answer. Only [`terminal`] writes. A command gives its answer as an [`Exit`], or a
//! [`Failure`] where it has none.

mod activity;
mod allocate;
mod arguments;
mod cel;
mod completions;
mod diff;
mod exit;
mod explain;
mod failure;
mod fragmentation;
mod guard;
mod import;
mod kubernetes;
mod lab;
mod lint;
mod missing;
mod objects;
mod output;
mod profiles;
mod replay;
mod scenario;
mod simulate;
mod snapshot;
mod source;
mod terminal;
mod text;
mod upgrade_diff;
mod what_if;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Sub};
use exit::Exit;
use failure::Failure;
use terminal::Terminal;

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    guard::catch_panics(parse_and_run).into()
}

fn parse_and_run() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return print_usage(&usage),
    };
    match arguments.global.color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let terminal = Terminal::new(arguments.global.quiet);
    terminal.stop_on_interrupt();
    run(arguments.subcommand, &terminal).unwrap_or_else(|failure| give_up(&failure))
}

fn run(subcommand: Sub, terminal: &Terminal) -> Result<Exit, Failure> {
    match subcommand {
        Sub::Simulate(typed) => simulate::run(&typed, terminal),
        Sub::Allocate(typed) => allocate::run(&typed, terminal),
        Sub::Explain(typed) => explain::run(&typed, terminal),
        Sub::Diff(typed) => diff::run(&typed, terminal),
        Sub::UpgradeDiff(typed) => upgrade_diff::run(&typed, terminal),
        Sub::Lint(typed) => lint::run(&typed, terminal),
        Sub::Capacity(typed) => what_if::capacity::run(&typed, terminal),
        Sub::Drain(typed) => what_if::removal::drain(&typed, terminal),
        Sub::ScaleDown(typed) => what_if::removal::shrink(&typed, terminal),
        Sub::ScaleUp(typed) => what_if::scale_up::run(&typed, terminal),
        Sub::Fail(typed) => what_if::fail::run(&typed, terminal),
        Sub::Defrag(typed) => what_if::defrag::run(&typed, terminal),
        Sub::Snapshot(typed) => snapshot::run(&typed, terminal),
        Sub::Plan(typed) => what_if::plan::run(&typed, terminal),
        Sub::Scenario(typed) => scenario::run(&typed, terminal),
        Sub::Fragmentation(typed) => fragmentation::run(&typed, terminal),
        Sub::Replay(typed) => replay::run(&typed, terminal),
        Sub::Cel(typed) => cel::run(typed, terminal),
        Sub::Import(typed) => import::run(&typed, terminal),
        Sub::Lab(typed) => lab::run(&typed, terminal),
        Sub::Profiles(typed) => profiles::run(&typed, terminal),
        Sub::Completions(typed) => completions::run(&typed, terminal),
    }
}

/// Says why there is no answer: one error after the other, with an empty line between.
fn give_up(failure: &Failure) -> Exit {
    for (index, message) in failure.messages().iter().enumerate() {
        if index > 0 {
            terminal::answer("");
        }
        terminal::error(message);
    }
    failure.exit()
}

/// Prints what clap has to say: help and version on stdout, wrong usage on stderr.
fn print_usage(usage: &clap::Error) -> Exit {
    if let Err(error) = usage.print() {
        return give_up(&Failure::Output(error));
    }
    if usage.use_stderr() { Exit::BadInput } else { Exit::Yes }
}
