//! Node affinity of pods.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::ValidSelector;
use drayage_allocator::objects::{Node, NodeSelector, NodeSelectorTerm};

/// Whether a pod's `nodeSelector` and required node affinity accept the node. As upstream, a term with a fault
/// accepts nothing and does not spoil the others.
pub(crate) fn accepts(
    node_selector: &BTreeMap<String, String>,
    required: Option<&NodeSelector>,
    node: &Node,
) -> bool {
    node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && required.is_none_or(|selector| selector.terms.iter().any(|term| term_accepts(term, node)))
}

/// Whether a term accepts the node; one with a fault accepts none.
pub(crate) fn term_accepts(term: &NodeSelectorTerm, node: &Node) -> bool {
    let selector = NodeSelector { terms: vec![term.clone()] };
    accepts_strictly(&selector, node)
}

/// Whether a node selector without faults accepts the node.
pub(crate) fn accepts_strictly(selector: &NodeSelector, node: &Node) -> bool {
    ValidSelector::new(selector).is_ok_and(|selector| selector.matches(node))
}

/// The nodes that required affinity names: upstream looks at no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NamedNodes<'a> {
    /// Some term names none.
    Any,
    /// Every term names nodes; together these.
    Only(BTreeSet<&'a str>),
    /// Every term contradicts itself.
    Contradiction,
}

/// Which nodes the terms name by `metadata.name`.
pub(crate) fn named_nodes(required: Option<&NodeSelector>) -> NamedNodes<'_> {
    let Some(selector) = required.filter(|selector| !selector.terms.is_empty()) else {
        return NamedNodes::Any;
    };
    let mut names = BTreeSet::new();
    for term in &selector.terms {
        let mut of_term: Option<BTreeSet<&str>> = None;
        for requirement in &term.match_fields {
            if requirement.key == "metadata.name" && requirement.operator == "In" {
                let values: BTreeSet<&str> = requirement.values.iter().map(String::as_str).collect();
                of_term = Some(match of_term {
                    Some(before) => before.intersection(&values).copied().collect(),
                    None => values,
                });
            }
        }
        match of_term {
            Some(of_term) => names.extend(of_term),
            None => return NamedNodes::Any,
        }
    }
    if names.is_empty() { NamedNodes::Contradiction } else { NamedNodes::Only(names) }
}

#[cfg(test)]
mod tests {
    use drayage_allocator::objects::NodeSelectorRequirement;

    use super::*;

    fn requirement(key: &str, operator: &str, values: &[&str]) -> NodeSelectorRequirement {
        NodeSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }

    fn fields(requirements: Vec<NodeSelectorRequirement>) -> NodeSelectorTerm {
        NodeSelectorTerm { match_expressions: Vec::new(), match_fields: requirements }
    }

    fn labels(requirements: Vec<NodeSelectorRequirement>) -> NodeSelectorTerm {
        NodeSelectorTerm { match_expressions: requirements, match_fields: Vec::new() }
    }

    fn node() -> Node {
        let labels = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        Node { name: "n".to_owned(), labels, ..Node::default() }
    }

    #[test]
    fn terms_are_alternatives_and_faulty_ones_accept_nothing() {
        let good = labels(vec![requirement("zone", "In", &["a", "b"])]);
        let faulty = labels(vec![requirement("zone", "Like", &["a"])]);
        let none = BTreeMap::new();
        let accepts = |terms| accepts(&none, Some(&NodeSelector { terms }), &node());
        assert!(accepts(vec![faulty.clone(), good.clone()]));
        assert!(!accepts(vec![faulty]));
        assert!(!accepts(vec![NodeSelectorTerm::default()]));
        assert!(!accepts(Vec::new()));
        assert!(accepts(vec![good]));
    }

    #[test]
    fn the_node_selector_counts_as_well() {
        let wanted = |value: &str| BTreeMap::from([("zone".to_owned(), value.to_owned())]);
        assert!(accepts(&wanted("a"), None, &node()));
        assert!(!accepts(&wanted("b"), None, &node()));
    }

    #[test]
    fn named_nodes_are_found() {
        let named = |terms| match named_nodes(Some(&NodeSelector { terms })) {
            NamedNodes::Any => "any".to_owned(),
            NamedNodes::Only(names) => names.into_iter().collect::<Vec<_>>().join(","),
            NamedNodes::Contradiction => "contradiction".to_owned(),
        };
        let name = |values: &[&str]| requirement("metadata.name", "In", values);
        assert_eq!(named(Vec::new()), "any");
        assert_eq!(named(vec![fields(vec![name(&["a"])]), fields(vec![name(&["b"])])]), "a,b");
        assert_eq!(
            named(vec![fields(vec![name(&["a"])]), labels(vec![requirement("x", "Exists", &[])])]),
            "any"
        );
        assert_eq!(named(vec![fields(vec![name(&["a"]), name(&["b"])])]), "contradiction");
    }
}
