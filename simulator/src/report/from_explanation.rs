//! Reports from explanations.

use drayage_allocator::diagnosis::{SelectorSource, UnusablePoolState};
use drayage_allocator::explanation::{
    Change, Explained, Explanation, Fact, Form, Given, HeldDevice, Needed, NoSolution, Read, ReadValue,
    ReadWhat, RequestName,
};
use drayage_allocator::objects::{AttributeValue, Quantity};
use serde_json::Value;

use super::explanation::{
    AmountReport, ChangeReport, ClosestReport, CoreReport, ExplainedClaim, ExplainedError, ExplainedForm,
    ExplainedRequest, ExplanationReport, FactDetail, FactReport, FormReport, GivenReport, GroupsReport,
    HolderReport, MissingReport, NearestMissReport, NeededReport, ReadReport, RefusedReport,
    RequestReference, SelectorCaseReport, ShortageReport, SuggestionReport, TreeFactReport, UndecidedReport,
    ValueCountReport,
};
use super::{API_VERSION, ProblemOutcome};

impl From<&Explanation> for ExplanationReport {
    fn from(explanation: &Explanation) -> Self {
        let mut report = Self {
            api_version: API_VERSION,
            kind: "Explanation",
            node: explanation.node.clone(),
            outcome: ProblemOutcome::Unsatisfiable,
            summary: explanation.headline(),
            steps: explanation.steps,
            devices: Vec::new(),
            core: None,
            facts: Vec::new(),
            claims: Vec::new(),
            nearest_miss: None,
            suggestions: Vec::new(),
            error: None,
            undecided: None,
        };
        match &explanation.outcome {
            Explained::Allocated(results) => {
                report.outcome = ProblemOutcome::Allocated;
                let results = results.iter().zip(&explanation.claims);
                report.devices = results
                    .flat_map(|(result, claim)| {
                        result.results.iter().map(|device| GivenReport {
                            claim: claim.clone(),
                            request: device.request.clone(),
                            device: device.device_id().to_string(),
                        })
                    })
                    .collect();
            }
            Explained::Unsatisfiable(no) => add_no_solution(&mut report, explanation, no),
            Explained::Error(error) => {
                report.outcome = ProblemOutcome::Error;
                report.error = Some(ExplainedError {
                    kind: error.error.kind().as_str().to_owned(),
                    message: error.error.to_string(),
                    claim: error.claim.clone(),
                    request: error.request.clone(),
                    field: error.field.clone(),
                    hint: Some(error.hint.to_owned()),
                });
            }
            Explained::Undecided(undecided) => {
                report.outcome = ProblemOutcome::Undecided;
                report.undecided = Some(UndecidedReport {
                    requests: undecided.requests,
                    alternatives: undecided.alternatives,
                    constraints: undecided.constraints,
                    deciding_step_budget: undecided.more.map(|more| more.budget),
                    allocated_then: undecided.more.map(|more| more.allocated),
                });
            }
        }
        report
    }
}

fn add_no_solution(report: &mut ExplanationReport, explanation: &Explanation, no: &NoSolution) {
    let fact = |fact: &Fact| FactReport {
        message: explanation.sentence(fact),
        devices: fact.devices().into_iter().map(ToString::to_string).collect(),
        detail: detail(fact),
    };
    let shortage = no.core.shortage.as_ref().map(|shortage| ShortageReport {
        request: reference(&shortage.request),
        needed: shortage.needed,
        possible: shortage.possible,
    });
    report.core = Some(CoreReport {
        minimal: no.core.minimal,
        confirmed: no.core.confirmed,
        shortage,
        facts: no.core.facts.iter().map(fact).collect(),
    });
    let of_tree = no.facts.iter();
    report.facts =
        of_tree.map(|one| TreeFactReport { in_core: one.in_core, fact: fact(&one.fact) }).collect();
    report.claims = claims(no);
    let nearest = &no.nearest;
    report.nearest_miss = Some(NearestMissReport {
        given: nearest.given.iter().map(given).collect(),
        missing: nearest
            .missing
            .iter()
            .map(|missing| MissingReport {
                request: RequestReference { claim: missing.claim.clone(), request: missing.request.clone() },
                devices: missing.devices,
            })
            .collect(),
        closest: nearest.closest.as_ref().map(|closest| ClosestReport {
            given: GivenReport {
                claim: closest.request.claim.clone(),
                request: closest.request.request.clone(),
                device: closest.device.to_string(),
            },
            facts: closest.facts.clone(),
        }),
    });
    for suggestion in &no.suggestions {
        let change = |change: &Change| ChangeReport {
            kind: change.kind().to_owned(),
            message: explanation.change(change),
        };
        report.suggestions.push(SuggestionReport {
            changes: suggestion.changes.iter().map(change).collect(),
            devices: suggestion.devices.iter().map(given).collect(),
        });
    }
}

