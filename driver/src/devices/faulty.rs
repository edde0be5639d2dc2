//! A source with faults on purpose, from files with [`DeviceFault`]s.

use std::{
    collections::BTreeMap,
    fs,
    future::pending,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use drayage_crds::{API_VERSION, DeviceFault, DeviceFaultSpec, Fault, read};

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::{Condition, DeviceSource, Observation, Pool, SourceError, fake::matches};
use crate::{
    cdi::ContainerEdits,
    claims::{AllocatedDevice, ClaimRecord, Devices, HeldDevice},
    kubelet::{ClaimReference, Failure},
};

const USUAL_TIME: Duration = Duration::from_secs(5);
/// Longest pause that a fault may make, so that a mistyped number does not block a thread for ever.
const LONGEST_TIME: Duration = Duration::from_mins(2);

/// Any source, with the faults of the YAML or JSON files in a folder, and with those that it is told of. The folder is
/// read whenever something could go wrong, so a fault begins when its file is there and ends when it is gone. A folder
/// that is missing has no faults.
#[derive(Debug)]
pub struct FaultyDevices<S> {
    source: S,
    folder: Option<PathBuf>,
    state: Mutex<BTreeMap<String, Seen>>,
    told: watch::Sender<BTreeMap<String, DeviceFaultSpec>>,
}

/// What has become of a fault.
#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Instant,
    times: u32,
}

impl<S> FaultyDevices<S> {
    /// `source` with the faults in `folder`; without a folder there are none.
    pub fn new(source: S, folder: Option<PathBuf>) -> Self {
        Self { source, folder, state: Mutex::default(), told: watch::Sender::default() }
    }

    /// Makes a fault from now on, in place of one of the same name.
    pub fn begin(&self, fault: DeviceFault) {
        // Its time and its count begin anew.
        self.state().remove(&fault.metadata.name);
        self.told.send_modify(|told| {
            told.insert(fault.metadata.name, fault.spec);
        });
    }

    /// Ends a fault that was begun. False if there is none of that name.
    pub fn end(&self, name: &str) -> bool {
        self.told.send_if_modified(|told| told.remove(name).is_some())
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Faults that have begun and not ended, by name, with the time since each began. Files that are no faults are
    /// passed over; `dray-driver doctor` names them.
    fn current(&self) -> Vec<(String, DeviceFaultSpec, Duration)> {
        let mut faults = BTreeMap::new();
        for entry in self.folder.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
            let Ok(text) = fs::read_to_string(entry.path()) else { continue };
            if let Ok(fault) = read_fault(&text) {
                faults.insert(fault.metadata.name, fault.spec);
            }
        }
        faults.extend(self.told.borrow().clone());
        let mut state = self.state();
        state.retain(|name, _| faults.contains_key(name));
        let mut current = Vec::new();
        for (name, spec) in faults {
            let seen = *state.entry(name.clone()).or_insert(Seen { since: Instant::now(), times: 0 });
            let age = seen.since.elapsed();
            let over = spec.seconds.is_some_and(|seconds| age >= Duration::from_secs(seconds.into()))
                || spec.count.is_some_and(|count| seen.times >= count);
            if !over {
                current.push((name, spec, age));
            }
        }
        current
    }

    /// Refuses a device that is said to have vanished.
    fn is_there(&self, device: &AllocatedDevice) -> Result<(), Failure> {
        let gone = |(_, spec, _): &(String, DeviceFaultSpec, Duration)| {
            spec.fault == Fault::Vanished && concerns(spec, Some(&device.pool), &device.device)
        };
        let is_gone = self.current().iter().any(gone);
        if is_gone { Err(super::missing(&device.pool, &device.device)) } else { Ok(()) }
    }

    /// Makes the faults of a call: pauses, then fails. Each call counts once for every fault that hits it.
    fn call(&self, slow: Fault, fail: Fault, devices: &[HeldDevice]) -> Result<(), Failure> {
        let mut failure = None;
        for (name, spec, _) in self.current() {
            let hit = devices.iter().any(|device| concerns(&spec, device.pool.as_deref(), &device.device));
            if !hit || (spec.fault != slow && spec.fault != fail) {
                continue;
            }
            if let Some(seen) = self.state().get_mut(&name) {
                seen.times = seen.times.saturating_add(1);
            }
            if spec.fault == slow {
                sleep(time(&spec));
            } else {
                failure = failure.or(Some(message(&spec)));
            }
        }
        failure.map_or(Ok(()), |message| Err(Failure::Transient(message)))
    }
}

