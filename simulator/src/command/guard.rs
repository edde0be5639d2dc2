//! The last line of defence: a fault of ours ends in one line, not in a backtrace.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use super::exit::Exit;
use super::terminal;

/// Runs a command; a panic in it becomes an apology on stderr and [`Exit::Internal`].
pub(crate) fn catch_panics(command: impl FnOnce() -> Exit) -> Exit {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        panic::set_hook(Box::new(apologise));
    }
    panic::catch_unwind(AssertUnwindSafe(command)).unwrap_or(Exit::Internal)
}

fn apologise(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
    let message = panic.payload_as_str().unwrap_or("no message").replace('\n', " ");
    terminal::error(&format!(
        "sorry, dray has a fault: {message}{}; please report it with the input that caused it",
        place.unwrap_or_default()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_with_the_code_for_internal_errors() {
        assert_eq!(catch_panics(|| panic!("on purpose")), Exit::Internal);
    }

    #[test]
    fn without_a_panic_the_command_decides() {
        assert_eq!(catch_panics(|| Exit::No), Exit::No);
    }
}
