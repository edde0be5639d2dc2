//! What the API server would refuse, of the parts that have a meaning here.
//!
//! Faults that would make an answer meaningless are errors. Sizes beyond the API's limits are notices, because a
//! what-if may well ask for more than today's API allows. CEL expressions are not compiled here.

mod claim;
mod names;
mod pod;
mod policy;
mod slice;

pub(crate) use claim::{claim, claim_template, class};
pub(crate) use pod::{node, pod, workload};
pub(crate) use slice::{slice, taint_rule};

use drayage_allocator::objects::{DeviceSelector, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use crate::objects::{
    CsiDriver, CsiNode, DisruptionBudget, GangWorkload, Metadata, Namespace, PersistentVolume,
    PersistentVolumeClaim, PodGroup, PriorityClass, Service, StorageCapacity, StorageClass,
};
use crate::path::FieldPath;

/// One fault of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub(crate) field: FieldPath,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) severity: Severity,
}

/// How bad an [`Issue`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The object has no meaning.
    Error,
    /// The API server would refuse it, but the meaning is clear.
    Notice,
}

/// Gathers issues. Paths are given as closures, since nearly all objects have no issue.
#[derive(Debug, Default)]
struct Issues {
    list: Vec<Issue>,
}

impl Issues {
    fn add(&mut self, severity: Severity, field: FieldPath, message: String, hint: Option<&str>) {
        self.list.push(Issue { field, message, hint: hint.map(str::to_owned), severity });
    }

    fn error(&mut self, field: FieldPath, message: impl Into<String>) {
        self.add(Severity::Error, field, message.into(), None);
    }

    fn error_with_hint(&mut self, field: FieldPath, message: impl Into<String>, hint: &str) {
        self.add(Severity::Error, field, message.into(), Some(hint));
    }

    /// A list or text may not be longer than the API allows.
    fn limit(&mut self, length: usize, limit: usize, what: &str, field: impl FnOnce() -> FieldPath) {
        if length > limit {
            let message = format!("{length} {what}, the API allows {limit}");
            self.add(Severity::Notice, field(), message, None);
        }
    }

    /// A name of the kind that most objects have: labels joined by dots.
    fn subdomain(&mut self, name: &str, field: impl FnOnce() -> FieldPath) {
        self.name(
            name,
            is_subdomain,
            "use lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit",
            field,
        );
    }

    /// A name without dots.
    fn label(&mut self, name: &str, field: impl FnOnce() -> FieldPath) {
        self.name(
            name,
            is_label,
            "use up to 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit",
            field,
        );
    }

    fn name(&mut self, name: &str, valid: fn(&str) -> bool, hint: &str, field: impl FnOnce() -> FieldPath) {
        if name.is_empty() {
            self.error(field(), "a name is required");
        } else if !valid(name) {
            self.error_with_hint(field(), format!("`{name}` is not a valid name"), hint);
        }
    }

    fn one_of(&mut self, value: &str, allowed: &[&str], field: impl FnOnce() -> FieldPath) {
        if !allowed.contains(&value) {
            let message = if value.is_empty() {
                "a value is required".to_owned()
            } else {
                format!("`{value}` is not known here")
            };
            let hint = format!("one of `{}`", allowed.join("`, `"));
            self.add(Severity::Error, field(), message, Some(&hint));
        }
    }

