//! What the kubelet makes of health streams: a cache that turns old entries to unknown when somebody looks, and the part
//! of a pod's status that shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    claims::{CachedDevice, ClaimCache, Pod},
    messages::HealthReport,
    release::Release,
};

/// Timeout for a device without one.
pub const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of a message that are shown; of a longer one the end is replaced by three dots.
pub const LONGEST_MESSAGE: usize = 1024;
/// Devices that the cache keeps for a driver, since 1.37.
pub const MOST_DEVICES: usize = 16_384;
/// Notices of changed pods that may wait; what comes on top is lost.
pub const WAITING_UPDATES: usize = 100;

/// Health in a pod's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nobody said anything, or not recently.
    #[default]
    Unknown,
    /// The device works.
    Healthy,
    /// The device does not work.
    Unhealthy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    health: Health,
    message: String,
    timeout: Duration,
    /// When the report was received.
    at: Duration,
}

/// One line of `allocatedResourcesStatus[].resources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceHealth {
    /// The first CDI name of the device, or driver, pool and device.
    pub resource_id: String,
    /// Its health.
    pub health: Health,
    /// For users; none before 1.36 and for a device that has nothing to say.
    pub message: Option<String>,
}

/// The cache of one kubelet. Times are since any fixed moment.
#[derive(Clone, Debug)]
pub struct HealthCache {
    release: Release,
    /// By driver, then pool and device.
    devices: BTreeMap<String, BTreeMap<(String, String), Entry>>,
    /// Pods whose status is to be written, as far as there was room.
    updates: Vec<BTreeSet<String>>,
    lost_updates: usize,
}

impl HealthCache {
    /// An empty cache.
    pub fn new(release: Release) -> Self {
        Self { release, devices: BTreeMap::new(), updates: Vec::new(), lost_updates: 0 }
    }

    /// Takes a report of a driver; pods of `claims` with a changed device get a notice, if there is room for it.
    pub fn take(&mut self, now: Duration, driver: &str, report: HealthReport, claims: &ClaimCache) {
        let known = self.devices.entry(driver.to_owned()).or_default();
        let mut changed = BTreeSet::new();
        let mut reported = BTreeSet::new();
        for device in report.devices {
            let identity = device.device.unwrap_or_default();
            let key = (identity.pool_name, identity.device_name);
            reported.insert(key.clone());
            if self.release >= Release::V1_37 && !known.contains_key(&key) && known.len() >= MOST_DEVICES {
                continue;
            }
            let seconds = u64::try_from(device.health_check_timeout_seconds).unwrap_or_default();
            let timeout = if seconds > 0 && self.release.knows_health_timeouts() {
                Duration::from_secs(seconds)
            } else {
                USUAL_TIMEOUT
            };
            let health = match device.health {
                1 => Health::Healthy,
                2 => Health::Unhealthy,
                _ => Health::Unknown,
            };
            let message =
                if self.release.shows_health_messages() { shown(&device.message) } else { String::new() };
            let entry = Entry { health, message, timeout, at: now };
            let same = known.get(&key).is_some_and(|old| {
                (old.health, &old.message, old.timeout) == (entry.health, &entry.message, entry.timeout)
            });
            if !same {
                changed.insert(key.clone());
            }
            known.insert(key, entry);
        }
        // What a report leaves out turns unknown with the next report after its timeout.
        let forget = self.release >= Release::V1_37;
        known.retain(|key, entry| {
            if reported.contains(key) || now.saturating_sub(entry.at) <= entry.timeout {
                return true;
            }
            if entry.health != Health::Unknown {
                *entry = Entry { health: Health::Unknown, message: String::new(), at: now, ..entry.clone() };
                changed.insert(key.clone());
            }
            !forget
        });
        let pods: BTreeSet<String> = claims.pods_with(driver, &changed);
        if pods.is_empty() {
            return;
        }
        if self.updates.len() < WAITING_UPDATES {
            self.updates.push(pods);
        } else {
            self.lost_updates += 1;
        }
    }

    /// The stream of a driver has ended: nothing is known, and no pod is told.
    pub fn clear(&mut self, driver: &str) {
        self.devices.remove(driver);
    }

    /// Health of a device and its message. What is out of date is unknown; that is only seen here, nobody is told.
    pub fn health(&self, now: Duration, driver: &str, pool: &str, device: &str) -> (Health, &str) {
        let entry = self.devices.get(driver).and_then(|of| of.get(&(pool.to_owned(), device.to_owned())));
        match entry {
            Some(entry) if now.saturating_sub(entry.at) <= entry.timeout => (entry.health, &entry.message),
            _ => (Health::Unknown, ""),
        }
    }

    /// The notices that wait, which are taken: pods whose status a kubelet writes now.
    pub fn updates(&mut self) -> Vec<BTreeSet<String>> {
        std::mem::take(&mut self.updates)
    }

    /// Number of notices that found no room.
    pub fn lost_updates(&self) -> usize {
        self.lost_updates
    }

