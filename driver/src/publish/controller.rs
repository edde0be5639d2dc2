//! The controller of a driver's slices on one node, without a clock and without a network: events go in, requests to
//! the API server come out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    compare::{Specification, dropped, keep_times, same},
    contents::{Content, Contents},
    digest::Digest,
    known::{Known, Stored},
    layout::{Layout, LayoutError, head, spec, spread},
    version::ApiVersion,
};
use crate::devices::{Fields, Pool};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a change by somebody else is left alone, so that two writers do not fight at full speed.
const FOREIGN_CHANGE: Duration = Duration::from_secs(30);

/// A slice as the API server has it, its specification in the form of `resource.k8s.io/v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.resourceVersion`
    pub resource_version: String,
    /// `spec`, as text: there may be hundreds of slices, and as trees they take twenty times the memory.
    pub spec: Fields,
}

/// What a server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Newest version of the API group.
    pub version: ApiVersion,
    /// Minor version of Kubernetes, such as 36.
    pub minor: u32,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 404
    #[error("there is no such object")]
    NotFound,
    /// 409: somebody else was faster, or the object exists.
    #[error("the object has changed meanwhile")]
    Conflict,
    /// 410: the server has forgotten that version.
    #[error("the version is too old")]
    Expired,
    /// 400 and 422: the same again would be refused again.
    #[error("the API server refuses the object: {0}")]
    Invalid(String),
    /// Anything else. Whether the request was carried out is not known.
    #[error("{0}")]
    Unavailable(String),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// These are the pools from now on.
    Desired(Vec<Pool>),
    /// The answer to [`Action::Discover`].
    Discovered(Result<Served, ApiError>),
    /// The answer to [`Action::List`]; a watch follows by itself.
    Listed(Result<Vec<Slice>, ApiError>),
    /// The watch saw a slice appear or change.
    Changed(Slice),
    /// The watch saw a slice go.
    Deleted(Slice),
    /// The watch ended, in whatever way.
    WatchLost,
    /// The answer to a write. A delete has no slice.
    Written {
        /// Number of the write.
        write: u64,
        /// Its outcome.
        result: Result<Option<Slice>, ApiError>,
    },
    /// Time has passed: see [`Controller::wake_at`].
    Time,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask which versions the server has.
    Discover,
    /// List the slices of this driver and node, and watch them from there.
    List,
    /// Make a slice.
    Create {
        /// Number for the answer.
        write: u64,
        /// `metadata.generateName`
        name_prefix: String,
        /// `spec`
        spec: Fields,
    },
    /// Change a slice, if it still has its resource version.
    Update {
        /// Number for the answer.
        write: u64,
        /// The slice as it is to be.
        slice: Slice,
    },
    /// Delete a slice, if it is still the one with this UID.
    Delete {
        /// Number for the answer.
        write: u64,
        /// The slice as it was.
        slice: Slice,
    },
    /// Tell a person.
    Report(Report),
}

/// What a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Report {
    /// Fields that the server does not store.
    #[error("the API server does not store {} of pool `{pool}`: a feature gate is off, or the server is older", .fields.join(", "))]
    DroppedFields {
        /// The pool.
        pool: String,
        /// Paths of the fields.
        fields: Vec<String>,
    },
    /// A pool that cannot be published until it changes.
    #[error("pool `{pool}` cannot be published: {reason}")]
    Refused {
        /// The pool.
        pool: String,
        /// Why.
        reason: String,
    },
    /// A request failed and is tried again.
    #[error("{0}")]
    Failed(String),
}

