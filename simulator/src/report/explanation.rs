//! Explanations of answers, as data for programs.

use serde::Serialize;

use super::ProblemOutcome;

/// Why an answer is what it is, on one node.
///
/// A *fact* is something that keeps a request from devices, or a request's need itself. The *core* is a smallest set
/// of facts that leaves no solution: without any one of them there is one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplanationReport {
    /// [`API_VERSION`](super::API_VERSION)
    pub api_version: &'static str,
    /// `Explanation`
    pub kind: &'static str,
    /// The node.
    pub node: String,
    /// The answer.
    pub outcome: ProblemOutcome,
    /// The answer in one sentence.
    pub summary: String,
    /// Steps of the search.
    pub steps: u64,
    /// For an allocation: the devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<GivenReport>,
    /// For a "no": the facts that are enough for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<CoreReport>,
    /// For a "no": the facts that `claims` and `nearestMiss` name by their place in this list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<TreeFactReport>,
    /// For a "no": what became of the devices, for each request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ExplainedClaim>,
    /// For a "no": the best that can be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_miss: Option<NearestMissReport>,
    /// For a "no": changes with which there are devices, the cheapest first. Each was tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<SuggestionReport>,
    /// For an error: what it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ExplainedError>,
    /// For an undecided question: what was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecided: Option<UndecidedReport>,
}

/// A device for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenReport {
    /// `namespace/name` of the claim.
    pub claim: String,
    /// `request` or `request/alternative`.
    pub request: String,
    /// `driver/pool/device`
    pub device: String,
}

/// A request of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestReference {
    /// `namespace/name` of the claim.
    pub claim: String,
    /// `request` or `request/alternative`.
    pub request: String,
}

/// Facts that are enough for a "no".
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CoreReport {
    /// Whether each fact is known to be necessary.
    pub minimal: bool,
    /// Whether it was found out that the facts are enough; otherwise they are all there are.
    pub confirmed: bool,
    /// A request that needs more devices than it can have under these facts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortage: Option<ShortageReport>,
    /// The facts.
    pub facts: Vec<FactReport>,
}

/// A request that needs more devices than it can have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShortageReport {
    /// The request.
    #[serde(flatten)]
    pub request: RequestReference,
    /// How many devices it needs.
    pub needed: usize,
    /// The most it can have.
    pub possible: usize,
}

/// A fact of the tree.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeFactReport {
    /// Whether the core needs it.
    pub in_core: bool,
    /// The fact.
    #[serde(flatten)]
    pub fact: FactReport,
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FactReport {
    /// The fact as a sentence. Its wording may change.
    pub message: String,
    /// The devices it is about, as `driver/pool/device`, where it is about single devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Its kind and what belongs to that.
    #[serde(flatten)]
    pub detail: FactDetail,
}

/// What belongs to a fact, by its `kind`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum FactDetail {
    /// A request needs devices.
    Demand {
        /// `namespace/name` of the claim.
        claim: String,
        /// Name of the request.
        request: String,
        /// The request itself, or its alternatives.
        forms: Vec<FormReport>,
    },
    /// A term of a selector is not true.
    Selector {
        /// `class` or `request`.
        source: String,
        /// Name of the class or request.
        owner: String,
        /// Place of the selector in the list.
        index: usize,
        /// The whole expression.
        expression: String,
        /// The term of it.
        term: String,
        /// The requests it is for.
        requests: Vec<RequestReference>,
        /// Devices by what the term reads of them.
        cases: Vec<SelectorCaseReport>,
    },
    /// Devices need a feature gate that is off.
    GateOff {
        /// The gate.
        gate: String,
    },
    /// Devices are for other nodes.
    NodeSelection {},
    /// Nothing can be taken from a pool.
    Pool {
        /// `driver/pool`
        pool: String,
        /// `incomplete` or `invalid`.
        state: String,
    },
    /// Devices do not have a capacity.
    CapacityMissing {
        /// The capacity.
        capacity: String,
        /// The requests that ask for it.
        requests: Vec<RequestReference>,
    },
    /// The policy of a capacity does not allow an amount.
    CapacityPolicy {
        /// The capacity.
        capacity: String,
        /// The request.
        request: RequestReference,
        /// The amounts after rounding, along `devices`.
        amounts: Vec<String>,
    },
    /// A taint is not tolerated.
    Taint {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
        /// Its effect.
        effect: String,
        /// The requests without toleration.
        requests: Vec<RequestReference>,
    },
    /// Other claims hold devices.
    Held {
        /// The claims, along `devices`, as far as they are known.
        holders: Vec<Vec<String>>,
    },
    /// A constraint of a claim.
    Constraint {
        /// `namespace/name` of the claim.
        claim: String,
        /// Its place in the list.
        index: usize,
        /// Whether it is `matchAttribute`; `distinctAttribute` otherwise.
        is_match: bool,
        /// The attribute.
        attribute: String,
        /// How many of the devices that fit have which value.
        values: Vec<ValueCountReport>,
    },
    /// A capacity of devices is not enough.
    Capacity {
        /// The capacity.
        capacity: String,
        /// What is there and held, along `devices`.
        left: Vec<AmountReport>,
        /// What requests take at least.
        needed: Vec<NeededReport>,
    },
    /// A counter of a pool is not enough.
    Counter {
        /// `driver/pool`
        pool: String,
        /// The counter set.
        counter_set: String,
        /// The counter.
        counter: String,
        /// What is there and held.
        #[serde(flatten)]
        amount: AmountReport,
        /// The least that a device takes.
        #[serde(skip_serializing_if = "Option::is_none")]
        least: Option<String>,
        /// Held devices that take from it.
        holders: Vec<HolderReport>,
    },
    /// Devices on one counter set need a compatibility group in common.
    Groups {
        /// `driver/pool`
        pool: String,
        /// The counter set.
        counter_set: String,
        /// What held devices leave possible; absent where none draws on the set.
        #[serde(skip_serializing_if = "Option::is_none")]
        common: Option<Vec<String>>,
        /// The groups of the usable devices.
        found: Vec<GroupsReport>,
        /// Held devices that draw on the set.
        holders: Vec<HolderReport>,
    },
    /// A device serves one request only.
    Once {},
    /// A claim holds 32 devices at most.
    ClaimLimit {
        /// `namespace/name` of the claim.
        claim: String,
    },
    /// The search of the release does not find a solution that keeps all rules.
    NotFound {
        /// The solution.
        solution: Vec<GivenReport>,
    },
}

