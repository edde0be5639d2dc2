//! What all objects have.

use std::collections::BTreeMap;
use std::fmt;

/// `metadata` of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `name`
    pub name: String,
    /// `namespace`; empty for cluster-wide kinds, `default` where a namespaced object names none.
    pub namespace: String,
    /// `uid`. Where the input has none, a stable stand-in made of kind, namespace and name.
    pub uid: String,
    /// `labels`
    pub labels: BTreeMap<String, String>,
    /// `annotations`
    pub annotations: BTreeMap<String, String>,
    /// `ownerReferences`
    pub owner_references: Vec<OwnerReference>,
    /// `creationTimestamp` as written, RFC 3339 in UTC, so that text order is time order.
    pub creation_timestamp: Option<String>,
    /// `deletionTimestamp`: the object is about to go.
    pub deletion_timestamp: Option<String>,
    /// `resourceVersion` as written.
    pub resource_version: Option<String>,
}

impl Metadata {
    /// `namespace/name`, or the name of a cluster-wide object.
    pub fn full_name(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }

    /// The owner that is marked as controller.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// One of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerReference {
    /// `apiVersion`
    pub api_version: String,
    /// `kind`
    pub kind: String,
    /// `name`
    pub name: String,
    /// `uid`
    pub uid: String,
    /// `controller`
    pub controller: bool,
    /// `blockOwnerDeletion`
    pub block_owner_deletion: bool,
}

/// Names an object to a reader: kind, namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectReference {
    /// `kind`
    pub kind: String,
    /// Namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Name; may be empty where the object has none.
    pub name: String,
}

impl fmt::Display for ObjectReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.namespace.as_str(), self.name.as_str()) {
            (_, "") => f.write_str(&self.kind),
            ("", name) => write!(f, "{} `{name}`", self.kind),
            (namespace, name) => write!(f, "{} `{namespace}/{name}`", self.kind),
        }
    }
}
