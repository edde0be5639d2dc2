//! The exit codes of the command.

use std::process::ExitCode;

/// How a command ended. The numbers are a promise to scripts; STYLE.md lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Yes: all pods placed, claims allocated, expression compiles and matches.
    Yes,
    /// No: a sure negative answer.
    No,
    /// The input or the arguments are wrong.
    BadInput,
    /// The search ended at its step budget.
    Undecided,
    /// A fault of ours, or output that could not be written.
    Internal,
    /// Stopped by Ctrl-C, as shells number it.
    Interrupted,
}

impl Exit {
    /// The number the process ends with.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::BadInput => 2,
            Self::Undecided => 3,
            Self::Internal => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