/// A request or an alternative, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FormReport {
    /// `request` or `request/alternative`.
    pub request: String,
    /// How many devices; absent for all devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// For all devices: how many match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching: Option<usize>,
}

/// Devices for which a term is not true for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SelectorCaseReport {
    /// Whether the term fails instead of being false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// What it reads: names and values.
    pub reads: Vec<ReadReport>,
    /// The devices.
    pub devices: Vec<String>,
}

/// A value that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadReport {
    /// `driver`, `allowMultipleAllocations`, `attribute` or `capacity`.
    pub what: String,
    /// Name of the attribute or capacity, `domain/id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The value; absent where the device does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
}

/// How many devices have a value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueCountReport {
    /// The value; absent for devices without the attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// How many devices.
    pub devices: usize,
    /// One of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

/// All there is of something, and what other claims hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AmountReport {
    /// All.
    pub total: String,
    /// Held.
    pub held: String,
}

/// What a request takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NeededReport {
    /// The request.
    #[serde(flatten)]
    pub request: RequestReference,
    /// The amount.
    pub amount: String,
}

/// A held device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HolderReport {
    /// `driver/pool/device`
    pub device: String,
    /// The claims, as far as they are known.
    pub claims: Vec<String>,
}

/// A claim of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedClaim {
    /// `namespace/name`
    pub claim: String,
    /// Its requests.
    pub requests: Vec<ExplainedRequest>,
}

/// A request of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedRequest {
    /// Its name.
    pub request: String,
    /// Whether the core needs it.
    pub in_core: bool,
    /// The request itself, or its alternatives.
    pub forms: Vec<ExplainedForm>,
}

/// A request or alternative of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedForm {
    /// Its name and need.
    #[serde(flatten)]
    pub form: FormReport,
    /// Devices that nothing is said against but what concerns several together.
    pub free: usize,
    /// The others by fact, most devices first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedReport>,
    /// Facts of the core about several devices together, by their places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<usize>,
}

/// Devices that a fact refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedReport {
    /// Place of the fact.
    pub fact: usize,
    /// How many devices.
    pub devices: usize,
    /// Some of them.
    pub examples: Vec<String>,
}

/// The best that can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NearestMissReport {
    /// Devices that go together.
    pub given: Vec<GivenReport>,
    /// What is missing then.
    pub missing: Vec<MissingReport>,
    /// The device with the fewest facts against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closest: Option<ClosestReport>,
}

/// Compatibility groups, and how many devices have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupsReport {
    /// The groups; none for devices without any.
    pub groups: Vec<String>,
    /// How many devices.
    pub devices: usize,
}

/// What a request misses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingReport {
    /// The request.
    #[serde(flatten)]
    pub request: RequestReference,
    /// How many devices.
    pub devices: usize,
}

/// A device that nearly fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClosestReport {
    /// The device and the request.
    #[serde(flatten)]
    pub given: GivenReport,
    /// The facts against it alone, by their places.
    pub facts: Vec<usize>,
}

/// Changes that help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SuggestionReport {
    /// The changes, all of which are needed.
    pub changes: Vec<ChangeReport>,
    /// The devices that there are then.
    pub devices: Vec<GivenReport>,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeReport {
    /// `tolerate`, `drop-term`, `drop-constraint`, `lower-count`, `lower-capacity`, `free`, `complete-pool`,
    /// `enable-gate` or `drop-request`.
    pub kind: String,
    /// The change in words. Its wording may change.
    pub message: String,
}

/// What an error is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedError {
    /// A stable name of the kind.
    pub kind: String,
    /// The error.
    pub message: String,
    /// `namespace/name` of the claim that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Its field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UndecidedReport {
    /// Requests.
    pub requests: usize,
    /// Alternatives, over all requests.
    pub alternatives: usize,
    /// Constraints.
    pub constraints: usize,
    /// A step budget that decides it, if a larger one was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deciding_step_budget: Option<u64>,
    /// Whether there are devices with that budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_then: Option<bool>,
}
