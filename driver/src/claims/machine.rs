//! Prepare and unprepare, and what becomes of them when the process ends anywhere in between.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Map;

use super::{
    devices::{AllocatedDevice, Devices},
    metadata::MetadataFiles,
    plan::{self, Plan},
    quarantine::Quarantine,
    record::{ClaimRecord, HeldDevice, State},
    recovery::RecoverySource,
};
use crate::{
    cdi::CdiDirectory,
    files::{FileSystem, remove_durably, remove_temporaries, write_atomically},
    guard::ClaimGuard,
    kubelet::{ClaimReference, Failure, PreparedDevice, service::is_uid},
};

const ENDING: &str = ".claim";
const LOCK: &str = "state.lock";

/// Where the records and CDI files are.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Directory of the records; only this driver uses it, and only one process at a time.
    pub directory: PathBuf,
    /// The CDI files.
    pub cdi: CdiDirectory,
    /// The kernel's boot ID: devices of another boot are configured again.
    pub boot_id: String,
}

/// Something that was found at start and that a person should hear of. None keeps the driver from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// UID of the claim that it is about.
    pub uid: String,
    /// What was found and what was done.
    pub message: String,
}

/// The records cannot be kept at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has them, for example the instance that a rolling update is about to stop.
    #[error("another instance of the driver has the state directory `{}`", .0.display())]
    Held(PathBuf),
    /// The directory cannot be used.
    #[error("cannot use the state directory `{}`: {error}", .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

#[derive(Default)]
struct Table {
    records: BTreeMap<String, ClaimRecord>,
    /// Claims whose record is lost and of which nothing says what they hold.
    unknown: BTreeMap<String, ClaimReference>,
}

/// The claims of this node. Operations on different claims may run at the same time; those on one claim must not.
pub struct Claims<F, D> {
    files: F,
    devices: D,
    configuration: Configuration,
    metadata: MetadataFiles,
    quarantine: Quarantine,
    table: Mutex<Table>,
    guard: Option<Arc<dyn ClaimGuard>>,
    /// Held until this is dropped: of two instances of a driver one has the records.
    _lock: Box<dyn Send + Sync>,
}

impl<F, D> std::fmt::Debug for Claims<F, D> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Claims").field("configuration", &self.configuration).finish_non_exhaustive()
    }
}

