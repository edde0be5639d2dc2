//! Facts: what stands between a question and a solution.

use std::collections::BTreeMap;

use crate::diagnosis::{SelectorSource, UnusablePoolState};
use crate::objects::{AttributeValue, DeviceId, DeviceTaint, PoolId, Quantity};

/// One fact of a question. It is *respected* or *lifted* as a whole: a question that respects only some facts is
/// the question with every other one lifted. What lifting means is said for each kind.
///
/// Facts about single devices gather all devices of the same reason, so that there are few of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A request needs devices. Lifted: the request is not there.
    Demand(Demand),
    /// One term of a selector, an operand of its outermost `&&`, is not true. Lifted: the term is.
    Selector(SelectorFact),
    /// Devices need a feature that is off. Lifted: they may be used all the same.
    GateOff {
        /// The feature gate.
        gate: &'static str,
        /// The devices that need it.
        devices: Vec<DeviceId>,
    },
    /// The devices' own node selection leaves the node out. Lifted: it does not.
    NodeSelection {
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// Nothing may be taken from a pool. Lifted: its slices that the node sees count as they are.
    Pool {
        /// The pool.
        pool: PoolId,
        /// Why.
        state: UnusablePoolState,
        /// The devices in it that the node would see.
        devices: Vec<DeviceId>,
    },
    /// Requests name a capacity that devices do not have. Lifted: they need not have it.
    CapacityMissing {
        /// Name of the capacity.
        capacity: String,
        /// The requests.
        requests: Vec<RequestName>,
        /// The devices without it.
        devices: Vec<DeviceId>,
    },
    /// The policy of a capacity does not allow the amount that a request would take. Lifted: it does.
    CapacityPolicy {
        /// Name of the capacity.
        capacity: String,
        /// The request.
        request: RequestName,
        /// The devices, and the amount after rounding.
        devices: Vec<(DeviceId, Quantity)>,
    },
    /// A taint is not tolerated. Lifted: it is.
    Taint {
        /// The taint.
        taint: DeviceTaint,
        /// The requests without a toleration.
        requests: Vec<RequestName>,
        /// The devices that have the taint.
        devices: Vec<DeviceId>,
    },
    /// Other claims hold devices. Lifted: the devices are free. Amounts of counters and capacities that they
    /// hold stay held.
    Held {
        /// The requests that need them for themselves, which are all without admin access.
        requests: Vec<RequestName>,
        /// The devices, with the names of the claims that hold them, as far as those are known.
        devices: Vec<HeldDevice>,
    },
    /// Devices of a claim must have an attribute with one common value, or with different values. Lifted: the
    /// claim does not have this constraint.
    Constraint(ConstraintFact),
    /// A capacity of devices is not enough. Lifted: there is always enough of it.
    Capacity {
        /// Name of the capacity.
        capacity: String,
        /// The devices where it is too little for some request, or can become so.
        devices: Vec<CapacityLeft>,
        /// What a share takes, by request; the least where devices round it differently.
        needed: Vec<(RequestName, Quantity)>,
    },
    /// A counter of a pool is not enough. Lifted: there is always enough of it.
    Counter(Box<CounterFact>),
    /// Devices that draw on one counter set must have a compatibility group in common, or none of them any (KEP-5963).
    /// Lifted: they all go together there.
    Groups(Box<GroupsFact>),
    /// A device that cannot be shared serves one request only. Lifted: any number of requests of the question.
    Once {
        /// The devices that more than one request could use.
        devices: Vec<DeviceId>,
    },
    /// A claim holds at most 32 devices. Lifted: any number.
    ClaimLimit {
        /// Full name of the claim.
        claim: String,
    },
    /// These devices satisfy all rules, and still the search of this release does not find them, a fault of its
    /// own. Lifted: it does.
    NotFound {
        /// The devices.
        devices: Vec<Given>,
    },
}

/// A request of a claim, or an alternative of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestName {
    /// Full name of the claim.
    pub claim: String,
    /// `request` or `request/alternative`.
    pub request: String,
    /// Place of the claim among those that are asked for, and of the request in the claim. It tells requests of
    /// one name apart, which no API server accepts.
    pub place: (usize, usize),
}

/// A device for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The request.
    pub request: RequestName,
    /// The device.
    pub device: DeviceId,
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Full name of the claim.
    pub claim: String,
    /// Name of the request.
    pub request: String,
    /// See [`RequestName::place`].
    pub place: (usize, usize),
    /// The request as `request`, or its alternatives as `request/alternative`; one of them is enough.
    pub forms: Vec<Form>,
}

/// A request, or one alternative, and how many devices it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// `request` or `request/alternative`.
    pub request: String,
    /// How many.
    pub needed: Needed,
}

/// How many devices are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// This many.
    Count(usize),
    /// `allocationMode: All`: these, which are all that match, and at least one. While a fact is lifted,
    /// devices that match only for that reason may be among them and need not be.
    All {
        /// The devices that match.
        matching: Vec<DeviceId>,
    },
}

/// A term of a selector, and the devices for which it is not true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorFact {
    /// Whose selector.
    pub source: SelectorSource,
    /// Name of the class; of the request as `request` or `request/alternative` otherwise.
    pub owner: String,
    /// Its place in the list of selectors.
    pub index: usize,
    /// The whole text.
    pub expression: String,
    /// The term; the whole expression where that has one term only.
    pub term: String,
    /// The requests it is for.
    pub requests: Vec<RequestName>,
    /// The devices, grouped by what the term reads of them.
    pub cases: Vec<SelectorCase>,
}

