//! What lint has to say, as data.

use std::collections::BTreeMap;

use drayage_cluster::Place;
use drayage_cluster::lint::{Finding, LintReport, RULES, Rule, Severity};
use serde::Serialize;

use super::API_VERSION;

/// The answer of `dray lint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintAnswer {
    /// [`API_VERSION`]
    pub api_version: &'static str,
    /// `LintReport`
    pub kind: &'static str,
    /// The Kubernetes release that counts, such as `1.36`.
    pub release: String,
    /// Findings by severity; those that are left out because a rule has too many are counted too.
    pub summary: LintSummary,
    /// By file, line and code.
    pub findings: Vec<LintFinding>,
    /// How many findings of a rule are left out, by code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub omitted: BTreeMap<&'static str, usize>,
    /// Claims about which the search did not come to an end, so that no rule could say whether they fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<String>,
}

/// How many findings there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintSummary {
    /// Findings that cannot work.
    pub errors: usize,
    /// Findings that are probably not what was meant.
    pub warnings: usize,
    /// Findings worth knowing.
    pub notes: usize,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintFinding {
    /// The rule's code, such as `DRA101`.
    pub code: &'static str,
    /// The rule's name, such as `pool-incomplete`.
    pub rule: &'static str,
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    /// The object, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<LintObject>,
    /// The field; absent where the finding is about the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<LintPlace>,
    /// What is wrong.
    pub message: String,
    /// What else is to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What to do.
    pub fix: String,
    /// How many more objects have the same finding.
    #[serde(skip_serializing_if = "is_zero")]
    pub alike: usize,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintObject {
    /// `kind`
    pub kind: String,
    /// Namespace; absent for cluster-wide kinds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintPlace {
    /// The path as the user gave it, or `<stdin>`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// One rule of `dray lint --rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintRule {
    /// The code.
    pub code: &'static str,
    /// The name.
    pub name: &'static str,
    /// How bad a finding usually is.
    pub severity: &'static str,
    /// What is found.
    pub summary: &'static str,
    /// What it leads to.
    pub meaning: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// All rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintRules {
    /// [`API_VERSION`]
    pub api_version: &'static str,
    /// `LintRules`
    pub kind: &'static str,
    /// By code.
    pub rules: Vec<LintRule>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl LintAnswer {
    /// The report of a lint for a release.
    pub fn new(report: &LintReport, release: impl Into<String>) -> Self {
        let mut summary = LintSummary::default();
        for finding in &report.findings {
            summary.add(finding.severity, 1);
        }
        for (code, count) in &report.omitted {
            let severity = Rule::find(code).map_or(Severity::Warning, |rule| rule.severity);
            summary.add(severity, *count);
        }
        Self {
            api_version: API_VERSION,
            kind: "LintReport",
            release: release.into(),
            summary,
            findings: report.findings.iter().map(LintFinding::from).collect(),
            omitted: report.omitted.clone(),
            undecided: report.undecided.clone(),
        }
    }
}

impl LintSummary {
    fn add(&mut self, severity: Severity, count: usize) {
        *match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Note => &mut self.notes,
        } += count;
    }
}

impl From<&Finding> for LintFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.rule.code,
            rule: finding.rule.name,
            severity: finding.severity.as_str(),
            object: finding.object.as_ref().map(|object| LintObject {
                kind: object.kind.clone(),
                namespace: object.namespace.clone(),
                name: object.name.clone(),
            }),
            field: finding.field.to_string(),
            place: finding.place.as_ref().map(|Place { source, line, column, .. }| LintPlace {
                file: source.clone(),
                line: *line,
                column: *column,
            }),
            message: finding.message.clone(),
            details: finding.details.clone(),
            fix: finding.fix.clone(),
            alike: finding.alike,
        }
    }
}

impl LintRules {
    /// The rules of this version.
    pub fn new() -> Self {
        let rules = RULES.iter().map(|rule| LintRule {
            code: rule.code,
            name: rule.name,
            severity: rule.severity.as_str(),
            summary: rule.summary,
            meaning: rule.meaning,
            fix: rule.fix,
        });
        Self { api_version: API_VERSION, kind: "LintRules", rules: rules.collect() }
    }
}

impl Default for LintRules {
    fn default() -> Self {
        Self::new()
    }
}
