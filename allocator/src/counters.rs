//! Counters of partitionable devices (KEP-4815).

use std::collections::BTreeMap;

use drayage_cel::Quantity;
use rustc_hash::FxHashMap;

use crate::allocated::{AllocatedState, DeviceBooks};
use crate::amount;
use crate::inventory::{Inventory, NodeView, PoolState};
use crate::objects::{CounterSet, Device, PoolId};
use crate::profile::{CounterBooks, Profile};

/// The counters of a node's pools and what each device takes of them. Depends on slices only.
///
/// Pools whose devices consume counters are put into books; with [`CounterBooks::PoolName`] pools of equal name
/// share one, with [`CounterBooks::Slice`] each slice of a pool has its own.
#[derive(Debug, Default)]
pub(crate) struct CounterLayout {
    pub(crate) books: Vec<CounterBook>,
    /// By position: the book of the device and what it takes. Empty where no device of the node consumes counters.
    consumption: Vec<Option<(u32, Consumption)>>,
    /// Whether devices of which other claims hold shares take their counters.
    shares_take: bool,
    /// Whether a book belongs to several pools.
    mixes_pools: bool,
    /// Whether a device takes less than nothing.
    takes_less_than_nothing: bool,
}

/// What a device takes: number of the counter in its book, and amount.
pub(crate) type Consumption = Vec<(u32, Quantity)>;

/// The counters of one pool, or of several that upstream mixes up.
#[derive(Debug, Default)]
pub(crate) struct CounterBook {
    /// Counter set and counter.
    pub(crate) names: Vec<(String, String)>,
    /// Where the counters are from.
    pub(crate) sources: Vec<CounterSource>,
}

/// A pool, or a slice of it, and the full amount of the counters it has.
#[derive(Debug)]
pub(crate) struct CounterSource {
    /// In the view.
    pub(crate) pool: u32,
    /// The slice whose devices take from here; `None` for all of the pool.
    slice: Option<u32>,
    totals: Totals,
}

/// Amounts by number of the counter; `None` where the pool has no such counter.
pub(crate) type Totals = Vec<Option<Quantity>>;

impl CounterLayout {
    pub(crate) fn new(inventory: &Inventory, view: &NodeView, profile: Profile) -> Self {
        let mut layout = Self { shares_take: profile.held_shares_take_counters, ..Self::default() };
        let consumes = |pool: &PoolState| match pool {
            PoolState::Usable(slices) => {
                slices.devices.iter().any(|slice| inventory.consumes_counters(*slice))
            }
            PoolState::Incomplete | PoolState::Invalid(_) => false,
        };
        if !view.pools.iter().any(|pool| consumes(&pool.state)) {
            return layout;
        }
        let mut books = vec![None; view.len() as usize];
        let mut book_by_name: BTreeMap<&str, u32> = BTreeMap::new();
        for (pool, pool_view) in (0_u32..).zip(&view.pools) {
            let PoolState::Usable(slices) = &pool_view.state else { continue };
            let consumes =
                |position: u32| !inventory.device(view.device(position)).consumes_counters.is_empty();
            if !pool_view.positions.clone().any(consumes) {
                continue;
            }
            if profile.counter_books == CounterBooks::Slice {
                let mut start = pool_view.positions.start;
                for &slice in &slices.devices {
                    let end = start + u32::try_from(inventory.slice(slice).devices.len()).unwrap_or_default();
                    if (start..end).any(consumes) {
                        books[start as usize..end as usize].fill(Some(length(&layout.books)));
                        // Of sets with one name the last counts.
                        let sets = inventory.slice(slice).shared_counters.iter();
                        let sets: BTreeMap<&str, &CounterSet> =
                            sets.map(|set| (set.name.as_str(), set)).collect();
                        let mut book = CounterBook::default();
                        book.add(pool, Some(slice), sets.into_values());
                        // Counters that do not exist are not limited.
                        for device in &inventory.slice(slice).devices {
                            for entry in &device.consumes_counters {
                                for counter in entry.counters.keys() {
                                    book.number(&entry.counter_set, counter);
                                }
                            }
                        }
                        layout.books.push(book);
                    }
                    start = end;
                }
                continue;
            }
            let number = length(&layout.books);
            let number = match profile.counter_books {
                CounterBooks::Pool | CounterBooks::Slice => number,
                CounterBooks::PoolName => {
                    *book_by_name.entry(&inventory.pool(pool_view.pool).id.pool).or_insert(number)
                }
            };
            if number as usize == layout.books.len() {
                layout.books.push(CounterBook::default());
            }
            books[pool_view.positions.start as usize..pool_view.positions.end as usize].fill(Some(number));
            layout.books[number as usize].add(pool, None, slices.counter_sets(inventory));
        }
        if !layout.books.is_empty() {
            let taken = (0..view.len()).zip(books).map(|(position, book)| {
                let device = inventory.device(view.device(position));
                book.map(|book: u32| (book, layout.books[book as usize].consumption(device)))
            });
            layout.consumption = taken.collect();
        }
        layout.mixes_pools = layout.books.iter().any(|book| book.sources.len() > 1);
        let mut amounts = layout.consumption.iter().flatten().flat_map(|(_, taken)| taken);
        layout.takes_less_than_nothing = amounts.any(|(_, amount)| amount.sign() < 0);
        layout
    }

