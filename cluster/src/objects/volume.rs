//! Volumes, and what decides which nodes can have them.

use std::collections::BTreeMap;

use drayage_allocator::objects::NodeSelector;
use drayage_cel::Quantity;

use super::{LabelSelector, Metadata, Origin};

/// `core/v1` `PersistentVolume`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersistentVolume {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.capacity.storage`
    pub capacity: Option<Quantity>,
    /// `spec.accessModes`
    pub access_modes: Vec<String>,
    /// `spec.volumeMode`: `Filesystem` where absent.
    pub volume_mode: String,
    /// `spec.storageClassName`
    pub storage_class_name: String,
    /// `spec.volumeAttributesClassName`
    pub attributes_class_name: String,
    /// `spec.nodeAffinity.required`
    pub node_affinity: Option<NodeSelector>,
    /// `spec.claimRef`: namespace, name and UID, which may be empty.
    pub claim: Option<(String, String, String)>,
    /// `spec.csi`: driver and handle.
    pub csi: Option<(String, String)>,
    /// `status.phase`; without a status, what the controller would say: `Available`, or `Bound` with a claim.
    pub phase: String,
}

/// `core/v1` `PersistentVolumeClaim`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersistentVolumeClaim {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// What it asks for.
    pub spec: VolumeClaimSpec,
    /// `status.phase`
    pub phase: String,
}

/// `core/v1` `PersistentVolumeClaimSpec`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeClaimSpec {
    /// `volumeName`: the volume that it has; empty where none.
    pub volume_name: String,
    /// `storageClassName`; where absent, that of the default class if there is one.
    pub storage_class_name: Option<String>,
    /// `volumeAttributesClassName`
    pub attributes_class_name: String,
    /// `accessModes`
    pub access_modes: Vec<String>,
    /// `volumeMode`: `Filesystem` where absent.
    pub volume_mode: String,
    /// `resources.requests.storage`
    pub request: Option<Quantity>,
    /// `selector`
    pub selector: Option<LabelSelector>,
}

/// `storage.k8s.io/v1` `StorageClass`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageClass {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `provisioner`
    pub provisioner: String,
    /// `volumeBindingMode` is `WaitForFirstConsumer`.
    pub waits_for_consumer: bool,
    /// `allowedTopologies`: terms of labels with their values; none allow every node.
    pub allowed_topologies: Vec<Vec<(String, Vec<String>)>>,
}

/// `storage.k8s.io/v1` `CSINode`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiNode {
    /// `metadata`; the name is that of the node.
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.drivers` by name.
    pub drivers: BTreeMap<String, CsiNodeDriver>,
}

/// `storage.k8s.io/v1` `CSINodeDriver`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiNodeDriver {
    /// `allocatable.count`: how many volumes the node can have; `None` where there is no limit.
    pub limit: Option<i64>,
    /// `topologyKeys`: labels of nodes by which volumes are reachable.
    pub topology_keys: Vec<String>,
}

/// `storage.k8s.io/v1` `CSIDriver`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiDriver {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.storageCapacity`: whether volumes are only made where a CSIStorageCapacity has room.
    pub storage_capacity: bool,
}

/// `storage.k8s.io/v1` `CSIStorageCapacity`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageCapacity {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `storageClassName`
    pub storage_class_name: String,
    /// `nodeTopology`; without it no node.
    pub node_topology: Option<LabelSelector>,
    /// `maximumVolumeSize`, or `capacity` where that is absent.
    pub limit: Option<Quantity>,
}

/// A volume of a pod that a claim provides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodVolume {
    /// Name of the claim; for an ephemeral volume that of the pod, `-`, and that of the volume.
    pub claim: PodVolumeClaim,
}

/// Which claim provides a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodVolumeClaim {
    /// `persistentVolumeClaim.claimName`
    Named(String),
    /// `ephemeral.volumeClaimTemplate.spec` of the volume of this name: a claim for this pod alone.
    Ephemeral(String, Box<VolumeClaimSpec>),
}

impl Default for PodVolumeClaim {
    fn default() -> Self {
        Self::Named(String::new())
    }
}

impl PodVolume {
    /// The claim's name for a pod of this name.
    pub fn claim_name(&self, pod: &str) -> String {
        match &self.claim {
            PodVolumeClaim::Named(name) => name.clone(),
            PodVolumeClaim::Ephemeral(volume, _) => format!("{pod}-{volume}"),
        }
    }
}
