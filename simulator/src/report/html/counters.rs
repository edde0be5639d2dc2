//! Devices that cannot be allocated because others have taken their counters (KEP-4815).

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::ResourceSlice;

/// A use of a device, from one step to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) device: usize,
    pub(super) from: i64,
    pub(super) end: Option<i64>,
}

impl Span {
    fn covers(self, step: i64) -> bool {
        self.from <= step && self.end.is_none_or(|end| step < end)
    }
}

/// The counters of one pool.
#[derive(Debug, Default)]
pub(super) struct PoolCounters {
    numbers: BTreeMap<(String, String), usize>,
    totals: Vec<i64>,
    /// Number of the device, and what it takes: number of the counter and amount.
    consumers: Vec<(usize, Vec<(usize, i64)>)>,
}

impl PoolCounters {
    /// Adds a slice of the pool; `number` gives the numbers of its devices.
    pub(super) fn add(&mut self, slice: &ResourceSlice, number: impl Fn(&str) -> Option<usize>) {
        for set in &slice.shared_counters {
            for (counter, total) in &set.counters {
                let at = self.number(&set.name, counter);
                if let Some(known) = self.totals.get_mut(at) {
                    *known = total.value();
                }
            }
        }
        for device in &slice.devices {
            let mut taken = Vec::new();
            for consumption in &device.consumes_counters {
                for (counter, amount) in &consumption.counters {
                    taken.push((self.number(&consumption.counter_set, counter), amount.value()));
                }
            }
            if let Some(number) = number(&device.name)
                && !taken.is_empty()
            {
                self.consumers.push((number, taken));
            }
        }
    }

    fn number(&mut self, set: &str, counter: &str) -> usize {
        let next = self.totals.len();
        let at = *self.numbers.entry((set.to_owned(), counter.to_owned())).or_insert(next);
        if at == next {
            self.totals.push(0);
        }
        at
    }

    /// From which step to which a device is blocked, for all devices; `uses` are those of this pool.
    pub(super) fn blocked(&self, uses: &[Span]) -> Vec<Span> {
        let steps: BTreeSet<i64> =
            uses.iter().flat_map(|span| [Some(span.from), span.end]).flatten().collect();
        let mut open: BTreeMap<usize, i64> = BTreeMap::new();
        let mut blocked = Vec::new();
        for step in steps {
            let taken: BTreeSet<usize> =
                uses.iter().filter(|span| span.covers(step)).map(|span| span.device).collect();
            let mut left = self.totals.clone();
            let takers = self.consumers.iter().filter(|(device, _)| taken.contains(device));
            for &(counter, amount) in takers.flat_map(|(_, amounts)| amounts) {
                if let Some(left) = left.get_mut(counter) {
                    *left = left.saturating_sub(amount);
                }
            }
            for (device, amounts) in &self.consumers {
                let lacks = amounts
                    .iter()
                    .any(|&(counter, amount)| left.get(counter).is_none_or(|&left| left < amount));
                if lacks && !taken.contains(device) {
                    open.entry(*device).or_insert(step);
                } else if let Some(from) = open.remove(device) {
                    blocked.push(Span { device: *device, from, end: Some(step) });
                }
            }
        }
        blocked.extend(open.into_iter().map(|(device, from)| Span { device, from, end: None }));
        blocked
    }
}
