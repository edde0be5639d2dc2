//! Which devices a node reaches: pools, generations, node selection, told plainly and once per verification.

use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{
    CounterSet, Device, DeviceId, Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PoolId,
    ResourceSlice,
};

use super::Question;
use crate::profile::{
    BindingLast, CounterSlices, IncompletePools, NewFields, PoolChecks, PoolOrder, Profile, SliceOrder,
};

/// A pool as the node sees it.
pub(crate) struct Pool<'a> {
    pub(crate) id: PoolId,
    /// Why nothing may be taken from the pool.
    pub(crate) unusable: Option<Unusable>,
    /// Slices whose devices the node may reach, in search order.
    pub(crate) reachable: Vec<&'a ResourceSlice>,
    /// Slices as in `reachable`, of a pool that is unusable.
    pub(crate) withheld: Vec<&'a ResourceSlice>,
    /// All other slices of the generation with devices: their devices count for counters only.
    pub(crate) elsewhere: Vec<&'a ResourceSlice>,
    pub(crate) counter_sets: BTreeMap<&'a str, &'a CounterSet>,
    /// Whether slices are missing although devices may be taken.
    pub(crate) lacks_slices: bool,
}

/// Why nothing may be taken from a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    Incomplete { found: usize, announced: i64 },
    Invalid { reason: String },
}

/// A device that the node reaches.
#[derive(Clone, Copy)]
pub(crate) struct Reached<'a> {
    /// Place in the search order.
    pub(crate) position: usize,
    pub(crate) slice: &'a ResourceSlice,
    pub(crate) device: &'a Device,
}

/// All devices of usable pools by id. Devices of slices with per-device node selection are listed even where
/// their own selection leaves the node out; see [`device_selects_node`].
pub(crate) fn reached_devices<'a>(pools: &[Pool<'a>]) -> BTreeMap<DeviceId, Reached<'a>> {
    let mut reached = BTreeMap::new();
    for pool in pools.iter().filter(|pool| pool.unusable.is_none()) {
        for slice in &pool.reachable {
            for device in &slice.devices {
                let id = DeviceId { pool: pool.id.clone(), device: device.name.clone() };
                reached.insert(id, Reached { position: reached.len(), slice, device });
            }
        }
    }
    reached
}

/// Whether a device of a slice with per-device node selection is for the node. `None`: its selector is broken.
pub(crate) fn device_selects_node(reached: &Reached<'_>, node: &Node) -> Option<bool> {
    if reached.slice.per_device_node_selection == Some(true) {
        let Device { node_name, all_nodes, node_selector, .. } = reached.device;
        selects(node, node_name.as_deref(), *all_nodes, node_selector.as_ref())
    } else {
        Some(true)
    }
}

/// The pools of the node in search order. `None`: a node selector on the way is broken, no answer can be right.
pub(crate) fn pools<'a>(question: &Question<'a>) -> Option<Vec<Pool<'a>>> {
    let partitionable = question.features.partitionable_devices;
    let profile = question.profile;
    let mut groups: BTreeMap<PoolId, Vec<&'a ResourceSlice>> = BTreeMap::new();
    // Slices of one node come before all others: where slices disagree on their number, the first counts.
    let everywhere = |slice: &ResourceSlice| {
        !slice.shared_counters.is_empty() && question.profile.counter_slices == CounterSlices::Everywhere
    };
    let local = |slice: &&ResourceSlice| {
        slice.node_name.as_ref().is_some_and(|name| !name.is_empty()) && !everywhere(slice)
    };
    let mut slices = question.slices.to_vec();
    if profile.slice_order == SliceOrder::ByName {
        slices.sort_by_key(|slice| !local(slice));
    }
    if profile.binding_last == BindingLast::PoolsAndSlices {
        slices.sort_by_key(|slice| has_binding_conditions(slice) && !everywhere(slice));
    }
    let mut arrivals: Vec<PoolId> = Vec::new();
    for slice in slices {
        let has_counters =
            !slice.shared_counters.is_empty() && profile.counter_slices != CounterSlices::Plain;
        if !partitionable && (slice.per_device_node_selection.is_some() || has_counters) {
            continue;
        }
        if is_ignored(question, slice) {
            continue;
        }
        if !everywhere(slice) && !slice_selects(question.node, slice)? {
            continue;
        }
        if !groups.contains_key(&slice.pool_id()) {
            arrivals.push(slice.pool_id());
        }
        let group = groups.entry(slice.pool_id()).or_default();
        match group.first().map(|first| first.pool.generation.cmp(&slice.pool.generation)) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Less) => *group = vec![slice],
            Some(std::cmp::Ordering::Equal) | None => group.push(slice),
        }
    }
    if profile.pool_order == PoolOrder::ByName {
        arrivals.sort();
    }
    let mut pools: Vec<Pool<'a>> =
        arrivals.iter().filter_map(|id| pool(question, id, groups.get(id)?.clone())).collect();
    // Pools with binding conditions go last as a whole.
    if profile.binding_last != BindingLast::Nothing {
        pools.sort_by_key(|pool| pool.reachable.iter().any(|slice| has_binding_conditions(slice)));
    }
    Some(pools)
}

