//! A reference allocator: 1.36.3's walk written down plainly, one step after the other.
//!
//! No acceleration, no memory of earlier work, state copied at every choice. Only constraints are undone in
//! place, because in 1.36.3 their undoing leaves traces that the walk sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drayage_allocator::objects::{
    AllocationMode, AllocationResult, AttributeValue, ConfigurationSource, Device,
    DeviceAllocationConfiguration, DeviceCapacity, DeviceClass, DeviceConstraint, DeviceId,
    DeviceRequestAllocationResult, DeviceSelector, DeviceTaint, DeviceToleration, NodeSelector,
    NodeSelectorRequirement, NodeSelectorTerm, Quantity, ResourceSlice, SharedDeviceId,
};
use drayage_allocator::{ErrorKind, Outcome};
use drayage_cel::QuantityFormat;

use crate::problem::Problem;
use crate::reference_pools::{Pool, State, device_matches, gather};
use crate::selectors::evaluate;

/// What the reference says.
#[derive(Debug)]
pub struct Reference {
    /// The answer.
    pub verdict: Verdict,
    /// Search steps as upstream counts them.
    pub steps: u64,
}

/// The answer of the reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Results with share IDs written `<any>`.
    Allocated(Vec<AllocationResult>),
    /// No solution on this node.
    Unsatisfiable {
        /// Whether some pool of the node is invalid.
        invalid_pools: bool,
    },
    /// The kind of error that ends the allocation.
    Error(ErrorKind),
    /// More steps than [`STEPS`]: no opinion.
    TooLong,
}

impl Verdict {
    /// Whether an allocator's outcome, without share IDs, says the same.
    pub fn agrees(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::TooLong, _) => true,
            (Self::Allocated(mine), Outcome::Allocated(theirs)) => *mine == **theirs,
            (Self::Unsatisfiable { invalid_pools }, Outcome::Unsatisfiable { invalid_pools: theirs }) => {
                invalid_pools == theirs
            }
            (Self::Error(kind), Outcome::Error(error)) => *kind == error.kind(),
            _ => false,
        }
    }
}

/// Steps after which the reference gives up.
pub const STEPS: u64 = 20_000;
const RESULTS_LIMIT: usize = 32;

/// Answers a problem.
pub fn solve(problem: &Problem) -> Reference {
    let pools = match gather(problem) {
        Ok(pools) => pools,
        Err(kind) => return Reference { verdict: Verdict::Error(kind), steps: 0 },
    };
    let mut walk = Walk {
        problem,
        pools: &pools,
        table: Vec::new(),
        constraints: Vec::new(),
        available: BTreeMap::new(),
        steps: 0,
    };
    let verdict = match walk.prepare().and_then(|()| walk.step(At::default(), false, 0, &Books::default())) {
        Ok(books) => walk.results(&books).map_or_else(Verdict::Error, Verdict::Allocated),
        Err(No::Fatal(kind)) => Verdict::Error(kind),
        Err(No::TooLong) => Verdict::TooLong,
        Err(No::Solution | No::OverLimit) => {
            Verdict::Unsatisfiable { invalid_pools: pools.iter().any(|pool| pool.state == State::Invalid) }
        }
    };
    Reference { verdict, steps: walk.steps }
}

/// A request, or an alternative of one, with what validation found out about it.
struct Ask<'a> {
    base: &'a str,
    sub: Option<&'a str>,
    class: &'a DeviceClass,
    selectors: &'a [DeviceSelector],
    /// `None` with all devices.
    count: Option<i64>,
    admin: bool,
    tolerations: &'a [DeviceToleration],
    capacity: Option<&'a BTreeMap<String, Quantity>>,
    all: Vec<Place>,
}

impl Ask<'_> {
    fn needed(&self) -> i64 {
        self.count.unwrap_or_else(|| i64::try_from(self.all.len()).unwrap())
    }

    fn name(&self) -> String {
        self.sub.map_or_else(|| self.base.to_owned(), |sub| format!("{}/{sub}", self.base))
    }
}

/// Pool, slice, device.
type Place = (usize, usize, usize);

/// Where the walk is: claim, request, alternative, device of the request; and the first place to look at.
#[derive(Clone, Copy, Default)]
struct At {
    claim: usize,
    request: usize,
    sub: usize,
    device: usize,
}