    /// The book of the device at a position and what it takes from there, if it consumes counters.
    pub(crate) fn consumption(&self, position: u32) -> Option<(u32, &[(u32, Quantity)])> {
        let (book, consumption) = self.consumption.get(position as usize)?.as_ref()?;
        Some((*book, consumption))
    }

    /// What is left of a book's counters for the devices of a pool, see [`CounterBook::available`].
    pub(crate) fn available(
        &self,
        book: u32,
        pool: u32,
        inventory: &Inventory,
        view: &NodeView,
        state: &AllocatedState,
    ) -> Totals {
        self.books[book as usize].available(pool, self.shares_take, inventory, view, state)
    }

    /// Whether some book belongs to several pools, so that the order of the search decides what is available.
    pub(crate) fn mixes_pools(&self) -> bool {
        self.mixes_pools
    }

    /// Whether less is left of every counter, the more devices are held.
    pub(crate) fn is_plain(&self) -> bool {
        !self.mixes_pools && !self.takes_less_than_nothing
    }
}

impl CounterBook {
    fn add<'a>(&mut self, pool: u32, slice: Option<u32>, counter_sets: impl Iterator<Item = &'a CounterSet>) {
        let mut totals = Totals::new();
        for counter_set in counter_sets {
            for (counter, amount) in &counter_set.counters {
                let index = self.number(&counter_set.name, counter) as usize;
                totals.resize(totals.len().max(index + 1), None);
                totals[index] = Some(amount.clone());
            }
        }
        self.sources.push(CounterSource { pool, slice, totals });
    }

    fn number(&mut self, counter_set: &str, counter: &str) -> u32 {
        let found = self.find(counter_set, counter);
        found.unwrap_or_else(|| {
            self.names.push((counter_set.to_owned(), counter.to_owned()));
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn find(&self, counter_set: &str, counter: &str) -> Option<u32> {
        let found = self.names.iter().position(|(set, name)| set == counter_set && name == counter);
        found.and_then(|index| u32::try_from(index).ok())
    }

    /// What a device takes. Counters a valid pool's devices name always exist.
    fn consumption(&self, device: &Device) -> Consumption {
        let mut consumption = Consumption::new();
        for entry in &device.consumes_counters {
            for (counter, amount) in &entry.counters {
                let Some(number) = self.find(&entry.counter_set, counter) else { continue };
                match consumption.iter_mut().find(|(other, _)| *other == number) {
                    Some((_, sum)) => amount::add(sum, amount),
                    None => consumption.push((number, amount.clone())),
                }
            }
        }
        consumption
    }

    /// What is left of a pool's counters after all allocated devices of the pool, on whatever node, took theirs.
    /// Negative where more was allocated than there is.
    fn available(
        &self,
        pool: u32,
        shares_take: bool,
        inventory: &Inventory,
        view: &NodeView,
        state: &AllocatedState,
    ) -> Totals {
        let source = self.sources.iter().find(|source| source.pool == pool);
        let mut available = source.map(|source| source.totals.clone()).unwrap_or_default();
        available.resize(self.names.len(), None);
        let pool_view = &view.pools[pool as usize];
        let PoolState::Usable(slices) = &pool_view.state else { return available };
        let id: &PoolId = &inventory.pool(pool_view.pool).id;
        let Some(books) = state.pool(id) else { return available };
        let mut deduct = |device: &Device| {
            for (number, amount) in self.consumption(device) {
                if let Some(Some(left)) = available.get_mut(number as usize) {
                    amount::subtract(left, &amount);
                }
            }
        };
        let takes = |held: &DeviceBooks| shares_take || held.exclusive;
        let slice = source.and_then(|source| source.slice);
        for (name, _) in books.devices.iter().filter(|(_, held)| takes(held)) {
            let position = pool_view.position_of(inventory, view, name);
            let device = position.map(|position| view.device(position));
            if let Some(device) = device
                && slice.is_none_or(|slice| device.slice == slice)
            {
                deduct(inventory.device(device));
            }
        }
        for device in slices.elsewhere.iter().flat_map(|slice| &inventory.slice(*slice).devices) {
            if books.devices.get(&device.name).is_some_and(|held| takes(held)) {
                deduct(device);
            }
        }
        available
    }
}

/// Books are counted with 32 bits; each has a device.
fn length(books: &[CounterBook]) -> u32 {
    u32::try_from(books.len()).unwrap_or(u32::MAX)
}

/// The running books of one search.
#[derive(Clone, Debug, Default)]
pub(crate) struct CounterState {
    /// By number; empty where there are many.
    few: Vec<RunningBook>,
    /// Of many, those that the search looked at.
    many: FxHashMap<u32, RunningBook>,
}

/// So many books are made for each search, whether it looks at them or not.
const FEW: usize = 64;

#[derive(Clone, Debug, Default)]
struct RunningBook {
    /// What was available before this search, computed when a device of the book is first looked at; from then
    /// on it stays, whichever pool of the book that device belongs to.
    available: Option<Totals>,
    /// Empty before a device of the book is looked at.
    consumed: Vec<Quantity>,
}

impl CounterState {
    pub(crate) fn new(layout: &CounterLayout) -> Self {
        let few = Some(layout.books.len()).filter(|books| *books <= FEW).unwrap_or_default();
        Self { few: vec![RunningBook::default(); few], many: FxHashMap::default() }
    }

    /// Takes what a device needs, if **every** counter of the book still covers what is taken: one counter that is
    /// over-committed blocks all devices of the pool that consume any. The error is the number of a short counter.
    pub(crate) fn take(
        &mut self,
        book: u32,
        consumption: &[(u32, Quantity)],
        available: impl FnOnce() -> Totals,
    ) -> Result<(), u32> {
        let running = self.book(book);
        let counters = running.available.get_or_insert_with(available).len();
        running.consumed.resize(counters, Quantity::ZERO);
        for (counter, amount) in consumption {
            amount::add(&mut running.consumed[*counter as usize], amount);
        }
        let shortage = running.shortage();
        if shortage.is_some() {
            self.give_back(book, consumption);
        }
        shortage.map_or(Ok(()), Err)
    }

    /// Undoes a successful [`take`](Self::take).
    pub(crate) fn give_back(&mut self, book: u32, consumption: &[(u32, Quantity)]) {
        let running = self.book(book);
        for (counter, amount) in consumption {
            amount::subtract(&mut running.consumed[*counter as usize], amount);
        }
    }

    /// What the search has taken from a book so far, by counter; empty before it looked at any of its devices.
    pub(crate) fn consumed(&self, book: u32) -> &[Quantity] {
        self.few.get(book as usize).or_else(|| self.many.get(&book)).map_or(&[], |book| &book.consumed)
    }

    fn book(&mut self, book: u32) -> &mut RunningBook {
        match self.few.get_mut(book as usize) {
            Some(running) => running,
            None => self.many.entry(book).or_default(),
        }
    }
}

impl RunningBook {
    /// The number of a counter of which less is available than taken.
    fn shortage(&self) -> Option<u32> {
        let available = self.available.iter().flatten();
        let mut counters = (0_u32..).zip(available.zip(&self.consumed));
        let short = counters
            .find(|(_, (available, taken))| available.as_ref().is_some_and(|available| available < *taken));
        short.map(|(counter, _)| counter)
    }
}
