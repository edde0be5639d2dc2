//! The state behind the functions: the description as it is now, and which events were told.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{Card, FakeEvent, Machine, MigDevice, codes, installed::description_of, instances::mig_devices};

/// Variable with the file of the description.
const VARIABLE: &str = "DRAYAGE_FAKE_NVML";
/// How often a function that waits for events looks for one.
const PAUSE: Duration = Duration::from_millis(5);

const UNINITIALIZED: u32 = 1;
const INVALID_ARGUMENT: u32 = 2;
const NOT_FOUND: u32 = 6;
const TIMEOUT: u32 = 10;

/// What a program has done with the library.
#[derive(Debug, Default)]
struct Used {
    initialised: u32,
    /// Events that were told, or passed by while nobody listened.
    told: usize,
    /// Kinds by card, of each set.
    sets: BTreeMap<usize, BTreeMap<usize, u64>>,
    last_set: usize,
}

static USED: Mutex<Option<Used>> = Mutex::new(None);

fn used<T>(work: impl FnOnce(&mut Used) -> T) -> T {
    let mut used: MutexGuard<'_, _> = USED.lock().unwrap_or_else(PoisonError::into_inner);
    work(used.get_or_insert_default())
}

/// A handle: the number of the card above the number of its MIG device, both counted from 1, zero for the card itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(pub(crate) usize);

impl Handle {
    fn of(card: usize, mig: usize) -> Self {
        Self((card + 1) << 8 | mig)
    }

    pub(crate) fn of_card(card: usize) -> Self {
        Self::of(card, 0)
    }

    fn card(self) -> Option<usize> {
        (self.0 >> 8).checked_sub(1)
    }
}

/// Where this library lies, as the kernel says.
fn own_path() -> Option<PathBuf> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    PATH.get_or_init(find_own_path).clone()
}

fn find_own_path() -> Option<PathBuf> {
    let address = find_own_path as *const () as usize;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let within = usize::from_str_radix(start, 16).ok()? <= address
            && address < usize::from_str_radix(end, 16).ok()?;
        let path = rest.find('/').and_then(|place| rest.get(place..))?;
        within.then(|| PathBuf::from(path))
    })
}

/// The file with the description.
pub(crate) fn description() -> Result<PathBuf, u32> {
    match env::var_os(VARIABLE) {
        Some(path) => Ok(PathBuf::from(path)),
        None => own_path().map(|path| description_of(&path)).ok_or(codes::UNKNOWN),
    }
}

/// The description as it is now.
pub(crate) fn described_at(path: &Path) -> Result<Machine, u32> {
    // Read anew in every call, and parsed when it is another one.
    static LAST: Mutex<Option<(String, Machine)>> = Mutex::new(None);
    let text = fs::read_to_string(path).map_err(|_| codes::UNKNOWN)?;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, machine)) = last.as_ref().filter(|(known, _)| *known == text) {
        return Ok(machine.clone());
    }
    let machine: Machine = serde_json::from_str(&text).map_err(|_| codes::UNKNOWN)?;
    *last = Some((text, machine.clone()));
    Ok(machine)
}

/// The description for a call of `function`, after the time that it takes and unless it fails.
pub(crate) fn machine(function: &str) -> Result<Machine, u32> {
    if function != "nvmlInit_v2" && used(|used| used.initialised) == 0 {
        return Err(UNINITIALIZED);
    }
    let machine = described_at(&description()?)?;
    if let Some(time) = machine.milliseconds.get(function) {
        sleep(Duration::from_millis(*time));
    }
    match machine.errors.get(function) {
        Some(error) => Err(*error),
        None => Ok(machine),
    }
}

pub(crate) fn initialise() {
    used(|used| used.initialised += 1);
}

pub(crate) fn shut_down() {
    used(|used| used.initialised = used.initialised.saturating_sub(1));
}

/// The card that a function is asked about.
pub(crate) fn card(function: &str, handle: Handle) -> Result<Card, u32> {
    let place = handle.card().ok_or(INVALID_ARGUMENT)?;
    card_at(function, place).map(|(card, _)| card)
}

/// The card of an index.
pub(crate) fn card_at(function: &str, index: usize) -> Result<(Card, Handle), u32> {
    let card = machine(function)?.cards.get(index).cloned().ok_or(INVALID_ARGUMENT)?;
    if card.lost {
        return Err(codes::GPU_IS_LOST);
    }
    match card.errors.get(function) {
        Some(error) => Err(*error),
        None => Ok((card, Handle::of(index, 0))),
    }
}

/// In a handle, what tells a MIG device that a program has made from one of the description.
const MADE: usize = 0x80;

/// The MIG device that a function is asked about; none if it is asked about a card.
pub(crate) fn mig_device(handle: Handle, card: &Card) -> Option<MigDevice> {
    let place = (handle.0 & 0xff).checked_sub(1)?;
    if place < MADE {
        return card.mig_devices.get(place)?.clone();
    }
    let instance = u32::try_from(place - MADE).ok()?;
    mig_devices(card).into_iter().find(|device| device.gpu_instance == instance)
}

/// The MIG device of an index: first those of the description, then those that programs have made.
pub(crate) fn mig_device_at(function: &str, handle: Handle, index: usize) -> Result<Handle, u32> {
    let card = card(function, handle)?;
    if card.mig_mode != Some(true) {
        return Err(codes::NOT_SUPPORTED);
    }
    let place = handle.card().ok_or(INVALID_ARGUMENT)?;
    if let Some(described) = card.mig_devices.get(index) {
        return described.is_some().then(|| Handle::of(place, index + 1)).ok_or(NOT_FOUND);
    }
    let made = mig_devices(&card);
    let device = made.get(index - card.mig_devices.len()).ok_or(NOT_FOUND)?;
    Ok(Handle::of(place, MADE + device.gpu_instance as usize + 1))
}

pub(crate) fn make_set() -> usize {
    used(|used| {
        used.last_set += 1;
        used.sets.insert(used.last_set, BTreeMap::new());
        used.last_set
    })
}

pub(crate) fn free_set(set: usize) -> Result<(), u32> {
    used(|used| used.sets.remove(&set)).map(|_| ()).ok_or(INVALID_ARGUMENT)
}

pub(crate) fn register(function: &str, set: usize, handle: Handle, types: u64) -> Result<(), u32> {
    let known = card(function, handle)?.event_types;
    if types & !known != 0 {
        return Err(codes::NOT_SUPPORTED);
    }
    let place = handle.card().ok_or(INVALID_ARGUMENT)?;
    used(|used| {
        let set = used.sets.get_mut(&set).ok_or(INVALID_ARGUMENT)?;
        *set.entry(place).or_default() |= types;
        Ok(())
    })
}

/// The next event for a set, within so many milliseconds.
pub(crate) fn wait(function: &str, set: usize, milliseconds: u32) -> Result<(FakeEvent, Handle), u32> {
    let end = Instant::now() + Duration::from_millis(milliseconds.into());
    loop {
        let machine = machine(function)?;
        let found = used(|used| {
            let listens = used.sets.get(&set).cloned().ok_or(INVALID_ARGUMENT)?;
            while let Some(event) = machine.events.get(used.told) {
                used.told += 1;
                if listens.get(&event.card).is_some_and(|types| types & event.event_type != 0) {
                    return Ok::<_, u32>(Some((event.clone(), Handle::of(event.card, 0))));
                }
            }
            Ok(None)
        })?;
        if let Some(found) = found {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(TIMEOUT);
        }
        sleep(PAUSE);
    }
}
