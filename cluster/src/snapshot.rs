//! Everything that was read.

use std::fmt;
use std::sync::Arc;

use drayage_allocator::objects::{DeviceClass, ResourceSlice};

use crate::controllers;
use crate::fault::Fault;
use crate::objects::{
    Claim, ClaimTemplate, Class, CsiDriver, CsiNode, DisruptionBudget, GangWorkload, Metadata, Namespace,
    Node, ObjectReference, Origin, PersistentVolume, PersistentVolumeClaim, Pod, PodGroup, PriorityClass,
    Service, Slice, StorageCapacity, StorageClass, TaintRule, Workload,
};
use crate::source::{Place, Sources};

/// The state of a cluster as far as the input tells it.
///
/// Each list is sorted by namespace and name, so that the order of files and documents changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Nodes
    pub nodes: Vec<Node>,
    /// Pods. Whoever looks at a cluster shares them.
    pub pods: Vec<Arc<Pod>>,
    /// ResourceClaims
    pub claims: Vec<Claim>,
    /// ResourceClaimTemplates
    pub claim_templates: Vec<ClaimTemplate>,
    /// DeviceClasses
    pub classes: Vec<Class>,
    /// ResourceSlices
    pub slices: Vec<Slice>,
    /// DeviceTaintRules
    pub taint_rules: Vec<TaintRule>,
    /// Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs, by kind, namespace and name
    pub workloads: Vec<Workload>,
    /// Namespaces
    pub namespaces: Vec<Namespace>,
    /// PriorityClasses
    pub priority_classes: Vec<PriorityClass>,
    /// Services
    pub services: Vec<Service>,
    /// PodDisruptionBudgets
    pub disruption_budgets: Vec<DisruptionBudget>,
    /// PodGroups
    pub pod_groups: Vec<PodGroup>,
    /// Workloads of 1.35, which have groups of pods
    pub gang_workloads: Vec<GangWorkload>,
    /// PersistentVolumes
    pub persistent_volumes: Vec<PersistentVolume>,
    /// PersistentVolumeClaims
    pub persistent_volume_claims: Vec<PersistentVolumeClaim>,
    /// StorageClasses
    pub storage_classes: Vec<StorageClass>,
    /// CSINodes
    pub csi_nodes: Vec<CsiNode>,
    /// CSIDrivers
    pub csi_drivers: Vec<CsiDriver>,
    /// CSIStorageCapacities
    pub storage_capacities: Vec<StorageCapacity>,
    /// Node groups of Cluster API that announce devices of nodes that do not exist yet.
    pub scale_from_zero: Vec<ScaleFromZero>,
    /// What was read but has no effect on answers.
    pub ignored: Vec<Ignored>,
    /// What deserves a look but is no error.
    pub notices: Vec<Fault>,
    /// How many more notices there were.
    pub omitted_notices: usize,
    /// The texts, for places in messages.
    pub sources: Sources,
}

impl Snapshot {
    /// How many objects were read.
    pub fn object_count(&self) -> usize {
        self.nodes.len()
            + self.pods.len()
            + self.claims.len()
            + self.claim_templates.len()
            + self.classes.len()
            + self.slices.len()
            + self.taint_rules.len()
            + self.workloads.len()
            + self.namespaces.len()
            + self.priority_classes.len()
            + self.services.len()
            + self.disruption_budgets.len()
            + self.pod_groups.len()
            + self.gang_workloads.len()
            + self.persistent_volumes.len()
            + self.persistent_volume_claims.len()
            + self.storage_classes.len()
            + self.csi_nodes.len()
            + self.csi_drivers.len()
            + self.storage_capacities.len()
    }

    /// The slices for the allocator, with the taints of rules where `taint_rules` is true (gates
    /// DRADeviceTaints and DRADeviceTaintRules).
    pub fn allocator_slices(&self, taint_rules: bool) -> Vec<ResourceSlice> {
        let mut slices: Vec<ResourceSlice> =
            self.slices.iter().map(|slice| slice.spec.as_ref().clone()).collect();
        if taint_rules {
            controllers::apply_taint_rules(&mut slices, &self.taint_rules);
        }
        slices
    }