impl<F: FileSystem, D: Devices> Claims<F, D> {
    /// Reads the records, puts aside those that are damaged, rebuilds them and lost ones from `sources`, and writes
    /// CDI files that are missing or differ. Returns what was found besides.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or listed, or another process has it. No content of any file is an error.
    pub fn open(
        files: F,
        devices: D,
        configuration: Configuration,
        sources: &[&dyn RecoverySource],
    ) -> Result<(Self, Vec<Problem>), OpenError> {
        let directory = configuration.directory.clone();
        // A full disk may refuse to make a directory that is there.
        let made = files.create_directory(&directory);
        let lock = match files.lock(&directory.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Held(directory));
            }
            Err(error) => return Err(OpenError::Io { path: directory, error: made.err().unwrap_or(error) }),
        };
        remove_temporaries(&files, &directory, "");
        configuration.cdi.remove_temporaries(&files);
        let mut names = files
            .list(&directory)
            .map_err(|error| OpenError::Io { path: directory.clone(), error: made.err().unwrap_or(error) })?;
        names.sort();
        let mut table = Table::default();
        let mut problems = Vec::new();
        let quarantine = Quarantine::beside(&directory, &configuration.boot_id);
        for name in names {
            let Some(uid) = name.strip_suffix(ENDING).filter(|uid| is_uid(uid)) else { continue };
            let problem = match files.read(&directory.join(&name)) {
                Ok(content) => match ClaimRecord::decode(&content) {
                    Ok(record) if record.claim.uid == uid => {
                        table.records.insert(uid.to_owned(), record);
                        continue;
                    }
                    Ok(record) => format!("the record is that of claim `{}`", record.claim.uid),
                    Err(error) => error.to_string(),
                },
                Err(error) => format!("the record cannot be read: {error}"),
            };
            let fate = match quarantine.put_aside(&files, &name) {
                Ok(()) => "it was put aside".to_owned(),
                Err(error) => format!("it cannot be put aside: {error}"),
            };
            problems.push(Problem { uid: uid.to_owned(), message: format!("{problem}; {fate}") });
            table.unknown.insert(uid.to_owned(), ClaimReference::nameless(uid));
        }
        // What was put aside at an earlier start is not forgotten at this one.
        for uid in quarantine.claims(&files, ENDING) {
            if !table.records.contains_key(&uid) {
                table.unknown.insert(uid.clone(), ClaimReference::nameless(&uid));
            }
        }
        let metadata = MetadataFiles::beside(&directory);
        let table = Mutex::new(table);
        let claims =
            Self { files, devices, configuration, metadata, quarantine, table, guard: None, _lock: lock };
        claims.recover(sources, &mut problems);
        claims.devices.opened(&claims.records(), &claims.configuration.boot_id);
        claims.write_cdi_files(&mut problems);
        claims.sweep_cdi_files(&mut problems);
        claims.metadata.sweep(&claims.files, |uid| {
            let table = claims.lock();
            table.records.contains_key(uid) || table.unknown.contains_key(uid)
        });
        Ok((claims, problems))
    }

    /// Has every new claim checked by `guard`, beyond the exclusive use that is always checked.
    #[must_use]
    pub fn with_guard(mut self, guard: Arc<dyn ClaimGuard>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Makes records of what the sources know and we do not.
    fn recover(&self, sources: &[&dyn RecoverySource], problems: &mut Vec<Problem>) {
        for found in sources.iter().flat_map(|source| source.claims()) {
            let uid = found.claim.uid.clone();
            let mut table = self.lock();
            if table.records.contains_key(&uid) || !is_uid(&uid) {
                continue;
            }
            let Some(holds) = found.holds else {
                if let Entry::Vacant(unknown) = table.unknown.entry(uid) {
                    // What tells of it may go, too.
                    let _ = self.quarantine.remember(&self.files, &file_name(unknown.key()));
                    unknown.insert(found.claim);
                }
                continue;
            };
            // With the kubelet's answer the claim is prepared, but for its CDI file; else it is begun anew.
            let state = if found.answer.is_some() { State::Prepared } else { State::Preparing };
            let record = ClaimRecord {
                claim: found.claim,
                state,
                holds,
                answer: found.answer.unwrap_or_default(),
                // Kept, so that it comes back when the file goes: it is all that tells of the claim besides the record.
                cdi: found.cdi,
                metadata: BTreeMap::new(),
                boot_id: String::new(),
                other: Map::new(),
            };
            table.unknown.remove(&uid);
            table.records.insert(uid.clone(), record.clone());
            drop(table);
            let mut message = "the record was lost and has been rebuilt".to_owned();
            if let Err(error) = self.write(&record) {
                message = format!("{message}, but cannot be written: {error}");
            }
            problems.push(Problem { uid, message });
        }
        for uid in self.lock().unknown.keys() {
            let message = "nothing says which devices the claim holds; no device is given to other claims until it \
                           is unprepared";
            problems.push(Problem { uid: uid.clone(), message: message.to_owned() });
        }
    }

    fn write_cdi_files(&self, problems: &mut Vec<Problem>) {
        let records: Vec<ClaimRecord> = self.lock().records.values().cloned().collect();
        for record in records.iter().filter(|record| record.state != State::Unpreparing) {
            if let Err(error) = self.write_cdi(record) {
                let message = format!("its CDI file cannot be written: {error}");
                problems.push(Problem { uid: record.claim.uid.clone(), message });
            }
        }
    }

    /// Removes CDI files of this driver that belong to no claim. Nobody else does, and a runtime that finds a device
    /// in two files refuses both. Where [`super::CdiFiles`] is among the sources, a file of a real claim has made a
    /// record by now, which [`Claims::collect`] removes with its file.
    fn sweep_cdi_files(&self, problems: &mut Vec<Problem>) {
        let uids = self.configuration.cdi.claims(&self.files).unwrap_or_default();
        for uid in uids {
            let table = self.lock();
            if table.records.contains_key(&uid) || table.unknown.contains_key(&uid) {
                continue;
            }
            drop(table);
            let message = match self.configuration.cdi.remove(&self.files, &uid) {
                Ok(()) => "its CDI file belonged to no claim and was removed".to_owned(),
                Err(error) => format!("its CDI file belongs to no claim and cannot be removed: {error}"),
            };
            problems.push(Problem { uid, message });
        }
    }

    /// Makes the devices of a claim usable. `allocation` is asked only for a claim that is not prepared yet: a prepared
    /// one needs no API server.
    ///
    /// # Errors
    ///
    /// A device that another claim still holds, and failures of disks, are transient.
    pub fn prepare(
        &self,
        claim: &ClaimReference,
        allocation: impl FnOnce() -> Result<Vec<AllocatedDevice>, Failure>,
    ) -> Result<Vec<PreparedDevice>, Failure> {
        let before = self.lock().records.get(&claim.uid).cloned();
        if let Some(record) = before.as_ref().filter(|record| record.state == State::Prepared) {
            return self.replay(record.clone(), allocation);
        }
        let allocation = allocation()?;
        let holds = plan::checked(&self.devices, claim, &allocation)?;
        // What was begun for other devices is settled first. For the same devices starting again is enough, and
        // better: of a claim whose record was rebuilt from its CDI file the containers may run.
        let holds_already = before.as_ref().is_some_and(|record| {
            record.state != State::Unpreparing
                && record.holds.len() == holds.len()
                && record.holds.iter().zip(&holds).all(|(held, wanted)| held.device == wanted.device)
        });
        if let Some(record) = before.as_ref().filter(|_| !holds_already) {
            self.devices.stop(&record.claim, &record.holds)?;
        }
        // Only the devices tell what containers need, once they are started. Until then the files of a claim whose
        // containers may run stay.
        let (cdi, metadata) = match before {
            Some(record) if holds_already => (record.cdi, record.metadata),
            _ => (None, BTreeMap::new()),
        };
        let mut record = ClaimRecord {
            claim: claim.clone(),
            state: State::Preparing,
            holds,
            answer: Vec::new(),
            cdi,
            metadata,
            boot_id: self.configuration.boot_id.clone(),
            other: Map::new(),
        };
        if holds_already {
            // Beside it may be records that were rebuilt too, and tell neither shares nor admin access.
            self.lock().records.insert(claim.uid.clone(), record.clone());
        } else {
            self.reserve(&record)?;
        }
        self.write(&record).map_err(|error| transient("record of the claim", &error))?;
        self.devices.start(claim, &record.holds)?;
        let plan = self.plan(claim, &allocation)?;
        (record.cdi, record.metadata) = (Some(plan.cdi), plan.metadata);
        self.write_cdi(&record).map_err(|error| transient("CDI file of the claim", &error))?;
        record.state = State::Prepared;
        record.answer = plan.answer;
        self.write(&record).map_err(|error| transient("record of the claim", &error))?;
        let answer = record.answer.clone();
        self.lock().records.insert(claim.uid.clone(), record);
        Ok(answer)
    }

    /// The answer of a prepared claim, after everything it relies on has been verified.
    fn replay(
        &self,
        mut record: ClaimRecord,
        allocation: impl FnOnce() -> Result<Vec<AllocatedDevice>, Failure>,
    ) -> Result<Vec<PreparedDevice>, Failure> {
        let is_rebuilt = record.cdi.is_none();
        if is_rebuilt {
            // From the kubelet's checkpoint, which has the names but not what they mean, nor admin access.
            record.holds = plan::checked(&self.devices, &record.claim, &allocation()?)?;
        }
        if is_rebuilt || record.boot_id != self.configuration.boot_id {
            self.devices.start(&record.claim, &record.holds)?;
            // Numbers of device nodes may be others than before. What an older version has written tells too little, and
            // what the kubelet remembers cannot change: with either the files stay as they were.
            let allocation: Option<Vec<_>> = record.holds.iter().map(HeldDevice::allocated).collect();
            if let Some(allocation) = allocation {
                let plan = self.plan(&record.claim, &allocation)?;
                if is_rebuilt || plan.has_names_of(&record.answer) {
                    (record.cdi, record.metadata) = (Some(plan.cdi), plan.metadata);
                }
            }
            record.boot_id.clone_from(&self.configuration.boot_id);
            // Before the CDI file, so that no start writes the former one over it.
            self.write(&record).map_err(|error| transient("record of the claim", &error))?;
            self.lock().records.insert(record.claim.uid.clone(), record.clone());
        }
        self.write_cdi(&record).map_err(|error| transient("CDI file of the claim", &error))?;
        Ok(record.answer)
    }

    /// Gives up everything that a claim holds. Succeeds for a claim that nobody knows.
    ///
    /// # Errors
    ///
    /// The devices cannot be stopped, or the files cannot be removed. The claim holds its devices until a later call
    /// succeeds.
    pub fn unprepare(&self, claim: &ClaimReference) -> Result<(), Failure> {
        let uid = &*claim.uid;
        if !is_uid(uid) {
            // Never prepared: such a UID is refused there.
            return Ok(());
        }
        let known = {
            let mut table = self.lock();
            let record = table.records.get_mut(uid);
            record.map(|record| {
                let marked = std::mem::replace(&mut record.state, State::Unpreparing) != State::Unpreparing;
                (record.clone(), marked)
            })
        };
        if let Some((record, marked)) = &known {
            // Without the mark a prepare after a crash would replay an answer whose devices are stopped. A disk that
            // refuses must not keep the pod from going, though: nobody prepares a claim of a pod that is gone.
            if *marked {
                let _ = self.write(record);
            }
            self.devices.stop(&record.claim, &record.holds)?;
        } else {
            // Its record may be lost. Only the devices themselves can tell.
            self.devices.stop(claim, &[])?;
        }
        self.configuration
            .cdi
            .remove(&self.files, uid)
            .map_err(|error| transient("CDI file of the claim", &error))?;
        // After the file that mounts them.
        self.metadata
            .remove(&self.files, uid)
            .map_err(|error| transient("metadata file of the claim", &error))?;
        let name = file_name(uid);
        self.quarantine
            .settle(&self.files, &name)
            .map_err(|error| transient("damaged record of the claim", &error))?;
        remove_durably(&self.files, &self.configuration.directory, &name)
            .map_err(|error| transient("record of the claim", &error))?;
        let mut table = self.lock();
        table.records.remove(uid);
        table.unknown.remove(uid);
        Ok(())
    }

    /// Unprepares every claim that `allocated` does not accept: claims that vanished while nobody looked, which the
    /// kubelet will never mention again. Must only be called with what an API server has really said. Returns the
    /// claims that could not be unprepared.
    pub fn collect(&self, allocated: impl Fn(&ClaimReference) -> bool) -> Vec<(ClaimReference, Failure)> {
        let gone = {
            let table = self.lock();
            let known = table.records.values().map(|record| &record.claim).chain(table.unknown.values());
            known.filter(|claim| !allocated(claim)).cloned().collect::<Vec<_>>()
        };
        gone.into_iter()
            .filter_map(|claim| self.unprepare(&claim).err().map(|error| (claim, error)))
            .collect()
    }

    /// The records as they are now, by UID.
    pub fn records(&self) -> Vec<ClaimRecord> {
        self.of_records(Clone::clone)
    }

    /// Something of each record, by UID.
    pub fn of_records<T>(&self, what: impl FnMut(&ClaimRecord) -> T) -> Vec<T> {
        self.lock().records.values().map(what).collect()
    }

    /// Claims of which nothing says what they hold.
    pub fn unknown(&self) -> Vec<ClaimReference> {
        self.lock().unknown.values().cloned().collect()
    }

    /// Takes the devices of a claim, or names the claim that has one of them.
    fn reserve(&self, record: &ClaimRecord) -> Result<(), Failure> {
        let mut table = self.lock();
        let others = table.records.values().filter(|other| other.claim.uid != record.claim.uid);
        for other in others {
            for wanted in &record.holds {
                if other.holds.iter().any(|held| held.excludes(wanted)) {
                    return Err(Failure::Transient(format!(
                        "device `{}` of pool `{}` is still held by claim `{}/{}` (UID `{}`)",
                        wanted.device,
                        wanted.pool.as_deref().unwrap_or_default(),
                        other.claim.namespace,
                        other.claim.name,
                        other.claim.uid,
                    )));
                }
            }
        }
        if let Some(guard) = &self.guard {
            let others: Vec<&ClaimRecord> =
                table.records.values().filter(|other| other.claim.uid != record.claim.uid).collect();
            if let Some(refusal) = guard.refuses(record, &others) {
                let other = others.iter().find(|other| Some(&other.claim.uid) == refusal.other.as_ref());
                return Err(match other {
                    Some(ClaimRecord { claim, .. }) => Failure::Transient(format!(
                        "{}, because of claim `{}/{}` (UID `{}`)",
                        refusal.message, claim.namespace, claim.name, claim.uid
                    )),
                    None => Failure::Permanent(refusal.message),
                });
            }
        }
        let exclusive = record.holds.iter().any(|held| !held.admin_access);
        if let Some(lost) = table.unknown.keys().find(|uid| exclusive && **uid != record.claim.uid) {
            return Err(Failure::Transient(format!(
                "the record of the claim with UID `{lost}` is lost, and until that claim is unprepared its devices \
                 are unknown"
            )));
        }
        table.unknown.remove(&record.claim.uid);
        table.records.insert(record.claim.uid.clone(), record.clone());
        Ok(())
    }

    fn plan(&self, claim: &ClaimReference, allocation: &[AllocatedDevice]) -> Result<Plan, Failure> {
        Plan::new(&self.devices, &self.configuration.cdi, &self.metadata, claim, allocation)
    }

    fn write(&self, record: &ClaimRecord) -> io::Result<()> {
        let name = file_name(&record.claim.uid);
        write_atomically(&self.files, &self.configuration.directory, &name, &record.encode())
    }

    /// Writes what a container runtime reads of a claim, the files that are mounted first.
    fn write_cdi(&self, record: &ClaimRecord) -> io::Result<()> {
        self.metadata.ensure(&self.files, &record.claim.uid, &record.metadata)?;
        match record.cdi.as_deref() {
            None | Some("") => Ok(()),
            Some(content) => self.configuration.cdi.ensure(&self.files, &record.claim.uid, content).map(drop),
        }
    }

    /// Every change of the table is one call, so that a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a claim's record.
fn file_name(uid: &str) -> String {
    format!("{uid}{ENDING}")
}

fn transient(what: &str, error: &io::Error) -> Failure {
    Failure::Transient(format!("the {what} cannot be written or removed: {error}"))
}
