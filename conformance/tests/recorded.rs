//! Our answers against recorded ones of the real allocators of every release. No Go is needed.
//!
//! `random-VERSION.jsonl` are random problems that cover the features of the release and their pairs,
//! `faults-VERSION.jsonl` one small problem for each fault or quirk that a re-implementation is likely to get wrong (the
//! same ones for every release, so that the files show what changed), `features-VERSION.jsonl` small problems about what
//! a release added, and `regressions.jsonl` small problems on which an earlier version of ours differed.

use std::path::Path;

use drayage_conformance::compare::Comparison;
use drayage_conformance::record;
use drayage_conformance::release::TARGETS;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Asserts that we give the recorded answers.
fn repeats(name: &str, least: usize) {
    let text = fixture(name);
    let mut differences = Vec::new();
    for line in text.lines() {
        let target = record::target(line).expect("fixtures name the release");
        let (problem, comparison) = record::check(line, target).expect("fixtures are well-formed");
        if !matches!(comparison, Comparison::Agreed | Comparison::PeerPanic) {
            differences.push(format!("{}: {comparison}", problem.name));
        }
    }
    let count = text.lines().count();
    assert!(count >= least, "{name} has {count} problems");
    assert!(differences.is_empty(), "{name}: {} of {count}:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn random_problems_of_1_34() {
    repeats("random-1.34.13.jsonl", 100);
}

#[test]
fn random_problems_of_1_35() {
    repeats("random-1.35.10.jsonl", 100);
}

#[test]
fn random_problems_of_1_36() {
    repeats("random-1.36.6.jsonl", 100);
}

#[test]
fn random_problems_of_1_37() {
    repeats("random-1.37.2.jsonl", 100);
}

#[test]
fn faults_of_every_release() {
    for target in TARGETS {
        repeats(&format!("faults-{}.jsonl", target.version), 65);
    }
}

#[test]
fn what_1_37_added() {
    repeats("features-1.37.2.jsonl", 95);
}

#[test]
fn problems_on_which_we_once_differed() {
    repeats("regressions.jsonl", 0);
}
