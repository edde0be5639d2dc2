//! The objects of a snapshot: what Drayage needs of each kind, in one shape for all served versions.
//!
//! The device parts are the allocator's own types; around them stand metadata, status and the [`Origin`], from
//! which later stages learn file, line and column of any field.

mod disruption;
mod group;
mod metadata;
mod node;
mod pod;
mod resource;
mod spread;
mod volume;
mod workload;

pub use disruption::{DisruptionBudget, LabelSelector, PodNumber};
pub use group::{GangWorkload, PodGroup, WorkloadReference};
pub use metadata::{Metadata, ObjectReference, OwnerReference};
pub use node::{Node, Taint};
pub use pod::{
    Container, ContainerClaim, ContainerPort, ExtendedResourceClaimStatus, ExtendedResourceMapping,
    NodeAffinity, Pod, PodResourceClaim, PodResourceClaimStatus, PodSpec, PodStatus, PreferredNodeTerm,
    ResourceRequirements, Toleration,
};
pub use resource::{
    AllocatedDeviceStatus, Claim, ClaimTemplate, Class, Condition, ConsumerReference, Slice, TaintRule,
};
pub use spread::{PodAffinity, PodAffinityTerm, TopologySpreadConstraint};
pub use volume::{
    CsiDriver, CsiNode, CsiNodeDriver, PersistentVolume, PersistentVolumeClaim, PodVolume, PodVolumeClaim,
    StorageCapacity, StorageClass, VolumeClaimSpec,
};
pub use workload::{Namespace, PodTemplate, PriorityClass, Service, Workload, WorkloadKind, WorkloadSize};

pub use crate::source::Origin;
