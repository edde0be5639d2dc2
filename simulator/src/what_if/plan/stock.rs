//! Partitions of devices, what they take of their device's counters, and who holds them.

use std::collections::BTreeMap;

use drayage_allocator::objects::{Device, DeviceId, PoolId, ResourceSlice};
use drayage_cel::AttributeValue;
use rustc_hash::FxHashMap;

use super::linked::Linked;
use super::wants::{Role, WantId, Wants};
use crate::schedule::{ClusterState, PodId};

/// A device that takes from shared counters, or one that takes from none and is all of its whole device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partition {
    slice: usize,
    device: usize,
    /// Number of its whole device: all partitions that take from the same counters.
    pub(super) whole: usize,
    /// Its form among those of the whole device.
    pub(super) form: usize,
}

/// A device that is divided: a counter set of a pool, or several that some device takes from at the same time.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole<'s> {
    slice: usize,
    /// Empty for a device that takes from no counters.
    pub(super) counter_sets: Vec<&'s str>,
    /// The node that has it.
    pub(super) node: usize,
    /// Full amounts by number of the counter, in thousandths.
    pub(super) amounts: Vec<i64>,
    pub(super) forms: Vec<Form>,
}

/// Partitions of a whole device that nothing tells apart: they take the same, and the same requests can have them.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    /// Number of what it takes.
    pub(super) takes: usize,
    /// Number of the wants that it matches.
    pub(super) wanted: usize,
    /// Numbers of the partitions, in the order of the slices.
    pub(super) partitions: Vec<usize>,
}

/// Values by number, each once.
#[derive(Clone, Debug)]
pub(super) struct Numbered<T> {
    all: Vec<T>,
    numbers: FxHashMap<T, usize>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { all: Vec::new(), numbers: FxHashMap::default() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Numbered<T> {
    pub(super) fn number(&mut self, value: T) -> usize {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        self.all.push(value.clone());
        self.numbers.insert(value, self.all.len() - 1);
        self.all.len() - 1
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.all.get(number)
    }
}

/// Amounts by number of the counter, in thousandths.
pub(super) type Takes = Vec<(usize, i64)>;

/// All partitions of the devices that are on one node alone, and the other devices that requests for partitions can have
/// instead.
#[derive(Clone, Debug, Default)]
pub(super) struct Stock<'s> {
    slices: Vec<&'s ResourceSlice>,
    pub(super) wholes: Vec<Whole<'s>>,
    pub(super) partitions: Vec<Partition>,
    pub(super) takes: Numbered<Takes>,
    pub(super) wanted: Numbered<Vec<WantId>>,
    /// The pods that hold each partition.
    pub(super) holders: BTreeMap<usize, Vec<PodId>>,
    /// Partitions that stay whatever happens: of claims that several pods share, or none. Others than those of
    /// `holders` are held by nobody who is known.
    pub(super) stuck: std::collections::BTreeSet<usize>,
    /// The partitions of each pod.
    pub(super) of_pod: FxHashMap<PodId, Vec<usize>>,
}

/// Attributes that say what a partition is, in this order.
const TELLING: [&str; 3] = ["profile", "productName", "type"];

/// A counter set while wholes are put together.
struct Set<'s> {
    name: &'s str,
    slice: usize,
    node: usize,
    counters: Vec<(&'s str, i64)>,
}

/// A partition while wholes are put together: what it takes, by counter set and counter.
struct Draft {
    slice: usize,
    device: usize,
    takes: Vec<(usize, usize, i64)>,
    wanted: Vec<WantId>,
}

impl<'s> Stock<'s> {
    /// Finds all partitions and what matches each want.
    pub(super) fn new(state: &'s ClusterState, wants: &mut Wants<'_>) -> Self {
        let mut stock = Self { slices: newest(state), ..Self::default() };
        let slices = stock.slices.clone();
        let mut pools: Numbered<(&str, &str)> = Numbered::default();
        let mut sets: Vec<Set<'s>> = Vec::new();
        let mut set_numbers: FxHashMap<(usize, &str), usize> = FxHashMap::default();
        let named = |slice: &'s ResourceSlice| slice.node_name.as_deref().filter(|name| !name.is_empty());
        let node_of = |slice: &'s ResourceSlice| state.find_node(named(slice)?);
        for (number, slice) in slices.iter().copied().enumerate() {
            let Some(node) = node_of(slice) else { continue };
            let pool = pools.number((&slice.driver, &slice.pool.name));
            for set in &slice.shared_counters {
                set_numbers.entry((pool, &set.name)).or_insert(sets.len());
                let counters =
                    set.counters.iter().map(|(name, counter)| (name.as_str(), counter.milli_value()));
                sets.push(Set { name: &set.name, slice: number, node, counters: counters.collect() });
            }
        }
        // Sets that some device takes from together.
        let mut linked = Linked::new(sets.len());
        let mut drafts = Vec::new();
        let mut plain = Vec::new();
        for (number, slice) in slices.iter().copied().enumerate() {
            let node = node_of(slice);
            if node.is_none() && named(slice).is_some() {
                // Of a node that is not there.
                continue;
            }
            let pool = pools.number((&slice.driver, &slice.pool.name));
            for (at, device) in slice.devices.iter().enumerate() {
                let is_shared = device.allow_multiple_allocations == Some(true);
                let role = match node {
                    Some(_) if is_shared => Role::Other,
                    None => Role::Other,
                    Some(_) if device.consumes_counters.is_empty() => Role::Plain,
                    Some(_) => Role::Partition,
                };
                if role == Role::Partition {
                    let Some(takes) = taken(device, pool, &set_numbers, &sets) else { continue };
                    linked.link(takes.iter().map(|(set, ..)| *set));
                    let wanted = wants.of_device(slice, device, role);
                    drafts.push(Draft { slice: number, device: at, takes, wanted });
                    continue;
                }
                let wanted = wants.of_device(slice, device, role);
                if let (Role::Plain, Some(node)) = (role, node)
                    && !wanted.is_empty()
                {
                    plain.push((Draft { slice: number, device: at, takes: Vec::new(), wanted }, node));
                }
            }
        }
        stock.add_wholes(&sets, &linked, drafts);
        for (draft, node) in plain {
            stock.wholes.push(Whole { slice: draft.slice, node, ..Whole::default() });
            stock.add(draft, stock.wholes.len() - 1, Takes::new());
        }
        stock.note_holders(state);
        stock
    }

