//! Parts that several kinds have.

use std::collections::BTreeMap;

use drayage_allocator::objects::{
    DeviceSelector, DeviceToleration, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    OpaqueDeviceConfiguration, Quantity,
};

use crate::fields::{Fields, Item, object};

/// The quantity 0, which Go has where a required quantity is missing.
pub(crate) fn zero() -> Quantity {
    "0".parse().expect("0 is a quantity")
}

/// `NodeSelector`
pub(crate) fn node_selector(fields: &Fields<'_, '_>) -> NodeSelector {
    NodeSelector {
        terms: fields.list("nodeSelectorTerms", |item| object(item, node_selector_term)).unwrap_or_default(),
    }
}

/// `NodeSelectorTerm`
pub(crate) fn node_selector_term(fields: &Fields<'_, '_>) -> NodeSelectorTerm {
    let requirements = |key: &'static str| {
        fields.list(key, |item| object(item, node_selector_requirement)).unwrap_or_default()
    };
    NodeSelectorTerm {
        match_expressions: requirements("matchExpressions"),
        match_fields: requirements("matchFields"),
    }
}

fn node_selector_requirement(fields: &Fields<'_, '_>) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: fields.string("key"),
        operator: fields.string("operator"),
        values: fields.texts("values"),
    }
}

/// `selectors` of a class or request.
pub(crate) fn selectors(fields: &Fields<'_, '_>) -> Vec<DeviceSelector> {
    let selector = |selector: &Fields<'_, '_>| DeviceSelector {
        cel: selector.object("cel", |cel| cel.string("expression")),
    };
    fields.list("selectors", |item| object(item, selector)).unwrap_or_default()
}

/// `opaque` of a configuration entry.
pub(crate) fn opaque(fields: &Fields<'_, '_>) -> Option<OpaqueDeviceConfiguration> {
    fields.object("opaque", |opaque| OpaqueDeviceConfiguration {
        driver: opaque.string("driver"),
        parameters: opaque.get("parameters").map(|item| item.json_text()).unwrap_or_default(),
    })
}

/// `tolerations` of a request or a result. The API defaults an absent operator to `Equal`; what the allocator
/// copies is left as it is written, since an empty operator means `Equal` to it as well.
pub(crate) fn tolerations(fields: &Fields<'_, '_>) -> Vec<DeviceToleration> {
    let toleration = |toleration: &Fields<'_, '_>| DeviceToleration {
        key: toleration.string("key"),
        operator: toleration.string("operator"),
        value: toleration.string("value"),
        effect: toleration.string("effect"),
        toleration_seconds: toleration.integer("tolerationSeconds"),
    };
    fields.list("tolerations", |item| object(item, toleration)).unwrap_or_default()
}

/// A list of texts in which an empty list is the same as none, as after a round trip through protobuf.
pub(crate) fn texts_or_none(fields: &Fields<'_, '_>, key: &'static str) -> Option<Vec<String>> {
    let texts = fields.texts(key);
    (!texts.is_empty()).then_some(texts)
}

/// `counters`: amounts by counter name.
pub(crate) fn counters(fields: &Fields<'_, '_>) -> BTreeMap<String, Quantity> {
    let counter = |counter: &Fields<'_, '_>| counter.quantity("value").unwrap_or_else(zero);
    fields.map("counters", |item| object(item, counter)).unwrap_or_default()
}

/// `metadata.name` alone, for readers that need nothing else of the metadata.
pub(crate) fn name_and_namespace(fields: &Fields<'_, '_>) -> (String, String) {
    fields
        .get("metadata")
        .and_then(Item::fields)
        .map(|metadata| (metadata.string("name"), metadata.string("namespace")))
        .unwrap_or_default()
}
