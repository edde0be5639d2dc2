//! Node, and the small kinds without a specification of note.

use crate::fields::{Fields, object};
use crate::objects::{Namespace, Node, Origin, PriorityClass, Service, Taint};

use super::metadata::metadata;

/// `core/v1` `Node`
pub(crate) fn node(fields: &Fields<'_, '_>, origin: Origin) -> Node {
    let mut node = Node { metadata: metadata(fields), origin, ..Node::default() };
    fields.object("spec", |spec| {
        spec.skip(&["podCIDR", "podCIDRs", "providerID", "configSource", "externalID"]);
        node.unschedulable = spec.flag("unschedulable");
        node.taints = spec.list("taints", |item| object(item, taint)).unwrap_or_default();
    });
    fields.object("status", |status| {
        status.skip(&[
            "phase",
            "addresses",
            "daemonEndpoints",
            "nodeInfo",
            "volumesInUse",
            "volumesAttached",
            "config",
            "runtimeHandlers",
            "features",
        ]);
        node.images = status.list("images", |item| object(item, image)).unwrap_or_default();
        node.declared_features = status.texts("declaredFeatures").into_iter().collect();
        let capacity = status.quantity_map("capacity");
        node.allocatable =
            if status.has("allocatable") { status.quantity_map("allocatable") } else { capacity.clone() };
        node.capacity = if status.has("capacity") { capacity } else { node.allocatable.clone() };
        node.ready = ready(status);
    });
    node
}

fn image(fields: &Fields<'_, '_>) -> (Vec<String>, i64) {
    (fields.texts("names"), fields.integer("sizeBytes").unwrap_or_default())
}

fn taint(fields: &Fields<'_, '_>) -> Taint {
    fields.skip(&["timeAdded"]);
    Taint { key: fields.string("key"), value: fields.string("value"), effect: fields.string("effect") }
}

fn ready(status: &Fields<'_, '_>) -> Option<bool> {
    let conditions = status.list("conditions", |item| {
        let condition = item.fields()?;
        Some((condition.string("type"), condition.string("status")))
    });
    conditions?.into_iter().find(|(kind, _)| kind == "Ready").map(|(_, status)| status == "True")
}

/// `core/v1` `Service`
pub(crate) fn service(fields: &Fields<'_, '_>, origin: Origin) -> Service {
    fields.skip(&["status"]);
    let mut service = Service { metadata: metadata(fields), origin, ..Service::default() };
    fields.object("spec", |spec| {
        service.selector = spec.has("selector").then(|| spec.text_map("selector"));
        // where traffic goes has no part in scheduling
        spec.skip_all();
    });
    service
}

/// `core/v1` `Namespace`
pub(crate) fn namespace(fields: &Fields<'_, '_>, origin: Origin) -> Namespace {
    fields.skip(&["spec", "status"]);
    Namespace { metadata: metadata(fields), origin }
}

/// `scheduling.k8s.io/v1` `PriorityClass`
pub(crate) fn priority_class(fields: &Fields<'_, '_>, origin: Origin) -> PriorityClass {
    fields.skip(&["description"]);
    PriorityClass {
        metadata: metadata(fields),
        origin,
        value: fields.get("value").and_then(|item| item.integer32()).unwrap_or_default(),
        global_default: fields.flag("globalDefault"),
        preemption_policy: fields
            .text("preemptionPolicy")
            .unwrap_or_else(|| "PreemptLowerPriority".to_owned()),
    }
}