/// Why a branch gives nothing.
enum No {
    Solution,
    OverLimit,
    Fatal(ErrorKind),
    TooLong,
}

/// What has been chosen so far. Copied for every choice.
#[derive(Clone, Default)]
struct Books {
    marks: BTreeMap<DeviceId, BTreeSet<usize>>,
    /// By pool *name*, then counter set and counter.
    counters: BTreeMap<String, BTreeMap<(String, String), Quantity>>,
    capacity: BTreeMap<DeviceId, BTreeMap<String, Quantity>>,
    chosen: Vec<(At, Place)>,
    alternatives: BTreeMap<(usize, usize), usize>,
}

struct Walk<'a> {
    problem: &'a Problem,
    pools: &'a [Pool<'a>],
    /// Claim, request, alternative.
    table: Vec<Vec<Vec<Ask<'a>>>>,
    constraints: Vec<Vec<Constraint<'a>>>,
    /// What other claims leave, by pool name; the first pool of a name that is asked for decides.
    available: BTreeMap<String, BTreeMap<(String, String), Quantity>>,
    steps: u64,
}

impl<'a> Walk<'a> {
    fn prepare(&mut self) -> Result<(), No> {
        let features = self.problem.features;
        for claim in &self.problem.claims {
            let mut requests = Vec::new();
            let mut minimum = 0;
            for request in &claim.requests {
                let alternatives = &request.first_available;
                if !alternatives.is_empty() && !features.prioritized_list {
                    return Err(No::Fatal(ErrorKind::PrioritizedListDisabled));
                }
                let exact_capacity = request.exactly.as_ref().is_some_and(|exact| exact.capacity.is_some());
                let capacity = exact_capacity || alternatives.iter().any(|sub| sub.capacity.is_some());
                if capacity && !features.consumable_capacity {
                    return Err(No::Fatal(ErrorKind::ConsumableCapacityDisabled));
                }
                let mut asks = Vec::new();
                if alternatives.is_empty() {
                    let Some(exact) = &request.exactly else {
                        return Err(No::Fatal(ErrorKind::EmptyRequest));
                    };
                    let ask = Ask {
                        base: &request.name,
                        sub: None,
                        class: self.class(&exact.selectors, exact.admin_access, &exact.device_class_name)?,
                        selectors: &exact.selectors,
                        count: Some(exact.count),
                        admin: exact.admin_access == Some(true),
                        tolerations: &exact.tolerations,
                        capacity: exact.capacity.as_ref(),
                        all: Vec::new(),
                    };
                    asks.push(self.sized(ask, &exact.allocation_mode)?);
                }
                for sub in alternatives {
                    let ask = Ask {
                        base: &request.name,
                        sub: Some(&sub.name),
                        class: self.class(&sub.selectors, None, &sub.device_class_name)?,
                        selectors: &sub.selectors,
                        count: Some(sub.count),
                        admin: false,
                        tolerations: &sub.tolerations,
                        capacity: sub.capacity.as_ref(),
                        all: Vec::new(),
                    };
                    asks.push(self.sized(ask, &sub.allocation_mode)?);
                }
                minimum += asks.iter().map(Ask::needed).min().unwrap_or_default();
                requests.push(asks);
            }
            if minimum > i64::try_from(RESULTS_LIMIT).unwrap() {
                return Err(No::Fatal(ErrorKind::TooManyDevices));
            }
            self.table.push(requests);
            let lists = features.list_type_attributes;
            let constraints: Option<Vec<_>> =
                claim.constraints.iter().map(|c| Constraint::new(c, lists)).collect();
            self.constraints.push(constraints.ok_or(No::Fatal(ErrorKind::UnknownConstraint))?);
        }
        Ok(())
    }

