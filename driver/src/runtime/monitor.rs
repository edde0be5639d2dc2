//! Looks at the devices again and again, and hands on what it sees: to the guard, the kubelet and the publisher.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{Level, Log, Settings, Source};
use crate::{
    claims::State,
    devices::{Change, Condition, DeviceSource as _, Observation, Pool},
    files::HostFileSystem,
    guard::Guard,
    health::HealthMachine,
    kubelet::{
        RegistrationState,
        health::{HealthReport, HealthState},
    },
    metrics::Metrics,
    node::{ClaimReader, Node},
};

/// Everything that the monitor reads and writes.
pub(super) struct Monitor<R> {
    pub(super) settings: Settings,
    pub(super) source: Source,
    pub(super) guard: Arc<Guard>,
    pub(super) node: Arc<Node<HostFileSystem, Source, R>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) reports: watch::Sender<HealthReport>,
    pub(super) pools: watch::Sender<Option<Vec<Pool>>>,
    pub(super) state: watch::Receiver<RegistrationState>,
    pub(super) log: Log,
}

impl<R: ClaimReader> Monitor<R> {
    pub(super) async fn run(mut self) {
        let start = Instant::now();
        let mut machine = HealthMachine::new(self.settings.health.clone());
        // None before the first look.
        let mut pools: Option<Vec<Pool>> = None;
        let mut vanished: Vec<Observation> = Vec::new();
        let mut error = String::new();
        let mut notes: Vec<String> = Vec::new();
        let mut unpublished = false;
        let mut news = self.source.changes();
        let mut change = Change::Source;
        loop {
            let source = Arc::clone(&self.source);
            // A fault on purpose is told of before anybody reads thousands of devices again.
            let only_health = change == Change::Faults && pools.is_some();
            let look = spawn_blocking(move || {
                let pools = if only_health { Ok(None) } else { source.pools().map(Some) };
                (pools.and_then(|pools| Ok((pools, source.observe()?))), source.notes())
            });
            // A look that hangs makes devices unknown after a while, and not the driver.
            let seen = timeout(self.settings.health.silence, look).await;
            let (now, wall) = (start.elapsed(), SystemTime::now());
            let found = if let Ok(Ok((found, new_notes))) = seen {
                for note in new_notes.iter().filter(|note| !notes.contains(note)) {
                    (self.log)(Level::Info, note, &[]);
                }
                notes = new_notes;
                match found {
                    Ok(found) => {
                        error.clear();
                        Some(found)
                    }
                    Err(source_error) => {
                        self.complain(&mut error, source_error.to_string());
                        None
                    }
                }
            } else {
                self.complain(&mut error, "nobody can look at the devices".to_owned());
                None
            };
            // Of thousands of devices everything that is made of them is large, so it is made when something changed.
            let mut changed = false;
            if let Some((found, observations)) = found {
                let mut others = false;
                if let Some(found) = found.filter(|found| pools.as_ref() != Some(found)) {
                    match self.guard.set_pools(&found) {
                        Ok(()) => {
                            pools = Some(found);
                            others = true;
                        }
                        Err(errors) => self.complain(&mut error, errors.to_string()),
                    }
                }
                let pools = pools.as_deref().unwrap_or_default();
                let gone = self.vanished(pools);
                others |= gone != vanished;
                vanished = gone;
                if others {
                    let devices = pools.iter().flat_map(|pool| {
                        pool.devices.iter().map(|device| (pool.name.as_str(), device.name.as_str()))
                    });
                    let held = vanished.iter().map(|seen| (seen.pool.as_str(), seen.device.as_str()));
                    machine.set_devices(devices.chain(held), now, wall);
                }
                changed |= others;
                changed |= machine.observe(&observations, now, wall);
                changed |= machine.observe(&vanished, now, wall);
            }
            changed |= machine.tick(now, wall);
            if changed {
                self.reports.send_replace(machine.report());
                self.count_health(&machine);
            }
            self.count_claims();
            unpublished |= changed;
            // A pod that is scheduled here before the kubelet knows the driver would lose a minute.
            let wanted =
                *self.state.borrow() == RegistrationState::Registered && self.node.claims().is_some();
            if let (Some(pools), true, true) = (&pools, wanted, unpublished) {
                self.publish(pools.clone(), &machine);
                unpublished = false;
            }
            // The kubelet may register or refuse, and a fault may begin, at any time.
            let registration = tokio::select! {
                registration = timeout(self.settings.interval, self.state.changed()) => registration,
                seen = news.next() => {
                    change = seen;
                    continue;
                }
            };
            change = Change::Source;
            if let Ok(Ok(())) = registration {
                let state = self.state.borrow_and_update().clone();
                self.metrics
                    .registered
                    .store(u64::from(state == RegistrationState::Registered), Ordering::Relaxed);
                match state {
                    RegistrationState::Registered => {
                        (self.log)(Level::Info, "registered by the kubelet", &[]);
                    }
                    RegistrationState::Refused(reason) => {
                        (self.log)(Level::Warning, "the kubelet refuses the driver", &[("reason", &reason)]);
                    }
                    RegistrationState::Waiting => {}
                }
            } else if let Ok(Err(_)) = registration {
                tokio::time::sleep(self.settings.interval).await;
            }
        }
    }