/// A write that is under way.
#[derive(Clone, Debug)]
struct Write {
    pool: String,
    /// What was sent; none for a delete.
    sent: Option<Specification>,
    /// The slice that it is about; none for a create.
    slice: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum View {
    /// Nothing is known of the server.
    Undiscovered,
    /// Nothing is known of the slices.
    Unlisted,
    /// A request for either is under way.
    Asking,
    /// The slices are known, as far as the watch has told.
    Current,
}

/// The controller. See [`Event`] and [`Action`].
#[derive(Debug)]
pub struct Controller {
    driver: String,
    node: String,
    taints: bool,
    served: Option<Served>,
    view: View,
    pools: BTreeMap<String, Pool>,
    /// The pools spread over slices, for the server that is known.
    contents: BTreeMap<String, Contents>,
    /// Pools that have to be looked at.
    unsettled: BTreeSet<String>,
    slices: BTreeMap<String, Known>,
    /// Only of slices that are not stored as they were sent.
    stored: BTreeMap<String, Stored>,
    writes: BTreeMap<u64, Write>,
    /// UIDs of slices that the watch saw go while writes were under way: the answer to a write may come after that.
    gone: BTreeSet<String>,
    next_write: u64,
    /// Highest generation that a pool ever had here: after a wipe it goes on from there.
    generations: BTreeMap<String, i64>,
    refused: BTreeSet<String>,
    reported: BTreeSet<String>,
    /// Pools of which a write may still be carried out although it failed.
    uncertain: BTreeSet<String>,
    /// Pools that are not touched before a time, because somebody else changed a slice.
    patience: BTreeMap<String, Duration>,
    pause: Duration,
    /// Nothing is asked before this.
    not_before: Duration,
}

impl Controller {
    /// A controller for the slices of `driver` on `node`. With `taints` devices may get taints at any time.
    pub fn new(driver: &str, node: &str, taints: bool) -> Self {
        Self {
            driver: driver.to_owned(),
            node: node.to_owned(),
            taints,
            served: None,
            view: View::Undiscovered,
            pools: BTreeMap::new(),
            contents: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            slices: BTreeMap::new(),
            stored: BTreeMap::new(),
            writes: BTreeMap::new(),
            gone: BTreeSet::new(),
            next_write: 0,
            generations: BTreeMap::new(),
            refused: BTreeSet::new(),
            reported: BTreeSet::new(),
            uncertain: BTreeSet::new(),
            patience: BTreeMap::new(),
            pause: FIRST_PAUSE,
            not_before: Duration::ZERO,
        }
    }

    /// When [`Event::Time`] should come next; none if nothing waits for a time.
    pub fn wake_at(&self) -> Option<Duration> {
        let waits = self.view != View::Asking && (self.view != View::Current || self.writes.is_empty());
        let failed = (waits && self.not_before > Duration::ZERO).then_some(self.not_before);
        failed.into_iter().chain(self.patience.values().copied()).min()
    }

    /// Whether the server has all pools as they should be, as far as is known.
    pub fn is_settled(&self) -> bool {
        self.view == View::Current && self.writes.is_empty() && self.unsettled.is_empty()
    }

    /// The slices as they are known.
    pub fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.slices.values().map(|known| &known.slice)
    }

