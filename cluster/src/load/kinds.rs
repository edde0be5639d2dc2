//! Which kinds are read, in which versions.

use crate::decode::ResourceVersion;
use crate::objects::WorkloadKind;

/// What to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Node,
    Pod,
    Namespace,
    PriorityClass,
    Service,
    DisruptionBudget,
    PodGroup,
    GangWorkload,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CsiNode,
    CsiDriver,
    StorageCapacity,
    Workload(WorkloadKind),
    Claim(ResourceVersion),
    ClaimTemplate(ResourceVersion),
    Class,
    Slice(ResourceVersion),
    TaintRule,
    /// `kind: List`, or a list of one kind.
    List,
    /// Nothing depends on it.
    Ignored,
}

impl Kind {
    /// Whether objects live in a namespace.
    pub(super) fn is_namespaced(self) -> bool {
        matches!(
            self,
            Self::Pod
                | Self::Service
                | Self::Workload(_)
                | Self::Claim(_)
                | Self::ClaimTemplate(_)
                | Self::DisruptionBudget
                | Self::PersistentVolumeClaim
                | Self::PodGroup
                | Self::GangWorkload
                | Self::StorageCapacity
        )
    }
}

/// An `apiVersion` that a known kind never had, or a kind in the wrong letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KindError {
    /// Whether the fault is in `kind`; else in `apiVersion`.
    pub(super) in_kind: bool,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Kinds, their group, and the versions that are read.
const KNOWN: &[(&str, &str, &[&str])] = &[
    ("Node", "", &["v1"]),
    ("Pod", "", &["v1"]),
    ("Namespace", "", &["v1"]),
    ("Service", "", &["v1"]),
    ("List", "", &["v1"]),
    ("PriorityClass", "scheduling.k8s.io", &["v1"]),
    ("PodDisruptionBudget", "policy", &["v1"]),
    ("PodGroup", "scheduling.k8s.io", &["v1beta1", "v1alpha3", "v1alpha2"]),
    ("Workload", "scheduling.k8s.io", &["v1beta1", "v1alpha3", "v1alpha2", "v1alpha1"]),
    ("PodGroup", "scheduling.x-k8s.io", &["v1alpha1"]),
    ("PersistentVolume", "", &["v1"]),
    ("PersistentVolumeClaim", "", &["v1"]),
    ("StorageClass", "storage.k8s.io", &["v1"]),
    ("CSINode", "storage.k8s.io", &["v1"]),
    ("CSIDriver", "storage.k8s.io", &["v1"]),
    ("CSIStorageCapacity", "storage.k8s.io", &["v1"]),
    ("Deployment", "apps", &["v1"]),
    ("ReplicaSet", "apps", &["v1"]),
    ("StatefulSet", "apps", &["v1"]),
    ("DaemonSet", "apps", &["v1"]),
    ("Job", "batch", &["v1"]),
    ("CronJob", "batch", &["v1"]),
    ("ResourceClaim", "resource.k8s.io", &["v1", "v1beta2", "v1beta1", "v1alpha3"]),
    ("ResourceClaimTemplate", "resource.k8s.io", &["v1", "v1beta2", "v1beta1", "v1alpha3"]),
    ("DeviceClass", "resource.k8s.io", &["v1", "v1beta2", "v1beta1", "v1alpha3"]),
    ("ResourceSlice", "resource.k8s.io", &["v1", "v1beta2", "v1beta1", "v1alpha3"]),
    ("DeviceTaintRule", "resource.k8s.io", &["v1", "v1beta2", "v1alpha3"]),
    ("ResourcePoolStatusRequest", "resource.k8s.io", &["v1alpha3", "v1beta2", "v1"]),
];

/// The kinds of objects on which answers depend, each with its group and the versions that are read.
#[cfg(feature = "live")]
pub(crate) fn known_kinds() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    let has_effect = |kind: &str| !["List", "CronJob", "ResourcePoolStatusRequest"].contains(&kind);
    KNOWN.iter().copied().filter(move |(kind, _, _)| has_effect(kind))
}

