//! Node selectors and the three node fields of slices and devices.

use crate::objects::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

/// A node selector whose requirements are valid.
///
/// Terms are ORed, the requirements of a term are ANDed, and a term without requirements matches no node. One
/// faulty term makes the whole selector an error, as in upstream's strict constructor.
#[derive(Debug)]
pub struct ValidSelector<'a> {
    terms: Vec<&'a NodeSelectorTerm>,
}

impl<'a> ValidSelector<'a> {
    /// Checks every requirement; the error's text joins all faults.
    pub fn new(selector: &'a NodeSelector) -> Result<Self, SelectorFault> {
        let mut faults = Vec::new();
        let mut terms = Vec::new();
        for (index, term) in selector.terms.iter().enumerate() {
            if term.match_expressions.is_empty() && term.match_fields.is_empty() {
                continue;
            }
            for (position, requirement) in term.match_expressions.iter().enumerate() {
                if let Some(fault) = expression_fault(requirement) {
                    faults.push(format!("nodeSelectorTerms[{index}].matchExpressions[{position}]{fault}"));
                }
            }
            for (position, requirement) in term.match_fields.iter().enumerate() {
                if let Some(fault) = field_fault(requirement) {
                    faults.push(format!("nodeSelectorTerms[{index}].matchFields[{position}]{fault}"));
                }
            }
            terms.push(term);
        }
        if faults.is_empty() { Ok(Self { terms }) } else { Err(SelectorFault(faults.join(", "))) }
    }

    /// Whether some term accepts the node. Requirements on fields do not count for a node without a name.
    pub fn matches(&self, node: &Node) -> bool {
        self.terms.iter().any(|term| {
            term.match_expressions.iter().all(|requirement| label_matches(requirement, node))
                && (node.name.is_empty()
                    || term.match_fields.iter().all(|requirement| field_matches(requirement, node)))
        })
    }
}

/// A node selector has requirements that are not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorFault(String);

/// Whether one of the three node fields selects the node. Precedence: name, all nodes, selector; none: no node.
pub(crate) fn selects(
    node: &Node,
    node_name: Option<&str>,
    all_nodes: bool,
    selector: Option<&NodeSelector>,
) -> Result<bool, String> {
    match (node_name, selector) {
        (Some(name), _) if !name.is_empty() => Ok(name == node.name),
        _ if all_nodes => Ok(true),
        (_, Some(selector)) => match ValidSelector::new(selector) {
            Ok(valid) => Ok(valid.matches(node)),
            Err(fault) => Err(format!("failed to parse node selector: {fault}")),
        },
        _ => Ok(false),
    }
}

fn label_matches(requirement: &NodeSelectorRequirement, node: &Node) -> bool {
    let label = node.labels.get(&requirement.key);
    let among = |value: &String| requirement.values.contains(value);
    match requirement.operator.as_str() {
        "In" => label.is_some_and(among),
        "NotIn" => !label.is_some_and(among),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        operator @ ("Gt" | "Lt") => {
            let bound = requirement.values.first().and_then(|value| value.parse::<i64>().ok());
            match (label.and_then(|value| value.parse::<i64>().ok()), bound) {
                (Some(value), Some(bound)) if operator == "Gt" => value > bound,
                (Some(value), Some(bound)) => value < bound,
                _ => false,
            }
        }
        _ => false,
    }
}

fn field_matches(requirement: &NodeSelectorRequirement, node: &Node) -> bool {
    let actual = if requirement.key == "metadata.name" { node.name.as_str() } else { "" };
    let equal = requirement.values.first().is_some_and(|value| value == actual);
    if requirement.operator == "In" { equal } else { !equal }
}

fn expression_fault(requirement: &NodeSelectorRequirement) -> Option<String> {
    if !is_label_key(&requirement.key) {
        return Some(format!(".key: `{}` is not a label key", requirement.key));
    }
    let values = &requirement.values;
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            return Some(format!(".values: operator `{}` needs at least one value", requirement.operator));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            return Some(format!(".values: operator `{}` takes no value", requirement.operator));
        }
        "Gt" | "Lt" if values.len() != 1 || values.iter().any(|value| value.parse::<i64>().is_err()) => {
            return Some(format!(".values: operator `{}` needs exactly one integer", requirement.operator));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => return Some(format!(".operator: unknown operator `{other}`")),
    }
    let bad = values.iter().find(|value| !is_label_value(value))?;
    Some(format!(".values: `{bad}` is not a label value"))
}

