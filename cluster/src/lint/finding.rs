//! What lint finds, and the gathering of it.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{Rule, Severity};
use crate::fault::Fault;
use crate::objects::{ObjectReference, Origin};
use crate::path::FieldPath;
use crate::source::{Place, Sources};

/// One thing that a rule has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad it is: that of the rule, or less where the circumstances are milder.
    pub severity: Severity,
    /// The object, where there is one.
    pub object: Option<ObjectReference>,
    /// The field; the root where the finding is about the object.
    pub field: FieldPath,
    /// File, line and column; `None` for an object that was not read.
    pub place: Option<Place>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What else is to be known, one line each.
    pub details: Vec<String>,
    /// What to do: that of the rule, or something more precise.
    pub fix: String,
    /// How many more objects have the same finding, such as claims made from one template.
    pub alike: usize,
}

/// A finding whose place is not looked up yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    rule: &'static Rule,
    severity: Severity,
    object: Option<ObjectReference>,
    origin: Origin,
    field: FieldPath,
    place: Option<Place>,
    message: String,
    details: Vec<String>,
    fix: Option<String>,
    alike: usize,
}

impl Draft {
    /// A finding of a field of an object.
    pub(super) fn new(
        rule: &'static Rule,
        object: ObjectReference,
        origin: &Origin,
        field: FieldPath,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity,
            object: Some(object),
            origin: origin.clone(),
            field,
            place: None,
            message: message.into(),
            details: Vec::new(),
            fix: None,
            alike: 0,
        }
    }

    /// A fault of loading as a finding.
    pub(super) fn of_fault(rule: &'static Rule, fault: Fault) -> Self {
        let message = if fault.field.is_root() {
            fault.message
        } else {
            format!("`{}`: {}", fault.field, fault.message)
        };
        Self {
            rule,
            severity: rule.severity,
            object: fault.object,
            origin: Origin::default(),
            field: fault.field,
            place: fault.place,
            message,
            details: Vec::new(),
            fix: fault.hint,
            alike: 0,
        }
    }

    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    pub(super) fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(super) fn alike(mut self, alike: usize) -> Self {
        self.alike = alike;
        self
    }
}

/// Gathers findings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    drafts: Vec<Draft>,
    by_rule: BTreeMap<&'static str, usize>,
    /// Objects with an error about their specification, by kind, namespace and name.
    broken: BTreeSet<ObjectReference>,
    pub(super) omitted: BTreeMap<&'static str, usize>,
}

/// Findings of one rule beyond these are counted only.
const MOST_OF_A_RULE: usize = 200;

impl Findings {
    pub(super) fn add(&mut self, draft: Draft) {
        if draft.severity == Severity::Error
            && let Some(object) = &draft.object
        {
            self.broken.insert(object.clone());
        }
        let count = self.by_rule.entry(draft.rule.code).or_default();
        *count += 1;
        if *count > MOST_OF_A_RULE {
            *self.omitted.entry(draft.rule.code).or_default() += 1;
        } else {
            self.drafts.push(draft);
        }
    }

    /// Whether an error was found in the object already, so that what follows from it need not be told.
    pub(super) fn is_broken(&self, object: &ObjectReference) -> bool {
        self.broken.contains(object)
    }

    /// All findings with their places, in the order of files and lines.
    pub(super) fn finish(self, sources: &Sources) -> Vec<Finding> {
        let fields: Vec<(&Origin, &FieldPath)> =
            self.drafts.iter().map(|draft| (&draft.origin, &draft.field)).collect();
        let places = sources.places(&fields);
        let mut findings: Vec<Finding> = self
            .drafts
            .into_iter()
            .zip(places)
            .map(|(draft, place)| Finding {
                rule: draft.rule,
                severity: draft.severity,
                object: draft.object,
                field: draft.field,
                place: draft.place.or(place),
                message: draft.message,
                details: draft.details,
                fix: draft.fix.unwrap_or_else(|| draft.rule.fix.to_owned()),
                alike: draft.alike,
            })
            .collect();
        let position = |finding: &Finding| {
            finding.place.as_ref().map(|place| (place.source.clone(), place.line, place.column))
        };
        findings.sort_by_cached_key(|finding| {
            (position(finding), finding.rule.code, finding.object.clone(), finding.field.clone())
        });
        drop_doubled(&mut findings);
        findings
    }
}

/// What the API server refuses is told by a rule of its own in some cases; then the general finding is superfluous.
fn drop_doubled(findings: &mut Vec<Finding>) {
    let key = |finding: &Finding| {
        let place = finding.place.as_ref().map(|place| (place.source.clone(), place.line));
        (finding.object.clone(), finding.field.clone(), place)
    };
    let is_general = |finding: &Finding| matches!(finding.rule.code, "DRA001" | "DRA002");
    let told: Vec<_> = findings.iter().filter(|finding| !is_general(finding)).map(key).collect();
    findings.retain(|finding| !is_general(finding) || !told.contains(&key(finding)));
}