fn claims(no: &NoSolution) -> Vec<ExplainedClaim> {
    let mut claims = Vec::new();
    for claim in &no.claims {
        let mut requests = Vec::new();
        for request in &claim.requests {
            let form = |node: &drayage_allocator::explanation::FormNode| ExplainedForm {
                form: form(&node.form),
                free: node.free,
                refused: node
                    .refused
                    .iter()
                    .map(|group| RefusedReport {
                        fact: group.fact,
                        devices: group.devices,
                        examples: group.examples.iter().map(ToString::to_string).collect(),
                    })
                    .collect(),
                together: node.together.clone(),
            };
            requests.push(ExplainedRequest {
                request: request.request.clone(),
                in_core: request.in_core,
                forms: request.forms.iter().map(form).collect(),
            });
        }
        claims.push(ExplainedClaim { claim: claim.claim.clone(), requests });
    }
    claims
}

fn detail(fact: &Fact) -> FactDetail {
    match fact {
        Fact::Demand(demand) => FactDetail::Demand {
            claim: demand.claim.clone(),
            request: demand.request.clone(),
            forms: demand.forms.iter().map(form).collect(),
        },
        Fact::Selector(selector) => FactDetail::Selector {
            source: match selector.source {
                SelectorSource::Class => "class",
                SelectorSource::Request => "request",
            }
            .to_owned(),
            owner: selector.owner.clone(),
            index: selector.index,
            expression: selector.expression.clone(),
            term: selector.term.clone(),
            requests: references(&selector.requests),
            cases: selector
                .cases
                .iter()
                .map(|case| SelectorCaseReport {
                    failed: case.failed,
                    reads: case.reads.iter().map(read).collect(),
                    devices: case.devices.iter().map(ToString::to_string).collect(),
                })
                .collect(),
        },
        Fact::GateOff { gate, .. } => FactDetail::GateOff { gate: (*gate).to_owned() },
        Fact::NodeSelection { .. } => FactDetail::NodeSelection {},
        Fact::Pool { pool, state, .. } => FactDetail::Pool {
            pool: pool.to_string(),
            state: match state {
                UnusablePoolState::Incomplete { .. } => "incomplete",
                UnusablePoolState::Invalid { .. } => "invalid",
            }
            .to_owned(),
        },
        Fact::CapacityMissing { capacity, requests, .. } => {
            FactDetail::CapacityMissing { capacity: capacity.clone(), requests: references(requests) }
        }
        Fact::CapacityPolicy { capacity, request, devices } => FactDetail::CapacityPolicy {
            capacity: capacity.clone(),
            request: reference(request),
            amounts: devices.iter().map(|(_, amount)| amount.to_string()).collect(),
        },
        Fact::Taint { taint, requests, .. } => FactDetail::Taint {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: taint.effect.clone(),
            requests: references(requests),
        },
        Fact::Held { devices, .. } => {
            FactDetail::Held { holders: devices.iter().map(|held| held.claims.clone()).collect() }
        }
        Fact::Constraint(constraint) => FactDetail::Constraint {
            claim: constraint.claim.clone(),
            index: constraint.index,
            is_match: constraint.is_match,
            attribute: constraint.attribute.clone(),
            values: constraint
                .values
                .iter()
                .map(|(value, devices)| ValueCountReport {
                    value: value.as_ref().map(attribute),
                    devices: *devices,
                    example: constraint.examples.get(value).map(ToString::to_string),
                })
                .collect(),
        },
        Fact::Capacity { capacity, devices, needed } => FactDetail::Capacity {
            capacity: capacity.clone(),
            left: devices.iter().map(|left| amounts(&left.total, &left.held)).collect(),
            needed: needed
                .iter()
                .map(|(name, amount)| NeededReport { request: reference(name), amount: amount.to_string() })
                .collect(),
        },
        Fact::Counter(counter) => FactDetail::Counter {
            pool: counter.pool.to_string(),
            counter_set: counter.counter_set.clone(),
            counter: counter.counter.clone(),
            amount: amounts(&counter.total, &counter.held),
            least: counter.least.as_ref().map(ToString::to_string),
            holders: counter.holders.iter().map(holder).collect(),
        },
        Fact::Groups(groups) => FactDetail::Groups {
            pool: groups.pool.to_string(),
            counter_set: groups.counter_set.clone(),
            common: groups.common.clone(),
            found: groups
                .groups
                .iter()
                .map(|(groups, devices)| GroupsReport { groups: groups.clone(), devices: *devices })
                .collect(),
            holders: groups.holders.iter().map(holder).collect(),
        },
        Fact::Once { .. } => FactDetail::Once {},
        Fact::ClaimLimit { claim } => FactDetail::ClaimLimit { claim: claim.clone() },
        Fact::NotFound { devices } => FactDetail::NotFound { solution: devices.iter().map(given).collect() },
    }
}