    fn class(
        &self,
        selectors: &[DeviceSelector],
        admin: Option<bool>,
        name: &str,
    ) -> Result<&'a DeviceClass, No> {
        if selectors.iter().any(|selector| selector.cel.is_none()) {
            return Err(No::Fatal(ErrorKind::UnknownSelector));
        }
        if admin.is_some() && !self.problem.features.admin_access {
            return Err(No::Fatal(ErrorKind::AdminAccessDisabled));
        }
        if name.is_empty() {
            return Err(No::Fatal(ErrorKind::MissingClassName));
        }
        let class = self.problem.classes.iter().find(|class| class.name == name);
        class.ok_or(No::Fatal(ErrorKind::ClassNotFound))
    }

    fn sized(&self, mut ask: Ask<'a>, mode: &AllocationMode) -> Result<Ask<'a>, No> {
        match mode {
            AllocationMode::ExactCount => return Ok(ask),
            AllocationMode::Other(_) => return Err(No::Fatal(ErrorKind::UnknownAllocationMode)),
            AllocationMode::All => ask.count = None,
        }
        for (pool_index, pool) in self.pools.iter().enumerate() {
            match pool.state {
                State::Incomplete => return Err(No::Fatal(ErrorKind::PoolIncomplete)),
                State::Invalid => return Err(No::Fatal(ErrorKind::PoolInvalid)),
                State::Usable => {}
            }
            for (slice_index, slice) in pool.targeting.iter().enumerate() {
                for (device_index, device) in slice.devices.iter().enumerate() {
                    if self.selectable(&ask, slice, device)? && self.has_capacity(&ask, slice, device, None) {
                        ask.all.push((pool_index, slice_index, device_index));
                    }
                }
            }
        }
        Ok(ask)
    }

    fn selectable(&self, ask: &Ask<'_>, slice: &ResourceSlice, device: &Device) -> Result<bool, No> {
        let features = self.problem.features;
        let binding = device.binding_conditions.as_ref().is_some_and(|conditions| !conditions.is_empty());
        if binding && !features.device_binding_and_status {
            return Ok(false);
        }
        for selector in ask.class.selectors.iter().chain(ask.selectors) {
            let expression = selector.cel.as_deref().unwrap_or_default();
            if !evaluate(expression, &slice.driver, device, features).map_err(No::Fatal)? {
                return Ok(false);
            }
        }
        if slice.per_device_node_selection == Some(true) {
            return device_matches(&self.problem.node, device).map_err(No::Fatal);
        }
        Ok(true)
    }

    fn has_capacity(
        &self,
        ask: &Ask<'_>,
        slice: &ResourceSlice,
        device: &Device,
        taken: Option<&BTreeMap<String, Quantity>>,
    ) -> bool {
        if !self.problem.features.consumable_capacity {
            return true;
        }
        let held = self.problem.held_capacity.get(&id(slice, device));
        ask.capacity.into_iter().flatten().all(|(name, _)| device.capacity.contains_key(name))
            && device.capacity.iter().all(|(name, capacity)| {
                let amount = amount(ask, name, capacity);
                let others = [held, taken].into_iter().flatten().filter_map(|books| books.get(name));
                let total = others.fold(amount.clone(), |sum, other| sum.checked_add(other).unwrap());
                policy_allows(&amount, capacity) && total <= capacity.value
            })
    }

    fn step(&mut self, at: At, inside: bool, from: usize, books: &Books) -> Result<Books, No> {
        self.steps += 1;
        if self.steps > STEPS {
            return Err(No::TooLong);
        }
        let Some(requests) = self.table.get(at.claim) else { return Ok(books.clone()) };
        let Some(alternatives) = requests.get(at.request) else {
            let next = At { claim: at.claim + 1, ..At::default() };
            return self.step(next, false, 0, books).map_err(|no| match no {
                No::OverLimit => No::Solution,
                other => other,
            });
        };
        if !inside && alternatives[0].sub.is_some() {
            let mut all_over_limit = true;
            for sub in 0..alternatives.len() {
                let mut books = books.clone();
                books.alternatives.insert((at.claim, at.request), sub);
                match self.step(At { sub, ..at }, true, 0, &books) {
                    Err(No::OverLimit) => {}
                    Err(No::Solution) => all_over_limit = false,
                    end => return end,
                }
            }
            return Err(if all_over_limit { No::OverLimit } else { No::Solution });
        }
        let ask = &self.table[at.claim][at.request][at.sub];
        if ask.count.is_none() && ask.all.is_empty() {
            return Err(No::Solution);
        }
        let needed = usize::try_from(ask.needed()).unwrap_or(0);
        if at.device >= needed {
            let next = At { request: at.request + 1, sub: 0, device: 0, ..at };
            return self.step(next, false, 0, books);
        }
        let so_far = books.chosen.iter().filter(|(chosen, _)| chosen.claim == at.claim).count();
        if so_far + needed - at.device > RESULTS_LIMIT {
            return Err(No::OverLimit);
        }
        let next = At { device: at.device + 1, ..at };
        if ask.count.is_none() {
            let place = ask.all[at.device];
            let Some(more) = self.take(at, place, true, books)? else { return Err(No::Solution) };
            let end = self.step(next, inside, 0, &more);
            return end.inspect_err(|_| self.undo(at));
        }
        let places: Vec<Place> = self.places().skip(from).collect();
        for (offset, place) in places.into_iter().enumerate() {
            let (slice, device) = self.device(place);
            let ask = &self.table[at.claim][at.request][at.sub];
            if self.in_use(ask, at.claim, &id(slice, device), books)
                || !self.selectable(ask, slice, device)?
                || !self.has_capacity(ask, slice, device, books.capacity.get(&id(slice, device)))
            {
                continue;
            }
            let Some(more) = self.take(at, place, false, books)? else { continue };
            match self.step(next, inside, from + offset + 1, &more) {
                Err(no) => {
                    self.undo(at);
                    if !matches!(no, No::Solution) {
                        return Err(no);
                    }
                }
                end => return end,
            }
        }
        Err(No::Solution)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        self.pools.iter().enumerate().flat_map(|(pool_index, pool)| {
            pool.targeting.iter().enumerate().flat_map(move |(slice_index, slice)| {
                (0..slice.devices.len()).map(move |device_index| (pool_index, slice_index, device_index))
            })
        })
    }

    fn device(&self, (pool, slice, device): Place) -> (&'a ResourceSlice, &'a Device) {
        let slice = self.pools[pool].targeting[slice];
        (slice, &slice.devices[device])
    }

    fn in_use(&self, ask: &Ask<'_>, claim: usize, id: &DeviceId, books: &Books) -> bool {
        let marks = books.marks.get(id);
        if ask.admin {
            marks.is_some_and(|marks| marks.contains(&claim))
        } else {
            marks.is_some() || self.problem.held_devices.contains(id)
        }
    }

    fn take(&mut self, at: At, place: Place, must: bool, books: &Books) -> Result<Option<Books>, No> {
        let features = self.problem.features;
        let (slice, device) = self.device(place);
        let id = id(slice, device);
        let shareable = features.consumable_capacity && device.allow_multiple_allocations == Some(true);
        let mut more = books.clone();
        let ask = &self.table[at.claim][at.request][at.sub];
        if self.in_use(ask, at.claim, &id, books) && !(ask.admin && shareable) {
            return Ok(None);
        }
        if !device.consumes_counters.is_empty() {
            if !features.partitionable_devices {
                return Ok(None);
            }
            let shared = self.problem.held_capacity.contains_key(&id) || books.capacity.contains_key(&id);
            let charged = shareable && shared;
            if !charged && !self.take_counters(place.0, device, &mut more) {
                return Ok(None);
            }
        }
        let ask = &self.table[at.claim][at.request][at.sub];
        if features.device_taints && device.taints.iter().any(|taint| refuses(taint, ask.tolerations)) {
            return Ok(None);
        }
        let names = (ask.base, ask.sub);
        for index in 0..self.constraints[at.claim].len() {
            if !self.constraints[at.claim][index].add(names, &slice.driver, device) {
                for earlier in (0..index).rev() {
                    self.constraints[at.claim][earlier].remove(names);
                }
                return if must { Err(No::Fatal(ErrorKind::AllDevicesConstraint)) } else { Ok(None) };
            }
        }
        if !self.has_capacity(ask, slice, device, books.capacity.get(&id)) {
            for index in (0..self.constraints[at.claim].len()).rev() {
                self.constraints[at.claim][index].remove(names);
            }
            return Ok(None);
        }
        if shareable {
            let entry = more.capacity.entry(id).or_default();
            for (name, capacity) in &device.capacity {
                let amount = amount(ask, name, capacity);
                let sum =
                    entry.get(name).map_or_else(|| amount.clone(), |sum| sum.checked_add(&amount).unwrap());
                entry.insert(name.clone(), sum);
            }
        } else {
            more.marks.entry(id).or_default().insert(at.claim);
        }
        more.chosen.push((at, place));
        Ok(Some(more))
    }

    fn undo(&mut self, at: At) {
        let ask = &self.table[at.claim][at.request][at.sub];
        let names = (ask.base, ask.sub);
        for constraint in self.constraints[at.claim].iter_mut().rev() {
            constraint.remove(names);
        }
    }

    fn take_counters(&mut self, pool: usize, device: &Device, books: &mut Books) -> bool {
        let pool = &self.pools[pool];
        let problem = self.problem;
        let available = self.available.entry(pool.id.pool.clone()).or_insert_with(|| {
            let mut available = BTreeMap::new();
            for set in pool.counter_sets.values() {
                for (counter, value) in &set.counters {
                    available.insert((set.name.clone(), counter.clone()), value.clone());
                }
            }
            for slice in pool.targeting.iter().chain(&pool.not_targeting) {
                for device in slice.devices.iter().filter(|device| is_allocated(problem, &id(slice, device)))
                {
                    for consumption in &device.consumes_counters {
                        for (counter, value) in &consumption.counters {
                            let key = (consumption.counter_set.clone(), counter.clone());
                            if let Some(left) = available.get_mut(&key) {
                                *left = left.checked_sub(value).unwrap();
                            }
                        }
                    }
                }
            }
            available
        });
        let consumed = books.counters.entry(pool.id.pool.clone()).or_default();
        for consumption in &device.consumes_counters {
            for (counter, value) in &consumption.counters {
                let total = consumed.entry((consumption.counter_set.clone(), counter.clone())).or_default();
                *total = total.checked_add(value).unwrap();
            }
        }
        available.iter().all(|(key, left)| consumed.get(key).cloned().unwrap_or_default() <= *left)
    }

    fn results(&self, books: &Books) -> Result<Vec<AllocationResult>, ErrorKind> {
        let of_claim = |index| self.result(index, books);
        (0..self.problem.claims.len()).map(of_claim).collect()
    }

    fn result(&self, claim_index: usize, books: &Books) -> Result<AllocationResult, ErrorKind> {
        let features = self.problem.features;
        let claim = &self.problem.claims[claim_index];
        let mut result = AllocationResult::default();
        let mut chosen = Vec::new();
        for (at, place) in books.chosen.iter().filter(|(at, _)| at.claim == claim_index) {
            let ask = &self.table[at.claim][at.request][at.sub];
            let (slice, device) = self.device(*place);
            let shareable = features.consumable_capacity && device.allow_multiple_allocations == Some(true);
            let consumed = device.capacity.iter().map(|(name, c)| (name.clone(), amount(ask, name, c)));
            let binding = features.device_binding_and_status;
            result.results.push(DeviceRequestAllocationResult {
                request: ask.name(),
                driver: slice.driver.clone(),
                pool: slice.pool.name.clone(),
                device: device.name.clone(),
                admin_access: ask.admin.then_some(true),
                tolerations: ask.tolerations.to_vec(),
                binding_conditions: device.binding_conditions.clone().filter(|_| binding),
                binding_failure_conditions: device.binding_failure_conditions.clone().filter(|_| binding),
                share_id: shareable.then(|| "<any>".to_owned()),
                consumed_capacity: if shareable { consumed.collect() } else { BTreeMap::new() },
                skip_node_operations: slice.skip_node_operations.clone(),
            });
            chosen.push((slice, device));
        }
        let alternative = |request| books.alternatives.get(&(claim_index, request)).copied().unwrap_or(0);
        let asks: Vec<&Ask<'_>> = self.table[claim_index]
            .iter()
            .enumerate()
            .map(|(request, alternatives)| &alternatives[alternative(request)])
            .collect();
        for (index, ask) in asks.iter().enumerate() {
            if asks[..index].iter().all(|earlier| earlier.class.name != ask.class.name) {
                let same = asks.iter().filter(|other| other.class.name == ask.class.name);
                let requests: Vec<String> = same.map(|other| other.name()).collect();
                for opaque in &ask.class.config {
                    let (source, requests) = (ConfigurationSource::Class, requests.clone());
                    result.config.push(DeviceAllocationConfiguration {
                        source,
                        requests,
                        opaque: opaque.clone(),
                    });
                }
            }
        }
        for config in &claim.config {
            let entry = DeviceAllocationConfiguration {
                source: ConfigurationSource::Claim,
                requests: config.requests.clone(),
                opaque: config.opaque.clone(),
            };
            let named = |ask: &&&Ask<'_>| {
                config.requests.iter().any(|name| name == ask.base) || config.requests.contains(&ask.name())
            };
            let times = if config.requests.is_empty() { 1 } else { asks.iter().filter(named).count() };
            result.config.extend(std::iter::repeat_n(entry, times));
        }
        result.node_selector = self.node_selector(&chosen)?.map(Arc::new);
        Ok(result)
    }

    fn node_selector(&self, chosen: &[(&ResourceSlice, &Device)]) -> Result<Option<NodeSelector>, ErrorKind> {
        let mut term = NodeSelectorTerm::default();
        for (slice, device) in chosen {
            let per_device = slice.per_device_node_selection == Some(true);
            let name = if per_device { &device.node_name } else { &slice.node_name };
            if name.is_some() || device.binds_to_node {
                let requirement = NodeSelectorRequirement {
                    key: "metadata.name".to_owned(),
                    operator: "In".to_owned(),
                    values: vec![self.problem.node.name.clone()],
                };
                term = NodeSelectorTerm { match_expressions: Vec::new(), match_fields: vec![requirement] };
                break;
            }
            let selector = if per_device { &device.node_selector } else { &slice.node_selector };
            let terms = selector.as_ref().map_or(&[][..], |selector| &selector.terms);
            if terms.len() > 1 {
                return Err(ErrorKind::NodeSelectorTerms);
            }
            for other in terms {
                merge(&mut term.match_fields, &other.match_fields);
                merge(&mut term.match_expressions, &other.match_expressions);
            }
        }
        Ok((term != NodeSelectorTerm::default()).then(|| NodeSelector { terms: vec![term] }))
    }
}