impl<S: DeviceSource> FaultyDevices<S> {
    /// Tells when a fault begins or ends, or when the source has something new.
    pub fn changes(&self) -> Changes {
        Changes { told: self.told.subscribe(), source: self.source.changed() }
    }
}

/// Waits for faults that begin or end, and for what the source hears by itself.
#[derive(Debug)]
pub struct Changes {
    told: watch::Receiver<BTreeMap<String, DeviceFaultSpec>>,
    source: Option<watch::Receiver<u64>>,
}

/// What there is to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The devices.
    Source,
    /// Nothing but their health: a fault on purpose moves no device from pool to pool.
    Faults,
}

impl Changes {
    /// Returns when there was a change since the last call.
    pub async fn next(&mut self) -> Change {
        let Self { told, source } = self;
        let of_source = async {
            let has_ended = match source {
                Some(source) => source.changed().await.is_err(),
                None => true,
            };
            if has_ended {
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = of_source => Change::Source,
            Ok(()) = told.changed() => Change::Faults,
        }
    }
}

/// A fault from the text of a file.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_fault(text: &str) -> Result<DeviceFault, String> {
    let fault: DeviceFault = read::document(text).map_err(|error| error.to_string())?;
    if fault.api_version != API_VERSION || fault.kind != "DeviceFault" {
        return Err(format!("expected `DeviceFault` of `{API_VERSION}`"));
    }
    Ok(fault)
}

fn time(spec: &DeviceFaultSpec) -> Duration {
    let time = spec.milliseconds.map_or(USUAL_TIME, |number| Duration::from_millis(number.into()));
    time.min(LONGEST_TIME)
}

fn message(spec: &DeviceFaultSpec) -> String {
    spec.message.clone().unwrap_or_else(|| format!("a fault on purpose: {:?}", spec.fault))
}

fn concerns(spec: &DeviceFaultSpec, pool: Option<&str>, device: &str) -> bool {
    is_meant(spec, &format!("{}/{device}", pool.unwrap_or("*")))
}

/// Whether a fault is one of a device `POOL/DEVICE`.
fn is_meant(spec: &DeviceFaultSpec, path: &str) -> bool {
    spec.devices.as_ref().is_none_or(|pattern| matches(pattern, path))
}

impl<S: Devices> Devices for FaultyDevices<S> {
    fn check(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        self.is_there(device)?;
        self.source.check(claim, device)
    }

    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        self.is_there(device)?;
        self.source.edits(claim, device)
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        self.source.attributes(device)
    }

    fn opened(&self, records: &[ClaimRecord], boot_id: &str) {
        self.source.opened(records, boot_id);
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        self.call(Fault::SlowPrepare, Fault::FailPrepare, devices)?;
        self.source.start(claim, devices)
    }

    fn stop(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        self.call(Fault::SlowUnprepare, Fault::FailUnprepare, devices)?;
        self.source.stop(claim, devices)
    }
}

impl<S: DeviceSource> DeviceSource for FaultyDevices<S> {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        self.source.pools()
    }

    fn observe(&self) -> Result<Vec<Observation>, SourceError> {
        let faults = self.current();
        if faults.iter().any(|(_, spec, _)| spec.fault == Fault::StalledMonitor) {
            // Nothing is seen, which is not the same as that nothing works.
            return Ok(Vec::new());
        }
        let mut observations = self.source.observe()?;
        if faults.is_empty() {
            return Ok(observations);
        }
        let mut path = String::new();
        for observation in &mut observations {
            path.clear();
            path.extend([&observation.pool, "/", &observation.device]);
            for (_, spec, age) in &faults {
                if !is_meant(spec, &path) {
                    continue;
                }
                let period = time(spec).as_millis().max(1);
                let broken = match spec.fault {
                    Fault::Unhealthy => true,
                    Fault::Flapping => (age.as_millis() / period).is_multiple_of(2),
                    _ => false,
                };
                if spec.fault == Fault::Vanished {
                    observation.condition = Condition::Vanished;
                } else if broken {
                    observation.condition = Condition::Faulty(message(spec));
                }
            }
        }
        Ok(observations)
    }

    fn changed(&self) -> Option<watch::Receiver<u64>> {
        self.source.changed()
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }
}