    /// The classes for the allocator.
    pub fn allocator_classes(&self) -> Vec<DeviceClass> {
        self.classes.iter().map(|class| class.spec.clone()).collect()
    }

    /// Puts pods and claims back in order after some were added.
    pub(crate) fn sort(&mut self) {
        fn key(metadata: &Metadata) -> (&str, &str) {
            (&metadata.namespace, &metadata.name)
        }
        self.pods.sort_by(|left, right| key(&left.metadata).cmp(&key(&right.metadata)));
        self.claims.sort_by(|left, right| key(&left.metadata).cmp(&key(&right.metadata)));
        self.persistent_volume_claims.sort_by(|left, right| key(&left.metadata).cmp(&key(&right.metadata)));
    }

    /// The claim of that name.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<&Claim> {
        find(&self.claims, |claim| &claim.metadata, namespace, name)
    }

    /// The claim template of that name.
    pub fn claim_template(&self, namespace: &str, name: &str) -> Option<&ClaimTemplate> {
        find(&self.claim_templates, |template| &template.metadata, namespace, name)
    }

    /// The pod of that name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        find(&self.pods, |pod| &pod.metadata, namespace, name).map(Arc::as_ref)
    }

    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<&Class> {
        find(&self.classes, |class| &class.metadata, "", name)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        find(&self.nodes, |node| &node.metadata, "", name)
    }
}

fn find<'s, T>(
    sorted: &'s [T],
    metadata: impl Fn(&T) -> &Metadata,
    namespace: &str,
    name: &str,
) -> Option<&'s T> {
    let position = sorted.binary_search_by(|object| {
        let metadata = metadata(object);
        (metadata.namespace.as_str(), metadata.name.as_str()).cmp(&(namespace, name))
    });
    position.ok().and_then(|position| sorted.get(position))
}

/// A node group of Cluster API with the annotation from which cluster-autoscaler makes the devices of a node that does
/// not exist yet. No answer depends on it; lint has something to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleFromZero {
    /// The node group, such as a MachineDeployment.
    pub object: ObjectReference,
    /// The driver that the annotation names.
    pub driver: String,
    /// Where it was read.
    pub origin: Origin,
}

impl ScaleFromZero {
    /// The annotation's key.
    pub const ANNOTATION: &str = "capacity.cluster-autoscaler.kubernetes.io/dra-driver";
}

/// Something that was read but has no effect, once for each kind and field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Why.
    pub reason: IgnoredReason,
    /// `apiVersion` and `kind` of the objects, as `v1 Service`.
    pub kind: String,
    /// The field with `[*]` for every index and key; empty where whole objects are ignored.
    pub field: String,
    /// How often it occurs.
    pub count: usize,
    /// One object that has it: the first by name.
    pub example: ObjectReference,
    /// Where that object has it.
    pub place: Option<Place>,
}

/// Why something has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IgnoredReason {
    /// No object of this kind changes an answer, or none that Drayage knows.
    Kind,
    /// No such field exists in the API, or none that Drayage knows.
    UnknownField,
    /// The field can change what the cluster does, but is not taken into account; says why.
    NotConsidered(String),
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            IgnoredReason::Kind => write!(f, "{} `{}` has no effect", self.kind, self.example_name())?,
            IgnoredReason::UnknownField => {
                write!(f, "{} `{}`: unknown field `{}`", self.kind, self.example_name(), self.field)?;
            }
            IgnoredReason::NotConsidered(why) => {
                write!(f, "{} `{}`: `{}`: {why}", self.kind, self.example_name(), self.field)?;
            }
        }
        if self.count > 1 {
            write!(f, " (and {} more)", self.count - 1)?;
        }
        Ok(())
    }
}

impl Ignored {
    fn example_name(&self) -> String {
        if self.example.namespace.is_empty() {
            self.example.name.clone()
        } else {
            format!("{}/{}", self.example.namespace, self.example.name)
        }
    }
}
