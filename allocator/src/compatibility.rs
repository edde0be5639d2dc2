//! Compatibility groups (KEP-5963): which devices may draw on one counter set at the same time.
//!
//! All devices that draw on a counter set must have a group in common, or none of them any group. Devices of other
//! claims count like those of the search, with the groups that their slices have now.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::allocated::AllocatedState;
use crate::inventory::{Inventory, NodeView, PoolState};
use crate::objects::Device;

/// Numbers of groups, sorted.
pub(crate) type Groups = SmallVec<[u32; 2]>;

/// The counter sets of a node's pools and the groups with which devices draw on them. Empty where no device of the
/// node has a group: then all go together. Depends on slices only.
#[derive(Debug, Default)]
pub(crate) struct GroupLayout {
    /// By number: the pool of the view and the name of the counter set.
    sets: Vec<(u32, String)>,
    /// By position: the counter sets that the device draws on, in its order, and its groups there.
    draws: Vec<SmallVec<[Draw; 1]>>,
    /// Group names by number.
    names: Vec<String>,
}

/// That a device draws on a counter set: the number of the set, and the device's groups.
pub(crate) type Draw = (u32, Groups);

impl GroupLayout {
    pub(crate) fn new(inventory: &Inventory, view: &NodeView) -> Self {
        let mut layout = Self::default();
        if !view.pools.iter().any(|pool| has_groups(inventory, &pool.state)) {
            return layout;
        }
        layout.draws = vec![SmallVec::new(); view.positions.len()];
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        for (pool, pool_view) in (0_u32..).zip(&view.pools) {
            if !has_groups(inventory, &pool_view.state) {
                continue;
            }
            // Devices elsewhere may have groups that no device of the node has.
            for device in devices(inventory, &pool_view.state) {
                for name in device.consumes_counters.iter().flat_map(|draw| &draw.compatibility_groups) {
                    if !numbers.contains_key(name) {
                        numbers.insert(name.clone(), number(&layout.names));
                        layout.names.push(name.clone());
                    }
                }
            }
            for position in pool_view.positions.clone() {
                let device = inventory.device(view.device(position));
                let draws = draws_of(device, &numbers);
                layout.draws[position as usize] =
                    draws.map(|(set, groups)| (layout.set(pool, set), groups)).collect();
            }
        }
        layout
    }

    /// The counter sets that the device at a position draws on, where groups matter.
    pub(crate) fn draws(&self, position: u32) -> &[Draw] {
        self.draws.get(position as usize).map_or(&[], SmallVec::as_slice)
    }

    fn set(&mut self, pool: u32, name: &str) -> u32 {
        let found = self.sets.iter().position(|(other, known)| *other == pool && known == name);
        found.and_then(|index| u32::try_from(index).ok()).unwrap_or_else(|| {
            self.sets.push((pool, name.to_owned()));
            number(&self.sets) - 1
        })
    }

    /// What the devices of other claims leave possible on each counter set.
    fn baseline(&self, inventory: &Inventory, view: &NodeView, state: &AllocatedState) -> Vec<Common> {
        let mut common = vec![Common::Open; self.sets.len()];
        if common.is_empty() {
            return common;
        }
        let numbers: BTreeMap<String, u32> =
            (0_u32..).zip(&self.names).map(|(n, name)| (name.clone(), n)).collect();
        for (pool, pool_view) in (0_u32..).zip(&view.pools) {
            let Some(books) = state.pool(&inventory.pool(pool_view.pool).id) else { continue };
            for device in devices(inventory, &pool_view.state) {
                if !books.devices.contains_key(&device.name) {
                    continue;
                }
                for (set, groups) in draws_of(device, &numbers) {
                    let found = self.sets.iter().position(|(other, name)| *other == pool && name == set);
                    if let Some(set) = found {
                        common[set] = common[set].with(&groups);
                    }
                }
            }
        }
        common
    }
}

/// What the devices on one counter set have in common so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Common {
    /// There is no device yet.
    Open,
    /// None has a group.
    NoGroups,
    /// These groups; none where slices changed under allocated devices.
    Groups(Groups),
}

impl Common {
    fn admits(&self, groups: &[u32]) -> bool {
        match self {
            Self::Open => true,
            Self::NoGroups => groups.is_empty(),
            Self::Groups(common) => groups.iter().any(|group| common.contains(group)),
        }
    }

    /// With one more device. Where devices do not go together, as slices may change, the first decides whether it
    /// is groups that count.
    fn with(&self, groups: &Groups) -> Self {
        match self {
            Self::Open if groups.is_empty() => Self::NoGroups,
            Self::Open => Self::Groups(groups.clone()),
            Self::Groups(common) if !groups.is_empty() => {
                Self::Groups(common.iter().copied().filter(|group| groups.contains(group)).collect())
            }
            unchanged => unchanged.clone(),
        }
    }
}

/// The counter sets during one search.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupState {
    common: Vec<Common>,
    /// What was before each draw, for undoing.
    history: Vec<(u32, Common)>,
}

impl GroupState {
    pub(crate) fn new(
        layout: &GroupLayout,
        inventory: &Inventory,
        view: &NodeView,
        state: &AllocatedState,
    ) -> Self {
        Self { common: layout.baseline(inventory, view, state), history: Vec::new() }
    }

    /// Lets a device draw on its counter sets. Where it does not go with the devices on one of them, nothing
    /// changes and the number of the set is the error.
    pub(crate) fn take(&mut self, draws: &[Draw]) -> Result<(), u32> {
        for (done, (set, groups)) in draws.iter().enumerate() {
            let common = &mut self.common[*set as usize];
            if !common.admits(groups) {
                self.give_back(done);
                return Err(*set);
            }
            let next = common.with(groups);
            self.history.push((*set, std::mem::replace(common, next)));
        }
        Ok(())
    }

    /// Undoes the latest draws, so many.
    pub(crate) fn give_back(&mut self, draws: usize) {
        for _ in 0..draws {
            if let Some((set, before)) = self.history.pop() {
                self.common[set as usize] = before;
            }
        }
    }

    /// What the devices on each counter set have in common.
    pub(crate) fn common(&self) -> &[Common] {
        &self.common
    }
}

fn has_groups(inventory: &Inventory, state: &PoolState) -> bool {
    slices(state).any(|slice| inventory.has_groups(slice))
}

/// The devices of a pool, those of the node first.
fn devices<'a>(inventory: &'a Inventory, state: &'a PoolState) -> impl Iterator<Item = &'a Device> {
    slices(state).flat_map(|slice| &inventory.slice(slice).devices)
}

fn slices(state: &PoolState) -> impl Iterator<Item = u32> {
    let slices = match state {
        PoolState::Usable(slices) => [slices.devices.as_slice(), slices.elsewhere.as_slice()],
        PoolState::Incomplete | PoolState::Invalid(_) => [&[][..], &[][..]],
    };
    slices.into_iter().flatten().copied()
}

fn draws_of<'a>(
    device: &'a Device,
    numbers: &'a BTreeMap<String, u32>,
) -> impl Iterator<Item = (&'a str, Groups)> {
    device.consumes_counters.iter().map(|draw| {
        let mut groups: Groups =
            draw.compatibility_groups.iter().filter_map(|name| numbers.get(name).copied()).collect();
        groups.sort_unstable();
        groups.dedup();
        (draw.counter_set.as_str(), groups)
    })
}

/// Sets and groups are counted with 32 bits; each takes more than a byte of memory.
fn number<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("a node has less than 2^32 counter sets and groups")
}
