//! Nodes and node selectors, as far as devices need them.

use std::collections::{BTreeMap, BTreeSet};

/// What the allocator looks at of a `core/v1` Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`
    pub name: String,
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
    /// `status.declaredFeatures`: features that the kubelet of the node says it has (KEP-5328).
    pub declared_features: BTreeSet<String>,
}

/// `core/v1` `NodeSelector`: terms are ORed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSelector {
    /// `nodeSelectorTerms`; no terms match no node.
    pub terms: Vec<NodeSelectorTerm>,
}

/// `core/v1` `NodeSelectorTerm`: all requirements must hold; without any, the term matches no node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSelectorTerm {
    /// Requirements on labels.
    pub match_expressions: Vec<NodeSelectorRequirement>,
    /// Requirements on fields; only `metadata.name` exists.
    pub match_fields: Vec<NodeSelectorRequirement>,
}

/// `core/v1` `NodeSelectorRequirement`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSelectorRequirement {
    /// Label key, or field path.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`. Text, because upstream reports an unknown operator
    /// only where the selector is used.
    pub operator: String,
    /// Values; their number depends on the operator.
    pub values: Vec<String>,
}
