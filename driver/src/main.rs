//! The `dray-driver` command.

mod command;

/// Gives memory back to the system, which most of what publishing thousands of devices takes is needed for a moment only.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    command::main()
}
