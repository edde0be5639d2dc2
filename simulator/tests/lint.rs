//! What `dray lint` promises to programs: SARIF that is valid, and the published table of rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

fn dray(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dray"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary was built for this test");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

fn object<'v>(value: &'v Value, allowed: &[&str], required: &[&str]) -> &'v Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("an object: {value}"));
    for key in object.keys() {
        assert!(allowed.contains(&key.as_str()), "SARIF 2.1.0 has no `{key}` in {value}");
    }
    for key in required {
        assert!(object.contains_key(*key), "`{key}` is required in {value}");
    }
    object
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("text: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("a list: {value}"))
}

fn message(value: &Value) {
    let message = object(value, &["text", "markdown", "id", "arguments"], &["text"]);
    assert!(!text(&message["text"]).is_empty());
}

const LEVELS: [&str; 4] = ["none", "note", "warning", "error"];

/// What the schema of SARIF 2.1.0 says of the parts that are used: required properties, no others, types, ranges.
fn check_sarif(log: &Value) -> usize {
    let log = object(log, &["$schema", "version", "runs"], &["version", "runs"]);
    assert_eq!(text(&log["version"]), "2.1.0");
    let mut results = 0;
    for run in list(&log["runs"]) {
        let run = object(run, &["tool", "results", "columnKind"], &["tool"]);
        assert!(["utf16CodeUnits", "unicodeCodePoints"].contains(&text(&run["columnKind"])));
        let driver = &object(&run["tool"], &["driver", "extensions"], &["driver"])["driver"];
        let allowed = ["name", "informationUri", "semanticVersion", "rules"];
        let driver = object(driver, &allowed, &["name"]);
        let rules: Vec<&str> = list(&driver["rules"]).iter().map(check_rule).collect();
        for result in list(&run["results"]) {
            check_result(result, &rules);
            results += 1;
        }
    }
    results
}

fn check_rule(rule: &Value) -> &str {
    let allowed = ["id", "name", "shortDescription", "fullDescription", "help", "defaultConfiguration"];
    let rule = object(rule, &allowed, &["id"]);
    for key in ["shortDescription", "fullDescription", "help"] {
        object(&rule[key], &["text", "markdown"], &["text"]);
    }
    let level = &object(&rule["defaultConfiguration"], &["level", "enabled"], &[])["level"];
    assert!(LEVELS.contains(&text(level)));
    text(&rule["id"])
}

fn check_result(result: &Value, rules: &[&str]) {
    let allowed = ["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"];
    let result = object(result, &allowed, &["message"]);
    message(&result["message"]);
    assert!(LEVELS.contains(&text(&result["level"])));
    let index = usize::try_from(result["ruleIndex"].as_u64().expect("a number")).expect("small");
    assert_eq!(rules[index], text(&result["ruleId"]), "the index leads to the rule");
    for location in list(&result["locations"]) {
        let location = object(location, &["physicalLocation", "logicalLocations"], &[]);
        let physical = object(&location["physicalLocation"], &["artifactLocation", "region"], &[]);
        let artifact = object(&physical["artifactLocation"], &["uri"], &["uri"]);
        assert!(!text(&artifact["uri"]).contains([' ', '\\', '<']), "a URI reference");
        let region = object(&physical["region"], &["startLine", "startColumn"], &[]);
        assert!(region.values().all(|number| number.as_u64().is_some_and(|number| number >= 1)));
        for logical in list(&location["logicalLocations"]) {
            object(logical, &["fullyQualifiedName", "kind"], &[]);
        }
    }
    assert!(result["partialFingerprints"].as_object().expect("an object").values().all(Value::is_string));
}

#[test]
fn sarif_is_valid_for_every_fixture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/tests/lint");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("fixtures").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let mut results = 0;
    for path in paths {
        let path = path.to_string_lossy();
        let (_, sarif) = dray(&["lint", "-f", &path, "--format", "sarif", "--fail-on", "never"]);
        let log = serde_json::from_str(&sarif).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (_, json) = dray(&["lint", "-f", &path, "--format", "json", "--fail-on", "never"]);
        let answer: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(check_sarif(&log), list(&answer["findings"]).len(), "{path}");
        results += check_sarif(&log);
    }
    assert!(results > 40, "only {results} findings in all fixtures");
}

#[test]
fn the_published_table_of_rules_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lint-rules.md");
    let (code, rules) = dray(&["lint", "--rules"]);
    assert_eq!(code, Some(0));
    if std::env::var_os("DRAYAGE_UPDATE_EXAMPLES").is_some() {
        fs::write(&path, &rules).expect("writable");
    }
    let published = fs::read_to_string(&path).expect("docs/lint-rules.md is part of the repository");
    assert!(published == rules, "DRAYAGE_UPDATE_EXAMPLES=1 writes docs/lint-rules.md anew");
}

#[test]
fn severities_decide_the_exit_code() {
    let file = "simulator/tests/command/lint.in/bad.yaml";
    let code = |options: &[&str]| dray(&[&["lint", "-f", file][..], options].concat()).0;
    assert_eq!(code(&[]), Some(0), "a warning only");
    assert_eq!(code(&["--fail-on", "warning"]), Some(1));
    assert_eq!(code(&["--fail-on", "warning", "--ignore", "claim-not-used"]), Some(0));
    assert_eq!(code(&["--fail-on", "note", "--only", "DRA4"]), Some(0));
}
