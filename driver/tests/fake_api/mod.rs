//! An API server as far as ResourceSlices go: names that it completes, resource versions, a watch that lags, conflicts,
//! fields that it does not store, wipes and outages. Time is virtual, and everything follows from a seed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use drayage_driver::{
    devices::Fields,
    publish::{Action, ApiError, ApiVersion, Controller, Event, Report, Served, Slice},
};
use serde_json::{Map, Value};

use crate::support::disk::Random;

/// What goes wrong, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Requests that fail without being carried out.
    pub(crate) refused: usize,
    /// Requests that are carried out and fail nevertheless.
    pub(crate) lost: usize,
    /// Watch events after which the watch ends.
    pub(crate) watch_lost: usize,
}

/// What tells a device from others in tests.
pub(crate) fn text(device: &Value) -> String {
    let flavour = &device["attributes"]["flavour"]["int"];
    format!("{} {flavour} {} {}", device["name"], device["taints"], device["bindsToNode"])
}

/// What a scheduler sees of a slice.
struct Shown {
    pool: String,
    generation: i64,
    count: u64,
    devices: Vec<String>,
}

impl Shown {
    fn new(slice: &Slice) -> Self {
        let spec = slice.spec.map();
        let pool = &spec["pool"];
        Self {
            pool: pool["name"].as_str().expect("a name").to_owned(),
            generation: pool["generation"].as_i64().expect("a number"),
            count: pool["resourceSliceCount"].as_u64().expect("a number"),
            devices: spec.get("devices").and_then(Value::as_array).into_iter().flatten().map(text).collect(),
        }
    }
}

