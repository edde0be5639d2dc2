//! How pods want to be spread, and near which other pods they want to be.

use super::disruption::label_selector;
use crate::fields::{Fields, object};
use crate::objects::{PodAffinity, PodAffinityTerm, TopologySpreadConstraint};

/// `podAffinity` or `podAntiAffinity`
pub(crate) fn pod_affinity(fields: &Fields<'_, '_>) -> PodAffinity {
    let weighted = |fields: &Fields<'_, '_>| {
        let term = fields.object("podAffinityTerm", pod_affinity_term).unwrap_or_default();
        (fields.integer("weight").unwrap_or_default(), term)
    };
    PodAffinity {
        required: fields
            .list("requiredDuringSchedulingIgnoredDuringExecution", |item| object(item, pod_affinity_term))
            .unwrap_or_default(),
        preferred: fields
            .list("preferredDuringSchedulingIgnoredDuringExecution", |item| object(item, weighted))
            .unwrap_or_default(),
    }
}

fn pod_affinity_term(fields: &Fields<'_, '_>) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: fields.object("labelSelector", label_selector),
        namespaces: fields.texts("namespaces"),
        namespace_selector: fields.object("namespaceSelector", label_selector),
        topology_key: fields.string("topologyKey"),
        match_label_keys: fields.texts("matchLabelKeys"),
        mismatch_label_keys: fields.texts("mismatchLabelKeys"),
    }
}

/// `TopologySpreadConstraint`
pub(crate) fn spread(fields: &Fields<'_, '_>) -> TopologySpreadConstraint {
    let number = |key| fields.get(key).and_then(|item| item.integer32());
    TopologySpreadConstraint {
        max_skew: number("maxSkew").unwrap_or(1),
        topology_key: fields.string("topologyKey"),
        required: fields.string("whenUnsatisfiable") != "ScheduleAnyway",
        selector: fields.object("labelSelector", label_selector),
        min_domains: number("minDomains").unwrap_or(1),
        honors_affinity: fields.string("nodeAffinityPolicy") != "Ignore",
        honors_taints: fields.string("nodeTaintsPolicy") == "Honor",
        match_label_keys: fields.texts("matchLabelKeys"),
    }
}
