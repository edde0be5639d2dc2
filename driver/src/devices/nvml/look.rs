//! What the two threads that call the library saw, for everybody else; and the thread that looks at the GPUs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use drayage_nvml::{Library, OpenError};
use tokio::sync::watch;

use super::{
    MigDevices, NvmlOptions, events,
    held::{Held, Part},
    inventory::{Card, Inventory},
    work::Job,
};
use crate::devices::Condition;

/// How long somebody who asks waits for the first look, once.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// After this long in one call the library does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A card by its address, and the instances of MIG that an error concerns; none for the whole card.
type Place = (String, Option<(u32, Option<u32>)>);

/// What both threads write and everybody reads. No call of the library is made under its lock.
pub(super) struct Shared {
    pub(super) options: NvmlOptions,
    state: Mutex<State>,
    pub(super) changed: Condvar,
    /// Counts what is worth to look at before the usual time.
    news: watch::Sender<u64>,
    begun: Instant,
}

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The GPUs; none before the first look that told of any, and where there is no driver.
    pub(super) inventory: Option<Inventory>,
    /// Why there can be no GPUs on this node.
    pub(super) no_driver: Option<String>,
    /// Why the last look saw nothing.
    pub(super) trouble: Option<String>,
    /// When the last look ended.
    looked: Option<Instant>,
    listening: Listening,
    /// Errors that devices have told of, as users read them. They stay until the device was gone and is back, which is
    /// what a reset looks like, because nobody tells that an error is over.
    errors: BTreeMap<Place, String>,
    /// What was made for claims.
    pub(super) held: Held,
    /// Work on MIG devices, the first of which is being done.
    pub(super) jobs: VecDeque<Job>,
    /// The call that is being made for it.
    pub(super) calling: Option<&'static str>,
    ended: bool,
}

/// Who hears of errors.
#[derive(Debug, Default)]
struct Listening {
    /// When the library last answered to who listens.
    heard: Option<Instant>,
    /// Why nobody does.
    trouble: Option<String>,
    /// Cards that tell of no errors, by address, with the reason.
    deaf: BTreeMap<String, String>,
}

impl State {
    /// Whether a look has ended.
    pub(super) fn has_looked(&self) -> bool {
        self.looked.is_some()
    }

    /// Whether it is clear who hears of errors, or that nobody does.
    pub(super) fn has_listened(&self) -> bool {
        let cards = self.inventory.as_ref().map_or(0, |inventory| inventory.cards.len());
        cards == 0
            || self.trouble.is_some()
            || self.listening.heard.is_some()
            || self.listening.trouble.is_some()
    }

    /// Why nobody hears of errors.
    pub(super) fn listening_trouble(&self) -> Option<String> {
        self.listening.trouble.as_ref().map(|trouble| format!("NVML tells of no critical errors: {trouble}"))
    }

    /// Whether a device works, as far as anybody knows. What is broken is broken, also while nobody can ask.
    pub(super) fn condition(&self, card: &Card, part: Part<'_>) -> Condition {
        let made = match (part, &card.layout) {
            (Part::Possible(possible), Some(layout)) => layout.instance_of(possible),
            _ => None,
        };
        let of_it = |(address, instance): &Place| {
            *address == card.address
                && match (instance, part) {
                    (None, _) => true,
                    (Some(_), Part::Whole) => false,
                    (Some((gpu, compute)), Part::Existing(partition)) => {
                        *gpu == partition.instance.0
                            && compute.is_none_or(|compute| compute == partition.instance.1)
                    }
                    (Some((gpu, _)), Part::Possible(_)) => made.is_some_and(|made| made.id == *gpu),
                }
        };
        if let Some(lost) = &card.lost {
            return Condition::Faulty(lost.clone());
        }
        if let Some((_, message)) = self.errors.iter().find(|(place, _)| of_it(place)) {
            return Condition::Faulty(message.clone());
        }
        if let Part::Possible(possible) = part
            && made.is_none()
            && self.held.is_made(&possible.name(&card.name()))
        {
            return Condition::Faulty("somebody removed its GPU instance".to_owned());
        }
        if let Some(trouble) = &self.trouble {
            return Condition::Unknown(trouble.clone());
        }
        let late = |time: Option<Instant>| time.is_some_and(|time| time.elapsed() > PATIENCE);
        if late(self.looked) || late(self.listening.heard) {
            return Condition::Unknown("NVML does not answer".to_owned());
        }
        if let Some(trouble) = self.listening_trouble() {
            return Condition::Unknown(trouble);
        }
        if let Some(reason) = self.listening.deaf.get(&card.address) {
            return Condition::Unknown(format!("NVML tells of no critical errors of this GPU: {reason}"));
        }
        if self.listening.heard.is_none() {
            return Condition::Unknown("nobody listens to critical errors yet".to_owned());
        }
        Condition::Works
    }
}

