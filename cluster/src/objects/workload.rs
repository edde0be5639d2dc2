//! Workloads and the small kinds that pods refer to.

use std::collections::BTreeMap;

use super::{LabelSelector, Metadata, Origin, PersistentVolumeClaim, PodSpec};

/// A Deployment, ReplicaSet, StatefulSet, DaemonSet or Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// Which kind.
    pub kind: WorkloadKind,
    /// How many pods it wants.
    pub size: WorkloadSize,
    /// `spec.selector`
    pub selector: Option<LabelSelector>,
    /// `spec.template`
    pub template: PodTemplate,
    /// `spec.volumeClaimTemplates` of a StatefulSet: a claim of each for every pod.
    pub volume_claim_templates: Vec<PersistentVolumeClaim>,
}

/// The kinds of [`Workload`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// `apps/v1` `Deployment`
    #[default]
    Deployment,
    /// `apps/v1` `ReplicaSet`
    ReplicaSet,
    /// `apps/v1` `StatefulSet`
    StatefulSet,
    /// `apps/v1` `DaemonSet`
    DaemonSet,
    /// `batch/v1` `Job`
    Job,
}

impl WorkloadKind {
    /// The `kind` of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
        }
    }

    /// The `apiVersion`.
    pub fn api_version(self) -> &'static str {
        if self == Self::Job { "batch/v1" } else { "apps/v1" }
    }
}

/// How many pods a workload wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadSize {
    /// `replicas`, numbered from `first` where pods have ordinals (`spec.ordinals.start` of a StatefulSet).
    Replicas {
        /// Number of pods.
        count: u32,
        /// Ordinal of the first.
        first: u32,
    },
    /// One for each node that fits.
    OnePerNode,
    /// A Job.
    Completions {
        /// How many pods may run at once, and with fewer completions needed, that number.
        pods: u32,
        /// `completionMode: Indexed`
        indexed: bool,
        /// `suspend`: no pods for now.
        suspended: bool,
    },
}

impl Default for WorkloadSize {
    fn default() -> Self {
        Self::Replicas { count: 1, first: 0 }
    }
}

/// `spec.template` of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTemplate {
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`
    pub annotations: BTreeMap<String, String>,
    /// `spec`
    pub spec: PodSpec,
}

/// `core/v1` `Service`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.selector`; `None` selects no pod.
    pub selector: Option<BTreeMap<String, String>>,
}

/// `core/v1` `Namespace`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
}

/// `scheduling.k8s.io/v1` `PriorityClass`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriorityClass {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `value`
    pub value: i32,
    /// `globalDefault`
    pub global_default: bool,
    /// `preemptionPolicy`: `PreemptLowerPriority` where absent.
    pub preemption_policy: String,
}