    /// What the status of a pod says of a claim, for a container that names all of it or one `request`. Devices with
    /// the same first CDI name are one.
    pub fn pod_status(
        &self,
        now: Duration,
        claims: &ClaimCache,
        pod: &Pod,
        claim: &str,
        request: Option<&str>,
    ) -> Vec<ResourceHealth> {
        let mut shown: Vec<ResourceHealth> = Vec::new();
        let of_pod = pod.claims.iter().filter(|of_pod| of_pod.name == claim);
        for CachedDevice { driver, device } in of_pod.flat_map(|of_pod| claims.devices(&of_pod.claim.uid)) {
            let requests = &device.request_names;
            let base = request.map(|name| name.split_once('/').map_or(name, |(request, _)| request));
            if base.is_some_and(|name| !requests.is_empty() && !requests.iter().any(|one| one == name)) {
                continue;
            }
            let names = || format!("{driver}/{}/{}", device.pool_name, device.device_name);
            let resource_id = device.cdi_device_ids.first().cloned().unwrap_or_else(names);
            if shown.iter().any(|other| other.resource_id == resource_id) {
                continue;
            }
            let (health, message) = self.health(now, &driver, &device.pool_name, &device.device_name);
            let message = (!message.is_empty()).then(|| message.to_owned());
            shown.push(ResourceHealth { resource_id, health, message });
        }
        shown
    }
}

/// As kubelets cut it: by octets, wherever that is. Half a character is not valid in a status and shows as the sign for
/// one.
fn shown(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    format!("{}...", String::from_utf8_lossy(&message.as_bytes()[..LONGEST_MESSAGE - 3]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Claim, Device, DeviceHealth, DeviceIdentifier, PrepareResponse, PreparedClaim};

    const DRIVER: &str = "gpu.example.com";
    const SECOND: Duration = Duration::from_secs(1);

    fn report(health: i32, timeout: i64, message: &str) -> HealthReport {
        let device = DeviceIdentifier { pool_name: "node-1".to_owned(), device_name: "gpu-0".to_owned() };
        let device = DeviceHealth {
            device: Some(device),
            health,
            last_updated_time: 0,
            health_check_timeout_seconds: timeout,
            message: message.to_owned(),
        };
        HealthReport { devices: vec![device] }
    }

    fn claims(release: Release) -> (ClaimCache, Pod) {
        let pod = Pod::new("pod").with_claim(&Claim::new("a", "0a"), &[DRIVER]);
        let mut cache = ClaimCache::new(release);
        for (driver, batch) in cache.begin_prepare(&pod).expect("no obstacle") {
            let device = |id: &str| Device {
                pool_name: "node-1".to_owned(),
                device_name: "gpu-0".to_owned(),
                cdi_device_ids: vec![id.to_owned()],
                ..Device::default()
            };
            let devices = vec![device("vendor.com/gpu=common"), device("vendor.com/gpu=common")];
            let prepared = PreparedClaim { devices, error: String::new() };
            let answer = PrepareResponse { claims: [("0a".to_owned(), prepared)].into() };
            cache.take_answer(&driver, &batch, answer).expect("a good answer");
        }
        cache.finish_prepare(&pod);
        (cache, pod)
    }

    /// Finding 8: what is out of date reads as unknown, and no pod is told.
    #[test]
    fn a_silent_driver_turns_unknown_without_a_notice() {
        for release in [Release::V1_34, Release::V1_36, Release::V1_37] {
            let (claims, pod) = claims(release);
            let mut cache = HealthCache::new(release);
            cache.take(SECOND, DRIVER, report(1, 10, "fine"), &claims);
            assert_eq!(cache.updates(), [BTreeSet::from(["pod".to_owned()])]);
            let status = cache.pod_status(2 * SECOND, &claims, &pod, "a", None);
            assert_eq!(status.len(), 1, "devices with one name are one");
            assert_eq!(status[0].health, Health::Healthy);
            assert_eq!(status[0].message.is_some(), release >= Release::V1_36);
            let timeout = if release >= Release::V1_35 { 10 } else { 30 };
            let at = |seconds: u32| cache.health(seconds * SECOND, DRIVER, "node-1", "gpu-0").0;
            assert_eq!((at(1 + timeout), at(2 + timeout)), (Health::Healthy, Health::Unknown));
            assert_eq!(cache.updates(), Vec::<BTreeSet<String>>::new());
        }
    }

    #[test]
    fn only_changes_are_told_and_only_as_many_as_fit() {
        let (claims, _) = claims(Release::V1_36);
        let mut cache = HealthCache::new(Release::V1_36);
        for number in 0..150 {
            cache.take(SECOND, DRIVER, report(1 + number % 2, 10, ""), &claims);
            cache.take(SECOND, DRIVER, report(1 + number % 2, 10, ""), &claims);
        }
        assert_eq!((cache.updates().len(), cache.lost_updates()), (WAITING_UPDATES, 50));
    }

    #[test]
    fn a_device_that_is_left_out_turns_unknown_with_a_later_report() {
        let (claims, _) = claims(Release::V1_36);
        let mut cache = HealthCache::new(Release::V1_36);
        cache.take(SECOND, DRIVER, report(1, 10, ""), &claims);
        cache.updates();
        cache.take(5 * SECOND, DRIVER, HealthReport::default(), &claims);
        assert!(cache.updates().is_empty());
        cache.take(15 * SECOND, DRIVER, HealthReport::default(), &claims);
        assert_eq!(cache.updates().len(), 1);
    }

    #[test]
    fn long_messages_are_cut_by_octets() {
        assert_eq!(shown(&"x".repeat(1024)), "x".repeat(1024));
        assert_eq!(shown(&"x".repeat(1025)), format!("{}...", "x".repeat(1021)));
        assert!(shown(&"é".repeat(600)).contains('\u{fffd}'), "half a character");
    }
}
