//! Prints random clusters for the real scheduler, one a line: `scheduler_clusters COUNT [FIRST SEED [FAMILY]]`.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

#[path = "../tests/support/configurations.rs"]
mod configurations;
#[path = "../tests/support/extended.rs"]
mod extended;
#[expect(dead_code, reason = "shared with tests, which use more of it")]
#[path = "../tests/support/families.rs"]
mod families;
#[path = "../tests/support/gangs.rs"]
mod gangs;
#[path = "../tests/support/preempting.rs"]
mod preempting;
#[path = "../tests/support/scheduler.rs"]
mod scheduler;
#[expect(dead_code, reason = "shared with tests, which use more of it")]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/support/teams.rs"]
mod teams;
#[path = "../tests/support/volumes.rs"]
mod volumes;

use serde_json::json;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|argument| argument.parse::<u64>().ok());
    let (count, first) = (number(0).unwrap_or(10), number(1).unwrap_or(1));
    let family = arguments.get(2).map_or("default", String::as_str);
    for seed in first..first + count {
        if family == "gangs" {
            println!("{}", json!({"seed": seed, "objects": gangs::cluster(seed)}));
            continue;
        }
        let case = families::case(family, seed);
        println!("{}", json!({"seed": seed, "objects": case.objects, "configuration": case.configuration}));
    }
}
