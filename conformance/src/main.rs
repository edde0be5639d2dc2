//! The `conformance` command; see `conformance/run`.

mod command;

/// As the `dray` command has it, so that times compare.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    command::main()
}
