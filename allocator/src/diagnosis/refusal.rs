//! Reasons why one device cannot serve one request.

use crate::objects::{AttributeValue, DeviceId, Quantity};

/// Why a device cannot serve a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The device needs a feature that is off.
    GateOff {
        /// The feature gate.
        gate: &'static str,
    },
    /// A selector is false, or fails.
    Selector {
        /// Whose selector.
        source: SelectorSource,
        /// Its place in the list.
        index: usize,
        /// Its text.
        expression: String,
        /// Whether it failed instead of being false.
        failed: bool,
    },
    /// The device's own node selection leaves the node out.
    NodeSelection,
    /// Somebody has the device.
    InUse {
        /// Who.
        by: Holder,
    },
    /// The request names a capacity the device does not have.
    CapacityMissing {
        /// Name of the capacity.
        capacity: String,
    },
    /// The amount is not one that the capacity's policy allows.
    CapacityPolicy {
        /// Name of the capacity.
        capacity: String,
        /// The amount after rounding.
        amount: Quantity,
    },
    /// Too little of a capacity is left.
    Capacity {
        /// Name of the capacity.
        capacity: String,
        /// Needed and left.
        amounts: Amounts,
    },
    /// Its slice lets the kubelet skip operations, which the node does not declare or the gate does not allow.
    NodeOperations,
    /// Its compatibility groups do not go with those of the other devices on a counter set.
    Groups {
        /// Name of the counter set.
        counter_set: String,
    },
    /// Too little of a counter of the pool is left. If the device does not consume that counter, nothing is
    /// needed, and other claims have more than there is, which blocks every device of the pool that consumes
    /// counters.
    Counters {
        /// Name of the counter set.
        counter_set: String,
        /// Name of the counter.
        counter: String,
        /// Needed and left.
        amounts: Amounts,
    },
    /// A taint is not tolerated.
    Taint {
        /// `key=value:effect`, or `key:effect` without a value.
        taint: String,
    },
    /// A constraint of the claim does not hold.
    Constraint {
        /// Its place in the claim's list.
        index: usize,
        /// Whether it is `matchAttribute`; `distinctAttribute` otherwise.
        is_match: bool,
        /// The attribute.
        attribute: String,
        /// The device's value; `None` where it does not have the attribute.
        value: Option<AttributeValue>,
        /// The device it does not go together with, and that one's value.
        other: Option<(DeviceId, AttributeValue)>,
    },
    /// One more device would be more than the 32 that a claim can hold.
    Limit,
    /// Nothing speaks against the device by itself, but no choice of devices with it works out.
    Combination,
}

/// Whose selector it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorSource {
    /// The device class.
    Class,
    /// The request or alternative.
    Request,
}

/// Who has a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An allocated claim.
    OtherClaim,
    /// An earlier request of the same question.
    Request {
        /// Full name of the claim.
        claim: String,
        /// Request or `request/alternative`.
        request: String,
    },
}

/// An amount that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// What the request would take.
    pub needed: Quantity,
    /// What is left; below zero where more is taken than there is.
    pub available: Quantity,
}

impl Refusal {
    /// How far the device came: later tests have higher numbers.
    pub fn stage(&self) -> u8 {
        match self {
            Self::GateOff { .. } | Self::NodeOperations => 0,
            Self::Selector { source: SelectorSource::Class, .. } => 1,
            Self::NodeSelection => 2,
            Self::Selector { source: SelectorSource::Request, .. } => 3,
            Self::CapacityMissing { .. } => 4,
            Self::CapacityPolicy { .. } => 5,
            Self::Taint { .. } => 6,
            Self::InUse { .. } => 7,
            Self::Capacity { .. } => 8,
            Self::Groups { .. } | Self::Counters { .. } => 9,
            Self::Constraint { .. } => 10,
            Self::Limit => 11,
            Self::Combination => 12,
        }
    }
}
