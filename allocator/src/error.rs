//! Errors that end an allocation.

use std::fmt;

/// Why an allocation ended with an error instead of an answer.
///
/// The scheduler stops trying other nodes for the pod on any of these but
/// [`InvalidPools`](ErrorKind::InvalidPools). The text follows upstream's where upstream has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AllocationError {
    kind: ErrorKind,
    message: String,
}

impl AllocationError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The error of a node where nothing fits and a pool is invalid. Upstream reports it like an error, and
    /// scheduling goes on with other nodes.
    pub fn invalid_pools() -> Self {
        Self::new(ErrorKind::InvalidPools, "invalid resource pools were encountered")
    }

    /// What kind of error it is, stable across versions.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// Kinds of [`AllocationError`]. They print as stable kebab-case text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// A node selector of a slice or device cannot be parsed.
    NodeSelector,
    /// A request has alternatives, and gate DRAPrioritizedList is off.
    PrioritizedListDisabled,
    /// A request has a capacity block, and gate DRAConsumableCapacity is off.
    ConsumableCapacityDisabled,
    /// A request sets `adminAccess`, and gate DRAAdminAccess is off.
    AdminAccessDisabled,
    /// A request has neither `exactly` nor `firstAvailable`.
    EmptyRequest,
    /// A selector is not a CEL selector.
    UnknownSelector,
    /// A request names no class.
    MissingClassName,
    /// A request's class does not exist.
    ClassNotFound,
    /// A request's allocation mode is not known.
    UnknownAllocationMode,
    /// A request asks for all devices while a pool is incomplete.
    PoolIncomplete,
    /// A request asks for all devices while a pool is invalid; in 1.34 any search that gets to an invalid pool.
    PoolInvalid,
    /// A claim needs more devices than one allocation result holds.
    TooManyDevices,
    /// A constraint is neither `matchAttribute` nor `distinctAttribute`.
    UnknownConstraint,
    /// A CEL expression does not compile.
    CelCompile,
    /// A CEL expression fails on a device.
    CelRuntime,
    /// What a request asks of a device's capacity cannot be computed, or is negative.
    Capacity,
    /// A request has derived attributes, and gate DRADerivedAttributes is off.
    DerivedAttributesDisabled,
    /// A constraint refuses a device of a request for all devices.
    AllDevicesConstraint,
    /// A chosen device has a node selector with more than one term.
    NodeSelectorTerms,
    /// Nothing fits, and a pool of the node is invalid.
    InvalidPools,
    /// Upstream's own code ends with a panic on this input, as 1.34 does where it looks at a device that its slice
    /// does not have.
    Panic,
}

impl ErrorKind {
    /// The stable text of the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodeSelector => "node-selector",
            Self::PrioritizedListDisabled => "prioritized-list-disabled",
            Self::ConsumableCapacityDisabled => "consumable-capacity-disabled",
            Self::AdminAccessDisabled => "admin-access-disabled",
            Self::EmptyRequest => "empty-request",
            Self::UnknownSelector => "unknown-selector",
            Self::MissingClassName => "missing-class-name",
            Self::ClassNotFound => "class-not-found",
            Self::UnknownAllocationMode => "unknown-allocation-mode",
            Self::PoolIncomplete => "pool-incomplete",
            Self::PoolInvalid => "pool-invalid",
            Self::TooManyDevices => "too-many-devices",
            Self::UnknownConstraint => "unknown-constraint",
            Self::CelCompile => "cel-compile",
            Self::CelRuntime => "cel-runtime",
            Self::Capacity => "capacity",
            Self::DerivedAttributesDisabled => "derived-attributes-disabled",
            Self::AllDevicesConstraint => "all-devices-constraint",
            Self::NodeSelectorTerms => "node-selector-terms",
            Self::InvalidPools => "invalid-pools",
            Self::Panic => "panic",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
