//! Prints random cases for the real cluster-autoscaler, one a line: `autoscaler_cases COUNT [FIRST SEED]`.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

#[path = "../tests/support/autoscaler.rs"]
mod autoscaler;
#[expect(dead_code, reason = "shared with tests, which use more of it")]
#[path = "../tests/support/mod.rs"]
mod support;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let count = arguments.next().and_then(Result::ok).unwrap_or(10);
    let first = arguments.next().and_then(Result::ok).unwrap_or(1);
    for seed in first..first + count {
        let mut case = autoscaler::case(seed);
        case["seed"] = seed.into();
        println!("{case}");
    }
}
