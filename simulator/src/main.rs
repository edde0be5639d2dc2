//! The `dray` command.

mod command;

/// Millions of small strings and maps are made while reading objects; this allocator halves the time of that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    command::main()
}