fn has_binding_conditions(slice: &ResourceSlice) -> bool {
    slice.devices.iter().any(|device| device.binding_conditions.is_some())
}

/// Whether the slice is no more than a holder of counters.
fn is_holder(profile: &Profile, slice: &ResourceSlice) -> bool {
    profile.counter_slices != CounterSlices::Plain && !slice.shared_counters.is_empty()
}

/// Whether the slice counts as not there: a device has compatibility groups (KEP-5963), and the feature is off.
fn is_ignored(question: &Question<'_>, slice: &ResourceSlice) -> bool {
    let mut taken = slice.devices.iter().flat_map(|device| &device.consumes_counters);
    question.profile.new_fields != NewFields::Unknown
        && !question.features.compatibility_groups
        && taken.any(|taken| !taken.compatibility_groups.is_empty())
}

fn pool<'a>(question: &Question<'a>, id: &PoolId, mut group: Vec<&'a ResourceSlice>) -> Option<Pool<'a>> {
    let first = group.first()?;
    let profile = question.profile;
    let (generation, announced) = (first.pool.generation, first.pool.resource_slice_count);
    let of_pool = || {
        question
            .slices
            .iter()
            .copied()
            .filter(|slice| slice.driver == id.driver && slice.pool.name == id.pool)
    };
    let mut pool = Pool {
        id: id.clone(),
        unusable: None,
        reachable: Vec::new(),
        withheld: Vec::new(),
        elsewhere: Vec::new(),
        counter_sets: BTreeMap::new(),
        lacks_slices: false,
    };
    let looks_complete = i64::try_from(group.len()) == Ok(announced);
    if profile.incomplete_pools == IncompletePools::Searched {
        pool.lacks_slices = !looks_complete;
    } else if !looks_complete {
        if of_pool().any(|slice| slice.pool.generation > generation) {
            return None;
        }
        let counts =
            |slice: &&ResourceSlice| slice.pool.generation == generation && !is_ignored(question, slice);
        let whole: Vec<_> = of_pool().filter(counts).collect();
        if i64::try_from(whole.len()) != Ok(announced) {
            pool.unusable = Some(Unusable::Incomplete { found: whole.len(), announced });
            group.sort_by(|a, b| a.name.cmp(&b.name));
            pool.withheld.extend(group.iter().filter(|slice| !is_holder(profile, slice)));
            return Some(pool);
        }
        let names: BTreeSet<&str> = group.iter().map(|slice| slice.name.as_str()).collect();
        pool.elsewhere = whole.into_iter().filter(|slice| !names.contains(slice.name.as_str())).collect();
    }
    if profile.slice_order == SliceOrder::ByName {
        group.sort_by(|a, b| a.name.cmp(&b.name));
    }
    pool.reachable.extend(group.iter().filter(|slice| !is_holder(profile, slice)));
    if let Some(reason) = invalid(question, &group, &mut pool) {
        pool.unusable = Some(Unusable::Invalid { reason });
        pool.withheld = std::mem::take(&mut pool.reachable);
    }
    Some(pool)
}

