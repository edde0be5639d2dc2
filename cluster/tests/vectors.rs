//! The recorded problems are read whole, and the recorded results are written back as they were.

#![expect(clippy::print_stderr, reason = "a skipped test must be seen")]
use std::path::PathBuf;

use drayage_cluster::problems::{self, Problem};
use drayage_cluster::write;
use serde_json::Value;

/// The recorded problems, or `None` with a loud word where the checkout has no `shared` folder beside it.
fn recorded_lines() -> Option<String> {
    let shared = std::env::var_os("DRAYAGE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let file = shared.join("vectors/allocator-1.36.3.jsonl");
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) => {
            eprintln!("SKIPPED: {} cannot be read: {error}", file.display());
            None
        }
    }
}

fn problem(line: &str) -> Problem {
    problems::read_line(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

#[test]
fn every_recorded_problem_is_read() {
    let Some(text) = recorded_lines() else { return };
    let problems: Vec<Problem> = text.lines().map(problem).collect();
    assert_eq!(problems.len(), 429);
    for (problem, line) in problems.iter().zip(text.lines()) {
        let raw: Value = serde_json::from_str(line).expect("the line is JSON");
        let count = |key: &str| raw[key].as_array().map_or(0, Vec::len);
        assert_eq!(problem.claims.len(), count("claims"), "{}", problem.name);
        assert_eq!(problem.classes.len(), count("classes"), "{}", problem.name);
        assert_eq!(problem.slices.len(), count("slices"), "{}", problem.name);
        assert_eq!(problem.allocated_devices.len(), count("allocatedDevices"), "{}", problem.name);
        assert_eq!(problem.recorded.results.is_some(), raw["results"].is_array(), "{}", problem.name);
        assert!(!problem.node.name.is_empty());
    }
}

#[test]
fn recorded_results_are_written_as_they_were_read() {
    let Some(text) = recorded_lines() else { return };
    let mut compared = 0;
    for line in text.lines() {
        let raw: Value = serde_json::from_str(line).expect("the line is JSON");
        let Some(results) = problem(line).recorded.results else { continue };
        let written: Value = results.iter().map(write::allocation_result_json).collect();
        assert_eq!(written, raw["results"], "{line}");
        assert!(write::results_equal(&results, &results));
        compared += 1;
    }
    assert_eq!(compared, 260);
}
