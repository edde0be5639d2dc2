//! Every rule finds what its fixture has on exactly the lines that say so, and nothing else.
//!
//! A line of `lint/*.yaml` that ends with `# DRA101` is one where that rule must have a finding; the first line names
//! the release and the gates that differ.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use drayage_allocator::{Features, ProfileName};
use drayage_cluster::lint::{Finding, LintOptions, LintReport, RULES, Rule, lint};
use drayage_cluster::{Input, LoadOptions, load_with_faults};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

fn fixtures() -> Vec<(String, String)> {
    let entries = fs::read_dir(folder()).expect("the fixtures are part of the repository");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("readable"))
        })
        .collect()
}

fn options(text: &str) -> LintOptions {
    let mut words = text.lines().next().unwrap_or_default().split_whitespace().skip(2);
    let profile: ProfileName = words.next().expect("`# release X`").parse().expect("a release");
    let features = Features::for_release(profile.release());
    LintOptions {
        profile,
        features,
        list_type_attributes: features.list_type_attributes,
        taint_rules: words.next().is_some(),
        step_budget: 1_000_000,
    }
}

fn report(name: &str, text: &str) -> LintReport {
    let input = Input::Bytes { name: name.to_owned(), bytes: text.as_bytes().to_vec() };
    let (snapshot, errors) = load_with_faults(&[input], LoadOptions::default());
    lint(&snapshot, &errors, options(text))
}

fn codes(text: &str) -> Vec<(usize, String)> {
    let mut codes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let marks = line.rsplit_once(" # ").map_or("", |(_, marks)| marks);
        let marks = marks.split(' ').filter(|mark| Rule::find(mark).is_some());
        codes.extend(marks.map(|mark| (index + 1, mark.to_owned())));
    }
    codes.sort();
    codes
}

fn found(findings: &[Finding]) -> Vec<(usize, String)> {
    let line = |finding: &Finding| finding.place.as_ref().map_or(0, |place| place.line);
    let mut found: Vec<(usize, String)> =
        findings.iter().map(|finding| (line(finding), finding.rule.code.to_owned())).collect();
    found.sort();
    found
}

fn shown(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let place = finding.place.as_ref().map_or_else(String::new, ToString::to_string);
        format!("{place} {} {} {:?}", finding.rule.code, finding.message, finding.details)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn findings_stand_where_the_fixtures_say() {
    let mut differences = String::new();
    for (name, text) in fixtures() {
        let report = report(&name, &text);
        let (found, expected) = (found(&report.findings), codes(&text));
        if found != expected {
            let extra: Vec<_> = found.iter().filter(|entry| !expected.contains(entry)).collect();
            let missing: Vec<_> = expected.iter().filter(|entry| !found.contains(entry)).collect();
            let all = shown(&report.findings);
            writeln!(differences, "{name}: unexpected {extra:?}, missing {missing:?}, of\n{all}")
                .expect("text");
        }
        assert!(report.undecided.is_empty() && report.omitted.is_empty(), "{name}");
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn every_rule_has_a_fixture() {
    let covered: BTreeSet<String> =
        fixtures().iter().flat_map(|(_, text)| codes(text)).map(|(_, code)| code).collect();
    let missing: Vec<&str> =
        RULES.iter().map(|rule| rule.code).filter(|code| !covered.contains(*code)).collect();
    assert!(missing.is_empty(), "no fixture for {missing:?}");
}

#[test]
fn codes_and_names_are_unique_and_in_order() {
    assert!(RULES.is_sorted_by(|left, right| left.code < right.code));
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
    for rule in RULES {
        assert!(rule.code.len() == 6 && rule.code.starts_with("DRA"), "{}", rule.code);
        assert!(rule.meaning.ends_with('.') && rule.fix.ends_with('.'), "{}", rule.code);
    }
}

/// Line and column come from reading many documents at once; each must be what looking up one field gives.
#[test]
fn the_order_of_files_changes_no_finding() {
    for (name, text) in fixtures() {
        let documents: Vec<&str> = text.split("\n---\n").collect();
        let load = |documents: Vec<(usize, &str)>| {
            let inputs: Vec<Input> = documents
                .into_iter()
                .map(|(index, text)| Input::Bytes {
                    name: format!("{index}.yaml"),
                    bytes: text.as_bytes().to_vec(),
                })
                .collect();
            let (snapshot, errors) = load_with_faults(&inputs, LoadOptions::default());
            let mut findings: Vec<String> = lint(&snapshot, &errors, options(&text))
                .findings
                .iter()
                .map(|finding| shown(std::slice::from_ref(finding)))
                .collect();
            findings.sort();
            findings
        };
        let numbered: Vec<(usize, &str)> = documents.iter().copied().enumerate().collect();
        let reversed = numbered.iter().rev().copied().collect();
        assert_eq!(load(numbered), load(reversed), "{name}");
    }
}