fn merge(all: &mut Vec<NodeSelectorRequirement>, more: &[NodeSelectorRequirement]) {
    for requirement in more {
        let values: BTreeSet<&String> = requirement.values.iter().collect();
        let same = |other: &NodeSelectorRequirement| {
            other.key == requirement.key
                && other.operator == requirement.operator
                && other.values.iter().collect::<BTreeSet<_>>() == values
        };
        if !all.iter().any(same) {
            all.push(requirement.clone());
        }
    }
}

fn id(slice: &ResourceSlice, device: &Device) -> DeviceId {
    DeviceId { pool: slice.pool_id(), device: device.name.clone() }
}

fn is_allocated(problem: &Problem, id: &DeviceId) -> bool {
    problem.held_devices.contains(id)
        || problem.held_shares.iter().any(|SharedDeviceId { device, .. }| device == id)
        || problem.held_capacity.contains_key(id)
}

fn refuses(taint: &DeviceTaint, tolerations: &[DeviceToleration]) -> bool {
    let matters = taint.effect == "NoSchedule" || taint.effect == "NoExecute";
    matters
        && !tolerations.iter().any(|toleration| {
            (toleration.effect.is_empty() || toleration.effect == taint.effect)
                && (toleration.key.is_empty() || toleration.key == taint.key)
                && match toleration.operator.as_str() {
                    "" | "Equal" => toleration.value == taint.value,
                    "Exists" => true,
                    _ => false,
                }
        })
}

