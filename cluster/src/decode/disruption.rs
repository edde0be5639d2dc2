//! PodDisruptionBudget.

use super::metadata::metadata;
use crate::fields::{Fields, Item, object};
use crate::objects::{DisruptionBudget, LabelSelector, Origin, PodNumber};
use drayage_allocator::objects::NodeSelectorRequirement;

/// `policy/v1` `PodDisruptionBudget`
pub(crate) fn disruption_budget(fields: &Fields<'_, '_>, origin: Origin) -> DisruptionBudget {
    let mut budget = DisruptionBudget { metadata: metadata(fields), origin, ..DisruptionBudget::default() };
    fields.object("spec", |spec| {
        spec.not_considered("unhealthyPodEvictionPolicy", "every running pod counts as healthy");
        budget.selector = spec.object("selector", label_selector);
        budget.min_available = spec.get("minAvailable").and_then(pod_number);
        budget.max_unavailable = spec.get("maxUnavailable").and_then(pod_number);
    });
    fields.object("status", |status| {
        status.skip_all();
        budget.disruptions_allowed = status.integer("disruptionsAllowed");
        budget.disrupted_pods = status.text_map("disruptedPods").into_keys().collect();
    });
    budget
}

/// `LabelSelector`
pub(crate) fn label_selector(fields: &Fields<'_, '_>) -> LabelSelector {
    let requirement = |fields: &Fields<'_, '_>| NodeSelectorRequirement {
        key: fields.string("key"),
        operator: fields.string("operator"),
        values: fields.texts("values"),
    };
    LabelSelector {
        match_labels: fields.text_map("matchLabels"),
        match_expressions: fields
            .list("matchExpressions", |item| object(item, requirement))
            .unwrap_or_default(),
    }
}

/// A whole number or a text like `50%`.
fn pod_number(item: Item<'_, '_>) -> Option<PodNumber> {
    let value = item.to_json();
    let number = match &value {
        serde_json::Value::String(text) => {
            text.strip_suffix('%').and_then(|number| number.parse().ok()).map(PodNumber::Percent)
        }
        other => other.as_i64().map(PodNumber::Count),
    };
    if number.is_none() {
        item.wrong(format!("{value} is no number of pods"), Some("use a whole number, or a text like `50%`"));
    }
    number
}
