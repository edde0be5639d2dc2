//! Prints random clusters for the real scheduler, one a line: `scheduler_clusters COUNT [FIRST SEED]`.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

#[path = "../tests/support/scheduler.rs"]
mod scheduler;
#[expect(dead_code, reason = "shared with tests, which use more of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use serde_json::json;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let count = arguments.next().and_then(Result::ok).unwrap_or(10);
    let first = arguments.next().and_then(Result::ok).unwrap_or(1);
    for seed in first..first + count {
        println!("{}", json!({"seed": seed, "objects": scheduler::cluster(seed)}));
    }
}