    /// Takes an event at a time since some fixed moment, and says what is to be done.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Desired(pools) => {
                let pools: BTreeMap<String, Pool> =
                    pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect();
                let names: BTreeSet<String> = pools.keys().chain(self.pools.keys()).cloned().collect();
                for name in names.into_iter().filter(|name| pools.get(name) != self.pools.get(name)) {
                    self.refused.remove(&name);
                    if pools.contains_key(&name) {
                        self.contents.entry(name.clone()).or_default().outdated = true;
                    } else {
                        self.contents.remove(&name);
                    }
                    self.unsettled.insert(name);
                }
                self.pools = pools;
            }
            Event::Discovered(Ok(served)) => {
                if self.served.replace(served) != Some(served) {
                    self.contents.clear();
                }
                self.view = View::Unlisted;
                self.succeeded();
            }
            Event::Discovered(Err(error)) => {
                self.view = View::Undiscovered;
                self.failed(now, &format!("cannot ask for the versions of the API: {error}"), &mut actions);
            }
            Event::Listed(Ok(slices)) => {
                let mut before = std::mem::take(&mut self.slices);
                for slice in slices {
                    let known = before.remove(&slice.name).filter(|known| known.slice == slice);
                    let known = known.unwrap_or_else(|| self.known(slice));
                    self.slices.insert(known.slice.name.clone(), known);
                }
                self.stored.retain(|name, _| self.slices.contains_key(name));
                self.view = View::Current;
                self.unsettled.extend(self.slices.values().map(|known| known.pool.clone()));
                self.unsettled.extend(self.pools.keys().cloned());
            }
            Event::Listed(Err(error)) => {
                // A server that has been replaced may have other versions.
                self.view = if error == ApiError::NotFound { View::Undiscovered } else { View::Unlisted };
                self.failed(now, &format!("cannot list slices: {error}"), &mut actions);
            }
            Event::Changed(slice) => self.changed(now, slice),
            Event::Deleted(slice) => {
                if !self.writes.is_empty() {
                    self.gone.insert(slice.uid.clone());
                }
                let is_it = |known: &Known| known.slice.uid == slice.uid;
                if self.slices.get(&slice.name).is_some_and(is_it)
                    && let Some(known) = self.slices.remove(&slice.name)
                {
                    self.stored.remove(&slice.name);
                    self.unsettled.insert(known.pool);
                }
            }
            Event::WatchLost => {
                if self.view == View::Current {
                    self.view = View::Unlisted;
                }
            }
            Event::Written { write, result } => self.written(now, write, result, &mut actions),
            Event::Time => {}
        }
        self.patience.retain(|_, until| *until > now);
        if now >= self.not_before {
            self.not_before = Duration::ZERO;
        }
        self.go_on(&mut actions);
        actions
    }

    fn succeeded(&mut self) {
        self.pause = FIRST_PAUSE;
        self.not_before = Duration::ZERO;
        self.reported.retain(|text| !text.starts_with("cannot"));
    }

    fn failed(&mut self, now: Duration, message: &str, actions: &mut Vec<Action>) {
        self.not_before = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if self.reported.insert(message.to_owned()) {
            actions.push(Action::Report(Report::Failed(message.to_owned())));
        }
    }

    fn changed(&mut self, now: Duration, slice: Slice) {
        let number = |version: &str| version.parse::<u64>().unwrap_or(u64::MAX);
        let before = self.slices.get(&slice.name).map(|known| &known.slice);
        // The watch lags behind our own writes.
        if before.is_some_and(|known| number(&known.resource_version) >= number(&slice.resource_version)) {
            return;
        }
        let mut changed = self.known(slice);
        let before = self.slices.get(&changed.slice.name);
        let before = before.filter(|known| known.specification().says(&changed.specification()));
        let is_same = before.is_some();
        changed.satisfies = before.and_then(|known| known.satisfies);
        // Our own write may be seen before its answer comes.
        if !is_same && !self.writes.values().any(|write| write.pool == changed.pool) {
            self.patience.insert(changed.pool.clone(), now + FOREIGN_CHANGE);
        }
        self.unsettled.insert(changed.pool.clone());
        self.slices.insert(changed.slice.name.clone(), changed);
    }

    fn written(
        &mut self,
        now: Duration,
        write: u64,
        result: Result<Option<Slice>, ApiError>,
        actions: &mut Vec<Action>,
    ) {
        let Some(Write { pool, sent, slice }) = self.writes.remove(&write) else { return };
        let gone = |made: &Slice| self.gone.contains(&made.uid);
        let result = result.map(|made| made.filter(|made| !gone(made)));
        if self.writes.is_empty() {
            self.gone.clear();
        }
        self.unsettled.insert(pool.clone());
        match (result, sent) {
            (Ok(Some(made)), Some(sent)) => {
                self.succeeded();
                let mut known = self.known(made);
                let stored = known.specification();
                known.satisfies = sent.digest;
                let is_same = sent.digest.is_some() && sent.digest == stored.digest || {
                    let (sent, stored) = (sent.fields.map(), stored.fields.map());
                    let fields = dropped(&sent, &stored);
                    if !fields.is_empty() && self.reported.insert(format!("{pool} {fields:?}")) {
                        actions.push(Action::Report(Report::DroppedFields { pool, fields }));
                    }
                    same(&sent, &stored)
                };
                if is_same {
                    self.stored.remove(&known.slice.name);
                } else {
                    self.stored.insert(known.slice.name.clone(), Stored { sent, stored });
                }
                self.slices.insert(known.slice.name.clone(), known);
            }
            (Ok(_) | Err(ApiError::NotFound), _) => {
                // Deleted, by us or by somebody else.
                if let Some(name) = slice {
                    self.slices.remove(&name);
                    self.stored.remove(&name);
                }
            }
            (Err(ApiError::Invalid(reason)), _) => {
                self.refused.insert(pool.clone());
                actions.push(Action::Report(Report::Refused { pool, reason }));
            }
            (Err(error), _) => {
                // What the server has is not known any more.
                if error != ApiError::Conflict {
                    self.uncertain.insert(pool.clone());
                }
                if self.view == View::Current {
                    self.view = View::Unlisted;
                }
                self.failed(now, &format!("cannot write a slice of pool `{pool}`: {error}"), actions);
            }
        }
    }

    /// Asks for what is not known, or brings pools into order.
    fn go_on(&mut self, actions: &mut Vec<Action>) {
        if self.not_before > Duration::ZERO {
            return;
        }
        match self.view {
            View::Undiscovered => {
                self.view = View::Asking;
                actions.push(Action::Discover);
            }
            // What is listed while writes are under way would be older than their answers.
            View::Unlisted if self.writes.is_empty() => {
                self.view = View::Asking;
                actions.push(Action::List);
            }
            View::Unlisted | View::Asking => {}
            View::Current => {
                let busy: BTreeSet<&String> = self.writes.values().map(|write| &write.pool).collect();
                let waits = |pool: &String| busy.contains(pool) || self.patience.contains_key(pool);
                let ready: Vec<String> = self.unsettled.iter().filter(|pool| !waits(pool)).cloned().collect();
                for pool in ready {
                    self.unsettled.remove(&pool);
                    if !self.refused.contains(&pool) {
                        self.settle(&pool, actions);
                    }
                }
            }
        }
    }

    /// Brings one pool into order. Consumers ignore a pool whose highest generation is not complete, so a change of
    /// several slices is one change to them.
    fn settle(&mut self, pool: &str, actions: &mut Vec<Action>) {
        let contents = match self.contents(pool) {
            Ok(contents) => contents,
            Err(error) => {
                self.refused.insert(pool.to_owned());
                let reason = error.to_string();
                actions.push(Action::Report(Report::Refused { pool: pool.to_owned(), reason }));
                return;
            }
        };
        let of_pool = || self.slices.values().filter(|known| known.pool == pool);
        let newest = of_pool().map(|known| known.generation).max();
        // Slices by their place; obsolete ones and doubles go.
        let mut current: BTreeMap<usize, &Known> = BTreeMap::new();
        let mut surplus = Vec::new();
        for known in of_pool() {
            let place = place(&known.slice.name).filter(|place| *place < contents.len());
            let usable = Some(known.generation) == newest && known.can_be_updated;
            match place.filter(|place| usable && !current.contains_key(place)) {
                Some(place) => {
                    current.insert(place, known);
                }
                None => surplus.push(known.slice.clone()),
            }
        }
        let known = newest.unwrap_or(0).max(self.generations.get(pool).copied().unwrap_or(0));
        let head_of = |generation| {
            let head = head(&self.driver, &self.node, pool, generation, contents.len());
            (Digest::of(head.text()), head)
        };
        let (head_digest, newest_head) = head_of(newest.unwrap_or(0));
        let (mut changed, mut satisfied) = (Vec::new(), Vec::new());
        for (place, known) in &current {
            let Some(content) = contents.get(*place) else { continue };
            let wanted = content.with(head_digest);
            if wanted.is_some() && (wanted == known.digest || wanted == known.satisfies) {
                continue;
            }
            let fields = spec(&newest_head, &content.slice);
            if self.is_stored(known, &Specification { fields, digest: wanted }) {
                satisfied.push((known.slice.name.clone(), wanted));
            } else {
                changed.push(*place);
            }
        }
        let missing: Vec<usize> = (0..contents.len()).filter(|place| !current.contains_key(place)).collect();
        // One changed slice is one change anyway; and where nothing changed, missing ones complete their generation,
        // unless a lost write of that generation might still come and mix into it.
        let certain = !self.uncertain.remove(pool) && newest == Some(known);
        let generation = match (&changed[..], &missing[..]) {
            ([], []) => newest.unwrap_or(known),
            ([_], []) if certain => known,
            ([], _) if certain && !current.is_empty() => known,
            _ => known + 1,
        };
        let all = generation != newest.unwrap_or(known);
        let (head_digest, head) = head_of(generation);
        let mut planned = Vec::new();
        for (place, content) in contents.iter().enumerate() {
            let fields = || spec(&head, &content.slice);
            match current.get(&place) {
                Some(known) if all || changed.contains(&place) => {
                    let sent = match keep_times(&fields(), &known.slice.spec) {
                        Some(fields) => Specification::new(fields),
                        None => Specification { fields: fields(), digest: content.with(head_digest) },
                    };
                    planned.push((Some(known.slice.clone()), Some(sent)));
                }
                Some(_) => {}
                None => {
                    let sent = Specification { fields: fields(), digest: content.with(head_digest) };
                    planned.push((None, Some(sent)));
                }
            }
        }
        planned.extend(surplus.into_iter().map(|slice| (Some(slice), None)));
        for (name, wanted) in satisfied {
            if let Some(known) = self.slices.get_mut(&name) {
                known.satisfies = wanted;
            }
        }
        if !contents.is_empty() {
            self.generations.insert(pool.to_owned(), generation);
        }
        let mut missing = missing.into_iter();
        for (slice, sent) in planned {
            let write = self.next_write;
            self.next_write += 1;
            let name = slice.as_ref().map(|slice| slice.name.clone());
            let spec = sent.as_ref().map(|sent| sent.fields.clone());
            self.writes.insert(write, Write { pool: pool.to_owned(), sent, slice: name });
            actions.push(match (slice, spec) {
                (Some(slice), Some(spec)) => Action::Update { write, slice: Slice { spec, ..slice } },
                (Some(slice), None) => Action::Delete { write, slice },
                (None, spec) => Action::Create {
                    write,
                    name_prefix: self.name_prefix(missing.next().unwrap_or_default()),
                    spec: spec.unwrap_or_default(),
                },
            });
        }
    }

    /// What the slices of a pool are to hold; nothing for a pool that is not wanted.
    fn contents(&mut self, pool: &str) -> Result<Arc<[Content]>, LayoutError> {
        let known = self.contents.get(pool);
        if let Some(known) = known.filter(|known| !known.outdated) {
            return Ok(Arc::clone(&known.slices));
        }
        let Some(wanted) = self.pools.get(pool) else { return Ok(Arc::default()) };
        let counters_apart = self.served.is_none_or(|served| served.minor >= 35);
        let spread = spread(wanted, Layout { counters_apart, taints: self.taints })?;
        let contents = Contents::new(spread, known);
        let slices = Arc::clone(&contents.slices);
        self.contents.insert(pool.to_owned(), contents);
        Ok(slices)
    }

    fn known(&self, slice: Slice) -> Known {
        Known::new(slice, &self.driver, &self.node)
    }

    /// Whether the server has what is wanted, or what it makes of that.
    fn is_stored(&self, known: &Known, wanted: &Specification) -> bool {
        let found = known.specification();
        let made_of_it = |stored: &Stored| wanted.says(&stored.sent) && stored.stored.says(&found);
        wanted.says(&found) || self.stored.get(&known.slice.name).is_some_and(made_of_it)
    }

    /// The place of a slice in its pool comes first in its name, because servers cut long names at their end.
    fn name_prefix(&self, place: usize) -> String {
        format!("{place:05x}-{}-{}-", self.driver, self.node)
    }
}

fn place(name: &str) -> Option<usize> {
    let (digits, _) = name.split_once('-')?;
    (digits.len() >= 5).then(|| usize::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