    /// No name occurs twice.
    fn unique<'n>(&mut self, names: impl Iterator<Item = &'n str>, field: impl Fn(usize) -> FieldPath) {
        let mut seen = std::collections::HashSet::new();
        for (index, name) in names.enumerate() {
            if !seen.insert(name) && !name.is_empty() {
                self.error_with_hint(field(index), format!("`{name}` is used twice"), "names must differ");
            }
        }
    }

    fn metadata(&mut self, metadata: &Metadata) {
        self.subdomain(&metadata.name, || FieldPath::fields("metadata.name"));
    }

    fn selectors(&mut self, selectors: &[DeviceSelector], field: impl Fn() -> FieldPath) {
        self.limit(selectors.len(), 32, "selectors", &field);
        for (index, selector) in selectors.iter().enumerate() {
            match &selector.cel {
                None => self.error_with_hint(
                    field().index(index),
                    "a selector needs `cel`",
                    "CEL is the only kind of selector: `cel: {expression: ...}`",
                ),
                Some(expression) if expression.is_empty() => {
                    self.error(
                        field().index(index).field("cel").field("expression"),
                        "an expression is required",
                    );
                }
                Some(expression) => self.limit(expression.len(), 10 * 1024, "bytes of CEL", || {
                    field().index(index).field("cel").field("expression")
                }),
            }
        }
    }

    fn node_selector(&mut self, selector: &NodeSelector, field: impl Fn() -> FieldPath) {
        if selector.terms.is_empty() {
            self.error(field().field("nodeSelectorTerms"), "at least one term is required");
        }
        for (index, term) in selector.terms.iter().enumerate() {
            let at = || field().field("nodeSelectorTerms").index(index);
            self.node_selector_term(term, at);
            for (index, requirement) in term.match_expressions.iter().enumerate() {
                for (value, text) in requirement.values.iter().enumerate() {
                    let at = || at().field("matchExpressions").index(index).field("values").index(value);
                    self.label_value(text, at);
                }
            }
        }
    }

    fn node_selector_term(&mut self, term: &NodeSelectorTerm, field: impl Fn() -> FieldPath) {
        for (list, requirements, operators) in [
            (
                "matchExpressions",
                &term.match_expressions,
                &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"][..],
            ),
            ("matchFields", &term.match_fields, &["In", "NotIn"][..]),
        ] {
            for (index, requirement) in requirements.iter().enumerate() {
                let at = || field().field(list).index(index);
                if requirement.key.is_empty() {
                    self.error(at().field("key"), "a key is required");
                } else if list == "matchExpressions" {
                    self.label_key(&requirement.key, || at().field("key"));
                } else {
                    self.field_requirement(requirement, at);
                }
                self.one_of(&requirement.operator, operators, || at().field("operator"));
                let count = requirement.values.len();
                let wanted = match requirement.operator.as_str() {
                    "In" | "NotIn" if count == 0 => "at least one value",
                    "Exists" | "DoesNotExist" if count > 0 => "no values",
                    "Gt" | "Lt" if count != 1 => "exactly one value",
                    _ => continue,
                };
                self.error(
                    at().field("values"),
                    format!("operator `{}` takes {wanted}", requirement.operator),
                );
            }
        }
    }

    /// A node has one field to choose by, its name, and a requirement names one.
    fn field_requirement(&mut self, requirement: &NodeSelectorRequirement, field: impl Fn() -> FieldPath) {
        const NAME: &str = "metadata.name";
        if requirement.key != NAME {
            let message = format!("nodes are not chosen by the field `{}`", requirement.key);
            self.refused(field().field("key"), message, "the only field is `metadata.name`");
        }
        let values = || field().field("values");
        if requirement.values.len() > 1 {
            let message = "a requirement for the name of a node has one value".to_owned();
            self.refused(values(), message, "for several nodes, write a term for each");
        }
        for (index, name) in requirement.values.iter().enumerate().filter(|_| requirement.key == NAME) {
            if !is_subdomain(name) {
                let message = format!("`{name}` is not a valid name of a node");
                self.refused(values().index(index), message, "use the name of a node");
            }
        }
    }
}

/// `core/v1` `Namespace`
pub(crate) fn namespace(namespace: &Namespace) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.label(&namespace.metadata.name, || FieldPath::fields("metadata.name"));
    issues.list
}

/// An object of which only the name is looked at here.
pub(crate) fn named<T: Named>(object: &T) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(object.metadata());
    issues.list
}

/// What has a name.
pub(crate) trait Named {
    /// `metadata`
    fn metadata(&self) -> &Metadata;
}

macro_rules! named {
    ($($kind:ty),*) => {
        $(impl Named for $kind {
            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
        })*
    };
}

named!(
    PersistentVolume,
    PersistentVolumeClaim,
    PodGroup,
    GangWorkload,
    StorageClass,
    CsiNode,
    CsiDriver,
    StorageCapacity
);

/// `scheduling.k8s.io/v1` `PriorityClass`
pub(crate) fn priority_class(class: &PriorityClass) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&class.metadata);
    issues.list
}

/// `core/v1` `Service`
pub(crate) fn service(service: &Service) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&service.metadata);
    issues.list
}

/// `policy/v1` `PodDisruptionBudget`
pub(crate) fn disruption_budget(budget: &DisruptionBudget) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&budget.metadata);
    if budget.min_available.is_some() && budget.max_unavailable.is_some() {
        issues.error_with_hint(
            FieldPath::fields("spec"),
            "has both `minAvailable` and `maxUnavailable`",
            "keep one of the two",
        );
    }
    issues.list
}

/// RFC 1123 label.
pub(crate) fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// RFC 1123 subdomain; its parts may be longer than a label's 63 characters, as in Kubernetes.
pub(crate) fn is_subdomain(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// A C identifier of up to 32 characters, optionally with a domain of up to 63 before a slash. With more slashes
/// the API server looks at nothing.
fn is_qualified_name(name: &str) -> bool {
    let mut parts = name.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(identifier), None, _) => is_identifier(identifier),
        (Some(domain), Some(identifier), None) => {
            domain.len() <= 63 && names::is_subdomain_in_any_case(domain) && is_identifier(identifier)
        }
        _ => true,
    }
}

fn is_identifier(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
