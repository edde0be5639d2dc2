//! From chosen devices to the objects the scheduler writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{AllocationError, ErrorKind};
use crate::inventory::pin_to;
use crate::objects::{
    AllocationResult, ConfigurationSource, DeviceAllocationConfiguration, DeviceRequestAllocationResult,
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
};
use crate::problem::{Choice, ClaimProblem, Problem, RequestProblem, Setting};
use crate::profile::{NewFields, NodePin};
use crate::search::{ChosenDevice, SelectedAlternative};

/// The result of each claim. The error is that of a chosen device whose node selector cannot be merged.
pub(crate) fn assemble(
    setting: &Setting<'_>,
    problem: &Problem<'_>,
    node: &Node,
    chosen: &[ChosenDevice],
    alternatives: &[SelectedAlternative],
    share_ids: &mut dyn FnMut() -> String,
) -> Result<Vec<AllocationResult>, AllocationError> {
    let mut results = Vec::with_capacity(problem.claims.len());
    let mut rest = chosen;
    for (number, claim) in (0_u32..).zip(&problem.claims) {
        // Devices are chosen for one claim after the other.
        let of_claim = rest.partition_point(|device| problem.choice(device.choice).claim == number);
        let (devices, others) = rest.split_at(of_claim);
        rest = others;
        let selected = (0_u32..).zip(&claim.requests).map(|(index, request)| {
            let alternative = alternatives
                .iter()
                .find(|alternative| alternative.claim == number && alternative.request == index);
            problem.choice(alternative.map_or(request.choices.start, |alternative| alternative.choice))
        });
        let node_selector = node_selector(setting, node, devices).map_err(|terms| {
            let message = format!(
                "create NodeSelector for claim {}: unsupported ResourceSlice.NodeSelector with {terms} terms",
                claim.claim.name
            );
            AllocationError::new(ErrorKind::NodeSelectorTerms, message)
        })?;
        results.push(AllocationResult {
            results: devices
                .iter()
                .map(|device| device_result(setting, problem.choice(device.choice), device, share_ids))
                .collect(),
            config: configuration(setting, claim, &selected),
            node_selector,
        });
    }
    Ok(results)
}

fn device_result(
    setting: &Setting<'_>,
    choice: &Choice<'_>,
    chosen: &ChosenDevice,
    share_ids: &mut dyn FnMut() -> String,
) -> DeviceRequestAllocationResult {
    let index = setting.view.device(chosen.position);
    let device = setting.inventory.device(index);
    let slice = setting.inventory.slice_of(index);
    let with_conditions = setting.features.device_binding_and_status;
    DeviceRequestAllocationResult {
        request: choice.result_name(),
        driver: slice.driver.clone(),
        pool: slice.pool.name.clone(),
        device: device.name.clone(),
        admin_access: choice.admin_access.then_some(true),
        tolerations: if setting.profile.tolerations_in_results {
            choice.tolerations.to_vec()
        } else {
            Vec::new()
        },
        binding_conditions: device.binding_conditions.clone().filter(|_| with_conditions),
        binding_failure_conditions: device.binding_failure_conditions.clone().filter(|_| with_conditions),
        share_id: chosen.share.is_some().then(share_ids),
        consumed_capacity: chosen.share.clone().unwrap_or_default(),
        skip_node_operations: match setting.profile.new_fields {
            NewFields::All => slice.skip_node_operations.clone(),
            NewFields::Unknown | NewFields::WithoutNodeOperations => Vec::new(),
        },
    }
}

