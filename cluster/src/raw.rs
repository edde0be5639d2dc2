//! Objects as they were written: everything, also what no answer depends on.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use crate::objects::{Metadata, ObjectReference, Origin};
use crate::snapshot::Snapshot;
use crate::source::document;
use crate::tree::{Node, Value};

/// An object and its text as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct RawObject {
    /// Which one.
    pub object: ObjectReference,
    /// All that was written, with `apiVersion` and `kind`.
    pub value: Json,
}

impl Snapshot {
    /// The objects of all kinds that are read, as they were written, by kind, namespace and name. Objects that were
    /// made by the program are not among them.
    pub fn raw_objects(&self) -> Vec<RawObject> {
        let mut wanted: Vec<(&'static str, &Metadata, &Origin)> = Vec::new();
        macro_rules! all {
            ($($list:ident: $kind:expr),* $(,)?) => {
                $(for object in &self.$list {
                    let kind: fn(&_) -> &'static str = $kind;
                    wanted.push((kind(object), &object.metadata, &object.origin));
                })*
            };
        }
        all! {
            nodes: |_| "Node",
            pods: |_| "Pod",
            claims: |_| "ResourceClaim",
            claim_templates: |_| "ResourceClaimTemplate",
            classes: |_| "DeviceClass",
            slices: |_| "ResourceSlice",
            taint_rules: |_| "DeviceTaintRule",
            workloads: |workload: &crate::objects::Workload| workload.kind.as_str(),
            namespaces: |_| "Namespace",
            priority_classes: |_| "PriorityClass",
            disruption_budgets: |_| "PodDisruptionBudget",
            pod_groups: |_| "PodGroup",
            gang_workloads: |_| "Workload",
            persistent_volumes: |_| "PersistentVolume",
            persistent_volume_claims: |_| "PersistentVolumeClaim",
            storage_classes: |_| "StorageClass",
            csi_nodes: |_| "CSINode",
            csi_drivers: |_| "CSIDriver",
            storage_capacities: |_| "CSIStorageCapacity",
            services: |_| "Service",
        }
        let mut by_document: BTreeMap<(usize, usize, usize), Vec<usize>> = BTreeMap::new();
        for (index, (_, _, origin)) in wanted.iter().enumerate() {
            // A pod that was made of a workload has the workload's place.
            if let Some(range) = origin.range.filter(|_| origin.within.is_root()) {
                by_document.entry((range.source, range.start, range.end)).or_default().push(index);
            }
        }
        let mut objects = Vec::new();
        for ((source, start, end), members) in by_document {
            let Some(text) = self.sources.list.get(source).map(crate::source::Source::text) else { continue };
            let range = |index: &usize| wanted.get(*index).and_then(|(_, _, origin)| origin.range);
            let Some(notation) = members.first().and_then(range).map(|range| range.notation) else {
                continue;
            };
            let Some(document) = document(text, start, end, notation) else { continue };
            for index in members {
                let (Some((kind, metadata, _)), Some(range)) = (wanted.get(index), range(&index)) else {
                    continue;
                };
                let node = match range.item {
                    None => Some(&document),
                    Some(item) => document.value.get("items").and_then(|items| match &items.value {
                        Value::List(items) => items.get(item),
                        _ => None,
                    }),
                };
                let Some(Json::Object(mut value)) = node.map(json) else { continue };
                // Elements of a typed list may leave them out.
                value.entry("kind").or_insert_with(|| (*kind).into());
                value.entry("apiVersion").or_insert_with(|| api_version(kind).into());
                let object = ObjectReference {
                    kind: (*kind).to_owned(),
                    namespace: metadata.namespace.clone(),
                    name: metadata.name.clone(),
                };
                objects.push(RawObject { object, value: Json::Object(value) });
            }
        }
        objects.sort_by(|left, right| left.object.cmp(&right.object));
        objects
    }
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Node" | "Pod" | "Namespace" | "Service" => "v1",
        "PriorityClass" => "scheduling.k8s.io/v1",
        "PodDisruptionBudget" => "policy/v1",
        "Job" => "batch/v1",
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => "apps/v1",
        _ => "resource.k8s.io/v1",
    }
}

fn json(node: &Node<'_>) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(text) => number(text),
        Value::Text(text) => Json::String(text.clone().into_owned()),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone().into_owned(), json(&entry.node)));
            Json::Object(entries.collect::<Map<String, Json>>())
        }
    }
}

/// A number as it was written where JSON can hold it; quantities such as `0.10` keep their digits as text.
fn number(text: &str) -> Json {
    let whole = text.parse::<i64>().ok().map(Number::from);
    let whole = whole.or_else(|| text.parse::<u64>().ok().map(Number::from));
    whole.map_or_else(|| Json::String(text.to_owned()), Json::Number)
}
