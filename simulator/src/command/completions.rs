//! `dray completions`: scripts for shells.

use clap::CommandFactory as _;

use super::arguments::{Arguments, Completions};
use super::exit::Exit;
use super::failure::Failure;
use super::terminal::Terminal;

/// Prints the script for the shell.
pub(crate) fn run(typed: &Completions, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(typed.shell, &mut Arguments::command(), "dray", &mut script);
    terminal.write(&script)?;
    Ok(Exit::Yes)
}
