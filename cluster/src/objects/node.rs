//! Nodes.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::Quantity;

use super::{Metadata, Origin};

/// `core/v1` `Node`, as far as scheduling looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata`
    pub metadata: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.unschedulable`
    pub unschedulable: bool,
    /// `spec.taints`
    pub taints: Vec<Taint>,
    /// `status.capacity`; where that is absent, `status.allocatable`.
    pub capacity: BTreeMap<String, Quantity>,
    /// `status.allocatable`; where that is absent, `status.capacity`, as the API server defaults it.
    pub allocatable: BTreeMap<String, Quantity>,
    /// Whether condition `Ready` is `True`; `None` where the object has no such condition.
    pub ready: Option<bool>,
    /// `status.images`: the names of each image that is there, and its size in bytes.
    pub images: Vec<(Vec<String>, i64)>,
    /// `status.declaredFeatures`
    pub declared_features: BTreeSet<String>,
}

impl Node {
    /// What the allocator looks at.
    pub fn for_allocator(&self) -> drayage_allocator::objects::Node {
        drayage_allocator::objects::Node {
            name: self.metadata.name.clone(),
            labels: self.metadata.labels.clone(),
            declared_features: self.declared_features.clone(),
        }
    }
}

/// `core/v1` `Taint`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taint {
    /// `key`
    pub key: String,
    /// `value`
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}
