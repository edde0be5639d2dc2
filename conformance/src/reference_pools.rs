//! The reference's own gathering of pools, as 1.36.3 does it, in its order of steps.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::ErrorKind;
use drayage_allocator::objects::{
    CounterSet, Device, Node, NodeSelector, NodeSelectorRequirement, PoolId, ResourceSlice,
};

use crate::problem::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Usable,
    Incomplete,
    Invalid,
}

/// A pool as one node sees it.
pub(crate) struct Pool<'a> {
    pub(crate) id: PoolId,
    pub(crate) state: State,
    pub(crate) targeting: Vec<&'a ResourceSlice>,
    pub(crate) not_targeting: Vec<&'a ResourceSlice>,
    pub(crate) counter_sets: BTreeMap<&'a str, &'a CounterSet>,
}

/// All pools of the problem's node in search order, or the error of a malformed node selector.
pub(crate) fn gather(problem: &Problem) -> Result<Vec<Pool<'_>>, ErrorKind> {
    let shared = |slice: &&ResourceSlice| {
        slice.node_name.as_deref().unwrap_or_default().is_empty() || !slice.shared_counters.is_empty()
    };
    let local = problem.slices.iter().filter(|slice| !shared(slice));
    let of_node = local.filter(|slice| slice.node_name.as_ref() == Some(&problem.node.name));
    let mut collected: BTreeMap<PoolId, Vec<&ResourceSlice>> = BTreeMap::new();
    for slice in of_node.chain(problem.slices.iter().filter(shared)) {
        if !relevant(problem, slice)? {
            continue;
        }
        let group = collected.entry(slice.pool_id()).or_default();
        let current = group.first().map_or(i64::MIN, |first| first.pool.generation);
        if slice.pool.generation > current {
            group.clear();
        }
        if slice.pool.generation >= current {
            group.push(slice);
        }
    }

    let (mut plain, mut binding) = (Vec::new(), Vec::new());
    for (id, slices) in collected {
        let announced = usize::try_from(slices[0].pool.resource_slice_count).unwrap_or(usize::MAX);
        let generation = slices[0].pool.generation;
        let mut whole = Vec::new();
        if slices.len() != announced {
            let mine = |slice: &&ResourceSlice| slice.pool_id() == id;
            if problem.slices.iter().filter(mine).any(|slice| slice.pool.generation > generation) {
                continue;
            }
            whole = problem.slices.iter().filter(mine).filter(|s| s.pool.generation == generation).collect();
            if whole.len() != announced {
                plain.push(unusable(id, State::Incomplete));
                continue;
            }
        }
        let pool = build(problem, id, slices, &whole);
        let has_binding =
            |slice: &&ResourceSlice| slice.devices.iter().any(|d| d.binding_conditions.is_some());
        if pool.targeting.iter().any(has_binding) { binding.push(pool) } else { plain.push(pool) }
    }
    // The map gave them sorted by driver and pool.
    plain.append(&mut binding);
    Ok(plain)
}

fn unusable<'a>(id: PoolId, state: State) -> Pool<'a> {
    Pool { id, state, targeting: Vec::new(), not_targeting: Vec::new(), counter_sets: BTreeMap::new() }
}

