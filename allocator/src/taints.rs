//! Device taints and tolerations (KEP-5055).

use crate::objects::{DeviceTaint, DeviceToleration};
use crate::profile::TaintEffects;

/// The first taint that keeps a request with these tolerations from using a device.
pub(crate) fn untolerated<'a>(
    taints: &'a [DeviceTaint],
    tolerations: &[DeviceToleration],
    effects: TaintEffects,
) -> Option<&'a DeviceTaint> {
    taints.iter().find(|taint| {
        (effects == TaintEffects::Any || matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
            && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    })
}

/// Whether a toleration covers a taint: where it names an effect or a key, they are equal, and so are the values
/// unless the operator is `Exists`. An operator that the API does not have covers nothing.
pub fn tolerates(toleration: &DeviceToleration, taint: &DeviceTaint) -> bool {
    let same_effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
    let same_key = toleration.key.is_empty() || toleration.key == taint.key;
    let same_value = match toleration.operator.as_str() {
        "" | "Equal" => toleration.value == taint.value,
        "Exists" => true,
        _ => false,
    };
    same_effect && same_key && same_value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> DeviceToleration {
        DeviceToleration {
            key: key.to_owned(),
            operator: operator.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
            toleration_seconds: None,
        }
    }

    #[test]
    fn tolerations_match_by_effect_key_and_value() {
        let taint =
            DeviceTaint { key: "k".to_owned(), value: "v".to_owned(), effect: "NoSchedule".to_owned() };
        for (toleration, expected) in [
            (toleration("k", "Equal", "v", "NoSchedule"), true),
            (toleration("k", "", "v", ""), true),
            (toleration("k", "Exists", "", ""), true),
            (toleration("", "Exists", "", ""), true),
            (toleration("", "Equal", "other", ""), false),
            (toleration("k", "Equal", "other", ""), false),
            (toleration("other", "Exists", "", ""), false),
            (toleration("k", "Exists", "", "NoExecute"), false),
            (toleration("k", "In", "v", ""), false),
        ] {
            let refused = untolerated(
                std::slice::from_ref(&taint),
                std::slice::from_ref(&toleration),
                TaintEffects::NoScheduleAndNoExecute,
            );
            assert_eq!(refused.is_none(), expected, "{toleration:?}");
        }
    }

    #[test]
    fn unknown_effects_and_none_keep_nobody_away() {
        for effect in ["None", "", "PreferNoSchedule"] {
            let taint = DeviceTaint { key: "k".to_owned(), value: String::new(), effect: effect.to_owned() };
            let taints = [taint];
            assert_eq!(untolerated(&taints, &[], TaintEffects::NoScheduleAndNoExecute), None);
            assert_eq!(untolerated(&taints, &[], TaintEffects::Any), Some(&taints[0]));
        }
    }
}
