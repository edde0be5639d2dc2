//! Which fields hold names, and which matter at all.

use serde_json::{Map, Value};

use super::NameKind;
use super::names::with_tag;

/// Annotations that answers hang on, by the beginning of their keys. Their values name nobody.
const KEPT_ANNOTATIONS: [&str; 4] = [
    "resource.kubernetes.io/",
    "batch.kubernetes.io/job-completion-index",
    "cluster-autoscaler.kubernetes.io/",
    "capacity.cluster-autoscaler.kubernetes.io/",
];
const MIRROR: &str = "kubernetes.io/config.mirror";

const METADATA: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "labels",
    "annotations",
    "ownerReferences",
    "creationTimestamp",
    "deletionTimestamp",
    "resourceVersion",
];
const NODE_STATUS: [&str; 5] = ["capacity", "allocatable", "conditions", "images", "declaredFeatures"];
const WORKLOAD_SPEC: [&str; 10] = [
    "replicas",
    "ordinals",
    "selector",
    "template",
    "volumeClaimTemplates",
    "completions",
    "parallelism",
    "completionMode",
    "suspend",
    "scheduling",
];
const POD_SPEC: [&str; 20] = [
    "nodeName",
    "nodeSelector",
    "affinity",
    "topologySpreadConstraints",
    "tolerations",
    "initContainers",
    "containers",
    "overhead",
    "resources",
    "hostNetwork",
    "priority",
    "priorityClassName",
    "preemptionPolicy",
    "schedulerName",
    "schedulingGates",
    "resourceClaims",
    "terminationGracePeriodSeconds",
    "volumes",
    "workloadRef",
    "schedulingGroup",
];
const POD_STATUS: [&str; 5] =
    ["phase", "nominatedNodeName", "resourceClaimStatuses", "extendedResourceClaimStatus", "startTime"];
const CONTAINER: [&str; 5] = ["name", "image", "resources", "ports", "restartPolicy"];
const VOLUME_SPEC: [&str; 8] = [
    "capacity",
    "accessModes",
    "volumeMode",
    "storageClassName",
    "volumeAttributesClassName",
    "nodeAffinity",
    "claimRef",
    "csi",
];
const VOLUME_CLAIM_SPEC: [&str; 7] = [
    "volumeName",
    "storageClassName",
    "volumeAttributesClassName",
    "accessModes",
    "volumeMode",
    "resources",
    "selector",
];
const VOLUMES: [&str; 6] = ["name", "emptyDir", "hostPath", "persistentVolumeClaim", "ephemeral", "csi"];

/// Takes away what no answer depends on.
pub(super) fn drop_what_nothing_depends_on(kind: &str, object: &mut Value) {
    metadata(Some(object));
    match kind {
        "Node" => {
            keep(object.pointer_mut("/spec"), &["taints", "unschedulable"]);
            keep(object.pointer_mut("/status"), &NODE_STATUS);
            for condition in list(object.pointer_mut("/status/conditions")) {
                keep(Some(condition), &["type", "status"]);
            }
        }
        "Pod" => {
            pod_spec(object.pointer_mut("/spec"));
            keep(object.pointer_mut("/status"), &POD_STATUS);
        }
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
            keep(object.pointer_mut("/status"), &["succeeded", "completedIndexes", "failed", "conditions"]);
            for condition in list(object.pointer_mut("/status/conditions")) {
                keep(Some(condition), &["type", "status"]);
            }
            keep(object.pointer_mut("/spec"), &WORKLOAD_SPEC);
            for template in list(object.pointer_mut("/spec/volumeClaimTemplates")) {
                metadata(Some(template));
                keep(template.pointer_mut("/spec"), &VOLUME_CLAIM_SPEC);
                remove(template, &["status"]);
            }
            metadata(object.pointer_mut("/spec/template"));
            pod_spec(object.pointer_mut("/spec/template/spec"));
        }
        "Namespace" => remove(object, &["spec", "status"]),
        "Service" => {
            keep(object.pointer_mut("/spec"), &["selector"]);
            remove(object, &["status"]);
        }
        "PersistentVolume" => {
            keep(object.pointer_mut("/spec"), &VOLUME_SPEC);
            keep(object.pointer_mut("/spec/csi"), &["driver", "volumeHandle"]);
            keep(object.pointer_mut("/status"), &["phase"]);
        }
        "PersistentVolumeClaim" => {
            keep(object.pointer_mut("/spec"), &VOLUME_CLAIM_SPEC);
            keep(object.pointer_mut("/status"), &["phase"]);
        }
        "StorageClass" => remove(object, &["parameters", "mountOptions"]),
        "CSINode" => {
            for driver in list(object.pointer_mut("/spec/drivers")) {
                remove(driver, &["nodeID"]);
            }
        }
        "PriorityClass" => remove(object, &["description"]),
        "PodDisruptionBudget" => keep(object.pointer_mut("/status"), &["disruptionsAllowed"]),
        "ResourceClaim" | "ResourceClaimTemplate" | "DeviceClass" => {
            metadata(object.pointer_mut("/spec"));
            opaque(object);
            for device in list(object.pointer_mut("/status/devices")) {
                remove(device, &["data", "networkData"]);
            }
        }
        _ => {}
    }
}

