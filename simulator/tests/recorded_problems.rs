//! The recorded answers of the real allocator, through the library that `dray allocate --problems` uses.

use std::fs;
use std::path::PathBuf;

use drayage_allocator::Profile;
use drayage_cluster::problems;
use drayage_simulator::report::ProblemOutcome;
use drayage_simulator::schedule::{DEFAULT_STEP_BUDGET, run_problem};
use serde_json::Value;

/// The recorded problems, which are not part of the repository.
fn recorded() -> Option<String> {
    let shared = std::env::var_os("DRAYAGE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    fs::read_to_string(shared.join("vectors/allocator-1.36.3.jsonl")).ok()
}

/// The value with every share ID written as the record has it, since upstream draws them at random.
fn masked(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(masked).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                let value = if key == "shareID" { "<any>".into() } else { masked(value) };
                (key, value)
            })
            .collect(),
        other => other,
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must be loud")]
fn answers_equal_the_recorded_ones() {
    let Some(lines) = recorded() else {
        eprintln!("SKIPPED: the recorded problems are not here");
        return;
    };
    let mut compared = 0;
    for line in lines.lines() {
        let problem = problems::read_line(line).unwrap();
        if problem.channel != "incubating" {
            continue;
        }
        let answer = run_problem(&problem, Profile::V1_36, DEFAULT_STEP_BUDGET);
        let name = &problem.name;
        assert_eq!(&answer.name, name);
        let recorded = &problem.recorded;
        if recorded.error.is_some() || recorded.expect_error {
            assert_eq!(answer.outcome, ProblemOutcome::Error, "{name}: {:?}", recorded.error);
            assert!(answer.error.is_some(), "{name}");
        } else if let Some(results) = &recorded.results {
            assert_eq!(answer.outcome, ProblemOutcome::Allocated, "{name}: {answer:?}");
            let found = masked(answer.results.into());
            assert_eq!(found.as_array().map(Vec::len), Some(results.len()), "{name}");
            assert_eq!(Some(found), recorded.results_json, "{name}");
        } else {
            assert_eq!(answer.outcome, ProblemOutcome::Unsatisfiable, "{name}: {answer:?}");
        }
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}