fn amount(ask: &Ask<'_>, name: &str, capacity: &DeviceCapacity) -> Quantity {
    let policy = capacity.request_policy.clone().unwrap_or_default();
    let Some(requested) = ask.capacity.and_then(|requests| requests.get(name)) else {
        return policy.default.unwrap_or_else(|| capacity.value.clone());
    };
    if let Some(range) = &policy.valid_range
        && let Some(min) = &range.min
    {
        if requested < min {
            return min.clone();
        }
        let Some(step) = &range.step else { return requested.clone() };
        let mut total = min.value();
        while total < requested.value() {
            total += step.value();
        }
        return Quantity::from_integer(total, QuantityFormat::BinarySI);
    }
    let values = policy.valid_values.unwrap_or_default();
    values.into_iter().find(|value| requested <= value).unwrap_or_else(|| requested.clone())
}

fn policy_allows(amount: &Quantity, capacity: &DeviceCapacity) -> bool {
    let Some(policy) = &capacity.request_policy else { return true };
    // The default is recognised by its very form, not by its number.
    if policy.default.as_ref().is_some_and(|default| default.is_equal_in_go(amount)) {
        return true;
    }
    if let Some(range) = &policy.valid_range {
        let above = range.max.as_ref().is_some_and(|max| amount > max);
        let min = range.min.as_ref().map_or(0, Quantity::value);
        let off_step = range.step.as_ref().is_some_and(|step| (amount.value() - min) % step.value() != 0);
        return !above && !off_step;
    }
    policy.valid_values.as_ref().is_none_or(|values| values.is_empty() || values.contains(amount))
}

