//! Where objects of a kind are in the API.

use serde_json::Value;

/// A kind that clusters are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) api_version: &'static str,
    pub(crate) name: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) namespaced: bool,
}

const fn kind(api_version: &'static str, name: &'static str, plural: &'static str, namespaced: bool) -> Kind {
    Kind { api_version, name, plural, namespaced }
}

/// Everything that a decision of the scheduler can depend on, in an order in which it can be created.
pub(crate) const KINDS: [Kind; 23] = [
    kind("v1", "Namespace", "namespaces", false),
    kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false),
    kind("resource.k8s.io/v1", "DeviceClass", "deviceclasses", false),
    kind("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates", true),
    kind("resource.k8s.io/v1", "ResourceClaim", "resourceclaims", true),
    kind("storage.k8s.io/v1", "StorageClass", "storageclasses", false),
    kind("storage.k8s.io/v1", "CSIDriver", "csidrivers", false),
    kind("v1", "PersistentVolume", "persistentvolumes", false),
    kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    kind("v1", "Service", "services", true),
    kind("apps/v1", "ReplicaSet", "replicasets", true),
    kind("apps/v1", "StatefulSet", "statefulsets", true),
    kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    kind("v1", "Node", "nodes", false),
    kind("storage.k8s.io/v1", "CSINode", "csinodes", false),
    kind("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities", true),
    kind("resource.k8s.io/v1", "ResourceSlice", "resourceslices", false),
    kind("v1", "Pod", "pods", true),
    // Only where the objects of files are sent, not in snapshots.
    kind("apps/v1", "Deployment", "deployments", true),
    kind("apps/v1", "DaemonSet", "daemonsets", true),
    kind("batch/v1", "Job", "jobs", true),
    kind("v1", "ConfigMap", "configmaps", true),
    kind("resource.k8s.io/v1", "DeviceTaintRule", "devicetaintrules", false),
];

/// How many of [`KINDS`] a snapshot has.
const IN_SNAPSHOTS: usize = 18;

/// The kinds of a snapshot.
pub(crate) fn in_snapshots() -> impl DoubleEndedIterator<Item = Kind> {
    KINDS.into_iter().take(IN_SNAPSHOTS)
}

/// The kind of an object, with the API version that it has.
pub(crate) fn of(object: &Value) -> Option<(Kind, &str)> {
    let (name, version) = (object["kind"].as_str()?, object["apiVersion"].as_str()?);
    let group = |version: &str| version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    let known = |kind: &Kind| kind.name == name && group(kind.api_version) == group(version);
    KINDS.into_iter().find(known).map(|kind| (kind, version))
}

/// The path of a kind's objects in an API version, of all namespaces where `namespace` is `None`.
pub(crate) fn path(kind: Kind, api_version: &str, namespace: Option<&str>) -> String {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    match namespace.filter(|_| kind.namespaced) {
        Some(namespace) => format!("/{root}/{api_version}/namespaces/{namespace}/{}", kind.plural),
        None => format!("/{root}/{api_version}/{}", kind.plural),
    }
}

/// The namespace of an object, `default` where it says none.
pub(crate) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or("default")
}

/// The path of one object.
pub(crate) fn object_path(object: &Value) -> Option<String> {
    let (kind, version) = of(object)?;
    let name = object["metadata"]["name"].as_str()?;
    Some(format!("{}/{name}", path(kind, version, Some(namespace(object)))))
}