    /// Tells what is wrong, once.
    fn complain(&self, before: &mut String, message: String) {
        self.metrics.source_errors.fetch_add(1, Ordering::Relaxed);
        if *before != message {
            (self.log)(Level::Warning, &message, &[]);
            *before = message;
        }
    }

    /// Devices that claims hold and that are in no pool any more: pods that have them should hear of it.
    fn vanished(&self, pools: &[Pool]) -> Vec<Observation> {
        let Some(claims) = self.node.claims() else { return Vec::new() };
        let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        claims.of_records(|record| {
            for device in &record.holds {
                if let Some(pool) = &device.pool {
                    held.entry(pool.clone()).or_default().insert(device.device.clone());
                }
            }
        });
        for pool in pools {
            let Some(held) = held.get_mut(&pool.name) else { continue };
            for device in &pool.devices {
                held.remove(&device.name);
            }
        }
        let of_pool = |(pool, devices): (String, BTreeSet<String>)| {
            let observation =
                move |device| Observation { pool: pool.clone(), device, condition: Condition::Vanished };
            devices.into_iter().map(observation)
        };
        held.into_iter().flat_map(of_pool).collect()
    }

    fn count_health(&self, machine: &HealthMachine) {
        let states = [HealthState::Unknown, HealthState::Healthy, HealthState::Unhealthy];
        for (state, gauge) in states.into_iter().zip(&self.metrics.health) {
            gauge.store(machine.count(state) as u64, Ordering::Relaxed);
        }
    }

    fn count_claims(&self) {
        let Some(claims) = self.node.claims() else { return };
        let held =
            claims.of_records(|record| (record.state == State::Prepared).then_some(record.holds.len()));
        let held: Vec<usize> = held.into_iter().flatten().collect();
        self.metrics.prepared_claims.store(held.len() as u64, Ordering::Relaxed);
        self.metrics.prepared_devices.store(held.iter().sum::<usize>() as u64, Ordering::Relaxed);
    }

    fn publish(&self, mut wanted: Vec<Pool>, machine: &HealthMachine) {
        self.settings.taints.apply(&mut wanted, &machine.verdicts());
        let devices: usize = wanted.iter().map(|pool| pool.devices.len()).sum();
        self.pools.send_if_modified(|published| {
            let changed = published.as_ref() != Some(&wanted);
            if changed {
                *published = Some(wanted);
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                self.metrics.last_publish.store(now.as_secs(), Ordering::Relaxed);
                self.metrics.published_devices.store(devices as u64, Ordering::Relaxed);
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests;