/// Entries of classes in the order of requests, then entries of the claim.
fn configuration<'s>(
    setting: &Setting<'_>,
    claim: &ClaimProblem<'_>,
    selected: &(impl Iterator<Item = &'s Choice<'s>> + Clone),
) -> Vec<DeviceAllocationConfiguration> {
    let mut entries: Vec<DeviceAllocationConfiguration> = Vec::new();
    // Where the entries of each class are, by class name.
    let mut classes: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
    for choice in selected.clone() {
        let class = choice.class;
        if class.config.is_empty() {
            continue;
        }
        if let Some((_, range)) = classes.iter().find(|(name, _)| *name == class.name) {
            for entry in &mut entries[range.clone()] {
                entry.requests.push(choice.result_name());
            }
            continue;
        }
        let start = entries.len();
        entries.extend(class.config.iter().map(|opaque| DeviceAllocationConfiguration {
            source: ConfigurationSource::Class,
            requests: vec![choice.result_name()],
            opaque: opaque.clone(),
        }));
        classes.push((&class.name, start..entries.len()));
    }

    let pairs = || claim.requests.iter().zip(selected.clone());
    for config in &claim.claim.config {
        let naming = pairs().filter(|(request, choice)| names(&config.requests, request, choice)).count();
        let copies = match naming {
            _ if config.requests.is_empty() => 1,
            count if setting.profile.claim_config_per_request => count,
            count => count.min(1),
        };
        entries.extend((0..copies).map(|_| DeviceAllocationConfiguration {
            source: ConfigurationSource::Claim,
            requests: config.requests.clone(),
            opaque: config.opaque.clone(),
        }));
    }
    if setting.profile.clear_covering_config {
        for entry in &mut entries {
            if pairs().all(|(request, choice)| names(&entry.requests, request, choice)) {
                entry.requests.clear();
            }
        }
    }
    entries
}

/// Whether a list of request names has the request, or its selected alternative.
fn names(list: &[String], request: &RequestProblem<'_>, choice: &Choice<'_>) -> bool {
    list.contains(&request.request.name) || (choice.parent.is_some() && list.contains(&choice.result_name()))
}

/// The nodes where all devices of a claim can be used. The error is the number of terms of a selector that has
/// more than one; such a selector behind a device that pins the claim to the node is not noticed.
fn node_selector(
    setting: &Setting<'_>,
    node: &Node,
    devices: &[ChosenDevice],
) -> Result<Option<Arc<NodeSelector>>, usize> {
    let mut merged = NodeSelectorTerm::default();
    for chosen in devices {
        let index = setting.view.device(chosen.position);
        let device = setting.inventory.device(index);
        let slice = setting.inventory.slice_of(index);
        let (name, selector) = if slice.per_device_node_selection == Some(true) {
            (&device.node_name, &device.node_selector)
        } else {
            (&slice.node_name, &slice.node_selector)
        };
        let pinned = match setting.profile.node_pin {
            NodePin::NameInSlice => name.as_ref(),
            NodePin::TriedNode => {
                name.as_ref().map(|_| &node.name).or(device.binds_to_node.then_some(&node.name))
            }
        };
        if let Some(name) = pinned {
            let known = setting.inventory.pin(index.slice).filter(|_| slice.node_name.as_ref() == Some(name));
            return Ok(Some(known.cloned().unwrap_or_else(|| Arc::new(pin_to(name)))));
        }
        match selector.as_ref().map(|selector| selector.terms.as_slice()) {
            None | Some([]) => {}
            Some([term]) => {
                add_missing(&mut merged.match_fields, &term.match_fields);
                add_missing(&mut merged.match_expressions, &term.match_expressions);
            }
            Some(terms) => return Err(terms.len()),
        }
    }
    let unrestricted = merged.match_fields.is_empty() && merged.match_expressions.is_empty();
    Ok((!unrestricted).then(|| Arc::new(NodeSelector { terms: vec![merged] })))
}

/// Adds requirements that are not there yet; the order of values does not tell requirements apart.
fn add_missing(to: &mut Vec<NodeSelectorRequirement>, from: &[NodeSelectorRequirement]) {
    for requirement in from {
        let values: BTreeSet<&String> = requirement.values.iter().collect();
        let known = to.iter().any(|other| {
            other.key == requirement.key
                && other.operator == requirement.operator
                && other.values.iter().collect::<BTreeSet<_>>() == values
        });
        if !known {
            to.push(requirement.clone());
        }
    }
}
