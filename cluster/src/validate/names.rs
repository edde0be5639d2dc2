//! Names and values as the API server takes them, beside those of [`super::is_label`] and [`super::is_subdomain`].

use super::{Issues, Severity};
use crate::path::FieldPath;

impl Issues {
    /// The name of a driver: a subdomain of up to 63 characters, in which upper case counts as lower.
    pub(super) fn driver(&mut self, name: &str, field: impl Fn() -> FieldPath) {
        if name.is_empty() {
            self.error(field(), "the name of a driver is required");
        } else if !is_subdomain_in_any_case(name) {
            self.error_with_hint(
                field(),
                format!("`{name}` is not a valid name of a driver"),
                "use letters, digits, `-` and `.`, beginning and ending with a letter or digit",
            );
        }
        self.limit(name.len(), 63, "characters in a driver name", field);
    }

    /// The key of a taint or toleration, or another name that is made like the key of a label.
    pub(super) fn label_key(&mut self, key: &str, field: impl FnOnce() -> FieldPath) {
        if !is_label_key(key) {
            self.refused(
                field(),
                format!("`{key}` is not made like the key of a label"),
                "use up to 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit, \
                 optionally after a domain and `/`",
            );
        }
    }

    /// The value of a taint or toleration.
    pub(super) fn label_value(&mut self, value: &str, field: impl FnOnce() -> FieldPath) {
        if !value.is_empty() && !is_label_value(value) {
            self.refused(
                field(),
                format!("`{value}` is not made like the value of a label"),
                "use up to 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit",
            );
        }
    }

    /// The API server would refuse it, but the meaning is clear.
    pub(super) fn refused(&mut self, field: FieldPath, message: String, hint: &str) {
        self.add(Severity::Notice, field, message, Some(hint));
    }
}

/// As [`super::is_subdomain`], with upper case.
pub(super) fn is_subdomain_in_any_case(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// `name` or `domain/name`.
pub(super) fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_label_value(key),
        Some((domain, name)) => super::is_subdomain(domain) && is_label_value(name),
    }
}

/// Up to 63 letters, digits, `-`, `_` and `.`, with letters or digits at both ends.
fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    value.len() <= 63
        && ends.into_iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// What DRA can stand behind: a name with a domain that is not Kubernetes' own.
pub(super) fn is_extended_resource(name: &str) -> bool {
    const QUOTA: &str = "requests.";
    name.contains('/')
        && !name.contains("kubernetes.io/")
        && !name.starts_with(QUOTA)
        && is_label_key(&format!("{QUOTA}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_resources_have_a_domain_that_is_not_kubernetes_own() {
        for (name, valid) in [
            ("example.com/gpu", true),
            ("gpu", false),
            ("kubernetes.io/gpu", false),
            ("requests.example.com/gpu", false),
            ("example.com/gpu/two", false),
            ("Example.com/gpu", false),
            ("example.com/", false),
        ] {
            assert_eq!(is_extended_resource(name), valid, "{name}");
        }
    }

    #[test]
    fn keys_and_values_are_those_of_labels() {
        for (key, valid) in
            [("a", true), ("a.b/C_d", true), ("A/b", false), ("", false), ("a b", false), ("-a", false)]
        {
            assert_eq!(is_label_key(key), valid, "{key}");
        }
        assert!(is_label_key(&"a".repeat(63)) && !is_label_key(&"a".repeat(64)));
    }
}