impl Shared {
    pub(super) fn new(options: NvmlOptions) -> Self {
        Self {
            options,
            state: Mutex::default(),
            changed: Condvar::new(),
            news: watch::Sender::default(),
            begun: Instant::now(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as soon as something holds, or as it is then if that takes too long after the start.
    pub(super) fn when(&self, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let left = FIRST_LOOK.saturating_sub(self.begun.elapsed());
        let waited = self.changed.wait_timeout_while(self.state(), left, |state| !holds(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Changes the state, and says whether that is news.
    pub(super) fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let is_new = change(&mut self.state());
        self.changed.notify_all();
        if is_new {
            self.news.send_modify(|news| *news = news.wrapping_add(1));
        }
    }

    /// Tells of news.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Both threads are to end.
    pub(super) fn end(&self) {
        self.change(|state| {
            state.ended = true;
            false
        });
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Waits, unless both threads are to end.
    pub(super) fn pause(&self, time: Duration) {
        let _ = self.changed.wait_timeout_while(self.state(), time, |state| !state.ended);
    }

    /// Waits for the next look, unless there is work before then.
    fn rest(&self, time: Duration) {
        let idle = |state: &mut State| !state.ended && state.jobs.is_empty();
        let _ = self.changed.wait_timeout_while(self.state(), time, idle);
    }

    /// Looks at the GPUs; false if the library has to be loaded anew.
    fn look(&self, library: &Library) -> bool {
        let (before, is_held) = {
            let state = self.state();
            (state.inventory.clone(), !state.held.is_empty())
        };
        let layouts = is_held || self.options.mig_devices == MigDevices::Dynamic;
        let seen = Inventory::read(library, before.as_ref(), &self.options.roots, layouts);
        let is_seen = seen.is_ok();
        self.seen(seen.map_err(|error| Trouble::Other(format!("NVML: {error}"))));
        is_seen
    }

    /// Addresses of the cards that answer.
    pub(super) fn addresses(&self) -> BTreeSet<String> {
        let state = self.state();
        let cards = state.inventory.iter().flat_map(|inventory| &inventory.cards);
        cards.filter(|card| card.lost.is_none()).map(|card| card.address.clone()).collect()
    }

    /// Somebody listens to all cards but those that are deaf.
    pub(super) fn heard(&self, deaf: &BTreeMap<String, String>) {
        self.change(|state| {
            let listening = &mut state.listening;
            let is_new = listening.heard.is_none() || listening.trouble.is_some() || listening.deaf != *deaf;
            listening.heard = Some(Instant::now());
            listening.trouble = None;
            if listening.deaf != *deaf {
                listening.deaf.clone_from(deaf);
            }
            is_new
        });
    }

    /// Nobody listens.
    pub(super) fn cannot_listen(&self, reason: String) {
        self.change(|state| state.listening.trouble.replace(reason.clone()) != Some(reason));
    }

    /// A card has an error, or one of its instances; no address means that nobody knows which card.
    pub(super) fn failed(&self, address: Option<&str>, instance: Option<(u32, Option<u32>)>, message: &str) {
        self.change(|state| {
            let cards = state.inventory.iter().flat_map(|inventory| &inventory.cards);
            let places: Vec<Place> = match address {
                Some(address) => vec![(address.to_owned(), instance)],
                None => cards.map(|card| (card.address.clone(), None)).collect(),
            };
            let mut is_new = false;
            for place in places {
                is_new |= state.errors.insert(place, message.to_owned()).as_deref() != Some(message);
            }
            is_new
        });
    }

    /// What a look saw.
    fn seen(&self, look: Result<Inventory, Trouble>) {
        self.change(|state| {
            let before =
                (state.inventory.clone(), state.no_driver.clone(), state.trouble.clone(), state.errors.len());
            state.looked = Some(Instant::now());
            match look {
                Ok(inventory) => {
                    let answers = |inventory: &Inventory, address: &str| {
                        inventory.cards.iter().any(|card| card.address == address && card.lost.is_none())
                    };
                    // Before the first look nobody knows of a card that it was gone.
                    if let Some(before) = &state.inventory {
                        let is_back =
                            |address: &str| answers(&inventory, address) && !answers(before, address);
                        // An instance that is gone was one of its errors, too: the next one of its number is another.
                        let is_gone = |address: &str, instance: u32| {
                            before.has_instance(address, instance) == Some(true)
                                && inventory.has_instance(address, instance) == Some(false)
                        };
                        state.errors.retain(|(address, instance), _| {
                            !is_back(address) && !instance.is_some_and(|(gpu, _)| is_gone(address, gpu))
                        });
                    }
                    state.inventory = Some(inventory);
                    (state.no_driver, state.trouble) = (None, None);
                }
                Err(Trouble::NoDriver(reason)) => {
                    // Whoever loads the driver again has the cards reset.
                    state.errors.clear();
                    (state.inventory, state.no_driver, state.trouble) = (None, Some(reason), None);
                }
                Err(Trouble::Other(reason)) => state.trouble = Some(reason),
            }
            let State { inventory, no_driver, trouble, errors, .. } = state;
            (&before.0, &before.1, &before.2, before.3) != (&*inventory, &*no_driver, &*trouble, errors.len())
        });
    }
}

/// A look that saw nothing.
enum Trouble {
    /// There is no library or no driver of the kernel, so there are no GPUs that anybody could use.
    NoDriver(String),
    /// The library does not do as it should.
    Other(String),
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Absent { .. } | OpenError::NoDriver(_) => Self::NoDriver(error.to_string()),
            OpenError::Unusable { .. } | OpenError::Start { .. } => Self::Other(error.to_string()),
        }
    }
}

/// The library while it is loaded, and who listens on it.
struct Loaded {
    library: Arc<Library>,
    gone: Arc<AtomicBool>,
    listener: JoinHandle<()>,
}

impl Loaded {
    fn open(shared: &Arc<Shared>, name: &OsString) -> Result<Self, Trouble> {
        let library = Arc::new(Library::open(name)?);
        let gone = Arc::new(AtomicBool::new(false));
        let (its_library, its_flag, state) = (Arc::clone(&library), Arc::clone(&gone), Arc::clone(shared));
        let work = move || events::listen(&state, &its_library, &its_flag);
        let listener = thread::Builder::new()
            .name("nvml-events".to_owned())
            .spawn(work)
            .map_err(|error: io::Error| Trouble::Other(error.to_string()))?;
        Ok(Self { library, gone, listener })
    }
}

/// Looks at the GPUs until it is told to end.
pub(super) fn look_on(shared: &Arc<Shared>) {
    let mut loaded: Option<Loaded> = None;
    // A library is loaded anew only after it was given up by both threads: before, that would change nothing.
    let mut leaving: Option<JoinHandle<()>> = None;
    while !shared.has_ended() {
        if leaving.as_ref().is_some_and(JoinHandle::is_finished) {
            leaving = None;
        }
        if loaded.is_none() && leaving.is_none() {
            match Loaded::open(shared, &shared.options.library) {
                Ok(opened) => loaded = Some(opened),
                Err(trouble) => shared.seen(Err(trouble)),
            }
        }
        if let Some(current) = &loaded {
            let mut is_sound = shared.look(&current.library);
            if is_sound {
                shared.work(&current.library, || {
                    is_sound = shared.look(&current.library);
                    is_sound
                });
            }
            if !is_sound {
                current.gone.store(true, Ordering::Relaxed);
                leaving = loaded.take().map(|loaded| loaded.listener);
            }
        }
        if loaded.is_none() {
            shared.refuse_work();
        }
        shared.rest(shared.options.interval);
    }
    if let Some(loaded) = loaded {
        loaded.gone.store(true, Ordering::Relaxed);
    }
}