fn build<'a>(
    problem: &'a Problem,
    id: PoolId,
    mut slices: Vec<&'a ResourceSlice>,
    whole: &[&'a ResourceSlice],
) -> Pool<'a> {
    slices.sort_by_key(|slice| &slice.name);
    let partitionable = problem.features.partitionable_devices;
    let (counters, devices): (Vec<_>, Vec<_>) =
        slices.iter().copied().partition(|slice| partitionable && !slice.shared_counters.is_empty());
    let mut names = BTreeSet::new();
    if !devices.iter().flat_map(|slice| &slice.devices).all(|device| names.insert(&device.name)) {
        return unusable(id, State::Invalid);
    }
    let mut pool = Pool { targeting: devices, ..unusable(id.clone(), State::Usable) };
    if !partitionable {
        return pool;
    }
    for set in counters.iter().flat_map(|slice| &slice.shared_counters) {
        if pool.counter_sets.insert(&set.name, set).is_some() {
            return unusable(id, State::Invalid);
        }
    }
    let seen: BTreeSet<&str> = slices.iter().map(|slice| slice.name.as_str()).collect();
    pool.not_targeting = whole.iter().copied().filter(|slice| !seen.contains(slice.name.as_str())).collect();
    for device in slices.iter().chain(&pool.not_targeting).flat_map(|slice| &slice.devices) {
        for consumption in &device.consumes_counters {
            let Some(set) = pool.counter_sets.get(consumption.counter_set.as_str()) else {
                return unusable(id, State::Invalid);
            };
            if !consumption.counters.keys().all(|counter| set.counters.contains_key(counter)) {
                return unusable(id, State::Invalid);
            }
        }
    }
    pool
}

fn relevant(problem: &Problem, slice: &ResourceSlice) -> Result<bool, ErrorKind> {
    let has_counters = !slice.shared_counters.is_empty();
    if !problem.features.partitionable_devices && (slice.per_device_node_selection.is_some() || has_counters)
    {
        return Ok(false);
    }
    if has_counters {
        return Ok(true);
    }
    let name = slice.node_name.as_deref().unwrap_or_default();
    if !name.is_empty() || slice.all_nodes || slice.node_selector.is_some() {
        return matches(&problem.node, name, slice.all_nodes, slice.node_selector.as_ref());
    }
    if slice.per_device_node_selection == Some(true) {
        for device in &slice.devices {
            if device_matches(&problem.node, device)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Per-device node selection.
pub(crate) fn device_matches(node: &Node, device: &Device) -> Result<bool, ErrorKind> {
    let name = device.node_name.as_deref().unwrap_or_default();
    matches(node, name, device.all_nodes, device.node_selector.as_ref())
}

fn matches(node: &Node, name: &str, all: bool, selector: Option<&NodeSelector>) -> Result<bool, ErrorKind> {
    if !name.is_empty() {
        return Ok(node.name == name);
    }
    if all {
        return Ok(true);
    }
    let mut any = false;
    for term in selector.iter().flat_map(|selector| &selector.terms) {
        let mut holds = !(term.match_expressions.is_empty() && term.match_fields.is_empty());
        for requirement in &term.match_expressions {
            holds &= label(node, requirement)?;
        }
        for requirement in &term.match_fields {
            holds &= field(node, requirement)?;
        }
        any |= holds;
    }
    Ok(any)
}

fn label(node: &Node, requirement: &NodeSelectorRequirement) -> Result<bool, ErrorKind> {
    let values = &requirement.values;
    let label = node.labels.get(&requirement.key);
    let integer = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
    let operator = requirement.operator.as_str();
    let well_formed = match operator {
        "In" | "NotIn" => !values.is_empty(),
        "Exists" | "DoesNotExist" => values.is_empty(),
        "Gt" | "Lt" => values.len() == 1 && integer(values.first()).is_some(),
        _ => false,
    };
    if !well_formed {
        return Err(ErrorKind::NodeSelector);
    }
    Ok(match operator {
        "In" => label.is_some_and(|label| values.contains(label)),
        "NotIn" => !label.is_some_and(|label| values.contains(label)),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        "Gt" => integer(label).is_some() && integer(label) > integer(values.first()),
        _ => integer(label).is_some() && integer(label) < integer(values.first()),
    })
}

fn field(node: &Node, requirement: &NodeSelectorRequirement) -> Result<bool, ErrorKind> {
    let ([value], "In" | "NotIn") = (requirement.values.as_slice(), requirement.operator.as_str()) else {
        return Err(ErrorKind::NodeSelector);
    };
    let actual = if requirement.key == "metadata.name" { node.name.as_str() } else { "" };
    Ok((actual == value) == (requirement.operator == "In"))
}
