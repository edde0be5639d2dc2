//! Findings as SARIF 2.1.0, which code scanning services read.

use drayage_cluster::lint::{Finding, LintReport, RULES, Severity};
use serde_json::{Map, Value, json};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
const INFORMATION: &str = env!("CARGO_PKG_REPOSITORY");

/// A SARIF log with one run: all rules, and a result for each finding.
pub fn sarif(report: &LintReport) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.code,
                "name": rule.name,
                "shortDescription": {"text": sentence(rule.summary)},
                "fullDescription": {"text": rule.meaning},
                "help": {"text": rule.fix},
                "defaultConfiguration": {"level": rule.severity.as_str()},
            })
        })
        .collect();
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "dray lint",
                "informationUri": INFORMATION,
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let mut text = sentence(&finding.message);
    for detail in &finding.details {
        text.push('\n');
        text.push_str(detail);
    }
    text.push_str("\nFix: ");
    text.push_str(&finding.fix);
    let mut result = Map::new();
    result.insert("ruleId".to_owned(), finding.rule.code.into());
    if let Some(index) = RULES.iter().position(|rule| rule.code == finding.rule.code) {
        result.insert("ruleIndex".to_owned(), index.into());
    }
    result.insert("level".to_owned(), level(finding.severity).into());
    result.insert("message".to_owned(), json!({"text": text}));
    let mut location = Map::new();
    if let Some(place) = &finding.place {
        location.insert(
            "physicalLocation".to_owned(),
            json!({
                "artifactLocation": {"uri": uri(&place.source)},
                "region": {"startLine": place.line, "startColumn": place.column},
            }),
        );
    }
    if let Some(object) = &finding.object {
        let name = if object.namespace.is_empty() {
            format!("{}/{}", object.kind, object.name)
        } else {
            format!("{}/{}/{}", object.kind, object.namespace, object.name)
        };
        location
            .insert("logicalLocations".to_owned(), json!([{"fullyQualifiedName": name, "kind": "object"}]));
    }
    if !location.is_empty() {
        result.insert("locations".to_owned(), json!([location]));
    }
    // The line may move, the object does not.
    let object = finding.object.as_ref().map(ToString::to_string).unwrap_or_default();
    let print = format!("{} {object} {}", finding.rule.code, finding.field);
    result.insert("partialFingerprints".to_owned(), json!({"drayageObjectField/v1": print}));
    Value::Object(result)
}

fn level(severity: Severity) -> &'static str {
    severity.as_str()
}

/// Our messages begin in lower case and have no full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let mut sentence: String =
        characters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    sentence.push_str(characters.as_str());
    if !sentence.ends_with(['.', ':', '?']) {
        sentence.push('.');
    }
    sentence
}

/// A path as a relative URI reference: everything that a URI cannot have is escaped.
fn uri(path: &str) -> String {
    use std::fmt::Write as _;
    if path == "<stdin>" {
        return "stdin".to_owned();
    }
    let path = path.strip_prefix("./").unwrap_or(path).replace('\\', "/");
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uri_references() {
        assert_eq!(uri("./a b/c#d.yaml"), "a%20b/c%23d.yaml");
        assert_eq!(uri("<stdin>"), "stdin");
        assert_eq!(uri("zürich.yaml"), "z%C3%BCrich.yaml");
    }
}
