//! Objects about which lint and the API server of 1.36.3 or 1.37.1 once disagreed, with what the server says (recorded by
//! `conformance/cluster/cluster run api`, part of them with one random change).

use drayage_allocator::{Features, ProfileName};
use drayage_cluster::lint::{LintOptions, Severity, lint};
use drayage_cluster::{Input, LoadOptions, load_with_faults};
use serde_json::Value;

/// Rules whose findings say that the API server refuses the object.
const REFUSING: [&str; 11] = [
    "DRA001", "DRA002", "DRA003", "DRA004", "DRA103", "DRA106", "DRA108", "DRA113", "DRA201", "DRA202",
    "DRA204",
];

/// Why lint says that the API server refuses an object.
fn refused(object: &Value, release: &str) -> Option<String> {
    let input = Input::Bytes { name: "object.json".to_owned(), bytes: object.to_string().into_bytes() };
    let (snapshot, errors) = load_with_faults(&[input], LoadOptions::default());
    let profile: ProfileName = release.parse().unwrap();
    // As the recorded server had them.
    let features = Features { derived_attributes: true, ..Features::for_release(profile.release()) };
    let options =
        LintOptions { profile, features, list_type_attributes: true, taint_rules: true, step_budget: 1_000 };
    let findings = lint(&snapshot, &errors, options).findings.into_iter();
    let mut refusing = findings.filter(|finding| REFUSING.contains(&finding.rule.code));
    let found =
        refusing.find(|finding| finding.rule.code != "DRA004" || finding.severity == Severity::Error)?;
    Some(format!("{} {}", found.rule.code, found.message))
}

#[test]
fn verdicts_are_those_of_the_api_server() {
    for (release, records, least) in [
        ("1.36", include_str!("api-verdicts-1.36.3.jsonl"), 30),
        ("1.37", include_str!("api-verdicts-1.37.1.jsonl"), 15),
    ] {
        let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut differences = Vec::new();
        for record in &records {
            let (real, ours) = (record["refused"].as_str(), refused(&record["object"], release));
            if real.is_some() != ours.is_some() {
                differences.push(format!("{}: the server says {real:?}, lint {ours:?}", record["from"]));
            }
        }
        assert!(
            differences.is_empty(),
            "{release}: {} of {}:\n{}",
            differences.len(),
            records.len(),
            differences.join("\n")
        );
        let refused = records.iter().filter(|record| record["refused"].is_string()).count();
        assert!(
            records.len() >= least && refused > 10,
            "{release}: {refused} of {} are refused",
            records.len()
        );
    }
}
