//! Compatibility groups (KEP-5963): what the devices on a counter set have in common.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{Device, DeviceId, PoolId};

use super::Question;
use super::reach::Pool;

/// What devices that draw on a counter set leave possible for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Common<'a> {
    /// Anything, because there are none.
    Anything,
    /// Only devices without groups, because the first has none.
    NoGroups,
    /// Devices of one of these groups; none where slices changed under devices that do not go together.
    Groups(BTreeSet<&'a str>),
}

/// The groups of all devices that draw on each counter set.
#[derive(Clone, Default)]
pub(crate) struct Groups<'a> {
    /// By pool and counter set: the common groups, `None` where the devices have no groups.
    common: BTreeMap<(PoolId, &'a str), Option<BTreeSet<&'a str>>>,
}

impl<'a> Groups<'a> {
    /// Those of what other claims hold, device by device in search order.
    pub(crate) fn new(question: &Question<'a>, pools: &[Pool<'a>]) -> Self {
        let mut groups = Self::default();
        for pool in pools.iter().filter(|_| question.features.compatibility_groups) {
            let slices = pool.reachable.iter().chain(&pool.elsewhere);
            for device in
                slices.filter(|slice| slice.shared_counters.is_empty()).flat_map(|slice| &slice.devices)
            {
                let id = DeviceId { pool: pool.id.clone(), device: device.name.clone() };
                if question.state.is_allocated(&id) {
                    groups.draw(&pool.id, device);
                }
            }
        }
        groups
    }

    /// What the devices on a counter set leave possible.
    pub(crate) fn common(&self, pool: &PoolId, set: &'a str) -> Common<'a> {
        match self.common.get(&(pool.clone(), set)) {
            None => Common::Anything,
            Some(None) => Common::NoGroups,
            Some(Some(groups)) => Common::Groups(groups.clone()),
        }
    }

    /// Lets a device draw on its counter sets. The first set where it does not go with the others, if there is one.
    pub(crate) fn draw(&mut self, pool: &PoolId, device: &'a Device) -> Option<&'a str> {
        let mut clash = None;
        for taken in &device.consumes_counters {
            let set = taken.counter_set.as_str();
            let own: BTreeSet<&str> = taken.compatibility_groups.iter().map(String::as_str).collect();
            match self.common.entry((pool.clone(), set)) {
                Entry::Vacant(first) => {
                    first.insert((!own.is_empty()).then_some(own));
                }
                Entry::Occupied(mut others) => {
                    let fits = match others.get() {
                        None => own.is_empty(),
                        Some(common) => !common.is_disjoint(&own),
                    };
                    if !fits {
                        clash.get_or_insert(set);
                    }
                    // The first device decides whether groups count.
                    if let Some(common) = others.get_mut()
                        && !own.is_empty()
                    {
                        common.retain(|group| own.contains(group));
                    }
                }
            }
        }
        clash
    }
}
