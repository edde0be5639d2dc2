//! Writes random allocation problems and their answers as JSON lines, for comparing with upstream's allocator.
//!
//! `generate_problems FIRST_SEED COUNT FOLDER` writes `problems.jsonl` (the format of recorded problems),
//! `reference.jsonl` (answers of the tests' plain reference) and `allocator.jsonl` (answers of the allocator) into
//! the folder. With `lists` all problems have list-typed attributes (upstream's *experimental* implementation).
//! Go's allocator, asked with the same problems, must give the same.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use drayage_allocator::Outcome;
use drayage_allocator::objects::AllocationResult;
use serde_json::{Value, json};
use support::generate::{self, Weights};
use support::problem::without_share_ids;
use support::reference::{self, Verdict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ([first, count, folder], lists) = (match arguments.as_slice() {
        [values @ .., word] if word == "lists" => (values, true),
        values => (values, false),
    }) else {
        return Err("usage: generate_problems FIRST_SEED COUNT FOLDER [lists]".into());
    };
    let (first, count): (u64, u64) = (first.parse()?, count.parse()?);
    let folder = PathBuf::from(folder);
    let open = |name: &str| Ok::<_, std::io::Error>(BufWriter::new(File::create(folder.join(name))?));
    let (mut problems, mut references, mut answers) =
        (open("problems.jsonl")?, open("reference.jsonl")?, open("allocator.jsonl")?);
    for seed in first..first + count {
        let mixed = [Weights::CLEAN, Weights::ALL, Weights::HARD, Weights::ALL][usize::try_from(seed % 4)?];
        let weights = if lists { Weights::LISTS } else { mixed };
        let problem = generate::problem(seed, weights);
        writeln!(problems, "{}", support::json::problem(&problem))?;

        let reference = reference::solve(&problem);
        let (outcome, results, error) = match &reference.verdict {
            Verdict::Allocated(results) => ("allocated", all(results), Value::Null),
            Verdict::Unsatisfiable { invalid_pools: true } => {
                ("unsatisfiable", Value::Null, json!("invalid-pools"))
            }
            Verdict::Unsatisfiable { invalid_pools: false } => ("unsatisfiable", Value::Null, Value::Null),
            Verdict::Error(kind) => ("error", Value::Null, json!(kind.as_str())),
            Verdict::TooLong => ("too-long", Value::Null, Value::Null),
        };
        let steps = reference.steps;
        let line = json!({"name": problem.name, "outcome": outcome, "results": results, "kind": error, "steps": steps});
        writeln!(references, "{line}")?;

        let answer = problem.solve();
        let steps = answer.steps;
        let error = answer.error();
        let (outcome, results) = match without_share_ids(answer.outcome) {
            Outcome::Allocated(results) => ("allocated", all(&results)),
            Outcome::Unsatisfiable { .. } => ("unsatisfiable", Value::Null),
            Outcome::Error(_) => ("error", Value::Null),
            Outcome::Undecided => ("undecided", Value::Null),
        };
        let (kind, text) = error.map(|error| (error.kind().as_str(), error.to_string())).unzip();
        let line = json!({
            "name": problem.name, "outcome": outcome, "results": results, "kind": kind, "error": text, "steps": steps,
        });
        writeln!(answers, "{line}")?;
    }
    Ok(())
}

fn all(results: &[AllocationResult]) -> Value {
    results.iter().map(support::json::result).collect()
}