/// A constraint with what it remembers.
struct Constraint<'a> {
    requests: &'a [String],
    attribute: &'a str,
    lists: bool,
    devices: usize,
    memory: Memory,
}

enum Memory {
    /// What all devices have in common.
    Match(Option<Value>),
    /// The latest value of each request.
    Distinct(BTreeMap<String, Value>),
}

/// The values one device brings, all of one kind; `None` where it brings none that can be compared.
type Value = Option<BTreeSet<AttributeValue>>;

impl<'a> Constraint<'a> {
    fn new(constraint: &'a DeviceConstraint, lists: bool) -> Option<Self> {
        let (attribute, memory) = match (&constraint.match_attribute, &constraint.distinct_attribute) {
            (Some(attribute), _) => (attribute, Memory::Match(None)),
            (None, Some(attribute)) => (attribute, Memory::Distinct(BTreeMap::new())),
            (None, None) => return None,
        };
        Some(Self { requests: &constraint.requests, attribute, lists, devices: 0, memory })
    }

    fn applies(&self, (base, sub): (&str, Option<&str>)) -> bool {
        self.requests.is_empty()
            || self.requests.iter().any(|name| name == base)
            || sub.is_some_and(|sub| self.requests.contains(&format!("{base}/{sub}")))
    }

    fn add(&mut self, names: (&str, Option<&str>), driver: &str, device: &Device) -> bool {
        if !self.applies(names) {
            return true;
        }
        let short = self.attribute.strip_prefix(driver).and_then(|rest| rest.strip_prefix('/'));
        let attributes = &device.attributes;
        let found = attributes.get(self.attribute).or_else(|| attributes.get(short?));
        let Some(attribute) = found else { return false };
        let value = self.value(attribute);
        match &mut self.memory {
            Memory::Match(common) if self.devices == 0 => {
                if self.lists && value.is_none() {
                    return false;
                }
                *common = Some(value);
            }
            Memory::Match(common) => {
                let (Some(Some(seen)), Some(value)) = (&*common, value) else { return false };
                let both: BTreeSet<_> = seen.intersection(&value).cloned().collect();
                if both.is_empty() {
                    return false;
                }
                // What was narrowed stays narrow, even when the device is undone.
                *common = Some(Some(both));
            }
            Memory::Distinct(latest) => {
                let conflict = |other: &Value| match (&value, other) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(value), Some(other)) => !value.is_disjoint(other),
                };
                let unusable = self.lists && value.is_none();
                if self.devices > 0 && (unusable || latest.values().any(conflict)) {
                    return false;
                }
                latest.insert(names.0.to_owned(), value);
            }
        }
        self.devices += 1;
        true
    }

    fn remove(&mut self, names: (&str, Option<&str>)) {
        if self.applies(names) {
            if let Memory::Distinct(latest) = &mut self.memory {
                latest.remove(names.0);
            }
            self.devices -= 1;
        }
    }

    fn value(&self, attribute: &AttributeValue) -> Value {
        let values: BTreeSet<AttributeValue> = match attribute {
            AttributeValue::Unset => BTreeSet::new(),
            list if list.is_list() && !self.lists => BTreeSet::new(),
            AttributeValue::Ints(list) => list.iter().map(|int| AttributeValue::Int(*int)).collect(),
            AttributeValue::Bools(list) => list.iter().map(|bool| AttributeValue::Bool(*bool)).collect(),
            AttributeValue::Strings(list) => {
                list.iter().map(|text| AttributeValue::String(text.clone())).collect()
            }
            AttributeValue::Versions(list) => {
                list.iter().map(|text| AttributeValue::Version(text.clone())).collect()
            }
            scalar => BTreeSet::from([scalar.clone()]),
        };
        (!values.is_empty()).then_some(values)
    }
}