fn field_fault(requirement: &NodeSelectorRequirement) -> Option<String> {
    match requirement.operator.as_str() {
        "In" | "NotIn" if requirement.values.len() != 1 => {
            Some(format!(".values: operator `{}` on a field needs exactly one value", requirement.operator))
        }
        "In" | "NotIn" => None,
        other => Some(format!(".operator: operator `{other}` is not supported for fields")),
    }
}

/// A qualified name: an optional DNS subdomain and `/`, then at most 63 of letters, digits, `-`, `_`, `.`.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_subdomain)
}

fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    bytes.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_subdomain(prefix: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    prefix.len() <= 253
        && prefix.split('.').all(|label| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(|byte| is_alphanumeric(*byte))
                && bytes.last().is_some_and(|byte| is_alphanumeric(*byte))
                && bytes.iter().all(|byte| is_alphanumeric(*byte) || *byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(key: &str, operator: &str, values: &[&str]) -> NodeSelectorRequirement {
        NodeSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    fn node() -> Node {
        let labels = [("zone", "a"), ("gpus", "8"), ("example.com/tier", "")];
        Node {
            name: "node-1".to_owned(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..Node::default()
        }
    }

    fn one_term(
        expressions: Vec<NodeSelectorRequirement>,
        fields: Vec<NodeSelectorRequirement>,
    ) -> NodeSelector {
        NodeSelector {
            terms: vec![NodeSelectorTerm { match_expressions: expressions, match_fields: fields }],
        }
    }

    #[test]
    fn operators_on_labels() {
        for (requirement, expected) in [
            (requirement("zone", "In", &["b", "a"]), true),
            (requirement("zone", "In", &["b"]), false),
            (requirement("absent", "In", &[""]), false),
            (requirement("zone", "NotIn", &["a"]), false),
            (requirement("absent", "NotIn", &["a"]), true),
            (requirement("example.com/tier", "Exists", &[]), true),
            (requirement("absent", "Exists", &[]), false),
            (requirement("absent", "DoesNotExist", &[]), true),
            (requirement("gpus", "Gt", &["7"]), true),
            (requirement("gpus", "Gt", &["8"]), false),
            (requirement("gpus", "Lt", &["9"]), true),
            (requirement("zone", "Lt", &["9"]), false),
        ] {
            let selector = one_term(vec![requirement.clone()], Vec::new());
            assert_eq!(selects(&node(), None, false, Some(&selector)), Ok(expected), "{requirement:?}");
        }
    }

    #[test]
    fn fields_know_only_the_name() {
        for (requirement, expected) in [
            (requirement("metadata.name", "In", &["node-1"]), true),
            (requirement("metadata.name", "NotIn", &["node-1"]), false),
            (requirement("metadata.namespace", "In", &["x"]), false),
            (requirement("metadata.namespace", "NotIn", &["x"]), true),
        ] {
            let selector = one_term(Vec::new(), vec![requirement.clone()]);
            assert_eq!(selects(&node(), None, false, Some(&selector)), Ok(expected), "{requirement:?}");
        }
    }

    #[test]
    fn no_terms_and_empty_terms_match_nothing() {
        assert_eq!(selects(&node(), None, false, Some(&NodeSelector::default())), Ok(false));
        let empty_term = one_term(Vec::new(), Vec::new());
        assert_eq!(selects(&node(), None, false, Some(&empty_term)), Ok(false));
        assert_eq!(selects(&node(), None, false, None), Ok(false));
    }

    #[test]
    fn one_faulty_term_spoils_a_selector_that_would_match() {
        for fault in [
            requirement("zone", "Near", &["a"]),
            requirement("zone", "In", &[]),
            requirement("zone", "Exists", &["a"]),
            requirement("zone", "Gt", &["many"]),
            requirement("-zone", "In", &["a"]),
            requirement("zone", "In", &["spaces are bad"]),
        ] {
            let mut selector = one_term(vec![requirement("zone", "In", &["a"])], Vec::new());
            selector
                .terms
                .push(NodeSelectorTerm { match_expressions: vec![fault], match_fields: Vec::new() });
            assert!(selects(&node(), None, false, Some(&selector)).is_err());
            // The selector is not looked at where another field decides.
            assert_eq!(selects(&node(), Some("node-1"), false, Some(&selector)), Ok(true));
            assert_eq!(selects(&node(), Some(""), true, Some(&selector)), Ok(true));
        }
    }
}
