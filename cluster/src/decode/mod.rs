//! From documents to typed objects, every served version into one shape.
//!
//! Reading is lenient about content: what the API server would refuse, but what has a meaning, is kept as it is
//! (see [`crate::validate`]); only values of the wrong type are errors here. Defaults are those of the API server.

pub(crate) mod claim;
pub(crate) mod class;
pub(crate) mod common;
pub(crate) mod disruption;
pub(crate) mod group;
pub(crate) mod metadata;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod resource;
pub(crate) mod result;
pub(crate) mod slice;
pub(crate) mod spread;
pub(crate) mod volume;
pub(crate) mod workload;

/// The versions of `resource.k8s.io` that were ever served. `v1beta2` and `v1` have the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ResourceVersion {
    /// 1.26 to 1.33; claims by structured parameters since 1.31.
    V1Alpha3,
    /// 1.32 and later.
    V1Beta1,
    /// 1.33 and later.
    V1Beta2,
    /// 1.34 and later.
    V1,
}

impl ResourceVersion {
    /// From the version part of `apiVersion`.
    pub(crate) fn from_text(version: &str) -> Option<Self> {
        match version {
            "v1" => Some(Self::V1),
            "v1beta2" => Some(Self::V1Beta2),
            "v1beta1" => Some(Self::V1Beta1),
            "v1alpha3" => Some(Self::V1Alpha3),
            _ => None,
        }
    }

    /// The version part of `apiVersion`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta2 => "v1beta2",
            Self::V1Beta1 => "v1beta1",
            Self::V1Alpha3 => "v1alpha3",
        }
    }

    /// Whether requests have their `exactly` block and devices have their attributes directly.
    pub(crate) fn has_current_shape(self) -> bool {
        self >= Self::V1Beta2
    }
}