/// Classifies an object by its `apiVersion` and `kind`.
pub(super) fn classify(api_version: &str, kind: &str) -> Result<Kind, KindError> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let singular = kind.strip_suffix("List").filter(|singular| !singular.is_empty()).unwrap_or(kind);
    let Some((known, _, versions)) = KNOWN
        .iter()
        .find(|(known, known_group, _)| *known_group == group && known.eq_ignore_ascii_case(singular))
    else {
        return unknown(api_version, kind, group, singular);
    };
    if *known != singular {
        return Err(KindError {
            in_kind: true,
            message: format!("`{kind}` is not a kind"),
            hint: format!("did you mean `{known}`?"),
        });
    }
    if !versions.contains(&version) {
        return Err(KindError {
            in_kind: false,
            message: format!("`{api_version}` is no version of {known} that is read"),
            hint: format!(
                "{} read: {}",
                if versions.len() == 1 { "the version" } else { "versions" },
                join(group, versions)
            ),
        });
    }
    if singular != kind {
        return Ok(Kind::List);
    }
    let resource = || ResourceVersion::from_text(version).unwrap_or(ResourceVersion::V1);
    Ok(match *known {
        "Node" => Kind::Node,
        "Pod" => Kind::Pod,
        "Namespace" => Kind::Namespace,
        "Service" => Kind::Service,
        "List" => Kind::List,
        "PriorityClass" => Kind::PriorityClass,
        "PodDisruptionBudget" => Kind::DisruptionBudget,
        "PodGroup" => Kind::PodGroup,
        // Later ones are templates.
        "Workload" if version == "v1alpha1" => Kind::GangWorkload,
        "PersistentVolume" => Kind::PersistentVolume,
        "PersistentVolumeClaim" => Kind::PersistentVolumeClaim,
        "StorageClass" => Kind::StorageClass,
        "CSINode" => Kind::CsiNode,
        "CSIDriver" => Kind::CsiDriver,
        "CSIStorageCapacity" => Kind::StorageCapacity,
        "Deployment" => Kind::Workload(WorkloadKind::Deployment),
        "ReplicaSet" => Kind::Workload(WorkloadKind::ReplicaSet),
        "StatefulSet" => Kind::Workload(WorkloadKind::StatefulSet),
        "DaemonSet" => Kind::Workload(WorkloadKind::DaemonSet),
        "Job" => Kind::Workload(WorkloadKind::Job),
        "ResourceClaim" => Kind::Claim(resource()),
        "ResourceClaimTemplate" => Kind::ClaimTemplate(resource()),
        "DeviceClass" => Kind::Class,
        "ResourceSlice" => Kind::Slice(resource()),
        "DeviceTaintRule" => Kind::TaintRule,
        _ => Kind::Ignored,
    })
}

fn unknown(api_version: &str, kind: &str, group: &str, singular: &str) -> Result<Kind, KindError> {
    let elsewhere = KNOWN.iter().find(|(known, _, _)| *known == singular);
    if let Some((known, known_group, versions)) = elsewhere
        && is_mistaken_group(group)
    {
        return Err(KindError {
            in_kind: false,
            message: format!("`{api_version}` has no kind {known}"),
            hint: format!("{known} is in {}", join(known_group, versions)),
        });
    }
    if group == "resource.k8s.io" {
        return Err(KindError {
            in_kind: true,
            message: format!("`{kind}` is not a kind of {group}"),
            hint: "kinds are ResourceClaim, ResourceClaimTemplate, DeviceClass, ResourceSlice and DeviceTaintRule"
                .to_owned(),
        });
    }
    Ok(Kind::Ignored)
}

/// Another project may have a kind of the same name in its own group; Kubernetes' own groups do not.
fn is_mistaken_group(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

fn join(group: &str, versions: &[&str]) -> String {
    let full = |version: &&str| {
        if group.is_empty() { format!("`{version}`") } else { format!("`{group}/{version}`") }
    };
    versions.iter().map(full).collect::<Vec<_>>().join(", ")
}

/// The kind of the elements of a typed list; `None` for `kind: List`, whose elements say it themselves.
pub(super) fn element_kind(list_kind: &str) -> Option<&str> {
    list_kind.strip_suffix("List").filter(|kind| !kind.is_empty())
}
