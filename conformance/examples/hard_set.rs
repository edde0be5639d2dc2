//! Measures the hard set: `cargo run --release -p drayage-conformance --example hard_set [SEEDS] [LINES]`.
//!
//! For each shape: how many of its problems are decided within the budget of steps and within 100 ms, and the longest
//! time. With a file name the problems are written there as lines.

#![expect(clippy::print_stdout, reason = "an example that only prints")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use drayage_allocator::objects::ResourceClaim;
use drayage_allocator::{Outcome, Profile};
use drayage_conformance::hard::{self, Shape};
use drayage_conformance::json;

/// Ends a search that takes seconds.
const BUDGET: u64 = 2_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seeds: u64 = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(40);
    let mut lines = String::new();
    let (mut fast, mut all) = (0, 0);
    println!("shape                 solved  impossible  undecided  slow  longest");
    for shape in Shape::ALL {
        let (mut solved, mut impossible, mut undecided, mut slow) = (0, 0, 0, 0);
        let mut longest = Duration::ZERO;
        for seed in 0..seeds {
            let problem = hard::problem(shape, seed);
            if arguments.len() > 1 {
                let _ = writeln!(lines, "{}", json::problem(&problem));
            }
            let mut allocator = problem.allocator(Profile::V1_36);
            let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
            let state = problem.state();
            let mut shares = 0;
            let mut share_ids = || {
                shares += 1;
                format!("share-{shares}")
            };
            let start = Instant::now();
            let answer = allocator.allocate(&state, &problem.node, &claims, &mut share_ids, BUDGET);
            let took = start.elapsed();
            match &answer.outcome {
                Outcome::Allocated(results) => {
                    solved += 1;
                    assert_eq!(problem.verify(results), Ok(()), "{}", problem.name);
                }
                Outcome::Unsatisfiable { .. } => impossible += 1,
                Outcome::Undecided => undecided += 1,
                Outcome::Error(error) => panic!("{}: {error}", problem.name),
            }
            let decided = answer.outcome != Outcome::Undecided;
            if decided && took > Duration::from_millis(100) {
                slow += 1;
            }
            if !decided || took > Duration::from_millis(100) {
                println!("  {} took {took:?}, {} steps", problem.name, answer.steps);
            }
            longest = longest.max(took);
            all += 1;
            fast += u64::from(decided && took <= Duration::from_millis(100));
        }
        println!(
            "{:20} {solved:>7} {impossible:>11} {undecided:>10} {slow:>5}  {longest:?}",
            format!("{shape:?}")
        );
    }
    println!("{fast} of {all} decided within 100 ms");
    if let Some(path) = arguments.get(1) {
        std::fs::write(path, lines).expect("the file can be written");
    }
}