fn metadata(object: Option<&mut Value>) {
    let Some(Value::Object(metadata)) = object.and_then(|object| object.get_mut("metadata")) else { return };
    metadata.retain(|key, _| METADATA.contains(&key.as_str()));
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations
            .retain(|key, _| key == MIRROR || KEPT_ANNOTATIONS.iter().any(|kept| key.starts_with(kept)));
        if let Some(value) = annotations.get_mut(MIRROR) {
            *value = "mirror".into();
        }
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

fn pod_spec(spec: Option<&mut Value>) {
    let Some(spec) = spec else { return };
    keep(Some(spec), &POD_SPEC);
    for (field, prefix) in [("initContainers", "i"), ("containers", "c")] {
        for (number, container) in list(spec.get_mut(field)).iter_mut().enumerate() {
            keep(Some(container), &CONTAINER);
            if let Some(name) = container.get_mut("name") {
                *name = format!("{prefix}{number}").into();
            }
            for port in list(container.get_mut("ports")) {
                remove(port, &["name"]);
            }
        }
    }
    for volume in list(spec.get_mut("volumes")) {
        keep(Some(volume), &VOLUMES);
        if let Some(path) = volume.get_mut("hostPath") {
            *path = serde_json::json!({"path": "/"});
        }
        keep(volume.get_mut("csi"), &["driver"]);
    }
    // A volume of a kind that has no part in scheduling says nothing.
    if let Some(Value::Array(volumes)) = spec.get_mut("volumes") {
        volumes.retain(|volume| volume.as_object().is_some_and(|fields| fields.len() > 1));
    }
}

/// Parameters of drivers may hold anything.
fn opaque(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if key == "parameters" {
                    *value = serde_json::json!({"apiVersion": "v1", "kind": "Dropped"});
                } else {
                    opaque(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(opaque),
        _ => {}
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what they looked up")]
fn keep(value: Option<&mut Value>, fields: &[&str]) {
    if let Some(Value::Object(map)) = value {
        map.retain(|key, _| fields.contains(&key.as_str()));
    }
}

fn remove(value: &mut Value, fields: &[&str]) {
    if let Value::Object(map) = value {
        map.retain(|key, _| !fields.contains(&key.as_str()));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what they looked up")]
fn list(value: Option<&mut Value>) -> &mut [Value] {
    match value {
        Some(Value::Array(items)) => items,
        _ => &mut [],
    }
}

/// Goes through all texts that are names.
pub(super) fn visit(kind: &str, object: &mut Value, visitor: &mut impl FnMut(NameKind, &mut String)) {
    let own = of_object(kind);
    if let Value::Object(fields) = object {
        for (key, value) in fields.iter_mut() {
            match key.as_str() {
                "metadata" => metadata_names(own, value, visitor),
                "apiVersion" | "kind" => {}
                _ => inner(kind, key, value, visitor),
            }
        }
    }
}

fn of_object(kind: &str) -> NameKind {
    match kind {
        "Namespace" => NameKind::Namespace,
        "Node" | "CSINode" => NameKind::Node,
        // Others name it as the driver that it is.
        "CSIDriver" => NameKind::Resource,
        "Pod" | "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "pods" => {
            NameKind::Workload
        }
        "ResourceClaim" | "ResourceClaimTemplate" | "PersistentVolumeClaim" => NameKind::Claim,
        "DeviceClass" => NameKind::Class,
        "ResourceSlice" => NameKind::Slice,
        _ => NameKind::Object,
    }
}

fn metadata_names(own: NameKind, metadata: &mut Value, visitor: &mut impl FnMut(NameKind, &mut String)) {
    let Value::Object(fields) = metadata else { return };
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), value) {
            ("name", Value::String(text)) => visitor(own, text),
            ("namespace", Value::String(text)) => visitor(NameKind::Namespace, text),
            ("uid", Value::String(text)) => visitor(NameKind::Uid, text),
            ("labels", Value::Object(labels)) => label_values(labels, visitor),
            ("ownerReferences", Value::Array(owners)) => {
                for owner in owners {
                    let kind = owner.get("kind").and_then(Value::as_str).map_or(NameKind::Object, of_object);
                    text(owner.get_mut("name"), kind, visitor);
                    text(owner.get_mut("uid"), NameKind::Uid, visitor);
                }
            }
            _ => {}
        }
    }
}

/// Labels that name a pod, as StatefulSets set them.
const NAMES_POD: &str = "statefulset.kubernetes.io/pod-name";
const NAMES_NAMESPACE: &str = "kubernetes.io/metadata.name";

fn label_values(labels: &mut Map<String, Value>, visitor: &mut impl FnMut(NameKind, &mut String)) {
    for (key, value) in labels {
        let kind = match key.as_str() {
            NAMES_POD => NameKind::Workload,
            NAMES_NAMESPACE => NameKind::Namespace,
            _ => NameKind::Value,
        };
        text(Some(value), kind, visitor);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what they looked up")]
fn text(value: Option<&mut Value>, kind: NameKind, visitor: &mut impl FnMut(NameKind, &mut String)) {
    if let Some(Value::String(text)) = value {
        if kind == NameKind::Image {
            *text = with_tag(text);
        }
        visitor(kind, text);
    }
}

fn texts(value: Option<&mut Value>, kind: NameKind, visitor: &mut impl FnMut(NameKind, &mut String)) {
    for value in list(value) {
        text(Some(value), kind, visitor);
    }
}

/// A field below `spec` or `status`.
fn inner(kind: &str, key: &str, value: &mut Value, visitor: &mut impl FnMut(NameKind, &mut String)) {
    match (key, &mut *value) {
        ("nodeName" | "nominatedNodeName", _) | ("pool", Value::String(_)) => {
            text(Some(value), NameKind::Node, visitor);
        }
        ("resourceClaimName" | "resourceClaimTemplateName" | "claimName", _) => {
            text(Some(value), NameKind::Claim, visitor);
        }
        ("deviceClassName", _) => text(Some(value), NameKind::Class, visitor),
        ("priorityClassName", Value::String(name)) if name.starts_with("system-") => {}
        ("schedulerName", Value::String(name)) if name == "default-scheduler" => {}
        ("storageClassName", Value::String(name)) if name.is_empty() => {}
        ("volumeHandle", _) => text(Some(value), NameKind::Uid, visitor),
        // The names of the claims of a StatefulSet and of ephemeral volumes are made of these.
        ("volumeClaimTemplates", Value::Array(templates)) => {
            for template in templates {
                if let Some(metadata) = template.get_mut("metadata") {
                    metadata_names(NameKind::Claim, metadata, visitor);
                }
                if let Some(spec) = template.get_mut("spec") {
                    inner(kind, "spec", spec, visitor);
                }
            }
        }
        ("volumes", Value::Array(volumes)) => {
            for volume in volumes {
                text(volume.get_mut("name"), NameKind::Claim, visitor);
                inner(kind, "volume", volume, visitor);
            }
        }
        ("claimRef", _) => metadata_names(NameKind::Claim, value, visitor),
        ("matchLabelExpressions", Value::Array(requirements)) => {
            for requirement in requirements {
                texts(requirement.get_mut("values"), NameKind::Value, visitor);
            }
        }
        (
            "priorityClassName"
            | "schedulerName"
            | "storageClassName"
            | "volumeAttributesClassName"
            | "volumeName"
            | "podGroupName",
            _,
        ) => text(Some(value), NameKind::Object, visitor),
        ("image", _) => text(Some(value), NameKind::Image, visitor),
        ("namespaces", _) => texts(Some(value), NameKind::Namespace, visitor),
        ("pool", Value::Object(pool)) => {
            text(pool.get_mut("name"), NameKind::Node, visitor);
        }
        ("images", Value::Array(images)) => {
            for image in images {
                texts(image.get_mut("names"), NameKind::Image, visitor);
            }
        }
        ("labels" | "matchLabels", Value::Object(labels)) => label_values(labels, visitor),
        // Of pods and of services; those of slices are lists of terms.
        ("nodeSelector", Value::Object(labels)) if !labels.contains_key("nodeSelectorTerms") => {
            label_values(labels, visitor);
        }
        ("selector", Value::Object(labels)) if kind == "Service" => label_values(labels, visitor),
        ("requests" | "limits" | "capacity" | "allocatable" | "overhead", Value::Object(amounts))
            if kind != "ResourceSlice" && kind != "ResourceClaim" && kind != "ResourceClaimTemplate" =>
        {
            let named = std::mem::take(amounts).into_iter().map(|(mut name, amount)| {
                visitor(NameKind::Resource, &mut name);
                (name, amount)
            });
            *amounts = named.collect();
        }
        ("matchExpressions", Value::Array(requirements)) => {
            for requirement in requirements {
                let of_namespace = requirement.get("key").is_some_and(|key| key == NAMES_NAMESPACE);
                let kind = if of_namespace { NameKind::Namespace } else { NameKind::Value };
                texts(requirement.get_mut("values"), kind, visitor);
            }
        }
        ("matchFields", Value::Array(requirements)) => {
            for requirement in requirements {
                texts(requirement.get_mut("values"), NameKind::Node, visitor);
            }
        }
        ("taints" | "tolerations", Value::Array(items)) => {
            for item in items {
                text(item.get_mut("value"), NameKind::Value, visitor);
            }
        }
        ("taint", Value::Object(taint)) => {
            text(taint.get_mut("value"), NameKind::Value, visitor);
        }
        ("reservedFor", Value::Array(consumers)) => {
            for consumer in consumers {
                let kind =
                    consumer.get("resource").and_then(Value::as_str).map_or(NameKind::Object, of_object);
                text(consumer.get_mut("name"), kind, visitor);
                text(consumer.get_mut("uid"), NameKind::Uid, visitor);
            }
        }
        // What drivers say of devices, and expressions about it.
        ("attributes" | "cel", _) => {}
        ("metadata", _) => metadata_names(NameKind::Object, value, visitor),
        (_, Value::Object(fields)) => {
            for (key, value) in fields.iter_mut() {
                inner(kind, key, value, visitor);
            }
        }
        (_, Value::Array(items)) => {
            for item in items {
                inner(kind, "", item, visitor);
            }
        }
        _ => {}
    }
}