    /// Sets that are linked become one whole device.
    fn add_wholes(&mut self, sets: &[Set<'s>], linked: &Linked, drafts: Vec<Draft>) {
        let mut whole_of_first: FxHashMap<usize, usize> = FxHashMap::default();
        // By set: its whole device, and where its counters begin.
        let mut places = Vec::new();
        for (number, set) in sets.iter().enumerate() {
            let whole = *whole_of_first.entry(linked.first(number)).or_insert_with(|| {
                self.wholes.push(Whole { slice: set.slice, node: set.node, ..Whole::default() });
                self.wholes.len() - 1
            });
            let Some(of) = self.wholes.get_mut(whole) else { continue };
            places.push((whole, of.amounts.len()));
            of.counter_sets.push(set.name);
            of.amounts.extend(set.counters.iter().map(|(_, amount)| amount));
        }
        for draft in drafts {
            let mut whole = None;
            let mut takes: BTreeMap<usize, i64> = BTreeMap::new();
            for &(set, counter, amount) in &draft.takes {
                let Some(&(of_set, first)) = places.get(set) else { continue };
                whole = Some(of_set);
                let sum = takes.entry(first + counter).or_default();
                *sum = sum.saturating_add(amount);
            }
            if let Some(whole) = whole {
                self.add(draft, whole, takes.into_iter().collect());
            }
        }
        // Counter sets that nobody takes from are no devices.
        debug_assert!(self.wholes.iter().all(|whole| !whole.counter_sets.is_empty()));
    }

    fn add(&mut self, draft: Draft, whole: usize, takes: Takes) {
        let (takes, wanted) = (self.takes.number(takes), self.wanted.number(draft.wanted));
        let number = self.partitions.len();
        let Some(of) = self.wholes.get_mut(whole) else { return };
        let known = of.forms.iter().position(|form| form.takes == takes && form.wanted == wanted);
        let form = known.unwrap_or_else(|| {
            of.forms.push(Form { takes, wanted, partitions: Vec::new() });
            of.forms.len() - 1
        });
        if let Some(form) = of.forms.get_mut(form) {
            form.partitions.push(number);
        }
        self.partitions.push(Partition { slice: draft.slice, device: draft.device, whole, form });
    }

    fn note_holders(&mut self, state: &ClusterState) {
        let mut numbers: FxHashMap<(&str, &str, &str), usize> = FxHashMap::default();
        for (number, partition) in self.partitions.iter().enumerate() {
            let Some((slice, device)) = self.published(partition) else { continue };
            numbers.insert((&slice.driver, &slice.pool.name, &device.name), number);
        }
        for claim in state.claims() {
            let Some(allocation) = claim.allocation else { continue };
            for result in allocation.results.iter().filter(|result| result.admin_access != Some(true)) {
                let key = (result.driver.as_str(), result.pool.as_str(), result.device.as_str());
                let Some(&number) = numbers.get(&key) else { continue };
                // What several pods share does not move with one of them.
                if claim.consumers.len() != 1 || !claim.generated {
                    self.stuck.insert(number);
                }
                self.holders.entry(number).or_default().extend(&claim.consumers);
                for &pod in &claim.consumers {
                    self.of_pod.entry(pod).or_default().push(number);
                }
            }
        }
    }

    fn published(&self, partition: &Partition) -> Option<(&'s ResourceSlice, &'s Device)> {
        let slice = self.slices.get(partition.slice)?;
        Some((slice, slice.devices.get(partition.device)?))
    }

    /// The slice of a partition, by number, and its device there.
    pub(super) fn place(&self, number: usize) -> Option<(usize, &'s ResourceSlice, &'s Device)> {
        let partition = self.partitions.get(number)?;
        let (slice, device) = self.published(partition)?;
        Some((partition.slice, slice, device))
    }

    /// The number of a partition's device in its slice.
    pub(super) fn device(&self, number: usize) -> usize {
        self.partitions.get(number).map_or(0, |partition| partition.device)
    }

    /// A partition's name.
    pub(super) fn id(&self, number: usize) -> Option<DeviceId> {
        let (_, slice, device) = self.place(number)?;
        Some(DeviceId { pool: slice.pool_id(), device: device.name.clone() })
    }

    /// The pool of a whole device.
    pub(super) fn pool(&self, whole: &Whole<'_>) -> Option<PoolId> {
        Some(self.slices.get(whole.slice)?.pool_id())
    }

    /// What kind of partition it is, in words.
    pub(super) fn profile(&self, number: usize) -> String {
        self.place(number).map(|(_, _, device)| profile(device)).unwrap_or_default()
    }

    /// Whether a whole device has counters to divide.
    pub(super) fn is_divided(&self, whole: usize) -> bool {
        self.wholes.get(whole).is_some_and(|whole| !whole.counter_sets.is_empty())
    }
}

/// The slices of the newest generation of each pool.
fn newest(state: &ClusterState) -> Vec<&ResourceSlice> {
    let mut newest: FxHashMap<(&str, &str), i64> = FxHashMap::default();
    for slice in state.slices() {
        let generation = newest.entry((&slice.driver, &slice.pool.name)).or_insert(slice.pool.generation);
        *generation = (*generation).max(slice.pool.generation);
    }
    let is_newest = |slice: &&ResourceSlice| {
        newest.get(&(slice.driver.as_str(), slice.pool.name.as_str())) == Some(&slice.pool.generation)
    };
    state.slices().filter(is_newest).collect()
}

/// What a device takes, by counter set and counter; `None` where one is missing, and nobody can have the device.
fn taken(
    device: &Device,
    pool: usize,
    numbers: &FxHashMap<(usize, &str), usize>,
    sets: &[Set<'_>],
) -> Option<Vec<(usize, usize, i64)>> {
    let mut takes = Vec::new();
    for consumption in &device.consumes_counters {
        let number = *numbers.get(&(pool, consumption.counter_set.as_str()))?;
        let set = sets.get(number)?;
        for (name, amount) in &consumption.counters {
            let counter = set.counters.iter().position(|(other, _)| other == name)?;
            takes.push((number, counter, amount.milli_value()));
        }
    }
    (!takes.is_empty()).then_some(takes)
}

fn profile(device: &Device) -> String {
    let telling = TELLING.iter().find_map(|telling| {
        device.attributes.iter().find_map(|(name, value)| match value {
            AttributeValue::String(text) if name.rsplit('/').next() == Some(*telling) => Some(text.clone()),
            _ => None,
        })
    });
    telling.unwrap_or_else(|| device.name.clone())
}
