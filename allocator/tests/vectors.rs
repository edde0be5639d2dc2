//! Recorded answers of kube-scheduler's own allocator, release 1.36.3: its default implementation (*incubating*) and
//! the one that is used with lists as attributes (*experimental*).

use std::sync::Arc;

use drayage_allocator::objects::ResourceClaim;
use drayage_allocator::{AllocatedState, Allocator, Answer, Inventory, Outcome, Profile};
use drayage_cluster::problems::{self, Problem};

const RECORDED: &str = include_str!("fixtures/allocator-1.36.3.jsonl");

/// One small problem for each fault or quirk that a re-implementation is likely to get wrong; the name says which.
/// Answered by the same code of 1.36.3.
const FAULTS: &str = include_str!("fixtures/faults-1.36.3.jsonl");

fn read(recorded: &str) -> impl Iterator<Item = Problem> {
    recorded.lines().map(|line| problems::read_line(line).expect("the fixture is well-formed"))
}

/// Problems over one pool, so that nothing is left to chance, which the release's own code answered otherwise than
/// that of 1.36.6; the name says how.
const OF_1_34: &str = include_str!("fixtures/differs-1.34.13.jsonl");
const OF_1_35: &str = include_str!("fixtures/differs-1.35.10.jsonl");

fn solve(problem: &Problem, profile: Profile) -> Answer {
    let mut state = AllocatedState::new();
    for device in &problem.allocated_devices {
        state.insert_device(device);
    }
    for share in &problem.allocated_shared_devices {
        state.insert_share(share);
    }
    for (device, amounts) in &problem.allocated_capacity {
        state.insert_capacity(device, amounts);
    }
    let inventory = Arc::new(Inventory::new(problem.slices.clone()));
    let mut allocator = Allocator::new(inventory, problem.classes.clone(), profile, problem.features);
    let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
    // Recorded answers write every share ID like this.
    allocator.allocate(&state, &problem.node, &claims, &mut || "<any>".to_owned(), 10_000_000)
}

/// Asserts that the allocator gives the recorded answers.
fn repeats(recorded: &str, profile: Profile, expected_count: usize) {
    let mut differences = Vec::new();
    let mut count = 0;
    for problem in read(recorded) {
        count += 1;
        let answer = solve(&problem, profile);
        let agrees = match (&answer.outcome, &problem.recorded.results) {
            (Outcome::Allocated(results), Some(recorded)) => **results == *recorded,
            (Outcome::Unsatisfiable { .. } | Outcome::Error(_), None) => {
                answer.error().is_some() == problem.recorded.error.is_some()
            }
            _ => false,
        };
        if !agrees {
            differences.push(format!(
                "{}: {:?}\nrecorded: {:?} {:?}",
                problem.name, answer.outcome, problem.recorded.results, problem.recorded.error
            ));
        }
    }
    assert_eq!(count, expected_count, "problems in the fixture");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n\n"));
}

#[test]
fn every_recorded_answer_is_repeated() {
    repeats(RECORDED, Profile::V1_36_3.pinned(), 429);
}

#[test]
fn every_known_fault_is_repeated() {
    repeats(FAULTS, Profile::V1_36_3.pinned(), 65);
}

#[test]
fn error_texts_follow_upstream() {
    let mut compared = 0;
    for problem in read(RECORDED).chain(read(FAULTS)) {
        let Some(recorded) = &problem.recorded.error else { continue };
        let error =
            solve(&problem, Profile::V1_36_3.pinned()).error().expect("an error was recorded").to_string();
        // What follows are the words of the CEL library, or of the lister for classes that the recording used.
        let separators =
            [" error: ", ":  ", " node selector"].iter().find_map(|separator| recorded.split_once(separator));
        let (head, _) = separators.unwrap_or((recorded, ""));
        assert!(error.starts_with(head), "{}:\n{error}\n{recorded}", problem.name);
        compared += 1;
    }
    assert!(compared > 10, "only {compared} errors in the fixture");
}

#[test]
fn answers_of_1_34_that_differ_from_later_ones() {
    repeats(OF_1_34, Profile::V1_34, 36);
}

#[test]
fn answers_of_1_35_that_differ_from_later_ones() {
    repeats(OF_1_35, Profile::V1_35, 31);
}
