//! Random problems with the answers of Go's allocator 1.36.3: they hold the tests' reference, which is compared with
//! the allocator on many more problems, to upstream.

use drayage_allocator::Outcome;
use drayage_cluster::problems::{self, Recorded};
use drayage_conformance::problem::{Problem, without_share_ids};
use drayage_conformance::reference::{self, Verdict};

const RECORDED: &str = include_str!("fixtures/random-1.36.3.jsonl");

fn recorded() -> impl Iterator<Item = (Problem, Recorded)> {
    RECORDED.lines().map(|line| {
        let read = problems::read_line(line).expect("the fixture is well-formed");
        let problem = Problem {
            name: read.name,
            node: read.node,
            classes: read.classes,
            slices: read.slices,
            claims: read.claims,
            held_devices: read.allocated_devices.into_iter().collect(),
            held_shares: read.allocated_shared_devices.into_iter().collect(),
            held_capacity: read.allocated_capacity,
            features: read.features,
        };
        (problem, read.recorded)
    })
}

#[test]
fn reference_repeats_recorded_answers_and_steps() {
    let mut count = 0;
    for (problem, recorded) in recorded() {
        count += 1;
        let answer = reference::solve(&problem);
        let agrees = match (&answer.verdict, &recorded.results, &recorded.error) {
            (Verdict::Allocated(results), Some(recorded), None) => results == recorded,
            (Verdict::Unsatisfiable { invalid_pools }, None, error) => *invalid_pools == error.is_some(),
            (Verdict::Error(_), None, Some(_)) => true,
            _ => false,
        };
        assert!(agrees, "{}: {answer:?}\n{recorded:?}", problem.name);
        assert_eq!(Some(answer.steps), recorded.steps, "{}: steps", problem.name);
    }
    assert!(count > 80, "{count} recorded problems");
}

#[test]
fn allocator_repeats_recorded_answers() {
    for (problem, recorded) in recorded() {
        let answer = problem.solve();
        let error = answer.error();
        if let Outcome::Allocated(results) = &answer.outcome {
            assert_eq!(problem.verify(results), Ok(()), "{}", problem.name);
        }
        match without_share_ids(answer.outcome) {
            Outcome::Allocated(results) => {
                assert_eq!(Some(&*results), recorded.results.as_ref(), "{}", problem.name);
            }
            Outcome::Unsatisfiable { .. } | Outcome::Error(_) => {
                assert_eq!(recorded.results, None, "{}", problem.name);
                assert_eq!(error.is_some(), recorded.error.is_some(), "{}: {error:?}", problem.name);
            }
            Outcome::Undecided => panic!("{}: undecided", problem.name),
        }
    }
}