/// The server with one controller, and what is on the way between them.
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) random: Random,
    pub(crate) controller: Controller,
    pub(crate) slices: BTreeMap<String, Slice>,
    /// The same as [`World::slices`].
    seen: BTreeMap<String, Shown>,
    pub(crate) faults: Faults,
    pub(crate) served: Served,
    /// Fields of devices that this server does not store.
    pub(crate) dropped: Vec<&'static str>,
    pub(crate) reports: Vec<Report>,
    /// Writes that were carried out.
    pub(crate) writes: usize,
    /// Everything that the server ever showed as a complete pool, by pool.
    pub(crate) shown: Vec<(String, Vec<String>)>,
    /// Whether that is remembered.
    pub(crate) looking: bool,
    version: u64,
    /// Answers on their way, by time.
    answers: BTreeMap<(Duration, u64), Event>,
    order: u64,
    /// Watch events on their way, in order.
    watch: VecDeque<(Duration, Event)>,
    watching: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Duration::from_secs(1),
            random: Random(seed),
            controller: Controller::new("gpu.example.com", "node-1", false),
            slices: BTreeMap::new(),
            seen: BTreeMap::new(),
            faults: Faults::default(),
            served: Served { version: ApiVersion::V1, minor: 36 },
            dropped: Vec::new(),
            reports: Vec::new(),
            writes: 0,
            shown: Vec::new(),
            looking: false,
            version: 100,
            answers: BTreeMap::new(),
            order: 0,
            watch: VecDeque::new(),
            watching: false,
        }
    }

    /// A new process: it knows nothing, the server stays.
    pub(crate) fn restart(&mut self) {
        self.controller = Controller::new("gpu.example.com", "node-1", false);
        self.answers.clear();
        self.watch.clear();
        self.watching = false;
    }

    pub(crate) fn tell(&mut self, event: Event) {
        for action in self.controller.handle(self.now, event) {
            self.perform(action);
        }
    }

    fn latency(&mut self) -> Duration {
        Duration::from_millis(1 + self.random.below(50) as u64)
    }

    fn answer(&mut self, event: Event) {
        let at = self.now + self.latency();
        self.order += 1;
        self.answers.insert((at, self.order), event);
    }

    fn show(&mut self, event: Event) {
        if !self.watching {
            return;
        }
        let earliest = self.now + self.latency();
        let at = self.watch.back().map_or(earliest, |(last, _)| earliest.max(*last));
        self.watch.push_back((at, event));
        if self.random.chance(self.faults.watch_lost) {
            self.watching = false;
            self.watch.push_back((at, Event::WatchLost));
        }
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn store(&self, spec: &Fields) -> Fields {
        let mut spec = spec.map();
        let devices = spec.get_mut("devices").and_then(Value::as_array_mut);
        for device in devices.into_iter().flatten().filter_map(Value::as_object_mut) {
            for field in &self.dropped {
                device.remove(*field);
            }
        }
        spec.into()
    }

    fn perform(&mut self, action: Action) {
        let refused = self.random.chance(self.faults.refused);
        let lost = self.random.chance(self.faults.lost);
        let away = || ApiError::Unavailable("the server is away".to_owned());
        match action {
            Action::Report(report) => self.reports.push(report),
            Action::Discover => {
                let result = if refused { Err(away()) } else { Ok(self.served) };
                self.answer(Event::Discovered(result));
            }
            Action::List => {
                if refused {
                    return self.answer(Event::Listed(Err(away())));
                }
                // What a watch had left is of no interest to a client that lists again.
                self.watch.clear();
                self.watching = true;
                let slices = self.slices.values().cloned().collect();
                let at = self.now;
                self.order += 1;
                self.answers.insert((at, self.order), Event::Listed(Ok(slices)));
            }
            Action::Create { write, name_prefix, spec } => {
                let result = if refused { Err(away()) } else { self.create(&name_prefix, &spec).map(Some) };
                self.answer_write(write, result, lost);
            }
            Action::Update { write, slice } => {
                let result = if refused { Err(away()) } else { self.update(slice).map(Some) };
                self.answer_write(write, result, lost);
            }
            Action::Delete { write, slice } => {
                let found = self.slices.get(&slice.name).is_some_and(|found| found.uid == slice.uid);
                let result = if refused {
                    Err(away())
                } else if found {
                    self.writes += 1;
                    self.remove(&slice.name);
                    Ok(None)
                } else {
                    Err(ApiError::NotFound)
                };
                self.answer_write(write, result, lost);
            }
        }
    }

    fn answer_write(&mut self, write: u64, result: Result<Option<Slice>, ApiError>, lost: bool) {
        let result = if lost { Err(ApiError::Unavailable("timeout".to_owned())) } else { result };
        self.answer(Event::Written { write, result });
    }

    fn create(&mut self, name_prefix: &str, spec: &Fields) -> Result<Slice, ApiError> {
        let mut base = name_prefix.to_owned();
        base.truncate(58);
        let devices = spec.get("devices").as_ref().and_then(Value::as_array).map_or(0, Vec::len);
        if devices > 128 {
            return Err(ApiError::Invalid("too many devices".to_owned()));
        }
        let resource_version = self.next_version();
        let name = format!("{base}{resource_version}");
        let spec = self.store(spec);
        let slice =
            Slice { name: name.clone(), uid: format!("uid-{resource_version}"), resource_version, spec };
        self.put(slice.clone());
        Ok(slice)
    }

    fn update(&mut self, slice: Slice) -> Result<Slice, ApiError> {
        let Some(found) = self.slices.get(&slice.name) else { return Err(ApiError::NotFound) };
        if found.resource_version != slice.resource_version || found.uid != slice.uid {
            return Err(ApiError::Conflict);
        }
        let resource_version = self.next_version();
        let spec = self.store(&slice.spec);
        let slice = Slice { resource_version, spec, ..slice };
        self.put(slice.clone());
        Ok(slice)
    }

    fn put(&mut self, slice: Slice) {
        self.writes += 1;
        self.insert(slice.clone());
        self.show(Event::Changed(slice));
        self.look();
    }

    fn insert(&mut self, slice: Slice) {
        self.seen.insert(slice.name.clone(), Shown::new(&slice));
        self.slices.insert(slice.name.clone(), slice);
    }

    fn remove(&mut self, name: &str) {
        self.seen.remove(name);
        if let Some(slice) = self.slices.remove(name) {
            self.next_version();
            self.show(Event::Deleted(slice));
            self.look();
        }
    }

    /// As the kubelet does when it starts, and when the last plugin has been gone for 30 seconds.
    pub(crate) fn wipe(&mut self) {
        for name in self.slices.keys().cloned().collect::<Vec<_>>() {
            self.remove(&name);
        }
    }

    /// Somebody deletes or changes one slice.
    pub(crate) fn meddle(&mut self, change: impl FnOnce(&mut Map<String, Value>) -> bool) {
        let place = self.random.below(self.slices.len());
        let Some(mut slice) = self.slices.values().nth(place).cloned() else { return };
        let mut spec = slice.spec.map();
        if change(&mut spec) {
            slice.spec = spec.into();
            slice.resource_version = self.next_version();
            self.insert(slice.clone());
            self.show(Event::Changed(slice));
        } else {
            self.remove(&slice.name);
        }
    }

    /// Remembers every pool that a scheduler would use now: its highest generation, if that is complete.
    fn look(&mut self) {
        if !self.looking {
            return;
        }
        for (pool, devices) in self.visible() {
            self.shown.push((pool, devices));
        }
    }

    /// Devices of complete pools, in the order of names of slices.
    pub(crate) fn visible(&self) -> BTreeMap<String, Vec<String>> {
        let mut pools: BTreeMap<&str, Vec<&Shown>> = BTreeMap::new();
        for slice in self.seen.values() {
            pools.entry(&slice.pool).or_default().push(slice);
        }
        let mut visible = BTreeMap::new();
        for (pool, mut slices) in pools {
            let newest = slices.iter().map(|slice| slice.generation).max();
            slices.retain(|slice| Some(slice.generation) == newest);
            let count = slices.len() as u64;
            if slices.iter().all(|slice| slice.count == count) {
                let devices = slices.iter().flat_map(|slice| slice.devices.iter().cloned());
                visible.insert(pool.to_owned(), devices.collect());
            }
        }
        visible
    }

    /// Lets virtual time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
            let watch = self.watch.front().map(|(at, _)| *at);
            let wake = self.controller.wake_at().map(|at| at.max(self.now));
            let Some(at) = [answer, watch, wake].into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if answer == Some(at) {
                if let Some((_, event)) = self.answers.pop_first() {
                    self.tell(event);
                }
            } else if watch == Some(at) {
                if let Some((_, event)) = self.watch.pop_front() {
                    self.tell(event);
                }
            } else {
                self.tell(Event::Time);
            }
        }
        self.now = end;
    }
}