/// Devices for which a term is not true for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorCase {
    /// Whether the term fails instead of being false.
    pub failed: bool,
    /// What the term reads of these devices, as far as that can be told.
    pub reads: Vec<Read>,
    /// The devices.
    pub devices: Vec<DeviceId>,
}

/// Something an expression reads of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// What is read.
    pub what: ReadWhat,
    /// Its value; `None` where the device does not have it.
    pub value: Option<ReadValue>,
}

/// What an expression reads of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadWhat {
    /// The driver's name.
    Driver,
    /// Whether several requests may share the device.
    AllowMultipleAllocations,
    /// The attribute of this name, `domain/id`.
    Attribute(String),
    /// The capacity of this name, `domain/id`.
    Capacity(String),
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadValue {
    /// Of an attribute, or the driver's name as text, or a boolean.
    Attribute(AttributeValue),
    /// Of a capacity.
    Capacity(Quantity),
}

/// A device that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldDevice {
    /// The device.
    pub device: DeviceId,
    /// Full names of the claims that hold it, as far as they are known.
    pub claims: Vec<String>,
}

/// A constraint of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstraintFact {
    /// Full name of the claim.
    pub claim: String,
    /// Place in the claim's list.
    pub index: usize,
    /// Whether it is `matchAttribute`; `distinctAttribute` otherwise.
    pub is_match: bool,
    /// The attribute.
    pub attribute: String,
    /// The values of the devices that no other fact of the same list refuses to every request that the
    /// constraint is for, and how many devices have them; `None` for devices without the attribute. A device
    /// whose attribute is a list counts for the whole list.
    pub values: BTreeMap<Option<AttributeValue>, usize>,
    /// One device for each value, as an example.
    pub examples: BTreeMap<Option<AttributeValue>, DeviceId>,
}

/// A device and what is left of a capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapacityLeft {
    /// The device.
    pub device: DeviceId,
    /// All there is.
    pub total: Quantity,
    /// What other claims hold.
    pub held: Quantity,
    /// Full names of those claims, as far as they are known.
    pub claims: Vec<String>,
}

/// A counter of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterFact {
    /// The pool.
    pub pool: PoolId,
    /// Name of the counter set.
    pub counter_set: String,
    /// Name of the counter.
    pub counter: String,
    /// All there is.
    pub total: Quantity,
    /// What devices that other claims hold take from it.
    pub held: Quantity,
    /// Those devices, with the claims that hold them as far as they are known.
    pub holders: Vec<HeldDevice>,
    /// The least that a usable device of the pool takes from it; `None` where none takes any.
    pub least: Option<Quantity>,
}

/// The compatibility groups of a counter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsFact {
    /// The pool.
    pub pool: PoolId,
    /// Name of the counter set.
    pub counter_set: String,
    /// What the devices that other claims hold leave possible; `None` where they hold none that draws on it, and an
    /// empty list where only devices without groups go with them, or none at all.
    pub common: Option<Vec<String>>,
    /// Those devices, with the claims that hold them as far as they are known.
    pub holders: Vec<HeldDevice>,
    /// The groups of the usable devices that draw on the set, and how many devices have them.
    pub groups: BTreeMap<Vec<String>, usize>,
}

impl Fact {
    /// A stable name of the kind, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Demand(_) => "demand",
            Self::Selector(_) => "selector",
            Self::GateOff { .. } => "gate-off",
            Self::NodeSelection { .. } => "node-selection",
            Self::Pool { .. } => "pool",
            Self::CapacityMissing { .. } => "capacity-missing",
            Self::CapacityPolicy { .. } => "capacity-policy",
            Self::Taint { .. } => "taint",
            Self::Held { .. } => "held",
            Self::Constraint(_) => "constraint",
            Self::Capacity { .. } => "capacity",
            Self::Counter(_) => "counter",
            Self::Groups(_) => "groups",
            Self::Once { .. } => "once",
            Self::ClaimLimit { .. } => "claim-limit",
            Self::NotFound { .. } => "not-found",
        }
    }

    /// The devices it is about, in search order; none where it is not about single devices.
    pub fn devices(&self) -> Vec<&DeviceId> {
        match self {
            Self::Selector(fact) => fact.cases.iter().flat_map(|case| &case.devices).collect(),
            Self::GateOff { devices, .. }
            | Self::NodeSelection { devices }
            | Self::Pool { devices, .. }
            | Self::CapacityMissing { devices, .. }
            | Self::Taint { devices, .. }
            | Self::Once { devices } => devices.iter().collect(),
            Self::CapacityPolicy { devices, .. } => devices.iter().map(|(device, _)| device).collect(),
            Self::Held { devices, .. } => devices.iter().map(|held| &held.device).collect(),
            Self::Capacity { devices, .. } => devices.iter().map(|left| &left.device).collect(),
            Self::NotFound { devices } => devices.iter().map(|given| &given.device).collect(),
            Self::Demand(_)
            | Self::Constraint(_)
            | Self::Counter(_)
            | Self::Groups(_)
            | Self::ClaimLimit { .. } => Vec::new(),
        }
    }
}