/// Why the pool is not valid, in upstream's words. Collects the counter sets on the way.
fn invalid<'a>(question: &Question<'a>, group: &[&'a ResourceSlice], pool: &mut Pool<'a>) -> Option<String> {
    let mut names = BTreeSet::new();
    for device in pool.reachable.iter().flat_map(|slice| &slice.devices) {
        if !names.insert(&device.name) {
            return Some(format!("duplicate device name {}", device.name));
        }
    }
    let only_names = question.profile.pool_checks == PoolChecks::Devices;
    if only_names || !question.features.partitionable_devices {
        return None;
    }
    for set in group.iter().chain(&pool.elsewhere).flat_map(|slice| &slice.shared_counters) {
        if pool.counter_sets.insert(&set.name, set).is_some() {
            return Some(format!("duplicate counter set name {}", set.name));
        }
    }
    // Newer releases do not look at devices of slices that hold counters.
    let by_selection = question.profile.counter_slices == CounterSlices::BySelection;
    let with_devices = group.iter().chain(&pool.elsewhere);
    let devices = with_devices
        .filter(|slice| !(by_selection && is_holder(question.profile, slice)))
        .flat_map(|slice| &slice.devices);
    for taken in devices.flat_map(|device| &device.consumes_counters) {
        let Some(set) = pool.counter_sets.get(taken.counter_set.as_str()) else {
            return Some(format!("counter set {} not found", taken.counter_set));
        };
        if let Some(counter) = taken.counters.keys().find(|counter| !set.counters.contains_key(*counter)) {
            return Some(format!("counter {counter} not found in counter set {}", set.name));
        }
    }
    None
}

fn slice_selects(node: &Node, slice: &ResourceSlice) -> Option<bool> {
    let named = slice.node_name.as_ref().is_some_and(|name| !name.is_empty());
    if named || slice.all_nodes || slice.node_selector.is_some() {
        selects(node, slice.node_name.as_deref(), slice.all_nodes, slice.node_selector.as_ref())
    } else if slice.per_device_node_selection == Some(true) {
        for device in &slice.devices {
            if selects(node, device.node_name.as_deref(), device.all_nodes, device.node_selector.as_ref())? {
                return Some(true);
            }
        }
        Some(false)
    } else {
        Some(false)
    }
}

fn selects(
    node: &Node,
    name: Option<&str>,
    all_nodes: bool,
    selector: Option<&NodeSelector>,
) -> Option<bool> {
    match (name, selector) {
        (Some(name), _) if !name.is_empty() => Some(name == node.name),
        _ if all_nodes => Some(true),
        (_, Some(selector)) => {
            // A broken term spoils the whole selector, whether or not another term matches.
            let terms: Option<Vec<bool>> =
                selector.terms.iter().map(|term| term_selects(node, term)).collect();
            Some(terms?.contains(&true))
        }
        _ => Some(false),
    }
}

fn term_selects(node: &Node, term: &NodeSelectorTerm) -> Option<bool> {
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return Some(false);
    }
    let labels: Option<Vec<bool>> =
        term.match_expressions.iter().map(|wanted| label_matches(node, wanted)).collect();
    let fields: Option<Vec<bool>> =
        term.match_fields.iter().map(|wanted| field_matches(node, wanted)).collect();
    Some(!labels?.contains(&false) && !fields?.contains(&false))
}

fn label_matches(node: &Node, wanted: &NodeSelectorRequirement) -> Option<bool> {
    let label = node.labels.get(&wanted.key);
    let number = |text: &String| text.parse::<i64>().ok();
    match (wanted.operator.as_str(), wanted.values.as_slice()) {
        ("In", [_, ..]) => Some(label.is_some_and(|label| wanted.values.contains(label))),
        ("NotIn", [_, ..]) => Some(label.is_none_or(|label| !wanted.values.contains(label))),
        ("Exists", []) => Some(label.is_some()),
        ("DoesNotExist", []) => Some(label.is_none()),
        ("Gt", [value]) => {
            number(value).map(|value| label.and_then(number).is_some_and(|label| label > value))
        }
        ("Lt", [value]) => {
            number(value).map(|value| label.and_then(number).is_some_and(|label| label < value))
        }
        _ => None,
    }
}

fn field_matches(node: &Node, wanted: &NodeSelectorRequirement) -> Option<bool> {
    // No field but the name exists; a node without a name has no fields, and every requirement holds then.
    let field = if wanted.key == "metadata.name" { node.name.as_str() } else { "" };
    match (wanted.operator.as_str(), wanted.values.as_slice()) {
        ("In", [value]) => Some(node.name.is_empty() || field == value),
        ("NotIn", [value]) => Some(node.name.is_empty() || field != value),
        _ => None,
    }
}