fn form(form: &Form) -> FormReport {
    let (count, matching) = match &form.needed {
        Needed::Count(count) => (Some(*count), None),
        Needed::All { matching } => (None, Some(matching.len())),
    };
    FormReport { request: form.request.clone(), count, matching }
}

fn given(given: &Given) -> GivenReport {
    let RequestName { claim, request, .. } = given.request.clone();
    GivenReport { claim, request, device: given.device.to_string() }
}

fn reference(name: &RequestName) -> RequestReference {
    RequestReference { claim: name.claim.clone(), request: name.request.clone() }
}

fn references(names: &[RequestName]) -> Vec<RequestReference> {
    names.iter().map(reference).collect()
}

fn amounts(total: &Quantity, held: &Quantity) -> AmountReport {
    AmountReport { total: total.to_string(), held: held.to_string() }
}

fn holder(held: &HeldDevice) -> HolderReport {
    HolderReport { device: held.device.to_string(), claims: held.claims.clone() }
}

fn read(read: &Read) -> ReadReport {
    let (what, name) = match &read.what {
        ReadWhat::Driver => ("driver", None),
        ReadWhat::AllowMultipleAllocations => ("allowMultipleAllocations", None),
        ReadWhat::Attribute(name) => ("attribute", Some(name.clone())),
        ReadWhat::Capacity(name) => ("capacity", Some(name.clone())),
    };
    let value = read.value.as_ref().map(|value| match value {
        ReadValue::Attribute(value) => attribute(value),
        ReadValue::Capacity(amount) => Value::from(amount.to_string()),
    });
    ReadReport { what: what.to_owned(), name, value }
}

/// An attribute's value as JSON has it; a version is text.
fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::Int(int) => Value::from(*int),
        AttributeValue::Bool(bool) => Value::from(*bool),
        AttributeValue::String(text) | AttributeValue::Version(text) => Value::from(text.as_str()),
        AttributeValue::Ints(list) => Value::from(list.clone()),
        AttributeValue::Bools(list) => Value::from(list.clone()),
        AttributeValue::Strings(list) | AttributeValue::Versions(list) => Value::from(list.clone()),
        AttributeValue::Unset => Value::Null,
    }
}
