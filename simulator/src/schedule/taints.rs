//! Taints of nodes and tolerations of pods.

use drayage_cluster::objects::{Taint, Toleration};

/// Whether the toleration tolerates the taint. `comparison` is gate TaintTolerationComparisonOperators.
fn tolerates(toleration: &Toleration, taint: &Taint, comparison: bool) -> bool {
    if !toleration.effect.is_empty() && toleration.effect != taint.effect {
        return false;
    }
    if !toleration.key.is_empty() && toleration.key != taint.key {
        return false;
    }
    match toleration.operator.as_str() {
        "" | "Equal" => toleration.value == taint.value,
        "Exists" => true,
        operator @ ("Lt" | "Gt") if comparison => match (integer(&taint.value), integer(&toleration.value)) {
            (Some(value), Some(bound)) if operator == "Lt" => value < bound,
            (Some(value), Some(bound)) => value > bound,
            _ => false,
        },
        _ => false,
    }
}

/// A decimal integer as the API validates it: no plus sign, no leading zeros.
fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The first taint that keeps the pod away and is not tolerated.
pub(crate) fn untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    comparison: bool,
) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute")
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint, comparison)))
}

/// How many taints that only ask for other nodes are not tolerated.
pub(crate) fn soft(taints: &[Taint], tolerations: &[Toleration], comparison: bool) -> usize {
    let soft = taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    soft.filter(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint, comparison)))
        .count()
}

/// Whether the tolerations accept a node with `spec.unschedulable`.
pub(crate) fn tolerates_unschedulable(tolerations: &[Toleration], comparison: bool) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    tolerations.iter().any(|toleration| tolerates(toleration, &taint, comparison))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: &str) -> Taint {
        Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() }
    }

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        Toleration {
            key: key.to_owned(),
            operator: operator.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
            toleration_seconds: None,
        }
    }

    #[test]
    fn tolerations_match_key_value_and_effect() {
        let gpu = taint("gpu", "reserved", "NoSchedule");
        assert!(tolerates(&toleration("gpu", "", "reserved", ""), &gpu, false));
        assert!(tolerates(&toleration("gpu", "Exists", "", "NoSchedule"), &gpu, false));
        assert!(tolerates(&toleration("", "Exists", "", ""), &gpu, false));
        assert!(!tolerates(&toleration("gpu", "Equal", "other", ""), &gpu, false));
        assert!(!tolerates(&toleration("gpu", "Exists", "", "NoExecute"), &gpu, false));
        assert!(!tolerates(&toleration("cpu", "Exists", "", ""), &gpu, false));
        assert!(!tolerates(&toleration("gpu", "In", "reserved", ""), &gpu, false));
    }

    #[test]
    fn comparison_needs_its_gate() {
        let level = taint("level", "5", "NoSchedule");
        let above = toleration("level", "Gt", "4", "");
        assert!(tolerates(&above, &level, true));
        assert!(!tolerates(&above, &level, false));
        assert!(!tolerates(&toleration("level", "Gt", "04", ""), &level, true));
        assert!(!tolerates(&toleration("level", "Lt", "5", ""), &level, true));
    }

    #[test]
    fn soft_taints_do_not_count_and_the_first_hard_one_is_named() {
        let taints = [
            taint("soft", "", "PreferNoSchedule"),
            taint("tolerated", "", "NoSchedule"),
            taint("first", "", "NoExecute"),
            taint("second", "", "NoSchedule"),
        ];
        let tolerations = [toleration("tolerated", "Exists", "", "")];
        assert_eq!(untolerated(&taints, &tolerations, false), Some(&taints[2]));
        assert_eq!(untolerated(&taints[..2], &tolerations, false), None);
    }
}
