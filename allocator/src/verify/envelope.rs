//! What is copied into a result rather than decided: fields of devices and requests, configuration, node selector.

use std::collections::BTreeSet;

use crate::objects::{
    AllocationResult, ConfigurationSource, DeviceAllocationConfiguration, NodeSelector,
    NodeSelectorRequirement, NodeSelectorTerm, ResourceClaim,
};

use crate::profile::{NewFields, NodePin};

use super::claim::{Ask, Pick, asks};
use super::{Question, Rule, Violation};

/// Checks the parts of one claim's result that follow from its devices.
pub(super) fn check(
    question: &Question<'_>,
    claim: &ResourceClaim,
    result: &AllocationResult,
    picks: &[Pick<'_, '_>],
    found: &mut Vec<Violation>,
) {
    let of_claim = |rule| Violation { claim: claim.full_name(), request: None, device: None, rule };
    for pick in picks {
        let device = pick.reached.device;
        let binding = question.features.device_binding_and_status;
        let expected_conditions = if binding { &device.binding_conditions } else { &None };
        let expected_failures = if binding { &device.binding_failure_conditions } else { &None };
        let expected_tolerations =
            if question.profile.tolerations_in_results { pick.ask.tolerations } else { &[] };
        let slice = pick.reached.slice;
        let with_operations = question.profile.new_fields == NewFields::All;
        let expected_operations = if with_operations { slice.skip_node_operations.as_slice() } else { &[] };
        let copies = [
            ("adminAccess", pick.result.admin_access == pick.ask.is_admin().then_some(true)),
            ("tolerations", pick.result.tolerations == expected_tolerations),
            ("bindingConditions", pick.result.binding_conditions == *expected_conditions),
            ("skipNodeOperations", pick.result.skip_node_operations == expected_operations),
            ("bindingFailureConditions", pick.result.binding_failure_conditions == *expected_failures),
        ];
        for (field, _) in copies.into_iter().filter(|(_, same)| !same) {
            found.push(Violation {
                claim: claim.full_name(),
                request: Some(pick.result.request.clone()),
                device: Some(pick.result.device_id()),
                rule: Rule::Copied { field },
            });
        }
    }
    if chosen(claim, picks).iter().all(|chosen| configuration(question, claim, chosen) != result.config) {
        found.push(of_claim(Rule::Config));
    }
    if node_selector(question, picks).ok().as_ref().map(Option::as_ref)
        != Some(result.node_selector.as_deref())
    {
        found.push(of_claim(Rule::NodeSelector));
    }
}

/// The form of each request that the answer uses. There is more than one possibility where a request got no
/// device and several of its alternatives want none.
fn chosen<'a>(claim: &'a ResourceClaim, picks: &[Pick<'_, 'a>]) -> Vec<Vec<Ask<'a>>> {
    let mut possible: Vec<Vec<Ask<'a>>> = vec![Vec::new()];
    for index in 0..claim.requests.len() {
        let forms = match picks.iter().find(|pick| pick.ask.request == index) {
            Some(pick) => vec![pick.ask],
            None => asks(claim, index).into_iter().filter(|ask| ask.count <= 0).collect(),
        };
        let longer = possible.iter().flat_map(|begin| {
            forms.iter().map(|form| begin.iter().copied().chain([*form]).collect::<Vec<_>>())
        });
        possible = longer.collect();
    }
    possible
}

fn configuration(
    question: &Question<'_>,
    claim: &ResourceClaim,
    chosen: &[Ask<'_>],
) -> Vec<DeviceAllocationConfiguration> {
    let mut entries = Vec::new();
    let mut seen = BTreeSet::new();
    for ask in chosen.iter().filter(|ask| seen.insert(ask.class)) {
        let of_class = chosen.iter().filter(|other| other.class == ask.class);
        let requests: Vec<String> = of_class.map(Ask::result_name).collect();
        let class = question.classes.iter().find(|class| class.name == ask.class);
        entries.extend(class.iter().flat_map(|class| &class.config).map(|opaque| {
            DeviceAllocationConfiguration {
                source: ConfigurationSource::Class,
                requests: requests.clone(),
                opaque: opaque.clone(),
            }
        }));
    }
    for entry in &claim.config {
        let names = |name: &str| entry.requests.iter().any(|request| request == name);
        let mentions = chosen.iter().filter(|ask| names(ask.base_name) || names(&ask.result_name())).count();
        let times = match entry.requests.as_slice() {
            [] => 1,
            _ if question.profile.claim_config_per_request => mentions,
            _ => mentions.min(1),
        };
        entries.extend((0..times).map(|_| DeviceAllocationConfiguration {
            source: ConfigurationSource::Claim,
            requests: entry.requests.clone(),
            opaque: entry.opaque.clone(),
        }));
    }
    if question.profile.clear_covering_config {
        for entry in &mut entries {
            let covered = |ask: &Ask<'_>| {
                entry.requests.iter().any(|name| name == ask.base_name || *name == ask.result_name())
            };
            if chosen.iter().all(covered) {
                entry.requests.clear();
            }
        }
    }
    entries
}

/// A device has a node selector with several terms, which is an error upstream.
struct SeveralTerms;

/// The selector the devices give.
fn node_selector(
    question: &Question<'_>,
    picks: &[Pick<'_, '_>],
) -> Result<Option<NodeSelector>, SeveralTerms> {
    let mut merged = NodeSelectorTerm::default();
    for pick in picks {
        let (slice, device) = (pick.reached.slice, pick.reached.device);
        let (node_name, selector) = if slice.per_device_node_selection == Some(true) {
            (&device.node_name, &device.node_selector)
        } else {
            (&slice.node_name, &slice.node_selector)
        };
        let (pinned, name) = match (question.profile.node_pin, node_name) {
            (NodePin::NameInSlice, Some(name)) => (true, name),
            (NodePin::NameInSlice, None) => (false, &question.node.name),
            (NodePin::TriedNode, _) => (node_name.is_some() || device.binds_to_node, &question.node.name),
        };
        if pinned {
            let this_node = NodeSelectorRequirement {
                key: "metadata.name".to_owned(),
                operator: "In".to_owned(),
                values: vec![name.clone()],
            };
            let term = NodeSelectorTerm { match_fields: vec![this_node], ..NodeSelectorTerm::default() };
            return Ok(Some(NodeSelector { terms: vec![term] }));
        }
        match selector.as_ref().map(|selector| selector.terms.as_slice()) {
            None | Some([]) => {}
            Some([term]) => {
                add_new(&mut merged.match_fields, &term.match_fields);
                add_new(&mut merged.match_expressions, &term.match_expressions);
            }
            Some(_) => return Err(SeveralTerms),
        }
    }
    let empty = merged == NodeSelectorTerm::default();
    Ok((!empty).then(|| NodeSelector { terms: vec![merged] }))
}

fn add_new(merged: &mut Vec<NodeSelectorRequirement>, more: &[NodeSelectorRequirement]) {
    let set =
        |requirement: &NodeSelectorRequirement| requirement.values.iter().cloned().collect::<BTreeSet<_>>();
    for requirement in more {
        let known = merged.iter().any(|other| {
            other.key == requirement.key
                && other.operator == requirement.operator
                && set(other) == set(requirement)
        });
        if !known {
            merged.push(requirement.clone());
        }
    }
}
