//! Whether a node is one that a pod asks for, and whether a pod bears a node's taints.

use drayage_allocator::objects::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use crate::objects::{Node, PodSpec, Taint, Toleration};

/// Whether labels and name of the node satisfy the pod's `nodeSelector` and required node affinity.
pub fn node_matches_pod(pod: &PodSpec, node: &Node) -> bool {
    let labels = &node.metadata.labels;
    pod.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && pod
            .node_affinity
            .as_ref()
            .and_then(|affinity| affinity.required.as_ref())
            .is_none_or(|selector| node_matches_selector(selector, node))
}

/// Whether any term matches; a selector without terms matches nothing.
pub fn node_matches_selector(selector: &NodeSelector, node: &Node) -> bool {
    selector.terms.iter().any(|term| node_matches_term(term, node))
}

/// Whether all requirements hold. A term without requirements matches nothing, and a requirement that makes no
/// sense (see `core/v1`) holds for no node.
pub fn node_matches_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let has_requirements = !term.match_expressions.is_empty() || !term.match_fields.is_empty();
    has_requirements
        && term.match_expressions.iter().all(|requirement| {
            holds(requirement, node.metadata.labels.get(&requirement.key).map(String::as_str))
        })
        && term.match_fields.iter().all(|requirement| {
            requirement.key == "metadata.name"
                && requirement.values.len() == 1
                && matches!(requirement.operator.as_str(), "In" | "NotIn")
                && holds(requirement, Some(&node.metadata.name))
        })
}

fn holds(requirement: &NodeSelectorRequirement, actual: Option<&str>) -> bool {
    let listed = |actual: &str| requirement.values.iter().any(|value| value == actual);
    let compared = |wanted: fn(i64, i64) -> bool| match (actual, requirement.values.as_slice()) {
        (Some(actual), [bound]) => {
            matches!((actual.parse(), bound.parse()), (Ok(actual), Ok(bound)) if wanted(actual, bound))
        }
        _ => false,
    };
    match requirement.operator.as_str() {
        "In" => actual.is_some_and(listed),
        "NotIn" => !requirement.values.is_empty() && !actual.is_some_and(listed),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compared(|actual, bound| actual > bound),
        "Lt" => compared(|actual, bound| actual < bound),
        _ => false,
    }
}

/// The first taint with effect `NoSchedule` or `NoExecute` that no toleration covers.
pub fn untolerated_taint<'t>(tolerations: &[Toleration], taints: &'t [Taint]) -> Option<&'t Taint> {
    let hard = taints.iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    hard.into_iter().find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// Whether a toleration covers a taint. `Lt` and `Gt` (1.35, alpha) compare whole numbers: the taint's value must
/// be less, or greater, than the toleration's.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let same_effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
    let same_key = toleration.key.is_empty() || toleration.key == taint.key;
    let numbers =
        || -> Option<(i64, i64)> { Some((taint.value.parse().ok()?, toleration.value.parse().ok()?)) };
    same_effect
        && same_key
        && match toleration.operator.as_str() {
            "" | "Equal" => toleration.value == taint.value,
            "Exists" => true,
            "Lt" => numbers().is_some_and(|(taint, toleration)| taint < toleration),
            "Gt" => numbers().is_some_and(|(taint, toleration)| taint > toleration),
            _ => false,
        }
}
