//! Checks an answer against the rules, without knowing how it was found.
//!
//! Nothing here is shared with the search: pools are gathered again, selectors compiled and evaluated again,
//! counters and capacities added up again, all in the plainest way. What cannot be seen from an answer is not
//! checked: that it is the *first* one in search order, and the state that upstream's walk leaves behind in a
//! `distinctAttribute` constraint (see [`Rule::Distinct`]).

pub(crate) mod books;
pub(crate) mod claim;
mod envelope;
pub(crate) mod groups;
pub(crate) mod programs;
pub(crate) mod reach;

use std::fmt;

use crate::objects::{AllocationResult, DeviceClass, DeviceId, Node, ResourceClaim, ResourceSlice};
use crate::{AllocatedState, Features, Profile};

/// The question whose answer is checked: what went into the allocator.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Release whose rules apply, with the implementation that it takes for the features.
    pub profile: &'a Profile,
    /// The allocator's feature switches.
    pub features: Features,
    /// The node tried.
    pub node: &'a Node,
    /// All slices of the cluster.
    pub slices: &'a [&'a ResourceSlice],
    /// All device classes.
    pub classes: &'a [DeviceClass],
    /// What other claims hold.
    pub state: &'a AllocatedState,
    /// The claims allocated together, in order.
    pub claims: &'a [&'a ResourceClaim],
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Full name of the claim; empty where the rule is about the whole answer.
    pub claim: String,
    /// Request or `request/alternative`.
    pub request: Option<String>,
    /// Device.
    pub device: Option<DeviceId>,
    /// What is broken.
    pub rule: Rule,
}

/// The rules an answer must keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One result for each claim.
    Results {
        /// Number of claims.
        claims: usize,
        /// Number of results.
        results: usize,
    },
    /// No node selector on the way to the devices may be malformed; upstream refuses to answer then.
    NodeSelectorBroken,
    /// Requests, selectors, constraints and gates must be such that an answer exists at all.
    ClaimInvalid {
        /// What is wrong with the claim.
        what: &'static str,
    },
    /// A result must name a request of the claim, or one of its alternatives.
    UnknownRequest,
    /// Results follow the order of requests, and inside a request the search order of devices.
    Order,
    /// All devices of a request belong to one alternative.
    MixedAlternatives,
    /// A request gets as many devices as it asks for.
    Count {
        /// Devices asked for.
        wanted: usize,
        /// Devices in the answer.
        found: usize,
    },
    /// A claim holds at most 32 devices.
    Limit {
        /// Devices in the answer.
        found: usize,
    },
    /// `allocationMode: All` takes each matching device; this one is missing.
    AllLeftOut,
    /// `allocationMode: All` needs every pool of the node complete and valid.
    AllWithUnusablePool,
    /// The device is in no complete, valid, current pool that the node reaches.
    UnknownDevice,
    /// The device's own node selection leaves the node out.
    NodeSelection,
    /// A selector is false, or fails.
    Selector {
        /// Whether it is a selector of the class; of the request otherwise.
        of_class: bool,
        /// Its place in the list.
        index: usize,
    },
    /// A feature that the device or request needs is off.
    FeatureOff,
    /// Another claim, or another request, holds the device.
    InUse,
    /// A taint is not tolerated.
    Taint {
        /// Place in the device's list of taints.
        index: usize,
    },
    /// Devices under a `matchAttribute` constraint have no common value.
    Match {
        /// Place in the claim's list of constraints.
        constraint: usize,
    },
    /// Devices under a `distinctAttribute` constraint share a value. In profiles that remember one value a
    /// request, devices of one request are only compared with the last device of other requests.
    Distinct {
        /// Place in the claim's list of constraints.
        constraint: usize,
    },
    /// A device's slice lets the kubelet skip operations, which the node or the features do not allow.
    NodeOperations,
    /// The compatibility groups of a device do not go with those of the others on a counter set.
    Groups {
        /// Name of the counter set.
        counter_set: String,
    },
    /// Devices take more from a counter than is left.
    Counter {
        /// Name of the counter set.
        counter_set: String,
        /// Name of the counter.
        counter: String,
    },
    /// A requested capacity is absent, refused by its policy, or exhausted.
    Capacity {
        /// Name of the capacity.
        capacity: String,
    },
    /// `consumedCapacity` is not what the request takes by the policy.
    ConsumedCapacity,
    /// A share ID is missing, there without need, or used twice.
    ShareId,
    /// A field that is copied from claim or device differs.
    Copied {
        /// The field of the result.
        field: &'static str,
    },
    /// The list of configurations is not the one the classes and the claim give.
    Config,
    /// The node selector is not the one the devices give.
    NodeSelector,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim `{}`", self.claim)?;
        if let Some(request) = &self.request {
            write!(f, ", request `{request}`")?;
        }
        if let Some(device) = &self.device {
            write!(f, ", device `{device}`")?;
        }
        write!(f, ": {:?}", self.rule)
    }
}

/// Checks that `results` is a possible answer to `question`.
///
/// Returns every broken rule that could be found; a first broken rule may hide others.
pub fn verify(question: &Question<'_>, results: &[AllocationResult]) -> Result<(), Vec<Violation>> {
    let features = question.profile.name.known(question.features);
    let profile = question.profile.for_features(features);
    let question = &Question { profile: &profile, features, ..*question };
    let mut found = Vec::new();
    let whole = |rule| Violation { claim: String::new(), request: None, device: None, rule };
    if results.len() != question.claims.len() {
        found.push(whole(Rule::Results { claims: question.claims.len(), results: results.len() }));
        return Err(found);
    }
    let Some(pools) = reach::pools(question) else {
        return Err(vec![whole(Rule::NodeSelectorBroken)]);
    };
    let reached = reach::reached_devices(&pools);
    let programs = programs::Programs::new(question);
    let mut books = books::Books::new(question, &pools);
    for (claim, result) in question.claims.iter().zip(results) {
        let checked = claim::Claim {
            question,
            pools: &pools,
            reached: &reached,
            object: claim,
            programs: &programs,
            result,
        };
        let picks = checked.check(&mut found);
        books.add(claim, &picks, &mut found);
        envelope::check(question, claim, result, &picks, &mut found);
    }
    books.close(&mut found);
    if found.is_empty() { Ok(()) } else { Err(found) }
}
